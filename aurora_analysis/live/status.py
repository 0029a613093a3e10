"""Summarise purge after a series of samples: its state, the session that holds it back, and lines for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType

from aurora_analysis import engines
from aurora_analysis.engines.certainty import Certainty, certainty, share
from aurora_analysis.engines.live_evidence import Holder, InstanceSample, Transaction

SLOPE_WINDOW_S = 60.0
"""Length of the window over which the slope of the history list is computed."""


@dataclass(frozen=True)
class Sample:
    """All instances of a cluster at one moment `time` [whole seconds since 1970].

    `latency_ms` is the duration of a canary's transaction on the writer, if a trial runs one.
    """

    time: int
    instances: Sequence[InstanceSample]
    latency_ms: float | None = None

    @property
    def engine_name(self) -> str:
        """Name that leads to the engine's modules."""
        return next((one.engine_name for one in self.instances), engines.DEFAULT)

    @property
    def cleanup(self) -> ModuleType:
        """The engine's `cleanup`."""
        return engines.module(self.engine_name, "cleanup")

    @property
    def history_list_length(self) -> int | None:
        """History list length as the writer reports it [transactions]."""
        length: int | None = self.cleanup.backlog(self.writer) if self.writer else None
        return length

    @property
    def purge_finished(self) -> int | None:
        """Transaction number up to which the writer has purged."""
        number: int | None = self.cleanup.progress(self.writer) if self.writer else None
        return number

    @property
    def writes(self) -> int:
        """Statements that write, since the writer started to count."""
        return self.writer.writes if self.writer else 0

    @property
    def writer(self) -> InstanceSample | None:
        """The writer's sample; None if the writer did not answer."""
        found: InstanceSample | None = self.cleanup.writer(self.instances)
        return found

    @property
    def holder(self) -> Holder | None:
        """The session that blocks cleanup; None if there is none."""
        found: Holder | None = self.cleanup.holder(self.instances)
        return found


@dataclass(frozen=True)
class PurgeStatus:
    """Purge at one moment `time` [s since 1970].

    `slope` is the growth of the history list [transactions/s]; `since` is when the holder's transaction started, or,
    if that is unknown, when the holder was first observed [s since 1970].
    """

    time: int
    state: str
    history_list_length: int | None
    slope: float | None
    holder: Holder | None
    since: float | None
    engine_name: str = engines.DEFAULT


def purge_status(samples: Sequence[Sample]) -> PurgeStatus:
    """Summarise purge after these samples. Answers: is purge blocked, by which session, since when?

    Parameters
    ----------
    samples : sequence of Sample
        Oldest first, at least one.

    Returns
    -------
    PurgeStatus
        Its `state` is defined by the engine, see `engines.X.cleanup.state`; it is `unknown` after one sample of
        the writer. A holder is named only while purge is blocked.
    """
    with_writer, last = [one for one in samples if one.writer is not None], samples[-1]
    if last.writer is None:
        return PurgeStatus(last.time, "unknown", None, None, None, None)
    before = with_writer[-2].instances if len(with_writer) > 1 else []
    holder = _old_enough(_lasting(last.holder, before), with_writer)
    state = last.cleanup.state(before, last.instances)
    if state != "blocked":
        holder = None
    since = _since(with_writer, holder)
    slope = _slope(with_writer)
    return PurgeStatus(
        last.time, state, last.history_list_length, slope, holder, since, engine_name=last.engine_name
    )


def _lasting(holder: Holder | None, before: Sequence[InstanceSample]) -> Holder | None:
    """Drop the sessions that need the same number only for a moment, if others need it since the sample before.

    Every statement needs the number of the oldest transaction in progress, so that short ones would be named beside it.
    """
    if holder is None or not holder.tied:
        return holder
    was_open = {_unchanged(each.instance, one) for each in before for one in each.transactions or ()}
    every = [holder, *holder.tied]
    lasting = [
        one for one in every if not one.transaction or _unchanged(one.instance, one.transaction) in was_open
    ]
    first, *tied = lasting or every
    return first._replace(tied=tuple(tied), rivals=holder.rivals, confidence=holder.confidence)


def _unchanged(instance: str, one: Transaction) -> tuple[str, int, float, float | None]:
    """What stays the same while a session holds its view; where the server shows the view, a next statement has a new one."""
    return instance, one.thread_id, one.started_at, one.since if one.needs is not None else None


