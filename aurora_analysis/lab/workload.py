"""What runs in the lab: a writer's load with a queue table, and the reader sessions of a plan.

The queue table is the victim. Its consumer reads the oldest batch and deletes it, so while a read view keeps
purge from removing what was deleted, every read walks over all of it: the same happens on an Aurora writer
while a reader's view is open. Extracts and the control's queries send the same rows at the same pace to a slow
consumer, and cost little CPU: only one of the two holds a view.

The writer's sessions and the readers' are a process each, so that neither waits for the other's interpreter.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from queue import Empty
from threading import BrokenBarrierError
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pymysql
from pymysql.connections import Connection
from pymysql.cursors import SSCursor

from aurora_analysis.errors import Error
from aurora_analysis.lab import schedule
from aurora_analysis.lab.server import Server

DATABASE = "shop"
RATE = 45.0
"""Orders, batches produced and batches consumed a second, in the mean."""

BATCH = 25
"""Rows of the queue that are produced, and consumed, at a time."""

BACKLOG = 1_000
"""Batches that wait in the queue at the start, so that its consumer always finds one."""

CUSTOMERS = 500
PRODUCTS = 2_000
EVENTS = 6_000
PAYLOAD_BYTES = 4_000
ROWS_A_SECOND = 80
"""The pace at which a slow consumer takes rows of PAYLOAD_BYTES."""

GLANCE_S = 0.25
"""The time between two short statements of the control's transaction, and of the dashboard."""

START_S = 60.0
"""How long a process may take to be ready."""

CONNECT_S = 0.25
"""A run's session is connected so long before it begins: on a busy machine that takes a tenth of a second."""

LATE_S = 1.0
"""A statement that is due for longer than this is given up: the load that was asked for has moved on."""

TABLES = (
    "CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL) ENGINE=InnoDB",
    "CREATE TABLE stock (id INT PRIMARY KEY, quantity INT NOT NULL) ENGINE=InnoDB",
    "CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, customer_id INT NOT NULL, product_id INT NOT NULL, "
    "status VARCHAR(10) NOT NULL, KEY customer (customer_id)) ENGINE=InnoDB",
    "CREATE TABLE queue (id BIGINT AUTO_INCREMENT PRIMARY KEY, payload VARCHAR(200) NOT NULL) ENGINE=InnoDB",
    "CREATE TABLE events (id INT PRIMARY KEY, customer_id INT NOT NULL, payload TEXT NOT NULL) ENGINE=InnoDB",
    "CREATE TABLE totals (event_id INT NOT NULL, waited INT NOT NULL) ENGINE=InnoDB",
)
NUMBERS = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
FILL = (
    f"INSERT INTO customers {NUMBERS} SELECT 100 * a.i + b.i - 100, CONCAT('customer ', a.i, '-', b.i) "
    f"FROM n a CROSS JOIN n b WHERE a.i <= {CUSTOMERS // 100}",
    f"INSERT INTO stock {NUMBERS} SELECT 100 * a.i + b.i - 100, 1000000 FROM n a CROSS JOIN n b "
    f"WHERE a.i <= {PRODUCTS // 100}",
    f"INSERT INTO events {NUMBERS} SELECT 100 * a.i + b.i - 100, 5 * a.i - 4 + b.i % 5, REPEAT('e', {PAYLOAD_BYTES}) "
    f"FROM n a CROSS JOIN n b WHERE a.i <= {EVENTS // 100}",
    f"INSERT INTO queue (payload) {NUMBERS} SELECT REPEAT('q', 150) FROM n a CROSS JOIN n b "
    f"WHERE a.i <= {BACKLOG * BATCH // 100}",
)


class Statement(NamedTuple):
    """One of the writer's statements: which metric it counts for, and its text."""

    kind: str
    text: str


def statements(batch: int) -> dict[str, Statement]:
    """The writer's statements by name, with so many rows of the queue at a time."""
    rows = ", ".join(["(REPEAT('q', 150))"] * batch)
    return {
        "order": Statement(
            "dml", "INSERT INTO orders (customer_id, product_id, status) VALUES (%s, %s, 'new')"
        ),
        "stock": Statement("dml", "UPDATE stock SET quantity = quantity - 1 WHERE id = %s"),
        "paid": Statement("dml", "UPDATE orders SET status = 'paid' WHERE id = %s"),
        "history": Statement(
            "select",
            "SELECT id, product_id, status FROM orders WHERE customer_id = %s ORDER BY id DESC LIMIT 10",
        ),
        "produce": Statement("dml", f"INSERT INTO queue (payload) VALUES {rows}"),
        "oldest": Statement("select", f"SELECT id, payload FROM queue ORDER BY id LIMIT {batch}"),
        "consumed": Statement("dml", "DELETE FROM queue WHERE id BETWEEN %s AND %s"),
        "commit": Statement("commit", "COMMIT"),
    }


