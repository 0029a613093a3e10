"""No sentence contradicts its own interval, whatever the numbers are."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aurora_analysis.analysis.effect_level import LEVELS, effect_level
from aurora_analysis.analysis.experiment import EFFECT_COLUMNS, judged_effects
from aurora_analysis.analysis.reader_impact import estimate, sentences
from aurora_analysis.analysis.reader_impact.model import Fit
from aurora_analysis.analysis.reader_impact.sentences import EffectRow

INTERVAL = re.compile(r"confidence interval(?P<alone> of this metric alone)? (?P<low>\S+) to (?P<high>\S+) %")
MATERIALITY_PCT = 5.0


def family(seed: int) -> list[EffectRow]:
    """Effects of one to thirty workloads: some none, some small, some large, with few or many degrees of freedom."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(rng.integers(1, 31)):
        error, df = rng.uniform(0.004, 0.04), rng.uniform(2, 14)
        effect = rng.choice([0, 0.03, 0.1, -0.08]) + error * rng.standard_t(df)
        fit = Fit(np.array([effect]), np.array([error]), df)
        p = float(fit.p()[0])
        unstable = "a variant" if rng.random() < 0.1 else ""
        row = EffectRow(
            f"w{n}", "commit_latency", 20, 500, 9, "a fortnight", np.nan, p=p, fit=fit, unstable=unstable
        )
        rows.append(sentences.replace(row, effect_pct=100 * np.expm1(effect)))
    return list(estimate._adjusted(rows, 0.05))


def contradiction(level: str, effect_pct: float, low: float, high: float, corrected: bool) -> str:
    """What in the level does not fit the interval that is printed with it; empty if everything does."""
    wrong = {
        "slows": low <= 0 or effect_pct < MATERIALITY_PCT,
        "slows a little": low <= 0 or effect_pct >= MATERIALITY_PCT or high < MATERIALITY_PCT,
        "no material effect": not -MATERIALITY_PCT < low <= high < MATERIALITY_PCT,
        "speeds up": high >= 0,
        "inconclusive": (low > 0 or high < 0) and corrected,
    }
    return f"{level} with {effect_pct:+.2f} % [{low}, {high}]" if wrong[level] else ""


def test_sentences_about_ordinary_days_agree_with_their_intervals():
    """In 40 families of up to 30 effects, level, words and printed interval agree, and every level occurs."""
    seen = set()
    for seed in range(40):
        for row in family(seed):
            level = effect_level(row.effect(), materiality_pct=MATERIALITY_PCT)
            printed = row.as_printed(level)
            text = sentences.sentence(printed, level, MATERIALITY_PCT)
            low, high = printed.interval
            assert f"{low:+.1f} to {high:+.1f} %" in text
            assert ("adjusted for" in text) == (printed.tests > 1)
            assert not contradiction(level, row.effect_pct, low, high, corrected=not row.unstable), text
            if level == "inconclusive" and not row.unstable:
                assert f"{row.smallest_detectable_pct:.1f} % would be detected in four cases of five" in text
            seen.add(level)
    assert seen == set(LEVELS) - {"unknown", "cannot tell"}


def test_an_interval_excludes_zero_exactly_if_the_adjusted_p_value_is_small():
    """False coverage-rate intervals agree with Benjamini & Hochberg in every family."""
    for seed in range(40):
        for row in family(seed):
            excludes = row.interval[0] > 0 or row.interval[1] < 0
            assert excludes == (row.p_adjusted <= 0.05)


def test_sentences_about_a_trial_agree_with_their_intervals():
    """An undecided effect whose interval excludes zero names the correction that leaves it undecided."""
    rng = np.random.default_rng(1)
    for _ in range(80):
        count = int(rng.integers(1, 7))
        error = rng.uniform(0.5, 4, count)
        effect = rng.choice([0.0, 3.0, 10.0, -8.0], count) + error * rng.normal(size=count)
        frame = pd.DataFrame(
            {
                "workload": "etl",
                "metric": [f"m{n}" for n in range(count)],
                "effect_pct": effect,
                "ci_low_pct": effect - 1.96 * error,
                "ci_high_pct": effect + 1.96 * error,
                "p": 2 * stats.norm.sf(np.abs(effect) / error),
                "blocks_on": 12,
                "blocks_off": 12,
            }
        )[EFFECT_COLUMNS]
        for one in judged_effects(frame, materiality_pct=MATERIALITY_PCT):
            shown = INTERVAL.search(one.sentence)
            assert shown, one.sentence
            labelled = bool(shown["alone"]) and f"adjusted for {count} tests" in one.sentence
            assert labelled == (count > 1)
            limits = one.effect_pct, one.ci_low_pct, one.ci_high_pct
            assert not contradiction(one.level, *limits, corrected=not labelled), one.sentence


@pytest.mark.parametrize(("df", "tests"), [(3, 1), (6, 5), (12, 30)])
def test_the_detectable_effect_has_its_power(df, tests):
    """Of 20,000 estimates of an effect of the printed size, 80 % are significant after correction, to 1.5 points."""
    rng = np.random.default_rng(df)
    fit = Fit(np.array([0.0]), np.array([0.01]), df)
    row = EffectRow("w", "commit_latency", 20, 500, 9, "a fortnight", np.nan, p=1.0, fit=fit)
    true = np.log1p(list(estimate._adjusted([row] * tests, 0.05))[0].smallest_detectable_pct / 100)
    error = 0.01 * np.sqrt(rng.chisquare(df, 20_000) / df)
    t = (true + 0.01 * rng.normal(size=20_000)) / error
    assert (2 * stats.t.sf(t, df) <= 0.05 / tests).mean() == pytest.approx(0.8, abs=0.015)
