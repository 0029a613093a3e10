"""Run the sessions of a PostgreSQL recording: the primary's load, and the runs on both servers."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from aurora_analysis.lab import ledger, session_processes
from aurora_analysis.lab.ledger import LedgerLoad
from aurora_analysis.lab.session_processes import Stopwatch, moments, thread, wait
from aurora_analysis.lab.workload import Run, Timing

FETCH_EVERY_S = 0.5

Connection = psycopg.Connection[Any]


def write(load: LedgerLoad, planned: list[Run], stopping: Event, results: Queue[Any]) -> None:
    """Run the load of the primary, and report each execution."""
    rate = load.planned_rate
    timings: list[Timing] = []
    actors = [(_produce, rate), (_consume, rate), (_update, ledger.UPDATES * rate)]

    def act(number: int, actor: Callable[..., None], due: npt.NDArray[np.float64]) -> None:
        rng = np.random.default_rng([load.seed, 2, number])
        with load.connect("application") as connection:
            stopwatch = Stopwatch(timings)
            for _ in moments(load.arrivals(due, rng), stopping):
                actor(connection, stopwatch, rng)

    threads = [thread(act, results, number, actor, due) for number, (actor, due) in enumerate(actors)]
    session_processes.report(threads, timings, load, results)


def _produce(connection: Connection, watch: Stopwatch, rng: np.random.Generator) -> None:
    """Append a batch to the queue."""
    _committed(connection, watch, ledger.PRODUCE)


def _consume(connection: Connection, watch: Stopwatch, rng: np.random.Generator) -> None:
    """Delete the queue's oldest batch: one observation of `queue_latency`."""
    watch.timed("batch", "queue", lambda: _committed(connection, watch, ledger.CONSUME))


def _update(connection: Connection, watch: Stopwatch, rng: np.random.Generator) -> None:
    """Count a hit in one of few rows."""
    _committed(connection, watch, ledger.UPDATE, int(rng.integers(1, ledger.UPDATED_ROWS + 1)))


def _committed(connection: Connection, watch: Stopwatch, statement: str, *values: object) -> None:
    """Run a statement in a transaction of its own, and time its commit."""
    connection.execute("BEGIN")
    connection.execute(statement.encode(), values or None)
    watch.timed("commit", "commit", lambda: connection.execute("COMMIT"))


def read(load: LedgerLoad, planned: list[Run], stopping: Event, results: Queue[Any]) -> None:
    """Carry out the planned runs, and report when each really started and ended."""
    acts = {
        "extract": extract,
        "cursor": cursor,
        "idle": hold,
        "elsewhere": extract,
        "control": idle_without_snapshot,
        "trap": hold,
    }

    def query_dashboard() -> None:
        due = load.start + np.arange(0, load.seconds, ledger.SHORT_QUERY_EVERY_S)
        with load.connect("dashboard") as connection:
            for moment in moments(due, stopping):
                connection.execute(ledger.SHORT_QUERY, (int(moment) % 100,))

    threads = session_processes.role_threads(acts, planned, load.connect, stopping, results)
    threads.append(thread(query_dashboard, results))
    session_processes.await_all(threads, stopping)


def extract(connection: Connection, run: Run, stopping: Event) -> None:
    """Run one long statement; its snapshot is held until its last row."""
    rows = max(1, round((run.end - run.start) / ledger.EXTRACT_ROW_S))
    connection.execute(ledger.EXTRACT, (rows,))


def cursor(connection: Connection, run: Run, stopping: Event) -> None:
    """Read a table through a cursor in short steps: its snapshot is held between them, and no step is slow."""
    with connection.transaction():
        connection.execute("DECLARE extract CURSOR FOR SELECT id, payload FROM facts")
        for _ in moments(np.arange(run.start, run.end, FETCH_EVERY_S), stopping):
            connection.execute("FETCH 100 FROM extract")
        wait(run.end, stopping)


def hold(connection: Connection, run: Run, stopping: Event) -> None:
    """Take a snapshot at REPEATABLE READ, and idle."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    _idle(connection, run, stopping)


def idle_without_snapshot(connection: Connection, run: Run, stopping: Event) -> None:
    """Read once in a READ COMMITTED transaction, and idle: the snapshot ends with the statement."""
    _idle(connection, run, stopping)


def _idle(connection: Connection, run: Run, stopping: Event) -> None:
    with connection.transaction():
        connection.execute("SELECT count(*) FROM facts")
        wait(run.end, stopping)
