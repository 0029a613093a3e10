"""A trial's verdict states effect and mechanism, or why there is no answer."""

from __future__ import annotations

import pandas as pd
import pytest

from aurora_analysis.analysis import experiment

NAMES = ["workload", "metric", "effect_pct", "ci_low_pct", "ci_high_pct", "p", "blocks_on", "blocks_off"]
SLOWS = pd.DataFrame([("etl", "canary_latency", 40.0, 20.0, 60.0, 0.001, 8, 8)], columns=NAMES)
GROWTH = pd.DataFrame(
    [("etl", 9_000.0, 100.0, 8_900.0, 7_000.0, 11_000.0, 0.002)], columns=experiment.GROWTH_COLUMNS
)
LOADED = pd.Series({"etl": None})
UNKNOWN = {"effect_pct": float("nan"), "p": float("nan")}


def test_a_trials_verdict_states_effect_and_mechanism():
    """The sentence has the effect, the evidence the history list's growth."""
    (found,) = experiment.verdicts(SLOWS, GROWTH, LOADED)
    assert (found.level, found.severity, found.topic) == ("slows", "act", "experiment")
    assert "+40 %" in found.sentence
    assert "grew by 8,900 transactions/hour more while it ran than otherwise" in found.evidence


def test_a_clone_that_is_not_loaded_cannot_tell():
    """History cannot grow without writes; another workload's trial is not affected."""
    idle = pd.Series({"etl": None, "other": "It has 0.1 writes/s."})
    slows, not_loaded = experiment.verdicts(SLOWS, GROWTH, idle)
    assert slows.level == "slows"
    assert (not_loaded.subject, not_loaded.level, not_loaded.severity) == ("other", "cannot tell", "unknown")
    assert not_loaded.sentence == "Cannot tell: the clone is not loaded. It has 0.1 writes/s."
    assert "--writer-load" in not_loaded.action


@pytest.mark.parametrize(
    ("effects", "growth", "message"),
    [
        (SLOWS[:0], GROWTH[:0], "No block of a randomised trial took place"),
        (SLOWS[:0], GROWTH, "No latency of the writer was measured"),
        (SLOWS.assign(**UNKNOWN, blocks_on=2, blocks_off=2), GROWTH, "Only 2 blocks with etl and 2 without"),
    ],
    ids=["no trial", "no latency", "too few blocks"],
)
def test_missing_data_is_unknown_not_ok(effects, growth, message):
    """The sentence names what is missing."""
    (found,) = experiment.verdicts(effects, growth, LOADED[:0])
    assert (found.level, found.severity) == ("unknown", "unknown")
    assert message in found.sentence


@pytest.mark.parametrize(
    ("effect", "level"),
    [
        ((-20.0, -30.0, -10.0), "slows"),
        ((20.0, 10.0, 30.0), "speeds up"),
        ((1.0, -2.0, 3.0), "no material effect"),
    ],
)
def test_less_throughput_is_slower(effect, level):
    """A fall of throughput counts as slower, a rise as faster."""
    names = ["effect_pct", "ci_low_pct", "ci_high_pct"]
    row = dict(zip(names, effect)) | {
        "metric": "dml_throughput",
        "p": 0.5 if level[0] == "n" else 0.01,
    }
    (judged,) = experiment.judged_effects(SLOWS.assign(**row))
    assert judged.level == level
