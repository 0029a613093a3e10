"""Verdicts of a randomised trial, with the delay of cleanup as its mechanism."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.analysis.advice import BLOCKS_CLEANUP, by_idle_time
from aurora_analysis.analysis.effect_level import (
    ACTIONS,
    EXPLAINED,
    LEVELS,
    OUTCOMES,
    STATEMENT_LATENCY,
    THROUGHPUTS,
    Effect,
    JudgedEffect,
    effect_headline,
    effect_level,
    noun,
    weightiest,
)
from aurora_analysis.analysis.statistics import adjusted
from aurora_analysis.analysis.verdict import Verdict, by_severity, percent
from aurora_analysis.engines.vocabulary import Words

TRIAL_METRICS = [*OUTCOMES, "canary_latency", *THROUGHPUTS]
"""The metrics that a trial is judged by, if they have values: the writer's latencies and throughput."""

NO_TRIAL_ACTION = "Run a randomised trial: `aurora-analysis experiment`, on a loaded clone."
IDLE_ACTION = "Load the clone with production's writes (--writer-load), and run the trial again."
UNMEASURED_ACTION = "Run the trial again, with a --canary or for longer."
TRIAL_ACTIONS = {
    "unknown": UNMEASURED_ACTION,
    "inconclusive": "Run the trial again for longer: more blocks show smaller effects.",
    "speeds up": "Check what else differs between the trial's blocks: a reader does not make a writer faster.",
}
"""The first action of each level that a randomised trial changes: it already is the step that ordinary days ask for."""


def verdicts(
    effects: pd.DataFrame,
    growth: pd.DataFrame,
    idle: pd.Series,
    *,
    words: Words | None = None,
    materiality_pct: float = 5.0,
    alpha: float = 0.05,
) -> list[Verdict]:
    """One verdict per workload of a randomised trial, the most severe first.

    Parameters
    ----------
    effects : pandas.DataFrame
        The frame of `experiment.effects`.
    growth : pandas.DataFrame
        The frame of `experiment.history_growth`; `idle_share`, if there, is the share of the workload's open time in which it
        ran no statement [0 to 1].
    idle : pandas.Series
        By workload, the message about a clone without load; missing if the clone was loaded. History cannot grow
        on an idle clone, so its trial cannot answer.
    words : Words
        The engine's words for cleanup. Default: those of MySQL.
    materiality_pct : float
        Smallest effect that matters [%]; 5 is the project's default.
    alpha : float
        Level of significance of the adjusted p-value.

    Returns
    -------
    list of Verdict
        One unknown verdict if no trial took place.
    """
    judged = judged_effects(effects, materiality_pct=materiality_pct, alpha=alpha)
    names = sorted({*growth["workload"], *effects["workload"]})
    words = words or engines.words(engines.DEFAULT)
    found = [_verdict(name, judged, growth, words) for name in names]
    found += [_idle(str(name), str(text)) for name, text in idle.dropna().items() if name not in names]
    return by_severity(found) or [_no_trial()]


def judged_effects(
    effects: pd.DataFrame, *, materiality_pct: float = 5.0, alpha: float = 0.05
) -> list[JudgedEffect]:
    """Judge each effect of a trial by `effect_level`, p-values adjusted for the number of effects.

    Parameters
    ----------
    effects : pandas.DataFrame
        The frame of `experiment.effects`.
    materiality_pct : float
        Smallest effect that matters [%].
    alpha : float
        Level of significance of the adjusted p-value.

    Returns
    -------
    list of JudgedEffect
        One per row. Of a throughput the level counts a fall as slower; its figures keep their sign.
    """
    tests = int(effects["p"].notna().sum())
    rows = effects.assign(p_adjusted=adjusted(effects["p"]), tests=tests).itertuples()
    return [_judged(row, materiality_pct, alpha) for row in rows]


def _judged(row: Any, materiality_pct: float, alpha: float) -> JudgedEffect:
    level = effect_level(_slowdown(row), materiality_pct=materiality_pct, alpha=alpha)
    return JudgedEffect(
        workload=str(row.workload),
        metric=str(row.metric),
        source="trial",
        level=level,
        sentence=_too_few_blocks(row) if level == "unknown" else _sentence(row),
        effect_pct=float(row.effect_pct),
        ci_low_pct=float(row.ci_low_pct),
        ci_high_pct=float(row.ci_high_pct),
        p_adjusted=float(row.p_adjusted),
        action=TRIAL_ACTIONS.get(level, ""),
    )


def _slowdown(row: Any) -> Effect:
    """The effect counted towards slower: the fall of a throughput, the rise of a latency."""
    effect, low, high = (float(value) for value in (row.effect_pct, row.ci_low_pct, row.ci_high_pct))
    if row.metric in THROUGHPUTS:
        effect, low, high = -effect, -high, -low
    return Effect(effect, low, high, float(row.p_adjusted))


