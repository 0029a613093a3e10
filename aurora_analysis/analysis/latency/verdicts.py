"""Verdicts on latency: did logged statements become slower against the previous window?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aurora_analysis.analysis.latency.samples import ALL, COUNTED, JUDGED, LOGGED, RATE
from aurora_analysis.analysis.latency.shifts import RESPONSE_FACTOR
from aurora_analysis.analysis.verdict import Severity, Verdict, signed, three_digits
from aurora_analysis.analysis.workload_change.weekly_variation import WEEKS_NEEDED


@dataclass(frozen=True)
class Thresholds:
    """Limits beyond which a shift of latency counts.

    Parameters
    ----------
    materiality_pct : float
        Smaller shifts do not matter [%]; 5 is the project's default for an effect that matters.
    executions_needed : int
        With fewer executions the verdict is `unknown`: of 100, only five lie above the p95.
    """

    materiality_pct: float = 5.0
    executions_needed: int = 100


HEADLINES = {
    "slower": "Statements on {instance} became slower",
    "faster": "Statements on {instance} became faster",
    "ordinary": "Latency on {instance} moved as it usually does from week to week",
    "no material shift": "Latency on {instance} did not shift materially",
    "inconclusive": "Inconclusive whether latency on {instance} shifted",
}
"""Level → headline."""

ACTIONS = {
    "slower": "Find the digest that moved most, and what changed: statements, parameters or load.",
    "faster": "Nothing to do; note what changed.",
    "ordinary": "Nothing to do.",
    "no material shift": "Nothing to do.",
    "inconclusive": "Compare longer windows, compare single digests, or lower {log_limit}.",
}
"""Level → first action."""

WEEKS_UNKNOWN = f"How much ordinary weeks differ is not known: the store has fewer than {WEEKS_NEEDED} weeks with this figure."

RESPONSE_LEAST = 0.5
"""Smallest share of a true shift by which the log's quantile must move; below it, the size of a shift is unknown."""

Row = Mapping[Hashable, float]


@dataclass(frozen=True)
class Comparison:
    """A window compared with the previous one and with earlier weeks.

    Parameters
    ----------
    executions : DataFrame
        Counts of the slow log in the window.
    cuts : DataFrame
        The result of `cut`.
    shifts : DataFrame
        The result of `judged`.
    rates : DataFrame
        The result of `rate_shift`.
    responses : Series
        The result of `response`.
    weeks : DataFrame
        The result of `against_weeks`.
    log_limit : str
        The setting from which duration on the log has a statement.
    """

    executions: pd.DataFrame
    cuts: pd.DataFrame
    shifts: pd.DataFrame
    rates: pd.DataFrame
    responses: pd.Series
    weeks: pd.DataFrame
    log_limit: str = "long_query_time"


@dataclass(frozen=True)
class _Compared:
    """One instance's part of the comparison; None where there is none."""

    instance: str
    total: int
    cut: Row
    quantile: Row | None
    rate: Row | None
    response: float
    weeks: Mapping[str, Row]
    log_limit: str

    @property
    def of(self) -> str:
        """Statements that the judged quantile covers."""
        return str((self.quantile or {}).get("of", LOGGED))

    @property
    def complete(self) -> bool:
        """Whether every statement counts in the quantile, so that the rate above a cut adds nothing."""
        limits = (self.cut.get("min_examined_row_limit", 0), self.cut.get("log_slow_rate_limit", 1))
        all_logged = (
            self.cut.get("long_query_time_ms", np.nan) == 0 and not limits[0] > 0 and not limits[1] > 1
        )
        return self.of == COUNTED or (self.of == LOGGED and all_logged)

    @property
    def moves(self) -> float:
        """Share of a true shift by which the judged quantile moves [0 to 1]; NaN if unknown."""
        return 1.0 if self.complete or self.of == ALL else self.response

    @property
    def logged(self) -> str:
        """Number of logged executions and the cut, in words."""
        cut_ms = self.cut.get("long_query_time_ms", np.nan)
        return f"{self.total:,} executions" + (
            f" of at least {three_digits(cut_ms)} ms" if cut_ms > 0 else ""
        )

    @property
    def subject(self) -> str:
        """Statements that the judged quantile covers, in words."""
        return {
            COUNTED: "all statements",
            ALL: f"all statements, of which the log holds {self.logged},",
        }.get(self.of, self.logged)


