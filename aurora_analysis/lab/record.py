"""Record the lab into a store: steady samples of a real InnoDB, what its clients timed, and its own slow log.

The plan is in the table `trials` before the first block begins. What is seen is written block by block, so that
a recording that ends early keeps what it has.
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
from aurora_analysis.lab import frames, schedule, server, workload
from aurora_analysis.lab.sampler import Sample, Sampler
from aurora_analysis.lab.server import Server
from aurora_analysis.lab.workload import RATE, Load, Ran, Sessions, Timing
from aurora_analysis.store import Store
from aurora_analysis.window import Window

SOURCE = "lab"
NOTE = "a real InnoDB server of one machine; the reader's sessions are other users on it"
OPTIONS: dict[str, object] = {
    "long_query_time": 0.002,  # the writer's tail and every long reader query, and a small log
    "log_output": "FILE",
}
LEAD_S = 4
"""From the plan to its first second: time to write it down."""

SETTLE_S = 1.0
"""So long after a block's end its last sample is taken."""

SETTINGS = {
    "engine_version": "version",
    "long_query_time_s": "long_query_time",
    "min_examined_row_limit": "min_examined_row_limit",
    "log_output": "log_output",
    "purge_threads": "innodb_purge_threads",
}
"""Column of `instances` → the server's own name."""


def record(
    store: Store,
    *,
    duration_s: float,
    seed: int,
    cluster: str = "lab",
    block_s: float = 75,
    users: Mapping[str, str] = schedule.USERS,
    options: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Window:
    """Record a lab; returns the window recorded. Ctrl-C ends it early, and what was seen is kept.

    `users` names the sessions by role, `options` and `environment` go to the server, `progress` gets a line a
    block.
    """
    schedule.draw(datetime.now(UTC), duration_s, seed=seed, block_s=block_s, users=users)  # or fail at once
    with (
        server.running({**OPTIONS, **(options or {})}, environment=environment) as ours,
        workload.running() as sessions,
    ):
        workload.prepare(ours, users)
        log_slow_queries(ours)
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LEAD_S)
        window = Window(start, start + timedelta(seconds=int(duration_s)))
        plan = schedule.draw(start, duration_s, seed=seed, block_s=block_s, users=users)
        rate = schedule.planned_rate(int(duration_s), seed=seed, mean=RATE)
        load = Load(ours, users, start.timestamp(), rate, seed)
        recording = Recording(store, cluster, window, load, plan)
        return recording.run(sessions, _blocks(window, block_s), progress)


def _blocks(window: Window, block_s: float) -> list[Window]:
    """The window in pieces: the warm-up, the blocks, what is left."""
    step, starts = timedelta(seconds=int(block_s)), [window.start]
    starts.append(window.start + timedelta(seconds=int(schedule.WARM_UP_SHARE * block_s)))
    while starts[-1] + step < window.end:
        starts.append(starts[-1] + step)
    return [Window(*ends) for ends in zip(starts, [*starts[1:], window.end])]


