"""Find the instance of a holder that no log shows, by the age of each instance's oldest transaction.

CloudWatch publishes TransactionAgeMaximum per instance; time minus age is the start of its oldest transaction. The oldest
transaction need not hold a view: a bare BEGIN and an idle READ COMMITTED transaction hold none. It is therefore a
candidate only if its start matches the view's start that the history list implies, and it never names a session.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import period_s, seconds

NEAR, NEAR_OF_AGE = 1.5, 0.1
"""Largest difference of the two starts [sampling periods], and its increase per period of the view's age."""
MOST = 0.8
"""Share of a span's samples at which the transaction's start must match [0 to 1]."""
NEEDED = 3
"""Fewest samples of a span that have an age."""

COLUMNS = ["span", "instance", "since"]


def transaction_starts(ages: pd.DataFrame) -> pd.DataFrame:
    """Compute when each instance's oldest transaction began, at each sample.

    Parameters
    ----------
    ages : DataFrame
        `time` (UTC), `instance` and `value`, the age of the oldest transaction [s] (CloudWatch: TransactionAgeMaximum).

    Returns
    -------
    DataFrame
        Start (UTC), one column per instance, by time of the sample.
    """
    known = ages.dropna(subset="value")
    start = known["time"] - pd.to_timedelta(known["value"], unit="s")
    return known.assign(start=start).pivot_table("start", "time", "instance", aggfunc="min", observed=True)


def candidates(spans: pd.DataFrame, oldest_view: pd.DataFrame, starts: pd.DataFrame) -> pd.DataFrame:
    """Find the instances whose oldest transaction began with the view of a span that no session explains.

    Parameters
    ----------
    spans : DataFrame
        Result of `blocking_spans`.
    oldest_view : DataFrame
        Result of `attribute_oldest_view`.
    starts : DataFrame
        Result of `transaction_starts`.

    Returns
    -------
    DataFrame
        `span` (label in `spans`), `instance` and `since`, the median start of its transaction (UTC); one row per match.
        Two rows of one span mean that the metric cannot decide.
    """
    rows = []
    for span, start, end in spans.loc[spans["state"] == "unknown", ["start", "end"]].itertuples():
        view = oldest_view[(oldest_view.index >= start) & (oldest_view.index < end)]
        for instance in starts.columns:
            own = starts[instance].reindex(view.index).dropna()
            if len(own) >= NEEDED and _matches(
                own, view.loc[own.index, "since"], period_s(oldest_view.index)
            ):
                rows.append((span, str(instance), own.median()))
    return pd.DataFrame(rows, columns=COLUMNS)


def _matches(start: pd.Series, since: pd.Series, period: float) -> bool:
    """Return whether an instance's oldest transaction began when the view did, at most samples."""
    off = np.abs(seconds(pd.Index(start)) - seconds(pd.Index(since))) / period
    age = (seconds(start.index) - seconds(pd.Index(since))) / period
    return bool((off <= NEAR + NEAR_OF_AGE * np.clip(age, 0, None)).mean() >= MOST)
