"""Record a PostgreSQL primary and its hot standby into a store, as `watch` and `ingest` record a cluster.

Live samples, statement counts and the canary come from a watch of both servers, slow queries, vacuums and events from
their logs, and the latency of the queue and of commits from the clients. The plan is in the table `trials` before the
first block begins, and everything is written every half minute, so a recording that stops early keeps what it has.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pandas as pd

from aurora_analysis import engines
from aurora_analysis.engines.log_events import Account
from aurora_analysis.engines.log_tables import Layout, LogTables
from aurora_analysis.lab import (
    ledger,
    ledger_schedule,
    ledger_sessions,
    postgresql,
    schedule,
    session_processes,
    tables,
)
from aurora_analysis.lab.ledger import LedgerLoad
from aurora_analysis.lab.record import LEAD_S, SETTLE_S, SOURCE, covered
from aurora_analysis.lab.session_processes import Sessions
from aurora_analysis.lab.workload import Timing
from aurora_analysis.live import probes, watch
from aurora_analysis.live.experiment import Canary
from aurora_analysis.live.watch import Watch, stopped_by_signals, ticks
from aurora_analysis.store import Store
from aurora_analysis.window import Window

SLOW_LOG = engines.module("postgresql", "slow_log")

NOTE = "a real PostgreSQL primary and its hot standby on one machine"
LONG_MS = 200
"""Threshold of the servers' logs [ms]: they have the long extracts, and hardly any statement of the load."""

OPTIONS: dict[str, object] = {
    "log_min_duration_statement": LONG_MS,
    "log_line_prefix": "%m:%r:%u@%d:[%p]:%l:%e:%s:%v:%x:%c:%q%a",  # as on RDS since PostgreSQL 16
    "log_lock_waits": "on",
    "log_recovery_conflict_waits": "on",
    "autovacuum_vacuum_scale_factor": 0.01,  # Aurora's is 0.1, of larger tables
    "autovacuum_vacuum_threshold": 500,
}
CLIENT_KINDS = ("commit", "queue")
"""Operations that the clients time. For PostgreSQL, CloudWatch has only the latency of commits."""


@dataclass(frozen=True)
class LedgerOptions:
    """The options of a recording of PostgreSQL.

    Attributes
    ----------
    duration_s : float
        Length of the recording [s].
    seed : int
        Seed of the draw and of the load.
    cluster : str
        Name of the cluster in the store.
    block_s : int
        Length of a block of the trial [s].
    """

    duration_s: float
    seed: int
    cluster: str = "ledger"
    block_s: int = ledger_schedule.BLOCK_S

    def plan(self, start: datetime) -> pd.DataFrame:
        """Draw the plan of a recording that begins at `start`, as rows of `trials`."""
        return ledger_schedule.draw(start, self.duration_s, seed=self.seed, block_s=self.block_s)


def record(
    store: Store, options: LedgerOptions, *, progress: Callable[[str], None] = lambda line: None
) -> Window:
    """Record a primary and its standby; Ctrl-C stops it early and keeps what was recorded.

    Parameters
    ----------
    store : Store
        Receives the recording.
    options : LedgerOptions
        What to record.
    progress : callable
        Receives one line every half minute.

    Returns
    -------
    Window
        The recorded window.

    Raises
    ------
    Error
        If the duration is too short for a trial, or a server or a session fails.
    """
    options.plan(datetime.now(UTC))  # raise at once if the options do not fit
    names = [f"{options.cluster}-writer", f"{options.cluster}-reader-1"]
    with ExitStack() as stack:
        processes = stack.enter_context(
            session_processes.running(ledger_sessions.write, ledger_sessions.read)
        )
        pair = stack.enter_context(
            postgresql.running(
                {**OPTIONS, "cluster_name": names[0]}, standby_options={"cluster_name": names[1]}
            )
        )
        ledger.prepare(pair)
        servers = [one.engine(ledger.DATABASE) for one in pair.servers]
        canary = Canary(servers[0], "public")
        stack.callback(canary.close)
        observed = Watch(
            probes.of_cluster(servers, options.cluster), store, cluster=options.cluster, every_s=1
        )
        stack.callback(observed.close)
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LEAD_S)
        seconds = int(options.duration_s)
        load = LedgerLoad(
            pair=pair,
            users=ledger.USERS,
            start=start.timestamp(),
            planned_rate=schedule.planned_rate(seconds, seed=options.seed, mean=ledger.RATE),
            seed=options.seed,
        )
        window = Window(start, start + timedelta(seconds=seconds))
        recording = LedgerRecording(
            store, options.cluster, window, load, options.plan(start), observed, canary, processes
        )
        return recording.run(progress)