STATEMENTS = statements(BATCH)

EXTRACTS = (
    "SELECT /* job=events_full */ id, customer_id, payload FROM events ORDER BY id LIMIT %s",
    "SELECT /* job=events_by_customer */ e.id, c.name, e.payload FROM events e "
    "JOIN customers c ON c.id = e.customer_id ORDER BY e.id LIMIT %s",
)
CALENDAR = f"{NUMBERS} SELECT a.i, b.i, REPEAT('x', {PAYLOAD_BYTES}) FROM n a CROSS JOIN n b LIMIT %s"
GLANCE = "SELECT COUNT(*), MAX(id) FROM orders WHERE customer_id = %s"
JOB = "INSERT /* job=nightly_totals */ INTO totals SELECT id, SLEEP(%s) FROM events LIMIT %s"
JOB_ROWS = 50
"""The writer's own job is one statement that writes so many rows, evenly over its run."""


class Timing(NamedTuple):
    """One execution as its client saw it: when it ended [s since 1970], how long it took [ms]."""

    ended_at: float
    statement: str
    kind: str
    latency_ms: float


class Ran(NamedTuple):
    """A run of the plan, by its row, as it really began and ended [s since 1970]."""

    row: int
    started_at: float
    ended_at: float


class Told(NamedTuple):
    """What the writer's clients timed; all that ended before `until` [s since 1970] has been told."""

    until: float
    timings: list[tuple[Any, ...]]


class Failed(NamedTuple):
    """A session that could not go on."""

    message: str


class Run(NamedTuple):
    """A run that the plan asks for [s since 1970]; `turn` counts those of its role."""

    row: int
    role: str
    turn: int
    start: float
    end: float


@dataclass(frozen=True)
class Clock:
    """Which time is told for a moment that really was [both s since 1970]: from `began` on, stretched and moved."""

    began: float = 0.0
    told: float = 0.0
    factor: float = 1.0

    def tell(self, moment: float) -> float:
        """The time that is told for a real moment."""
        return self.told + self.factor * (moment - self.began)

    def real(self, told: float) -> float:
        """The real moment for which this time is told."""
        return self.began + (told - self.told) / self.factor


