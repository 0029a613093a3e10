"""Run the lab's sessions: the writer's load in one process, the readers' runs in another.

Two processes, so that neither waits for the other's interpreter lock.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from queue import Empty
from threading import BrokenBarrierError
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pymysql
from pymysql.connections import Connection
from pymysql.cursors import SSCursor

from aurora_analysis.errors import Error
from aurora_analysis.lab.workload import (
    CALENDAR,
    CUSTOMERS,
    EXTRACTS,
    JOB,
    JOB_ROWS,
    PRODUCTS,
    SHORT_QUERY,
    SHORT_QUERY_EVERY_S,
    Load,
    Run,
    RunTimes,
    Statement,
    Timing,
    planned_runs,
    statements,
)

Result = TypeVar("Result")

READY_S = 60.0
"""Time limit for a process to be ready, and for its next message."""

CONNECT_S = 0.25
"""A run's session connects this long before the run: on a busy machine that takes 0.1 s."""

LATE_S = 1.0
"""A statement that is late by more is skipped: the planned load has moved on."""


class TimingBatch(NamedTuple):
    """Executions of the writer's clients; all that ended before `until` [s since 1970] have been reported."""

    until: float
    timings: list[tuple[Any, ...]]


class Failed(NamedTuple):
    """A session that could not go on."""

    message: str


class Sessions:
    """The two processes; `runs` has the runs that have ended so far."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._results: Queue[Any] = context.Queue()
        self._orders = [context.Queue() for _ in range(2)]
        self._stopping, self._ready = context.Event(), context.Barrier(3)
        self._processes = [
            context.Process(
                target=_process, args=(act, orders, self._ready, self._stopping, self._results), daemon=True
            )
            for act, orders in zip((_write, _read), self._orders)
        ]
        self._reported_to = 0.0
        self.runs: list[RunTimes] = []

    def start(self) -> None:
        """Start the processes and wait until both are ready.

        Raises
        ------
        Error
            If that takes longer than 60 s.
        """
        for process in self._processes:
            process.start()
        try:
            self._ready.wait(READY_S)
        except BrokenBarrierError:
            raise Error(
                f"The lab's sessions did not start within {READY_S:g} s: try again on a less busy machine."
            ) from None

    def begin(self, load: Load, plan: pd.DataFrame) -> None:
        """Hand out the load and the plan; each starts at its own time."""
        for orders in self._orders:
            orders.put((load, planned_runs(plan, load)))

    def timings(self, until: float) -> list[Timing]:
        """Return executions since the previous call, complete up to `until` [s since 1970].

        Waits until they are reported, because a busy machine reports late. Also collects the runs that ended.

        Raises
        ------
        Error
            If a session failed, or nothing is reported for 60 s.
        """
        found: list[Timing] = []
        while self._reported_to < until:
            found += self._receive()
        return found

    def _receive(self) -> list[Timing]:
        try:
            one = self._results.get(timeout=READY_S)
        except Empty:
            raise Error(
                f"The lab's sessions were silent for {READY_S:g} s: is the machine overloaded?"
            ) from None
        if isinstance(one, Failed):
            raise Error(f"A session of the lab failed: {one.message}")
        if isinstance(one, RunTimes):
            self.runs.append(one)
            return []
        self._reported_to = one.until
        return [Timing(*timing) for timing in one.timings]

    def stop(self) -> None:
        """Stop the processes, and kill them if they do not stop within 2 s."""
        self._stopping.set()
        for process in (one for one in self._processes if one.pid is not None):
            process.join(2)
            process.kill()
            process.join()
        for channel in (self._results, *self._orders):
            channel.close()
            channel.cancel_join_thread()


@contextmanager
def running() -> Iterator[Sessions]:
    """Yield the processes once they are ready; they stop with the block."""
    sessions = Sessions()
    try:
        sessions.start()
        yield sessions
    finally:
        sessions.stop()


def _process(
    act: Callable[[Load, list[Run], Event, Queue[Any]], None],
    orders: Queue[Any],
    ready: Barrier,
    stopping: Event,
    results: Queue[Any],
) -> None:
    """Main function of a process: signal that it is ready, wait for the load and the plan, act."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    ready.wait(READY_S)
    while not stopping.is_set():
        with suppress(Empty):
            load, planned = orders.get(timeout=0.1)
            act(load, planned, stopping, results)
            return


