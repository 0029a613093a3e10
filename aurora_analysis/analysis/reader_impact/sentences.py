"""Word the effect of one workload on one metric: its reason and its sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aurora_analysis.analysis.effect_level import Effect
from aurora_analysis.analysis.reader_impact.refusals import SETTLES

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
    placebo_reject_pct : float
        Share of placebos with p below alpha [%].
    not_assessed : str
        Why there is too little data.
    refused : mapping of str to str
        Why the effect is not identifiable, by kind (a key of `SETTLES`).
    unstable : str
        The variant that reverses the sign of the effect.
    effect_pct, ci_low_pct, ci_high_pct : float
        Effect and interval [%]; NaN if refused.
    p : float
        p-value; NaN if refused.
    smallest_detectable_pct : float
        Smallest effect that would have been found with 80 % power [%].
    """

    workload: str
    metric: str
    runs: int
    exposed_minutes: int
    days: int
    placebo_reject_pct: float
    not_assessed: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    unstable: str = ""
    effect_pct: float = NAN
    ci_low_pct: float = NAN
    ci_high_pct: float = NAN
    p: float = NAN
    smallest_detectable_pct: float = NAN

    def effect(self, p_adjusted: float) -> Effect:
        """The effect as `effect_level` judges it.

        Parameters
        ----------
        p_adjusted : float
            p-value adjusted for the number of tests [0 to 1].

        Returns
        -------
        Effect
            Not assessed, not identifiable or unstable if the row has a reason for it.
        """
        return Effect(
            self.effect_pct,
            self.ci_low_pct,
            self.ci_high_pct,
            p_adjusted,
            assessed=not self.not_assessed,
            identifiable=not self.refused,
            stable=not self.unstable,
        )


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
    return row.not_assessed or "; ".join(row.refused.values())


def sentence(row: EffectRow, level: str, alpha: float) -> str:
    """The answer with its number, interval and coverage.

    Parameters
    ----------
    row : EffectRow
        The effect.
    level : str
        A key of `effect_level.LEVELS`.
    alpha : float
        The interval covers 1 - alpha.

    Returns
    -------
    str
        One sentence; two for `cannot tell`, which also names what would settle it.
    """
    metric = row.metric.replace("_", " ")
    if level == "unknown":
        return f"{row.workload} was not assessed for {metric}: {reason(row, level)}."
    if level == "cannot tell":
        next_step = SETTLES[next(iter(row.refused))].format(workload=row.workload)
        return f"Cannot tell whether {row.workload} raises {metric}: {reason(row, level)}. To settle this, {next_step}."
    return f"{_answer(row, level, metric)} ({_interval(row, alpha)}; {_coverage(row)})."


def _answer(row: EffectRow, level: str, metric: str) -> str:
    size = f"{abs(row.effect_pct):.1f} %"
    if level == "slows":
        return f"While {row.workload}'s queries run, the writer's {metric} is {size} higher"
    if level == "no material effect":
        return f"{row.workload} has no material effect on the writer's {metric}"
    if level == "speeds up":
        return (
            f"While {row.workload}'s queries run, the writer's {metric} is {size} lower: "
            "something else probably coincides with them"
        )
    detectable = f"{row.smallest_detectable_pct:.1f} %"
    undecided = (
        f"It is undecided whether {row.workload} raises the writer's {metric}: "
        f"an effect of {detectable} or more would have been found"
    )
    return undecided + (f", but {reason(row, level)}" if row.unstable else "")


def _interval(row: EffectRow, alpha: float) -> str:
    limits = f"{row.ci_low_pct:+.1f} to {row.ci_high_pct:+.1f} %"
    return f"{100 * (1 - alpha):.0f} % confidence interval {limits}"


def _coverage(row: EffectRow) -> str:
    return f"{row.runs} runs on {row.days} days, {row.exposed_minutes:,} exposed minutes"
