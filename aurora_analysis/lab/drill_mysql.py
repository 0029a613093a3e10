"""A place for drills: one MariaDB or MySQL server, which crashes and starts again.

It has no reader: a failover is measured on PostgreSQL, whose lab has a real standby.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import sqlalchemy

from aurora_analysis.lab import drill_faults, processes, server
from aurora_analysis.lab.drill_faults import pooled
from aurora_analysis.live.drill.place import Address, Injected

NAME = "lab-1"
DATABASE = "drill"

OPTIONS: dict[str, object] = {"innodb_flush_log_at_trx_commit": 1}
"""A commit waits for the log: after a crash nothing that was acknowledged is lost."""

WITHOUT_A_READER = "the lab's MySQL is one server without a reader. Use --engine postgresql, whose lab has a standby, or a clone."


def refusal(fault: str) -> str:
    """Return why a fault cannot be injected; empty if it can."""
    return "" if fault in ("crash", "disk") else WITHOUT_A_READER


class MysqlPlace:
    """One server, with a port that stays."""

    engine_name, kind = "mysql", "lab"
    instances = (NAME,)

    def __init__(self, stack: ExitStack, program: str = "") -> None:
        self._stack, self._program, self._port = stack, program, processes.free_port()
        self._server = stack.enter_context(server.running(OPTIONS, port=self._port, program=program))
        with self._server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {DATABASE}")
            cursor.execute("CREATE USER drill@'127.0.0.1'")
            cursor.execute("GRANT ALL ON *.* TO drill@'127.0.0.1'")

    def instance(self, name: str) -> sqlalchemy.Engine:
        """Return an engine without a pool that connects to the server."""
        return self.endpoint("")

    def endpoint(self, role: str, pool_s: float = 0.0) -> sqlalchemy.Engine:
        """Return an engine that connects to the server."""
        url = sqlalchemy.URL.create("mysql+pymysql", "drill", host="127.0.0.1", port=self._port)
        return pooled(url, pool_s, connect_timeout=2)

    def resolve(self, role: str) -> Address:
        """Return the server's address."""
        return Address("127.0.0.1", self._port)

    def refusal(self, fault: str) -> str:
        """Return why a fault cannot be injected; empty if it can."""
        return refusal(fault)

    def inject(self, fault: str, seconds: float, writer: str) -> Injected:
        """Inject a fault, and return once the server has done its part."""
        at = time.monotonic()
        if fault == "disk":
            drill_faults.freeze(self._stack, self._server.pid, seconds)
            how = f"stopped {writer} for {seconds:g} s, as if its storage did not answer"
            return Injected(at, True, how, at + seconds)
        drill_faults.kill_tree(self._server.pid)
        restarted = server.started(self._server.folder, OPTIONS, port=self._port, program=self._program)
        self._server = self._stack.enter_context(restarted)
        return Injected(at, None, f"killed {writer} and started it again", at)

    def make_writer(self, name: str) -> str:
        """Do nothing: the only server is the writer."""
        return ""


@contextmanager
def running(program: str = "") -> Iterator[MysqlPlace]:
    """Start a place for drills; its server ends with the block, and if we are killed."""
    with ExitStack() as stack:
        yield MysqlPlace(stack, program)