# The writer's process


def _write(load: Load, planned: list[Run], stopping: Event, results: Queue[Any]) -> None:
    rate, texts = load.planned_rate, statements(load.batch)
    timings: list[Timing] = []
    actors = [(_order, rate / 2), (_order, rate / 2), (_produce, rate), (_consume, rate)]

    def act(number: int, actor: Callable[..., None], due: npt.NDArray[np.float64]) -> None:
        rng = np.random.default_rng([load.seed, 2, number])
        with load.connect("application") as connection, connection.cursor() as cursor:
            stopwatch = _Stopwatch(cursor, texts, timings)
            for _ in _moments(load.arrivals(due, rng), stopping):
                actor(stopwatch, rng)

    threads = [_thread(act, results, number, actor, due) for number, (actor, due) in enumerate(actors)]
    while any(thread.is_alive() for thread in threads):
        until = time.time()
        time.sleep(0.25)
        ended = timings[:]
        del timings[: len(ended)]
        results.put(TimingBatch(until, [tuple(timing) for timing in ended]))
    results.put(TimingBatch(load.start + load.seconds, []))


class _Stopwatch:
    """Executes statements and records how long each took."""

    def __init__(self, cursor: Any, texts: Mapping[str, Statement], timings: list[Timing]) -> None:
        self._cursor, self._texts, self._timings = cursor, texts, timings

    def __call__(self, name: str, *values: object) -> Sequence[Sequence[Any]]:
        statement = self._texts[name]
        return self.timed(name, statement.kind, lambda: self._fetched(statement.text, values))

    def timed(self, name: str, kind: str, act: Callable[[], Result]) -> Result:
        """Call `act` and record its duration as one execution of that name and kind."""
        began = time.perf_counter()
        done = act()
        self._timings.append(Timing(time.time(), name, kind, 1000 * (time.perf_counter() - began)))
        return done

    def begin(self) -> None:
        """Begin a transaction."""
        self._cursor.connection.begin()

    def last_id(self) -> int:
        """Id of the last inserted row."""
        return int(self._cursor.lastrowid)

    def _fetched(self, text: str, values: tuple[object, ...]) -> Sequence[Sequence[Any]]:
        self._cursor.execute(text, values)
        rows: Sequence[Sequence[Any]] = self._cursor.fetchall()
        return rows


def _order(watch: _Stopwatch, rng: np.random.Generator) -> None:
    """A customer orders two products and pays."""
    customer = int(rng.integers(1, CUSTOMERS + 1))
    products = sorted(int(number) for number in rng.integers(1, PRODUCTS + 1, size=2))
    watch.begin()
    watch("order", customer, products[0])
    order = watch.last_id()
    for product in products:  # in the same order everywhere, so that sessions cannot deadlock
        watch("stock", product)
    watch("history", customer)
    watch("paid", order)
    watch("commit")


def _produce(watch: _Stopwatch, rng: np.random.Generator) -> None:
    """Append a batch to the queue."""
    watch("produce")


def _consume(watch: _Stopwatch, rng: np.random.Generator) -> None:
    """Read and delete the queue's oldest batch: one observation of `queue_latency`."""
    watch.timed("batch", "queue", lambda: _consumed(watch))


def _consumed(watch: _Stopwatch) -> None:
    watch.begin()
    oldest = watch("oldest")
    if oldest:
        watch("consumed", oldest[0][0], oldest[-1][0])
    watch("commit")


# The readers' process


