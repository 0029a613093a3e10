"""Verdicts on how long a query may run on a reader: the limit of the strictest and of the most lenient hour."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.analysis.effect_level import noun
from aurora_analysis.analysis.limits.longest_hold import BEYOND, suggested_limits
from aurora_analysis.analysis.limits.rates import WEEKDAYS
from aurora_analysis.analysis.limits.recorded import Recorded
from aurora_analysis.analysis.verdict import Figure, Severity, Verdict, duration
from aurora_analysis.engines.vocabulary import Words
from aurora_analysis.window import zone

TOPIC = "undo_log"


class Objective(Protocol):
    """The part of the options that a verdict uses."""

    @property
    def objective_pct(self) -> float:
        """Slowdown that is not to be exceeded [%]."""

    @property
    def timezone(self) -> str:
        """Time zone of weekdays and hours."""


SUBJECTS = {"queue_latency": "reader queries and the queue", "commit_latency": "reader queries"}
NOUNS = {"queue_latency": "the queue's statements", "commit_latency": "commits"}


def subject_of(metric: str) -> str:
    """Name what a limit is about.

    Parameters
    ----------
    metric : str
        The latency.

    Returns
    -------
    str
        Such as "reader queries and the queue".
    """
    return SUBJECTS.get(metric, f"reader queries and {noun_of(metric)}")


def noun_of(metric: str) -> str:
    """Name what becomes slower.

    Parameters
    ----------
    metric : str
        The latency.

    Returns
    -------
    str
        Such as "commits".
    """
    return NOUNS[metric] if metric in NOUNS else f"calls of {noun(metric)}"


EVIDENCE = (
    "Latency over the history list in recorded holds, with load, time of day, the writer's jobs and drift held constant; "
    "the commit rate of each hour; history entries per transaction"
)
DOSE_EVIDENCE = (
    "The dose identity: dead rows per changed row in recorded holds, buffers per call over dead rows, time per buffer; the rate of "
    "changed rows of each hour"
)


def verdict(holds: pd.DataFrame, recorded: Recorded, options: Objective, words: Words) -> Verdict:
    """Conclude how long a view may be held before one latency is higher by the objective.

    Parameters
    ----------
    holds : DataFrame
        Result of `longest_holds`, with the objective.
    recorded : Recorded
        The holds that it was learned from.
    options : Objective
        The objective, and the time zone of weekdays and hours.
    words : Words
        The engine's words for cleanup.

    Returns
    -------
    Verdict
        Level `limited`, `no limit found` or `inconclusive`.
    """
    objective_pct, timezone = options.objective_pct, options.timezone
    evidence = EVIDENCE if words.view == "read view" else DOSE_EVIDENCE
    mine = holds[holds["slowdown_pct"] == objective_pct]
    strictest, lenient = mine.iloc[mine["low_minutes"].argmin()], mine.iloc[mine["low_minutes"].argmax()]
    earliest = float(strictest["low_minutes"])
    subject, what = subject_of(str(strictest["metric"])), noun_of(str(strictest["metric"]))
    slower = f"{objective_pct:g} % slower"
    longest = BEYOND * recorded.longest_hold_s / 60
    most = duration(60 * longest)
    learned = (
        f"Learned from {len(recorded.episodes)} recorded holds, the longest {duration(recorded.longest_hold_s)}; nothing "
        f"is stated beyond twice that ({most})."
    )
    numbers: dict[str, Figure] = {
        "metric": str(strictest["metric"]),
        "objective_pct": objective_pct,
        "strictest_min": _figure(strictest["minutes"]),
        "strictest_low_min": _figure(strictest["low_minutes"]),
        "strictest_high_min": _figure(strictest["high_minutes"]),
        "lenient_min": _figure(lenient["minutes"]),
        "recorded_holds": len(recorded.episodes),
        "longest_hold_s": round(recorded.longest_hold_s),
    }
    if np.isinf(earliest):
        return Verdict(
            TOPIC, subject, "no limit found", "ok",
            f"At no hour of the week does a {words.view} of up to {most} make {what} {slower}: the whole 95 % prediction "
            f"interval lies beyond. {learned}",
            numbers, evidence, "Nothing to do.",
            f"No reader query of up to {most} makes {what} {slower}",
        )  # fmt: skip
    if np.isinf(mine["high_minutes"]).all():
        return Verdict(
            TOPIC, subject, "inconclusive", "unknown",
            f"A {words.view} may make {what} {slower} after {duration(60 * earliest)} at the earliest (lower end of the 95 % "
            f"prediction interval at {_at(strictest, timezone)}), or not within {most} at "
            f"all. {learned}",
            numbers, evidence, "Observe longer holds, or run a randomised trial (aurora-analysis experiment).",
            f"Undecided how long a reader query may run before {what} are {slower}",
        )  # fmt: skip
    over = _longer_than_the_limit(recorded, mine, timezone)
    severity: Severity = "watch" if over else "ok"
    suggested = suggested_limits(holds, objective_pct, recorded.longest_hold_s)["limit_min"]
    shortest, known = suggested.min(), bool(suggested.notna().all())
    action = (
        f"Set {words.time_limit} to {60_000 * shortest:.0f} ms ({duration(60 * shortest)}) for sessions on the readers whose {words.view}s can "
        f"hold up {words.cleanup}: the lower end of the prediction interval at the strictest hour "
        f"({duration(60 * min(earliest, longest))}), rounded down. The page has a limit for each hour; aurora-analysis review "
        "predicts a planned query."
        if known
        else "Run reader queries on a clone or in batches: at some hours even one minute may be too long."
    )
    return Verdict(
        TOPIC, subject, "limited", severity,
        f"A {words.view} on any reader makes {what} {slower} after {_limit(strictest, most)} at {_at(strictest, timezone)}, the "
        f"strictest hour, and after {_limit(lenient, most)} at {_at(lenient, timezone)}, the most lenient. {learned} "
        f"{_outlasted(over)} The limit assumes that no older view is open.",
        numbers | {"longer_than_limit": over}, evidence, action,
        f"Keep reader queries below {duration(60 * (shortest if known else earliest))}: at the strictest hour "
        f"({_at(strictest, timezone)}) {what} may be {slower} after {duration(60 * earliest)}",
    )  # fmt: skip


def not_known(
    reason: str,
    settled_by: str,
    metric: str = "commit_latency",
    *,
    level: str = "cannot tell",
    words: Words | None = None,
) -> Verdict:
    """State that the limit is not known, and why.

    Parameters
    ----------
    reason : str
        The reason, as the second half of a sentence.
    settled_by : str
        What would settle it.
    metric : str
        The latency.
    level : str
        `unknown` if there is too little data, `cannot tell` if they cannot identify the effect.
    words : Words, optional
        The engine's words for cleanup. Default: those of MySQL.

    Returns
    -------
    Verdict
        Of that level.
    """
    words = words or engines.words(engines.DEFAULT)
    on_mysql = words.view == "read view"
    what = noun_of(metric) if on_mysql else "the writer's statements"
    return Verdict(
        TOPIC, subject_of(metric), level, "unknown",
        f"The data cannot show how long a {words.view} may be held before {what} become slower: {reason}.",
        {"metric": metric}, EVIDENCE if on_mysql else DOSE_EVIDENCE, f"{settled_by[:1].upper()}{settled_by[1:]}.",
        f"{'Unknown' if level == 'unknown' else 'Cannot tell'} how long a reader query may run before {what} become slower",
    )  # fmt: skip


def _limit(row: pd.Series, most: str) -> str:
    low, high = _minutes(row["low_minutes"], most), _minutes(row["high_minutes"], most)
    return f"{_minutes(row['minutes'], most)} (95 % prediction interval {low} to {high})"


def _minutes(minutes: float, most: str) -> str:
    return f"more than {most}" if np.isinf(minutes) else duration(60 * minutes)


def _at(row: pd.Series, timezone: str) -> str:
    return f"{WEEKDAYS[int(row['weekday'])]} {int(row['hour']):02d}:00 {timezone}"


def _figure(minutes: float) -> float | None:
    return float(f"{minutes:.3g}") if np.isfinite(minutes) else None


def _longer_than_the_limit(recorded: Recorded, limits: pd.DataFrame, timezone: str) -> int:
    """Number of recorded holds that lasted longer than the limit of the hour in which they began."""
    limit = limits.set_index(["weekday", "hour"])["minutes"]
    starts = pd.DatetimeIndex(recorded.episodes["start"]).tz_convert(zone(timezone))
    held = (recorded.episodes["peak_at"] - recorded.episodes["start"]).dt.total_seconds().to_numpy() / 60
    allowed = limit.reindex(list(zip(starts.day_of_week, starts.hour))).to_numpy()
    return int((held > allowed).sum())


def _outlasted(count: int) -> str:
    few = {
        0: "None of them outlasted the limit of its hour.",
        1: "One of them outlasted the limit of its hour.",
    }
    return few.get(count, f"{count} of them outlasted the limit of their hour.")
