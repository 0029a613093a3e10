"""No sentence contradicts its own interval, whatever the numbers are."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import scipy

from aurora_analysis.analysis import latency, trend, workload_change
from aurora_analysis.analysis.effect_level import LEVELS, effect_headline, effect_level
from aurora_analysis.analysis.experiment import EFFECT_COLUMNS, judged_effects
from aurora_analysis.analysis.latency.samples import COUNTED, LOGGED, RATE
from aurora_analysis.analysis.reader_impact import estimate, sentences
from aurora_analysis.analysis.reader_impact.model import Fit
from aurora_analysis.analysis.reader_impact.sentences import EffectRow
from aurora_analysis.analysis.workload_change.comparison import _levels
from aurora_analysis.analysis.workload_change.weekly_variation import WEEKS_NEEDED

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
            if level in ("slows", "slows a little", "speeds up"):
                size = re.search(r"by (\S+) %", effect_headline(row.workload, level, row.effect_pct))
                assert size and f"is {size[1]} % " in text, text
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
                "p": 2 * scipy.stats.norm.sf(np.abs(effect) / error),
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
    assert (2 * scipy.stats.t.sf(t, df) <= 0.05 / tests).mean() == pytest.approx(0.8, abs=0.015)


NUMBER = r"([+-][\d.,]+)"
PLAIN = re.compile(rf"95 % confidence interval(?: of this figure alone)? {NUMBER} to {NUMBER} %")


def limits(sentence: str) -> list[tuple[float, float]]:
    """The confidence intervals that a sentence prints, in reading order [%]."""
    return [
        (float(low.replace(",", "")), float(high.replace(",", ""))) for low, high in PLAIN.findall(sentence)
    ]


def test_sentences_about_weeks_agree_with_their_intervals():
    """In 150 archives of 3 to 14 windows the level fits the printed confidence interval, and every level occurs."""
    rng, seen = np.random.default_rng(3), set()
    for _ in range(150):
        truth, error = rng.choice([0.0, 0.0, 3.5, 12.0, -9.0]), rng.uniform(0.2, 4)
        effects = truth + error * rng.normal(size=rng.integers(3, 15))
        starts = pd.date_range("2026-01-05", periods=len(effects), freq="14D", tz="UTC")
        weeks = [
            trend.WeekEffect(start, start + pd.Timedelta("14D"), np.log1p(effect / 100), error / 100, 9.0)
            for start, effect in zip(starts, effects)
        ]
        found = trend.verdict("etl", "commit_latency", weeks, materiality_pct=MATERIALITY_PCT)
        assert found
        ((low, high),) = limits(found.sentence)
        wrong = contradiction(found.level, float(found.numbers["effect_pct"]), low, high, corrected=False)
        assert not wrong, found
        seen.add(found.level)
    assert seen == set(LEVELS) - {"unknown", "cannot tell"}


def moved(rng: np.random.Generator, name: str) -> dict[str, float]:
    """A change with its interval [%], some of them as small as the rounding."""
    size = rng.choice([0.0, 4.5, 30.0, -30.0]) + rng.normal()
    half = rng.choice([0.1, 2.0, 20.0])
    return {f"{name}_pct": size, f"{name}_low_pct": size - half, f"{name}_high_pct": size + half}


def compared(rng: np.random.Generator) -> latency.Comparison:
    """A comparison of two windows in which the quantile and the rate moved by any amounts."""
    of = str(rng.choice([LOGGED, COUNTED]))
    one = {"instance": "db-1"}
    quantile = {
        name.removeprefix("shift_") if "_low" in name or "_high" in name else name: value
        for name, value in moved(rng, "shift").items()
    }
    shift = one | {"of": of, "quantile": 0.95, "before_ms": 1000.0, "latency_ms": 1100.0} | quantile
    rate = one | moved(rng, "rate") | {"logged_before": 4000.0, "logged": 5000.0}
    rate |= {"traffic": rng.choice([np.nan, 1.0])}
    weeks = [
        one
        | {"of": which, "quantile": at, "from_usual_pct": rng.normal(0, 10), "earlier_weeks": 6}
        | {"low_pct": -12.0, "high_pct": 13.0, "spread_pct": 5.0}
        for which, at in ((of, 0.95), (RATE, np.nan))
    ]
    cut = one | {"long_query_time_ms": 1000.0, "min_examined_row_limit": 0.0, "log_slow_rate_limit": 1.0}
    return latency.Comparison(
        executions=pd.DataFrame([one | {"count": 5000}]),
        cuts=pd.DataFrame([cut]),
        shifts=pd.DataFrame([shift]),
        rates=pd.DataFrame([rate]),
        responses=pd.Series({"db-1": rng.choice([0.2, 1.0])}),
        weeks=pd.DataFrame(weeks[: rng.integers(0, 3)], columns=list(weeks[0])),
    )


def test_sentences_about_latency_agree_with_their_intervals():
    """In 150 comparisons the level fits what the sentence prints about the quantile, the rate and earlier weeks."""
    rng, seen = np.random.default_rng(4), set()
    for _ in range(150):
        (found,) = latency.verdicts(compared(rng))
        (low, high), *rates = limits(found.sentence)
        rises, falls = (any(a > 0 for a, _ in rates), any(b < 0 for _, b in rates))
        fits = {
            "slower": low > 0 or rises,
            "faster": high < 0 and not rises,
            "no material shift": -MATERIALITY_PCT <= low <= high <= MATERIALITY_PCT,
            "ordinary": "prediction interval" in found.sentence and (low > 0 or high < 0 or rises or falls),
            "inconclusive": True,
        }
        assert fits[found.level], found
        assert found.action.startswith("Nothing") == (found.severity == "ok")
        seen.add(found.level)
    assert seen == {"slower", "faster", "no material shift", "ordinary", "inconclusive"}


def changed(rng: np.random.Generator) -> dict[str, object]:
    """A change of the writer's commit latency against the previous window and against ordinary weeks."""
    now, unusual = moved(rng, "change"), moved(rng, "unusual")
    row = {"role": "writer", "digest": "", "measure": "commit_latency", "before": 2.0, "now": 2.2}
    row |= {
        "change_pct": now["change_pct"],
        "low_pct": now["change_low_pct"],
        "high_pct": now["change_high_pct"],
    }
    clear = unusual["unusual_low_pct"] > 0 or unusual["unusual_high_pct"] < 0
    p_adjusted = rng.choice([0.0001, 0.03, 0.4]) if clear else 0.4
    row |= unusual | {"weeks": int(rng.integers(2, 9)), "p_adjusted": p_adjusted}
    row |= {"hours_matched": 160, "matched_by": "hour and weekday", "spread_pct": 5.0, "detectable_pct": 8.0}
    if row["weeks"] < WEEKS_NEEDED:
        row |= dict.fromkeys([*unusual, "p_adjusted", "detectable_pct"], np.nan)
    return row | {"apart": False, "apart_pct": np.nan, "alike_pct": np.nan, "siblings": 0}


