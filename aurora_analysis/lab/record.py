"""Record the lab into a store: steady samples of a real InnoDB, client timings, and the server's slow log.

The plan is in the table `trials` before the first block begins. Each block is written when it ends, so that a recording
that stops early keeps what it has.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd
import sqlalchemy

from aurora_analysis.engines.mysql import flavour, slow_log
from aurora_analysis.lab import schedule, server, session_processes, sessions, tables, workload
from aurora_analysis.lab.sampler import InnodbSample, Sampler
from aurora_analysis.lab.server import Server
from aurora_analysis.lab.session_processes import Sessions
from aurora_analysis.lab.workload import RATE, Load, RunTimes, Timing
from aurora_analysis.store import Store
from aurora_analysis.window import Window

SOURCE = "lab"
NOTE = "a real InnoDB server of one machine; the reader's sessions are other users on it"
OPTIONS: dict[str, object] = {
    "long_query_time": 0.002,  # the writer's tail and every long reader query, and a small log
    "log_output": "FILE",
}
BLOCK_S = 75.0
LEAD_S = 4
"""Time from the plan to its first second, in which the plan is written to the store."""

SETTLE_S = 1.0
"""Wait after the end of a block for its last sample."""

SETTINGS = {
    "engine_version": "version",
    "long_query_time_s": "long_query_time",
    "min_examined_row_limit": "min_examined_row_limit",
    "log_output": "log_output",
    "purge_threads": "innodb_purge_threads",
}
"""Column of `instances` → server variable."""


@dataclass(frozen=True)
class RecordingOptions:
    """The options of a recording.

    Attributes
    ----------
    duration_s : float
        Length of the recording [s].
    seed : int
        Seed of the draw and of the load.
    cluster : str
        Name of the cluster in the store.
    block_s : float
        Length of a block of the trial [s].
    users : mapping
        Role → user.
    server_options : mapping
        Further options of the server.
    environment : mapping
        Further environment variables of the server.
    """

    duration_s: float
    seed: int
    cluster: str = "lab"
    block_s: float = BLOCK_S
    users: Mapping[str, str] = field(default_factory=lambda: schedule.USERS)
    server_options: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def plan(self, start: datetime) -> pd.DataFrame:
        """Draw the plan of a recording that begins at `start`, as rows of `trials`."""
        return schedule.draw(start, self.duration_s, seed=self.seed, block_s=self.block_s, users=self.users)


def record(
    store: Store, options: RecordingOptions, *, progress: Callable[[str], None] = lambda line: None
) -> Window:
    """Record a lab; Ctrl-C stops it early and keeps what was recorded.

    Parameters
    ----------
    store : Store
        Receives the recording.
    options : RecordingOptions
        What to record.
    progress : callable
        Receives one line per block.

    Returns
    -------
    Window
        The recorded window.

    Raises
    ------
    Error
        If the duration is too short for a trial, or the server or a session fails.
    """
    options.plan(datetime.now(UTC))  # raise at once if the options do not fit
    settings = {**OPTIONS, **options.server_options}
    with (
        server.running(settings, environment=options.environment) as ours,
        session_processes.running(sessions.write, sessions.read) as processes,
    ):
        workload.prepare(ours, options.users)
        log_slow_queries(ours)
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LEAD_S)
        window = Window(start, start + timedelta(seconds=int(options.duration_s)))
        rate = schedule.planned_rate(int(options.duration_s), seed=options.seed, mean=RATE)
        load = Load(
            server=ours,
            users=options.users,
            start=start.timestamp(),
            planned_rate=rate,
            seed=options.seed,
        )
        recording = Recording(store, options.cluster, window, load, options.plan(start))
        return recording.run(processes, _blocks(window, options.block_s), progress)


def _blocks(window: Window, block_s: float) -> list[Window]:
    """Cut the window into the warm-up, the blocks, and the remainder."""
    step, starts = timedelta(seconds=int(block_s)), [window.start]
    starts.append(window.start + timedelta(seconds=int(schedule.WARM_UP_SHARE * block_s)))
    while starts[-1] + step < window.end:
        starts.append(starts[-1] + step)
    return [Window(*ends) for ends in zip(starts, [*starts[1:], window.end])]


@dataclass
class Recording:
    """A running recording: its target, and the samples and timings that are not written yet.

    The window and everything written are in recorded time, which differs from real time only if the recording is
    compressed; `compressed` then describes how.
    """

    store: Store
    cluster: str
    window: Window
    load: Load
    plan: pd.DataFrame
    source: str = SOURCE
    compressed: str = ""
    samples: list[InnodbSample] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    log: slow_log.Account = field(default_factory=slow_log.Account)

    @property
    def period_s(self) -> int:
        """Interval between samples [s of recorded time]."""
        return round(self.load.step_s * self.load.clock.factor)

    @property
    def writer(self) -> str:
        """Instance that represents the writer: the application's sessions."""
        return f"{self.cluster}-writer"

    @property
    def reader(self) -> str:
        """Instance that represents a reader: all other sessions on the same server."""
        return f"{self.cluster}-reader"

    def run(self, processes: Sessions, blocks: list[Window], progress: Callable[[str], None]) -> Window:
        """Record the blocks, then write the run times, the slow log and the coverage."""
        self._write("trials", self.plan)
        self._write("instances", self._instances())
        processes.begin(self.load, self.plan)
        with Sampler(self.load.server, self.load.start, self.load.step_s) as sampler:
            end = self._run(blocks, sampler, processes, progress)
        processes.stop()
        recorded = Window(self.window.start, end)
        self.plan = tables.with_runs(self.plan, [self._run_in_recorded_time(one) for one in processes.runs])
        self._write("trials", self.plan)
        self._write_slow_queries(recorded)
        self._write("coverage", self._coverage(recorded))
        return recorded

    def _run(
        self, blocks: list[Window], sampler: Sampler, processes: Sessions, progress: Callable[[str], None]
    ) -> datetime:
        """Write block after block, on Ctrl-C also the unfinished one; returns the end of what was recorded."""
        end, clock = self.window.start, self.load.clock
        with suppress(KeyboardInterrupt):
            for number, block in enumerate(blocks):
                time.sleep(max(0, clock.real(block.end.timestamp()) + SETTLE_S - time.time()))
                summary = self._write_block(block, sampler, processes)
                end = block.end
                progress(f"{number}/{len(blocks) - 1} to {end:%H:%M:%S} UTC: {summary}")
        now = min(self.window.end, self._now())
        if now > end:
            self._write_block(Window(end, now), sampler, processes)
        return max(now, self.window.start + timedelta(seconds=self.period_s))

    def _now(self) -> datetime:
        """Start of the current period."""
        passed = self.load.clock.recorded(time.time()) - self.window.start.timestamp()
        return self.window.start + timedelta(seconds=passed // self.period_s * self.period_s)

    def _write_block(self, block: Window, sampler: Sampler, processes: Sessions) -> str:
        """Write the block and keep what came after it; returns a line that summarises the block."""
        self.samples += [self._sample_in_recorded_time(one) for one in sampler.taken()]
        first, last = block.start.timestamp(), block.end.timestamp()
        clock = self.load.clock
        timings = processes.timings(until=clock.real(last))
        self.timings += [one._replace(ended_at=clock.recorded(one.ended_at)) for one in timings]
        samples = [one for one in self.samples if first <= one.time < last]
        timed = tables.timed(one for one in self.timings if first <= one.ended_at < last)
        metrics = tables.metrics(samples, timed, self._planned(block), self.period_s)
        metrics = pd.concat([metrics, self._transaction_ages(samples, self.writer)], ignore_index=True)
        histograms = tables.histograms(timed, block, self.period_s)
        by_statement = tables.statement_metrics(timed, block, self.period_s)
        self._write("metrics", metrics, block, self.writer)
        self._write("metrics", self._transaction_ages(samples, self.reader), block, self.reader)
        self._write("histograms", histograms, block, self.writer)
        self._write("statement_metrics", by_statement, block, self.writer)
        self._write("open_transactions", self._open_transactions(samples), block)
        self._write("read_views", tables.read_views(samples, self._roles(), self._instance), block)
        self.samples = [one for one in self.samples if one.time >= last]
        self.timings = [one for one in self.timings if one.ended_at >= last]
        return _line(metrics)

    def _open_transactions(self, samples: list[InnodbSample]) -> pd.DataFrame:
        return tables.open_transactions(samples, self._instance, leave_out={"root"})

    def _transaction_ages(self, samples: list[InnodbSample], instance: str) -> pd.DataFrame:
        """The age of an instance's oldest transaction, without the sampler's own."""

        def is_mine(user: str) -> bool:
            return user != "root" and self._instance(user) == instance

        return tables.transaction_ages(samples, is_mine, self.period_s)

    def _planned(self, block: Window) -> dict[int, float]:
        """Planned load in each period of the block [1/s], by its start."""
        rate = self.load.planned_rate / self.load.clock.factor
        start, period = int(self.window.start.timestamp()), self.period_s
        starts = range(int(block.start.timestamp()), int(block.end.timestamp()), period)
        return {one: float(rate[(one - start) // period]) for one in starts}

    def _sample_in_recorded_time(self, one: InnodbSample) -> InnodbSample:
        recorded = self.load.clock.recorded
        transactions = one.transactions and [
            t._replace(started_at=recorded(t.started_at)) for t in one.transactions
        ]
        return one._replace(time=round(recorded(one.time)), transactions=transactions)

    def _run_in_recorded_time(self, one: RunTimes) -> RunTimes:
        recorded = self.load.clock.recorded
        return one._replace(started_at=recorded(one.started_at), ended_at=recorded(one.ended_at))

    def _roles(self) -> dict[str, str]:
        return {self.writer: "writer", self.reader: "reader"}

    def _instance(self, user: str) -> str:
        return self.writer if user == self.load.users["application"] else self.reader

    def _instances(self) -> pd.DataFrame:
        """Rows of `instances`: both are the same server and have its settings."""
        with self.load.server.engine().connect() as connection:
            variables = connection.execute(sqlalchemy.text("SHOW GLOBAL VARIABLES")).all()
        settings = _settings({str(name): str(value) for name, value in variables})
        rows = [
            settings | {"time": self.window.start, "instance": name, "role": role}
            for name, role in self._roles().items()
        ]
        version = ", ".join(filter(None, (settings["engine_version"], self.compressed)))
        longest = settings["long_query_time_s"] * self.load.clock.factor
        return pd.DataFrame(rows).assign(engine_version=version, long_query_time_s=longest)

    def _write_slow_queries(self, recorded: Window) -> None:
        """Write the server's slow log of the window, and `statements` for everything timed or logged."""
        merge = partial(self.store.merge, cluster=self.cluster, source=self.source)
        merge("statements", tables.statements(recorded))
        with self.load.server.slow_log.open("rb") as log:
            for batch in slow_log.read_slow_log(iter(lambda: log.read(2**20), b""), account=self.log):
                rows = self._slow_queries(batch.slow_queries, recorded)
                logged = batch.statements[batch.statements["digest"].isin(rows["digest"])]
                merge("slow_queries", rows)
                merge("statements", self._with_recorded_times(logged, "first_seen", "last_seen"))

    def _slow_queries(self, slow_queries: pd.DataFrame, recorded: Window) -> pd.DataFrame:
        """Rows of the lab's sessions without those of the sampler, in recorded time."""
        rows = self._stretched(slow_queries[slow_queries["user"].isin(self.load.users.values())])
        return tables.slow_queries(rows, recorded, self._instance)

    def _stretched(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Slow queries in recorded time.

        The log's whole seconds are too coarse when time is compressed, so planned runs get their client's times.
        """
        factor = self.load.clock.factor
        if factor == 1:
            return rows
        names = ("query_time_s", "lock_time_s", "time_precision_s")
        stretched = self._with_recorded_times(rows, "started_at", "ended_at").assign(
            **{n: factor * rows[n] for n in names}
        )
        return tables.with_client_times(stretched, self.plan, pd.Timedelta(seconds=factor), 0.001 * factor)

    def _with_recorded_times(self, rows: pd.DataFrame, *names: str) -> pd.DataFrame:
        """Convert columns of real times to recorded time."""
        clock = self.load.clock
        real, recorded = (
            pd.Timestamp(at, unit="s", tz="UTC") for at in (clock.real_start, clock.recorded_start)
        )
        return rows.assign(
            **{n: (recorded + clock.factor * (rows[n] - real)).dt.as_unit("us") for n in names}
        )

    def _coverage(self, recorded: Window) -> pd.DataFrame:
        """Rows of `coverage`: samples per period for metrics, bytes for the slow log, rows for other tables."""
        read = partial(self.store.read, window=recorded, cluster=self.cluster)
        samples = read("metrics").query("name == 'history_list_length'")
        periods = recorded.duration.total_seconds() / self.period_s
        rows = [covered("metrics", periods, len(samples), 0, "samples")]
        for table in ("histograms", "statement_metrics", "open_transactions", "read_views", "trials"):
            count = len(read(table))
            rows.append(covered(table, count, count, 0, "rows"))
        log = self.log
        rows.append(covered("slow_queries", log.bytes, log.bytes - log.lost_bytes, log.lost_bytes, "bytes"))
        return pd.DataFrame(rows).assign(
            time=pd.Timestamp(recorded.start).as_unit("us"),
            end=pd.Timestamp(recorded.end).as_unit("us"),
            note="; ".join(filter(None, (NOTE, self.compressed))),
        )

    def _write(
        self, table: str, frame: pd.DataFrame, window: Window | None = None, instance: str | None = None
    ) -> None:
        self.store.write(
            table, frame, window or self.window, cluster=self.cluster, source=self.source, instance=instance
        )


def _settings(variables: Mapping[str, str]) -> dict[str, Any]:
    """The relevant settings, by column of `instances`."""
    named: dict[str, Any] = {ours: variables[theirs] for ours, theirs in SETTINGS.items()}
    isolation = variables.get("transaction_isolation") or variables["tx_isolation"]  # MySQL 8 | MariaDB 10
    return named | {
        "engine": flavour.of_version(variables["version"]),
        "vcpus": float(os.cpu_count() or 1),
        "isolation_level": isolation.replace("-", " "),
        "slow_query_log": True,
        "long_query_time_s": float(variables["long_query_time"]),
        "min_examined_row_limit": int(variables["min_examined_row_limit"]),
        "purge_threads": int(variables["innodb_purge_threads"]),
    }


def covered(table: str, expected: float, received: float, lost: float, unit: str) -> dict[str, object]:
    """Return a row of `coverage` without its times."""
    return {
        "table": table,
        "expected": float(expected),
        "received": float(received),
        "lost": float(lost),
        "unit": unit,
    }


def log_slow_queries(ours: Server) -> None:
    """Turn the slow log on, after the set-up, which is not part of the load."""
    with ours.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET GLOBAL slow_query_log = ON")


def _line(metrics: pd.DataFrame) -> str:
    """Summarise a block: the longest history list, and the queue's median latency."""
    values = metrics.groupby(["name", "statistic"])["value"]
    longest = values.max().get(("history_list_length", "average"), float("nan"))
    typical = values.median().get(("queue_latency", "p50"), float("nan"))
    return f"history list up to {longest:,.0f} transactions, queue p50 {typical:.2f} ms"
