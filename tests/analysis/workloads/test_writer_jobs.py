"""The writer's own jobs: bursts of load, and jobs by the clock."""

from __future__ import annotations

import pandas as pd

from aurora_analysis import Window, config
from aurora_analysis.analysis.workloads import writer_jobs

START = pd.Timestamp("2026-11-09T10:00", tz="UTC")


def load(*rows: tuple[int, str, str, float]) -> pd.DataFrame:
    """Periods of a minute on db-2: minute, dimension, member, active sessions."""
    frame = pd.DataFrame(rows, columns=["minute", "dimension", "member", "active_sessions"])
    times = pd.DatetimeIndex(START + pd.to_timedelta(frame["minute"], unit="min")).as_unit("us")
    return frame.assign(time=times, period_s=60.0, instance="db-2")


def minutes(spans: pd.DataFrame, name: str) -> list[tuple[float, float]]:
    """A job's spans in minutes."""
    mine = spans[spans["workload"] == name]
    offsets = [(mine[edge] - START).dt.total_seconds() / 60 for edge in ("start", "end")]
    return list(zip(*(list(offset) for offset in offsets)))


def test_digests_that_come_in_bursts_are_jobs():
    """Three bursts make a job; a digest that always runs, or ran once, is not a job."""
    rows = [(n, "sql", "purge-batch", 2.0) for n in (0, 1, 20, 21, 40)]
    rows += [(n, "sql", "insert", 3.0 if n in (0, 1, 20) else 1.0) for n in range(60)] + [
        (9, "sql", "once", 9.0)
    ]
    found = writer_jobs.bursts(load(*rows))
    assert minutes(found, "purge-batch") == [(0, 2), (20, 22), (40, 41)]
    assert set(found["workload"]) == {"purge-batch"}


def test_a_job_by_the_clock_follows_local_time():
    """02:00 in Berlin is 00:00 UTC before the clocks change, and 01:00 after."""
    daily = config.groups("[jobs.backup]\ndaily = '02:00'\nminutes = 40").daily
    found = writer_jobs.by_clock(daily, Window("2026-10-24", "2026-10-27"), "Europe/Berlin")
    assert [f"{start:%d %H:%M}" for start in found["start"]] == ["24 00:00", "25 00:00", "26 01:00"]
    assert set((found["end"] - found["start"]).dt.total_seconds()) == {2400.0}
