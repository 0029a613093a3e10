"""A real server with a table under writes, for the tests of live evidence and of trials."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy

from aurora_analysis.lab.server import Server

FILL = "INSERT INTO trial.stock SELECT seq, 1000 FROM trial.seq_1_to_1000"


def prepare(ours: Server) -> Server:
    """Create a table, and a user for each kind of session."""
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
    """Write to the table inside the block, about 80 transactions per second."""
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


class Proxy:
    """A port on 127.0.0.1 that forwards to a server; it can reset connections, stall, and change its target."""

    def __init__(self, port: int) -> None:
        self.target: int | None = port
        self.silent = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        self.reset()

    def engine(self) -> sqlalchemy.Engine:
        """An engine that connects through the proxy, with the short time-outs of a watch."""
        return sqlalchemy.create_engine(
            f"mysql+pymysql://root@127.0.0.1:{self.port}/",
            connect_args={"connect_timeout": 2, "read_timeout": 2},
            poolclass=sqlalchemy.NullPool,
        )

    def reset(self) -> None:
        """Reset every connection, as a firewall does."""
        for one in self._open:
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RD)
            one.close()
        self._open.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._lead(client)

    def _lead(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.target or 1))
        except OSError:
            client.close()
            return
        self._open += [client, server]
        for one, other in ((client, server), (server, client)):
            threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                while self.silent:
                    time.sleep(0.05)
                other.sendall(data)
            other.close()
