"""Set up a trial in the lab: a queue under constant writes, and a query that holds a read view.

The queue's consumer walks over every deleted row that may not be purged yet, as on an Aurora writer while a reader's
read view is open.
"""

from __future__ import annotations

from typing import Any

from aurora_analysis.lab.server import Server
from aurora_analysis.lab.workload import DATABASE
from aurora_analysis.live.experiment import Limits, TrialOptions

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
    """Create the tables and their first rows."""
    with server.connect() as connection, connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)


def options(query: str, *, minutes: float, run_s: float, washout_s: float, **others: Any) -> TrialOptions:
    """Options of a trial of the query under the queue's load; `others` are further fields of `TrialOptions`.

    Nobody else needs the server, so no latency stops the trial.
    """
    return TrialOptions(
        query=query,
        workload="extract",
        hours=minutes / 60,
        run_s=run_s,
        washout_s=washout_s,
        canary_database=DATABASE,
        writer_load=LOAD,
        writer_load_rate=RATE,
        limits=Limits(latency_factor=1000.0),
        **others,
    )
