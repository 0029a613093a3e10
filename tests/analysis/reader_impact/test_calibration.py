"""A small calibration: false positives, power and refusals on simulated fortnights."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from calibration import everyday, levels, simulator, study

SMOKE = ["uniform", "office", "batch_partial", "accomplice", "batch_exact", "trigger"]
IDENTIFIABLE = SMOKE[:4]
SMOKE_SEEDS = 3
"""A smoke test of the simulated truths; `dev.py calibrate` measures the rates on 400 fortnights a scenario (B1 to B7)."""


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> pd.DataFrame:
    """Verdicts on three simulated fortnights of six scenarios, without an effect and with 10 %."""
    cases = study.cases(SMOKE, 100, SMOKE_SEEDS)
    path = tmp_path_factory.mktemp("calibration") / "smoke.jsonl"
    return study.run(study.smoke_verdicts, cases, path, processes=1, log=io.StringIO())


def test_few_false_positives_where_nothing_happens(smoke):
    """At most 15 % of the null effects that are not refused have p ≤ .05, and most are not refused."""
    null = smoke.query("scenario in @IDENTIFIABLE and metric == 'null'")
    assert null["p"].notna().mean() >= 0.8
    assert (null["p"].dropna() <= 0.05).mean() <= 0.15


def test_a_planted_effect_of_ten_per_cent_is_found(smoke):
    """An effect through the undo log is found, and its interval contains it."""
    planted = smoke.query("scenario in @IDENTIFIABLE and metric == 'hll 10'").dropna(subset="p")
    assert ((planted["p"] <= 0.05) & (planted["effect_pct"] > 0)).mean() >= 0.7
    assert planted.eval("ci_low_pct <= 10 and 10 <= ci_high_pct").mean() >= 0.8


def test_a_workload_that_always_runs_with_the_batch_is_refused_by_name(smoke):
    """A workload cannot be separated from the nightly job that it always accompanies."""
    exact = smoke.query("scenario == 'batch_exact'")
    assert set(exact["level"]) == {"cannot tell"}
    assert exact["reason"].str.contains("writer job nightly_batch").all()


def test_a_workload_launched_by_an_unseen_event_is_refused(smoke):
    """The writer was slow before the run started. Of three seeds most are refused; gate B5 asks for 90 % of 400."""
    null = smoke.query("scenario == 'trigger' and metric == 'null'")
    assert (null["level"] == "cannot tell").mean() > 0.5
    assert null["reason"].str.contains("already slow before").mean() > 0.5


@pytest.mark.parametrize("scenario", simulator.SCENARIOS)
def test_the_simulator_plants_the_effect_that_it_declares(scenario):
    """The mean effect over the exposed minutes is the planted one, in every scenario, and both truths are its means."""
    data = simulator.fortnight(scenario, 7)
    planted = np.log(data.latency["hll 10"] / data.latency["null"])
    mine = data.exposures.query("workload == 'extract'")
    exposed = pd.Series(False, data.latency.index)
    for run in mine.itertuples():
        exposed[run.start.floor("min") : run.end - pd.Timedelta("1ms")] = True
    assert 100 * np.expm1(planted[exposed].mean()) == pytest.approx(10, abs=0.6)
    _check_truth(data.truth["hll 10"], planted[exposed])


@pytest.mark.parametrize("scenario", everyday.SCENARIOS)
def test_an_everyday_scenario_has_the_effect_that_it_declares(scenario):
    """The mean effect over the logged minutes is 10 %: of log latency, or in `tail` of latency."""
    without, with_ten = (everyday.fortnight(scenario, 7, percent) for percent in (0, 10))
    factor = with_ten.latency["latency"] / without.latency["latency"]
    shift = everyday.SKEWS.get(scenario, pd.Timedelta(0))
    exposed = pd.Series(False, factor.index)
    for run in with_ten.exposures.itertuples():
        exposed[(run.start - shift).floor("min") : run.end - shift - pd.Timedelta("1ms")] = True
    _check_truth(with_ten.truth["latency"], np.log(factor[exposed]))
    mean = factor[exposed].mean() if scenario == "tail" else np.exp(np.log(factor[exposed]).mean())
    assert 100 * (mean - 1) == pytest.approx(10, abs=0.8)


def _check_truth(truth: simulator.Truth, log_effect: pd.Series) -> None:
    """The truths are the geometric and the arithmetic mean, but for minutes that are missing or begin with a run."""
    assert truth.typical == pytest.approx(100 * np.expm1(log_effect.mean()), abs=0.8)
    assert truth.average == pytest.approx(100 * np.expm1(log_effect.clip(upper=np.log(10))).mean(), abs=0.8)


def printed(scenario: str, percent: int, level: str, reason: str = "", limits: tuple = (-1, 1)) -> dict:
    """One printed verdict whose interval is the truth plus `limits`."""
    low, high = (percent + limit for limit in limits)
    numbers = {
        "effect_pct": float(percent),
        "ci_low_pct": low,
        "ci_high_pct": high,
        "p": 0.5,
        "truth": percent,
    }
    return {"scenario": scenario, "seed": 1, "percent": percent, "level": level, "reason": reason} | numbers


def test_levels_are_gated_as_printed():
    """One blamed null, one missed effect, intervals off the truth, or one wrong reason fails its own gate only."""
    right = [
        printed("tail", 0, "no material effect"),
        printed("tail", 10, "slows"),
        printed("pipeline", 0, "cannot tell", levels.REASONS["pipeline"]),
        printed("pipeline", 10, "cannot tell", levels.REASONS["pipeline"]),
    ]
    wrong = {
        0: printed("tail", 0, "slows a little"),
        1: printed("tail", 10, "slows a little"),
        3: printed("pipeline", 10, "cannot tell", "it always runs at the same times of day"),
    }
    assert all(gate.passed for gate in levels.gates(pd.DataFrame(right)))
    for position, gate in zip(wrong, (0, 1, 3)):
        rows = [wrong[position] if n == position else row for n, row in enumerate(right)]
        passed = [one.passed for one in levels.gates(pd.DataFrame(rows))]
        assert passed == [n != gate for n in range(4)]
    missed = [printed("tail", row["percent"], row["level"], limits=(1, 2)) for row in right[:2]]
    many = [row | {"seed": seed} for seed in range(100) for row in [*missed, *right[2:]]]
    assert [one.passed for one in levels.gates(pd.DataFrame(many))] == [True, True, False, True]


def test_the_documentation_shows_the_table_of_the_calibration():
    """Its numbers are those that `dev.py calibrate levels` wrote."""
    root = Path(__file__).parents[3]
    results = (root / "benchmarks/calibration/RESULTS.md").read_text(encoding="utf-8")
    table = results.split("## In short\n\n")[1].split("\n\n")[0]
    assert table in (root / "docs/explanation/accuracy.md").read_text(encoding="utf-8")
