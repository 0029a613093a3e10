"""Sample live evidence into the store, and say which session holds up purge.

Each round asks every instance once; what was seen is written every half minute and at the end, so that a watch that is
killed loses no more than that. Then statements are counted too. A lost connection, a failover, a store that cannot be
written and a clock that is set are events, told once, and never the end.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import pandas as pd

from aurora_analysis.engines.mysql import live, statement_statistics
from aurora_analysis.engines.mysql.digests import Digests
from aurora_analysis.engines.mysql.live import Probe, Seen
from aurora_analysis.engines.mysql.slow_log import Frames
from aurora_analysis.engines.mysql.slow_log_table import Tail
from aurora_analysis.engines.mysql.statement_statistics import Period, Statistics
from aurora_analysis.errors import Error
from aurora_analysis.live import samples
from aurora_analysis.live.samples import Event
from aurora_analysis.live.status import Purge, Round, purge
from aurora_analysis.store import Store
from aurora_analysis.window import Window

SOURCE = "live"
WRITE_EVERY_S = 30
"""How often what was seen is written, and statements are counted."""

KEPT = 200
"""So many rounds are remembered."""

KEPT_UNWRITTEN = 3600
"""So many rounds wait for a store that cannot be written; older ones are lost."""

PATIENCE_S = 1.0
"""An instance that takes longer not to answer is left alone for ten times as long, for the others are asked meanwhile."""

CLOCK_STEP_S = 2.0
"""A clock that gains or loses more between two rounds was set."""


class Watch:
    """The rounds of a watch: what was seen, what happened, and what is not written yet.

    `problem` is why the store could not be written the last time; empty where it was.
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        store: Store | None,
        *,
        cluster: str,
        every_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probes, self._store, self._cluster, self._every_s = probes, store, cluster, every_s
        self._monotonic = monotonic
        self.rounds: list[Round] = []
        self.problem = ""
        self._unwritten: list[Round] = []
        self._events: list[Event] = []
        self._untold: list[Event] = []
        self._counters = [(probe, Statistics(probe), Tail(probe)) for probe in probes]
        self._digests = _digests(store, cluster)
        self._periods: list[Period] = []
        self._logged: list[Frames] = []
        self._lost: set[str] = set()
        self._left_alone: dict[str, float] = {}
        self._refused: set[tuple[str, str]] = set()
        self._last: dict[str, Seen] = {}
        self._received = 0
        self._counted_at = 0
        self._counted_s: Counter[tuple[str, str]] = Counter()
        self._span = (0, 0)
        self._due = 0
        self._clock = (0, 0.0)

    def run(
        self,
        duration_s: float,
        *,
        tell: Callable[[list[str], Purge], None] = lambda news, now: None,
        stopping: threading.Event | None = None,
    ) -> None:
        """Ask again and again until the time is over or `stopping` is set; what was seen is in the store after it."""
        try:
            for tick in ticks(duration_s, self._every_s, stopping or threading.Event()):
                self.round(tick)
                tell(self.news(), self.purge())
        finally:
            self.close()

    def close(self) -> None:
        """Write what was seen, and leave the servers."""
        if self._unwritten:
            self.count(self._span[1])
        self.write()
        for probe in self._probes:
            probe.close()

    def round(self, tick: int, latency_ms: float | None = None) -> Round:
        """Ask every instance once; writes what was seen before when half a minute is full.

        After the clock was set back, what is seen at a time that was seen before is told and not stored.
        """
        self._check_clock(tick)
        if self._due and tick >= self._due:
            self.count(tick)
            self.write()
            self._due = tick + WRITE_EVERY_S
        last = Round(tick, _once_each(self._asked(tick)), latency_ms)
        self.rounds = [*self.rounds[-KEPT:], last]
        if tick >= self._span[1]:
            self._keep(last)
        return last

    def _keep(self, last: Round) -> None:
        self._unwritten = [*self._unwritten[-KEPT_UNWRITTEN:], last]
        self._span = (self._span[0] or last.time, last.time + 1)
        self._received += last.writer is not None
        if not self._due:
            self._due = last.time + WRITE_EVERY_S
            self.count(last.time)

    def lost(self) -> str:
        """What could not be written at the end, and why."""
        since = _moment(self._unwritten[0].time)
        return (
            f"{self.problem}: what was seen since {since:%H:%M:%S} UTC is lost. "
            "Make room there, or name another --store."
        )

    def purge(self) -> Purge:
        """How purge stands now."""
        return purge(self.rounds)

    def news(self) -> list[str]:
        """The events that were not told yet, a line each."""
        told, self._untold = self._untold, []
        return [
            f"{_moment(when):%H:%M:%S} UTC  {instance or 'watch'}: {category}, {message}"
            for when, instance, category, message in told
        ]

    def note(self, instance: str | None, category: str, message: str) -> None:
        """Keep that something happened, at the last round."""
        self._note(self._span[1] - 1, instance, category, message)

    def _note(self, tick: int, instance: str | None, category: str, message: str) -> None:
        self._events.append((tick, instance, category, message))
        self._untold.append((tick, instance, category, message))

    # Asking

    def _asked(self, tick: int) -> list[Seen]:
        """What each instance says, all asked at the same time."""
        with ThreadPoolExecutor(len(self._probes)) as pool:
            answers = list(pool.map(self._ask, self._probes))
        for probe, answer in zip(self._probes, answers):
            if isinstance(answer, Seen):
                self._note_changes(tick, probe, answer)
            elif answer is not None:
                self._note_lost(tick, probe, answer)
        return [one for one in answers if isinstance(one, Seen)]

    def _ask(self, probe: Probe) -> Seen | live.Lost | None:
        began = self._monotonic()
        if began < self._left_alone.get(probe.name, 0.0):
            return None
        try:
            return probe.seen()
        except live.Lost as problem:
            waited = self._monotonic() - began
            self._left_alone[probe.name] = began + 10 * waited if waited > PATIENCE_S else 0.0
            return problem

    def _note_lost(self, tick: int, probe: Probe, problem: live.Lost) -> None:
        if probe.name not in self._lost:
            self._note(tick, self._name(probe), "connection lost", str(problem))
        self._lost.add(probe.name)

    def _name(self, probe: Probe) -> str:
        return self._last[probe.name].instance if probe.name in self._last else probe.name

    def _note_changes(self, tick: int, probe: Probe, seen: Seen) -> None:
        before = self._last.get(probe.name)
        self._last[probe.name] = seen
        if probe.name in self._lost:
            self._lost.discard(probe.name)
            self._note(tick, seen.instance, "connection", "the instance answers again")
        self._note_refused(tick, probe, seen)
        if before is None:
            return
        if (before.instance, before.role) != (seen.instance, seen.role):
            was = "" if before.instance == seen.instance else f" and {before.instance}"
            self._note(
                tick, seen.instance, "failover", f"the {seen.role} now, where{was} the {before.role} was"
            )
        elif seen.counters.get("uptime", 0) < before.counters.get("uptime", 0):
            self._note(tick, seen.instance, "restart", f"the server is up for {seen.counters['uptime']} s")

    def _note_refused(self, tick: int, probe: Probe, seen: Seen) -> None:
        for name, needs in probe.refused.items():
            if (seen.instance, name) not in self._refused:
                self._refused.add((seen.instance, name))
                self._note(tick, seen.instance, "left out", f"{name} needs {needs}")

    def _check_clock(self, tick: int) -> None:
        """Note that the clock was set: neither slope nor rate is told across it."""
        (last, at), now = self._clock, self._monotonic()
        self._clock = (tick, now)
        step = tick - last - (now - at) if last else 0.0
        if abs(step) <= CLOCK_STEP_S:
            return
        until = (
            f", nothing is stored before {_moment(self._span[1]):%H:%M:%S}" if tick < self._span[1] else ""
        )
        self.note(
            None, "clock", f"it was set {'forward' if step > 0 else 'back'} by {abs(step):,.0f} s{until}"
        )
        self.write()
        self.rounds, self._due = [], 0
        self._forget_counts()

    # Counting

    def count(self, tick: int) -> None:
        """What statements came to since the last time: performance_schema's, and the slow log's where it is a table."""
        if tick == self._counted_at:
            return
        self._counted_at = tick
        for probe, statistics, tail in self._counters:
            seen = self._last.get(probe.name)
            if seen is None or not any(
                seen is one for one in self.rounds[-1].seen
            ):  # lost, or another address of a server
                statistics.forget()
                tail.forget()
                continue
            try:
                self._add(tick, seen.instance, statistics, tail)
            except live.Lost as problem:
                self._note_lost(tick, probe, problem)

    def _add(self, tick: int, instance: str, statistics: Statistics, tail: Tail) -> None:
        period = statistics.sample(tick, instance)
        if statistics.began_anew:
            self._note(tick, instance, "statistics", "performance_schema began to count anew")
        if period is not None:
            statement_statistics.learn(period, self._digests)
            self._periods.append(period)
            self._counted_s["statement_metrics", instance] += period.end - period.start
        logged = tail.sample(tick, instance)
        if logged is not None:
            self._logged.extend(logged.frames)
            self._counted_s["slow_queries", instance] += logged.seconds

    def _forget_counts(self) -> None:
        for _, statistics, tail in self._counters:
            statistics.forget()
            tail.forget()

    # Writing

    def write(self) -> None:
        """Write what was seen since the last time; coverage last, as the mark of it. What cannot be written waits."""
        if self._store is None or not self._unwritten:
            return
        try:
            self._write(self._store)
        except Error as problem:
            if not self.problem:
                self.note(None, "store", f"what is seen waits: {problem}")
            self.problem = str(problem).rstrip(".")
            return
        if self.problem:
            self.problem = ""
            self.note(None, "store", "it is written again")
            self._write(self._store)
        self._unwritten, self._events, self._periods, self._logged = [], [], [], []

    def _write(self, store: Store) -> None:
        window = Window(_moment(self._unwritten[0].time), _moment(self._span[1]))
        for table, frame in self._frames().items():
            store.write(table, frame, window, cluster=self._cluster, source=SOURCE)
        for frame in self._statements():
            store.merge("statements", frame, cluster=self._cluster, source=SOURCE)
        for logged in self._logged:
            store.merge("slow_queries", logged.slow_queries, cluster=self._cluster, source=SOURCE)
        watched = Window(*map(_moment, self._span))
        covered = samples.coverage(watched, self._every_s, self._received, self._counted_s)
        store.write("coverage", covered, watched, cluster=self._cluster, source=SOURCE)

    def _frames(self) -> dict[str, pd.DataFrame]:
        first, last = self._unwritten[0].time, self._span[1] - 1
        events = [(min(max(one[0], first), last), *one[1:]) for one in self._events]
        before = [one for one in self.rounds if one.time < first][-1:]
        counted = {
            "statement_metrics": statement_statistics.statement_metrics(self._periods, self._digests),
            "histograms": statement_statistics.latency_histograms(self._periods, self._digests),
        }
        seen = samples.frames(self._unwritten, events, self._every_s, before)
        return seen | {name: samples.timed(frame) for name, frame in counted.items() if len(frame)}

    def _statements(self) -> list[pd.DataFrame]:
        """What was seen running, what was counted, and what was logged."""
        running = samples.running(self._unwritten)
        counted = statement_statistics.statements(self._periods, self._digests)
        seen = [samples.spans(frame) for frame in (running, counted)]
        return [*seen, *(logged.statements for logged in self._logged)]


def _digests(store: Store | None, cluster: str) -> Digests:
    """The digests of the statements that the store knows."""
    if store is None or cluster not in store.clusters():
        return Digests(prefix="server")
    return Digests.of(store.read("statements", cluster=cluster), "server_digest")


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


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