def _old_enough(holder: Holder | None, samples: Sequence[Sample]) -> Holder | None:
    """Drop the explanations whose view began after purge stopped: such a view cannot be what stopped purge.

    Their probability goes to the others; if none is left, the session is unidentified.
    """
    if holder is None:
        return None
    finished = [one.purge_finished for one in samples]
    unmoved = next((n for n, at in enumerate(reversed(finished)) if at != finished[-1]), len(finished))
    ahead_s = {one.instance: one.clock_ahead_s for one in samples[-1].instances}
    stopped_by = samples[-unmoved].time + 1

    def fits(one: Holder) -> bool:
        began = one.transaction.view_since if one.transaction else 0.0
        return began <= stopped_by + ahead_s.get(one.instance, 0.0)

    every = [one._replace(tied=tuple(filter(fits, one.tied))) for one in (holder, *holder.rivals)]
    left = [one._replace(rivals=()) for one in every if fits(one)]
    left = left or [one for one in holder.tied if fits(one)]
    if not left:
        return holder._replace(transaction=None, kill=None, confidence=1.0, tied=(), rivals=())
    total = sum(one.confidence for one in left) or 1.0
    first, *rivals = [one._replace(confidence=one.confidence / total) for one in left]
    return first._replace(rivals=tuple(rivals))


def _slope(samples: Sequence[Sample]) -> float | None:
    recent = [one for one in samples if one.time >= samples[-1].time - SLOPE_WINDOW_S]
    lasted = recent[-1].time - recent[0].time
    grown = (recent[-1].history_list_length or 0) - (recent[0].history_list_length or 0)
    return grown / lasted if lasted else None


def _since(samples: Sequence[Sample], holder: Holder | None) -> float | None:
    """Start of the holder's transaction; if unknown, the first sample with this holder."""
    if holder is None:
        return None
    if holder.transaction is not None:
        return holder.transaction.started_at
    if holder.since is not None:
        return holder.since
    held = [one.time for one in samples if one.holder and one.holder[:2] == holder[:2]]
    return min(held, default=None)


def table(now: PurgeStatus) -> list[str]:
    """Format the status as a table: the history list, the holder, and the statement that would end its session.

    The statement is for a person to run; this program never runs it.
    """
    words = engines.words(now.engine_name)
    state = (_clock(now.time), f"{words.cleanup} {now.state}")
    rows = [state, (words.backlog, _backlog(now)), *_holder(now)]
    width = max(len(name) for name, _ in rows)
    return [f"{name:{width}}  {value}" for name, value in rows]


def line(now: PurgeStatus) -> str:
    """Format the status as one line."""
    holder = ", ".join(f"{name} {value}" for name, value in _holder(now))
    words = engines.words(now.engine_name)
    return f"{_clock(now.time)}  {words.backlog} {_backlog(now)}  {words.cleanup} {now.state}" + (
        f"  {holder}" if holder else ""
    )


def _backlog(now: PurgeStatus) -> str:
    if now.history_list_length is None:
        return "unknown, no status from the writer (connection lost, or a grant is missing: see doctor --sql)"
    return f"{now.history_list_length:,}" + ("" if now.slope is None else f" ({now.slope:+,.1f}/s)")


def _holder(now: PurgeStatus) -> Iterator[tuple[str, str]]:
    holder, since = now.holder, now.since
    if holder is None:
        return
    duration = "" if since is None else f", since {_clock(since)} ({now.time - since:,.0f} s)"
    how_sure = certainty(holder.confidence)
    if how_sure is Certainty.UNDECIDED:
        explanations = (holder, *holder.rivals)[:LISTED]
        names = " or ".join(f"{_name(one)} ({share(one.confidence)})" for one in explanations)
        yield "held by", f"cannot decide: {names}"
        for one in explanations:
            yield from _details(one, now.engine_name)
        return
    sure = f"probably ({share(holder.confidence)}) " if how_sure is Certainty.PROBABLE else ""
    names = " and ".join(_name(one) for one in (holder, *holder.tied))
    yield "held by", f"{sure}{names}{duration}{ADD_READER if _is_unidentified(holder) else ''}"
    for one in (holder, *holder.tied):
        yield from _details(one, now.engine_name)
        if one.kill:
            yield "to end it", f"on {one.instance}: {one.kill}"


LISTED = 3
"""Explanations that are listed where none is likely enough."""

ADD_READER = "; add --reader for it"


def _is_unidentified(one: Holder) -> bool:
    return one.transaction is None and not one.name


def _name(one: Holder) -> str:
    if one.name:
        return f"{one.name} on {one.instance}"
    if one.transaction is None:
        return f"an unidentified session on {one.instance}"
    return f"session {one.transaction.thread_id} on {one.instance}"


def _details(holder: Holder, engine: str) -> Iterator[tuple[str, str]]:
    """Describe a session: its user, its program, its statement."""
    one = holder.transaction
    if one is None:
        return
    client = f" with {one.client}" if one.client else ""
    digest = one.query and engines.module(engine, "fingerprint").statement(one.query).digest
    running = f"statement {digest}" if digest else "idle"
    facts = [
        running if one.thread_id else "no session",
        one.isolation_level if one.thread_id else "",
        "" if one.rows_modified is None else f"{one.rows_modified:,} rows modified",
        f"database {one.database}" if one.database else "",
    ]
    if one.thread_id:
        yield "user", f"{one.user} from {one.host}{client}"
    yield "state", f"{holder.how}; {', '.join(filter(None, facts))}"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S} UTC"