@dataclass(frozen=True)
class Load:
    """What both processes need to know: whom to connect to as whom, from when on, and how much.

    `planned_rate` is asked for [1/s], step by step of `step_s` real seconds; the queue is served `batch` rows at a
    time, and slow consumers take `rows_a_second`. Plans are in told time, everything else here is in real time.
    """

    server: Server
    users: Mapping[str, str]
    start: float
    planned_rate: np.ndarray[Any, np.dtype[np.float64]]
    seed: int
    step_s: float = 1.0
    batch: int = BATCH
    rows_a_second: float = ROWS_A_SECOND
    clock: Clock = Clock()

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.planned_rate) * self.step_s

    def moments(self, rate: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        """When statements are due that come at such a rate in each step [1/s]."""
        return self.start + self.step_s * schedule.arrivals(rate * self.step_s, rng)

    def connect(self, role: str) -> Connection[Any]:
        """A connection as that role's user."""
        return self.server.connect(self.users[role], database=DATABASE)


def prepare(server: Server, users: Mapping[str, str]) -> None:
    """Make the tables, their first rows, and the users."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
        cursor.execute(f"USE {DATABASE}")
        for statement in (*TABLES, *FILL):
            cursor.execute(statement)
        for user in users.values():
            cursor.execute("CREATE USER %s@'localhost'", (user,))
            cursor.execute(f"GRANT ALL ON {DATABASE}.* TO %s@'localhost'", (user,))


class Sessions:
    """The two processes, ready to begin; what they have told so far."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._results: Queue[Any] = context.Queue()
        self._orders = [context.Queue() for _ in range(2)]
        self._stopping, self._ready = context.Event(), context.Barrier(3)
        self._processes = [
            context.Process(
                target=_obey, args=(act, orders, self._ready, self._stopping, self._results), daemon=True
            )
            for act, orders in zip((_write, _read), self._orders)
        ]
        self._told = 0.0
        self.runs: list[Ran] = []

    def start(self) -> None:
        """Start the processes, and wait until they could begin."""
        for process in self._processes:
            process.start()
        try:
            self._ready.wait(START_S)
        except BrokenBarrierError:
            raise Error(
                f"The lab's sessions did not start within {START_S:g} s: try again on a calmer machine."
            ) from None

    def begin(self, load: Load, plan: pd.DataFrame) -> None:
        """Begin with the load and the plan, at the moments that they say."""
        for orders in self._orders:
            orders.put((load, runs(plan, load)))

    def timings(self, until: float) -> list[Timing]:
        """What the writer's clients timed since the last call, all that ended before `until` [s since 1970].

        Waits for it: a busy machine tells late. Notes the runs that ended on the way.
        """
        found: list[Timing] = []
        while self._told < until:
            found += self._heard()
        return found

    def _heard(self) -> list[Timing]:
        try:
            one = self._results.get(timeout=START_S)
        except Empty:
            raise Error(
                f"The lab's sessions were silent for {START_S:g} s: is the machine overloaded?"
            ) from None
        if isinstance(one, Failed):
            raise Error(f"A session of the lab failed: {one.message}")
        if isinstance(one, Ran):
            self.runs.append(one)
            return []
        self._told = one.until
        return [Timing(*timing) for timing in one.timings]

    def stop(self) -> None:
        """Ask the processes to stop, and see that they do."""
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
    """The processes, from when they are ready until the block is left."""
    sessions = Sessions()
    try:
        sessions.start()
        yield sessions
    finally:
        sessions.stop()


def runs(plan: pd.DataFrame, load: Load) -> list[Run]:
    """The runs that are on, by role, in the plan's order."""
    roles = {name: role for role, name in load.users.items()}
    found: list[Run] = []
    for row, block in plan[plan["assigned"]].iterrows():
        role = roles[block["workload"]]
        turn = sum(run.role == role for run in found)
        ends = (load.clock.real(block[name].timestamp()) for name in ("time", "end"))
        found.append(Run(int(str(row)), role, turn, *ends))
    return found


def _obey(
    act: Callable[[Load, list[Run], Event, Queue[Any]], None],
    orders: Queue[Any],
    ready: Barrier,
    stopping: Event,
    results: Queue[Any],
) -> None:
    """What a process does: say that it is ready, wait for the load and the plan, act."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started us
    ready.wait(START_S)
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

    def act(number: int, actor: Callable[..., None], due: np.ndarray[Any, Any]) -> None:
        rng = np.random.default_rng([load.seed, 2, number])
        with load.connect("application") as connection, connection.cursor() as cursor:
            stopwatch = _Stopwatch(cursor, texts, timings)
            for _ in _moments(load.moments(due, rng), stopping):
                actor(stopwatch, rng)

    threads = [_thread(act, results, number, actor, due) for number, (actor, due) in enumerate(actors)]
    while any(thread.is_alive() for thread in threads):
        until = time.time()
        time.sleep(0.25)
        ended = timings[:]
        del timings[: len(ended)]
        results.put(Told(until, [tuple(timing) for timing in ended]))
    results.put(Told(load.start + load.seconds, []))


class _Stopwatch:
    """Executes statements and keeps how long each took."""

    def __init__(self, cursor: Any, texts: Mapping[str, Statement], timings: list[Timing]) -> None:
        self._cursor, self._texts, self._timings = cursor, texts, timings

    def __call__(self, name: str, *values: object) -> Sequence[Sequence[Any]]:
        statement = self._texts[name]
        return self.timed(name, statement.kind, lambda: self._fetched(statement.text, values))

    def timed(self, name: str, kind: str, act: Callable[[], Any]) -> Any:
        """Do it, and keep the time as one execution of that name and kind."""
        began = time.perf_counter()
        done = act()
        self._timings.append(Timing(time.time(), name, kind, 1000 * (time.perf_counter() - began)))
        return done

    def begin(self) -> None:
        """Begin a transaction."""
        self._cursor.connection.begin()

    def last_id(self) -> int:
        """The id of the row inserted last."""
        return int(self._cursor.lastrowid)

    def _fetched(self, text: str, values: tuple[object, ...]) -> Sequence[Sequence[Any]]:
        self._cursor.execute(text, values)
        return self._cursor.fetchall()


def _order(watch: _Stopwatch, rng: np.random.Generator) -> None:
    """A customer orders two products and pays."""
    customer = int(rng.integers(1, CUSTOMERS + 1))
    products = sorted(int(number) for number in rng.integers(1, PRODUCTS + 1, size=2))
    watch.begin()
    watch("order", customer, products[0])
    order = watch.last_id()
    for product in products:  # in one order everywhere, so that no two sessions wait for each other
        watch("stock", product)
    watch("history", customer)
    watch("paid", order)
    watch("commit")


def _produce(watch: _Stopwatch, rng: np.random.Generator) -> None:
    """A batch is put at the queue's end."""
    watch("produce")


def _consume(watch: _Stopwatch, rng: np.random.Generator) -> None:
    """The queue's oldest batch is read and deleted: one observation of `queue_latency`."""
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
                results.put(Ran(one.row, began, time.time()))

    def glance() -> None:
        rng = np.random.default_rng([load.seed, 3])
        due = load.start + np.arange(0, load.seconds, GLANCE_S)
        with load.connect("dashboard") as connection, connection.cursor() as cursor:
            for _ in _moments(due, stopping):
                cursor.execute(GLANCE, (int(rng.integers(1, CUSTOMERS + 1)),))

    threads = [_thread(run, results, role) for role in acts]
    if "dashboard" in load.users:
        threads.append(_thread(glance, results))
    for thread in threads:
        while thread.is_alive() and not stopping.is_set():
            thread.join(0.5)


def _extract(load: Load, connection: Connection[Any], run: Run, stopping: Event) -> None:
    """One long statement over InnoDB tables, whose view is open until the last row is sent."""
    _stream(load, connection, EXTRACTS[run.turn % len(EXTRACTS)], run, stopping)


def _calendar(load: Load, connection: Connection[Any], run: Run, stopping: Event) -> None:
    """As long as an extract, over no InnoDB table."""
    _stream(load, connection, CALENDAR, run, stopping)


def _control(load: Load, connection: Connection[Any], run: Run, stopping: Event) -> None:
    """Without a view: in turn a query over no InnoDB table, and short statements at READ COMMITTED."""
    if run.turn % 2 == 0:
        _calendar(load, connection, run, stopping)
        return
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.begin()
        for moment in _moments(np.arange(run.start, run.end, GLANCE_S), stopping):
            cursor.execute(GLANCE, (1 + int(moment) % CUSTOMERS,))
        _wait(run.end, stopping)
        connection.commit()


def _hold(load: Load, connection: Connection[Any], run: Run, stopping: Event) -> None:
    """A snapshot, and then nothing: the slow log never hears of it, not even on a machine that stalls."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION long_query_time = 3600")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
    _wait(run.end, stopping)
    connection.rollback()


def _job(load: Load, connection: Connection[Any], run: Run, stopping: Event) -> None:
    """The writer's own job: one statement that writes for as long as the run."""
    with connection.cursor() as cursor:
        cursor.execute(JOB, ((run.end - run.start) / JOB_ROWS, JOB_ROWS))


def _stream(load: Load, connection: Connection[Any], query: str, run: Run, stopping: Event) -> None:
    """Take rows one by one, at such a pace that the last arrives at the run's end."""
    rows = max(1, round((run.end - run.start) * load.rows_a_second))
    cursor = SSCursor(connection)
    cursor.execute(query, (rows,))
    for number in range(rows):
        if number % 8 == 0 and not _wait(run.start + number / load.rows_a_second, stopping):
            return
        cursor.fetchone()
    cursor.close()


# Both


def _moments(due: np.ndarray[Any, Any], stopping: Event) -> Iterator[float]:
    """Each moment [s since 1970] when it has come; those that are long past are skipped."""
    for moment in due:
        if not _wait(moment, stopping):
            return
        if time.time() - moment < LATE_S:
            yield float(moment)


def _wait(until: float, stopping: Event) -> bool:
    """Wait until that moment [s since 1970]; False where we were asked to stop instead."""
    while (left := until - time.time()) > 0 and not stopping.is_set():
        time.sleep(min(left, 0.5))
    return not stopping.is_set()


def _thread(act: Callable[..., None], results: Queue[Any], *arguments: Any) -> threading.Thread:
    """A thread that does it, and tells when it fails."""

    def run() -> None:
        try:
            act(*arguments)
        except pymysql.Error as problem:
            results.put(Failed(f"{act.__name__}: {problem}"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
