"""Sample live evidence into the store, and show which session holds back purge.

Each sample queries every instance once. Samples are written every half minute and at the end; until then they wait in a
journal, which the next watch stores if this one is killed. Statements are counted at the same times. A lost connection, a
failover, a store that cannot be written and a step of the clock are recorded as events, once each, and never end the watch.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pandas as pd

from aurora_analysis.engines.live_evidence import ConnectionLost, InstanceSample, Probe
from aurora_analysis.errors import Error
from aurora_analysis.live import counting, samples
from aurora_analysis.live.journal import Entry, Journal
from aurora_analysis.live.rounds import Rounds
from aurora_analysis.live.samples import Event
from aurora_analysis.live.status import PurgeStatus, Sample, purge_status
from aurora_analysis.store import Store, upkeep
from aurora_analysis.window import Window

SOURCE = "live"
WRITE_EVERY_S = 30
"""Interval at which samples are written and statements are counted."""

KEPT_SAMPLES = 200
"""Samples kept in memory for the status."""

KEPT_UNWRITTEN = 3600
"""Samples that wait while the store cannot be written; older ones are lost."""

CONFLICTS = "recovery_conflicts"
"""Counter of the queries and sessions that a PostgreSQL reader ended because they held up its replay."""

CLOCK_STEP_S = 2.0
"""Largest gain or loss of the system clock between two samples; beyond it, the clock was set."""


class Watch:
    """Samples a cluster, collects events, and writes both to a store.

    Parameters
    ----------
    probes : sequence of Probe
        One for each instance.
    store : Store or None
        None keeps the samples in memory only.
    cluster : str
        Name of the cluster in the store.
    every_s : float
        Interval between two samples [s].
    monotonic : callable
        The clock that is never set [s].
    journal : Journal, optional
        Keeps each sample on disk until the store has it.

    Attributes
    ----------
    samples : list of Sample
        The most recent ones, oldest first.
    problem : str
        Why the last write to the store failed; empty if it succeeded.
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        store: Store | None,
        *,
        cluster: str,
        every_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        journal: Journal | None = None,
    ) -> None:
        self._probes, self._store, self._cluster, self._every_s = probes, store, cluster, every_s
        self._monotonic, self._journal, self._journaled = monotonic, journal, 0
        self.samples: list[Sample] = []
        self.problem = ""
        self._unwritten: list[Sample] = []
        self._events: list[Event] = []
        self._unshown: list[Event] = []
        self._counters = counting.counters(probes)
        self._counts = counting.counts(store, cluster, probes[0].engine_name)
        self._lost: dict[str, str] = {}
        self._rounds = Rounds(probes)
        self._stored: samples.States = {}
        self._reported_skips: set[tuple[str, str]] = set()
        self._last: dict[str, InstanceSample] = {}
        self._received = 0
        self._counted_at = 0
        self._span = (0, 0)
        self._due = 0
        self._clock = (0, 0.0)

    def run(
        self,
        duration_s: float,
        *,
        on_sample: Callable[[list[str], PurgeStatus], None] = lambda events, status: None,
        stopping: threading.Event | None = None,
    ) -> None:
        """Sample until the time is over or `stopping` is set, then write everything.

        Parameters
        ----------
        duration_s : float
            How long to watch [s].
        on_sample : callable
            Called after each sample with the lines of new events and the status of purge.
        stopping : threading.Event, optional
            Ends the watch early.
        """
        try:
            self.recover()
            for tick in ticks(duration_s, self._every_s, stopping or threading.Event()):
                self.sample(tick)
                on_sample(self.new_events(), self.purge_status())
        finally:
            self.close()

    def close(self) -> None:
        """Write what is not written yet, and close the connections."""
        if self._unwritten:
            self.count(self._span[1])
        self.write()
        if self._store is not None and not self.problem:
            upkeep.tidy_up(self._store, self._cluster)
        if self._journal is not None:
            self._journal.close()
        for probe in self._probes:
            probe.close()

    def sample(self, tick: int, latency_ms: float | None = None) -> Sample:
        """Sample every instance once; writes the previous samples every half minute.

        After the clock was set back, samples at times that are already covered are returned but not stored.
        """
        self._check_clock(tick)
        if self._due and tick >= self._due:
            self.count(tick)
            self.write()
            self._due = tick + WRITE_EVERY_S
        last = Sample(tick, _distinct_servers(self._sample_instances(tick)), latency_ms)
        self.samples = [*self.samples[-KEPT_SAMPLES:], last]
        if tick >= self._span[1]:
            self._keep(last)
        return last

    def _keep(self, last: Sample) -> None:
        self._unwritten = [*self._unwritten[-KEPT_UNWRITTEN:], last]
        self._span = (self._span[0] or last.time, last.time + 1)
        self._received += last.writer is not None
        self._keep_on_disk(last)
        if not self._due:
            self._due = last.time + WRITE_EVERY_S
            self.count(last.time)

    def _keep_on_disk(self, last: Sample) -> None:
        """Add the last sample, and the events since the one before it, to the journal."""
        if self._journal is None:
            return
        events = [(last.time, *one[1:]) for one in self._events[self._journaled :]]
        tables = samples.to_tables([last], events, self._every_s, self.samples[-2:-1], self._stored)
        tables["statements"] = samples.statement_rows(samples.running_statements([last]), last.engine_name)
        try:
            self._journal.append(Entry(last.time, self._every_s, last.writer is not None, tables))
        except OSError as problem:
            self._journal = None
            self._record(last.time, None, "store", f"samples wait in memory only: {problem.strerror}")
        self._journaled = len(self._events)

    def recover(self) -> None:
        """Write what killed watches of this cluster left; a file that cannot be written stays for the next watch."""
        if self._store is None or self._journal is None:
            return
        for path, entries in self._journal.left():
            try:
                count = _recover(self._store, self._cluster, entries)
            except (Error, OSError) as problem:
                self._unshown.append((int(time.time()), None, "store", f"samples wait in {path}: {problem}"))
                continue
            path.unlink(missing_ok=True)
            if count:
                message = f"{count} samples that a killed watch left are stored"
                self._unshown.append((entries[-1].time, None, "store", message))

    def unwritten_message(self) -> str:
        """Describe what could not be written at the end, why, and whether the journal keeps it."""
        samples = f"samples since {_moment(self._unwritten[0].time):%H:%M:%S} UTC"
        kept = (
            f"{samples} wait on this disk. Make the store writable, and run the same command again, which stores them"
            if self._journal is not None
            else f"{samples} are lost. Make the store writable, or choose another --store"
        )
        return f"{str(self.problem).rstrip('.')}: {kept}."

    def unanswered_message(self) -> str:
        """Name the instances that never answered, and why; empty if each answered."""
        silent = [probe.name for probe in self._probes if probe.name not in self._last]
        reasons = [f"{name}: {self._lost[name]}" for name in silent if name in self._lost]
        if not reasons:
            return ""
        return f"never answered: {'; '.join(reasons)}. Check the address, and whether its port is reachable."

    def purge_status(self) -> PurgeStatus:
        """Status of purge after the last sample."""
        return purge_status(self.samples)

    def new_events(self) -> list[str]:
        """Return one line for each event since the previous call."""
        unshown, self._unshown = self._unshown, []
        return [
            f"{_moment(when):%H:%M:%S} UTC  {instance or 'watch'}: {category}, {message}"
            for when, instance, category, message in unshown
        ]

    def record_event(self, instance: str | None, category: str, message: str) -> None:
        """Record an event at the time of the last sample."""
        self._record(self._span[1] - 1, instance, category, message)

    def _record(self, tick: int, instance: str | None, category: str, message: str) -> None:
        self._events.append((tick, instance, category, message))
        self._unshown.append((tick, instance, category, message))

    # Sampling

    def _sample_instances(self, tick: int) -> list[InstanceSample]:
        """Sample all instances in parallel; those that do not answer are missing."""
        answers = self._rounds.sample()
        for probe, answer in zip(self._probes, answers):
            if isinstance(answer, ConnectionLost):
                self._record_lost(tick, probe, answer)
            elif answer is not None:
                self._record_changes(tick, probe, answer)
        return [one for one in answers if one is not None and not isinstance(one, ConnectionLost)]

    def _record_lost(self, tick: int, probe: Probe, problem: ConnectionLost) -> None:
        if probe.name not in self._lost:
            self._record(tick, self._name(probe), "connection lost", str(problem))
        self._lost[probe.name] = str(problem)

    def _name(self, probe: Probe) -> str:
        return self._last[probe.name].instance if probe.name in self._last else probe.name

    def _record_changes(self, tick: int, probe: Probe, now: InstanceSample) -> None:
        before = self._last.get(probe.name)
        self._last[probe.name] = now
        if probe.name in self._lost:
            del self._lost[probe.name]
            self._record(tick, now.instance, "connection", "the instance answers again")
        self._record_skipped(tick, probe, now)
        if before is None:
            return
        if (before.instance, before.role) != (now.instance, now.role):
            previously = (
                before.role if before.instance == now.instance else f"{before.role} {before.instance}"
            )
            self._record(tick, now.instance, "failover", f"now the {now.role}, previously the {previously}")
        elif now.counters.get("uptime", 0) < before.counters.get("uptime", 0):
            self._record(tick, now.instance, "restart", f"the server is up for {now.counters['uptime']} s")
        cancelled = now.counters.get(CONFLICTS, 0) - before.counters.get(CONFLICTS, 0)
        if cancelled > 0 and before.instance == now.instance:
            message = f"the reader ended {cancelled} {'session' if cancelled == 1 else 'sessions'} that held up its replay"
            self._record(tick, now.instance, "recovery conflict", message)

    def _record_skipped(self, tick: int, probe: Probe, now: InstanceSample) -> None:
        for name, needs in probe.skipped.items():
            if (now.instance, name) not in self._reported_skips:
                self._reported_skips.add((now.instance, name))
                self._record(tick, now.instance, "left out", f"{name} needs {needs}")

    def _check_clock(self, tick: int) -> None:
        """Record a step of the system clock and reset state, so that no slope or rate spans it."""
        (last, at), now = self._clock, self._monotonic()
        self._clock = (tick, now)
        step = tick - last - (now - at) if last else 0.0
        if abs(step) <= CLOCK_STEP_S:
            return
        until = (
            f"; nothing is stored before {_moment(self._span[1]):%H:%M:%S}" if tick < self._span[1] else ""
        )
        direction = "forward" if step > 0 else "back"
        self.record_event(None, "clock", f"it was set {direction} by {abs(step):,.0f} s{until}")
        self.write()
        self.samples, self._due = [], 0
        for counter in self._counters:
            counter.reset()

    # Counting

    def count(self, tick: int) -> None:
        """Count statements since the previous count: performance_schema's, and the slow log's if it is a table."""
        if tick == self._counted_at:
            return
        self._counted_at = tick
        for counter in self._counters:
            last = self._last.get(counter.probe.name)
            # Lost, or a second address of a server that is counted already.
            if last is None or not any(last is one for one in self.samples[-1].instances):
                counter.reset()
                continue
            try:
                if counter.count(tick, last.instance, self._counts):
                    message = "performance_schema was reset; its counts start again"
                    self._record(tick, last.instance, "statistics", message)
            except ConnectionLost as problem:
                self._record_lost(tick, counter.probe, problem)

    # Writing

    def write(self) -> None:
        """Write samples since the last write, coverage last to mark them complete; keep them if that fails."""
        if self._store is None or not self._unwritten:
            return
        try:
            self._write(self._store)
        except Error as problem:
            self._wait(str(problem))
            return
        except OSError as problem:
            self._wait(f"Cannot write into {problem.filename}: {problem.strerror}")
            return
        if self.problem:
            self.problem = ""
            self.record_event(None, "store", "it can be written again")
            self._write(self._store)
        self._stored = {**self._stored, **samples.states(self._unwritten)}
        self._unwritten, self._events, self._journaled = [], [], 0
        if self._journal is not None:
            self._journal.clear()
        self._counts.clear()

    def _wait(self, problem: str) -> None:
        if not self.problem:
            self.record_event(None, "store", f"samples wait: {problem}")
        self.problem = problem.rstrip(".")

    def _write(self, store: Store) -> None:
        window = Window(_moment(self._unwritten[0].time), _moment(self._span[1]))
        for table, frame in self._tables().items():
            store.write(table, frame, window, cluster=self._cluster, source=SOURCE)
        engine = self._counts.engine_name
        running = samples.running_statements(self._unwritten)
        observed = [samples.statement_rows(running, engine)] if len(running) else []
        for frame in (*observed, *self._counts.statements()):
            store.merge("statements", frame, cluster=self._cluster, source=SOURCE)
        for logged in self._counts.logged:
            store.merge("slow_queries", logged.slow_queries, cluster=self._cluster, source=SOURCE)
        watched = Window(*map(_moment, self._span))
        covered = samples.coverage(watched, self._every_s, self._received, self._counts.counted_s)
        store.write("coverage", covered, watched, cluster=self._cluster, source=SOURCE)

    def _tables(self) -> dict[str, pd.DataFrame]:
        first, last = self._unwritten[0].time, self._span[1] - 1
        events = [(min(max(one[0], first), last), *one[1:]) for one in self._events]
        before = [one for one in self.samples if one.time < first][-1:]
        found = samples.to_tables(self._unwritten, events, self._every_s, before, self._stored)
        return found | self._counts.tables()


