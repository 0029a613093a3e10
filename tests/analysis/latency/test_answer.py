"""The answer on latency: what a reader of the sample reads, and what an empty window yields."""

from __future__ import annotations

import pytest

from aurora_analysis import Store, Window, observe
from aurora_analysis.analysis import latency

WEEK = Window("2026-11-09", "2026-11-16")
LAB = Window("2026-11-23T11:08:53", "2026-11-23T11:50:53")
EMPTY = Window("2020-11-09", "2020-11-16")


@pytest.fixture(scope="module")
def lab() -> latency.Answer:
    """The lab's recording, which has histograms and no previous window."""
    return latency.answer(observe(Store(), LAB, "lab"))


def test_the_lab_has_no_window_to_compare_with(lab):
    """Without a previous window, whether latency shifted is unknown."""
    assert [(one.subject, one.level, one.headline) for one in lab.verdicts] == [
        ("lab-reader", "unknown", "Unknown whether latency on lab-reader shifted"),
        ("lab-writer", "unknown", "Unknown whether latency on lab-writer shifted"),
    ]
    assert lab.shifts.empty


def test_the_frames_describe_the_log_and_the_histograms(lab):
    """The log starts at 2 ms; its share of all statements is known on the writer only."""
    assert lab.cuts["long_query_time_ms"].to_list() == [2.0, 2.0]
    assert lab.instances["instance"].to_list() == ["lab-reader", "lab-writer"]
    assert lab.top["digest"].nunique() == len(lab.statements) == 5
    assert lab.statements["fingerprint"].str.len().max() <= 70
    assert lab.identified["statements"].isna().to_list() == [True, False]
    assert set(lab.histograms["instance"]) == {"lab-writer"}
    assert set(lab.counted["instance"]) == {"lab-writer"}


def test_each_instance_of_a_week_is_compared_with_the_week_before():
    """The shifts of the verdict's quantile belong to the same instances."""
    found = latency.answer(observe(Store(), WEEK, "shop"))
    judged = {one.subject: one.numbers["shift_pct"] for one in found.verdicts}
    shifts = found.shifts[found.shifts["quantile"] == 0.95].set_index("instance")["shift_pct"]
    assert judged == pytest.approx(shifts.to_dict(), abs=1e-4)
    assert set(judged) == {"shop-1", "shop-2", "shop-3"}


def test_an_empty_window_is_unknown():
    """No rows: one unknown verdict, and frames without rows, but no error."""
    found = latency.answer(observe(Store(), EMPTY, "shop"))
    assert [(one.subject, one.level) for one in found.verdicts] == [("all instances", "unknown")]
    assert found.executions.empty
    assert found.shifts.empty
    assert found.histograms.empty
