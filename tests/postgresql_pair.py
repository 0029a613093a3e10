"""A primary and a hot standby with a queue under load, for tests of the holders of the xmin horizon."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aurora_analysis.lab.postgresql import Pair

DATABASE, OTHER = "shop", "other"

TABLES = (
    "CREATE TABLE queue (id bigserial PRIMARY KEY, payload text)",
    "CREATE TABLE facts AS SELECT g AS id, repeat('f', 100) AS payload FROM generate_series(1, 20000) g",
    "CREATE TABLE notes (id int)",
    "CREATE EXTENSION pg_stat_statements",
)


def prepare(pair: Pair) -> Pair:
    """Create the databases and tables, and wait until the standby has them."""
    with pair.primary.connect() as connection:
        for name in (DATABASE, OTHER):
            connection.execute(f"CREATE DATABASE {name}")
    with pair.primary.connect(DATABASE) as connection:
        for statement in TABLES:
            connection.execute(statement)
    pair.catch_up()
    return pair


@contextmanager
def written_to(pair: Pair) -> Iterator[None]:
    """Insert into the queue of the primary and empty it, 20 rows at a time, until the block ends."""
    stopping = threading.Event()

    def write() -> None:
        with pair.primary.connect(DATABASE) as connection:
            while not stopping.wait(0.02):
                connection.execute("INSERT INTO queue (payload) SELECT 'q' FROM generate_series(1, 20)")
                connection.execute(
                    "DELETE FROM queue WHERE id IN (SELECT id FROM queue ORDER BY id LIMIT 20)"
                )

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