def _sentence(row: Any) -> str:
    alone, corrected = (
        (" of this metric alone", f" adjusted for {row.tests} tests") if row.tests > 1 else ("", "")
    )
    times = f" ({1 + row.effect_pct / 100:.1f} times as high)" if row.effect_pct >= 100 else ""
    return (
        f"While {row.workload} ran, {_outcome(row.metric)} changed by {_signed(row.effect_pct)} %{times} "
        f"(randomised trial, {row.blocks_on} blocks on and {row.blocks_off} off; 95 % confidence interval{alone} "
        f"{row.ci_low_pct:+.1f} to {row.ci_high_pct:+.1f} %; p = {row.p_adjusted:.2g}{corrected})."
    )


def _signed(effect_pct: float) -> str:
    """An effect with its sign, rounded as in the headline."""
    return f"{'-' if effect_pct < 0 else '+'}{percent(effect_pct)}"


def _outcome(metric: str) -> str:
    words = EXPLAINED.get(metric, str(metric).replace("_", " "))
    if metric.startswith(STATEMENT_LATENCY):
        words = noun(metric)
    if words.startswith("statement "):
        return f"the latency of the writer's {words}"
    return f"the writer's {words}"


def _too_few_blocks(row: Any) -> str:
    return (
        f"Only {row.blocks_on} blocks with {row.workload} and {row.blocks_off} without have enough samples: "
        "too few to measure an effect."
    )


def _verdict(name: str, judged: list[JudgedEffect], growth: pd.DataFrame, words: Words) -> Verdict:
    one = weightiest(effect for effect in judged if effect.workload == name)
    level = one.level if one else "unknown"
    return Verdict(
        topic="experiment",
        subject=name,
        level=level,
        severity=LEVELS[level],
        sentence=one.sentence if one else _no_latency(name),
        numbers=one.numbers() if one else {},
        evidence=growth_sentence(growth[growth["workload"] == name], words),
        action=_action(level, growth[growth["workload"] == name], words),
        headline=effect_headline(name, level, one.effect_pct if one else np.nan),
    )


def _action(level: str, growth: pd.DataFrame, words: Words) -> str:
    """The first thing to do; about a slowdown it depends on what the trial shows about the delay of cleanup."""
    if level != "slows":
        return TRIAL_ACTIONS.get(level, ACTIONS[level])
    blocked = grew(growth)
    action = BLOCKS_CLEANUP[words.view][blocked]
    idle_share = growth["idle_share"].max() if "idle_share" in growth else np.nan
    return by_idle_time(action, words.view, float(idle_share)) if blocked else action


def grew(growth: pd.DataFrame) -> bool | None:
    """Return whether a workload let the delay of cleanup grow, by its trial.

    Parameters
    ----------
    growth : pandas.DataFrame
        The workload's rows of `experiment.history_growth`.

    Returns
    -------
    bool or None
        None if the growth is unknown.
    """
    known = growth[growth["difference"].notna()]
    return bool((known["ci_low"] > 0).any()) if len(known) else None


def _no_latency(name: str) -> str:
    return f"No latency of the writer was measured during the trial of {name}: its effect is unknown."


def _no_trial() -> Verdict:
    return Verdict(
        topic="experiment",
        subject="no trial",
        level="unknown",
        severity="unknown",
        sentence="No block of a randomised trial took place in the window.",
        action=NO_TRIAL_ACTION,
        headline="No randomised trial took place",
    )


def _idle(name: str, message: str) -> Verdict:
    return Verdict(
        topic="experiment",
        subject=name,
        level="cannot tell",
        severity=LEVELS["cannot tell"],
        sentence=f"Cannot tell: the clone is not loaded. {message}",
        action=IDLE_ACTION,
        headline=effect_headline(name, "cannot tell"),
    )


def growth_sentence(growth: pd.DataFrame, words: Words) -> str:
    """Word how much faster the delay of cleanup grew while a workload ran.

    Parameters
    ----------
    growth : pandas.DataFrame
        The workload's rows of `experiment.history_growth`.
    words : Words
        The engine's words for cleanup.

    Returns
    -------
    str
        One sentence.
    """
    mine = growth[growth["difference"].notna()]
    if mine.empty:
        return f"The growth of the {words.delay} is unknown."
    row = mine.iloc[0]
    difference = row["difference"]
    return (
        f"The {words.delay} grew by {abs(difference):,.0f} transactions/hour {'less' if difference < 0 else 'more'} while it ran "
        f"than otherwise (95 % confidence interval of the difference {row['ci_low']:,.0f} to {row['ci_high']:,.0f}, p = "
        f"{row['p']:.2g})."
    )
