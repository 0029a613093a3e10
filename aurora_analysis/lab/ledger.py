"""Define the load of a PostgreSQL recording: databases, tables, users, and how much of each statement.

The queue is where the effect shows. Its consumer deletes the oldest batch; while a snapshot keeps vacuum from removing
deleted rows, every call walks over all of them, as on an Aurora writer while a reader's snapshot is held. Updates of few
rows of `counters` lose their HOT path meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from aurora_analysis.lab.postgresql import Pair
from aurora_analysis.lab.workload import Pace

DATABASE = "ledger"
ARCHIVE = "archive"
"""A second database: a snapshot there holds the horizon of `ledger` if it is on a reader, and not if it is on the writer."""

BATCH = 25
"""Rows of the queue that are produced or consumed in one batch."""

BACKLOG = 1_000
"""Batches in the queue at the start, so that its consumer always finds one."""

RATE = 50.0
"""Mean batches produced, and batches consumed, per second."""

UPDATES = 1.5
"""Updates per batch."""

USERS = {
    "application": "app",
    "extract": "snowflake",
    "cursor": "stitch",
    "idle": "airflow",
    "elsewhere": "metabase",
    "control": "bi",
    "trap": "backup",
    "dashboard": "dashboard",
}
"""Role → user."""

PROGRAMS = {
    "application": "ledger-service",
    "extract": "Snowflake",
    "cursor": "tap-postgres",
    "idle": "airflow",
    "elsewhere": "Metabase",
    "control": "Tableau",
    "trap": "pg_dump",
    "dashboard": "grafana",
}
"""Role → application_name of its sessions."""

HOLDERS = ("extract", "cursor", "idle", "elsewhere")
"""Roles whose runs hold the horizon of the writer."""

INNOCENTS = ("control", "trap")
"""Roles whose runs do not: an idle transaction without a snapshot, and a snapshot in another database of the writer."""

ON_PRIMARY = {"application", "trap"}
IN_ARCHIVE = {"elsewhere", "trap"}

FILL = "SELECT repeat('q', 150) FROM generate_series(1, {})"
PRODUCE = f"INSERT INTO queue (payload) {FILL.format(BATCH)}"
CONSUME = (
    "DELETE FROM queue WHERE id = ANY (ARRAY (SELECT id FROM queue ORDER BY id "
    f"LIMIT {BATCH} FOR UPDATE SKIP LOCKED))"
)
UPDATE = "UPDATE counters SET hits = hits + 1 WHERE id = %s"
UPDATED_ROWS = 50
"""Number of rows that updates touch: few, like counters and balances."""

EXTRACT_ROW_S = 0.05
EXTRACT = f"SELECT id, payload, pg_sleep({EXTRACT_ROW_S}) FROM facts LIMIT %s"
"""A long statement, which takes EXTRACT_ROW_S per row."""

SHORT_QUERY = "SELECT count(*) FROM counters WHERE hits >= %s"
SHORT_QUERY_EVERY_S = 0.25

QUEUE = (
    "CREATE TABLE queue (id bigserial PRIMARY KEY, payload text NOT NULL)",
    "CREATE TABLE counters (id int PRIMARY KEY, hits bigint NOT NULL) WITH (fillfactor = 80)",
    "INSERT INTO counters SELECT g, 0 FROM generate_series(1, 2000) g",
)
FACTS = (
    "CREATE TABLE facts (id int PRIMARY KEY, payload text NOT NULL)",
    "INSERT INTO facts SELECT g, repeat('f', 200) FROM generate_series(1, 50000) g",
)


def prepare(pair: Pair) -> None:
    """Create the databases, their tables and first rows, and the users, and wait until the standby has them."""
    with pair.primary.connect() as connection:
        for database in (DATABASE, ARCHIVE):
            connection.execute(f"CREATE DATABASE {database}")
        for user in USERS.values():
            connection.execute(f"CREATE USER {user}")
            connection.execute(f"GRANT pg_read_all_data, pg_write_all_data TO {user}")
    backlog = f"INSERT INTO queue (payload) {FILL.format(BACKLOG * BATCH)}"
    for database, statements in ((DATABASE, (*QUEUE, *FACTS, backlog)), (ARCHIVE, FACTS)):
        with pair.primary.connect(database) as connection:
            for statement in (*statements, "VACUUM ANALYZE"):
                connection.execute(statement)
    with pair.primary.connect(DATABASE) as connection:
        available = "SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements'"
        if connection.execute(available).fetchall():  # some builds have none: then no statement is counted
            connection.execute("CREATE EXTENSION pg_stat_statements")
    pair.catch_up()


@dataclass(frozen=True, kw_only=True)
class LedgerLoad(Pace):
    """The load of a recording of PostgreSQL.

    Attributes
    ----------
    pair : Pair
        Where it runs.
    """

    pair: Pair

    def connect(self, role: str) -> psycopg.Connection[Any]:
        """Open a connection as the user of a role, to its server and database."""
        server = self.pair.primary if role in ON_PRIMARY else self.pair.standby
        database = ARCHIVE if role in IN_ARCHIVE else DATABASE
        return server.connect(database, user=self.users[role], application_name=PROGRAMS[role])
