"""Verdicts on latency: did logged statements become slower against the previous window?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aurora_analysis.analysis.verdict import Severity, Verdict, three_digits


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
    "inconclusive": "Compare longer windows, compare single digests, or lower long_query_time.",
}
"""Level → first action."""

WEEKS_UNKNOWN = "Two windows do not show how much ordinary weeks differ."

Row = Mapping[Hashable, float]


@dataclass(frozen=True)
class _Compared:
    """One instance's logged executions, its cut, and its shifts against the previous window; None where there is none."""

    instance: str
    total: int
    cut: Row
    quantile: Row | None
    rate: Row | None

    @property
    def complete(self) -> bool:
        """Whether the log holds every statement, so that its quantiles are those of all statements."""
        limits = (self.cut.get("min_examined_row_limit", 0), self.cut.get("log_slow_rate_limit", 1))
        return self.cut.get("long_query_time_ms", np.nan) == 0 and not limits[0] > 0 and not limits[1] > 1

    @property
    def logged(self) -> str:
        """Number of logged executions and the cut, in words."""
        cut_ms = self.cut.get("long_query_time_ms", np.nan)
        return f"{self.total:,} executions" + (
            f" of at least {three_digits(cut_ms)} ms" if cut_ms > 0 else ""
        )


def verdicts(
    shifts: pd.DataFrame,
    rates: pd.DataFrame,
    executions: pd.DataFrame,
    cuts: pd.DataFrame,
    thresholds: Thresholds = Thresholds(),
) -> list[Verdict]:
    """Judge the shift of latency on each instance.

    The rate of logged executions is judged before their quantile, because a slowdown pushes statements over the cut that
    were too fast for the log, and these lower its quantiles. While the rate rises beyond noise no verdict is `faster` or
    `no material shift`: it is `slower` if the share of all statements above the cut is known to rise, else
    `inconclusive`. While the rate falls, a higher quantile is `inconclusive`, for the reverse reason. A truncated Pareto
    tail has the same quantiles at any scale, so there only the rate can show a shift.

    Two windows do not show how much ordinary weeks differ; the sentence says so.

    Parameters
    ----------
    shifts : DataFrame
        The result of `shift` by instance.
    rates : DataFrame
        The result of `rate_shift`.
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
    totals = executions.groupby("instance")["count"].sum()
    if not totals.sum() > 0:
        return [_no_executions()]
    judged = shifts[shifts["quantile"] == thresholds.quantile].set_index("instance").to_dict("index")
    counted = rates.set_index("instance").to_dict("index")
    limits = cuts.set_index("instance").to_dict("index")
    return [
        _verdict(
            _Compared(
                str(instance),
                int(total),
                limits.get(instance, {}),
                judged.get(instance),
                counted.get(instance),
            ),
            thresholds,
        )
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


def _verdict(one: _Compared, thresholds: Thresholds) -> Verdict:
    numbers: dict[str, float | int | str | None] = {"executions": one.total, "quantile": thresholds.quantile}
    if one.total < thresholds.executions_needed:
        return _unknown(one.instance, f"{one.logged} are too few to estimate a shift", numbers)
    if one.quantile is None:
        reason = f"{one.logged}, but none in the previous window to compare with"
        return _unknown(one.instance, reason, numbers)
    level = _level(one, thresholds.materiality_pct)
    return Verdict(
        "latency",
        one.instance,
        level,
        SEVERITY[level],
        _sentence(one, level, thresholds),
        numbers | _numbers(one),
        "the figure of the shift",
        ACTIONS[level],
        HEADLINES[level].format(instance=one.instance),
    )


SEVERITY: dict[str, Severity] = {
    "slower": "watch",
    "faster": "ok",
    "no material shift": "ok",
    "inconclusive": "unknown",
}
"""Level → severity."""


def _numbers(one: _Compared) -> dict[str, float | None]:
    columns = ("before_ms", "latency_ms", "shift_pct", "low_pct", "high_pct")
    rates = ("rate_pct", "rate_low_pct", "rate_high_pct")
    values = {name: one.quantile[name] for name in columns} if one.quantile else {}
    values |= {name: one.rate[name] for name in rates} if one.rate else {}
    return {name: None if np.isnan(value) else round(float(value), 4) for name, value in values.items()}


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


def _sentence(one: _Compared, level: str, thresholds: Thresholds) -> str:
    shift = one.quantile or {}
    parts = [
        f"The p{thresholds.quantile * 100:.0f} of {one.logged} went from {three_digits(shift['before_ms'])} to "
        f"{three_digits(shift['latency_ms'])} ms: "
        f"{_change(shift['shift_pct'], shift['low_pct'], shift['high_pct'])} against the previous window."
    ]
    if not one.complete:
        parts.append(_rate_sentence(one.rate))
    if level != _quantile_level(shift, thresholds.materiality_pct):
        parts.append(_disagreement(one.rate, thresholds.materiality_pct))
    return " ".join([*parts, WEEKS_UNKNOWN])


def _rate_sentence(rate: Row | None) -> str:
    if rate is None:
        return "How the number of logged executions moved is unknown."
    change = _change(rate["rate_pct"], rate["rate_low_pct"], rate["rate_high_pct"])
    counts = f"{rate['logged_before']:,.0f} to {rate['logged']:,.0f}"
    if np.isnan(rate["traffic"]):
        return f"Logged executions went from {counts}: {change}; the number of all statements is unknown."
    return f"Logged executions went from {counts}; as a share of all statements they moved by {change}."


def _disagreement(rate: Row | None, materiality_pct: float) -> str:
    """Why the level is not that of the quantile."""
    if rate is not None and _falls(rate, materiality_pct):
        return "Fewer statements exceed the cut, which by itself raises the log's quantiles."
    if rate is not None and rate["rate_pct"] >= materiality_pct:
        return "More statements exceed the cut, which by itself lowers the log's quantiles."
    return "Without a clear rate the log's quantiles alone do not show that statements are no slower."


def _change(percent: float, low: float, high: float) -> str:
    """A change with its interval, such as "+8 % [-4, +35]"; without one if there are too few blocks."""
    if np.isnan(low):
        return f"{percent:+.0f} % (too few blocks of time for an interval)"
    return f"{percent:+.0f} % [{low:+.0f}, {high:+.0f}]"


def _level(one: _Compared, materiality_pct: float) -> str:
    """The level of the quantile, unless the rate above the cut contradicts it."""
    level = _quantile_level(one.quantile or {}, materiality_pct)
    if one.complete:
        return level
    if one.rate is not None and _rises(one.rate, materiality_pct) and not np.isnan(one.rate["traffic"]):
        return "slower"
    contradicts = {
        "slower": one.rate is not None and _falls(one.rate, materiality_pct),
        "faster": not _no_rise(one.rate, materiality_pct) or (one.rate or {})["rate_low_pct"] > 0,
        "no material shift": not _no_rise(one.rate, materiality_pct),
    }
    return "inconclusive" if contradicts.get(level, False) else level


def _rises(rate: Row, materiality_pct: float) -> bool:
    return rate["rate_low_pct"] > 0 and rate["rate_pct"] >= materiality_pct


def _falls(rate: Row, materiality_pct: float) -> bool:
    return rate["rate_high_pct"] < 0 and rate["rate_pct"] <= -materiality_pct


def _no_rise(rate: Row | None, materiality_pct: float) -> bool:
    """Whether the rate is known and did not rise materially; an unknown rate never leads to `ok`."""
    return rate is not None and not np.isnan(rate["rate_low_pct"]) and rate["rate_pct"] < materiality_pct


def _quantile_level(shift: Row, materiality_pct: float) -> str:
    """The level by the quantile alone: the first rule that holds; without an interval `inconclusive`."""
    if shift["low_pct"] > 0 and shift["shift_pct"] >= materiality_pct:
        return "slower"
    if shift["high_pct"] < 0 and shift["shift_pct"] <= -materiality_pct:
        return "faster"
    if shift["low_pct"] > -materiality_pct and shift["high_pct"] < materiality_pct:
        return "no material shift"
    return "inconclusive"
