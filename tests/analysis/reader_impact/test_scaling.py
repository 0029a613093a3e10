"""Capacity that follows load stands beside the effect; a reader that autoscaling adds is a confounder."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from impact_cases import design, minutes, runs, scattered, slowed, writer

from aurora_analysis import Window
from aurora_analysis.analysis import reader_impact
from aurora_analysis.analysis.experiment import EFFECT_COLUMNS
from aurora_analysis.analysis.reader_impact.scaling import Scaling
from aurora_analysis.analysis.reader_impact.verdicts import GROWTH_COLUMNS, Evidence
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.analysis.workloads.exposure import SOURCE_COLUMNS, Exposure

DAYS = 8
WINDOW = Window("2026-11-02", "2026-11-10")
EXTRACT = scattered(DAYS)


def spans(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns={"workload": "reader"})


def widened(by: pd.DataFrame) -> pd.DataFrame:
    """From ten minutes before each run to an hour after it, `auto-1` exists."""
    return by.assign(
        workload="auto-1", start=by["start"] - pd.Timedelta("10min"), end=by["end"] + pd.Timedelta("1h")
    )


def printed(present: pd.DataFrame, raised: pd.DataFrame) -> Verdict:
    """The verdict on `extract` if the writer is 20 % slower during `raised` and `auto-1` exists during `present`."""
    latency, load = writer(DAYS)
    table = reader_impact.effects(
        design(slowed(latency, raised, 20), load, EXTRACT, blind_readers=spans(present))
    )
    sources = pd.DataFrame([("auto-1", 20.0, 0.0, 0.0, 1.0)], columns=SOURCE_COLUMNS)
    exposure = Exposure(EXTRACT, EXTRACT[:0], sources, spans(present))
    grown = pd.DataFrame([("extract", 19.0, *[np.nan] * 7)], columns=GROWTH_COLUMNS)
    evidence = Evidence(pd.DataFrame(columns=EFFECT_COLUMNS), table, grown, 1.0, WINDOW, exposure)
    return reader_impact.verdicts(evidence)[0]


def test_a_reader_without_a_log_at_the_same_hours_is_a_confounder():
    """The slowdown lasts as long as the reader exists: nobody knows which of the two caused it."""
    present = widened(EXTRACT)
    found = printed(present, present)
    assert (found.level, found.severity) == ("cannot tell", "unknown")
    assert "confounded with the presence of reader auto-1" in found.sentence
    assert "fetch the slow log or Performance Insights of the reader that no source shows" in found.sentence
    assert "effect_pct" not in {name for name, value in found.numbers.items() if value is not None}


@pytest.mark.parametrize(("raised", "level"), [("reader", "inconclusive"), ("extract", "slows")])
def test_a_reader_without_a_log_at_other_hours_is_held_constant(raised, level):
    """What its statements cost is no effect of the workload, and the workload's own effect is still found."""
    present = scattered(DAYS, seed=11, each=2).assign(workload="auto-1")
    present["end"] += pd.Timedelta("2h")
    found = printed(present, {"reader": present, "extract": EXTRACT}[raised])
    assert found.level == level
    assert "No source shows what ran on auto-1 (some existed for" in found.evidence


def capacity(during: float, otherwise: float) -> pd.Series:
    """Capacity by minute [ACU] during the runs of `extract` and otherwise."""
    values = pd.Series(otherwise, minutes(DAYS))
    for run in EXTRACT.itertuples():
        values[run.start.floor("min") : run.end.floor("min")] = during
    return values


def test_capacity_that_grows_with_a_workload_stands_beside_its_effect():
    """An effect that is small because the writer scaled is not read as free."""
    shown = Scaling(capacity(12, 8), capacity(100, 60), WINDOW).remark("extract", EXTRACT)
    assert (
        "averaged 12 ACU while it ran and 8 ACU at the same hours without it (2026-11-02 to 2026-11-09)"
        in shown
    )
    assert "for 100 % of that time it was at its maximum" in shown


def test_capacity_that_the_store_lacks_is_not_silent():
    """The verdict on a serverless writer states that its capacity is not known."""
    nothing = capacity(1, 1)[:0]
    assert "capacity beside these runs is not known" in Scaling(nothing, nothing, WINDOW).remark(
        "extract", EXTRACT
    )
    one = runs((1, 1.1))
    assert "is not known" in Scaling(capacity(2, 1)[:100], nothing, WINDOW).remark("extract", one)
