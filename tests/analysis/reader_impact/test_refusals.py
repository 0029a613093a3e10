"""An effect that the data cannot identify is refused, and the reason is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from impact_cases import design, runs, scattered, writer

from aurora_analysis.analysis import reader_impact


@pytest.mark.parametrize(
    ("exposures", "reason"),
    [
        (runs((5, 6), (30, 31), (60, 61)), "too few runs: 3 on 3 days"),
        (runs(*[(24 * day + 10, 24 * day + 10.5) for day in range(8)]), "always runs at about 10:00"),
        (runs(*[(24 * day + 2, 24 * day + 3) for day in range(8)]), "confounded with writer job batch"),
    ],
    ids=["few", "clock", "job"],
)
def test_a_refusal_names_the_confounder(exposures, reason):
    """A refused effect has no number, but a reason and a way to settle the question."""
    jobs = runs(*[(24 * day + 2, 24 * day + 3) for day in range(8)], workload="batch")
    row = reader_impact.effects(design(*writer(), exposures, writer_jobs=jobs)).iloc[0]
    assert row["level"] == "cannot tell"
    assert reason in row["reason"]
    assert np.isnan(row["effect_pct"])
    assert "To settle this, " in row["sentence"]


def test_workloads_that_always_run_together_are_inseparable():
    """Each of the two names the other one in its refusal."""
    one = scattered(workload="one")
    table = reader_impact.effects(design(*writer(), pd.concat([one, one.assign(workload="two")])))
    assert table.set_index("workload")["reason"].to_dict() == {
        "one": "it is inseparable from workload two",
        "two": "it is inseparable from workload one",
    }


@pytest.mark.parametrize(
    ("days", "exposures", "reason"),
    [
        (3, scattered(3, each=9), "the window has 3 days with data, 7 are needed"),
        (8, runs((900, 901)), "it has no run inside the window"),
        (8, runs(*[(hour, hour + 0.01) for hour in range(5, 190, 7)]), "it ran for 16 minutes in total"),
    ],
    ids=["short", "outside", "seldom"],
)
def test_too_little_is_unknown(days, exposures, reason):
    """The reason states what is missing: days, runs or minutes."""
    row = reader_impact.effects(design(*writer(days), exposures)).iloc[0]
    assert row["level"] == "unknown"
    assert reason in row["reason"]


def test_gaps_are_not_filled():
    """A metric with most of its minutes missing is unknown; the other metric is still estimated."""
    latency, load = writer()
    latency = latency.assign(dml_latency=latency["commit_latency"].where(np.arange(len(latency)) % 3 == 0))
    table = reader_impact.effects(design(latency, load, scattered())).set_index("metric")
    assert table.loc["dml_latency", "reason"] == "only 33% of the minutes have both latency and load"
    assert table.loc["commit_latency", "level"] == "no material effect"


def test_too_much_unknown_exposure_is_unknown():
    """The reason names the unknown exposure."""
    latency, load = writer()
    blind = runs((0, 5 * 24))
    row = reader_impact.effects(design(latency, load, scattered(), unknown=blind)).iloc[0]
    assert row["level"] == "unknown"
    assert "its exposure is unknown" in row["reason"]


def test_a_workload_that_always_runs_has_no_comparison_minutes():
    """A dashboard that queries every minute is refused for running always, not for its time of day."""
    always = runs(*[(minute / 60, (minute + 0.3) / 60) for minute in range(0, 8 * 1440, 1)])
    row = reader_impact.effects(design(*writer(), always)).iloc[0]
    assert row["level"] == "cannot tell"
    assert "it runs in 100 % of all minutes" in row["reason"]


@pytest.mark.parametrize("days", [1, 2, 700])
def test_a_window_of_minutes_is_unknown_not_an_exception(days):
    """A window of 1, 2 or 700 minutes raises no exception."""
    row = reader_impact.effects(design(*writer(days / 1440), runs((0, 0.5)))).iloc[0]
    assert row["level"] == "unknown"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_without_any_latency_nothing_is_assessed(value):
    """A metric that is missing everywhere is unknown, without a numpy warning."""
    latency, load = writer()
    row = reader_impact.effects(design(latency * 0 + value, load, scattered())).iloc[0]
    assert row["level"] == "unknown"
    assert row["reason"] == "only 0% of the minutes have both latency and load"
