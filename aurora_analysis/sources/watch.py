"""Sample live evidence into the store, and say which session holds up purge.

Each round asks every instance once; what was seen is written every half minute and at the end, so that a watch that is
killed loses no more than that. A lost connection is an event and a gap, never the end.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from aurora_analysis.fingerprint import join_key, kind, statement
from aurora_analysis.sources import live
from aurora_analysis.sources.live import Holder, Probe, Seen
from aurora_analysis.store import Store
from aurora_analysis.window import Window

SOURCE = "live"
WRITE_EVERY_S = 30.0
SLOPE_OVER_S = 60.0
"""The slope of the history list is told over so long."""

KEPT = 200
"""So many rounds are remembered."""

Event = tuple[int, str, str, str]
"""When [s since 1970], instance, category, message."""


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
    """How purge stands: its state, the history list and its slope [1/s], the holder and since when it was seen."""

    state: str
    history_list_length: int | None
    slope: float | None
    holder: Holder | None
    since: float | None


def purge(rounds: Sequence[Round]) -> Purge:
    """How purge stands after these rounds, oldest first. Answers: is it blocked, by whom, since when?

    `blocked`: the boundary has not moved since the last round while transactions went on, and somebody holds it.
    `outrun`: it moves, purge trails it, and the history list grows. `idle`: nothing was written since
    the last round. `unknown`: the writer did not tell, or there is but one round.
    """
    told = [one for one in rounds if one.writer is not None]
    if not rounds or rounds[-1].writer is None:
        return Purge("unknown", None, None, None, None)
    last, holder = told[-1], live.holder(told[-1].seen)
    state = _state(told[-2], last) if len(told) > 1 else "unknown"
    if state != "blocked":
        holder = None
    return Purge(state, last.history_list_length, _slope(told), holder, _since(told, holder))


def _state(before: Round, last: Round) -> str:
    first, second = before.writer, last.writer
    if first is None or second is None or first.innodb is None or second.innodb is None:
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


def lines(now: Purge, at: float, *, aurora: bool = True) -> list[str]:
    """The table of the terminal: how purge stands, who holds it, and what would end that session.

    The last line is for a person to run, never run by us.
    """
    clock = f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} UTC"
    if now.history_list_length is None:
        return [f"{clock}  the writer does not tell (lost, or PROCESS is not granted)"]
    slope = "" if now.slope is None else f" ({now.slope:+,.1f}/s)"
    first = f"{clock}  history list {now.history_list_length:,}{slope}  purge {now.state}"
    return [first, *(_held_by(now.holder, now.since, at, aurora) if now.holder else [])]


def _held_by(holder: Holder, since: float | None, at: float, aurora: bool) -> Iterator[str]:
    known = (
        ""
        if since is None
        else f", since {datetime.fromtimestamp(since, UTC):%H:%M:%S} ({at - since:,.0f} s)"
    )
    one = holder.transaction
    if one is None:
        yield f"  held by a session on {holder.instance}{known}: watch that instance too, to see whose"
        return
    client = f" with {one.client}" if one.client else ""
    running = f"statement {statement(one.query).digest}" if one.query else "idle"
    yield f"  held by session {one.thread_id} on {holder.instance}: {one.user} from {one.host}{client}{known}"
    yield f"  it {holder.how}; {one.isolation_level}, {one.rows_modified:,} rows modified, {running}"
    yield f"  to end it, on {holder.instance}: " + (
        f"CALL mysql.rds_kill({one.thread_id});" if aurora else f"KILL {one.thread_id};"
    )


class Watch:
    """The rounds of a watch: what was seen, what happened, and what is not written yet."""

    def __init__(self, probes: Sequence[Probe], store: Store | None, *, cluster: str, every_s: float) -> None:
        self._probes, self._store, self._cluster, self._every_s = probes, store, cluster, every_s
        self.rounds: list[Round] = []
        self._unwritten: list[Round] = []
        self._events: list[Event] = []
        self._lost: set[str] = set()
        self._last: dict[str, Seen] = {}
        self._received = 0
        self._span = (0, 0)

    def run(
        self,
        duration_s: float,
        *,
        tell: Callable[[list[str]], None] = lambda told: None,
        stopping: threading.Event | None = None,
    ) -> None:
        """Ask again and again until the time is over or `stopping` is set; what was seen is in the store after it."""
        try:
            for tick in ticks(duration_s, self._every_s, stopping or threading.Event()):
                if not self.rounds or tick > self.rounds[-1].time:  # a clock that was set back is a gap
                    self.round(tick)
                    tell([*self._news(tick), *self.lines()])
        finally:
            self.close()

    def close(self) -> None:
        """Write what was seen, and leave the servers."""
        self.write()
        for probe in self._probes:
            probe.close()

    def round(self, tick: int, latency_ms: float | None = None) -> Round:
        """Ask every instance once; writes what was seen before when half a minute is full."""
        if self._unwritten and tick - self._unwritten[0].time >= WRITE_EVERY_S:
            self.write()
        self._span = (self._span[0] or tick, tick + 1)
        seen = [one for one in (self._ask(probe, tick) for probe in self._probes) if one is not None]
        last = Round(tick, _once_each(seen), latency_ms)
        self.rounds = [*self.rounds[-KEPT:], last]
        self._unwritten.append(last)
        self._received += last.writer is not None
        return last

    def purge(self) -> Purge:
        """How purge stands now."""
        return purge(self.rounds)

    def lines(self) -> list[str]:
        """The terminal's table now."""
        aurora = any("aurora" in one.version.lower() or one.replicas for one in self._last.values())
        return lines(self.purge(), self.rounds[-1].time, aurora=aurora)

    def write(self) -> None:
        """Write what was seen since the last time; coverage last, as the mark of it."""
        if self._store is None or not self._unwritten:
            return
        window = Window(_moment(self._unwritten[0].time), _moment(self._span[1]))
        before = [one for one in self.rounds if one.time < self._unwritten[0].time][-1:]
        for table, frame in frames(self._unwritten, self._events, self._every_s, before).items():
            self._store.write(table, frame, window, cluster=self._cluster, source=SOURCE)
        self._store.merge("statements", statements(self._unwritten), cluster=self._cluster, source=SOURCE)
        watched = Window(*map(_moment, self._span))
        covered = coverage(watched, self._every_s, self._received)
        self._store.write("coverage", covered, watched, cluster=self._cluster, source=SOURCE)
        self._unwritten, self._events = [], []

    def _ask(self, probe: Probe, tick: int) -> Seen | None:
        try:
            seen = probe.seen()
        except live.Lost as problem:
            if probe.name not in self._lost:
                self._note(tick, probe.name, "connection lost", str(problem))
            self._lost.add(probe.name)
            return None
        self._note_changes(tick, probe, seen)
        return seen

    def _note_changes(self, tick: int, probe: Probe, seen: Seen) -> None:
        before = self._last.get(probe.name)
        self._last[probe.name] = seen
        if probe.name in self._lost:
            self._lost.discard(probe.name)
            self._note(tick, seen.instance, "connection", "the instance answers again")
        if before is None:
            self._note_refused(tick, probe, seen)
            return
        if seen.counters.get("uptime", 0) < before.counters.get("uptime", 0):
            self._note(tick, seen.instance, "restart", f"the server is up for {seen.counters['uptime']} s")
        if (before.instance, before.role) != (seen.instance, seen.role):
            self._note(tick, seen.instance, "failover", f"{before.instance} was the {before.role} here")

    def _note_refused(self, tick: int, probe: Probe, seen: Seen) -> None:
        for name, needs in probe.refused.items():
            self._note(tick, seen.instance, "not granted", f"{name} is left out, it needs: {needs}")

    def note(self, instance: str, category: str, message: str) -> None:
        """Keep that something happened, at the last round."""
        self._note(self._span[1] - 1, instance, category, message)

    def _note(self, tick: int, instance: str, category: str, message: str) -> None:
        self._events.append((tick, instance, category, message))

    def _news(self, tick: int) -> list[str]:
        """The events of this round, a line each."""
        return [
            f"{_moment(when):%H:%M:%S} UTC  {instance}: {category}, {message}"
            for when, instance, category, message in self._events
            if when == tick
        ]


