"""Compute a fault's effect on one client from the client's attempts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from aurora_analysis.live.drill.clients import CONNECT, READ, WRITE, Attempt

STALL_S = 1.0
"""A client without a success for longer was interrupted, also if no attempt failed: a statement waited."""

SHORT_STALL_S = 0.3
"""The same for an interruption that begins with the fault, if it is also three times as long as any pause before the fault."""

STALE_S = 1.0
"""Time after which a read on a reader must show a write, else it is stale; on the writer any lack counts."""


@dataclass(frozen=True)
class Outcome:
    """A fault's effect on one client.

    Attributes
    ----------
    first_success_s : float, optional
        From the fault to the first success after the interruption [s]; 0 if nothing was interrupted, None if nothing
        succeeded until the end of the observation.
    settled_s : float, optional
        From the fault until every worker succeeded without a further error [s]; None as above.
    errors : int
        Failed attempts since the fault.
    connections, connections_per_s : int
        Connections that the client tried to open since the fault, and the most of them within one second.
    writes_acknowledged : int
        Writes that the server confirmed, in the whole run.
    writes_lost : int, optional
        Of these, those that are not in the table afterwards; None if the table could not be read.
    writes_unconfirmed : int, optional
        Writes in the table that the server did not confirm: the client saw an error and cannot know.
    stale_reads : int
        Reads since the fault that lacked an acknowledged write of the same worker.
    worst_staleness_s : float
        The longest time that a write had been acknowledged when a read still lacked it [s].
    former_writer_reads : int
        Reads since the fault, of the writer's endpoint, that a server answered which accepts no writes.
    """

    first_success_s: float | None
    settled_s: float | None
    errors: int
    connections: int
    connections_per_s: int
    writes_acknowledged: int
    writes_lost: int | None
    writes_unconfirmed: int | None
    stale_reads: int
    worst_staleness_s: float
    former_writer_reads: int


def outcome(
    attempts: Sequence[Attempt],
    fault_at: float,
    until: float,
    *,
    reads_only: bool,
    stored: Collection[tuple[int, int]] | None,
) -> Outcome:
    """Compute what a fault did to a client.

    Parameters
    ----------
    attempts : sequence of Attempt
        The client's attempts in one run; in a drill of a reader those of its reading workers have the operation `read`.
    fault_at, until : float
        When the fault was injected and when the observation ended, by the monotonic clock [s].
    reads_only : bool
        Whether reads are measured, because the fault is one of a reader.
    stored : collection of (worker, sequence), optional
        The writes in the table afterwards; None if the table could not be read.
    """
    measured = READ if reads_only else WRITE
    own = [one for one in attempts if one.worker >= 0]
    after = [one for one in own if one.ended > fault_at]
    acknowledged = {(one.worker, one.sequence) for one in own if one.operation == WRITE and not one.error}
    reads = [one for one in after if one.operation == READ and not one.error]
    stale = [one for one in reads if one.behind_s > (STALE_S if reads_only else 0)]
    opened = sorted(one.started for one in attempts if one.worker < 0 and one.ended > fault_at)
    lanes = _measured_workers(own, measured)
    of_lanes = [one for one in own if one.worker in lanes]
    first_s = first_success_s(of_lanes, measured, fault_at, until)
    return Outcome(
        first_success_s=first_s,
        settled_s=None if first_s is None else settled_s(of_lanes, measured, fault_at, first_s),
        errors=sum(bool(one.error) for one in after),
        connections=len(opened),
        connections_per_s=most_within(opened, 1.0),
        writes_acknowledged=len(acknowledged),
        writes_lost=None if stored is None else len(acknowledged - set(stored)),
        writes_unconfirmed=None if stored is None else len(set(stored) - acknowledged),
        stale_reads=len(stale),
        worst_staleness_s=max((one.behind_s for one in reads), default=0.0),
        former_writer_reads=0 if reads_only else sum(not one.from_writer for one in reads),
    )


def _measured_workers(own: Iterable[Attempt], measured: str) -> set[int]:
    """Workers that are measured: those that write, or in a drill of a reader those that only read."""
    writing = {one.worker for one in own if one.operation == WRITE}
    return writing if measured == WRITE else {one.worker for one in own} - writing


def first_success_s(
    attempts: Sequence[Attempt], measured: str, fault_at: float, until: float
) -> float | None:
    """Return the time from the fault to the end of the longest interruption [s].

    An interruption is a time without a success in which an attempt failed, or which lasted longer than STALL_S (one that
    begins with the fault: SHORT_STALL_S).
    """
    ends = sorted(one.ended for one in attempts if one.operation == measured and not one.error)
    before = [end for end in ends if end <= fault_at]
    edges = [*(before[-1:] or [fault_at]), *_after(ends, fault_at), until]
    usual_s = max((later - earlier for earlier, later in pairwise(before)), default=STALL_S)
    short_s = min(STALL_S, max(SHORT_STALL_S, 3 * usual_s))
    failed = [one.ended for one in attempts if one.error and one.ended > fault_at]
    gaps = [
        (later - earlier, later)
        for earlier, later in pairwise(edges)
        if later - earlier > (short_s if earlier <= fault_at + STALL_S else STALL_S)
        or any(earlier < moment <= later for moment in failed)
    ]
    if not gaps:
        return 0.0
    _, end = max(gaps)
    return None if end == until else end - fault_at


def _after(moments: Iterable[float], moment: float) -> list[float]:
    return [one for one in moments if one > moment]


def settled_s(attempts: Sequence[Attempt], measured: str, fault_at: float, first_s: float) -> float | None:
    """Return the time from the fault until every worker succeeded after its last error [s]; None if one did not."""
    latest = first_s
    for worker in {one.worker for one in attempts}:
        mine = [one for one in attempts if one.worker == worker]
        failed = [one.ended for one in mine if one.error and one.ended > fault_at]
        if not failed:
            continue
        ends = [one.ended for one in mine if one.operation == measured and not one.error]
        again = _after(ends, max(failed))
        if not again:
            return None
        latest = max(latest, min(again) - fault_at)
    return latest


def most_within(moments: Sequence[float], seconds: float) -> int:
    """Return the largest number of sorted moments within any span of `seconds`.

    >>> most_within([0.0, 0.2, 0.9, 1.4, 1.5], 1.0)
    4
    """
    return max((sum(one <= other < one + seconds for other in moments) for one in moments), default=0)


def has_settled(attempts: Sequence[Attempt], since: float, now: float) -> bool:
    """Return whether every worker succeeded since a moment without any error."""
    recent = [one for one in attempts if one.worker >= 0 and one.ended > since]
    workers = {one.worker for one in attempts if one.worker >= 0}
    good = {one.worker for one in recent if not one.error and one.operation != CONNECT}
    return good == workers and not any(one.error for one in recent) and now > since
