"""A randomised on/off trial of a query on a reader, and what the writer did meanwhile.

The plan is in the table `trials` before the first block begins; what is seen is written every half minute, so that
a trial that is broken off keeps what it has, and the same command goes on with the blocks that are left. The query
runs read only, and the server itself ends each run with its block: even after SIGKILL none outlives it. What the
trial says is inferred in `analysis/experiment.py`.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

import numpy as np
import pandas as pd
import sqlalchemy
from sqlalchemy import exc

from aurora_analysis.engines.mysql import live
from aurora_analysis.engines.mysql.fingerprint import kind, statement
from aurora_analysis.engines.mysql.live import Probe
from aurora_analysis.errors import Error
from aurora_analysis.live.status import Round
from aurora_analysis.live.watch import Watch, stopped_by_signals, ticks
from aurora_analysis.store import Store
from aurora_analysis.window import Window

SOURCE = "experiment"
LOADED = "trial on a loaded writer"
NOT_LOADED = "trial on an idle clone"
"""Categories of the event that says whether a trial's writer was loaded as production is."""
BROKEN_OFF = "trial broken off"

SHARE_OF_PRODUCTION = 0.5
"""A clone that writes less than half of what production writes cannot grow the history that production would."""

READS = {"select", "with"}
ENDED_BY_LIMIT = {1317, 1969, 3024}
LOCKS_OR_FILES = r"\b(for update|for share|lock in share mode|into outfile|into dumpfile)\b"
PASSED_OVER = {1205, 1213}
"""A load's statement that waited too long, or was the victim of a deadlock, is passed over."""

SESSION_RATE = 100.0
"""The load has a session for so many statements a second."""

BLOCKS_NEEDED = 12
"""Three fours have 216 draws: p can reach .01, so that several metrics may be judged."""

RUNS_OF_BASELINE = 6
"""So many runs' length is watched before a trial: enough of them to tell how their means vary."""

LEAD_S = 2
"""From the plan to its first block: time to write it down."""

SCHEDULE = ["time", "end", "block", "assigned", "started_at", "ended_at", "trial", "workload", "on_share"]
GOES_ON_WITHIN = timedelta(days=1)
UNSEEN_S = 10
"""So long the writer may be silent: its limits cannot be watched meanwhile."""

CLOCK_STEP_S = 2.0


@dataclass(frozen=True)
class Limits:
    """Where a trial is broken off: the writer's history list, its latency against the baseline, a reader's lag."""

    history_list_length: float = 1_000_000.0  # the upgrade precheck warns from here: Aurora user guide
    latency_factor: float = 5.0  # of the canary's baseline, over ten samples
    replica_lag_ms: float = 10_000.0  # a reader that far behind is soon restarted


@dataclass(frozen=True)
class Baseline:
    """What the writer did before the trial: rows of writing [statements/s], latency, and how fast purge drains."""

    writes_per_s: float
    latency_ms: list[float] = field(default_factory=list)
    drain_s: float | None = None


@dataclass(frozen=True)
class Plan:
    """Blocks of equal length, each a run and a washout; of each four, two are drawn to be on."""

    blocks: int
    run_s: float
    washout_s: float

    @property
    def block_s(self) -> float:
        """The length of a block [s]."""
        return self.run_s + self.washout_s


def plan(hours: float, *, run_s: float, washout_s: float) -> Plan:
    """How many blocks fit: in fours, of a run and a washout each."""
    blocks = int(3600 * hours / (run_s + washout_s)) // 4 * 4
    if blocks < BLOCKS_NEEDED:
        raise Error(
            f"{hours:g} h hold {blocks} blocks of {run_s:g} s and {washout_s:g} s of washout, {BLOCKS_NEEDED} are needed: "
            "give the trial more --hours, or shorten --run."
        )
    return Plan(blocks, run_s, washout_s)


def washout_s(baseline: Baseline, run_s: float) -> float:
    """How long a block waits after its run: twice the drain that was measured, or the run's length if none was."""
    return float(np.ceil(run_s if baseline.drain_s is None else max(2.0, 2 * baseline.drain_s)))


