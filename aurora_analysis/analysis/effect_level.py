"""Judge the level of an effect on the writer: one set of rules for randomised trials and ordinary days."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aurora_analysis.analysis.verdict import Severity, percent

OUTCOMES = ["queue_latency", "commit_latency", "dml_latency", "select_latency"]
"""The writer's latencies that are judged if they have values; of equal verdicts the first one is reported."""

LEVELS: dict[str, Severity] = {
    "slows": "act",
    "slows a little": "watch",
    "speeds up": "watch",
    "cannot tell": "unknown",
    "inconclusive": "unknown",
    "unknown": "unknown",
    "no material effect": "ok",
}
"""Severity of each level; the level that matters most comes first."""

THROUGHPUTS = ["dml_throughput"]
"""Metrics whose decrease means slower."""

NOUNS = {
    "queue_latency": "queue statements",
    "commit_latency": "commits",
    "dml_latency": "INSERTs, UPDATEs and DELETEs",
    "select_latency": "SELECTs",
}
"""Noun of the operation that becomes slower, by metric."""

EXPLAINED = {
    "queue_latency": "queue latency (the time in which the lab's job queue reads and deletes one batch)"
}
"""Metric in words, for the sentence in which a reader first meets one that a cluster of one's own does not have."""

STATEMENT_LATENCY = "latency_of_"
"""Beginning of the metric of one statement's latency; the digest's first characters follow."""


def noun(metric: str) -> str:
    """Name what becomes slower.

    Parameters
    ----------
    metric : str
        A metric of `OUTCOMES`, or one statement's latency.

    Returns
    -------
    str
        Such as "commits" or "statement 3b560e0d".

    Examples
    --------
    >>> noun("commit_latency"), noun("latency_of_3b560e0d")
    ('commits', 'statement 3b560e0d')
    """
    if metric.startswith(STATEMENT_LATENCY):
        return f"statement {metric.removeprefix(STATEMENT_LATENCY)}"
    return NOUNS.get(metric, metric.replace("_", " "))


def slowdown_ms(while_on_ms: float | None, effect_pct: float | int | str | None) -> float | None:
    """Slowdown of an operation while a workload runs [ms].

    Parameters
    ----------
    while_on_ms : float or None
        Mean latency while the workload runs [ms].
    effect_pct : float or None
        The effect, of the latency without the workload [%].

    Returns
    -------
    float or None
        The part of the latency that the effect accounts for; None if either is unknown.

    Examples
    --------
    >>> round(slowdown_ms(2.2, 10.0), 3)
    0.2
    """
    if while_on_ms is None or effect_pct is None or not math.isfinite(while_on_ms):
        return None
    return while_on_ms * float(effect_pct) / (100 + float(effect_pct))


def lost_s(open_s: float, metric: str, effect_pct: float | int | str | None) -> float | None:
    """Time lost to a slowdown by an operation that is repeated without pause while a workload runs [s].

    It weighs a small effect for a day against a large one for a minute.

    Parameters
    ----------
    open_s : float
        Time in which the workload ran [s].
    metric : str
        The latency, or the throughput of `THROUGHPUTS`.
    effect_pct : float or None
        The effect, of the value without the workload [%].

    Returns
    -------
    float or None
        At most `open_s`, rounded to 0.1 s; None if the effect is unknown or the workload did not run.

    Examples
    --------
    >>> lost_s(3600, "commit_latency", 25.0), lost_s(3600, "dml_throughput", -20.0)
    (720.0, 720.0)
    """
    if effect_pct is None or not open_s:
        return None
    effect = float(effect_pct)
    share = -effect / 100 if metric in THROUGHPUTS else effect / (100 + effect)
    return round(open_s * share, 1)


SLOWER = ("slows", "slows a little")
"""Levels that blame the workload."""

ACTIONS = {
    "slows": "Move it to a clone or an export, or to hours in which the writer has little to do.",
    "slows a little": "Nothing urgent: watch whether the effect grows.",
    "speeds up": "Nothing to do about it: a reader makes no writer faster, so another cause runs at the same time.",
    "cannot tell": "Move or pause it at random times for a week or two, or run a randomised trial.",
    "inconclusive": "Observe it for longer, or run a randomised trial.",
    "unknown": "Fetch more of the window: the coverage table shows what is missing.",
    "no material effect": "Nothing to do.",
}
"""The first action that each level calls for, if nothing more is known."""


@dataclass(frozen=True)
class Effect:
    """An effect on the writer, positive if the writer becomes slower.

    Attributes
    ----------
    effect_pct, low_pct, high_pct : float
        The effect and its interval [%].
    p_adjusted : float
        p-value adjusted for the number of tests.
    alone_low_pct, alone_high_pct : float, optional
        The interval of this effect by itself, if the other one is adjusted for the number of tests [%].
    assessed : bool
        False if there is too little data.
    identifiable : bool
        False if the data cannot separate the effect from a confounder.
    stable : bool
        False if the sign of the effect depends on an assumption.
    complete : bool
        False if a part of the effect may have counted as none, so that a small estimate excludes nothing.
    """

    effect_pct: float
    low_pct: float
    high_pct: float
    p_adjusted: float
    alone_low_pct: float | None = None
    alone_high_pct: float | None = None
    assessed: bool = True
    identifiable: bool = True
    stable: bool = True
    complete: bool = True


