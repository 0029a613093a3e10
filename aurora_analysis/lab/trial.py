"""What a trial needs in the lab: a queue that is written to all the time, and a query that holds a read view.

The queue's consumer walks over every row that was deleted and may not be purged yet: so it is on an Aurora writer while a
reader's view is open.
"""

from __future__ import annotations

from aurora_analysis.lab.server import Server
from aurora_analysis.lab.workload import DATABASE
from aurora_analysis.live.experiment import Asked, Limits

HOLDS_A_VIEW = f"SELECT COUNT(*) FROM {DATABASE}.queue WHERE SLEEP(0.01) = 0"
HOLDS_NOTHING = "SELECT SLEEP(30)"

LOAD = f"""INSERT INTO {DATABASE}.queue (payload) SELECT REPEAT('q', 150) FROM {DATABASE}.batch;
DELETE FROM {DATABASE}.queue ORDER BY id LIMIT 25;
"""
RATE = 60.0

TABLES = (
    f"CREATE DATABASE {DATABASE}",
    f"CREATE TABLE {DATABASE}.queue (id BIGINT AUTO_INCREMENT PRIMARY KEY, payload VARCHAR(200) NOT NULL) ENGINE=InnoDB",
    f"CREATE TABLE {DATABASE}.batch (id INT PRIMARY KEY) ENGINE=InnoDB",
    f"INSERT INTO {DATABASE}.batch WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 25) "
    "SELECT i FROM n",
    f"INSERT INTO {DATABASE}.queue (payload) SELECT REPEAT('q', 150) FROM {DATABASE}.batch a, {DATABASE}.batch b, "
    f"{DATABASE}.batch c WHERE c.id <= 8",
)


def prepare(server: Server) -> None:
    """Make the tables and their first rows."""
    with server.connect() as connection, connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)


def asked(
    query: str, *, minutes: float, run_s: float, washout_s: float, seed: int, quiet_s: float | None = None
) -> Asked:
    """A trial of the query under the queue's load. Nobody else needs the server, so that no latency ends it."""
    return Asked(
        query=query,
        workload="extract",
        hours=minutes / 60,
        run_s=run_s,
        washout_s=washout_s,
        quiet_s=quiet_s,
        seed=seed,
        database=DATABASE,
        load=LOAD,
        rate=RATE,
        limits=Limits(latency_factor=1000.0),
    )
