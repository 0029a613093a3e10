"""The level of an effect is that of the first rule that holds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from aurora_analysis.analysis.effect_level import (
    ACTIONS,
    LEVELS,
    OUTCOMES,
    Effect,
    JudgedEffect,
    effect_headline,
    effect_level,
    weightiest,
)
from aurora_analysis.analysis.experiment import judged_effects

SLOWS = Effect(effect_pct=10, low_pct=6, high_pct=14, p_adjusted=0.001)
MATERIALITY_PCT = 5.0


@pytest.mark.parametrize(
    ("effect", "level"),
    [
        (SLOWS, "slows"),
        (Effect(5, 1, 9, 0.05), "slows"),
        (Effect(1, -2, 4, 0.4), "no material effect"),
        (Effect(3, 2, 4, 0.001), "no material effect"),
        (Effect(-3, -4, -2, 0.001), "no material effect"),
        (Effect(-10, -14, -6, 0.001), "speeds up"),
        (Effect(8, -3, 20, 0.2), "inconclusive"),
        (Effect(-8, -20, 3, 0.2), "inconclusive"),
        (Effect(4, 2, 7, 0.001), "slows a little"),
        (Effect(4, -1, 9, 0.06, 2, 6), "inconclusive"),
        (Effect(3, -1, 7, 0.06, 1, 4.9), "no material effect"),
    ],
    ids=[
        "clear and material",
        "at both limits",
        "interval within the materiality",
        "significant but small",
        "significant, small and negative",
        "faster",
        "not significant",
        "not significant and negative",
        "significant, too small to slow and too uncertain to be immaterial",
        "the number of tests explains it",
        "the number of tests explains it, and by itself it is immaterial",
    ],
)
def test_each_level_has_its_rule(effect, level):
    """Significance, the interval and the materiality of 5 % decide."""
    assert effect_level(effect, materiality_pct=MATERIALITY_PCT) == level


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"assessed": False, "identifiable": False}, "unknown"),
        ({"identifiable": False}, "cannot tell"),
        ({"identifiable": False, "effect_pct": np.nan}, "cannot tell"),
        ({"effect_pct": np.nan}, "unknown"),
        ({"low_pct": np.nan}, "unknown"),
        ({"high_pct": np.nan}, "unknown"),
        ({"stable": False}, "inconclusive"),
        ({"p_adjusted": 0.06}, "inconclusive"),
        ({"p_adjusted": np.nan}, "inconclusive"),
        ({"low_pct": -0.1}, "inconclusive"),
    ],
)
def test_one_missing_condition_changes_a_clear_slowdown(changes, level):
    """Lack of data comes before confounding, confounding before missing numbers, and these before any yes or no."""
    assert effect_level(dataclasses.replace(SLOWS, **changes)) == level


def test_an_immaterial_effect_needs_no_stable_sign():
    """If the whole interval is immaterial, it does not matter that a variant reverses the sign."""
    assert effect_level(Effect(1, -2, 4, 0.4, stable=False)) == "no material effect"


def test_thresholds_are_arguments():
    """A larger materiality turns a slowdown into a small one, a stricter level into an open question."""
    assert effect_level(SLOWS, materiality_pct=12) == "slows a little"
    assert effect_level(SLOWS, alpha=0.0001) == "inconclusive"


def test_a_fall_of_throughput_counts_as_slower():
    """A throughput's sign is reversed for its level; its figures keep their sign."""
    row = {"workload": "etl", "effect_pct": -20.0, "ci_low_pct": -30.0, "ci_high_pct": -10.0, "p": 0.001}
    counts = {"blocks_on": 8, "blocks_off": 8}
    rows = pd.DataFrame([row | counts | {"metric": name} for name in ("dml_throughput", "commit_latency")])
    throughput, latency = judged_effects(rows)
    assert (throughput.level, latency.level) == ("slows", "speeds up")
    assert throughput.effect_pct == latency.effect_pct == -20.0


def judged(metric: str, level: str, effect_pct: float = 10.0) -> JudgedEffect:
    return JudgedEffect("etl", metric, "days", level, "", effect_pct, np.nan, 12.34567, 0.01)


def test_the_weightiest_effect_is_that_of_the_gravest_level():
    """Among equal levels, a metric of the fixed order is reported before any other."""
    effects = [
        judged("statement 11bfecc3", "slows"),
        judged("commit_latency", "slows"),
        judged("queue_latency", "no material effect"),
    ]
    assert weightiest(effects) == effects[1]
    assert weightiest([]) is None


def test_numbers_of_a_verdict_have_four_digits():
    """A missing number is None, which JSON can hold."""
    numbers = judged("commit_latency", "slows").numbers()
    assert (numbers["metric"], numbers["source"]) == ("commit_latency", "days")
    assert (numbers["ci_high_pct"], numbers["ci_low_pct"]) == (12.35, None)


@pytest.mark.parametrize("level", LEVELS)
def test_each_level_has_an_action_and_a_headline_with_actor_and_object(level):
    """Headlines name the workload and the writer, and never print a missing effect."""
    assert ACTIONS[level].endswith(".")
    headline = effect_headline("snowflake", level)
    assert "snowflake" in headline
    assert "writer" in headline
    assert "nan" not in headline


def test_a_headline_states_the_size_of_a_clear_effect():
    """Rounded as in the sentence, without a sign, because the verb gives the direction."""
    assert effect_headline("snowflake", "slows", 25.46) == "snowflake slows the writer by 25.5 %"
    assert "faster by 10.3 %" in effect_headline("snowflake", "speeds up", -10.3)


def test_the_gravest_level_comes_first():
    """Levels run from act to ok, and the queue's latency is the first metric."""
    assert next(iter(LEVELS)) == "slows"
    assert list(LEVELS)[-1] == "no material effect"
    assert OUTCOMES[0] == "queue_latency"