def effect_level(effect: Effect, *, materiality_pct: float = 5.0, alpha: float = 0.05) -> str:
    """Level of an effect: the first rule that holds.

    Parameters
    ----------
    effect : Effect
        The effect with its interval and adjusted p-value.
    materiality_pct : float
        Smallest effect that matters [%]; 5 is the project's default.
    alpha : float
        Level of significance of the adjusted p-value.

    Returns
    -------
    str
        A key of `LEVELS`: ``unknown`` without data or numbers; ``cannot tell`` if not identifiable; ``slows`` if
        significant, interval above 0 and material; ``no material effect`` if the interval of this effect by itself
        lies within the materiality; ``slows a little`` if significant, interval above 0 and below the materiality;
        ``speeds up`` if significant and below 0; ``inconclusive`` otherwise.

    Notes
    -----
    A claim that something is there must withstand the number of tests: among a hundred workloads some look slow by
    chance. A claim that nothing material is there is made for each workload by itself.
    """
    if not effect.assessed:
        return "unknown"
    if not effect.identifiable:
        return "cannot tell"
    if np.isnan([effect.effect_pct, effect.low_pct, effect.high_pct]).any():
        return "unknown"
    clear = effect.p_adjusted <= alpha and effect.stable
    slower = clear and effect.low_pct > 0
    if slower and effect.effect_pct >= materiality_pct:
        return "slows"
    low = effect.low_pct if effect.alone_low_pct is None else effect.alone_low_pct
    high = effect.high_pct if effect.alone_high_pct is None else effect.alone_high_pct
    if effect.complete and -materiality_pct < low and high < materiality_pct:
        return "no material effect"
    if slower:
        return "slows a little"
    if clear and effect.high_pct < 0:
        return "speeds up"
    return "inconclusive"


def effect_headline(subject: str, level: str, effect_pct: float = float("nan")) -> str:
    """Headline that names actor, verb and object, so that it cannot be read the wrong way round.

    Parameters
    ----------
    subject : str
        The workload.
    level : str
        A key of `LEVELS`.
    effect_pct : float
        The effect [%]; its sign is not shown.

    Returns
    -------
    str
        Such as ``snowflake slows the writer by 10 %``.
    """
    size = "" if np.isnan(effect_pct) else f" by {percent(effect_pct)} %"
    return {
        "slows": f"{subject} slows the writer{size}",
        "slows a little": f"{subject} slows the writer a little{f',{size}' if size else ''}",
        "speeds up": f"The writer is faster{size} while {subject} runs: another cause",
        "cannot tell": f"Cannot tell whether {subject} slows the writer",
        "inconclusive": f"Undecided whether {subject} slows the writer",
        "unknown": f"Unknown whether {subject} slows the writer",
        "no material effect": f"{subject} does not slow the writer materially",
    }[level]


@dataclass(frozen=True)
class JudgedEffect:
    """Effect of one workload on one metric, with its level and its sentence.

    Attributes
    ----------
    workload, metric : str
        What was compared.
    source : {"trial", "days"}
        A randomised trial, or ordinary days.
    level : str
        A key of `LEVELS`.
    sentence : str
        The effect in words.
    effect_pct, ci_low_pct, ci_high_pct : float
        The effect and its interval [%], with the sign of the metric; NaN if there is none.
    p_adjusted : float
        p-value adjusted for the number of tests.
    caveat : str
        What else would explain the effect, in one sentence; empty for a trial, which excludes it.
    action : str
        The first thing to do; empty for the action of the level.
    """

    workload: str
    metric: str
    source: Literal["trial", "days"]
    level: str
    sentence: str
    effect_pct: float
    ci_low_pct: float
    ci_high_pct: float
    p_adjusted: float
    caveat: str = ""
    action: str = ""

    def numbers(self) -> dict[str, float | int | str | None]:
        """The figures of a verdict, to four significant digits; None where missing.

        Returns
        -------
        dict
            `metric`, `source`, `effect_pct`, `ci_low_pct`, `ci_high_pct` and `p_adjusted`.
        """
        names = ("effect_pct", "ci_low_pct", "ci_high_pct", "p_adjusted")
        figures: dict[str, float] = {name: getattr(self, name) for name in names}
        rounded = {
            name: None if np.isnan(value) else float(f"{value:.4g}") for name, value in figures.items()
        }
        return {"metric": self.metric, "source": self.source, **rounded}


def weightiest(effects: Iterable[JudgedEffect]) -> JudgedEffect | None:
    """The effect whose level matters most; among equals the first metric of `OUTCOMES`, then the largest lower limit.

    Parameters
    ----------
    effects : iterable of JudgedEffect
        Effects of one workload.

    Returns
    -------
    JudgedEffect or None
        None if there is no effect.
    """
    order = list(LEVELS)

    def key(one: JudgedEffect) -> tuple[int, int, float]:
        low = one.ci_low_pct
        return order.index(one.level), _rank(one.metric), -low if low == low else math.inf

    return min(effects, key=key, default=None)


def _rank(metric: str) -> int:
    return OUTCOMES.index(metric) if metric in OUTCOMES else len(OUTCOMES)