def _recover(store: Store, cluster: str, entries: Sequence[Entry]) -> int:
    """Write the samples of a killed watch unless the store has them, coverage last; return their number."""
    if not entries:
        return 0
    window = Window(_moment(entries[0].time), _moment(entries[-1].time + 1))
    known = store.read("coverage", window, cluster=cluster)
    known = known[(known["source"] == SOURCE) & (known["table"] == "metrics")]
    if ((known["time"] <= window.start) & (known["end"] >= window.end)).any():
        return 0
    for table in entries[0].tables:
        frames = [one.tables[table] for one in entries]
        frame = pd.concat([one for one in frames if len(one)] or frames[:1], ignore_index=True)
        if table == "statements":
            store.merge(table, frame, cluster=cluster, source=SOURCE)
            continue
        if table == "instances":  # a row at each change, not at each sample
            state = frame[["role", "engine_version", "engine"]]
            frame = frame[(state != state.groupby(frame["instance"]).shift()).any(axis=1)]
        store.write(table, frame, window, cluster=cluster, source=SOURCE)
    received = sum(one.has_writer for one in entries)
    covered = samples.coverage(window, entries[0].every_s, received, {})
    store.write("coverage", covered, window, cluster=cluster, source=SOURCE)
    return len(entries)


def _distinct_servers(found: Sequence[InstanceSample]) -> list[InstanceSample]:
    """Each server once: a cluster's writer and reader endpoints may lead to the same one."""
    return list({one.server: one for one in reversed(found)}.values())[::-1]


def ticks(duration_s: float, every_s: float, stopping: threading.Event) -> Iterator[int]:
    """Yield each sampling time [s since 1970] when it arrives; missed ones are skipped.

    The pace follows the monotonic clock, so setting the system clock does not change it.
    """
    began = due = time.monotonic()
    while due - began < duration_s:
        if stopping.wait(max(0.0, due - time.monotonic())):
            return
        yield int(time.time())
        due += every_s * max(1, math.ceil((time.monotonic() - due) / every_s))


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set, so that a watch can write its samples before it ends."""
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