def verdicts(comparison: Comparison, thresholds: Thresholds = Thresholds()) -> list[Verdict]:
    """Judge the shift of latency on each instance.

    The judged quantile is of all statements where histograms, or the log and the total number, determine one. Otherwise it
    is the p95 of logged statements, and the rate of logged executions is judged before it, because a slowdown pushes
    statements over the cut that were too fast for the log, and these lower its quantiles. While the rate rises no verdict
    is `faster`, and while it rises materially none is `no material shift`: it is `slower` if the share of all statements
    above the cut is known to rise, else `inconclusive`. While the rate falls, a higher quantile is `inconclusive`, for the
    reverse reason. Near a cut a quantile moves by a part of a true shift only, and under a Pareto tail not at all:
    `no material shift` allows for that.

    A shift that is within the variation of earlier weeks is `ordinary`. Where the store has too few weeks, the sentence
    says that their variation is not known.

    Parameters
    ----------
    comparison : Comparison
        The window compared with the previous one and with earlier weeks.
    thresholds : Thresholds
        When a shift counts.

    Returns
    -------
    list of Verdict
        One per instance, with the level `slower`, `faster`, `ordinary`, `no material shift`, `inconclusive` or `unknown`; a
        single `unknown` verdict if there are no executions.
    """
    logged = comparison.executions.groupby("instance")["count"].sum()
    judged = comparison.shifts.set_index("instance").to_dict("index")
    counted = [instance for instance, row in judged.items() if row["of"] == COUNTED]
    totals = dict.fromkeys(counted, 0) | logged[logged > 0].to_dict()
    if not totals:
        return [_no_executions()]
    rates = comparison.rates.set_index("instance").to_dict("index")
    limits = comparison.cuts.set_index("instance").to_dict("index")
    return [
        _verdict(
            _Compared(
                str(instance),
                int(total),
                limits.get(instance, {}),
                judged.get(instance),
                rates.get(instance),
                float(comparison.responses.get(instance, np.nan)),
                _weeks(comparison.weeks, instance, judged.get(instance)),
                comparison.log_limit,
            ),
            thresholds,
        )
        for instance, total in sorted(totals.items())
    ]


def _weeks(weeks: pd.DataFrame, instance: Hashable, quantile: Row | None) -> dict[str, Row]:
    """The instance's comparison with earlier weeks: of its rate, and of the judged quantile."""
    mine = weeks[(weeks["instance"] == instance) & weeks["spread_pct"].notna()]
    judged = (mine["of"] == (quantile or {}).get("of")) & (
        mine["quantile"] == (quantile or {}).get("quantile")
    )
    return {str(row["of"]): row for row in mine[judged | (mine["of"] == RATE)].to_dict("records")}


def _no_executions() -> Verdict:
    return Verdict(
        "latency",
        "all instances",
        "unknown",
        "unknown",
        "No execution reached the slow log or a histogram in this window, so latency is unknown.",
        action="Check the coverage table, and that the slow log is on.",
        headline="Latency is unknown: no executions",
    )


def _verdict(one: _Compared, thresholds: Thresholds) -> Verdict:
    numbers: dict[str, float | int | str | None] = {
        "executions": one.total,
        "quantile": (one.quantile or {}).get("quantile", JUDGED),
    }
    if one.of != COUNTED and one.total < thresholds.executions_needed:
        reason = f"{one.logged} are too few to estimate a shift"
        return _unknown(one.instance, reason, f"Lower {one.log_limit}, or compare a longer window.", numbers)
    if one.quantile is None:
        reason = f"{one.logged}, but none in the previous window to compare with"
        action = (
            "Fetch the previous window, or keep fetching: the next window will have this one to compare with."
        )
        return _unknown(one.instance, reason, action, numbers)
    level = _level(one, thresholds.materiality_pct)
    return Verdict(
        "latency",
        one.instance,
        level,
        SEVERITY[level],
        _sentence(one, level, thresholds.materiality_pct),
        numbers | _numbers(one),
        "the figure of the shift",
        ACTIONS[level].format(log_limit=one.log_limit),
        HEADLINES[level].format(instance=one.instance),
    )


