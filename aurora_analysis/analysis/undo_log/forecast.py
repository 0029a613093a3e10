"""Forecast the history list if a query held its read view for hours, from earlier views and the write rate.

While a view is held, the history list grows by the transactions that the writer commits, times the history entries
that each leaves. The window supplies both: the commit rate at that hour of other days, and the entries per transaction
of every span in which an identified view blocked purge. Their variation between days and between spans gives the
interval, which is a prediction interval for one run, not a confidence interval for a mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
from scipy import stats

from aurora_analysis.analysis.series import Array, period_s, stretches
from aurora_analysis.analysis.undo_log.samples import NONE
from aurora_analysis.analysis.verdict import Remarks
from aurora_analysis.errors import Error
from aurora_analysis.window import Window, zone

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

SAME_DAYS_NEEDED = 4
"""With fewer days of the same weekday, all weekdays or all weekend days estimate the rate at that hour."""

SHORTEST_SPAN = 5
"""Shorter spans of one holder do not measure the growth per transaction [samples]."""

KNOWN_NEEDED = 0.9
"""A span of the day counts if at least this share of it was observed [0 to 1]."""


@dataclass(frozen=True)
class AssumedQuery:
    """A query that has not run yet: when it would start and how long it would hold its read view.

    Parameters
    ----------
    hours : float
        How long the query holds its read view [h].
    weekday : str
        English name of the weekday, or its first letters.
    hour : float
        Start in local time; 14.5 is 14:30 [h].
    timezone : str
        Time zone of weekday and hour.
    """

    hours: float
    weekday: str = "Tuesday"
    hour: float = 14.0
    timezone: str = "UTC"

    def __str__(self) -> str:
        clock = f"{int(self.hour):02d}:{round(60 * (self.hour % 1)):02d} {self.timezone}"
        return f"A query that holds its read view for {self.hours:g} h from {self.weekday} {clock}"


@dataclass(frozen=True)
class Reach:
    """The forecast length of the history list, and the observations behind it. NaN if there are too few.

    Parameters
    ----------
    query : AssumedQuery
        The query that the forecast is for.
    length, low, high : float
        Forecast history list length and its prediction interval [transactions].
    per_transaction : float
        History entries per transaction (geometric mean).
    blocking_spans : int
        Number of spans that `per_transaction` rests on.
    commits_per_s : float
        Commit rate while the query runs (geometric mean) [1/s].
    rates : int
        Number of spans that `commits_per_s` rests on.
    rates_of : str
        Description of those spans.
    """

    query: AssumedQuery
    length: float
    low: float
    high: float
    per_transaction: float
    blocking_spans: int
    commits_per_s: float
    rates: int
    rates_of: str

    def summary(self) -> Remarks:
        """State the forecast with its number, interval and assumptions.

        Returns
        -------
        Remarks
            One sentence for the forecast, or why there is none.
        """
        if not np.isfinite(self.length):
            return Remarks(
                f"{self.query} cannot be judged from this window. It needs at least two write rates and two spans in "
                f"which an identified view blocked purge; the window has {self.rates} write rates ({self.rates_of}) and "
                f"{self.blocking_spans} such spans."
            )
        return Remarks(
            f"{self.query} lets the history list reach {_round(self.length)} transactions (95 % of such runs: "
            f"{_round(self.low)} to {_round(self.high)}). The writer then commits {self.commits_per_s:,.0f} transactions "
            f"per second ({self.rates} {self.rates_of}), and each leaves {self.per_transaction:.2f} history entries "
            f"({self.blocking_spans} spans in which an identified view blocked purge). The forecast assumes that no older "
            "view is open, and that purge otherwise keeps up."
        )


def reach(
    oldest_view: pd.DataFrame, commit_throughput: pd.Series, query: AssumedQuery, *, confidence: float = 0.95
) -> Reach:
    """Forecast the history list length at the end of an assumed query.

    The interval is a t prediction interval on logarithms, the right scale for a product of rates.

    Parameters
    ----------
    oldest_view : DataFrame
        Result of `attribute_oldest_view`.
    commit_throughput : Series
        The writer's commits per second over the window (UTC) [1/s].
    query : AssumedQuery
        The query to forecast for.
    confidence : float, default 0.95
        Coverage of the prediction interval [0 to 1].

    Returns
    -------
    Reach
        The forecast; its numbers are NaN with fewer than two spans or two rates.

    Raises
    ------
    Error
        If the weekday is not a weekday's name.
    """
    entries = np.log(per_transaction(oldest_view, commit_throughput))
    rates, rates_of = _rates(commit_throughput, query)
    base = float(oldest_view["length"].quantile(0.1)) if len(oldest_view) else np.nan
    grown, error, df = _predicted(entries, np.log(rates))
    growth = np.exp(grown) * query.hours * 3600
    factor = np.exp(stats.t.ppf((1 + confidence) / 2, df) * error) if df > 0 else np.nan
    return Reach(
        query=query,
        length=base + growth,
        low=base + growth / factor,
        high=base + growth * factor,
        per_transaction=float(np.exp(entries.mean())) if len(entries) else np.nan,
        blocking_spans=len(entries),
        commits_per_s=float(np.exp(np.log(rates).mean())) if len(rates) else np.nan,
        rates=len(rates),
        rates_of=rates_of,
    )


def per_transaction(oldest_view: pd.DataFrame, commit_throughput: pd.Series) -> Array:
    """Estimate the history entries per transaction, in each span in which one identified view blocked purge.

    Parameters
    ----------
    oldest_view : DataFrame
        Result of `attribute_oldest_view`.
    commit_throughput : Series
        The writer's commits per second over time (UTC) [1/s].

    Returns
    -------
    ndarray, shape (spans,)
        History entries per transaction.
    """
    run = oldest_view["run"].fillna(NONE).to_numpy(dtype=int)
    known = commit_throughput.dropna().sort_index()
    found = []
    for first, last in stretches(run):
        span = oldest_view.iloc[max(first - 1, 0) : last]
        if run[first] >= 0 and last - first >= SHORTEST_SPAN:
            lowest = np.flatnonzero(span["length"] == span["length"].min())[-1]
            rise = span["length"].iloc[lowest:]
            grown = rise.max() - rise.iloc[0]
            passed = known[rise.index[0] : rise.idxmax()]
            lasted = (rise.idxmax() - rise.index[0]).total_seconds()
            if grown > 0 and lasted > 0 and passed.mean() > 0:
                found.append(grown / (passed.mean() * lasted))
    return np.array(found)


def _predicted(entries: Array, rates: Array) -> tuple[float, float, float]:
    """Mean, standard deviation and degrees of freedom (Welch-Satterthwaite) of the sum of one more value of each."""
    if min(len(entries), len(rates)) < 2:
        return np.nan, np.nan, 0.0
    parts = [(values.var(ddof=1) * (1 + 1 / len(values)), len(values) - 1) for values in (entries, rates)]
    variance = sum(part for part, _ in parts) + 1e-12
    df = variance**2 / (sum(part**2 / free for part, free in parts) + 1e-24)
    return float(entries.mean() + rates.mean()), float(np.sqrt(variance)), float(df)


def _rates(throughput: pd.Series, query: AssumedQuery) -> tuple[Array, str]:
    """Mean commits per second of comparable spans, and their description: the same hour on days of the same kind."""
    observed = throughput.dropna().sort_index()
    if len(observed) < 2:
        return np.array([]), "spans of that length"
    window = Window(observed.index[0].to_pydatetime(), observed.index[-1].to_pydatetime())
    length = timedelta(hours=query.hours)
    if window.duration < timedelta(days=2):
        spans = [window.start + n * length for n in range(int(window.duration / length))]
        rates = _means(observed, pd.DatetimeIndex(spans, tz="UTC"), length)
        return rates, "spans of that length, at any hour"
    local = zone(query.timezone)
    first, last = (edge.astimezone(local).date() for edge in (window.start, window.end))
    dates = pd.date_range(first, last, freq="D")
    starts = (dates + pd.Timedelta(hours=query.hour)).tz_localize(
        local, ambiguous=True, nonexistent="shift_forward"
    )
    weekday = _weekday(query.weekday)
    same = _means(observed, starts[dates.day_of_week == weekday], length)
    if len(same) >= SAME_DAYS_NEEDED:
        return same, f"{WEEKDAYS[weekday]}s at that hour"
    same_kind = (dates.day_of_week >= 5) == (weekday >= 5)
    days = "weekend days" if weekday >= 5 else "weekdays"
    return _means(observed, starts[same_kind], length), f"{days} at that hour"


def _weekday(name: str) -> int:
    found = [
        n for n, day in enumerate(WEEKDAYS) if day.lower().startswith(name.strip().lower()) and name.strip()
    ]
    if len(found) != 1:
        raise Error(f"There is no weekday {name!r}; give one in English, such as Tuesday.")
    return found[0]


def _means(observed: pd.Series, starts: pd.DatetimeIndex, length: timedelta) -> Array:
    """Mean of each span that was observed almost completely."""
    spans = [observed[start : start + length - timedelta(microseconds=1)] for start in starts]
    needed = KNOWN_NEEDED * length.total_seconds() / period_s(observed.index)
    return np.array([span.mean() for span in spans if len(span) >= needed and span.mean() > 0])


def _round(length: float) -> str:
    """Round to three digits; a prediction is not more precise."""
    return f"{float(f'{length:.3g}'):,.0f}"
