"""On a two-week recording of a real InnoDB the estimate agrees with the randomised schedule."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from aurora_analysis import Store

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

import fortnight


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    """Truth and estimate of the kept recording, by workload and metric."""
    return fortnight.compared(Store(fortnight.KEPT), "lab").set_index(["workload", "metric"])


@pytest.mark.parametrize("metric", ["queue_latency", "select_latency"])
def test_the_culprit_is_found_and_its_interval_contains_the_truth(found, metric):
    """The randomised schedule gives the true effect on statements that walk over retained undo."""
    culprit = found.loc[fortnight.CULPRIT, metric]
    assert culprit["level"] == "slows"
    assert culprit["outcome"] == "contains the truth"
    assert culprit["ci_low_pct_truth"] > 5


def test_the_harmless_workload_is_not_blamed(found):
    """It runs as long and as often as the culprit, on the same minutes."""
    harmless = found.loc[fortnight.HARMLESS]
    assert not harmless["level"].isin(fortnight.BLAMED).any()
    assert (harmless.loc["queue_latency", ["ci_low_pct", "ci_high_pct"]].abs() < 10).all()


def test_a_workload_tied_to_the_nightly_job_is_refused(found):
    """The two cannot be separated, and the refusal names the job."""
    tied = found.loc[fortnight.TIED]
    assert tied["level"].eq("cannot tell").all()
    assert tied["reason"].str.contains("writer job app").all()


def test_the_recording_is_marked_as_compressed():
    """A report marks every page by the recording's source and note."""
    covered = Store(fortnight.KEPT).read("coverage", cluster="lab")
    assert set(covered["source"]) == {"compressed"}
    assert covered["note"].str.contains("time compressed 360 times").all()
