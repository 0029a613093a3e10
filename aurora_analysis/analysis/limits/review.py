"""Review a query that has not run yet: what its read view would do to the writer, and which alternative does less."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isfinite, nan

import numpy as np

from aurora_analysis.analysis.limits.answer import Answer
from aurora_analysis.analysis.limits.effect_curve import Curve
from aurora_analysis.analysis.limits.growth import Growth
from aurora_analysis.analysis.limits.longest_hold import BEYOND, SUGGESTED
from aurora_analysis.analysis.limits.rates import WEEKDAYS
from aurora_analysis.analysis.limits.recorded import Recorded
from aurora_analysis.analysis.limits.replay import Interval, Outcome, Plan, chunked, one_hold, replayed
from aurora_analysis.analysis.limits.verdicts import noun_of
from aurora_analysis.analysis.verdict import duration, large, three_digits
from aurora_analysis.engines.vocabulary import Words

SAFEST = 5
"""Number of safest hours that are listed."""

RENEWED_MIN = 1.0
"""Longest age of a view that an Aurora reader renews while the statement runs [min]; an assumption."""

MEASURES = {"purge": "history list [transactions]", "vacuum": "dead rows"}
"""Noun of the backlog, by the engine's word for cleanup."""

NOTHING = Interval(nan, nan, nan)
LEVELS = ("within the objective", "may exceed the objective", "over the objective", "cannot tell")
"""Only the first is a yes."""


@dataclass(frozen=True)
class Request:
    """The query under review.

    Attributes
    ----------
    minutes : float
        How long it holds its read view [min].
    start_min : float, optional
        Local minute of the week of its start; 0 is Monday 00:00. None: the hour in which it does most harm.
    objective_pct : float
        Slowdown of the writer that is not to be exceeded [%].
    """

    minutes: float
    start_min: float | None = None
    objective_pct: float = 10.0


@dataclass(frozen=True)
class Alternative:
    """One way to run the query, and what it does to the writer.

    Attributes
    ----------
    name : str
        Such as "chunks of 15 min".
    how : str
        What to do, and what is assumed.
    start : str
        Weekday and time of the start.
    outcome : Outcome
        What it does; NaN where it is not known.
    level : str
        One of `LEVELS`.
    """

    name: str
    how: str
    start: str
    outcome: Outcome
    level: str


@dataclass(frozen=True)
class Review:
    """The predicted effect of a query on the writer, and of its alternatives.

    Attributes
    ----------
    request : Request
        The query under review, with its start.
    level : str
        One of `LEVELS`.
    headline : str
        The answer in one line.
    sentences : list of str
        The answer with its numbers, intervals, assumptions, and the next step if it is not known.
    as_planned : Alternative, optional
        What the query does as planned; None if nothing is known.
    alternatives : list of Alternative
        Other ways to run it, in order of effort.
    safest : list of Alternative
        The hours of the week at which it does least.
    measure : str
        What `Outcome.length` counts, with its unit.
    """

    request: Request
    level: str
    headline: str
    sentences: list[str]
    as_planned: Alternative | None
    alternatives: list[Alternative]
    safest: list[Alternative]
    measure: str = "history list [transactions]"


@dataclass(frozen=True)
class _Known:
    """Inputs of a plan's replay. Without a curve the slowdown is unknown."""

    growth: Growth
    recorded: Recorded
    curve: Curve | None
    objective_pct: float
    timezone: str
    words: Words

    @property
    def most_min(self) -> float:
        """Longest hold whose effect is predicted [min]."""
        return BEYOND * self.recorded.longest_hold_s / 60

    def alternative(self, name: str, how: str, plan: Plan) -> Alternative:
        """Replay a plan; the slowdown stays unknown beyond twice the longest recorded hold, and without a curve."""
        curve = self.curve or Curve("", np.zeros(0), np.zeros(1), np.zeros((1, 1)), 2.0)
        found = replayed(self.growth, curve, plan, self.recorded.base, self.objective_pct)
        longest = max(end - start for start, end in plan.holds)
        if self.curve is None or longest > self.most_min:
            found = replace(found, slowdown_pct=NOTHING, mean_slowdown_pct=NOTHING, minutes_over=NOTHING)
        level = level_of(found.slowdown_pct, self.objective_pct)
        return Alternative(name, how, at(plan.start_min, self.timezone), found, level)


