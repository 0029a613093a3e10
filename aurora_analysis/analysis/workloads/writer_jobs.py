"""What the writer does itself, now and then, and may be slow from: its jobs.

A job stands beside a reader's workload in the estimate, and a workload that always runs with one is refused. It is a
long statement of the writer's log, a digest whose load comes in bursts, or what the settings name, by rules or by the
clock. What runs all the time is no job: its load rises when the writer is slow, whatever slowed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time, timedelta
from typing import Protocol

import pandas as pd

from aurora_analysis.analysis.workloads import exposure
from aurora_analysis.analysis.workloads.exposure import OPEN_SESSIONS, REST, SPAN_COLUMNS
from aurora_analysis.analysis.workloads.rules import Rules
from aurora_analysis.window import Window, zone

BURSTS_NEEDED = 3
"""What happens once or twice is an incident."""

BUSY_MOST = 0.25
"""A digest that is busy for more of the time is no job but the load itself."""


class Daily(Protocol):
    """A job by the clock, as the settings tell it."""

    @property
    def start(self) -> time: ...
    @property
    def minutes(self) -> float: ...


def jobs(
    slow_queries: pd.DataFrame,
    db_load: pd.DataFrame,
    coverage: pd.DataFrame,
    instances: pd.DataFrame,
    window: Window,
    rules: Rules | None = None,
    daily: Mapping[str, Daily] | None = None,
    *,
    timezone: str = "UTC",
    shortest_s: float = 0.0,
) -> pd.DataFrame:
    """When each job of the writer ran: `workload, start, end` (UTC), one row a run. Answers: was it busy with itself?

    All are tables of the store, of one window; of `slow_queries` and `db_load` the writer's rows. Rules are the
    settings' `[jobs]`; without any the log's statements of at least `shortest_s` are told by their user.
    """
    known = exposure.exposure(
        slow_queries, db_load, coverage, instances, window, rules, shortest_s=shortest_s, role="writer"
    ).runs
    told = known[known["digest"].notna() | known["workload"].isin([*(rules or {})])]
    beyond = db_load[~db_load["member"].isin(told["digest"])]
    parts = [told, bursts(beyond), by_clock(daily or {}, window, timezone)]
    found = pd.concat([part[SPAN_COLUMNS] for part in parts if len(part)] or [told[SPAN_COLUMNS]])
    return found.sort_values("start", kind="stable", ignore_index=True)


def bursts(db_load: pd.DataFrame) -> pd.DataFrame:
    """The digests that load the writer now and then and else hardly, each burst as a run."""
    observed = db_load["time"].nunique()
    sessions = db_load[(db_load["dimension"] == "sql") & (db_load["member"] != REST)]
    busy = sessions[sessions["active_sessions"] >= OPEN_SESSIONS].sort_values("time", kind="stable")
    period = pd.to_timedelta(busy["period_s"], unit="s")
    apart = busy.groupby("member")["time"].diff() > period
    begins = apart | ~busy["member"].duplicated()
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
    """The runs of jobs that start every day at the same local time, whether or not anything tells of them."""
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
    return runs.assign(start=start, end=end)[inside][SPAN_COLUMNS].reset_index(drop=True)
