"""Summarise purge after a series of samples: its state, the session that holds it back, and lines for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aurora_analysis.engines.mysql import cleanup
from aurora_analysis.engines.mysql.cleanup import Holder
from aurora_analysis.engines.mysql.fingerprint import statement
from aurora_analysis.engines.mysql.live import InstanceSample

SLOPE_WINDOW_S = 60.0
"""Length of the window over which the slope of the history list is computed."""


@dataclass(frozen=True)
class Sample:
    """All instances of a cluster at one moment `time` [whole seconds since 1970].

    `latency_ms` is the duration of a canary's transaction on the writer, if a trial runs one.
    """

    time: int
    instances: list[InstanceSample]
    latency_ms: float | None = None

    @property
    def history_list_length(self) -> int | None:
        """History list length as the writer reports it [transactions]."""
        return self.writer.innodb.history_list_length if self.writer and self.writer.innodb else None

    @property
    def purge_finished(self) -> int | None:
        """Transaction number up to which the writer has purged."""
        return self.writer.innodb.purge_finished if self.writer and self.writer.innodb else None

    @property
    def writes(self) -> int:
        """Statements that write, since the writer started to count."""
        return self.writer.writes if self.writer else 0

    @property
    def writer(self) -> InstanceSample | None:
        """The writer's sample; None if the writer did not answer."""
        return cleanup.writer(self.instances)


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


def purge_status(samples: Sequence[Sample]) -> PurgeStatus:
    """Summarise purge after these samples. Answers: is purge blocked, by which session, since when?

    Parameters
    ----------
    samples : sequence of Sample
        Oldest first, at least one.

    Returns
    -------
    PurgeStatus
        Its `state` is defined by the engine, see `engines.mysql.cleanup.state`; it is `unknown` after one sample of
        the writer. A holder is named only while purge is blocked.
    """
    with_writer, last = [one for one in samples if one.writer is not None], samples[-1]
    if last.writer is None:
        return PurgeStatus(last.time, "unknown", None, None, None, None)
    holder = _old_enough(cleanup.holder(last.instances), with_writer)
    before = with_writer[-2].instances if len(with_writer) > 1 else []
    state = cleanup.state(before, last.instances)
    if state != "blocked":
        holder = None
    since = _since(with_writer, holder)
    return PurgeStatus(last.time, state, last.history_list_length, _slope(with_writer), holder, since)


def _old_enough(holder: Holder | None, samples: Sequence[Sample]) -> Holder | None:
    """Drop the holder's session if its view began after purge stopped: it cannot be what stopped purge."""
    if holder is None or holder.transaction is None:
        return holder
    finished = [one.purge_finished for one in samples]
    unmoved = next((n for n, at in enumerate(reversed(finished)) if at != finished[-1]), len(finished))
    ahead_s = (one.clock_ahead_s for one in samples[-1].instances if one.instance == holder.instance)
    stopped_by = samples[-unmoved].time + 1 + next(ahead_s, 0.0)
    return holder if holder.transaction.view_since <= stopped_by else holder._replace(transaction=None)


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
    held = [
        one.time for one in samples if (found := cleanup.holder(one.instances)) and found[:2] == holder[:2]
    ]
    return min(held, default=None)


def table(now: PurgeStatus) -> list[str]:
    """Format the status as a table: the history list, the holder, and the statement that would end its session.

    The statement is for a person to run; this program never runs it.
    """
    rows = [(_clock(now.time), f"purge {now.state}"), ("history list", _history_list(now)), *_holder(now)]
    width = max(len(name) for name, _ in rows)
    return [f"{name:{width}}  {value}" for name, value in rows]


def line(now: PurgeStatus) -> str:
    """Format the status as one line."""
    holder = ", ".join(f"{name} {value}" for name, value in _holder(now))
    return f"{_clock(now.time)}  history list {_history_list(now)}  purge {now.state}" + (
        f"  {holder}" if holder else ""
    )


def _history_list(now: PurgeStatus) -> str:
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
    running = f"statement {statement(one.query).digest}" if one.query else "idle"
    yield "held by", f"session {one.thread_id} on {holder.instance}{duration}"
    yield "user", f"{one.user} from {one.host}{client}"
    yield "state", f"{holder.how}; {running}, {one.isolation_level}, {one.rows_modified:,} rows modified"
    yield "to end it", f"on {holder.instance}: {holder.kill}"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S} UTC"