def test_sentences_about_change_agree_with_their_intervals():
    """In 200 changes the level of `changes` fits the printed intervals, p-value and number of weeks."""
    rng, seen = np.random.default_rng(5), set()
    rows = pd.DataFrame([changed(rng) for _ in range(200)])
    rows["level"] = _levels(rows, MATERIALITY_PCT)
    none = pd.DataFrame({"move": [], "rank_before": [], "share_pct": [], "digest": []})
    for n in range(len(rows)):
        found = next(
            one
            for one in workload_change.verdicts(rows.iloc[[n]], none, against="W45")
            if one.subject == "writer"
        )
        (low, high), *ordinary = limits(found.sentence)
        assert "% against W45 (95 % confidence interval" in found.sentence
        known = "against ordinary weeks" in found.sentence
        assert known == bool(ordinary)
        inner = ordinary[0] if known else (low, high)
        fits = {
            "changed": known and (low > 0 or high < 0) and (inner[0] > 0 or inner[1] < 0),
            "no material change": -MATERIALITY_PCT <= inner[0] <= inner[1] <= MATERIALITY_PCT,
            "ordinary": known
            and "adjusted p 0.4" in found.sentence
            and ("alone" in found.sentence) == (inner[0] > 0 or inner[1] < 0),
            "inconclusive": known,
            "unknown": "is unknown" in found.sentence,
        }
        assert fits[found.level], str(found)
        assert found.action.startswith("Nothing") == (found.severity == "ok"), str(found)
        seen.add(found.level)
    assert seen == {"changed", "no material change", "ordinary", "inconclusive", "unknown"}