SEVERITY: dict[str, Severity] = {
    "slower": "watch",
    "faster": "ok",
    "ordinary": "ok",
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


def _unknown(
    instance: str, reason: str, action: str, numbers: dict[str, float | int | str | None]
) -> Verdict:
    return Verdict(
        "latency",
        instance,
        "unknown",
        "unknown",
        f"{instance}: {reason}.",
        numbers,
        "the table of quantiles",
        action,
        f"Unknown whether latency on {instance} shifted",
    )


def _sentence(one: _Compared, level: str, materiality_pct: float) -> str:
    shift = one.quantile or {}
    parts = [
        f"The p{shift['quantile'] * 100:g} of {one.subject} went from {three_digits(shift['before_ms'])} to "
        f"{three_digits(shift['latency_ms'])} ms: "
        f"{_change(shift['shift_pct'], shift['low_pct'], shift['high_pct'])} against the previous window."
    ]
    if not one.complete:
        parts.append(_rate_sentence(one.rate))
    if level not in (_quantile_level(one, materiality_pct), "ordinary"):
        parts.append(_disagreement(one.rate, materiality_pct))
    if not one.moves >= RESPONSE_LEAST:
        parts.append(_size_unknown(one.moves))
    return " ".join([*parts, *_week_sentences(one)])


def _size_unknown(moves: float) -> str:
    """State that the log alone does not show the size of a shift, because its quantile hardly follows one."""
    if np.isnan(moves):
        return "Nearly all logged executions are just above the log's limit, so the log does not show the size of a shift."
    true, seen = 100 * (RESPONSE_FACTOR - 1), 100 * (RESPONSE_FACTOR**moves - 1)
    return (
        f"Because statements cross the log's limit, a true shift of +{true:.0f} % would move this quantile by about {seen:.0f} %, "
        "so the log does not show the size of a shift."
    )


def _week_sentences(one: _Compared) -> list[str]:
    """Compare the judged quantile, and the rate above the cut, with earlier weeks."""
    names = {one.of: "This quantile"} | ({} if one.complete else {RATE: "The rate of logged executions"})
    known = {name: one.weeks[of] for of, name in names.items() if of in one.weeks}
    if not known:
        return [WEEKS_UNKNOWN]
    return [
        f"{name} is {signed(row['from_usual_pct'])} % from the mean of {row['earlier_weeks']:.0f} earlier weeks, and an "
        f"ordinary week is {signed(row['low_pct'])} to {signed(row['high_pct'])} % from it (95 % prediction interval)."
        for name, row in known.items()
    ]


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
    """A change with its interval, such as "+8 % (95 % confidence interval -4 to +35 %)"; the reason if there is no interval."""
    if np.isnan(low):
        return f"{signed(percent)} % (too few blocks of time for an interval)"
    return f"{signed(percent)} % (95 % confidence interval {signed(low)} to {signed(high)} %)"


def _level(one: _Compared, materiality_pct: float) -> str:
    """The level against the previous window, or `ordinary` if weeks usually differ so."""
    level = _level_against_previous(one, materiality_pct)
    if level not in ("slower", "faster"):
        return level
    by_rate = not one.complete and one.rate is not None and _rises(one.rate, materiality_pct)
    judged = [RATE, one.of] if by_rate else [one.of]
    return "ordinary" if all(_is_ordinary(one.weeks.get(of)) for of in judged) else level


def _is_ordinary(against_weeks: Row | None) -> bool:
    """Return whether a figure is known to be within the variation of earlier weeks."""
    return against_weeks is not None and (
        against_weeks["low_pct"] <= against_weeks["from_usual_pct"] <= against_weeks["high_pct"]
    )


def _level_against_previous(one: _Compared, materiality_pct: float) -> str:
    """The level of the quantile, unless the rate above the cut contradicts it."""
    level = _quantile_level(one, materiality_pct)
    if one.complete:
        return level
    if one.rate is not None and _rises(one.rate, materiality_pct) and not np.isnan(one.rate["traffic"]):
        return "slower"
    contradicts = {
        "slower": one.rate is not None and _falls(one.rate, materiality_pct),
        "faster": not _no_rise(one.rate, 0),
        "no material shift": not _no_rise(one.rate, materiality_pct),
    }
    return "inconclusive" if contradicts.get(level, False) else level


def _rises(rate: Row, materiality_pct: float) -> bool:
    return rate["rate_low_pct"] > 0 and rate["rate_pct"] >= materiality_pct


def _falls(rate: Row, materiality_pct: float) -> bool:
    return rate["rate_high_pct"] < 0 and rate["rate_pct"] <= -materiality_pct


def _no_rise(rate: Row | None, least_pct: float) -> bool:
    """Return whether the rate is known and did not rise by more than `least_pct`; an unknown rate never leads to `ok`."""
    return rate is not None and not np.isnan(rate["rate_low_pct"]) and rate["rate_pct"] <= least_pct


def _quantile_level(one: _Compared, materiality_pct: float) -> str:
    """The level by the quantile alone: the first rule that holds; without an interval `inconclusive`."""
    shift = one.quantile or {}
    if shift["low_pct"] > 0 and shift["shift_pct"] >= materiality_pct:
        return "slower"
    if shift["high_pct"] < 0 and shift["shift_pct"] <= -materiality_pct:
        return "faster"
    follows = materiality_pct * one.moves  # how far the quantile moves if all statements shift materially
    if shift["low_pct"] > -follows and shift["high_pct"] < follows:
        return "no material shift"
    return "inconclusive"
