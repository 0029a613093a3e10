"""Decide when to alert: once for each holder that outlasts its limit, and once when it no longer blocks cleanup. Pure.

A hold is a transaction number that cleanup cannot pass, with the sessions that need it. It began when the server's transaction
counter passed that number, which may be long after the transaction began: an old transaction that has only just read is a new hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from aurora_analysis.engines.certainty import Certainty, certainty
from aurora_analysis.engines.live_evidence import Holder
from aurora_analysis.live.status import LISTED, PurgeStatus, Sample

END_SAMPLES = 3
"""Number of samples without the holder after which its hold has ended: a single sample may have missed it."""

COUNTERS = 20_000
"""Number of samples of the transaction counter that are kept: 28 hours at one sample in five seconds."""


class Slowdown(NamedTuple):
    """Time from the start of a hold until the writer is slower by `percent`: median and 95 % prediction interval [s]; may be infinite."""

    percent: float
    after_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True)
class Limit:
    """Longest time that a holder may block cleanup [s], the basis of this limit, and when the writer becomes slower."""

    alert_after_s: float
    basis: str
    slowdown: Slowdown | None = None


LimitAt = Callable[[float], Limit]
"""Function from the start of a hold [s since 1970] to its limit."""


@dataclass(frozen=True)
class Hold:
    """A transaction number that cleanup cannot pass, the sessions that need it, and the hold's start [s since 1970].

    `sessions` are the keys of the sessions that need the number, see `_session`. `missing` counts the samples in a row that show
    cleanup without the hold; `peak` is the longest backlog during it. `alerted_at` is 0 until the alert; `who` is the alert's wording.
    """

    number: int
    sessions: tuple[str, ...]
    since: float
    missing: int = 0
    peak: int = 0
    alerted_at: float = 0.0
    who: str = ""


@dataclass(frozen=True)
class State:
    """Holds that are followed, the transaction counter over time, and when each session was last alerted about."""

    holds: tuple[Hold, ...] = ()
    counters: tuple[tuple[int, int], ...] = ()
    alerted: Mapping[str, float] = field(default_factory=dict)


class Step(NamedTuple):
    """Changes by a sample: the next state, the hold to alert about with its limit, and alerted holds that have ended."""

    state: State
    alert: tuple[Hold, Limit] | None
    ended: tuple[Hold, ...]


def step(state: State, status: PurgeStatus, sample: Sample, limit_at: LimitAt, cooldown_s: float) -> Step:
    """Follow the holds through one more sample.

    Parameters
    ----------
    state : State
        The state after the previous sample.
    status : PurgeStatus
        Cleanup after this sample; only a status that shows whether something blocks it changes a hold.
    sample : Sample
        The sample.
    limit_at : callable
        Returns the limit of a hold by its start.
    cooldown_s : float
        Shortest time between two alerts about the same session [s].

    Returns
    -------
    Step
    """
    state = replace(state, counters=_remembered(state.counters, sample))
    if status.state in {"unknown", "idle"}:
        return Step(state, None, ())
    current = _current(state, status, sample)
    others = [replace(one, missing=one.missing + 1) for one in state.holds if not _same(one, current)]
    going_on = [one for one in others if one.missing < END_SAMPLES]
    ended = tuple(one for one in others if one.missing >= END_SAMPLES and one.alerted_at)
    alerted = {name: at for name, at in state.alerted.items() if status.time - at < cooldown_s}
    alert = None
    if current is not None and status.holder is not None:
        limit = limit_at(current.since)
        if _is_due(current, limit, alerted, status.time):
            current = replace(current, alerted_at=float(status.time), who=names(status.holder))
            alerted |= dict.fromkeys(current.sessions, float(status.time))
            alert = current, limit
        going_on.append(current)
    return Step(replace(state, holds=tuple(going_on), alerted=alerted), alert, ended)


def _is_due(hold: Hold, limit: Limit, alerted: Mapping[str, float], now: float) -> bool:
    is_new = not hold.alerted_at and not set(hold.sessions) & set(alerted)
    return is_new and now - hold.since >= limit.alert_after_s


def _same(one: Hold, other: Hold | None) -> bool:
    """Return whether both are one hold: the same number, and a session in common."""
    return other is not None and one.number == other.number and bool({*one.sessions} & {*other.sessions})


def _current(state: State, status: PurgeStatus, sample: Sample) -> Hold | None:
    """Return the hold that this status shows: one that is already followed, or a new one."""
    holder = status.holder
    if holder is None:
        return None
    sessions = tuple(dict.fromkeys(_session(one) for one in explanations(holder)))
    new = Hold(holder.number, sessions, _since(state, status, sample, holder))
    known = next((one for one in state.holds if _same(one, new)), new)
    peak = max(known.peak, status.history_list_length or 0)
    # Who else needs the number is added until the alert, which names them all.
    everybody = known.sessions if known.alerted_at else tuple(dict.fromkeys([*known.sessions, *sessions]))
    return replace(known, missing=0, peak=peak, sessions=everybody)


def explanations(holder: Holder) -> tuple[Holder, ...]:
    """Return the holders to name together: all that need the number, or the likeliest explanations if none is likely enough."""
    if certainty(holder.confidence) is Certainty.UNDECIDED:
        return (holder, *holder.rivals)[:LISTED]
    return (holder, *holder.tied)


def names(holder: Holder) -> str:
    """Name the blockers of cleanup, worded by how certain the evidence is."""
    found = [_described(one) for one in explanations(holder)]
    if certainty(holder.confidence) is Certainty.UNDECIDED:
        return f"one of {', '.join(found)} (which one cannot be decided)"
    sure = "probably " if certainty(holder.confidence) is Certainty.PROBABLE else ""
    return f"{sure}{' and '.join(found)}"


def _described(one: Holder) -> str:
    if one.name:
        return f"{one.name} on {one.instance}"
    if one.transaction is None:
        return f"an unidentified session on {one.instance}"
    client = f" with {one.transaction.client}" if one.transaction.client else ""
    return f"session {one.transaction.thread_id} of {one.transaction.user}{client} on {one.instance}"


def _session(one: Holder) -> str:
    """Return a holder's key, the same in each sample: its session, its own name, or its number."""
    who = one.name or (f"session {one.transaction.thread_id}" if one.transaction else f"number {one.number}")
    return f"{who} on {one.instance}"


def _since(state: State, status: PurgeStatus, sample: Sample, holder: Holder) -> float:
    """Return when a hold began: when the counter passed its number, but not before its transaction; else at this sample."""
    ahead_s = next((one.clock_ahead_s for one in sample.instances if one.instance == holder.instance), 0.0)
    one = holder.transaction
    began = one.view_since - ahead_s if one else (status.since or status.time)
    passed = (at for at, counter in reversed(state.counters) if counter <= holder.number)
    return min(max(began, next(passed, -math.inf)), float(status.time))


def _remembered(counters: tuple[tuple[int, int], ...], sample: Sample) -> tuple[tuple[int, int], ...]:
    """Add the writer's transaction counter; start over if it decreased, as after a failover."""
    counter = sample.cleanup.counter(sample.instances)
    if counter is None:
        return counters
    if counters and counter < counters[-1][1]:
        counters = ()
    return (*counters[-COUNTERS:], (sample.time, counter))


def open_alerts(state: State) -> Iterator[Hold]:
    """Yield the alerted holds that have not ended."""
    return (one for one in state.holds if one.alerted_at)
