"""The simulated writer shows the planted effects."""

from __future__ import annotations

import numpy as np
import pytest

from aurora_analysis import Window
from aurora_analysis.lab import simulate

DAYS = Window("2026-11-02", "2026-11-07")
PLAN = simulate.plan(3, DAYS)
COURSE = simulate.course(PLAN)


def exposed(workload: str) -> np.ndarray:
    """The minutes that the workload's statements fill."""
    return simulate.share(PLAN, PLAN.runs.loc[PLAN.runs["workload"] == workload, ["start", "end"]]) == 1


def test_the_plan_follows_from_the_seed():
    """The same seed draws the same runs, another one others."""
    assert PLAN.runs.equals(simulate.plan(3, DAYS).runs)
    assert not PLAN.runs.equals(simulate.plan(4, DAYS).runs)


def test_snowflake_slows_the_writer_by_the_planted_effect():
    """The mean of the undo log's part over its minutes is EFFECT."""
    effect = np.expm1(COURSE.undo_effect[simulate.share(PLAN, spans_of("snowflake")) > 0].mean())
    assert effect == pytest.approx(simulate.EFFECT, abs=1e-6)


def spans_of(workload: str):
    return PLAN.runs.loc[PLAN.runs["workload"] == workload, ["start", "end"]]


def test_tableau_runs_as_often_and_as_long_without_effect():
    """While it runs and no other workload holds a view, the history list stays short."""
    counts = PLAN.runs.groupby("workload").size()
    assert counts["tableau"] == counts["snowflake"]
    others = PLAN.runs.loc[PLAN.runs["holds_view"], ["start", "view_end"]].to_numpy() + [0, 60]
    alone = exposed("tableau") & (simulate.share(PLAN, others) == 0)
    assert alone.sum() > 300
    assert COURSE.history[alone].max() < 3 * simulate.COMMITS_PER_MINUTE


def test_finance_always_runs_with_the_batch():
    """There is no batch without it, and it lies within a minute of the batch."""
    runs = PLAN.runs.query("workload == 'finance'")[["start", "end"]].to_numpy()
    assert len(runs) == len(PLAN.batches) == 5
    assert np.abs(runs - PLAN.batches).max() < 1


def test_the_boundary_stands_still_while_a_view_is_held():
    """It does not move during an extract, and the history list grows by the committed transactions."""
    start, end = PLAN.runs.query("workload == 'snowflake'")[["start", "end"]].to_numpy()[0]
    inside = slice(int(start) + 2, int(end) - 1)
    assert np.ptp(COURSE.purge_boundary[inside]) == 0
    grown = COURSE.history[inside][-1] - COURSE.history[inside][0]
    assert grown == pytest.approx(COURSE.commits[inside].sum(), rel=0.1)


def test_no_run_crosses_the_failover():
    """Sessions end at a failover."""
    assert not ((PLAN.runs["start"] < PLAN.failover) & (PLAN.runs["view_end"] > PLAN.failover)).any()