def _once_each(seen: Sequence[Seen]) -> list[Seen]:
    """Each server once: a writer's endpoint and a reader's may lead to the same one."""
    return list({one.server: one for one in reversed(seen)}.values())[::-1]


def ticks(duration_s: float, every_s: float, stopping: threading.Event) -> Iterator[int]:
    """Each tick [s since 1970] when it has come; what is missed is left out. A clock that is set changes no pace."""
    began = due = time.monotonic()
    while due - began < duration_s:
        if stopping.wait(max(0.0, due - time.monotonic())):
            return
        yield int(time.time())
        due += every_s * max(1, math.ceil((time.monotonic() - due) / every_s))


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that what was seen is written before the end."""
    stopping = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# Rows of the store's tables


def frames(
    rounds: Sequence[Round], events: Sequence[Event], every_s: float, before: Sequence[Round] = ()
) -> dict[str, pd.DataFrame]:
    """What was seen, as rows of `instances`, `metrics`, `open_transactions`, `read_views` and `events`.

    `before` is the round before the first: rates are differences.
    """
    told = [(one.time, seen) for one in rounds for seen in one.seen]
    tables = {
        "instances": pd.DataFrame(_instances(told), columns=["time", "instance", "role", "engine_version"]),
        "metrics": pd.DataFrame(
            [*_metrics(rounds), *_rates([*before, *rounds])], columns=["time", "instance", "name", "value"]
        ).assign(period_s=float(every_s), statistic="average"),
        "open_transactions": pd.DataFrame(_open_transactions(told), columns=OPEN_TRANSACTION),
        "read_views": pd.DataFrame(_read_views(told), columns=READ_VIEW),
        "events": pd.DataFrame(events, columns=["time", "instance", "category", "message"]),
    }
    return {name: frame.assign(**_times(frame)) for name, frame in tables.items()}


def _times(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Seconds since 1970, as times."""
    return {
        name: pd.to_datetime(frame[name].astype(float).round(6), unit="s", utc=True).astype(
            "datetime64[us, UTC]"
        )
        for name in ("time", "started_at")
        if name in frame
    }