def drawn(blocks: int, seed: int) -> np.ndarray:
    """Which blocks are on: two of each four, every order of them as likely, so that slow drift meets on and off alike."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation([True, True, False, False]) for _ in range(blocks // 4)])


def schedule(planned: Plan, start: datetime, *, seed: int, workload: str, trial: str) -> pd.DataFrame:
    """The rows of `trials`, all drawn before the first block begins."""
    starts = [start + timedelta(seconds=n * planned.block_s) for n in range(planned.blocks)]
    frame = pd.DataFrame(
        {
            "time": pd.to_datetime(starts, utc=True).as_unit("us"),
            "end": pd.to_datetime(
                [one + timedelta(seconds=planned.run_s) for one in starts], utc=True
            ).as_unit("us"),
            "block": range(planned.blocks),
            "assigned": drawn(planned.blocks, seed),
            "started_at": pd.Series(pd.NaT, range(planned.blocks), dtype="datetime64[us, UTC]"),
            "ended_at": pd.Series(pd.NaT, range(planned.blocks), dtype="datetime64[us, UTC]"),
        }
    )
    return frame.assign(trial=trial, workload=workload, on_share=0.5)


def unfinished(
    store: Store, *, cluster: str, workload: str, seed: int, now: datetime
) -> tuple[pd.DataFrame, int] | None:
    """The last trial and the first of its blocks that is left, where this seed drew it and it broke off of late."""
    rows = store.read("trials", cluster=cluster, where={"source": SOURCE, "workload": workload})
    rows = rows[rows["trial"] == rows["trial"].iloc[-1]].reset_index(drop=True) if len(rows) else rows
    if rows.empty or rows["end"].iloc[-1] < now - GOES_ON_WITHIN:
        return None
    if rows["assigned"].tolist() != drawn(len(rows), seed).tolist():
        return None
    seen = store.coverage(Window(rows["time"].iloc[0], rows["end"].iloc[-1]), cluster=cluster)["end"].max()
    left = (rows["assigned"] & rows["started_at"].isna()) | ~(rows["end"] <= seen)
    return (rows[list(SCHEDULE)], int(left.idxmax())) if left.any() else None


def moved(rows: pd.DataFrame, first: int, start: datetime) -> pd.DataFrame:
    """The rows, the blocks from `first` on moved so that they begin at `start`; as they were drawn, not run yet."""
    left = rows["block"] >= first
    later = pd.Timestamp(start) - rows["time"].iloc[first]
    return rows.assign(
        time=rows["time"].mask(left, rows["time"] + later),
        end=rows["end"].mask(left, rows["end"] + later),
        started_at=rows["started_at"].mask(left),
        ended_at=rows["ended_at"].mask(left),
    )


def suspect(text: str) -> str:
    """The query to try; refused unless it is one statement that reads."""
    query = text.strip().rstrip(";").strip()
    fingerprint = statement(query).fingerprint
    found = kind(fingerprint)
    if found not in READS or ";" in fingerprint:
        raise Error(
            f"The suspect is a {found or 'statement of no kind'}: a trial runs one SELECT, and nothing that writes."
        )
    if told := re.search(LOCKS_OR_FILES, fingerprint, re.IGNORECASE):
        raise Error(
            f"The suspect has {told[0].upper()}: a trial runs one SELECT that locks and leaves nothing."
        )
    return query


def production_writes(store: Store, cluster: str) -> float | None:
    """What production writes [statements/s], as the store knows it; None where it does not."""
    if cluster not in store.clusters():
        return None
    rates = store.metric("dml_throughput", store.span(cluster), cluster=cluster)
    return float(rates.mean()) if len(rates) else None


def is_loaded(baseline: Baseline, production_per_s: float | None) -> bool:
    """Whether the writer is loaded as production is: at least by half of its writes."""
    return production_per_s is not None and baseline.writes_per_s >= SHARE_OF_PRODUCTION * production_per_s


@dataclass(frozen=True)
class Asked:
    """What the user asks for."""

    query: str
    hours: float
    run_s: float
    workload: str = "suspect"
    washout_s: float | None = None
    quiet_s: float | None = None
    seed: int = 0
    clone: bool = False
    production: str = ""
    database: str = ""
    load: str = ""
    rate: float = 50.0
    limits: Limits = Limits()

    @property
    def baseline_s(self) -> float:
        """How long the writer is watched before a new trial [s]."""
        return RUNS_OF_BASELINE * self.run_s if self.quiet_s is None else self.quiet_s

    @property
    def pause_s(self) -> float:
        """How long it is watched before a trial goes on: there is nothing to plan [s]."""
        return min(self.run_s, self.baseline_s)


def carry_out(
    asked: Asked,
    engines: list[sqlalchemy.Engine],
    store: Store,
    *,
    cluster: str,
    detectable: Callable[[list[float], int, float], float],
    patient: list[sqlalchemy.Engine] | None = None,
    only_plan: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> str:
    """Baseline, plan, trial; returns why it was broken off, or nothing. `engines` are the writer's, then readers'.

    `patient` are engines of the same servers that wait as long for an answer as a run lasts: for the query and the load.
    A trial of the same seed, cluster and workload that was broken off goes on with the blocks that are left.
    """
    with ExitStack() as stack:
        stopping = stack.enter_context(stopped_by_signals())
        trial = _trial(asked, engines, patient or engines, store, cluster, stopping, stack)
        rows, first = (None, 0) if only_plan else _going_on(asked, store, cluster, tell)
        before = trial.baseline(*((asked.baseline_s, asked.run_s) if rows is None else (asked.pause_s, 0.0)))
        loaded = _said_of_load(asked, before, store)
        if rows is None and not stopping.is_set():
            rows = _planned(asked, before, cluster, loaded, detectable, tell)
        if only_plan or rows is None or stopping.is_set():
            return ""
        trial.watch.note(f"{cluster}-writer", *loaded)
        trial.run(rows, first, normal_ms=float(np.median(before.latency_ms or [0])), tell=tell)
        tell(_ended(trial, rows))
        return trial.broken_off


def _going_on(
    asked: Asked, store: Store, cluster: str, tell: Callable[[str], None]
) -> tuple[pd.DataFrame | None, int]:
    """The schedule of a trial that was broken off, what is left of it moved to after the baseline."""
    now = datetime.now(UTC).replace(microsecond=0)
    found = unfinished(store, cluster=cluster, workload=asked.workload, seed=asked.seed, now=now)
    if found is None:
        return None, 0
    before, first = found
    rows = moved(before, first, now + timedelta(seconds=math.ceil(asked.pause_s) + LEAD_S))
    whole = Window(before["time"].iloc[0].to_pydatetime(), rows["end"].iloc[-1].to_pydatetime())
    store.write("trials", rows, whole, cluster=cluster, source=SOURCE)
    tell(
        f"{rows['trial'].iloc[0]} goes on: {len(rows) - first} of {len(rows)} blocks are left "
        "(another --seed begins a new trial)"
    )
    return rows, first


def _planned(
    asked: Asked,
    before: Baseline,
    cluster: str,
    loaded: tuple[str, str],
    detectable: Callable[[list[float], int, float], float],
    tell: Callable[[str], None],
) -> pd.DataFrame:
    """A new schedule, told before anything of it begins."""
    wait_s = asked.washout_s or washout_s(before, asked.run_s)
    planned = plan(asked.hours, run_s=asked.run_s, washout_s=wait_s)
    tell(told(planned, before, detectable(before.latency_ms, planned.blocks, planned.run_s)))
    if loaded[0] == NOT_LOADED:
        tell(f"the verdict will be `cannot tell`: {loaded[1]}")
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LEAD_S)
    name = f"{cluster} {start:%Y-%m-%dT%H:%M:%S}"
    return schedule(planned, start, seed=asked.seed, workload=asked.workload, trial=name)


def _ended(trial: Trial, rows: pd.DataFrame) -> str:
    """How it ended, and what to do next, on one line."""
    name = rows["trial"].iloc[0]
    again = "the same command goes on with the blocks that are left"
    if trial.broken_off:
        return f"{name}: broken off, {trial.broken_off}; {again}"
    return f"{name}: stopped, {again}" if trial.stopping.is_set() else f"{name}: ended"


def _trial(
    asked: Asked,
    engines: list[sqlalchemy.Engine],
    patient: list[sqlalchemy.Engine],
    store: Store,
    cluster: str,
    stopping: threading.Event,
    stack: ExitStack,
) -> Trial:
    names = [f"{cluster}-writer", *(f"{cluster}-reader-{n}" for n in range(1, len(engines)))]
    roles = ["writer", *("reader" for _ in engines[1:])]
    watch = Watch([Probe(*one) for one in zip(engines, names, roles)], store, cluster=cluster, every_s=1)
    stack.callback(watch.close)
    canary = Canary(engines[0], asked.database) if asked.database else None
    if canary:
        stack.callback(canary.remove)
    suspect = Suspect(patient[-1], asked.query, names[-1], engines[-1])
    stack.callback(suspect.stop)
    load = Load(patient[0], asked.load, asked.rate) if asked.load else None
    if load:
        stack.enter_context(load)
    return Trial(watch, suspect, store, cluster, asked.limits, canary, load, stopping)


def told(planned: Plan, baseline: Baseline, detectable_pct: float) -> str:
    """The plan on one line."""
    drain = "no growth to drain" if baseline.drain_s is None else f"purge drains in {baseline.drain_s:.0f} s"
    if not np.isnan(detectable_pct):
        smallest = f"{detectable_pct:.1f} % of the canary"
    elif baseline.latency_ms:
        smallest = "unknown, the baseline is short of four runs"
    else:
        smallest = "unknown without a --canary"
    return (
        f"plan: {planned.blocks} blocks of {planned.run_s:g} s and {planned.washout_s:g} s of washout ({drain}), half of "
        f"them on; {baseline.writes_per_s:,.1f} writes/s; smallest effect found four times in five: {smallest}"
    )


def _said_of_load(asked: Asked, baseline: Baseline, store: Store) -> tuple[str, str]:
    """The category and message of the event that says whether the writer was loaded."""
    if not asked.clone:
        return LOADED, f"The writer has {baseline.writes_per_s:,.1f} writes/s of its own."
    known = production_writes(store, asked.production) if asked.production else None
    against = "production's rate is unknown" if known is None else f"production has {known:,.1f}"
    category = LOADED if is_loaded(baseline, known) else NOT_LOADED
    return category, f"The clone's writer has {baseline.writes_per_s:,.1f} writes/s, {against}."


class Load:
    """Statements of a file, separated by ; at a line's end, run on the writer again and again at a rate [1/s]."""

    def __init__(self, engine: sqlalchemy.Engine, text: str, rate: float) -> None:
        self._engine = engine
        self._statements = [one.strip().rstrip(";") for one in text.split(";\n") if one.strip().rstrip(";")]
        if not self._statements:
            raise Error(
                "The file of --writer-load holds no statement: separate them by ; at the end of a line."
            )
        count = math.ceil(rate / SESSION_RATE)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, rate / count), daemon=True)
            for number in range(count)
        ]
        self.problem = ""

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(live.LIMIT_S)

    def _run(self, number: int, rate: float) -> None:
        try:
            with self._engine.connect() as connection:
                auto = connection.execution_options(isolation_level="AUTOCOMMIT")
                due = time.monotonic()
                for text in islice(cycle(self._statements), number, None):
                    if self._stopping.wait(max(0.0, due - time.monotonic())):
                        return
                    _passing_over(auto, text)
                    due = max(due + 1 / rate, time.monotonic() - 1)
        except exc.DBAPIError as problem:
            self.problem = f"the writer's load ended: {live.reason(problem)}"


