"""Effects contain the planted truth, agree with a second implementation, and leave out what is unknown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from impact_cases import START, design, minutes, runs, scattered, slowed, writer

from aurora_analysis.analysis import reader_impact
from aurora_analysis.analysis.reader_impact.findings import BEFORE_START
from aurora_analysis.analysis.verdict import percent
from aurora_analysis.errors import Error

sys.path.insert(0, str(Path(__file__).parent))

import reader_impact_plain

FROZEN = json.loads((Path(__file__).parent / "reader_impact_cases.json").read_text())


@pytest.mark.parametrize("seed", range(reader_impact_plain.CASES))
def test_a_second_plain_implementation_agrees(seed):
    """Effect, interval [%] and p of twenty frozen cases, to a millionth of a per cent."""
    arguments, options = reader_impact_plain.frames(reader_impact_plain.case(seed))
    # Only the numbers are frozen: refused cases have none and are skipped.
    table = reader_impact.effects(design(*arguments, **options)).set_index("workload")
    numbers = table[["effect_pct", "alone_low_pct", "alone_high_pct", "p"]]
    listed = numbers.dropna()
    assert len(listed)
    for workload, row in listed.iterrows():
        assert row.to_list() == pytest.approx(FROZEN[seed][workload], abs=1e-6)


def test_the_frozen_table_comes_from_the_plain_implementation():
    """Recomputing the smallest case gives the frozen row, so the table was not edited."""
    seed = min(
        range(reader_impact_plain.CASES),
        key=lambda n: (len(FROZEN[n]), len(reader_impact_plain.case(n)["load"])),
    )
    again = reader_impact_plain.plain(reader_impact_plain.case(seed))
    assert {name: list(row) for name, row in again.items()} == {
        name: pytest.approx(row, abs=1e-9) for name, row in FROZEN[seed].items()
    }


def test_the_sentence_states_a_planted_effect():
    """Level, effect, interval and coverage of one workload and metric, in numbers and in words."""
    latency, load = writer()
    exposures = scattered()
    row = reader_impact.effects(design(slowed(latency, exposures, 10), load, exposures)).iloc[0]
    assert row["level"] == "slows"
    assert row["ci_low_pct"] < 10 < row["ci_high_pct"]
    assert row["sentence"].startswith(
        f"While extract's queries run, the writer's commit latency is {percent(row['effect_pct'])} % higher"
    )
    assert f"{row['runs']} runs on {row['days']} days" in row["sentence"]


@pytest.mark.parametrize("percent", [100, 400])
def test_a_large_effect_is_not_treated_as_an_outlier(percent):
    """An effect of 100 or 400 % lies in its interval, because only residuals are winsorised."""
    latency, load = writer()
    exposures = scattered().assign(start=lambda frame: frame["start"].dt.floor("min"))
    exposures = exposures.assign(end=exposures["start"] + pd.Timedelta("19min 59s"))
    row = reader_impact.effects(design(slowed(latency, exposures, percent), load, exposures)).iloc[0]
    assert row["ci_low_pct"] < percent < row["ci_high_pct"]


def test_a_harmless_workload_has_no_material_effect():
    """The whole interval lies inside the materiality, and the sentence does not call it zero."""
    latency, load = writer()
    row = reader_impact.effects(design(latency, load, scattered())).iloc[0]
    assert row["level"] == "no material effect"
    assert row["reason"] == ""


def test_a_workload_that_runs_near_the_culprit_is_not_blamed():
    """The bystander runs within 20 minutes of the culprit and has no material effect."""
    latency, load = writer()
    culprit = scattered(workload="culprit")
    away = pd.to_timedelta(np.random.default_rng(5).uniform(-20, 20, len(culprit)), unit="min")
    near = culprit.assign(workload="bystander", start=culprit["start"] + away, end=culprit["end"] + away)
    table = reader_impact.effects(design(slowed(latency, culprit, 10), load, pd.concat([culprit, near])))
    assert table.set_index("workload")["level"].to_dict() == {
        "bystander": "no material effect",
        "culprit": "slows",
    }


def test_among_many_workloads_the_strongest_are_controls_for_all_others():
    """Two strong workloads among fourteen are found, and the others' detectable effect stays below 3 %."""
    latency, load = writer()
    many = [scattered(seed=seed, workload=f"w{seed:02d}") for seed in range(14)]
    latency = slowed(slowed(latency, many[3], 30), many[7], 30)
    table = reader_impact.effects(design(latency, load, pd.concat(many))).set_index("workload")
    assert table.index[table["level"] == "slows"].to_list() == ["w03", "w07"]
    assert (table.drop(["w03", "w07"])["smallest_detectable_pct"].dropna() < 3).all()


