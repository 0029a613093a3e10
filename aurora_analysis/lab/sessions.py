"""Run the sessions of a recording of InnoDB: the writer's load, and the readers' runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any

import numpy as np
import numpy.typing as npt
from pymysql.connections import Connection
from pymysql.cursors import SSCursor

from aurora_analysis.lab import session_processes
from aurora_analysis.lab.session_processes import moments, thread, wait
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
    Statement,
    Timing,
    statements,
)

# The writer's process


def write(load: Load, planned: list[Run], stopping: Event, results: Queue[Any]) -> None:
    """Run the writer's load, and report each execution."""
    rate, texts = load.planned_rate, statements(load.batch)
    timings: list[Timing] = []
    actors = [(_order, rate / 2), (_order, rate / 2), (_produce, rate), (_consume, rate)]

    def act(number: int, actor: Callable[..., None], due: npt.NDArray[np.float64]) -> None:
        rng = np.random.default_rng([load.seed, 2, number])
        with load.connect("application") as connection, connection.cursor() as cursor:
            stopwatch = _Stopwatch(cursor, texts, timings)
            for _ in moments(load.arrivals(due, rng), stopping):
                actor(stopwatch, rng)

    threads = [thread(act, results, number, actor, due) for number, (actor, due) in enumerate(actors)]
    session_processes.report(threads, timings, load, results)


class _Stopwatch(session_processes.Stopwatch):
    """Executes statements and records how long each took."""

    def __init__(self, cursor: Any, texts: Mapping[str, Statement], timings: list[Timing]) -> None:
        super().__init__(timings)
        self._cursor, self._texts = cursor, texts

    def __call__(self, name: str, *values: object) -> Sequence[Sequence[Any]]:
        statement = self._texts[name]
        return self.timed(name, statement.kind, lambda: self._fetched(statement.text, values))

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


def read(load: Load, planned: list[Run], stopping: Event, results: Queue[Any]) -> None:
    """Carry out the planned runs, and report when each really started and ended."""
    acts = {
        "extract": _extract,
        "control": _control,
        "calendar": _calendar,
        "idle": _hold,
        "tied": _extract,
        "application": _job,
    }

    def query_dashboard() -> None:
        rng = np.random.default_rng([load.seed, 3])
        due = load.start + np.arange(0, load.seconds, SHORT_QUERY_EVERY_S)
        with load.connect("dashboard") as connection, connection.cursor() as cursor:
            for _ in moments(due, stopping):
                cursor.execute(SHORT_QUERY, (int(rng.integers(1, CUSTOMERS + 1)),))

    of_load = {role: functools.partial(act, load) for role, act in acts.items()}
    threads = session_processes.role_threads(of_load, planned, load.connect, stopping, results)
    if "dashboard" in load.users:
        threads.append(thread(query_dashboard, results))
    session_processes.await_all(threads, stopping)


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
        for moment in moments(np.arange(run.start, run.end, SHORT_QUERY_EVERY_S), stopping):
            cursor.execute(SHORT_QUERY, (1 + int(moment) % CUSTOMERS,))
        wait(run.end, stopping)
        connection.commit()


def _hold(load: Load, connection: Connection[Any], run: Run, stopping: Event) -> None:
    """Open a snapshot and idle; it never reaches the slow log, not even on a machine that stalls."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION long_query_time = 3600")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
    wait(run.end, stopping)
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
        if number % 8 == 0 and not wait(run.start + number / load.rows_per_second, stopping):
            return
        cursor.fetchone()
    cursor.close()
