"""Which workloads ran, and when each had a statement open: its exposure.

A workload is a named group of sessions. Until settings name others it is a user; where the log tells no user,
it is the statement's digest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis.window import Window

Array = npt.NDArray[np.float64]

EXPOSURE_COLUMNS = ["workload", "instance", "digest", "thread_id", "start", "end"]


def named(slow_queries: pd.DataFrame) -> pd.Series:
    """The workload of each execution. Answers: whose was it?"""
    user = slow_queries["user"]
    return user.where(user.notna() & (user != ""), slow_queries["digest"]).rename("workload")


def exposures(slow_queries: pd.DataFrame, *, shortest_s: float = 0.0) -> pd.DataFrame:
    """The runs of each workload: one row an execution of at least `shortest_s`, by start.

    Answers: when did whose statement run, and where? `workload, instance, digest, thread_id, start, end` (UTC).
    """
    lasted = (slow_queries["ended_at"] - slow_queries["started_at"]).dt.total_seconds()
    runs = slow_queries.assign(workload=named(slow_queries))[lasted >= shortest_s]
    return (
        runs.rename(columns={"started_at": "start", "ended_at": "end"})[EXPOSURE_COLUMNS]
        .sort_values(["start", "end", "instance", "thread_id"], kind="stable")
        .reset_index(drop=True)
    )


def exposure_share(runs: pd.DataFrame, times: pd.DatetimeIndex, period_s: float) -> pd.DataFrame:
    """The share of each period in which a workload had at least one statement open [0 to 1].

    One row a period (index: its start, UTC), one column a workload; runs at the same time count once.
    """
    start = _seconds(times)
    shares = {
        workload: (_open_until(mine, start + period_s) - _open_until(mine, start)) / period_s
        for workload, mine in runs.groupby("workload")
    }
    return pd.DataFrame(shares, index=times)


def exposed_hours(runs: pd.DataFrame, window: Window) -> pd.Series:
    """How long each workload had a statement open inside the window [hours], by workload."""
    edges = _seconds(pd.DatetimeIndex([window.start, window.end]))
    hours = {
        workload: np.diff(_open_until(mine, edges))[0] / 3600 for workload, mine in runs.groupby("workload")
    }
    return pd.Series(hours, name="exposed_hours", dtype=float).rename_axis("workload")


def _open_until(runs: pd.DataFrame, moments: Array) -> Array:
    """For how long up to each moment at least one of the runs was open [s]."""
    starts, ends = _merged(_seconds(runs["start"]), _seconds(runs["end"]))
    knots = np.column_stack([starts, ends]).ravel()
    lasted = ends - starts
    before = np.cumsum(lasted) - lasted
    return np.interp(moments, knots, np.column_stack([before, before + lasted]).ravel())


def _merged(starts: Array, ends: Array) -> tuple[Array, Array]:
    """Overlapping runs as one."""
    order = np.argsort(starts, kind="stable")
    starts, reached = starts[order], np.maximum.accumulate(ends[order])
    first = np.concatenate([[True], starts[1:] > reached[:-1]])
    last = np.concatenate([first[1:], [True]])
    return starts[first], reached[last]


def _seconds(times: pd.Series | pd.DatetimeIndex) -> Array:
    """Seconds since 1970."""
    return pd.DatetimeIndex(times).as_unit("us").asi8 / 1e6