def level_of(slowdown_pct: Interval, objective_pct: float) -> str:
    """Level of a predicted slowdown; only an interval that lies below the objective as a whole is within it.

    Parameters
    ----------
    slowdown_pct : Interval
        The slowdown [%].
    objective_pct : float
        The objective [%].

    Returns
    -------
    str
        One of `LEVELS`.
    """
    if not isfinite(slowdown_pct.high):
        return "cannot tell"
    if slowdown_pct.high <= objective_pct:
        return "within the objective"
    return "over the objective" if slowdown_pct.value > objective_pct else "may exceed the objective"


def at(start_min: float, timezone: str) -> str:
    """Word a local minute of the week.

    Parameters
    ----------
    start_min : float
        Minutes since Monday 00:00.
    timezone : str
        The time zone.

    Returns
    -------
    str
        Such as ``Tuesday 14:30 UTC``.
    """
    day, minute = divmod(int(start_min), 1440)
    return f"{WEEKDAYS[day % 7]} {minute // 60:02d}:{minute % 60:02d} {timezone}"


def review(answer: Answer, request: Request) -> Review:
    """Predict what a query's read view does to the writer as planned, and in other ways.

    Parameters
    ----------
    answer : Answer
        What is known of the cluster (`limits.answer`).
    request : Request
        The query.

    Returns
    -------
    Review
        Level `cannot tell` if the effect is not known; what is known of the history list stands beside it.
    """
    if answer.growth is None or answer.recorded is None:
        sentences = [f"Nothing can be predicted: {answer.reason}.", _next_step(answer)]
        headline = f"Cannot tell what {_what(request, answer.words)} does to the writer"
        return Review(request, "cannot tell", headline, sentences, None, [], [])
    known = _Known(
        answer.growth,
        answer.recorded,
        answer.curve,
        request.objective_pct,
        answer.options.timezone,
        answer.words,
    )
    hours = _by_harm(known, request)
    if request.start_min is None:
        request = replace(request, start_min=hours[-1])
    start = request.start_min or 0.0
    planned = known.alternative("as planned", f"one {known.words.view}", one_hold(start, request.minutes))
    level, sentences = planned.level, list(_sentences(answer, known, request, planned))
    if request.minutes > known.most_min and known.curve:
        # A longer hold does no less harm than the longest one that is predicted.
        shorter = known.alternative("", "", one_hold(start, known.most_min))
        if shorter.outcome.slowdown_pct.low > request.objective_pct:
            level = "over the objective"
            planned = replace(planned, level=level)
            sentences.append(
                f"After {duration(60 * known.most_min)} the writer is {_pct(shorter.outcome.slowdown_pct)} slower already."
            )
    return Review(
        request=request,
        level=level,
        headline=_headline(answer, request, planned, level),
        sentences=sentences,
        as_planned=planned,
        alternatives=list(_alternatives(known, request, start, hours[0])),
        safest=[
            known.alternative(f"safest {rank}", "", one_hold(hour, request.minutes))
            for rank, hour in enumerate(hours[:SAFEST], start=1)
        ],
        measure=MEASURES[answer.words.cleanup],
    )


def _by_harm(known: _Known, request: Request) -> list[float]:
    """Starts at each hour of the week, the least commits during the hold first."""
    minutes = max(1, round(request.minutes))
    return sorted(
        (60.0 * hour for hour in range(7 * 24)),
        key=lambda start: float(known.growth.rate.committed(start, minutes)[-1]),
    )


def _alternatives(known: _Known, request: Request, start: float, safest: float) -> Iterator[Alternative]:
    yield known.alternative(
        "another hour", "the hour of the week with the fewest commits", one_hold(safest, request.minutes)
    )
    lengths = [float(one) for one in SUGGESTED if one <= request.minutes / 2] or [request.minutes / 2]
    tried = (
        known.alternative(
            f"chunks of {duration(60 * length)}",
            f"read by key, and commit after each chunk; each has a {known.words.view} of its own",
            chunked(start, request.minutes, length),
        )
        for length in reversed(lengths)
    )
    chunks = None
    for chunks in tried:
        if chunks.level == "within the objective":
            break
    if chunks:
        yield chunks
    if known.words.view == "read view":
        yield _read_committed(known, request, start)
    none, base = Interval(0.0, 0.0, 0.0), known.recorded.base
    yield Alternative(
        "a clone",
        f"a clone cleans up by itself, so that its {known.words.view}s hold nothing on this cluster; by design, not by prediction",
        at(start, known.timezone),
        Outcome(Interval(base, base, base), none, none, none, none),
        "within the objective",
    )


