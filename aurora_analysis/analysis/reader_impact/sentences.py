"""Word the effect of one workload on one metric: its reason and its sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isnan
from typing import Literal

from aurora_analysis.analysis.effect_level import ACTIONS, EXPLAINED, SLOWER, Effect
from aurora_analysis.analysis.reader_impact import distribution
from aurora_analysis.analysis.reader_impact.model import Fit
from aurora_analysis.analysis.reader_impact.refusals import settling_step
from aurora_analysis.analysis.verdict import percent

NAN = float("nan")


@dataclass(frozen=True)
class EffectRow:
    """Effect of one workload on one metric, before it is judged.

    Attributes
    ----------
    workload, metric : str
        What was compared.
    runs, exposed_minutes, days : int
        How much exposure there is.
    window : str
        First and last day of the comparison.
    placebo_reject_pct : float
        Share of placebos with p below alpha [%].
    not_assessed : mapping of str to str
        Why there is too little data, by kind (a key of `refusals.SETTLES`).
    refused : mapping of str to str
        Why the effect is not identifiable, by kind (a key of `refusals.SETTLES`).
    unstable : str
        The variant that reverses the sign of the effect.
    incomplete : str
        Why a part of the effect may have counted as none.
    fit : Fit, optional
        Effect on log latency; None if refused.
    average : Fit, optional
        Effect on the arithmetic mean [log].
    basis : {"typical", "average"}
        Which of the two the numbers are of.
    bad_minutes : float
        How many times as frequent bad minutes are.
    throughput_pct, at_equal_load_pct : float
        Effect on throughput and effect at equal load [%], if the effect includes the fall of throughput; else NaN.
    parts : mapping of str to float
        How much of the effect grows with the history held and how much does not (`dose_response.COLUMNS`) [%].
    effect_pct : float
        Effect [%]; NaN if refused.
    p, p_adjusted : float
        p-value by itself, and adjusted for the number of tests; NaN if refused.
    interval, interval_alone : tuple of float
        Interval that agrees with the adjusted p-value, and that of this effect by itself [%].
    tests : int
        How many tests the interval is adjusted for.
    alpha : float
        The intervals cover 1 - alpha.
    smallest_detectable_pct : float
        Smallest effect that is found with 80 % power [%].
    """

    workload: str
    metric: str
    runs: int
    exposed_minutes: int
    days: int
    window: str
    placebo_reject_pct: float
    not_assessed: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    unstable: str = ""
    incomplete: str = ""
    fit: Fit | None = None
    average: Fit | None = None
    basis: Literal["typical", "average"] = "typical"
    bad_minutes: float = NAN
    parts: Mapping[str, float] = field(default_factory=dict)
    throughput_pct: float = NAN
    at_equal_load_pct: float = NAN
    effect_pct: float = NAN
    p: float = NAN
    p_adjusted: float = NAN
    interval: tuple[float, float] = (NAN, NAN)
    interval_alone: tuple[float, float] = (NAN, NAN)
    tests: int = 0
    alpha: float = 0.05
    smallest_detectable_pct: float = NAN

    def effect(self) -> Effect:
        """The effect as `effect_level` judges it.

        Returns
        -------
        Effect
            Not assessed, not identifiable or unstable if the row has a reason for it.
        """
        return Effect(
            self.effect_pct,
            *self.interval,
            self.p_adjusted,
            *self.interval_alone,
            assessed=not self.not_assessed,
            identifiable=not self.refused,
            stable=not self.unstable,
            complete=not self.incomplete,
        )

    def as_printed(self, level: str) -> EffectRow:
        """The row with the interval that its level is judged by.

        Parameters
        ----------
        level : str
            A key of `effect_level.LEVELS`.

        Returns
        -------
        EffectRow
            The row; with `no material effect`, its interval is not adjusted.
        """
        if level != "no material effect":
            return self
        return replace(self, interval=self.interval_alone, tests=1)


def reason(row: EffectRow, level: str) -> str:
    """Why there is no plain answer: not assessed, confounded, or sensitive to an assumption.

    Parameters
    ----------
    row : EffectRow
        The effect.
    level : str
        A key of `effect_level.LEVELS`.

    Returns
    -------
    str
        The reason, as the second half of a sentence; empty for a plain answer.
    """
    if level == "inconclusive" and row.unstable:
        return f"the effect changes its sign in the variant “{row.unstable}”"
    if level == "inconclusive" and row.incomplete:
        return row.incomplete
    return "; ".join((row.not_assessed or row.refused).values())


UNSTABLE_ACTION = "Run a randomised trial (aurora-analysis experiment): it needs no such assumption."
INCOMPLETE_ACTION = "Pause the workload at random times for a week or two, or run a randomised trial (aurora-analysis experiment)."


def action(row: EffectRow, level: str) -> str:
    """The first thing to do: what would settle the question, or the action of the level.

    Parameters
    ----------
    row : EffectRow
        The effect.
    level : str
        A key of `effect_level.LEVELS`.

    Returns
    -------
    str
        One sentence, which agrees with `sentence`.
    """
    step = settling_step(row.not_assessed or row.refused, row.workload)
    if level in ("unknown", "cannot tell") and step:
        return f"{step[0].upper()}{step[1:]}."
    if level == "inconclusive" and row.unstable:
        return UNSTABLE_ACTION
    if level == "inconclusive" and row.incomplete:
        return INCOMPLETE_ACTION
    return ACTIONS[level]


def sentence(row: EffectRow, level: str, materiality_pct: float) -> str:
    """The answer with its number, interval and coverage.

    Parameters
    ----------
    row : EffectRow
        The effect.
    level : str
        A key of `effect_level.LEVELS`.
    materiality_pct : float
        Smallest effect that matters [%].

    Returns
    -------
    str
        One sentence; a second one for `unknown` and `cannot tell`, which names what would settle it, and for
        `inconclusive`, which gives the smallest true effect that would be detected.
    """
    metric = row.metric.replace("_", " ")
    explained = EXPLAINED.get(row.metric, metric)
    if level in ("unknown", "cannot tell"):
        return _unanswered(row, level, explained)
    answer = f"{_answer(row, level, explained, materiality_pct)} ({_interval(row)}; {_coverage(row)})."
    answer += _of_bad_minutes(row, level) + _of_throughput(row, metric)
    if level == "inconclusive" and not row.unstable:
        answer += (
            f" With data like these, a true effect of {row.smallest_detectable_pct:.1f} % would be detected in four cases "
            "of five."
        )
    return answer


def _unanswered(row: EffectRow, level: str, metric: str) -> str:
    """Why there is no effect, and what would settle the question."""
    why = reason(row, level) or "the estimate has no numbers"
    step = settling_step(row.not_assessed or row.refused, row.workload)
    to_settle = f" To settle this, {step}." if step else ""
    if level == "unknown":
        return f"{row.workload} was not assessed for {metric}: {why}.{to_settle}"
    return f"Cannot tell whether {row.workload} raises {metric}: {why}.{to_settle}"


def _answer(row: EffectRow, level: str, metric: str, materiality_pct: float) -> str:
    moved = f"{percent(row.effect_pct)} % {'higher' if row.effect_pct > 0 else 'lower'}"
    average = "average " * (row.basis == "average")
    measured = f"While {row.workload}'s queries run, the writer's {average}{metric} is {moved}"
    if level == "slows":
        return measured
    if level == "slows a little":
        just = "just " * (percent(row.effect_pct) == percent(materiality_pct))
        return f"{measured}, an estimate {just}below the {materiality_pct:g} % that count as material"
    if level == "speeds up":
        return f"{measured}: something else probably coincides with them"
    if level == "no material effect":
        small = row.p_adjusted <= row.alpha
        none = (
            f"{row.workload} has no material effect ({materiality_pct:g} % or more) on the writer's {metric}"
        )
        return f"{measured}, less than the {materiality_pct:g} % that count as material" if small else none
    undecided = f"It is undecided whether {row.workload} raises the writer's {metric}"
    why = reason(row, level)
    return undecided + (f": {why}" if why else "")


def _of_bad_minutes(row: EffectRow, level: str) -> str:
    """State how often minutes are bad, if that is why the workload is blamed."""
    if row.basis == "typical" or level not in SLOWER:
        return ""
    typical = f"{row.fit.effect_pct(0):+.1f} %" if row.fit else ""
    return (
        f" The effect is in the tail: a typical minute changes by {typical}, and bad minutes (the slowest tenth) are "
        f"{row.bad_minutes:.1f} times as frequent. The average counts no minute as more than {distribution.MOST:g} times slower."
    )


def _of_throughput(row: EffectRow, metric: str) -> str:
    """State the role of load, if the effect includes the fall of throughput."""
    if isnan(row.throughput_pct) or row.basis == "average":
        return ""
    return (
        f" Meanwhile write throughput is {percent(row.throughput_pct)} % lower, as when clients wait for their answers, "
        f"so the effect includes that relief; at equal load {metric} would change by {row.at_equal_load_pct:+.1f} %."
    )


def _interval(row: EffectRow) -> str:
    low, high = row.interval
    adjusted = f", adjusted for {row.tests} tests" if row.tests > 1 else ""
    return f"{100 * (1 - row.alpha):.0f} % confidence interval {low:+.1f} to {high:+.1f} %{adjusted}"


def _coverage(row: EffectRow) -> str:
    return f"{row.runs:,} runs on {row.days} days, {row.exposed_minutes:,} minutes in total, {row.window}"
