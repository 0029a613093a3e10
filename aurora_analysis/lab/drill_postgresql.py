"""A place for drills: a PostgreSQL primary and its standby, which is promoted when the primary fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import sqlalchemy

from aurora_analysis.errors import Error
from aurora_analysis.lab import drill_faults, postgresql, processes
from aurora_analysis.lab.drill_faults import Endpoint, pooled
from aurora_analysis.lab.postgresql import Server
from aurora_analysis.live.drill.place import READER, WRITER, Address, Injected

NAMES = ("lab-1", "lab-2")

ENDPOINT_DELAY_S = 1.0
"""The endpoints follow a promotion after this time; those of Aurora take seconds."""

CAUGHT_UP_S = 10.0
"""Time limit for the standby to confirm what the primary has written."""

OPTIONS = {
    "synchronous_commit": "on",  # a crash of the process loses nothing that was acknowledged
    "wal_retrieve_retry_interval": "200ms",  # a standby follows its primary again soon after a restart
}


class PostgresqlPlace:
    """A primary and its standby, each with a name and a port that stay.

    `is_synchronous` lets the primary wait for the standby before a failover, so that nothing that was acknowledged is
    lost, as on Aurora, whose instances share their storage.
    """

    engine_name, kind = "postgresql", "lab"
    instances = NAMES

    def __init__(
        self, stack: ExitStack, *, is_synchronous: bool = True, endpoint_delay_s: float = ENDPOINT_DELAY_S
    ) -> None:
        self._stack, self._is_synchronous, self._delay_s = stack, is_synchronous, endpoint_delay_s
        self._ports = {name: processes.free_port() for name in NAMES}
        self._servers: dict[str, Server] = {}
        self._copies = 0
        first, second = NAMES
        self._servers[first] = stack.enter_context(
            postgresql.running_primary(OPTIONS, port=self._ports[first])
        )
        self._rebuild(second, self._servers[first])
        self._endpoints = {WRITER: Endpoint(self._address(first)), READER: Endpoint(self._address(second))}

    def server(self, name: str) -> Server:
        """Return a running server."""
        return self._servers[name]

    def instance(self, name: str) -> sqlalchemy.Engine:
        """Return an engine without a pool that connects to an instance."""
        return pooled(self._url(self._ports[name]), 0, connect_timeout=2)

    def endpoint(self, role: str, pool_s: float = 0.0) -> sqlalchemy.Engine:
        """Return an engine that connects to the cluster endpoint or the reader endpoint."""
        return pooled(self._url(self.resolve(role).port), pool_s, connect_timeout=2)

    def resolve(self, role: str) -> Address:
        """Look up where an endpoint leads now."""
        return self._endpoints[role]()

    def refusal(self, fault: str) -> str:
        """Return why a fault cannot be injected; empty, because all can."""
        return ""

    def inject(self, fault: str, seconds: float, writer: str) -> Injected:
        """Inject a fault, and return once the servers have done their part."""
        reader = next(name for name in NAMES if name != writer)
        if fault == "failover":
            return self._fail_over(writer, reader, self._delay_s)
        if fault in ("crash", "reader-restart"):
            name = writer if fault == "crash" else reader
            at = time.monotonic()
            self._kill(name)
            before = self._servers[name]
            self._servers[name] = self._stack.enter_context(
                postgresql.started(before.folder, OPTIONS, port=before.port)
            )
            return Injected(at, None, f"killed {name} and started it again", at)
        at = time.monotonic()
        if fault == "lag":
            self._replay(reader, "pause")
            drill_faults.later(self._stack, seconds, lambda: self._replay(reader, "resume"))
            return Injected(at, True, f"paused the replay of {reader} for {seconds:g} s", at + seconds)
        drill_faults.freeze_children(self._stack, self._servers[writer].pid, seconds)
        how = f"stopped all sessions of {writer} for {seconds:g} s, as if its storage did not answer"
        return Injected(at, True, how, at + seconds)

    def make_writer(self, name: str) -> str:
        """Promote an instance unless it is the writer, and rebuild the other one as its standby."""
        with self.instance(name).connect() as connection:
            if not connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one():
                return ""
        other = next(one for one in NAMES if one != name)
        self._fail_over(other, name, 0.0)
        return f"{name} is the writer again"

    def _fail_over(self, writer: str, reader: str, delay_s: float) -> Injected:
        """Kill the writer, promote the reader, and let the former writer come back as a reader.

        The endpoints follow after `delay_s` [s].
        """
        if self._is_synchronous:
            self._wait_for_standby(writer)
        at = time.monotonic()
        self._kill(writer)
        with self._servers[reader].connect() as connection:
            connection.execute("SELECT pg_promote()")
        self._endpoints[WRITER].move(self._address(reader), delay_s)
        self._rebuild(writer, self._servers[reader])
        self._endpoints[READER].move(self._address(writer), delay_s)
        return Injected(at, None, f"killed {writer} and promoted {reader}", at)

    def _wait_for_standby(self, writer: str) -> None:
        """Let every commit wait for the standby from now on, and wait until the standby has all earlier ones."""
        behind = (
            "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND flush_lsn >= %s::pg_lsn"
        )
        with self._servers[writer].connect() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            written = connection.execute("SELECT pg_current_wal_lsn()").fetchall()[0]
            deadline = time.monotonic() + CAUGHT_UP_S
            while not connection.execute(behind, written).fetchall()[0][0]:
                if time.monotonic() > deadline:
                    raise Error(f"The standby did not follow within {CAUGHT_UP_S:g} s. Nothing was injected.")
                time.sleep(0.05)

    def _rebuild(self, name: str, primary: Server) -> None:
        """Start an instance as a standby with a new copy of the primary."""
        self._copies += 1
        folder = f"{name}-{self._copies}"
        standby = postgresql.standby_of(primary, folder, OPTIONS, port=self._ports[name])
        self._servers[name] = self._stack.enter_context(standby)

    def _kill(self, name: str) -> None:
        drill_faults.kill_tree(self._servers[name].pid)

    def _replay(self, name: str, verb: str) -> None:
        with self._servers[name].connect() as connection:
            connection.execute(f"SELECT pg_wal_replay_{verb}()")

    def _address(self, name: str) -> Address:
        return Address("127.0.0.1", self._ports[name])

    def _url(self, port: int) -> sqlalchemy.URL:
        return sqlalchemy.URL.create(
            "postgresql+psycopg", postgresql.USER, host="127.0.0.1", port=port, database="postgres"
        )


@contextmanager
def running(
    *, is_synchronous: bool = True, endpoint_delay_s: float = ENDPOINT_DELAY_S
) -> Iterator[PostgresqlPlace]:
    """Start a place for drills; its servers end with the block, and if we are killed."""
    with ExitStack() as stack:
        yield PostgresqlPlace(stack, is_synchronous=is_synchronous, endpoint_delay_s=endpoint_delay_s)