def _read_committed(known: _Known, request: Request, start: float) -> Alternative:
    """A setting of Aurora MySQL; on PostgreSQL a statement holds its snapshot at every isolation level."""
    return known.alternative(
        "READ COMMITTED",
        "on an Aurora reader: set session aurora_read_replica_read_committed = ON, and transaction isolation level read "
        f"committed; assumed: no view is older than {duration(60 * RENEWED_MIN)}. On other servers each statement still "
        "holds a view of its own.",
        chunked(start, request.minutes, RENEWED_MIN),
    )


def _what(request: Request, words: Words) -> str:
    return f"a {words.view} of {duration(60 * request.minutes)}"


def _headline(answer: Answer, request: Request, planned: Alternative, level: str) -> str:
    what = f"A {answer.words.view} of {duration(60 * request.minutes)} from {planned.start}"
    noun = noun_of(answer.curve.metric) if answer.curve else "commits"
    objective = f"the objective of +{request.objective_pct:g} %"
    slower = f"makes {noun} {three_digits(planned.outcome.slowdown_pct.value, 2)} % slower"
    return {
        "within the objective": f"{what} {slower}, within {objective}",
        "may exceed the objective": f"{what} may make {noun} slower than {objective}",
        "over the objective": f"{what} {slower}, over {objective}"
        if isfinite(planned.outcome.slowdown_pct.value)
        else f"{what} makes {noun} slower than {objective}",
        "cannot tell": f"Cannot tell whether {what[:1].lower()}{what[1:]} slows {noun} beyond {objective}",
    }[level]


def _sentences(answer: Answer, known: _Known, request: Request, planned: Alternative) -> Iterator[str]:
    found, noun = planned.outcome, noun_of(answer.curve.metric) if answer.curve else "commits"
    vacuum = known.words.cleanup == "vacuum"
    view, unit = ("snapshot", "dead rows") if vacuum else ("view", "transactions")
    reached = "tables reach" if vacuum else "the history list reaches"
    yield (
        f"While the {view} is held, {reached} {large(found.length.value)} {unit} (95 % prediction "
        f"interval {large(found.length.low)} to {large(found.length.high)})."
    )
    if isfinite(found.slowdown_pct.value):
        yield f"At its longest, {noun} are {_pct(found.slowdown_pct)} slower; on average over the hold {_pct(found.mean_slowdown_pct)}."
        yield f"{noun[:1].upper()}{noun[1:]} are more than {request.objective_pct:g} % slower {_lasting(found.minutes_over)}."
    elif known.curve is None:
        yield f"The slowdown is not predicted: {answer.reason}. {_next_step(answer)}"
    else:
        yield (
            f"The slowdown is not predicted: the longest recorded hold lasted {duration(known.recorded.longest_hold_s)}, and "
            f"nothing is stated beyond twice that ({duration(60 * known.most_min)}). Hold a {view} for longer on a loaded clone "
            "(aurora-analysis experiment), or choose an alternative below."
        )
    if isfinite(found.drain_min.low):
        yield f"Nine tenths of the growth have drained {_time(found.drain_min)} after the end."
    elif vacuum:
        yield "After the end the next autovacuum removes the dead rows; the size of the tables stays."
    else:
        yield "The time to drain is not predicted: too few recorded holds drained without interruption."
    yield (
        f"Learned from {len(known.recorded.episodes)} recorded holds, the longest {duration(known.recorded.longest_hold_s)}. "
        f"The prediction assumes that no older {view} is open, and that {known.words.cleanup} otherwise keeps up."
    )


def _next_step(answer: Answer) -> str:
    return f"Next step: {answer.settled_by}."


def _pct(found: Interval) -> str:
    value, low, high = (three_digits(max(0.0, one), 2) for one in (found.value, found.low, found.high))
    return f"{value} % (95 % prediction interval {low} to {high} %)"


def _lasting(found: Interval) -> str:
    if found.high == 0:
        return "at no time"
    return f"for {_time(found)}" if found.value > 0 else f"for at most {duration(60 * found.high)}"


def _time(found: Interval) -> str:
    value, low, high = (
        duration(60 * one) if isfinite(one) else "more than a day"
        for one in (found.value, found.low, found.high)
    )
    return f"{value} (95 % prediction interval {low} to {high})"
