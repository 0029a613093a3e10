"""Summarise purge after a series of samples: its state, the session that holds it back, and lines for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType

from aurora_analysis import engines
from aurora_analysis.engines.live_evidence import Holder, InstanceSample

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
    holder = _old_enough(last.holder, with_writer)
    before = with_writer[-2].instances if len(with_writer) > 1 else []
    state = last.cleanup.state(before, last.instances)
    if state != "blocked":
        holder = None
    since = _since(with_writer, holder)
    slope = _slope(with_writer)
    return PurgeStatus(
        last.time, state, last.history_list_length, slope, holder, since, engine_name=last.engine_name
    )


def _old_enough(holder: Holder | None, samples: Sequence[Sample]) -> Holder | None:
    """Drop the holder's session if its view began after purge stopped: it cannot be what stopped purge."""
    if holder is None or holder.transaction is None:
        return holder
    finished = [one.purge_finished for one in samples]
    unmoved = next((n for n, at in enumerate(reversed(finished)) if at != finished[-1]), len(finished))
    ahead_s = (one.clock_ahead_s for one in samples[-1].instances if one.instance == holder.instance)
    stopped_by = samples[-unmoved].time + 1 + next(ahead_s, 0.0)
    return (
        holder
        if holder.transaction.view_since <= stopped_by
        else holder._replace(transaction=None, kill=None)
    )


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
    held = [one.time for one in samples if one.holder and one.holder[:2] == holder[:2]]
    return min(held, default=None)


def table(now: PurgeStatus) -> list[str]:
    """Format the status as a table: the history list, the holder, and the statement that would end its session.

    The statement is for a person to run; this program never runs it.
    """
    cleanup = engines.module(now.engine_name, "cleanup")
    state = (_clock(now.time), f"{cleanup.CLEANUP} {now.state}")
    rows = [state, (cleanup.BACKLOG, _backlog(now)), *_holder(now)]
    width = max(len(name) for name, _ in rows)
    return [f"{name:{width}}  {value}" for name, value in rows]


def line(now: PurgeStatus) -> str:
    """Format the status as one line."""
    holder = ", ".join(f"{name} {value}" for name, value in _holder(now))
    cleanup = engines.module(now.engine_name, "cleanup")
    return f"{_clock(now.time)}  {cleanup.BACKLOG} {_backlog(now)}  {cleanup.CLEANUP} {now.state}" + (
        f"  {holder}" if holder else ""
    )


def _backlog(now: PurgeStatus) -> str:
    if now.history_list_length is None:
        return "unknown, no status from the writer (connection lost, or PROCESS is not granted)"
    return f"{now.history_list_length:,}" + ("" if now.slope is None else f" ({now.slope:+,.1f}/s)")


def _holder(now: PurgeStatus) -> Iterator[tuple[str, str]]:
    holder, since = now.holder, now.since
    if holder is None:
        return
    duration = "" if since is None else f", since {_clock(since)} ({now.time - since:,.0f} s)"
    one = holder.transaction
    if one is None:
        yield "held by", f"an unidentified session on {holder.instance}{duration}; add --reader for it"
        return
    client = f" with {one.client}" if one.client else ""
    running = (
        f"statement {engines.module(now.engine_name, 'fingerprint').statement(one.query).digest}"
        if one.query
        else "idle"
    )
    yield "held by", f"session {one.thread_id} on {holder.instance}{duration}"
    yield "user", f"{one.user} from {one.host}{client}"
    yield "state", f"{holder.how}; {running}, {one.isolation_level}, {one.rows_modified:,} rows modified"
    yield "to end it", f"on {holder.instance}: {holder.kill}"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S} UTC"
