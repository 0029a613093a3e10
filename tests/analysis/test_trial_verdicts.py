"""What a trial is allowed to say, and when it must not."""

from __future__ import annotations

import pandas as pd
import pytest

from aurora_analysis import experiment as carrying_out
from aurora_analysis.analysis import evidence, experiment

NAMES = ["workload", "metric", "effect_pct", "ci_low_pct", "ci_high_pct", "p", "blocks_on", "blocks_off"]
SLOWS = pd.DataFrame([("etl", "canary_latency", 40.0, 20.0, 60.0, 0.001, 8, 8)], columns=NAMES)
GROWTH = pd.DataFrame(
    [("etl", 9_000.0, 100.0, 8_900.0, 7_000.0, 11_000.0, 0.002)], columns=experiment.GROWTH_COLUMNS
)
QUIET = pd.DataFrame({"category": ["connection"], "message": ["the instance answers again"]})


def test_a_trial_says_what_was_caused_and_shows_the_mechanism():
    """The effect with its interval in the sentence, the history list's growth beside it."""
    (found,) = evidence.trial_verdicts(SLOWS, GROWTH, QUIET)
    assert (found.level, found.severity, found.topic) == ("slows", "act", "experiment")
    assert "+40.0 %" in found.sentence
    assert "9,000 transactions an hour with it and 100 without" in found.evidence


def test_a_clone_that_is_not_loaded_cannot_tell():
    """Whatever the blocks look like: history cannot grow where nobody writes."""
    idle = pd.DataFrame({"category": [carrying_out.NOT_LOADED], "message": ["It has 0.1 writes/s."]})
    (found,) = evidence.trial_verdicts(SLOWS, GROWTH, idle)
    assert (found.level, found.severity) == ("cannot tell", "unknown")
    assert found.sentence == "Cannot tell: the clone is not loaded. It has 0.1 writes/s."
    assert "--writer-load" in found.action


@pytest.mark.parametrize("effects", [SLOWS[:0], SLOWS.assign(effect_pct=float("nan"), p=float("nan"))])
def test_no_blocks_are_no_calm(effects):
    """Neither no trial nor too few blocks say that all is well."""
    assert {one.level for one in evidence.trial_verdicts(effects, GROWTH[:0], QUIET)} == {"unknown"}


def test_what_took_place_is_counted():
    """Two blocks were drawn to be on, one of them ran, two seconds late."""
    start = pd.Timestamp("2026-11-23T11:00", tz="UTC")
    rows = pd.DataFrame(
        {
            "trial": "t",
            "workload": "etl",
            "block": range(3),
            "time": [start] * 3,
            "assigned": [True, True, False],
            "started_at": [start + pd.Timedelta("2s"), pd.NaT, pd.NaT],
        }
    )
    found = experiment.took_place(rows)
    assert found[["blocks", "on", "ran", "late_s"]].to_numpy().tolist() == [[3, 2, 1, 2.0]]
