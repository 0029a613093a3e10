"""What a trial is allowed to say, and when it must not."""

from __future__ import annotations

import pandas as pd
import pytest

from aurora_analysis.analysis import experiment
from aurora_analysis.tables import TrialEvent

NAMES = ["workload", "metric", "effect_pct", "ci_low_pct", "ci_high_pct", "p", "blocks_on", "blocks_off"]
SLOWS = pd.DataFrame([("etl", "canary_latency", 40.0, 20.0, 60.0, 0.001, 8, 8)], columns=NAMES)
GROWTH = pd.DataFrame(
    [("etl", 9_000.0, 100.0, 8_900.0, 7_000.0, 11_000.0, 0.002)], columns=experiment.GROWTH_COLUMNS
)
LOADED = pd.Series({"etl": None})
UNKNOWN = {"effect_pct": float("nan"), "p": float("nan")}


def test_a_trial_says_what_was_caused_and_shows_the_mechanism():
    """The effect with its interval in the sentence, the history list's growth beside it."""
    (found,) = experiment.verdicts(SLOWS, GROWTH, LOADED)
    assert (found.level, found.severity, found.topic) == ("slows", "act", "experiment")
    assert "+40.0 %" in found.sentence
    assert "grew by 9,000 transactions/hour while it ran and grew by 100/hour otherwise" in found.evidence


def test_a_clone_that_is_not_loaded_cannot_tell():
    """History cannot grow where nobody writes; another workload's trial is not touched by it."""
    idle = pd.Series({"etl": None, "other": "It has 0.1 writes/s."})
    slows, untold = experiment.verdicts(SLOWS, GROWTH, idle)
    assert slows.level == "slows"
    assert (untold.subject, untold.level, untold.severity) == ("other", "cannot tell", "unknown")
    assert untold.sentence == "Cannot tell: the clone is not loaded. It has 0.1 writes/s."
    assert "--writer-load" in untold.action


@pytest.mark.parametrize(
    ("effects", "growth", "said"),
    [
        (SLOWS[:0], GROWTH[:0], "No block of a randomised trial took place"),
        (SLOWS[:0], GROWTH, "No latency of the writer was measured"),
        (SLOWS.assign(**UNKNOWN, blocks_on=2, blocks_off=2), GROWTH, "Only 2 blocks with etl and 2 without"),
    ],
    ids=["no trial", "no latency", "too few blocks"],
)
def test_what_was_not_seen_is_no_calm(effects, growth, said):
    """Each lack is called by its name."""
    (found,) = experiment.verdicts(effects, growth, LOADED[:0])
    assert (found.level, found.severity) == ("unknown", "unknown")
    assert said in found.sentence


@pytest.mark.parametrize(
    ("effect", "level"),
    [
        ((-20.0, -30.0, -10.0), "slows"),
        ((20.0, 10.0, 30.0), "speeds up"),
        ((1.0, -2.0, 3.0), "no material effect"),
    ],
)
def test_less_throughput_is_slower(effect, level):
    """What rises with a latency falls with a throughput."""
    names = ["effect_pct", "ci_low_pct", "ci_high_pct"]
    row = dict(zip(names, effect)) | {
        "metric": "dml_throughput",
        "p": 0.5 if level[0] == "n" else 0.01,
    }
    (judged,) = experiment.judged_effects(SLOWS.assign(**row))
    assert judged.level == level


BLOCKS = pd.date_range("2026-11-23T11:00", periods=4, freq="60s", tz="UTC")


def test_the_last_word_on_the_load_before_a_block_holds_for_it():
    """Idle, then (when the trial went on) loaded; before any word, nothing was said."""
    trials = pd.DataFrame({"time": BLOCKS})
    events = pd.DataFrame(
        {
            "time": [BLOCKS[0] + pd.Timedelta("30s"), BLOCKS[2] + pd.Timedelta("30s"), BLOCKS[0]],
            "category": [TrialEvent.IDLE_CLONE.value, TrialEvent.LOADED.value, "connection"],
            "message": ["idle", "loaded", "the instance answers again"],
        }
    )
    said = experiment.on_idle_clone(trials, events)
    assert said[said.notna()].to_dict() == {1: "idle", 2: "idle"}
    assert experiment.on_idle_clone(trials, events[:0]).isna().all()


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
