"""Set up a trial on the lab's PostgreSQL: a queue under constant writes, and an extract on the hot standby.

The queue's consumer walks over every dead row that vacuum may not remove yet, as on an Aurora writer while a reader's
snapshot is held. An extract is read through a cursor, a thousand rows at a time, as extract tools do.
"""

from __future__ import annotations

from typing import Any

from aurora_analysis.lab.postgresql import Pair
from aurora_analysis.live.experiment import Limits, TrialOptions

DATABASE = "ledger"
SCHEMA = "public"

HOLDS_A_SNAPSHOT = "SELECT id, payload, pg_sleep(0.01) FROM facts"
HOLDS_NOTHING = "SELECT pg_sleep(0.2)"


def load(batch: int) -> str:
    """Return the writer's statements, with so many rows of the queue at a time."""
    return f"""INSERT INTO queue (payload) SELECT repeat('q', 150) FROM generate_series(1, {batch});
DELETE FROM queue WHERE id = ANY (ARRAY (SELECT id FROM queue ORDER BY id LIMIT {batch} FOR UPDATE SKIP LOCKED));
UPDATE counters SET hits = hits + 1 WHERE id = 1 + floor(random() * 50)::int;
"""


LOAD = load(25)
RATE = 90.0

TABLES = (
    "CREATE TABLE queue (id bigserial PRIMARY KEY, payload text NOT NULL)",
    "CREATE TABLE counters (id int PRIMARY KEY, hits bigint NOT NULL) WITH (fillfactor = 80)",
    "CREATE TABLE facts (id int PRIMARY KEY, payload text NOT NULL)",
    "INSERT INTO queue (payload) SELECT repeat('q', 150) FROM generate_series(1, 1000)",
    "INSERT INTO counters SELECT g, 0 FROM generate_series(1, 2000) g",
    "INSERT INTO facts SELECT g, repeat('f', 200) FROM generate_series(1, 50000) g",
    "CREATE EXTENSION pg_stat_statements",
    "VACUUM ANALYZE",
)


def prepare(pair: Pair) -> None:
    """Create the database, its tables and their first rows, and wait until the standby has them."""
    with pair.primary.connect() as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    with pair.primary.connect(DATABASE) as connection:
        for statement in TABLES:
            connection.execute(statement)
    pair.catch_up()


def options(query: str, *, minutes: float, run_s: float, washout_s: float, **others: Any) -> TrialOptions:
    """Options of a trial of the query under the queue's load; `others` are further fields of `TrialOptions`.

    Nobody else needs the servers, so no latency stops the trial.
    """
    return TrialOptions(
        query=query,
        workload="extract",
        hours=minutes / 60,
        run_s=run_s,
        washout_s=washout_s,
        canary_database=SCHEMA,
        writer_load=LOAD,
        writer_load_rate=RATE,
        limits=Limits(latency_factor=1000.0),
        **others,
    )
