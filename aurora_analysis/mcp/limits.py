"""Compute a cluster's limits, and review planned queries, from a store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite, isnan

from aurora_analysis.analysis import limits
from aurora_analysis.analysis.limits import rates
from aurora_analysis.analysis.limits.answer import WAIT
from aurora_analysis.analysis.limits.replay import Interval
from aurora_analysis.analysis.limits.review import Alternative
from aurora_analysis.config import Groups
from aurora_analysis.errors import Error
from aurora_analysis.mcp import models
from aurora_analysis.printable import printable
from aurora_analysis.store import Store
from aurora_analysis.store.observations import observe
from aurora_analysis.window import Window

LEARN_DAYS = 28
"""Number of the store's newest days from which limits are learned."""

LONGEST_MIN = 7 * 1440.0
"""Longest hold that is reviewed [min]."""


@dataclass(frozen=True)
class Statement:
    """A SELECT under review, without its literals, and its longest logged run [s] if there is one."""

    digest: str
    fingerprint: str
    longest_s: float | None


class Limits:
    """Learn the limits of each cluster once, and answer from them.

    Parameters
    ----------
    store : Store
        Where the clusters are.
    groups : Groups
        Rules that name workloads and jobs.
    is_sample : bool
        Whether the store is the bundled sample.
    statement : callable
        Returns the SELECT of a text by its fingerprint, with its logged runs in a window of a cluster.
    """

    def __init__(
        self,
        store: Store,
        groups: Groups,
        is_sample: bool,
        statement: Callable[[Store, Window, str, str], Statement],
    ) -> None:
        self._store, self._groups, self._is_sample, self._statement = store, groups, is_sample, statement
        self._learned: dict[str, tuple[Window, limits.Answer]] = {}
        self._lock = threading.Lock()

    def limit(self, cluster: str, hour: str) -> models.Limit:
        """Return how long a view may be held from an hour of the week on, or why that is not known."""
        minute = rates.minute_of_week(hour)
        window, answer = self._answer(cluster)
        weekday, of_day = divmod(int(minute) // 60, 24)
        found = limits.at_hour(answer, weekday, of_day)
        figures = (found.minutes, found.low_minutes, found.high_minutes) if found else (None, None, None)
        minutes, low, high = map(_figure, figures)
        reason = None
        if found is None:
            reason = answer.reason or "this hour of the week has no recorded commits"
        return models.Limit(
            cluster=printable(cluster),
            hour=f"{rates.WEEKDAYS[weekday]} {of_day:02d}:00 {answer.options.timezone}",
            learned_from_start=_iso(window)[0],
            learned_from_end=_iso(window)[1],
            objective_pct=answer.options.objective_pct,
            minutes=minutes,
            low_minutes=low,
            high_minutes=high,
            most_minutes=_figure(found.most_minutes if found else None),
            metric=found.metric if found else None,
            holds=found.holds if found else None,
            reason=reason,
            next_step=(answer.settled_by or WAIT) if reason else None,
            is_sample=self._is_sample,
        )

    def review(self, cluster: str, hold_min: float, sql: str, start: str) -> models.Review:
        """Predict what a query does to the writer that holds a view for so long, or for its longest logged run."""
        window, answer = self._answer(cluster)
        statement = self._statement(self._store, window, cluster, sql) if sql.strip() else None
        minutes = _minutes(hold_min, statement)
        first = rates.minute_of_week(start) if start else None
        request = limits.Request(minutes, first, answer.options.objective_pct)
        found = limits.review(answer, request)
        begin, end = _iso(window)
        sentences = [printable(line) for line in found.sentences]
        return models.Review(
            cluster=printable(cluster),
            level=found.level,
            headline=printable(found.headline),
            sentences=sentences,
            reason=_reason(answer, sentences) if found.level == "cannot tell" else None,
            learned_from_start=begin,
            learned_from_end=end,
            hold_min=minutes,
            objective_pct=found.request.objective_pct,
            digest=statement.digest if statement else None,
            fingerprint=printable(statement.fingerprint) if statement else None,
            as_planned=_plan(found.as_planned) if found.as_planned else None,
            alternatives=[_plan(one) for one in found.alternatives],
            safest_hours=[_plan(one) for one in found.safest],
            is_sample=self._is_sample,
        )

    def _answer(self, cluster: str) -> tuple[Window, limits.Answer]:
        if cluster not in self._store.clusters():
            raise Error("The store has no cluster of this name: call `clusters` for the names.")
        with self._lock:
            if cluster not in self._learned:
                whole = self._store.span(cluster)
                window = Window(max(whole.start, whole.end - timedelta(days=LEARN_DAYS)), whole.end)
                self._learned[cluster] = (
                    window,
                    limits.answer(observe(self._store, window, cluster), self._groups),
                )
            return self._learned[cluster]


def _minutes(hold_min: float, statement: Statement | None) -> float:
    """Return how long the view is held [min]."""
    if hold_min < 0 or not isfinite(hold_min) or hold_min > LONGEST_MIN:
        raise Error(f"hold_min is above 0 and at most {LONGEST_MIN:g}, a week.")
    if hold_min:
        return hold_min
    if statement is None:
        raise Error("Give hold_min, or sql with the one SELECT under review.")
    if not statement.longest_s:
        raise Error(
            "The store has no logged run of this statement, so its duration is not known: give hold_min."
        )
    return statement.longest_s / 60


def _reason(answer: limits.Answer, sentences: list[str]) -> str:
    return (
        printable(answer.reason)
        or " ".join(one for one in sentences if " not predicted" in one)
        or sentences[0]
    )


def _plan(one: Alternative) -> models.Plan:
    found = one.outcome
    return models.Plan(
        name=one.name,
        how=one.how,
        start=one.start,
        level=one.level,
        history_list=_interval(found.length),
        slowdown_pct=_interval(found.slowdown_pct),
        minutes_over_objective=_interval(found.minutes_over),
        drained_after_min=_interval(found.drain_min),
    )


def _interval(found: Interval) -> models.Interval:
    return models.Interval(_figure(found.value), _figure(found.low), _figure(found.high))


def _figure(value: float | None) -> models.Value:
    """Round to four significant digits; null if unknown, `beyond` if longer than any recorded hold."""
    if value is None or isnan(value):
        return None
    return float(f"{value:.4g}") if isfinite(value) else "beyond"


def _iso(window: Window) -> tuple[str, str]:
    return f"{window.start:%Y-%m-%dT%H:%M:%SZ}", f"{window.end:%Y-%m-%dT%H:%M:%SZ}"
