"""What would a query do that nobody has run yet? From an assumed length and hour, and what earlier views cost.

While a view is held the history list grows by the transactions that the writer commits, times the entries that each
leaves. Both are known from the window: the rate at that hour of other days, the entries from every span in which a
known view held purge. Their spread from day to day and from span to span is the answer's interval: it is a
prediction of one run, not the mean of many.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
from scipy import stats

from aurora_analysis.analysis.series import Array, period_s, stretches
from aurora_analysis.analysis.undo_log.holders import NONE, SHORTEST_RUN
from aurora_analysis.analysis.verdict import Remarks
from aurora_analysis.errors import Error
from aurora_analysis.window import Window, zone

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

SAME_DAYS_NEEDED = 4
"""With fewer of the same weekday all weekdays, or all days of the weekend, tell the rate at that hour."""

KNOWN_NEEDED = 0.9
"""A span of the day tells its rate where so much of it was observed."""


@dataclass(frozen=True)
class Reach:
    """How long the history list gets [transactions], and what that rests on. Missing (NaN) where too little is known."""

    length: float
    low: float
    high: float
    per_transaction: float
    holds: int
    commits_per_s: float
    rates: int
    rates_of: str

    def told(self, hours: float, weekday: str, hour: float, timezone: str = "UTC") -> Remarks:
        """The answer with its number, interval and assumptions."""
        clock = f"{int(hour):02d}:{round(60 * (hour % 1)):02d} {timezone}"
        what = f"A query that holds its read view for {hours:g} h from {weekday} {clock}"
        if not np.isfinite(self.length):
            return Remarks(
                f"{what} cannot be judged from this window: the write rate is known of {self.rates} {self.rates_of}, and a "
                f"known view held purge in {self.holds} spans; two of each are needed."
            )
        return Remarks(
            f"{what} lets the history list reach {_round(self.length)} transactions (95 % of such runs: "
            f"{_round(self.low)} to {_round(self.high)}): the writer then commits {self.commits_per_s:,.0f} a second "
            f"({self.rates} {self.rates_of}), and each leaves {self.per_transaction:.2f} entries ({self.holds} spans in "
            "which a known view held purge). It assumes that no older view is open, and that purge keeps up otherwise."
        )


def reach(
    held: pd.DataFrame,
    commit_throughput: pd.Series,
    *,
    hours: float,
    weekday: str = "Tuesday",
    hour: float = 14.0,
    timezone: str = "UTC",
    confidence: float = 0.95,
) -> Reach:
    """How long the history list gets if a view is held for `hours` from that hour. Answers: may we run it then?

    The interval is a t prediction interval on logarithms, which are the right scale for a product of rates.
    `held` is the frame of `read_views.holders`, `commit_throughput` the writer's commits a second over the window.
    """
    entries = np.log(per_transaction(held, commit_throughput))
    rates, rates_of = _rates(commit_throughput, hours, weekday, hour, timezone)
    base = float(held["length"].quantile(0.1)) if len(held) else np.nan
    grown, spread, df = _predicted(entries, np.log(rates))
    growth = np.exp(grown) * hours * 3600
    far = np.exp(stats.t.ppf((1 + confidence) / 2, df) * spread) if df > 0 else np.nan
    return Reach(
        length=base + growth,
        low=base + growth / far,
        high=base + growth * far,
        per_transaction=float(np.exp(entries.mean())) if len(entries) else np.nan,
        holds=len(entries),
        commits_per_s=float(np.exp(np.log(rates).mean())) if len(rates) else np.nan,
        rates=len(rates),
        rates_of=rates_of,
    )


def per_transaction(held: pd.DataFrame, commit_throughput: pd.Series) -> Array:
    """The history entries that a transaction left, in each span in which one known view held purge."""
    who = held["run"].fillna(NONE).to_numpy(dtype=int)
    known = commit_throughput.dropna().sort_index()
    found = []
    for first, last in stretches(who):
        span = held.iloc[max(first - 1, 0) : last]
        if who[first] >= 0 and last - first >= SHORTEST_RUN:
            lowest = np.flatnonzero(span["length"] == span["length"].min())[-1]
            rise = span["length"].iloc[lowest:]
            grown = rise.max() - rise.iloc[0]
            passed = known[rise.index[0] : rise.idxmax()]
            lasted = (rise.idxmax() - rise.index[0]).total_seconds()
            if grown > 0 and lasted > 0 and passed.mean() > 0:
                found.append(grown / (passed.mean() * lasted))
    return np.array(found)


def _predicted(entries: Array, rates: Array) -> tuple[float, float, float]:
    """The mean of the sum of one more of each, its standard deviation, its degrees of freedom (Welch-Satterthwaite)."""
    if min(len(entries), len(rates)) < 2:
        return np.nan, np.nan, 0.0
    parts = [(values.var(ddof=1) * (1 + 1 / len(values)), len(values) - 1) for values in (entries, rates)]
    variance = sum(part for part, _ in parts) + 1e-12
    df = variance**2 / (sum(part**2 / free for part, free in parts) + 1e-24)
    return float(entries.mean() + rates.mean()), float(np.sqrt(variance)), float(df)


def _rates(
    throughput: pd.Series, hours: float, weekday: str, hour: float, timezone: str
) -> tuple[Array, str]:
    """The mean commits a second of comparable spans, and what those are: the same hour of days of the same kind."""
    known = throughput.dropna().sort_index()
    if len(known) < 2:
        return np.array([]), "spans of that length"
    window = Window(known.index[0].to_pydatetime(), known.index[-1].to_pydatetime())
    length = timedelta(hours=hours)
    if window.duration < timedelta(days=2):
        spans = [window.start + n * length for n in range(int(window.duration / length))]
        return _means(
            known, pd.DatetimeIndex(spans, tz="UTC"), length
        ), "spans of that length, at whatever hour"
    local = zone(timezone)
    dates = pd.date_range(
        window.start.astimezone(local).date(), window.end.astimezone(local).date(), freq="D"
    )
    starts = (dates + pd.Timedelta(hours=hour)).tz_localize(
        local, ambiguous=True, nonexistent="shift_forward"
    )
    wanted = _weekday(weekday)
    same = _means(known, starts[dates.day_of_week == wanted], length)
    if len(same) >= SAME_DAYS_NEEDED:
        return same, f"{WEEKDAYS[wanted]}s at that hour"
    alike = (dates.day_of_week >= 5) == (wanted >= 5)
    return _means(
        known, starts[alike], length
    ), f"{'weekend days' if wanted >= 5 else 'weekdays'} at that hour"


def _weekday(name: str) -> int:
    found = [
        n for n, day in enumerate(WEEKDAYS) if day.lower().startswith(name.strip().lower()) and name.strip()
    ]
    if len(found) != 1:
        raise Error(f"There is no weekday {name!r}: name one as in Tuesday.")
    return found[0]


def _means(known: pd.Series, starts: pd.DatetimeIndex, length: timedelta) -> Array:
    """The mean of each span that was observed nearly whole."""
    spans = [known[start : start + length - timedelta(microseconds=1)] for start in starts]
    needed = KNOWN_NEEDED * length.total_seconds() / period_s(known.index)
    return np.array([span.mean() for span in spans if len(span) >= needed and span.mean() > 0])


def _round(length: float) -> str:
    """Three digits are more than a prediction knows."""
    return f"{float(f'{length:.3g}'):,.0f}"
