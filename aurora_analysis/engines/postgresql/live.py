"""Read live evidence from a PostgreSQL server: the xmin horizon, the sessions that hold it, dead rows.

A session that idles in a transaction logs nothing and is no load; the server itself lists it with its snapshot. Every
probe is one read-only statement of `queries/`, tagged, with a time limit, outside of a transaction: a probe must never
hold the horizon itself. A probe that lacks a grant, or whose view this server does not have, is skipped and reported.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy import exc

from aurora_analysis.engines import live_queries
from aurora_analysis.engines.live_evidence import ConnectionLost, Transaction
from aurora_analysis.engines.live_queries import Grant, table
from aurora_analysis.engines.postgresql.address import (
    DRIVER_VARIABLES,
    NO_TLS,
    connect_arguments,
    url,
    with_tokens,
)
from aurora_analysis.errors import Error
from aurora_analysis.printable import printable

__all__ = ["DRIVER_VARIABLES", "Grant", "connect_arguments", "table", "url", "with_tokens"]

TAG = live_queries.TAG

STATEMENT_TIMEOUT_S = 2.0
"""The server cancels a probe that takes longer: a probe must never be a load itself."""

AURORA_ONLY = {"aurora_identity", "aurora_feedback"}
"""Probes of Aurora's own functions."""

OTHERS_SESSIONS = {"sessions", "feedback", "statement_digests"}
"""Probes that hide other users' rows from a user without pg_read_all_stats, instead of failing."""

ACCESS_DENIED = "42501"
MISSING_OBJECT = {"42P01", "42883", "42703", "3F000", "55000"}
STATEMENT_TIMEOUT = "57014"
LOGIN_DENIED = {"28000", "28P01", "3D000"}
"""SQLSTATE codes: https://www.postgresql.org/docs/current/errcodes-appendix.html"""

QUERIES = live_queries.load(Path(__file__).parent / "queries")


class Feedback(NamedTuple):
    """The snapshot that a reader reports to the writer: its transaction id, unchanged `since` [s since 1970]."""

    instance: str
    xmin: int
    replica_lag_ms: float | None
    since: float


class Prepared(NamedTuple):
    """A prepared transaction: it has no session and survives a restart. `since` [s since 1970]."""

    gid: str
    xid: int
    since: float
    owner: str
    database: str


class Slot(NamedTuple):
    """A replication slot with the oldest transaction id that it keeps.

    `xmin` holds row versions of all tables, `catalog_xmin` those of system catalogues only.
    """

    name: str
    kind: str
    is_active: bool
    xmin: int | None
    catalog_xmin: int | None


class Relation(NamedTuple):
    """A table of the database: counts of rows since its statistics began, and its size [bytes]."""

    name: str
    dead_rows: int
    rows_changed: int
    rows_updated: int
    rows_updated_hot: int
    vacuums: int
    bytes: int
    vacuum_at: int
    """Dead rows at which autovacuum is due, by the server's settings."""
    vacuumed_s_ago: int
    """Time since its last vacuum, or since the server's start."""


class InstanceSample(NamedTuple):
    """One instance at one moment [s since 1970]; fields are None if their probe was skipped.

    Transaction ids have 64 bits: the epoch, which PostgreSQL leaves out of most views, is added.
    """

    time: float
    instance: str
    role: str
    version: str
    counters: dict[str, int]
    transactions: list[Transaction] | None
    next_xid: int
    database: str
    feedback: list[Feedback] | None = None
    prepared: list[Prepared] | None = None
    slots: list[Slot] | None = None
    relations: list[Relation] | None = None
    server: str = ""
    """Address and port: two names may lead to the same server."""
    is_rds: bool = False
    """Whether Amazon runs it."""
    clock_ahead_s: float = 0.0
    """Seconds by which the server's clock, used for its transactions, is ahead of ours."""
    engine_name: str = "postgresql"
    """Leads to the engine's modules."""
    silent_readers: frozenset[str] = frozenset()
    """Readers that follow the writer and report no snapshot to it (hot_standby_feedback is off)."""

    @property
    def writes(self) -> int:
        """Rows inserted, updated and deleted, since the server started to count."""
        return sum(count for name, count in self.counters.items() if name.startswith("rows_"))


def full_xid(xid: int, next_xid: int) -> int:
    """Return a 32-bit transaction id with its epoch, by the next transaction id of 64 bits.

    PostgreSQL compares ids modulo 2^32: no id in use is further than 2^31 from the next one. An id may be a little ahead
    of it, because the server hands out ids between two probes of a sample.

    >>> full_xid(4_294_967_290, 2**32 + 5) == 2**32 - 6
    True
    >>> full_xid(3, 2**32 + 5) == 2**32 + 3
    True
    >>> full_xid(1, 2**32 - 1) == 2**32 + 1
    True
    """
    return next_xid + (xid - next_xid + 2**31) % 2**32 - 2**31


def _full(xid: Any, next_xid: int) -> int | None:
    return None if xid is None else full_xid(int(xid), next_xid)


