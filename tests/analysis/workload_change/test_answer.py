"""The answer on workload change: what a reader of the sample reads, and what an empty window yields."""

from __future__ import annotations

import pandas as pd
import pytest

from aurora_analysis import Store, Window, observe
from aurora_analysis.analysis import workload_change
from aurora_analysis.errors import Error

WEEK = Window("2026-11-09", "2026-11-16")
EMPTY = Window("2020-11-09", "2020-11-16")


@pytest.fixture(scope="module")
def sample() -> workload_change.Answer:
    """The sample's last week against the week before, with an objective."""
    return workload_change.answer(observe(Store(), WEEK, "shop"), limits={"commit_latency": 1000.0})


def test_the_sample_has_a_new_statement_in_an_ordinary_week(sample):
    """Five earlier weeks show what is usual; a statement that appears needs no statistics."""
    assert [(one.subject, one.level, one.headline) for one in sample.verdicts] == [
        ("objective: commit latency", "within budget", "The commit latency objective was met"),
        ("statements", "new statement", "A new statement takes a heavy share of the load"),
        ("shop-2", "ordinary", "The workload of shop-2 is within its usual weekly variation"),
        ("shop-3", "ordinary", "The workload of shop-3 is within its usual weekly variation"),
        ("writer", "ordinary", "The workload of the writer is within its usual weekly variation"),
    ]


def test_too_few_weeks_cannot_show_what_is_usual():
    """The sample's second week has one to compare with."""
    found = workload_change.answer(observe(Store(), Window("2026-10-12", "2026-10-19"), "shop"))
    levels = {one.subject: one.level for one in found.verdicts}
    assert levels == {"statements": "unknown", "shop-2": "unknown", "shop-3": "unknown", "writer": "unknown"}


def test_the_frames_support_the_verdicts(sample):
    """The new statement is in the ranking, each role has its changes, and the failover is listed."""
    assert sample.moves.loc[sample.moves["move"] == "new", "digest"].to_list() == ["790f54aa979b1d61"]
    assert set(sample.role_changes["role"]) == {"writer", "shop-2", "shop-3"}
    assert (sample.role_changes["digest"] == "").all()
    assert sample.statement_changes["digest"].nunique() == 10
    assert "failover" in set(sample.settings["what"])
    assert sample.windows["value"].to_list() == [str(WEEK), str(WEEK.previous()), "5"]
    assert {one.role for one in sample.sparklines} == {"writer", "shop-1", "shop-2", "shop-3"}


def test_a_named_window_is_compared(sample):
    """A window as start/end is compared by hours of the day, because its weekdays differ."""
    found = workload_change.answer(
        observe(Store(), WEEK, "shop"), "2026-11-03T00:00/2026-11-05T00:00", materiality_pct=5.0
    )
    assert found.windows.loc["compared with", "value"] == str(Window("2026-11-03", "2026-11-05"))
    assert set(found.role_changes["matched_by"]) == {"hour"}


def test_an_empty_window_is_unknown():
    """No rows: an unknown verdict, and frames without rows, but no error."""
    found = workload_change.answer(observe(Store(), EMPTY, "shop"), limits={"commit_latency": 5.0})
    assert {one.level for one in found.verdicts} == {"unknown"}
    assert found.changes.empty
    assert found.moves.empty
    assert found.statement_changes.empty
    assert isinstance(workload_change.summary(found.role_changes), pd.DataFrame)


def test_an_unknown_baseline_is_an_error():
    """The message names the baseline."""
    with pytest.raises(Error, match="nosuch"):
        workload_change.answer(observe(Store(), WEEK, "shop"), "nosuch")