@dataclass
class Recording:
    """A recording under way: where it goes, and what was seen and is not written yet.

    The window and all that is written is in told time, which is real time but for a compressed recording;
    `compressed` says how, in words.
    """

    store: Store
    cluster: str
    window: Window
    load: Load
    plan: pd.DataFrame
    source: str = SOURCE
    compressed: str = ""
    samples: list[Sample] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    log: slow_log.Account = field(default_factory=slow_log.Account)

    @property
    def period_s(self) -> int:
        """From a sample to the next [s of told time]."""
        return round(self.load.step_s * self.load.clock.factor)

    @property
    def writer(self) -> str:
        """The instance that stands for the writer: the application's sessions."""
        return f"{self.cluster}-writer"

    @property
    def reader(self) -> str:
        """The instance that stands for a reader: everybody else's sessions on the same server."""
        return f"{self.cluster}-reader"

    def run(self, sessions: Sessions, blocks: list[Window], progress: Callable[[str], None]) -> Window:
        """Record the blocks, then what is known only at the end."""
        self._write("trials", self.plan)
        self._write("instances", self._instances())
        sessions.begin(self.load, self.plan)
        with Sampler(self.load.server, self.load.start, self.load.step_s) as sampler:
            end = self._run(blocks, sampler, sessions, progress)
        sessions.stop()
        recorded = Window(self.window.start, end)
        self.plan = frames.with_runs(self.plan, [self._ran(one) for one in sessions.runs])
        self._write("trials", self.plan)
        self._write_slow_queries(recorded)
        self._write("coverage", self._coverage(recorded))
        return recorded

    def _run(
        self, blocks: list[Window], sampler: Sampler, sessions: Sessions, progress: Callable[[str], None]
    ) -> datetime:
        """Write block after block, and the begun one where Ctrl-C ends it; returns how far it went."""
        end, clock = self.window.start, self.load.clock
        with suppress(KeyboardInterrupt):
            for number, block in enumerate(blocks):
                time.sleep(max(0, clock.real(block.end.timestamp()) + SETTLE_S - time.time()))
                told = self._write_block(block, sampler, sessions)
                end = block.end
                progress(f"{number}/{len(blocks) - 1} to {end:%H:%M:%S} UTC: {told}")
        now = min(self.window.end, self._now())
        if now > end:
            self._write_block(Window(end, now), sampler, sessions)
        return max(now, self.window.start + timedelta(seconds=self.period_s))

    def _now(self) -> datetime:
        """The start of the present period."""
        passed = self.load.clock.tell(time.time()) - self.window.start.timestamp()
        return self.window.start + timedelta(seconds=passed // self.period_s * self.period_s)

    def _write_block(self, block: Window, sampler: Sampler, sessions: Sessions) -> str:
        """Write what was seen in the block, keep what came after it; returns a line on it."""
        self.samples += [self._sampled(one) for one in sampler.taken()]
        first, last = block.start.timestamp(), block.end.timestamp()
        told = sessions.timings(until=self.load.clock.real(last))
        self.timings += [one._replace(ended_at=self.load.clock.tell(one.ended_at)) for one in told]
        samples = [one for one in self.samples if first <= one.time < last]
        timed = frames.timed(one for one in self.timings if first <= one.ended_at < last)
        metrics = frames.metrics(samples, timed, self._planned(block), self.period_s)
        histograms = frames.histograms(timed, block, self.period_s)
        by_statement = frames.statement_metrics(timed, block, self.period_s)
        self._write("metrics", metrics, block, self.writer)
        self._write("histograms", histograms, block, self.writer)
        self._write("statement_metrics", by_statement, block, self.writer)
        self._write("open_transactions", self._open_transactions(samples), block)
        self._write("read_views", frames.read_views(samples, self._roles(), self._instance), block)
        self.samples = [one for one in self.samples if one.time >= last]
        self.timings = [one for one in self.timings if one.ended_at >= last]
        return _line(metrics)

    def _open_transactions(self, samples: list[Sample]) -> pd.DataFrame:
        return frames.open_transactions(samples, self._instance, leave_out={"root"})

    def _planned(self, block: Window) -> dict[int, float]:
        """The load asked for in each period of the block [1/s]."""
        rate = self.load.planned_rate / self.load.clock.factor
        start, period = int(self.window.start.timestamp()), self.period_s
        starts = range(int(block.start.timestamp()), int(block.end.timestamp()), period)
        return {one: float(rate[(one - start) // period]) for one in starts}

    def _sampled(self, one: Sample) -> Sample:
        """A sample in told time."""
        tell = self.load.clock.tell
        seen = one.transactions and [t._replace(started_at=tell(t.started_at)) for t in one.transactions]
        return one._replace(time=round(tell(one.time)), transactions=seen)

    def _ran(self, one: Ran) -> Ran:
        """A run in told time."""
        tell = self.load.clock.tell
        return one._replace(started_at=tell(one.started_at), ended_at=tell(one.ended_at))

    def _roles(self) -> dict[str, str]:
        return {self.writer: "writer", self.reader: "reader"}

    def _instance(self, user: str) -> str:
        return self.writer if user == self.load.users["application"] else self.reader

    def _instances(self) -> pd.DataFrame:
        """Both instances are one server, and have its settings."""
        with self.load.server.engine().connect() as connection:
            told = connection.execute(sqlalchemy.text("SHOW GLOBAL VARIABLES")).all()
        settings = _settings({str(name): str(value) for name, value in told})
        rows = [
            settings | {"time": self.window.start, "instance": name, "role": role}
            for name, role in self._roles().items()
        ]
        version = ", ".join(filter(None, (settings["engine_version"], self.compressed)))
        longest = settings["long_query_time_s"] * self.load.clock.factor
        return pd.DataFrame(rows).assign(engine_version=version, long_query_time_s=longest)

    def _write_slow_queries(self, recorded: Window) -> None:
        """The server's own log of the recorded window, and what the statements are that were timed or logged."""
        merge = partial(self.store.merge, cluster=self.cluster, source=self.source)
        merge("statements", frames.statements(recorded))
        with self.load.server.slow_log.open("rb") as log:
            for batch in slow_log.read_slow_log(iter(lambda: log.read(2**20), b""), account=self.log):
                rows = self._recorded(batch.slow_queries, recorded)
                known = batch.statements[batch.statements["digest"].isin(rows["digest"])]
                merge("slow_queries", rows)
                merge("statements", self._tell(known, "first_seen", "last_seen"))

    def _recorded(self, slow_queries: pd.DataFrame, recorded: Window) -> pd.DataFrame:
        """The rows of the lab's sessions, not those of the sampler, in told time."""
        rows = self._told(slow_queries[slow_queries["user"].isin(self.load.users.values())])
        return frames.slow_queries(rows, recorded, self._instance)

    def _told(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Slow queries in told time; where that is stretched, whole seconds are too rough, and the client's time tells."""
        factor = self.load.clock.factor
        if factor == 1:
            return rows
        names = ("query_time_s", "lock_time_s", "time_precision_s")
        stretched = self._tell(rows, "started_at", "ended_at").assign(**{n: factor * rows[n] for n in names})
        return frames.with_client_times(stretched, self.plan, pd.Timedelta(seconds=factor), 0.001 * factor)

    def _tell(self, rows: pd.DataFrame, *names: str) -> pd.DataFrame:
        """Rows with these columns of real times in told time."""
        clock = self.load.clock
        began, told = (pd.Timestamp(at, unit="s", tz="UTC") for at in (clock.began, clock.told))
        return rows.assign(**{n: (told + clock.factor * (rows[n] - began)).dt.as_unit("us") for n in names})

    def _coverage(self, recorded: Window) -> pd.DataFrame:
        """What came of what was asked for: of the metrics a sample a period, of the log its bytes, else all rows."""
        read = partial(self.store.read, window=recorded, cluster=self.cluster)
        samples = read("metrics").query("name == 'history_list_length'")
        periods = recorded.duration.total_seconds() / self.period_s
        rows = [_covered("metrics", periods, len(samples), 0, "samples")]
        for table in ("histograms", "statement_metrics", "open_transactions", "read_views", "trials"):
            count = len(read(table))
            rows.append(_covered(table, count, count, 0, "rows"))
        log = self.log
        rows.append(_covered("slow_queries", log.bytes, log.bytes - log.lost_bytes, log.lost_bytes, "bytes"))
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
    """The settings that matter, under our names."""
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


def _covered(table: str, expected: float, received: float, lost: float, unit: str) -> dict[str, object]:
    return {
        "table": table,
        "expected": float(expected),
        "received": float(received),
        "lost": float(lost),
        "unit": unit,
    }


def log_slow_queries(ours: Server) -> None:
    """Log from here on: the set-up was not the lab's load."""
    with ours.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET GLOBAL slow_query_log = ON")


def _line(metrics: pd.DataFrame) -> str:
    """How the block went: the history list's longest, and the queue's typical latency."""
    values = metrics.groupby(["name", "statistic"])["value"]
    longest = values.max().get(("history_list_length", "average"), float("nan"))
    typical = values.median().get(("queue_latency", "p50"), float("nan"))
    return f"history list up to {longest:,.0f} transactions, queue p50 {typical:.2f} ms"