class Probe:
    """Samples one instance; connects on first use, and again after a lost connection.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Connects to one database of the instance; see `url` and `with_tokens`.
    name : str
        Name of the instance, used until the server reports its own.
    role : str
        Role the caller assumes, "writer" or "reader". The server's own report of its role wins.

    Attributes
    ----------
    skipped : dict of str to str
        Probes that are skipped, each with what it needs.
    """

    engine_name = "postgresql"

    def __init__(self, engine: sqlalchemy.Engine, name: str, role: str) -> None:
        self.engine, self.name, self.role = engine, name, role
        self.skipped: dict[str, str] = {}
        self._absent: set[str] = set()
        self._has_answered = False
        self._feedback: dict[str, Feedback] = {}
        self._silent: frozenset[str] = frozenset()
        self._connection: sqlalchemy.Connection | None = None

    def abort(self) -> None:
        """Break the connection from another thread, so that a statement that waits for the server ends."""
        connected = self._connection
        if connected is not None:
            with suppress(exc.SQLAlchemyError, OSError, AttributeError):
                descriptor = os.dup(connected.connection.driver_connection.fileno())  # type: ignore[union-attr]
                with socket.socket(fileno=descriptor) as one:
                    one.shutdown(socket.SHUT_RDWR)

    def sample(self) -> InstanceSample:
        """Sample the instance.

        Raises
        ------
        ConnectionLost
            If the server does not answer.
        Error
            If the server rejects the login.
        """
        rows = self._named("identity")
        if not rows:
            raise ConnectionLost("the server was too busy to name itself")
        one, now = rows[0], time.time()
        if not one["reads_all_sessions"]:
            self.skipped |= {name: self._needs(name) for name in OTHERS_SESSIONS}
        aurora = self._named("aurora_identity")
        next_xid = int(one["next_xid"])
        is_standby = bool(one["is_in_recovery"])
        return InstanceSample(
            time=now,
            instance=str(aurora[0]["instance"]) if aurora else one["cluster_name"] or self.name,
            role="reader" if is_standby else "writer",
            version=one["version"],
            counters={
                **{
                    name: int(value or 0)
                    for row in self._named("counters") or ()
                    for name, value in row.items()
                },
                "uptime": int(float(one["now"]) - float(one["started_at"])),
            },
            transactions=self._transactions(next_xid),
            next_xid=next_xid,
            database=one["database"],
            feedback=None if is_standby else self._reported(next_xid, now),
            prepared=self._prepared(next_xid),
            slots=self._slots(next_xid),
            relations=None if is_standby else self._relations(),
            server=f"{one['address']}:{one['port']}",
            is_rds=bool(one["is_rds"]) or bool(aurora),
            clock_ahead_s=float(one["now"]) - now,
            silent_readers=self._silent,
        )

    def _transactions(self, next_xid: int) -> list[Transaction] | None:
        rows = self._named("sessions")
        return None if rows is None else [_transaction(row, next_xid) for row in rows]

    def _reported(self, next_xid: int, now: float) -> list[Feedback] | None:
        """Snapshots that readers report; each with the time since when it is unchanged."""
        found = [self._named(name) for name in ("aurora_feedback", "feedback")]
        if found == [None, None]:
            return None
        every = [row for each in found for row in each or ()]
        self._silent = frozenset(str(row["instance"]) for row in every if row["xmin"] is None)
        rows = [row for row in every if row["xmin"] is not None]
        reports = [
            Feedback(
                str(row["instance"]),
                full_xid(int(row["xmin"]), next_xid),
                _number(row["replica_lag_ms"]),
                now,
            )
            for row in rows
        ]
        before = self._feedback
        self._feedback = {
            one.instance: before[one.instance]._replace(replica_lag_ms=one.replica_lag_ms)
            if one.instance in before and before[one.instance].xmin == one.xmin
            else one
            for one in reports
        }
        return list(self._feedback.values())

    def _prepared(self, next_xid: int) -> list[Prepared] | None:
        rows = self._named("prepared")
        if rows is None:
            return None
        return [
            Prepared(
                row["gid"],
                full_xid(int(row["xid"]), next_xid),
                float(row["since"]),
                row["owner"],
                row["database"],
            )
            for row in rows
        ]

    def _slots(self, next_xid: int) -> list[Slot] | None:
        rows = self._named("slots")
        if rows is None:
            return None
        return [
            Slot(
                row["slot_name"],
                row["slot_type"],
                row["active"],
                _full(row["xmin"], next_xid),
                _full(row["catalog_xmin"], next_xid),
            )
            for row in rows
        ]

    def _relations(self) -> list[Relation] | None:
        rows = self._named("relations")
        if rows is None:
            return None
        return [
            Relation(str(row["name"]), *(int(row[name] or 0) for name in Relation._fields[1:]))
            for row in rows
        ]

    def _named(self, name: str) -> list[Mapping[str, Any]] | None:
        """Rows of a query by column; names are printable, a statement's text is left as it is."""
        rows = self.rows(name)
        return None if rows is None else [_printable(row._mapping) for row in rows]

    def _needs(self, name: str) -> str:
        return QUERIES[name].needs.format(user=self.engine.url.username)

    def rows(self, name: str, **values: Any) -> Sequence[Any] | None:
        """Run a query of `queries/` and return its rows.

        Parameters
        ----------
        name : str
            Name of the query: its file's name without `.sql`.
        **values
            Values for the query's parameters.

        Returns
        -------
        sequence of rows, or None
            None if a grant or the view is missing, or the query timed out.

        Raises
        ------
        ConnectionLost
            If the server does not answer.
        """
        if name in self.skipped or name in self._absent:
            return None
        try:
            found = self._connected().execute(QUERIES[name].with_values(values), values).all()
        except exc.DBAPIError as problem:
            self._handle(name, problem)
            return None
        self._has_answered = True
        return found

    def close(self) -> None:
        """Close the connection, also while the answer of a silent server is on its way."""
        if self._connection is not None:
            with suppress(exc.DBAPIError):
                self._connection.close()
        self._connection = None

    def _connected(self) -> sqlalchemy.Connection:
        if self._connection is None:
            # It may be another server now, or have gained a grant or a view.
            self.skipped, self._absent, self._feedback = {}, set(), {}
            self._connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            for setting in _session_settings(self._connection):
                self._connection.execute(sqlalchemy.text(f"{TAG} SET {setting}"))
        return self._connection

    def _handle(self, name: str, problem: exc.DBAPIError) -> None:
        """Skip the query, ignore a time-out, or raise, by the error's SQLSTATE."""
        state = sqlstate(problem)
        if state in MISSING_OBJECT and name in AURORA_ONLY:
            self._absent.add(name)
        elif state in MISSING_OBJECT or state == ACCESS_DENIED:
            self.skipped[name] = self._needs(name)
        elif not self._has_answered and any(part in str(problem.orig) for part in NO_TLS):
            raise Error(
                f"{self.name} offers no TLS, without which a password could be read on its way: turn TLS on, or add "
                "?sslmode=disable to its address if that network is safe."
            ) from None
        elif (state in LOGIN_DENIED or _is_login(problem)) and not self._has_answered:
            raise Error(
                f"{self.name} rejects the login of {self.engine.url.username}: {reason(problem)}."
            ) from None
        elif state != STATEMENT_TIMEOUT:
            self._discard_connection()
            raise ConnectionLost(reason(problem)) from None

    def _discard_connection(self) -> None:
        if self._connection is not None and not self._connection.invalidated:
            self._connection.invalidate()
        self.close()


