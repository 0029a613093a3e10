"""Days of a real server, recorded in minutes: the plan, and the rows that are stored."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from machine import Meter

from aurora_analysis.lab import compressed
from aurora_analysis.lab.workload import Clock
from aurora_analysis.store import Store
from aurora_analysis.window import Window

FORTNIGHT = Window("2026-11-02", "2026-11-16")
DAYS, DAY_S = 2, 4.0
FACTOR = 86_400 / DAY_S
MINUTE = pd.Timedelta("1min")


@pytest.fixture(scope="module")
def recording(mariadbd: str, meter: Meter, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with two days of four seconds each."""
    store = Store(tmp_path_factory.mktemp("compressed"))
    meter.begin("recording")
    with meter.explaining():
        compressed.run(store, days=DAYS, day_length_s=DAY_S, seed=3)
    meter.end("recording")
    return store


@pytest.fixture(scope="module")
def plan() -> pd.DataFrame:
    return compressed.draw(FORTNIGHT, 1)


def test_each_hour_of_the_day_is_a_trial_of_its_own(plan):
    """The share of its slots with a run is fixed; both workloads have a row for each slot."""
    drawn = plan[plan["on_share"] < 1].groupby(["trial", "workload"])
    assert (drawn["assigned"].mean() == drawn["on_share"].first()).all()
    assert drawn.size().eq(14).all()
    assert len(drawn) == 12
    assert len(set(drawn["on_share"].first())) > 1


def test_a_run_leaves_its_slot_in_time_for_the_next(plan):
    """The effect of a run on the writer is over before the next slot begins."""
    drawn = plan[plan["on_share"] < 1]
    slot = drawn["time"].dt.floor("4h")
    assert (drawn["end"] - drawn["time"]).between(110 * MINUTE, 170 * MINUTE).all()
    assert (drawn["end"] <= slot + 200 * MINUTE).all()


def test_the_tied_workload_always_runs_with_the_nightly_job(plan):
    """Every day, with the same start and end: no trial."""
    nightly = plan[plan["trial"] == "nightly"]
    assert nightly["on_share"].eq(1).all()
    job, tied = (nightly[nightly["workload"] == name] for name in ("app", "finance"))
    assert (job["time"].to_numpy() == tied["time"].to_numpy()).all()
    assert (job["end"].to_numpy() == tied["end"].to_numpy()).all()
    assert len(job) == 14


def test_the_load_has_a_day_and_a_weekend():
    """Higher by day than at night, lower at the weekend, RATE on average."""
    times = pd.date_range(FORTNIGHT.start, FORTNIGHT.end, freq="min", inclusive="left")
    rate = pd.Series(compressed.planned_rate(FORTNIGHT, 1), times)
    by_hour = rate.groupby(rate.index.hour).mean()
    assert by_hour[12:16].mean() > 1.3 * by_hour[1:4].mean()
    assert rate[rate.index.day_of_week >= 5].mean() < 0.9 * rate[rate.index.day_of_week < 5].mean()
    assert rate.mean() == pytest.approx(compressed.RATE, rel=0.2)


def test_a_clock_stretches_time():
    """One second after the start is six minutes after midnight, and back."""
    clock = Clock(real_start=1000.5, recorded_start=86_400.0, factor=360)
    assert clock.recorded(1001.5) == 86_400 + 360
    assert clock.real(clock.recorded(1234.25)) == 1234.25
    assert Clock().recorded(17.5) == 17.5


@pytest.mark.real
def test_days_are_recorded_minute_by_minute(recording):
    """Two whole days up to midnight; every minute has its planned rate, and many have a sample."""
    span = recording.span("lab")
    assert span.duration == pd.Timedelta(days=DAYS)
    assert span.end.hour == span.end.minute == 0
    metrics = recording.read("metrics", cluster="lab")
    assert metrics["period_s"].eq(60).all()
    assert (metrics["time"] == metrics["time"].dt.floor("min")).all()
    counts = metrics[metrics["statistic"] == "average"].groupby("name").size()
    assert counts["planned_rate"] == counts["queue_throughput"] == 1440 * DAYS
    assert counts["history_list_length"] > 0.1 * 1440 * DAYS, "a sample takes longer than such a minute"


@pytest.mark.real
def test_runs_take_place_as_planned(recording):
    """They start on time, and slow queries of runs have their client's times."""
    trials = recording.read("trials", cluster="lab")
    ran = trials[trials["assigned"].astype(bool)]
    assert ran["started_at"].notna().all()
    assert trials.loc[~trials["assigned"].astype(bool), "started_at"].isna().all()
    late_s = (ran["started_at"] - ran["time"]).dt.total_seconds() / FACTOR
    assert late_s.between(0, 0.5).all()
    slow = recording.read("slow_queries", cluster="lab")
    assert {"app", "snowflake", "bi"} <= set(slow["user"]) <= set(compressed.USERS.values())
    lasted = (slow["ended_at"] - slow["started_at"]).dt.total_seconds()
    np.testing.assert_allclose(lasted, slow["query_time_s"], atol=1e-3)
    starts = set(zip(ran["workload"], ran["started_at"]))
    is_run = pd.Series([each in starts for each in zip(slow["user"], slow["started_at"])], slow.index)
    # On a busy machine, a short statement of the writer may be as slow as a run.
    assert set(slow["user"][~is_run]) <= {"app"}
    assert not set(slow["digest"][~is_run]) & set(slow["digest"][is_run])


@pytest.mark.real
def test_a_recording_is_marked_as_compressed(recording):
    """In the source of each row, in the coverage, and in the server's version."""
    note = f"time compressed {FACTOR:g} times: a day is {DAY_S:g} s of a real server"
    for name in ("metrics", "slow_queries", "trials", "statements", "instances", "coverage"):
        assert set(recording.read(name, cluster="lab")["source"]) == {"compressed"}, name
    assert recording.read("coverage", cluster="lab")["note"].str.endswith(note).all()
    assert recording.read("instances", cluster="lab")["engine_version"].str.endswith(note).all()