def _passing_over(connection: sqlalchemy.Connection, text: str) -> None:
    try:
        connection.exec_driver_sql(text.replace("%", "%%"))
    except exc.DBAPIError as problem:
        if live.error_number(problem) not in PASSED_OVER:
            raise


class Suspect:
    """Runs the query on the reader for as long as a block's run lasts, again and again, and throws its rows away.

    `impatient` is an engine of the same server, by which a run is ended; it may wait less long for an answer.
    """

    def __init__(
        self, engine: sqlalchemy.Engine, query: str, instance: str, impatient: sqlalchemy.Engine | None = None
    ) -> None:
        self._engine, self._query, self.instance = engine, query, instance
        self._impatient = impatient or engine
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._running: int | None = None
        self.problem = ""
        self.span: tuple[datetime, datetime] | None = None

    def start(self, seconds: float) -> None:
        """Begin a run of so many seconds."""
        self._stopping.clear()
        self.span, until = None, time.monotonic() + seconds
        self._thread = threading.Thread(target=self._run, args=(until,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the run now: the server is asked to break its statement off."""
        self._stopping.set()
        if self._thread is None or not self._thread.is_alive():
            return
        with suppress(exc.DBAPIError), self._impatient.connect() as other:
            if self._running is not None:
                other.exec_driver_sql(f"{live.TAG} KILL QUERY {self._running}")
        self._thread.join(live.LIMIT_S + 1)

    def _run(self, until: float) -> None:
        began = datetime.now(UTC)
        try:
            with self._engine.connect() as connection:
                self._again_and_again(connection, until)
        except exc.DBAPIError as problem:
            self.problem = f"the query on {self.instance} failed: {live.reason(problem)}"
        self._running = None
        self.span = began, datetime.now(UTC)

    def _again_and_again(self, connection: sqlalchemy.Connection, until: float) -> None:
        auto = connection.execution_options(isolation_level="AUTOCOMMIT")
        auto.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
        self._running = int(auto.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one())
        while (left := until - time.monotonic()) > 0.05 and not self._stopping.is_set():
            auto.exec_driver_sql(f"SET SESSION {live.time_limit(auto, left)}")
            self._once(auto)

    def _once(self, connection: sqlalchemy.Connection) -> None:
        try:
            streamed = connection.execution_options(stream_results=True)
            with streamed.execute(sqlalchemy.text(self._query.replace(":", r"\:"))) as rows:
                for _ in rows:
                    if self._stopping.is_set():
                        break
        except exc.DBAPIError as problem:
            if live.error_number(problem) not in ENDED_BY_LIMIT:
                raise


class Canary:
    """A transaction on a table of its own, timed: the latency that a small write has on the writer."""

    TABLE = "aurora_analysis_canary"

    def __init__(self, engine: sqlalchemy.Engine, database: str) -> None:
        self._engine = engine
        self._connection: sqlalchemy.Connection | None = None
        self._name = f"`{database.replace('`', '``')}`.`{self.TABLE}`"
        columns = "(id INT PRIMARY KEY, beats BIGINT NOT NULL) ENGINE=InnoDB"
        try:
            self._execute(f"CREATE TABLE IF NOT EXISTS {self._name} {columns}")
            self._execute(f"INSERT IGNORE INTO {self._name} VALUES (1, 0)")
        except exc.DBAPIError as problem:
            raise Error(f"There is no table for the canary in {database}: {live.reason(problem)}.") from None

    def beat(self) -> float | None:
        """How long a row's read and update take [ms]; None where the writer does not answer."""
        began = time.perf_counter()
        try:
            self._execute(f"SELECT beats FROM {self._name} WHERE id = 1")
            self._execute(f"UPDATE {self._name} SET beats = beats + 1 WHERE id = 1")
        except exc.DBAPIError:
            self.close()
            return None
        return 1000 * (time.perf_counter() - began)

    def remove(self) -> None:
        """Drop the table: it is ours."""
        with suppress(exc.DBAPIError):
            self._execute(f"DROP TABLE IF EXISTS {self._name}")
        self.close()

    def close(self) -> None:
        """Leave the server."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _execute(self, text: str) -> None:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._connection.exec_driver_sql(f"{live.TAG} {text}")


@dataclass
class Trial:
    """A trial under way: who is watched, what is run, and where it is broken off."""

    watch: Watch
    suspect: Suspect
    store: Store
    cluster: str
    limits: Limits = field(default_factory=Limits)
    canary: Canary | None = None
    load: Load | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    broken_off: str = ""

    def baseline(self, quiet_s: float, pilot_s: float) -> Baseline:
        """What the writer does by itself, then one pilot run, and how long purge takes to drain what it left."""
        quiet = self._rounds(quiet_s)
        latency = [one.latency_ms for one in quiet if one.latency_ms is not None]
        drain_s = self._pilot(pilot_s) if pilot_s else None
        if problem := self._failed():
            raise Error(f"There was no trial: {problem}.")
        return Baseline(_writes_per_s(quiet), latency, drain_s)

    def _pilot(self, pilot_s: float) -> float | None:
        self.suspect.start(pilot_s)
        grown = self._rounds(pilot_s + 1)
        self.suspect.stop()
        return self._drain_s(grown, pilot_s)

    def run(
        self,
        rows: pd.DataFrame,
        first: int = 0,
        *,
        normal_ms: float | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Run the blocks of a schedule from `first` on.

        Ctrl-C, a limit, a server that is gone or a clock that is set ends it, and what was seen is kept.
        """
        self._write(rows)
        self.stopping.wait(max(0.0, rows["time"].iloc[first].timestamp() - time.time()))
        try:
            rows, block = self._blocks(rows, first, normal_ms, tell)
        finally:
            self.suspect.stop()
        self._end(rows, block)

    def _blocks(
        self, rows: pd.DataFrame, first: int, normal_ms: float | None, tell: Callable[[str], None]
    ) -> tuple[pd.DataFrame, int]:
        """Carry the blocks out, a round a second; returns the rows and the last block that was begun."""
        block, starts, ends = -1, *([time.timestamp() for time in rows[name]] for name in ("time", "end"))
        marks, passed, stepped = {*starts, *ends}, 0, _clock_steps()
        for tick in ticks(ends[-1] + 1 - time.time(), 1.0, self.stopping):
            if not (step := next(stepped)):
                self._round(tick)  # before a run begins: its start must not disturb what is measured
                before, passed = passed, sum(mark <= time.time() for mark in marks)
                if passed > before:  # what statements come to is counted from a run's start to its end
                    self.watch.count(tick)
                now = max(first, sum(start <= time.time() for start in starts) - 1)
                if now > block:
                    rows, block = self._next(rows, block), now
                    self._begin(rows, block)
                    tell(
                        f"block {block + 1} of {len(rows)}: {'on' if rows['assigned'].iloc[block] else 'off'}"
                    )
            self.broken_off = step or self._over(normal_ms) or self._failed() or self.watch.problem
            if self.broken_off:
                break
        return rows, block

    def _begin(self, rows: pd.DataFrame, block: int) -> None:
        left = rows["end"].iloc[block].timestamp() - time.time()
        if rows["assigned"].iloc[block] and left > 0:
            self.suspect.start(left)

    def _next(self, rows: pd.DataFrame, block: int) -> pd.DataFrame:
        """The rows with what became of the block that has ended."""
        self.suspect.stop()
        if block < 0:
            return rows
        done = _with_span(rows, block, self.suspect.span)
        self._write(done)
        return done

    def _end(self, rows: pd.DataFrame, block: int) -> None:
        if self.broken_off:
            self.watch.note(self.suspect.instance, BROKEN_OFF, self.broken_off)
        self._next(rows, block)
        self.watch.close()

    def _failed(self) -> str:
        """Which session of ours could not go on, or the store; empty where all could."""
        return self.suspect.problem or (self.load.problem if self.load else "") or self.watch.problem

    def _write(self, rows: pd.DataFrame) -> None:
        whole = Window(rows["time"].iloc[0].to_pydatetime(), rows["end"].iloc[-1].to_pydatetime())
        self.store.write("trials", rows, whole, cluster=self.cluster, source=SOURCE)

    def _rounds(self, seconds: float) -> list[Round]:
        return [self._round(tick) for tick in ticks(seconds, 1.0, self.stopping)]

    def _round(self, tick: int) -> Round:
        """Ask every server; the round before, where this second has had one."""
        if self.watch.rounds and tick <= self.watch.rounds[-1].time:
            return self.watch.rounds[-1]
        return self.watch.round(tick, self.canary.beat() if self.canary else None)

    def _drain_s(self, grown: list[Round], pilot_s: float) -> float | None:
        """How long until nine tenths of the pilot's growth are gone [s]; None where it left none to speak of."""
        lengths = [one.history_list_length for one in grown if one.history_list_length is not None]
        if not lengths or max(lengths) < 10 * max(1, lengths[0]):
            return None
        drained = lengths[0] + 0.1 * (max(lengths) - lengths[0])
        for passed, one in enumerate(self._round(tick) for tick in ticks(3 * pilot_s, 1.0, self.stopping)):
            if one.history_list_length is not None and one.history_list_length <= drained:
                return float(passed + 1)
        return 3 * pilot_s

    def _over(self, normal_ms: float | None) -> str:
        """Which limit is passed; empty where none is."""
        recent, limits = self.watch.rounds[-UNSEEN_S:], self.limits
        if len(recent) == UNSEEN_S and not any(one.writer for one in recent):
            return f"the writer has been silent for {UNSEEN_S} s, so that no limit can be watched"
        history = recent[-1].history_list_length or 0
        if history > limits.history_list_length:
            return f"the history list has {history:,} transactions, the limit is {limits.history_list_length:,.0f}"
        lag = max(
            (one.replica_lag_ms or 0.0 for seen in recent[-1].seen for one in seen.replicas), default=0.0
        )
        if lag > limits.replica_lag_ms:
            return f"a reader is {lag:,.0f} ms behind, the limit is {limits.replica_lag_ms:,.0f} ms"
        latency = [one.latency_ms for one in recent if one.latency_ms is not None]
        if self.canary and len(recent) == UNSEEN_S and not latency:
            return f"the canary has not got through {UNSEEN_S} times, so that the latency cannot be watched"
        if normal_ms and len(latency) == UNSEEN_S and np.median(latency) > limits.latency_factor * normal_ms:
            return f"the canary takes {np.median(latency):,.1f} ms, {limits.latency_factor:g} times its {normal_ms:,.1f} ms"
        return ""


def _writes_per_s(rounds: list[Round]) -> float:
    """Statements that write, a second, from the server's own counters."""
    told = [one for one in rounds if one.writer is not None]
    if len(told) < 2:
        return 0.0
    return (told[-1].writes - told[0].writes) / (told[-1].time - told[0].time)


def _clock_steps() -> Iterator[str]:
    """Whether the clock was set since the first time; empty where it runs as it did."""
    apart = time.time() - time.monotonic()
    while True:
        step = time.time() - time.monotonic() - apart
        yield f"the clock was set by {step:+,.0f} s" if abs(step) > CLOCK_STEP_S else ""


def _with_span(rows: pd.DataFrame, block: int, span: tuple[datetime, datetime] | None) -> pd.DataFrame:
    """The rows, with when the block's run really began and ended."""
    if span is None or not rows["assigned"].iloc[block] or span[0] < rows["time"].iloc[block]:
        return rows
    mine = rows["block"] == block
    began, ended = (pd.Timestamp(moment).as_unit("us") for moment in span)
    return rows.assign(
        started_at=rows["started_at"].mask(mine, began), ended_at=rows["ended_at"].mask(mine, ended)
    )