def _transaction(row: Mapping[str, Any], next_xid: int) -> Transaction:
    """A row of `sessions`; a session that runs nothing has the text of its last statement, which is left out."""
    held = [
        full_xid(int(row[name]), next_xid)
        for name in ("backend_xid", "backend_xmin")
        if row[name] is not None
    ]
    return Transaction(
        thread_id=int(row["pid"]),
        user=row["usename"] or row["backend_type"],
        host=row["host"],
        command=row["state"] or row["backend_type"],
        started_at=float(row["started_at"] or row["since"] or 0.0),
        isolation_level="",
        rows_modified=None,
        query=row["query"] if row["state"] == "active" else None,
        since=_number(row["since"]),
        client=row["application"],
        database=row["database"],
        needs=min(held, default=None),
        has_written=row["backend_xid"] is not None,
    )


def _printable(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: printable(value) if isinstance(value, str) and name != "query" else value
        for name, value in row.items()
    }


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _session_settings(connection: sqlalchemy.Connection) -> list[str]:
    """Read only, time-limited, without parallel workers, and not in the log of slow statements."""
    return [
        "default_transaction_read_only = on",
        time_limit(connection, STATEMENT_TIMEOUT_S),
        "lock_timeout = '1s'",
        "max_parallel_workers_per_gather = 0",
    ]


def time_limit(connection: sqlalchemy.Connection, seconds: float) -> str:
    """Return the session setting with which the server itself cancels a statement after `seconds`."""
    return f"statement_timeout = {max(1, round(1000 * seconds))}"


def sqlstate(problem: exc.DBAPIError) -> str:
    """Return the server's SQLSTATE; empty if the error is the driver's."""
    return str(getattr(problem.orig, "sqlstate", None) or "")


def _is_login(problem: exc.DBAPIError) -> bool:
    """Return whether the server refused the connection: before a session exists, psycopg gives no SQLSTATE."""
    text = str(problem.orig)
    return any(part in text for part in ("authentication failed", "does not exist", "no pg_hba.conf entry"))


def reason(problem: exc.DBAPIError) -> str:
    """Return the server's or the driver's error message on one line, without a final period."""
    first = str(problem.orig).strip().partition("\n")[0]
    return printable(" ".join(first.removeprefix("connection failed: ").split())).rstrip(".")


EXAMPLE_VALUES: dict[str, dict[str, Any]] = {}
"""Parameter values with which a query returns almost nothing: enough to check its grant."""


def grants(probe: Probe) -> list[Grant]:
    """Run every query once and report which ones lack a grant."""
    probe.sample()
    return live_queries.grants(probe, QUERIES, EXAMPLE_VALUES)
