"""Verdicts on latency: did logged statements become slower against the window before?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aurora_analysis.analysis.latency.distributions import three_digits
from aurora_analysis.analysis.verdict import Severity, Verdict


@dataclass(frozen=True)
class Thresholds:
    """When a shift of latency counts.

    Parameters
    ----------
    quantile : float
        The quantile that is judged.
    materiality_pct : float
        Smaller shifts do not matter [%]; 5 is the project's default for an effect that matters.
    executions_needed : int
        With fewer executions the verdict is `unknown`: of 100, only five lie above the p95.
    """

    quantile: float = 0.95
    materiality_pct: float = 5.0
    executions_needed: int = 100


HEADLINES = {
    "slower": "Statements on {instance} became slower",
    "faster": "Statements on {instance} became faster",
    "no material shift": "Latency on {instance} did not shift materially",
    "inconclusive": "Inconclusive whether latency on {instance} shifted",
}
"""Level → headline."""

ACTIONS = {
    "slower": "Find the digest that moved most, and what changed: statements, parameters or load.",
    "faster": "Nothing to do; note what changed.",
    "no material shift": "Nothing to do.",
    "inconclusive": "Compare longer windows, or compare single digests.",
}
"""Level → first action."""


def verdicts(
    shifts: pd.DataFrame,
    executions: pd.DataFrame,
    cuts: pd.DataFrame,
    thresholds: Thresholds = Thresholds(),
) -> list[Verdict]:
    """Judge the shift of latency on each instance.

    Two windows do not show how much ordinary weeks differ; the sentence says so.

    Parameters
    ----------
    shifts : DataFrame
        The result of `shift` by instance.
    executions : DataFrame
        Counts in the window.
    cuts : DataFrame
        The result of `cut`.
    thresholds : Thresholds
        When a shift counts.

    Returns
    -------
    list of Verdict
        One per instance, with the level `slower`, `faster`, `no material shift`, `inconclusive` or `unknown`; a single
        `unknown` verdict if there are no executions.
    """
    if executions.empty:
        return [_no_executions()]
    totals = executions.groupby("instance")["count"].sum()
    judged = shifts[shifts["quantile"] == thresholds.quantile].set_index("instance").to_dict("index")
    limits = cuts.set_index("instance")["long_query_time_ms"]
    return [
        _verdict(str(instance), int(total), limits.get(instance, np.nan), judged.get(instance), thresholds)
        for instance, total in totals.sort_index().items()
    ]


def _no_executions() -> Verdict:
    return Verdict(
        "latency",
        "all instances",
        "unknown",
        "unknown",
        "No execution reached the slow log or a histogram in this window, so latency is unknown.",
        action="Check the coverage table, and that slow_query_log is on.",
        headline="Latency is unknown: no executions",
    )


def _verdict(
    instance: str,
    total: int,
    cut_ms: float,
    shift: Mapping[Hashable, float] | None,
    thresholds: Thresholds,
) -> Verdict:
    above = f" of at least {three_digits(cut_ms)} ms" if cut_ms > 0 else ""
    logged = f"{total:,} executions{above}"
    numbers: dict[str, float | int | str | None] = {"executions": total, "quantile": thresholds.quantile}
    if total < thresholds.executions_needed:
        return _unknown(instance, f"{logged} are too few to estimate a shift", numbers)
    if shift is None:
        return _unknown(instance, f"{logged}, but none in the window before to compare with", numbers)
    level, severity = _level(shift, thresholds.materiality_pct)
    columns = ("before_ms", "latency_ms", "shift_pct", "low_pct", "high_pct")
    return Verdict(
        "latency",
        instance,
        level,
        severity,
        _sentence(logged, shift, thresholds.quantile),
        numbers | {name: round(float(shift[name]), 4) for name in columns},
        "the figure of the shift",
        ACTIONS[level],
        HEADLINES[level].format(instance=instance),
    )


def _unknown(instance: str, reason: str, numbers: dict[str, float | int | str | None]) -> Verdict:
    return Verdict(
        "latency",
        instance,
        "unknown",
        "unknown",
        f"{instance}: {reason}.",
        numbers,
        "the table of quantiles",
        "Keep fetching: the next window will have this one to compare with.",
        f"Unknown whether latency on {instance} shifted",
    )


def _sentence(logged: str, shift: Mapping[Hashable, float], quantile: float) -> str:
    return (
        f"The p{quantile * 100:.0f} of {logged} went from {three_digits(shift['before_ms'])} "
        f"to {three_digits(shift['latency_ms'])} ms: {_change(shift['shift_pct'], shift)} against the previous window. "
        "Two windows do not show how much ordinary weeks differ."
    )


def _change(percent: float, interval: Mapping[Hashable, float]) -> str:
    """A change with its interval, such as "+8 % [-4, +35]"; without one if there are too few blocks."""
    if np.isnan(interval["low_pct"]):
        return f"{percent:+.0f} % (too few blocks of time for an interval)"
    return f"{percent:+.0f} % [{interval['low_pct']:+.0f}, {interval['high_pct']:+.0f}]"


def _level(shift: Mapping[Hashable, float], materiality_pct: float) -> tuple[str, Severity]:
    """The first rule that holds; without an interval the result is `inconclusive`."""
    if shift["low_pct"] > 0 and shift["shift_pct"] >= materiality_pct:
        return "slower", "watch"
    if shift["high_pct"] < 0 and shift["shift_pct"] <= -materiality_pct:
        return "faster", "ok"
    if shift["low_pct"] > -materiality_pct and shift["high_pct"] < materiality_pct:
        return "no material shift", "ok"
    return "inconclusive", "unknown"