@dataclass
class LedgerRecording:
    """A running recording: its target, its servers' watch and sessions, and the timings that are not written yet."""

    store: Store
    cluster: str
    window: Window
    load: LedgerLoad
    plan: pd.DataFrame
    observed: Watch
    canary: Canary
    processes: Sessions
    timings: list[Timing] = field(default_factory=list)

    def run(self, progress: Callable[[str], None]) -> Window:
        """Record until the end or Ctrl-C, then write the run times, the logs and the coverage."""
        self._write("trials", self.plan)
        self.processes.begin(self.load, self.plan)
        with stopped_by_signals() as stopping:
            recorded = Window(self.window.start, self._sample(stopping, progress))
        time.sleep(SETTLE_S)  # the last runs report their end
        self.processes.stop()
        self.observed.close()
        self.plan = tables.with_runs(self.plan, self.processes.runs)
        self._write("trials", self.plan)
        self._write_settings(recorded)
        self._write("coverage", self._coverage(recorded, self._write_logs(recorded)))
        return recorded

    def _sample(self, stopping: threading.Event, progress: Callable[[str], None]) -> datetime:
        """Sample every second, and count statements at the edges of planned runs; return the end."""
        edges = sorted({int(at.timestamp()) for name in ("time", "end") for at in self.plan[name]})
        stopping.wait(max(0.0, self.load.start - time.time()))
        written = int(self.load.start)
        last = written - 1
        for tick in ticks(self.load.start + self.load.seconds - time.time(), 1.0, stopping):
            if tick <= last:
                continue
            self.observed.sample(tick, self.canary.latency_ms())
            if any(last < edge <= tick for edge in edges):
                self.observed.count(tick)
            last = tick
            if tick - written >= watch.WRITE_EVERY_S:
                progress(self._write_clients(written, tick))
                written = tick
        end = min(max(last, int(self.load.start)) + 1, int(self.window.end.timestamp()))
        if end > written:
            progress(self._write_clients(written, end))
        return _moment(end)

    def _write_clients(self, first: int, end: int) -> str:
        """Write the clients' latencies and throughput of a span [s since 1970]; return a line that summarises it."""
        self.timings += self.processes.timings(until=end)
        timed = tables.timed(one for one in self.timings if first <= one.ended_at < end)
        start = int(self.load.start)
        planned = {at: float(self.load.planned_rate[at - start]) for at in range(first, end)}
        rows = tables.client_metrics(timed, planned, kinds=CLIENT_KINDS)
        self._write("metrics", rows, Window(_moment(first), _moment(end)), self._writer)
        self.timings = [one for one in self.timings if one.ended_at >= end]
        typical = (
            rows.groupby(["name", "statistic"])["value"].median().get(("queue_latency", "p50"), float("nan"))
        )
        oldest = max(
            (
                one.cleanup.metrics(one.instances).get("xmin_horizon_age", 0)
                for one in self.observed.samples[first - end :]
            ),
            default=0,
        )
        return f"to {_moment(end):%H:%M:%S} UTC: horizon up to {oldest:,.0f} transactions old, queue p50 {typical:.2f} ms"

    @property
    def _writer(self) -> str:
        return f"{self.cluster}-writer"

    @property
    def _logs(self) -> dict[str, Path]:
        """Return each instance's log."""
        primary, standby = self.load.pair.servers
        return {self._writer: primary.log, f"{self.cluster}-reader-1": standby.log}

    def _write_settings(self, recorded: Window) -> None:
        """Add to each instance the settings that a fetch stores and a watch does not query."""
        seen = self.store.read("instances", recorded, cluster=self.cluster, where={"source": watch.SOURCE})
        rows = seen.drop_duplicates(["instance", "role"]).assign(
            vcpus=float(os.cpu_count() or 1),
            isolation_level="READ COMMITTED",
            slow_query_log=True,
            log_output="FILE",
            long_query_time_s=LONG_MS / 1000,
        )
        self.store.write("instances", rows, recorded, cluster=self.cluster, source=watch.SOURCE)

    def _write_logs(self, recorded: Window) -> dict[str, Account]:
        """Write the executions of the lab's users, the vacuums and the events in the servers' logs."""
        accounts, events = {name: Account() for name in self._logs}, []
        merge = partial(self.store.merge, cluster=self.cluster, source=SOURCE)
        for instance, path in self._logs.items():
            for found in _read(path, instance, accounts[instance]):
                rows = found.slow_queries
                ours = rows["user"].isin(self.load.users.values())
                logged = rows[ours & _inside(rows["ended_at"], recorded)]
                merge("slow_queries", logged)
                merge("statements", found.statements[found.statements["digest"].isin(logged["digest"])])
                merge("vacuums", found.vacuums[_inside(found.vacuums["time"], recorded)])
                events.append(found.events[_inside(found.events["time"], recorded)])
        self._write("events", pd.concat(events), recorded)
        return accounts

    def _coverage(self, recorded: Window, logs: Mapping[str, Account]) -> pd.DataFrame:
        """Return rows of `coverage`: seconds of the clients' metrics, bytes of the logs, and the plan's rows."""
        read = partial(self.store.read, window=recorded, cluster=self.cluster, where={"source": SOURCE})
        received = len(read("metrics").query("name == 'planned_rate'"))
        rows = [
            covered("metrics", recorded.duration.total_seconds(), received, 0, "samples"),
            covered("trials", len(self.plan), len(self.plan), 0, "rows"),
        ]
        rows += [
            covered(table, one.bytes, one.bytes - one.lost_bytes, one.lost_bytes, "bytes")
            | {"instance": name}
            for name, one in logs.items()
            for table in SLOW_LOG.COVERED
        ]
        return pd.DataFrame(rows).assign(
            time=pd.Timestamp(recorded.start).as_unit("us"),
            end=pd.Timestamp(recorded.end).as_unit("us"),
            note=NOTE,
        )

    def _write(
        self, table: str, frame: pd.DataFrame, window: Window | None = None, instance: str | None = None
    ) -> None:
        self.store.write(
            table, frame, window or self.window, cluster=self.cluster, source=SOURCE, instance=instance
        )


def _read(path: Path, instance: str, account: Account) -> Iterator[LogTables]:
    with path.open("rb") as log:
        yield from SLOW_LOG.read_slow_log(
            iter(lambda: log.read(2**20), b""), Layout(instance=instance), account=account
        )


def _inside(times: pd.Series, window: Window) -> pd.Series:
    return times.between(window.start, window.end, inclusive="left")


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
