"""Run a drill: clients, fault, observation, check of every acknowledged write; then clean up."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pandas as pd
from sqlalchemy import exc

from aurora_analysis.errors import Error
from aurora_analysis.live.drill import clients, table
from aurora_analysis.live.drill.clients import Attempt, Client, Lane, Worker
from aurora_analysis.live.drill.options import CLIENTS, LASTING, ON_READER, DrillOptions
from aurora_analysis.live.drill.outcome import Outcome, has_settled, outcome
from aurora_analysis.live.drill.place import READER, WRITER, Injected, Place, Progress
from aurora_analysis.live.drill.servers import Servers, servers
from aurora_analysis.live.watch import stopped_by_signals
from aurora_analysis.store import Store
from aurora_analysis.window import Window

SOURCE = "drill"
"""Source of the drill's rows in the store."""

WARM_UP_S = 1.0
"""Clients run for at least this long before a fault, plus up to as much again at random."""

READY_S = 30.0
"""Time limit for every client's first success, before a fault."""

QUIET_S = 3.0
"""An observation ends early once the fault has taken effect and no client had an error for so long."""

LOOK_EVERY_S = 0.5
"""Interval at which the servers are looked at after a fault."""

STATEMENT_S = 10.0
"""Longest wait for workers to stop; a statement that takes longer is given up."""


@dataclass
class Drill:
    """A running drill."""

    options: DrillOptions
    place: Place
    table: table.Table
    name: str
    random: random.Random
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int, fault: str) -> pd.DataFrame | None:
        """Run one fault, and return its rows of `drills`; None if the drill was interrupted.

        Raises
        ------
        Error
            If a client does not work before the fault, or the fault cannot be injected.
        """
        attempts: list[Attempt] = []
        with self._clients(number, fault, attempts) as workers:
            before = self._ready(workers, attempts)
            if self.stopping.wait(WARM_UP_S * (1 + self.random.random())):
                return None
            for one in workers:
                one.client.before_fault()
            moment = datetime.now(UTC)
            injected = self.place.inject(fault, self.options.fault_s, before.writer)
            has_effect = self._observe(fault, injected, before, attempts)
        until = time.monotonic()
        if self.stopping.is_set() and not has_effect:
            return None
        after = servers(self.table.instances)
        stored = self.table.stored(number)
        found = {}
        for name in CLIENTS:
            own = [one for one in attempts if one.client == name]
            of_client = None if stored is None else stored.get(name, set())
            found[name] = outcome(own, injected.at, until, reads_only=fault in ON_READER, stored=of_client)
        took_effect = _took_effect(fault, injected, before, after, found)
        return self._rows(number, fault, (moment, injected, until), (before, after), (took_effect, found))

    @contextmanager
    def _clients(self, number: int, fault: str, attempts: list[Attempt]) -> Iterator[list[Worker]]:
        """Start the clients in random order; they stop with the block."""
        chosen, stopping = self.options.client, threading.Event()
        lane = Lane(self.table.sql, number, chosen.pause_s, stopping, attempts.append)
        with ExitStack() as stack:
            workers: list[Worker] = []
            for name in self.random.sample(CLIENTS, len(CLIENTS)):
                writing = self._client(name, WRITER, attempts, stack)
                if fault in ON_READER:
                    one = Worker(writing, 0, lane)
                    reading = self._client(name, READER, attempts, stack)
                    workers += [one, *(Worker(reading, n, lane, one) for n in range(1, chosen.workers + 1))]
                else:
                    workers += [Worker(writing, n, lane) for n in range(chosen.workers)]
            for one in workers:
                one.start()
            try:
                yield workers
            finally:
                stopping.set()
                until = time.monotonic() + STATEMENT_S
                for one in workers:
                    one.join(max(0.1, until - time.monotonic()))

    def _client(self, name: str, role: str, attempts: list[Attempt], stack: ExitStack) -> Client:
        made = clients.make(name, self.place, role, self.options.client, attempts.append)
        stack.callback(made.close)
        return made

    def _ready(self, workers: Sequence[Worker], attempts: Sequence[Attempt]) -> Servers:
        """Wait until every worker has succeeded, and return the servers as they are before the fault."""
        deadline = time.monotonic() + READY_S
        wanted = {(one.client.name, one.number) for one in workers}
        done: set[tuple[str, int]] = set()
        while done < wanted:
            done = {(one.client, one.worker) for one in tuple(attempts) if not one.error}
            if time.monotonic() > deadline:
                name, number = min(wanted - done)
                problem = next(
                    (one.error for one in reversed(attempts) if one.client == name and one.error), ""
                )
                raise Error(
                    f"The client {name} does not work without a fault: {problem or 'no answer'}. Nothing was injected."
                )
            if self.stopping.wait(0.05):
                break
        before = servers(self.table.instances)
        if not before.writer:
            raise Error(
                "No instance accepts writes, or several do: repair the cluster first. Nothing was injected."
            )
        return before

    def _observe(self, fault: str, injected: Injected, before: Servers, attempts: list[Attempt]) -> bool:
        """Wait until every client has recovered, at most `observe_s`; returns whether the fault took effect."""
        end, has_effect = injected.at + self.options.observe_s, bool(injected.is_certain)
        while time.monotonic() < end and not self.stopping.wait(LOOK_EVERY_S):
            now = time.monotonic()
            has_effect = has_effect or _changed(fault, before, servers(self.table.instances))
            since = max(now - QUIET_S, injected.at, injected.ends_at)
            by_client = [[one for one in attempts if one.client == name] for name in CLIENTS]
            is_quiet = now - since >= QUIET_S and all(has_settled(own, since, now) for own in by_client)
            if has_effect and is_quiet:
                break
        return has_effect

    def _rows(
        self,
        number: int,
        fault: str,
        times: tuple[datetime, Injected, float],
        states: tuple[Servers, Servers],
        results: tuple[bool | None, dict[str, Outcome]],
    ) -> pd.DataFrame:
        moment, injected, until = times
        began = pd.Timestamp(moment).as_unit("us")
        rows = pd.DataFrame(
            [
                {
                    "time": began,
                    "end": began + pd.Timedelta(until - injected.at, "s").as_unit("us"),
                    "drill": self.name,
                    "run": number,
                    "fault": fault,
                    "place": self.place.kind,
                    "engine": self.place.engine_name,
                    "how": injected.how,
                    "took_effect": results[0],
                    "writer_before": states[0].writer,
                    "writer_after": states[1].writer,
                    "client": name,
                    "observed_s": until - injected.at,
                    **vars(one),
                }
                for name, one in results[1].items()
            ]
        )
        return rows.astype({"took_effect": "boolean", "writes_lost": "Int64", "writes_unconfirmed": "Int64"})


