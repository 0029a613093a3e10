"""Name the reader whose idle transaction holds the xmin horizon, from the readers' own counters.

The writer counts the age of the oldest id that any reader needs, without naming the reader. Each reader publishes how long a
session has been idle in a transaction there: if that began when the snapshot began, and on no other reader, it is this reader.
"""

from __future__ import annotations

import pandas as pd

from aurora_analysis.store.observations import Observations

METRIC = "oldest_idle_transaction_age"

MOSTLY = 0.5
"""Share of a span's samples at which a reader's idle transaction must have begun with the snapshot [0 to 1]."""

LATE = pd.Timedelta("2min")
"""A reader's figure is a mean of a minute, and the start of a snapshot is known to a minute: both may differ by so much."""


def idle_since(data: Observations) -> pd.DataFrame:
    """Read since when each reader had a session idle in a transaction.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    DataFrame
        `time`, `instance` and `since` (UTC); no row where no session was idle.
    """
    rows = data.table(
        "metrics", columns=["period_s", "instance", "value"], where={"name": METRIC, "statistic": "average"}
    )
    idle = rows[(rows["value"] > 0) & (data.roles(rows) == "reader")] if len(rows) else rows
    middle = idle["time"] + pd.to_timedelta(idle["period_s"] / 2, unit="s")
    since = middle - pd.to_timedelta(idle["value"].astype(float), unit="s")
    return idle[["time", "instance"]].assign(since=since)


def reader_of(idle: pd.DataFrame, times: pd.DatetimeIndex, began: pd.Timestamp) -> str | None:
    """Name the one reader whose idle transaction began with a snapshot.

    Parameters
    ----------
    idle : DataFrame
        Result of `idle_since`.
    times : DatetimeIndex
        The samples at which the horizon stood still (UTC).
    began : Timestamp
        Start of the snapshot (UTC).

    Returns
    -------
    str or None
        The instance; None if no reader or more than one fits.
    """
    inside = idle[idle["time"].between(times[0], times[-1])]
    fits = inside[(inside["since"] - began).abs() <= LATE]
    share = fits.groupby(fits["instance"].astype(str)).size() / len(times)
    names = share[share >= MOSTLY].index
    return str(names[0]) if len(names) == 1 else None