def test_minutes_of_unknown_exposure_are_not_unexposed():
    """Half of the runs are unlisted: counted as unexposed they dilute the effect, left out they do not."""
    latency, load = writer()
    ran = scattered(each=5)
    listed, unlisted = ran[::2], ran[1::2]
    slow = slowed(latency, ran, 30)
    whole, believed, left_out = (
        reader_impact.effects(design(slow, load, exposures, unknown=unknown)).loc[0, "effect_pct"]
        for exposures, unknown in ((ran, None), (listed, None), (listed, unlisted))
    )
    assert believed < whole - 2
    assert left_out == pytest.approx(whole, abs=1)


def test_a_failover_is_masked_and_each_writer_has_its_own_level():
    """A slower machine from the sixth day on is not an effect of the workload."""
    latency, load = writer(10)
    moved = minutes(10)[7000]
    latency.loc[moved:] *= 1.5
    writers = pd.DataFrame(
        {"start": [START, moved], "end": [moved, START + pd.Timedelta("10D")], "writer": ["one", "two"]}
    )
    late = scattered(10).loc[lambda frame: frame["start"] > START + pd.Timedelta("3D")]
    row = reader_impact.effects(design(latency, load, late, writers=writers)).iloc[0]
    assert row["level"] == "no material effect"


def test_every_variant_of_a_clear_effect_has_its_sign():
    """All variants agree on a planted effect of 10 %, and there is no effect before the start."""
    latency, load = writer()
    exposures = scattered()
    jobs = runs(*[(24 * day + 2, 24 * day + 3) for day in range(8)], workload="batch")
    table = reader_impact.sensitivity(
        design(slowed(latency, exposures, 10), load, exposures, writer_jobs=jobs)
    ).set_index("variant")
    assert (table.drop(BEFORE_START)["effect_pct"] > 5).all()
    assert (table.loc[BEFORE_START, "effect_pct"].abs() < 3).all()


def test_quantiles_shift_with_the_mean():
    """A constant factor shifts every quantile of the minute means by the same percentage."""
    latency, load = writer()
    exposures = scattered()
    table = reader_impact.quantile_effects(
        design(slowed(latency, exposures, 10), load, exposures), quantiles=(0.5, 0.9)
    )
    assert (table["ci_low_pct"] < 10).all()
    assert (table["ci_high_pct"] > 8).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 5}, "alpha is 5"),
        ({"materiality_pct": 0}, "materiality_pct is 0"),
        ({"placebos": -1}, "placebos is -1"),
    ],
)
def test_options_out_of_range_are_one_clear_line(options, message):
    """An option out of range is named with its value."""
    with pytest.raises(Error, match=message):
        reader_impact.effects(design(*writer(), scattered()), **options)


@pytest.mark.parametrize("quantiles", [[], [0.5, 1.0]])
def test_quantiles_lie_between_0_and_1(quantiles):
    """The maximum has no standard error, so 1.0 is refused."""
    with pytest.raises(Error, match="must be between 0 and 1"):
        reader_impact.quantile_effects(design(*writer(), scattered()), quantiles=quantiles)


def test_zero_and_infinite_latencies_are_missing():
    """Zero means that nothing was committed; a constant latency is still assessed."""
    latency, load = writer()
    latency = latency.assign(constant=4.0)
    latency.iloc[::50, 0] = 0
    latency.iloc[1::50, 0] = np.inf
    table = reader_impact.effects(design(latency, load, scattered()))
    assert table["level"].to_list() == ["no material effect", "no material effect"]


@pytest.mark.parametrize("days", [0.001, 0.5, 8])
def test_no_runs_no_rows(days):
    """An empty table has the same columns, however short the window."""
    table = reader_impact.effects(design(*writer(days), scattered()[:0]))
    assert table.columns.to_list() == reader_impact.COLUMNS
    assert table.empty
