"""How purge stands after some rounds of samples, who holds it, and how that is told on a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aurora_analysis.engines.mysql import live
from aurora_analysis.engines.mysql.fingerprint import statement
from aurora_analysis.engines.mysql.live import Holder, Seen

SLOPE_OVER_S = 60.0
"""The slope of the history list is told over so long."""


@dataclass(frozen=True)
class Round:
    """What all instances said at one tick [s since 1970]."""

    time: int
    seen: list[Seen]
    latency_ms: float | None = None
    """How long a canary's transaction took on the writer, where a trial sends one."""

    @property
    def history_list_length(self) -> int | None:
        """As the writer says it."""
        return self.writer.innodb.history_list_length if self.writer and self.writer.innodb else None

    @property
    def writes(self) -> int:
        """Statements that write, since the writer began to count."""
        counters = self.writer.counters if self.writer else {}
        return sum(count for name, count in counters.items() if name.startswith("com_"))

    @property
    def writer(self) -> Seen | None:
        """What the writer said; None where it did not answer."""
        return next((one for one in self.seen if one.role == "writer" and one.innodb), None)


@dataclass(frozen=True)
class Purge:
    """How purge stands at a time [s since 1970]: the history list, its slope [1/s], the holder and since when it holds."""

    time: int
    state: str
    history_list_length: int | None
    slope: float | None
    holder: Holder | None
    since: float | None


def purge(rounds: Sequence[Round]) -> Purge:
    """How purge stands after these rounds, oldest first. Answers: is it blocked, by whom, since when?

    `blocked`: the boundary has not moved since the last round while transactions went on, and somebody holds it.
    `outrun`: it moves, purge trails it, and the history list grows. `idle`: nothing was written since
    the last round. `unknown`: the writer did not tell, or there is but one round of this writer.
    """
    told, last = [one for one in rounds if one.writer is not None], rounds[-1]
    if last.writer is None:
        return Purge(last.time, "unknown", None, None, None, None)
    holder = _could_hold(live.holder(last.seen), told)
    state = _state(told[-2], last) if len(told) > 1 else "unknown"
    if state != "blocked":
        holder = None
    return Purge(last.time, state, last.history_list_length, _slope(told), holder, _since(told, holder))


def _could_hold(holder: Holder | None, told: Sequence[Round]) -> Holder | None:
    """The holder, its session only where that is as old as the stand of purge: what began later did not stop it."""
    if holder is None or holder.transaction is None:
        return holder
    stands = [one.writer.innodb.purge_finished for one in told if one.writer and one.writer.innodb]
    stood = next((n for n, at in enumerate(reversed(stands)) if at != stands[-1]), len(stands))
    ahead = (one.clock_ahead_s for one in told[-1].seen if one.instance == holder.instance)
    since = told[-stood].time + 1 + next(ahead, 0.0)
    return holder if holder.transaction.view_since <= since else holder._replace(transaction=None)


def _state(before: Round, last: Round) -> str:
    first, second = before.writer, last.writer
    if first is None or second is None or first.innodb is None or second.innodb is None:
        return "unknown"
    if first.instance != second.instance:
        return "unknown"
    allowed, now_allowed = live.boundary(before.seen), live.boundary(last.seen)
    if second.innodb.trx_counter == first.innodb.trx_counter:
        return "idle"
    if allowed == now_allowed and live.holder(last.seen) is not None:
        return "blocked"
    grew = second.innodb.history_list_length > first.innodb.history_list_length
    trails = allowed is not None and second.innodb.purge_finished < allowed
    return "outrun" if grew and trails else "keeps up"


def _slope(told: Sequence[Round]) -> float | None:
    recent = [one for one in told if one.time >= told[-1].time - SLOPE_OVER_S]
    lasted = recent[-1].time - recent[0].time
    grown = (recent[-1].history_list_length or 0) - (recent[0].history_list_length or 0)
    return grown / lasted if lasted else None


def _since(told: Sequence[Round], holder: Holder | None) -> float | None:
    """When the holder's transaction began; where that is not known, when it was first seen to hold."""
    if holder is None:
        return None
    if holder.transaction is not None:
        return holder.transaction.started_at
    held = [one.time for one in told if (found := live.holder(one.seen)) and found[:2] == holder[:2]]
    return min(held, default=None)


def table(now: Purge) -> list[str]:
    """How purge stands, for a terminal: the history list, who holds it, and what would end that session.

    The last line is for a person to run, never run by us.
    """
    rows = [(_clock(now.time), f"purge {now.state}"), ("history list", _history_list(now)), *_holder(now)]
    width = max(len(name) for name, _ in rows)
    return [f"{name:{width}}  {said}" for name, said in rows]


def line(now: Purge) -> str:
    """The same on one line."""
    told = ", ".join(f"{name} {said}" for name, said in _holder(now))
    return f"{_clock(now.time)}  history list {_history_list(now)}  purge {now.state}" + (
        f"  {told}" if told else ""
    )


def _history_list(now: Purge) -> str:
    if now.history_list_length is None:
        return "unknown, the writer does not tell (lost, or PROCESS is not granted)"
    return f"{now.history_list_length:,}" + ("" if now.slope is None else f" ({now.slope:+,.1f}/s)")


def _holder(now: Purge) -> Iterator[tuple[str, str]]:
    holder, since = now.holder, now.since
    if holder is None:
        return
    known = "" if since is None else f", since {_clock(since)} ({now.time - since:,.0f} s)"
    one = holder.transaction
    if one is None:
        said = f"a session that was not seen, on {holder.instance}{known}; name each --reader"
        yield "held by", said
        return
    client = f" with {one.client}" if one.client else ""
    running = f"statement {statement(one.query).digest}" if one.query else "idle"
    yield "held by", f"session {one.thread_id} on {holder.instance}{known}"
    yield "of", f"{one.user} from {one.host}{client}"
    yield "which", f"{holder.how}; {running}, {one.isolation_level}, {one.rows_modified:,} rows modified"
    yield "to end it", f"on {holder.instance}: {holder.kill}"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S} UTC"