def _read(load: Load, planned: list[Run], stopping: Event, results: Queue[Any]) -> None:
    acts = {
        "extract": _extract,
        "control": _control,
        "calendar": _calendar,
        "idle": _hold,
        "tied": _extract,
        "application": _job,
    }

    def run(role: str) -> None:
        for one in (run for run in planned if run.role == role):
            if not _wait(one.start - CONNECT_S, stopping):
                return
            with load.connect(role) as connection:
                if not _wait(one.start, stopping):
                    return
                began = time.time()
                acts[role](load, connection, one, stopping)
                results.put(RunTimes(one.row, began, time.time()))

    def query_dashboard() -> None:
        rng = np.random.default_rng([load.seed, 3])
        due = load.start + np.arange(0, load.seconds, SHORT_QUERY_EVERY_S)
        with load.connect("dashboard") as connection, connection.cursor() as cursor:
            for _ in _moments(due, stopping):
                cursor.execute(SHORT_QUERY, (int(rng.integers(1, CUSTOMERS + 1)),))

    threads = [_thread(run, results, role) for role in acts]
    if "dashboard" in load.users:
        threads.append(_thread(query_dashboard, results))
    for thread in threads:
        while thread.is_alive() and not stopping.is_set():
            thread.join(0.5)


def _extract(load: Load, connection: Connection[Any], run: Run, stopping: Event) -> None:
    """Run one long statement over InnoDB tables; its view is open until the last row is sent."""
    _stream(load, connection, EXTRACTS[run.turn % len(EXTRACTS)], run, stopping)


def _calendar(load: Load, connection: Connection[Any], run: Run, stopping: Event) -> None:
    """Run as long as an extract, without any InnoDB table."""
    _stream(load, connection, CALENDAR, run, stopping)


def _control(load: Load, connection: Connection[Any], run: Run, stopping: Event) -> None:
    """Hold no view: alternately a query without InnoDB tables, and short statements at READ COMMITTED."""
    if run.turn % 2 == 0:
        _calendar(load, connection, run, stopping)
        return
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.begin()
        for moment in _moments(np.arange(run.start, run.end, SHORT_QUERY_EVERY_S), stopping):
            cursor.execute(SHORT_QUERY, (1 + int(moment) % CUSTOMERS,))
        _wait(run.end, stopping)
        connection.commit()


def _hold(load: Load, connection: Connection[Any], run: Run, stopping: Event) -> None:
    """Open a snapshot and idle; it never reaches the slow log, not even on a machine that stalls."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION long_query_time = 3600")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
    _wait(run.end, stopping)
    connection.rollback()


def _job(load: Load, connection: Connection[Any], run: Run, stopping: Event) -> None:
    """Run the writer's nightly job: one statement that writes for the length of the run."""
    with connection.cursor() as cursor:
        cursor.execute(JOB, ((run.end - run.start) / JOB_ROWS, JOB_ROWS))


def _stream(load: Load, connection: Connection[Any], query: str, run: Run, stopping: Event) -> None:
    """Fetch rows at a pace at which the last one arrives at the end of the run."""
    rows = max(1, round((run.end - run.start) * load.rows_per_second))
    cursor = SSCursor(connection)
    cursor.execute(query, (rows,))
    for number in range(rows):
        if number % 8 == 0 and not _wait(run.start + number / load.rows_per_second, stopping):
            return
        cursor.fetchone()
    cursor.close()


# Both processes


def _moments(due: npt.NDArray[np.float64], stopping: Event) -> Iterator[float]:
    """Yield each moment [s since 1970] when it arrives; those that are late by more than LATE_S are skipped."""
    for moment in due:
        if not _wait(moment, stopping):
            return
        if time.time() - moment < LATE_S:
            yield float(moment)


def _wait(until: float, stopping: Event) -> bool:
    """Wait until a moment [s since 1970]; returns False if stopped before."""
    while (left := until - time.time()) > 0 and not stopping.is_set():
        time.sleep(min(left, 0.5))
    return not stopping.is_set()


def _thread(act: Callable[..., None], results: Queue[Any], *arguments: Any) -> threading.Thread:
    """Start a thread that calls `act` and reports a failure."""

    def run() -> None:
        try:
            act(*arguments)
        except pymysql.Error as problem:
            results.put(Failed(f"{act.__name__}: {problem}"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
