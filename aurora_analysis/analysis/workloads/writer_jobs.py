"""Find the writer's own jobs, which may slow it independently of the readers.

Jobs enter the estimate beside the readers' workloads, and a workload that always runs with a job gets no verdict. A job
is a long statement in the writer's log, a digest whose load comes in bursts, or one that the settings name, by rules or
by the clock. A digest that runs all the time is not a job: its load rises when the writer is slow, whatever the cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time, timedelta
from typing import Protocol

import pandas as pd

from aurora_analysis.analysis.workloads import exposure
from aurora_analysis.analysis.workloads.exposure import OPEN_SESSIONS, REST, SPAN_COLUMNS, Tables
from aurora_analysis.analysis.workloads.rules import Rules
from aurora_analysis.window import Window, zone

BURSTS_NEEDED = 3
"""A digest with fewer bursts is an incident, not a job."""

BUSY_MOST = 0.25
"""A digest that is busy for a larger share of the time is the load itself, not a job [0 to 1]."""


class Daily(Protocol):
    """A job by the clock, as the settings define it: local start time and length in minutes."""

    @property
    def start(self) -> time:
        """Local start time."""

    @property
    def minutes(self) -> float:
        """Length in minutes."""


def jobs(
    tables: Tables,
    rules: Rules | None = None,
    daily: Mapping[str, Daily] | None = None,
    *,
    timezone: str = "UTC",
    shortest_s: float = 0.0,
) -> pd.DataFrame:
    """List the runs of the writer's jobs.

    Parameters
    ----------
    tables : Tables
        The writer's rows, as `Tables.on_writer` selects them.
    rules : mapping, optional
        Job → rules, the `[jobs]` of the settings. Default: each user's statements of at least `shortest_s`.
    daily : mapping, optional
        Job → its local start time and length.
    timezone : str, default "UTC"
        Time zone of `daily`.
    shortest_s : float, default 0
        Leave out shorter executions [s].

    Returns
    -------
    DataFrame
        `workload, start, end` (UTC), one row per run, ordered by start.
    """
    runs = exposure.exposure(tables, rules, shortest_s=shortest_s, role="writer").runs
    logged = runs[runs["digest"].notna() | runs["workload"].isin([*(rules or {})])]
    unlogged = tables.db_load[~tables.db_load["member"].isin(logged["digest"])]
    parts = [logged, bursts(unlogged), by_clock(daily or {}, tables.window, timezone)]
    found = pd.concat([part[SPAN_COLUMNS] for part in parts if len(part)] or [logged[SPAN_COLUMNS]])
    return found.sort_values("start", kind="stable", ignore_index=True)


def bursts(db_load: pd.DataFrame) -> pd.DataFrame:
    """Find digests that load the writer now and then and otherwise hardly at all.

    Parameters
    ----------
    db_load : DataFrame
        The writer's rows of db_load.

    Returns
    -------
    DataFrame
        `workload, start, end` (UTC), one row per burst; the workload is the digest.
    """
    observed = db_load["time"].nunique()
    sessions = db_load[(db_load["dimension"] == "sql") & (db_load["member"] != REST)]
    busy = sessions[sessions["active_sessions"] >= OPEN_SESSIONS].sort_values("time", kind="stable")
    period = pd.to_timedelta(busy["period_s"], unit="s")
    after_pause = busy.groupby("member")["time"].diff() > period
    begins = after_pause | ~busy["member"].duplicated()
    runs = (
        busy.assign(
            workload=busy["member"], end=busy["time"] + period, run=begins.groupby(busy["member"]).cumsum()
        )
        .groupby(["workload", "run"])
        .agg(start=("time", "min"), end=("end", "max"), periods=("time", "size"))
        .reset_index()
    )
    each = runs.groupby("workload")["periods"].agg(["size", "sum"])
    jobs = each[(each["size"] >= BURSTS_NEEDED) & (each["sum"] <= BUSY_MOST * observed)].index
    return runs.loc[runs["workload"].isin(jobs), SPAN_COLUMNS].reset_index(drop=True)


def by_clock(daily: Mapping[str, Daily], window: Window, timezone: str) -> pd.DataFrame:
    """List the runs of jobs that start every day at the same local time, whether or not any source shows them.

    Parameters
    ----------
    daily : mapping
        Job → its local start time and length.
    window : Window
        The window.
    timezone : str
        Time zone of the start times.

    Returns
    -------
    DataFrame
        `workload, start, end` (UTC), one row per run that overlaps the window.
    """
    local = zone(timezone)
    first = window.start.astimezone(local).date() - timedelta(days=1)
    days = pd.date_range(first, window.end.astimezone(local).date(), freq="D")
    rows = [
        (name, day + pd.Timedelta(job.start.isoformat()), job.minutes)
        for name, job in daily.items()
        for day in days
    ]
    runs = pd.DataFrame(rows, columns=["workload", "start", "minutes"]).astype({"start": "datetime64[us]"})
    start = (
        runs["start"].dt.tz_localize(local, ambiguous=True, nonexistent="shift_forward").dt.tz_convert("UTC")
    )
    end = start + pd.to_timedelta(runs["minutes"].astype(float), unit="min")
    inside = (end > window.start) & (start < window.end)
    found: pd.DataFrame = runs.assign(start=start, end=end).loc[inside, SPAN_COLUMNS]
    return found.reset_index(drop=True)