def _changed(fault: str, before: Servers, after: Servers) -> bool:
    """Return whether the servers show that a fault took effect."""
    if fault == "failover":
        return bool(after.writer) and after.writer != before.writer
    if fault == "crash":
        return after.restarted(before, before.writer)
    if fault == "reader-restart":
        return any(after.restarted(before, name) for name in before.started if name != before.writer)
    return False


def _took_effect(
    fault: str, injected: Injected, before: Servers, after: Servers, found: dict[str, Outcome]
) -> bool | None:
    """Return whether a fault took effect; None if neither the place nor the servers can show it."""
    if injected.is_certain or _changed(fault, before, after):
        return True
    if fault == "lag" and any(one.stale_reads for one in found.values()):
        return True
    if fault == "disk" and any(one.errors or one.first_success_s != 0 for one in found.values()):
        return True
    return None if fault in LASTING else False


def run_drill(
    options: DrillOptions, place: Place, store: Store | None, progress: Progress = lambda line: None
) -> pd.DataFrame:
    """Run every fault as often as wanted, in random order, and write each run into the store.

    Before the first run and after the last one the drill's table is dropped, and the first writer is the writer again.

    Parameters
    ----------
    options : DrillOptions
        What to inject, how often.
    place : Place
        Where.
    store : Store, optional
        Receives the rows of `drills`.
    progress : callable
        Receives one line per message.

    Returns
    -------
    DataFrame
        Rows of `drills`: one for each run and client.
    """
    for fault in options.faults:
        if refusal := place.refusal(fault):
            raise Error(f"The fault {fault} cannot be injected here: {refusal}")
    rng = random.Random(options.seed)
    order = [fault for fault in options.faults for _ in range(options.repeats)]
    rng.shuffle(order)
    name = f"{options.cluster} {datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    rows: list[pd.DataFrame] = []
    with stopped_by_signals() as stopping, table.created(place, options.schema, progress) as made:
        drill = Drill(options, place, made, name, rng, stopping)
        for number, fault in enumerate(order):
            if number and _paused(made, options.interval_s * (1 + rng.random() / 2), stopping):
                break
            progress(f"run {number + 1} of {len(order)}: {fault}")
            found = drill.run(number, fault)
            if found is None:
                break
            rows.append(found)
            if store is not None:
                write(store, found, options.cluster)
            made.restore(progress)
        if stopping.is_set():
            progress(f"{name}: interrupted after {len(rows)} of {len(order)} runs")
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def write(store: Store, rows: pd.DataFrame, cluster: str) -> None:
    """Write the rows of one run, and last its coverage, by which reports find the cluster."""
    start, end = (rows[name].iloc[0].to_pydatetime() for name in ("time", "end"))
    window = Window(start, max(end, start + timedelta(seconds=1)))
    store.write("drills", rows, window, cluster=cluster, source=SOURCE)
    covered = {
        "time": pd.Timestamp(window.start).as_unit("us"),
        "end": pd.Timestamp(window.end).as_unit("us"),
        "table": "drills",
        "expected": float(len(CLIENTS)),
        "received": float(len(rows)),
        "lost": 0.0,
        "unit": "rows",
        "note": "a run of a drill",
    }
    store.write("coverage", pd.DataFrame([covered]), window, cluster=cluster, source=SOURCE)


def _paused(made: table.Table, seconds: float, stopping: threading.Event) -> bool:
    """Wait between two runs, and show that the drill still runs; returns whether it was interrupted."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        with suppress(exc.SQLAlchemyError):
            made.beat()
        if stopping.wait(min(left, 1.0)):
            return True
    return stopping.is_set()
