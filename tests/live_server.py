"""A real server with a table that is written to, for the tests of live evidence and of trials."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aurora_analysis.lab.server import Server

FILL = "INSERT INTO trial.stock SELECT seq, 1000 FROM trial.seq_1_to_1000"


def prepare(ours: Server) -> Server:
    """A table, and a user for each part that a session may play."""
    with ours.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE trial")
        cursor.execute("CREATE TABLE trial.stock (id INT PRIMARY KEY, quantity INT NOT NULL) ENGINE=InnoDB")
        cursor.execute(FILL)
        for user in ("app", "etl", "nobody"):
            cursor.execute(f"CREATE USER {user}@localhost")
        cursor.execute("GRANT ALL ON trial.* TO app@localhost")
        cursor.execute("GRANT SELECT ON trial.* TO etl@localhost")
    return ours


@contextmanager
def written_to(ours: Server, pause_s: float = 0.01) -> Iterator[None]:
    """The table is written to, some 80 transactions a second."""
    stopping = threading.Event()

    def write() -> None:
        with ours.connect("app") as connection, connection.cursor() as cursor:
            number = 0
            while not stopping.wait(pause_s):
                number += 1
                cursor.execute(
                    "UPDATE trial.stock SET quantity = quantity + 1 WHERE id = %s", (500 + number % 500,)
                )

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
