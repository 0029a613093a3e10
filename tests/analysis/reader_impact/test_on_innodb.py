"""On a fortnight of a real InnoDB the estimator sees what a randomised schedule measured there."""

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
def test_the_culprit_is_found_and_its_interval_holds_the_truth(found, metric):
    """The draw tells the effect of the extracts on what walks over the undo that they hold."""
    culprit = found.loc[fortnight.CULPRIT, metric]
    assert culprit["level"] == "slows"
    assert culprit["outcome"] == "contains the truth"
    assert culprit["ci_low_pct_truth"] > 5


def test_the_harmless_workload_is_not_blamed(found):
    """As long and as often as the culprit, by the same estimator on the same minutes."""
    harmless = found.loc[fortnight.HARMLESS]
    assert not harmless["level"].isin(fortnight.BLAMED).any()
    assert (harmless.loc["queue_latency", ["ci_low_pct", "ci_high_pct"]].abs() < 10).all()


def test_what_is_tied_to_the_nightly_job_is_refused(found):
    """Nobody can tell the two apart; the job is named."""
    tied = found.loc[fortnight.TIED]
    assert tied["level"].eq("cannot tell").all()
    assert tied["reason"].str.contains("writer job app").all()


def test_the_recording_says_that_its_time_is_compressed():
    """In its source and its note, by which a report marks every page."""
    covered = Store(fortnight.KEPT).read("coverage", cluster="lab")
    assert set(covered["source"]) == {"compressed"}
    assert covered["note"].str.contains("time compressed 360 times").all()