def _instances(told: Sequence[tuple[int, Seen]]) -> Iterator[tuple[object, ...]]:
    """Each instance when it is first seen, and when its role has changed."""
    known: dict[str, str] = {}
    for tick, seen in told:
        if known.get(seen.instance) != seen.role:
            known[seen.instance] = seen.role
            yield tick, seen.instance, seen.role, seen.version


SAMPLED = ("history_list_length", "trx_counter", "purge_finished", "open_read_views", "active_transactions")


def _metrics(rounds: Sequence[Round]) -> Iterator[tuple[object, ...]]:
    for one in rounds:
        writer = one.writer
        if writer is not None and writer.innodb is not None:
            for name in SAMPLED:
                yield one.time, writer.instance, name, float(getattr(writer.innodb, name))
            yield one.time, writer.instance, "purge_boundary", float(live.boundary(one.seen) or 0)
            if one.latency_ms is not None:
                yield one.time, writer.instance, "canary_latency", one.latency_ms


def _rates(rounds: Sequence[Round]) -> Iterator[tuple[object, ...]]:
    """Writing statements a second; none across a restart, where the count begins anew, or another writer."""
    for before, one in zip(rounds, rounds[1:]):
        first, second = before.writer, one.writer
        if first and second and first.instance == second.instance and one.writes >= before.writes:
            yield (
                one.time,
                second.instance,
                "dml_throughput",
                (one.writes - before.writes) / (one.time - before.time),
            )


OPEN_TRANSACTION = [
    "time",
    "instance",
    "thread_id",
    "user",
    "host",
    "client",
    "command",
    "started_at",
    "isolation_level",
    "rows_modified",
    "has_read_view",
    "digest",
]


def _open_transactions(told: Sequence[tuple[int, Seen]]) -> Iterator[tuple[object, ...]]:
    for tick, seen in told:
        views = seen.innodb.views if seen.innodb else None
        for one in seen.transactions or ():
            yield (
                tick,
                seen.instance,
                one.thread_id,
                one.user,
                one.host,
                one.client,
                one.command,
                one.started_at,
                one.isolation_level,
                one.rows_modified,
                None if views is None else one.thread_id in views,
                statement(one.query).digest if one.query else None,
            )


READ_VIEW = ["time", "instance", "role", "oldest_read_view_trx_id", "replica_lag_ms"]


def _read_views(told: Sequence[tuple[int, Seen]]) -> Iterator[tuple[object, ...]]:
    """By instance: what the writer of an Aurora cluster knows of it, else what it says of itself."""
    for tick, seen in told:
        known = {one.instance for one in seen.replicas}
        for one in seen.replicas:
            yield tick, one.instance, one.role, one.oldest_read_view_trx_id, one.replica_lag_ms
        if seen.innodb and seen.instance not in known:
            views = seen.innodb.views.values()
            yield tick, seen.instance, seen.role, min(views, default=seen.innodb.trx_counter), None


def statements(rounds: Sequence[Round]) -> pd.DataFrame:
    """Rows of `statements` for what was seen running: fingerprints, no literals."""
    seen = [
        (statement(one.query), each.time)
        for each in rounds
        for instance in each.seen
        for one in instance.transactions or ()
        if one.query
    ]
    frame = pd.DataFrame(
        [
            (one.digest, one.fingerprint, join_key(one.fingerprint), kind(one.fingerprint), at)
            for one, at in seen
        ],
        columns=["digest", "fingerprint", "join_key", "kind", "time"],
    )
    return (
        frame.assign(**_times(frame))
        .groupby(["digest", "fingerprint", "join_key", "kind"])["time"]
        .agg(first_seen="min", last_seen="max")
        .reset_index()
    )


def coverage(watched: Window, every_s: float, received: int) -> pd.DataFrame:
    """What came of what was asked for: a sample of the writer each tick."""
    return pd.DataFrame(
        {
            "time": [pd.Timestamp(watched.start).as_unit("us")],
            "end": [pd.Timestamp(watched.end).as_unit("us")],
            "table": ["metrics"],
            "expected": [float(math.ceil(watched.duration.total_seconds() / every_s))],
            "received": [float(received)],
            "lost": [0.0],
            "unit": ["samples"],
            "note": ["live samples"],
        }
    )


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
