"""Read live evidence from a MySQL or MariaDB server: history list, read views, open transactions.

The slow log and Performance Insights both miss an idle transaction that holds a read view; the server itself does
not. Every probe is one read-only statement of `queries/`, tagged, with a time limit, and leaves no read view behind. A
probe that lacks a grant, or whose table this server does not have, is skipped and reported.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy
from pymysql import err
from sqlalchemy import exc

from aurora_analysis import engines
from aurora_analysis.engines import live_queries
from aurora_analysis.engines.iam_tokens import sign_connections
from aurora_analysis.engines.live_evidence import ConnectionLost, Transaction
from aurora_analysis.engines.live_queries import Grant, table
from aurora_analysis.engines.mysql import flavour, innodb_status
from aurora_analysis.engines.mysql.innodb_status import EMPTY_STATUS, InnodbStatus
from aurora_analysis.engines.mysql.live_rows import Replica, replicas, transaction, xid
from aurora_analysis.errors import Error
from aurora_analysis.printable import printable

__all__ = ["Grant", "table"]

TAG = live_queries.TAG

DRIVER_VARIABLES: tuple[str, ...] = ()
"""Environment variables that the driver reads: none."""

STATEMENT_TIMEOUT_S = 2.0
"""The server cancels a probe that takes longer: a probe must never be a load itself."""

RDS_FOLDER = "/rdsdbbin"
"""The `basedir` of servers on RDS and Aurora starts with this folder."""

AURORA_ONLY = {"replicas"}
"""Probes of Aurora's own tables: on another server, access denied means that the table does not exist."""

ACCESS_DENIED_ERRORS = {1044, 1142, 1143, 1227, 1370}
MISSING_OBJECT_ERRORS = {1049, 1109, 1146, 1193}
STATEMENT_TIMEOUT_ERRORS = {1317, 1969, 3024}
UNKNOWN_DATABASE_ERROR = 1049
CLEAR_TEXT_ERROR = 2059
"""The driver's number for a login that it refuses to answer."""
LOGIN_DENIED_ERRORS = {1045, 1130, 1698, 1044, UNKNOWN_DATABASE_ERROR, CLEAR_TEXT_ERROR}
"""Error numbers of MySQL and MariaDB."""

GROWING_TABLES = {"slow_log", "statement_digests", "statement_histograms"}
"""Probes whose tables grow with time: one that timed out would do so again, so it is not repeated."""


QUERIES = live_queries.load(Path(__file__).parent / "queries")


class InstanceSample(NamedTuple):
    """One instance at one moment [s since 1970]; fields are None if their probe was skipped."""

    time: float
    instance: str
    role: str
    version: str
    counters: dict[str, int]
    innodb: InnodbStatus | None
    transactions: list[Transaction] | None
    replicas: list[Replica]
    server: str = ""
    """Host name and port: two addresses may lead to the same server."""
    is_rds: bool = False
    """Whether Amazon runs it: sessions are then ended with mysql.rds_kill."""
    is_mysql: bool = False
    """Whether it is MySQL or Aurora, where only the writer knows the number of a reader's read view."""

    clock_ahead_s: float = 0.0
    """Seconds by which the server's clock, used for its transactions, is ahead of ours."""

    engine_name: str = "mysql"
    """Leads to the engine's modules."""

    orphans: Sequence[Transaction] = ()
    """Open transactions that no session owns: prepared XA transactions, and those recovered after a crash."""

    prepared: Sequence[str] = ()
    """XIDs of the prepared XA transactions, as XA ROLLBACK takes them."""

    @property
    def has_comparable_trx_ids(self) -> bool:
        """Whether its own transaction numbers can be compared with the writer's."""
        return self.role == "writer" or not self.is_mysql

    @property
    def writes(self) -> int:
        """Statements that write, since the server started to count."""
        return sum(count for name, count in self.counters.items() if name.startswith("com_"))


