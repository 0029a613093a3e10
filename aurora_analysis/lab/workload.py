"""Define the lab's load: tables, statements, and how much of each.

The queue table is where the effect shows. Its consumer reads the oldest batch and deletes it; while a read view keeps
purge from removing deleted rows, every read walks over all of them, as on an Aurora writer while a reader's view is
open. Extracts and the control's queries send the same rows at the same pace to a slow consumer and cost little CPU, but
only the extracts hold a view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from pymysql.connections import Connection

from aurora_analysis.lab import schedule
from aurora_analysis.lab.server import Server

DATABASE = "shop"
RATE = 45.0
"""Mean orders, batches produced, and batches consumed per second."""

BATCH = 25
"""Rows of the queue that are produced or consumed at a time."""

BACKLOG = 1_000
"""Batches in the queue at the start, so that its consumer always finds one."""

CUSTOMERS = 500
PRODUCTS = 2_000
EVENTS = 6_000
PAYLOAD_BYTES = 4_000
ROWS_PER_SECOND = 80
"""Pace at which a slow consumer takes rows of PAYLOAD_BYTES."""

SHORT_QUERY_EVERY_S = 0.25
"""Interval between two short statements of the control's transaction, and of the dashboard."""

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
    """One statement of the writer: the metric it counts for, and its text."""

    kind: str
    text: str


def statements(batch: int) -> dict[str, Statement]:
    """The writer's statements by name; `batch` is the number of queue rows at a time."""
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
SHORT_QUERY = "SELECT COUNT(*), MAX(id) FROM orders WHERE customer_id = %s"
JOB = "INSERT /* job=nightly_totals */ INTO totals SELECT id, SLEEP(%s) FROM events LIMIT %s"
JOB_ROWS = 50
"""The writer's nightly job is one statement that writes this many rows, evenly over its run."""


class Timing(NamedTuple):
    """One execution as its client timed it: when it ended [s since 1970], how long it took [ms]."""

    ended_at: float
    statement: str
    kind: str
    latency_ms: float


class RunTimes(NamedTuple):
    """Actual start and end of a run of the plan [s since 1970]; `row` is its row in the plan."""

    row: int
    started_at: float
    ended_at: float


class Run(NamedTuple):
    """A planned run [s since 1970]; `turn` counts the runs of its role."""

    row: int
    role: str
    turn: int
    start: float
    end: float


@dataclass(frozen=True)
class Clock:
    """Map real time to recorded time and back [both s since 1970].

    A compressed recording stores times that are stretched by `factor` and moved: the real moment `real_start` is
    stored as `recorded_start`.
    """

    real_start: float = 0.0
    recorded_start: float = 0.0
    factor: float = 1.0

    def recorded(self, real: float) -> float:
        """Recorded time of a real moment."""
        return self.recorded_start + self.factor * (real - self.real_start)

    def real(self, recorded: float) -> float:
        """Real moment of a recorded time."""
        return self.real_start + (recorded - self.recorded_start) / self.factor


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Times at which the statements of a recording are due, as both processes need them.

    Attributes
    ----------
    users : mapping
        Role → user.
    start : float
        Real time at which the load begins [s since 1970].
    planned_rate : array
        Planned rate, one value for each step of `step_s` real seconds [1/s].
    seed : int
        Seed of arrivals and of the values in statements.
    step_s : float
        Length of a step [real s].
    clock : Clock
        Plans are in recorded time, everything else here is in real time.
    """

    users: Mapping[str, str]
    start: float
    planned_rate: npt.NDArray[np.float64]
    seed: int
    step_s: float = 1.0
    clock: Clock = Clock()

    @property
    def seconds(self) -> float:
        """Length of the load [real s]."""
        return len(self.planned_rate) * self.step_s

    def arrivals(self, rate: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Draw when statements are due [s since 1970], given their rate in each step [1/s]."""
        return self.start + self.step_s * schedule.arrivals(rate * self.step_s, rng)


@dataclass(frozen=True, kw_only=True)
class Load(Pace):
    """The load of a recording of InnoDB.

    Attributes
    ----------
    server : Server
        Where it runs.
    batch : int
        Rows of the queue at a time.
    rows_per_second : float
        Pace of the slow consumers.
    """

    server: Server
    batch: int = BATCH
    rows_per_second: float = ROWS_PER_SECOND

    def connect(self, role: str) -> Connection[Any]:
        """Open a connection as the user of a role."""
        return self.server.connect(self.users[role], database=DATABASE)


def prepare(server: Server, users: Mapping[str, str]) -> None:
    """Create the tables, their first rows, and the users."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
        cursor.execute(f"USE {DATABASE}")
        for statement in (*TABLES, *FILL):
            cursor.execute(statement)
        for user in users.values():
            cursor.execute("CREATE USER %s@'localhost'", (user,))
            cursor.execute(f"GRANT ALL ON {DATABASE}.* TO %s@'localhost'", (user,))


def planned_runs(plan: pd.DataFrame, load: Pace) -> list[Run]:
    """Runs that are assigned, by role, in the order of the plan."""
    roles = {name: role for role, name in load.users.items()}
    found: list[Run] = []
    for row, block in plan[plan["assigned"]].iterrows():
        role = roles[block["workload"]]
        turn = sum(run.role == role for run in found)
        start, end = (load.clock.real(block[name].timestamp()) for name in ("time", "end"))
        found.append(Run(int(str(row)), role, turn, start, end))
    return found