class Probe:
    """Samples one instance; connects on first use, and again after a lost connection.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Connects to the instance; see `url` and `with_tokens`.
    name : str
        Name of the instance, used until the server reports its own.
    role : str
        Role the caller assumes, "writer" or "reader". An instance that reports to be read only is a reader.

    Attributes
    ----------
    variables : dict of str to str
        The server variables of the last sample.
    skipped : dict of str to str
        Probes that are skipped, each with what it needs.
    """

    engine_name = "mysql"

    def __init__(self, engine: sqlalchemy.Engine, name: str, role: str) -> None:
        self.engine, self.name, self.role = engine, name, role
        self.variables: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self._absent: set[str] = set()
        self._reports_role = False
        self._connection: sqlalchemy.Connection | None = None
        self._driver: Any = None
        self._connecting: int | None = None
        sqlalchemy.event.listen(engine, "do_connect", self._remember)

    def _remember(self, dialect: Any, record: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
        """Connect, and keep the driver's connection before its handshake, so that `abort` can break it."""
        if self._connecting != threading.get_ident():
            return None  # another user of the same engine
        self._driver = dialect.connect(*arguments, defer_connect=True, **parameters)
        self._driver.connect()
        return self._driver

    def abort(self) -> None:
        """Break the connection from another thread, so that a statement that waits for the server ends."""
        connected = getattr(self._driver, "_sock", None)
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def sample(self) -> InstanceSample:
        """Sample the instance.

        Raises
        ------
        ConnectionLost
            If the server does not answer.
        Error
            If the server rejects the login.
        """
        self.variables = variables = self._read_variables()
        now = time.time()
        self._reports_role |= variables.get("innodb_read_only") == "ON" or "aurora_server_id" in variables
        status = self.rows("innodb_status")
        rows = self.rows("transactions")
        clients = {row[0]: row[1] for row in self.rows("clients") or ()}
        from_writer = self._replicas()
        open_now = [transaction(row, clients) for row in rows or ()]
        transactions = None if rows is None else _without_ours(one for one in open_now if one.thread_id)
        clock_ahead_s = float(variables.get("timestamp", now)) - now
        is_mysql = flavour.of_version(variables.get("version", "")) == "mysql"
        innodb = self._innodb(status, transactions or (), is_mysql, now + clock_ahead_s)
        return InstanceSample(
            time=now,
            instance=variables.get("aurora_server_id") or self.name,
            role=self._current_role(),
            version=variables.get("version", ""),
            counters={str(row[0]).lower(): int(row[1]) for row in self.rows("counters") or ()},
            innodb=innodb,
            transactions=transactions,
            replicas=from_writer,
            server=f"{variables.get('hostname', self.name)}:{variables.get('port', '')}",
            clock_ahead_s=clock_ahead_s,
            is_mysql=is_mysql,
            orphans=[one for one in open_now if not one.thread_id],
            prepared=self._prepared() if innodb and (innodb.orphans or innodb.prepared) else (),
            is_rds=bool(from_writer)
            or "aurora_version" in variables
            or variables.get("basedir", "").startswith(RDS_FOLDER),
        )

    def _innodb(
        self, rows: Sequence[Any] | None, transactions: Sequence[Transaction], is_mysql: bool, now: float
    ) -> InnodbStatus | None:
        """InnoDB status; None if it was not granted or cannot be parsed.

        A reader of Aurora has no purge of its own, so its status may lack the numbers of purge.
        """
        status = self._parsed(rows)
        if not is_mysql:
            return status
        if status is None and self._current_role() == "reader":
            status = EMPTY_STATUS
        return status and innodb_status.complete_mysql_status(status, transactions, now)

    def _prepared(self) -> list[str]:
        """XIDs of the prepared XA transactions; empty if that is not granted."""
        return [xid(row) for row in self.rows("prepared_transactions") or ()]

    def _parsed(self, rows: Sequence[Any] | None) -> InnodbStatus | None:
        try:
            return innodb_status.parse(rows[0][2]) if rows else None
        except Error as problem:
            if self._current_role() == "writer":
                self.skipped["innodb_status"] = str(problem).rstrip(".")
            return None

    def _current_role(self) -> str:
        """Role as the instance reports it, if it ever did: a reader that is promoted becomes the writer."""
        if self.variables.get("innodb_read_only") == "ON":
            return "reader"
        return "writer" if self._reports_role else self.role

    def slow_log_rows(self, seconds: float) -> Sequence[Any] | None:
        """Rows of mysql.slow_log of the last `seconds`; None if the log is off or not written to a table."""
        is_table = "TABLE" in self.variables.get("log_output", "")
        if self.variables.get("slow_query_log") != "ON" or not is_table:
            return None
        return self.rows("slow_log", seconds=seconds)

    def _is_aurora(self) -> bool:
        return "aurora_version" in (self.variables or self._read_variables())

    def _read_variables(self) -> dict[str, str]:
        """The server's name, version and role; only Aurora has `aurora_server_id`."""
        return {str(row[0]).lower(): printable(row[1]) for row in self.rows("identity") or ()}

    def rows(self, name: str, **values: Any) -> Sequence[Any] | None:
        """Run a query of `queries/` and return its rows.

        Parameters
        ----------
        name : str
            Name of the query: its file's name without `.sql`.
        **values
            Values for the query's parameters; a list expands to `IN (...)`.

        Returns
        -------
        sequence of rows, or None
            None if a grant or the table is missing, or the query timed out.

        Raises
        ------
        ConnectionLost
            If the server does not answer.
        """
        if name in self.skipped or name in self._absent:
            return None
        try:
            return self._connected().execute(QUERIES[name].with_values(values), values).all()
        except exc.DBAPIError as problem:
            self._handle(name, problem)
            return None

    def close(self) -> None:
        """Close the connection, also while the answer of a silent server is on its way."""
        if self._connection is not None:
            with suppress(exc.DBAPIError):
                self._connection.close()
        self._connection = None

    def _replicas(self) -> list[Replica]:
        rows = [self.rows(name) or () for name in ("replicas", "global_replicas")]
        return replicas(row._mapping for row in [*rows[0], *rows[1]])

    def _connected(self) -> sqlalchemy.Connection:
        if self._connection is None:
            # It may be another server now, or have gained a grant or a table.
            self.skipped, self._absent = {}, set()
            self._connecting = threading.get_ident()
            try:
                self._connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            finally:
                self._connecting = None
            for setting in _session_settings(self._connection):
                self._connection.execute(sqlalchemy.text(f"{TAG} SET SESSION {setting}"))
        return self._connection

    def _handle(self, name: str, problem: exc.DBAPIError) -> None:
        """Skip the query, ignore a time-out, or raise, by the number of the error."""
        number = error_number(problem)
        if self._connection is None and number in LOGIN_DENIED_ERRORS and not self.variables:
            raise Error(
                f"{self.name} rejects the login of {self.engine.url.username}: {reason(problem)}."
            ) from None
        denied = number in ACCESS_DENIED_ERRORS
        if number in MISSING_OBJECT_ERRORS or (denied and name in AURORA_ONLY and not self._is_aurora()):
            self._absent.add(name)
        elif denied:
            self.skipped[name] = QUERIES[name].needs.format(user=self.engine.url.username)
        elif number in STATEMENT_TIMEOUT_ERRORS and name in GROWING_TABLES:
            self.skipped[name] = f"less than {STATEMENT_TIMEOUT_S:g} s, and timed out"
        elif number not in STATEMENT_TIMEOUT_ERRORS:
            self._discard_connection()
            raise ConnectionLost(reason(problem)) from None

    def _discard_connection(self) -> None:
        """Drop a broken connection without the closing handshake, which it could not complete."""
        if self._connection is not None and not self._connection.invalidated:
            self._connection.invalidate()
        self.close()


def _session_settings(connection: sqlalchemy.Connection) -> list[str]:
    """Read only, in the server's own time zone (that of trx_started), time-limited, and not in the slow log."""
    return [
        "TRANSACTION READ ONLY",
        "time_zone = SYSTEM",
        "long_query_time = 3600",
        time_limit(connection, STATEMENT_TIMEOUT_S),
    ]


def time_limit(connection: sqlalchemy.Connection, seconds: float) -> str:
    """Return the session setting with which the server itself cancels a statement after `seconds`.

    MariaDB takes seconds (`max_statement_time`), MySQL milliseconds (`max_execution_time`, SELECT only).
    """
    if flavour.of_connection(connection) == "mariadb":
        return f"max_statement_time = {max(seconds, 0.001):.3f}"
    return f"max_execution_time = {max(1, round(1000 * seconds))}"


def error_number(problem: exc.DBAPIError) -> int:
    """Return the server's or the driver's error number; 0 if the error has none."""
    arguments = getattr(problem.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0


def reason(problem: exc.DBAPIError) -> str:
    """Return the server's or the driver's error message on one line, without a final period."""
    arguments = getattr(problem.orig, "args", ()) or (problem,)
    return printable(" ".join(str(arguments[-1]).split())).rstrip(".")


def _without_ours(transactions: Iterable[Transaction]) -> list[Transaction]:
    return [one for one in transactions if not (one.query or "").startswith(TAG)]


EXAMPLE_VALUES: dict[str, dict[str, Any]] = {
    "slow_log": {"seconds": 0},
    "statement_digests": {"seconds": 0},
    "statement_histograms": {"schema": "", "digests": [""]},
}
"""Parameter values with which a query returns almost nothing: enough to check its grant."""


def grants(probe: Probe) -> list[Grant]:
    """Run every query once and report which ones lack a grant."""
    return live_queries.grants(probe, QUERIES, EXAMPLE_VALUES)


URL_SETTINGS = {"unix_socket"}
"""Settings that a server address may have after its question mark."""


def url(text: str, environ: Mapping[str, str]) -> sqlalchemy.URL:
    """Parse a server address for PyMySQL.

    Parameters
    ----------
    text : str
        As in mysql://user@host:3306/.
    environ : mapping
        If the address has no password, AURORA_ANALYSIS_PASSWORD is used.

    Raises
    ------
    Error
        If the text is not a URL of MySQL or MariaDB, or has an unknown setting. The message omits the text: it may contain a password.
    """
    parsed = engines.parsed_url(text)
    if unknown := sorted(set(parsed.query) - URL_SETTINGS):
        raise Error(
            f"A server address has a setting that is not known: {printable(unknown[0])}. "
            f"It may have {', '.join(sorted(URL_SETTINGS))}."
        )
    return parsed.set(
        drivername="mysql+pymysql", password=parsed.password or environ.get("AURORA_ANALYSIS_PASSWORD")
    )


class _NoClearText:
    """Refuses to send the password in clear text."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def authenticate(self, _: Any) -> None:
        """Refuse."""
        raise err.OperationalError(
            CLEAR_TEXT_ERROR,
            "the server asks for the password in clear text, which is sent only over verified TLS: name the CA "
            "bundle with --ca",
        )


CLEAR_TEXT_PLUGINS = ("mysql_clear_password", "dialog")
"""Login methods with which a server gets the password itself."""


def connect_arguments(read_timeout_s: float, ca: str) -> dict[str, Any]:
    """Return PyMySQL's arguments: a server that is silent for so long counts as lost [s].

    The driver uses TLS wherever the server offers it. `ca` requires TLS and verifies the server; only then may the
    password be sent in clear text.
    """
    found: dict[str, Any] = {"connect_timeout": 5, "read_timeout": read_timeout_s}
    if ca:
        return found | {"ssl": {"ca": ca, "check_hostname": True}}
    return found | {"auth_plugin_map": dict.fromkeys(CLEAR_TEXT_PLUGINS, _NoClearText)}


def with_tokens(engine: sqlalchemy.Engine, generate: Callable[..., str]) -> None:
    """Log in with a fresh IAM token on each new connection; see `sign_connections`."""
    sign_connections(engine, generate, 3306, auth_plugin_map={"mysql_clear_password": None})
