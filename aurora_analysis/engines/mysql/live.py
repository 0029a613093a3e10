"""What the servers say of themselves, now: history list, read views, open transactions.

The slow log and Performance Insights both miss an idle transaction that holds a read view; the servers do not.
Every probe is one statement of `queries/`, read only, tagged, limited in time, and leaves no view behind. A probe
that is not granted, or a table that this server does not have, is left out and said.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy import exc

from aurora_analysis import engines
from aurora_analysis.engines.mysql import flavour
from aurora_analysis.errors import Error

TAG = "/* aurora-analysis */"
"""Stands before every statement of ours, so that others can leave them out."""

LIMIT_S = 2.0
"""A probe that takes longer is broken off: it must never be a load itself."""

RDS_FOLDER = "/rdsdbbin"
"""Where RDS and Aurora have their server installed, as its basedir says."""

AURORA_ALONE = {"replicas"}
"""Where the server is no Aurora, a table of these that is denied is not there: it could not be granted."""

DENIED = {1044, 1142, 1143, 1227, 1370}
ABSENT = {1049, 1109, 1146, 1193}
LATE = {1317, 1969, 3024}
"""Error numbers of MySQL and MariaDB: not granted, not there, broken off."""

GROWING = {"slow_log", "statement_digests", "statement_histograms"}
"""What these look through grows with time: one that was broken off would be so again, and is not asked again."""

REFUSED_AT_THE_DOOR = {1045, 1130, 1698}


class Lost(Exception):
    """The connection is gone; the next question makes a new one."""


class Query(NamedTuple):
    """A statement of `queries/`: what it answers, the grant that it needs, its text."""

    name: str
    answers: str
    needs: str
    text: str

    def with_values(self, values: Mapping[str, Any]) -> sqlalchemy.TextClause:
        """The tagged statement; a value may be a list."""
        lists = [name for name, value in values.items() if isinstance(value, list)]
        text = sqlalchemy.text(f"{TAG} {self.text}")
        return text.bindparams(*(sqlalchemy.bindparam(name, expanding=True) for name in lists))


def _query(path: Path) -> Query:
    answers, needs, text = path.read_text(encoding="utf-8").split("\n", 2)
    return Query(path.stem, answers.removeprefix("-- "), needs.removeprefix("-- needs: "), text.strip())


QUERIES = {path.stem: _query(path) for path in sorted((Path(__file__).parent / "queries").glob("*.sql"))}


class Innodb(NamedTuple):
    """What SHOW ENGINE INNODB STATUS tells of transactions and purge.

    `purge_boundary` is the transaction number up to which purge is allowed: the lowest that an open read view or
    an open transaction that has written may still need, or the counter where there is none. `views` and `writing`
    have that number for each connection that holds a view, and for each that has written.
    """

    history_list_length: int
    trx_counter: int
    purge_finished: int
    purge_boundary: int
    open_read_views: int
    active_transactions: int
    views: dict[int, int]
    writing: dict[int, int]
    listed: frozenset[int] = frozenset()
    """The connections whose transactions the status lists as active."""


SNAPSHOT_LEVELS = {"REPEATABLE READ", "SERIALIZABLE"}
"""At these a transaction keeps the view of its first read; at others each statement has its own."""


class Transaction(NamedTuple):
    """A live transaction as information_schema.innodb_trx shows it; `started_at` [s since 1970]."""

    thread_id: int
    user: str
    host: str
    command: str
    started_at: float
    isolation_level: str
    rows_modified: int
    query: str | None
    since: float | None = None
    """When its session began to do what it does: to run the statement, or to idle [s since 1970, whole]."""
    client: str | None = None

    @property
    def view_since(self) -> float:
        """The earliest that a view of it may be: at READ COMMITTED that of its running statement."""
        if self.isolation_level in SNAPSHOT_LEVELS:
            return self.started_at
        return max(self.started_at, self.since or self.started_at)


class Replica(NamedTuple):
    """The oldest transaction that an instance's views may need, as the writer of an Aurora cluster knows it."""

    instance: str
    role: str
    oldest_read_view_trx_id: int
    replica_lag_ms: float | None


class Seen(NamedTuple):
    """What one instance said at a moment [s since 1970]; None where a probe is missing."""

    time: float
    instance: str
    role: str
    version: str
    counters: dict[str, int]
    innodb: Innodb | None
    transactions: list[Transaction] | None
    replicas: list[Replica]
    server: str = ""
    """Its host and port: two addresses may lead to one server."""
    is_rds: bool = False
    """Whether Amazon runs it: a session is ended by mysql.rds_kill then."""
    is_mysql: bool = False
    """Whether it is MySQL or Aurora: whose number a reader's view has, only the writer of the cluster knows then."""

    clock_ahead_s: float = 0.0
    """How far its clock, that of its transactions, is ahead of ours."""

    @property
    def knows_numbers(self) -> bool:
        """Whether its own numbers can be told beside those of the writer."""
        return self.role == "writer" or not self.is_mysql


class Holder(NamedTuple):
    """The session that holds up purge: the lowest transaction number needed, and all that is known of whose it is."""

    instance: str
    number: int
    how: str
    transaction: Transaction | None
    is_rds: bool = False

    @property
    def kill(self) -> str | None:
        """The statement that ends the session, for a person to run on its instance; None where it is not known."""
        if self.transaction is None:
            return None
        thread = self.transaction.thread_id
        return f"CALL mysql.rds_kill({thread});" if self.is_rds else f"KILL {thread};"


def innodb(status: str) -> Innodb:
    """The numbers in the text of SHOW ENGINE INNODB STATUS, of MariaDB 10.5+ or MySQL 5.7+."""
    transactions = [
        text for text in status.split("---TRANSACTION ")[1:] if ", ACTIVE" in text.split("\n", 1)[0]
    ]
    counter = _number(r"Trx id counter (\d+)", status)
    views = {
        _thread(text): _number(r"sees < (\d+)", text) for text in transactions if "Trx read view" in text
    }
    writing = {_thread(text): _number(r"(\d+)", text) for text in transactions if "undo log entries" in text}
    return Innodb(
        history_list_length=_number(r"History list length (\d+)", status),
        trx_counter=counter,
        purge_finished=_number(r"Purge done for trx's n:o < (\d+)", status),
        purge_boundary=min([counter, *views.values(), *writing.values()]),
        open_read_views=_number(r"(\d+) read views open", status),
        active_transactions=len(transactions),
        views=views,
        writing=writing,
        listed=frozenset(map(_thread, transactions)),
    )


NOTHING_TOLD = Innodb(0, 0, 0, 0, 0, 0, {}, {})
"""The status of an instance that tells nothing of purge."""


def of_mysql(said: Innodb, transactions: Iterable[Transaction]) -> Innodb:
    """The same where the server is MySQL or Aurora, whose status tells less and whose purge waits for less.

    Its status lists transactions that write, and says of these whether they hold a view; of those that only read,
    which it does not list, a view is held at REPEATABLE READ from the first read on, at READ COMMITTED while a
    statement runs. An open transaction that has written holds up nothing (tried on 5.7.29 and 9.7.4: the history
    list stays short). Purge stands where the oldest view holds it, so that is the oldest one's number; the others follow.
    """
    holding = [
        one
        for one in transactions
        if one.thread_id in said.views
        or (one.thread_id not in said.listed and (one.query or one.isolation_level in SNAPSHOT_LEVELS))
    ]
    holding.sort(key=lambda one: one.view_since)
    views = {one.thread_id: said.purge_finished + n for n, one in enumerate(holding)}
    boundary = min([said.trx_counter, *views.values()])
    return said._replace(views=views, writing={}, purge_boundary=boundary)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise Error(f"The status of InnoDB has no {pattern!r}: MariaDB 10.5+ or MySQL 5.7+ is needed.")
    return int(found[1])


def _thread(text: str) -> int:
    """The connection of a transaction; 0 where it has none, as after a crash or in a prepared XA transaction."""
    found = re.search(r"thread id (\d+)", text)
    return int(found[1]) if found else 0


def replicas(rows: Iterable[Mapping[str, Any]]) -> list[Replica]:
    """The rows of mysql.ro_replica_status or aurora_global_db_instance_status; columns differ by version.

    What lacks a view's number says nothing and is left out.
    """
    named = [{str(key).lower(): value for key, value in row.items()} for row in rows]
    return [
        Replica(
            instance=str(row["server_id"]),
            role="writer" if str(row.get("session_id", "")).upper() == "MASTER_SESSION_ID" else "reader",
            oldest_read_view_trx_id=int(row["oldest_read_view_trx_id"]),
            replica_lag_ms=_lag(row),
        )
        for row in named
        if row.get("server_id") and row.get("oldest_read_view_trx_id")
    ]


def _lag(row: Mapping[str, Any]) -> float | None:
    lag = row.get("replica_lag_in_msec", row.get("visibility_lag_in_msec"))
    return None if lag is None else float(lag)


def holder(seen: Sequence[Seen]) -> Holder | None:
    """The session that holds up purge, over all instances. Answers: who must end before purge may go on?

    It is the one that needs the lowest transaction number: it holds a read view, or it has written. An older
    transaction that does neither (a bare BEGIN, READ COMMITTED between statements) is none. A reader that
    tells of no session is known by what the writer of an Aurora cluster knows of its oldest view. None where
    nobody holds purge below the writer's counter.
    """
    counter = max((one.innodb.trx_counter for one in seen if one.innodb and one.role == "writer"), default=0)
    known = {replica.instance: replica.oldest_read_view_trx_id for one in seen for replica in one.replicas}
    found = [
        Holder(one.instance, known.get(one.instance, number), how, _transaction(one, thread), one.is_rds)
        for one in seen
        if one.innodb and (one.knows_numbers or one.instance in known)
        for how, held in (("holds a read view", one.innodb.views), ("has written", one.innodb.writing))
        for thread, number in sorted(held.items(), key=lambda item: item[1])[:1]
    ]
    tell = {one.instance for one in seen if one.innodb and one.innodb.views}
    found += [
        Holder(replica.instance, replica.oldest_read_view_trx_id, "holds a read view", None)
        for one in seen
        for replica in one.replicas
        if replica.instance not in tell and not (replica.role == "writer" and one.innodb)
    ]
    return min((one for one in found if one.number < counter), key=lambda one: one.number, default=None)


def _transaction(seen: Seen, thread: int) -> Transaction | None:
    return next((one for one in seen.transactions or () if one.thread_id == thread), None)


def boundary(seen: Sequence[Seen]) -> int | None:
    """Up to which transaction number purge is allowed, over all instances."""
    numbers = [one.innodb.purge_boundary for one in seen if one.innodb and one.role == "writer"]
    if not numbers:
        return None
    first = holder(seen)
    return min([*numbers, *([first.number] if first else [])])


class Probe:
    """Asks one instance; connects when first asked, and again after a loss.

    `role` is what the caller takes it for; an instance that says of itself that it is read only is a reader.
    `about` is what it last said of itself. `refused` names the probes that are left out, with what each needs.
    """

    def __init__(self, engine: sqlalchemy.Engine, name: str, role: str) -> None:
        self.engine, self.name, self.role = engine, name, role
        self.about: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self._absent: set[str] = set()
        self._is_told = False
        self._connection: sqlalchemy.Connection | None = None

    def seen(self) -> Seen:
        """What the instance says now; `Lost` where it does not answer."""
        self.about = about = self._variables()
        now = time.time()
        self._is_told |= about.get("innodb_read_only") == "ON" or "aurora_server_id" in about
        status = self.rows("innodb_status")
        transactions = self.rows("transactions")
        clients = {row[0]: row[1] for row in self.rows("clients") or ()}
        known = self._replicas()
        said, is_mysql = self._innodb(status), flavour.of_version(about.get("version", "")) == "mysql"
        opened = None if transactions is None else _others(_open(row, clients) for row in transactions)
        if is_mysql and self._role() == "reader":
            said = said or NOTHING_TOLD
        if said and is_mysql:
            said = of_mysql(said, opened or ())
        return Seen(
            time=now,
            instance=about.get("aurora_server_id") or self.name,
            role=self._role(),
            version=about.get("version", ""),
            counters={str(row[0]).lower(): int(row[1]) for row in self.rows("counters") or ()},
            innodb=said,
            transactions=opened,
            replicas=known,
            server=f"{about.get('hostname', self.name)}:{about.get('port', '')}",
            clock_ahead_s=float(about.get("timestamp", now)) - now,
            is_mysql=is_mysql,
            is_rds=bool(known)
            or "aurora_version" in about
            or about.get("basedir", "").startswith(RDS_FOLDER),
        )

    def _innodb(self, status: Sequence[Any] | None) -> Innodb | None:
        """What the status tells; a reader of Aurora has no purge of its own, and may tell nothing of it."""
        try:
            return innodb(status[0][2]) if status else None
        except Error as problem:
            if self._role() == "writer":
                self.refused["innodb_status"] = str(problem).rstrip(".")
            return None

    def _role(self) -> str:
        """As the instance itself tells, where it ever told: a reader that is promoted may write."""
        if self.about.get("innodb_read_only") == "ON":
            return "reader"
        return "writer" if self._is_told else self.role

    def logged(self, seconds: float) -> Sequence[Any] | None:
        """The slow log's rows of the last so many seconds, where it is written to a table; else None."""
        if self.about.get("slow_query_log") != "ON" or "TABLE" not in self.about.get("log_output", ""):
            return None
        return self.rows("slow_log", seconds=seconds)

    def _is_aurora(self) -> bool:
        return "aurora_version" in (self.about or self._variables())

    def _variables(self) -> dict[str, str]:
        """The server's name, version and role; `aurora_server_id` is there on Aurora alone."""
        return {str(row[0]).lower(): str(row[1]) for row in self.rows("identity") or ()}

    def rows(self, name: str, **values: Any) -> Sequence[Any] | None:
        """The rows of a query; None where it is not granted, not there, or took too long."""
        if name in self.refused or name in self._absent:
            return None
        try:
            return self._connected().execute(QUERIES[name].with_values(values), values).all()
        except exc.DBAPIError as problem:
            self._note(name, problem)
            return None

    def close(self) -> None:
        """Leave the server."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _replicas(self) -> list[Replica]:
        rows = [self.rows(name) or () for name in ("replicas", "global_replicas")]
        return replicas(row._mapping for row in [*rows[0], *rows[1]])

    def _connected(self) -> sqlalchemy.Connection:
        if self._connection is None:
            self.refused, self._absent = {}, set()  # it may be another server, or have learnt more
            self._connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            for setting in _settings(self._connection):
                self._connection.execute(sqlalchemy.text(f"{TAG} SET SESSION {setting}"))
        return self._connection

    def _note(self, name: str, problem: exc.DBAPIError) -> None:
        number = error_number(problem)
        if number in ABSENT or (number in DENIED and name in AURORA_ALONE and not self._is_aurora()):
            self._absent.add(name)
        elif number in DENIED:
            self.refused[name] = QUERIES[name].needs.format(user=self.engine.url.username)
        elif number in REFUSED_AT_THE_DOOR and not self.about:
            raise Error(
                f"{self.name} does not let {self.engine.url.username} in: {reason(problem)}."
            ) from None
        elif number in LATE and name in GROWING:
            self.refused[name] = f"less than {LIMIT_S:g} s, and took longer"
        elif number not in LATE:
            self._forget()
            raise Lost(reason(problem)) from None

    def _forget(self) -> None:
        """Let go of a connection that is gone: there is nothing to say good-bye to."""
        if self._connection is not None and not self._connection.invalidated:
            self._connection.invalidate()
        self.close()


def _settings(connection: sqlalchemy.Connection) -> list[str]:
    """Read only, in the server's own zone (that of trx_started), limited, and out of the slow log."""
    return [
        "TRANSACTION READ ONLY",
        "time_zone = SYSTEM",
        "long_query_time = 3600",
        time_limit(connection, LIMIT_S),
    ]


def time_limit(connection: sqlalchemy.Connection, seconds: float) -> str:
    """The setting by which the server itself breaks a statement off."""
    if flavour.of_connection(connection) == "mariadb":
        return f"max_statement_time = {max(seconds, 0.001):.3f}"
    return f"max_execution_time = {max(1, round(1000 * seconds))}"


def error_number(problem: exc.DBAPIError) -> int:
    """The server's or the driver's number of an error; 0 where it has none."""
    arguments = getattr(problem.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0


def reason(problem: exc.DBAPIError) -> str:
    """What the server or the driver said, on one line."""
    arguments = getattr(problem.orig, "args", ()) or (problem,)
    return " ".join(str(arguments[-1]).split()).rstrip(".")


def _open(row: Sequence[Any], clients: Mapping[int, str]) -> Transaction:
    thread, user, host, command, started_at, isolation, modified, query, since = row
    return Transaction(
        int(thread),
        user,
        host,
        command,
        float(started_at),
        isolation,
        int(modified),
        query,
        float(since),
        clients.get(thread),
    )


def _others(transactions: Iterable[Transaction]) -> list[Transaction]:
    """Those that are not ours."""
    return [one for one in transactions if not (one.query or "").startswith(TAG)]


ANY: dict[str, dict[str, Any]] = {
    "slow_log": {"seconds": 0},
    "statement_digests": {"seconds": 0},
    "statement_histograms": {"schema": "", "digests": [""]},
}
"""Values with which a query that takes some answers with next to nothing."""


@dataclass(frozen=True)
class Grant:
    """A probe on an instance: what it answers, whether it may be asked, and what is missing."""

    instance: str
    probe: str
    answers: str
    state: str
    needs: str


def grants(probe: Probe) -> list[Grant]:
    """What each probe needs on an instance, and whether it is there. Answers: what may be asked of this server?"""
    found = []
    for query in QUERIES.values():
        rows = probe.rows(query.name, **ANY.get(query.name, {}))
        refused = query.name in probe.refused
        state = "not granted" if refused else "not on this server" if rows is None else "ok"
        needs = probe.refused.get(query.name, "")
        found.append(Grant(probe.name, query.name, query.answers, state, needs))
    return found


def table(found: Sequence[Grant]) -> list[str]:
    """A line a probe: what it answers, and the statement that would grant it."""
    width = max((len(one.probe) for one in found), default=0)
    return [
        f"{one.instance}  {one.probe:{width}}  {one.state:18}  {one.needs or one.answers}" for one in found
    ]


def url(text: str, environ: Mapping[str, str]) -> sqlalchemy.URL:
    """The address of a server, as PyMySQL takes it; a password that it lacks is AURORA_ANALYSIS_PASSWORD."""
    try:
        parsed = sqlalchemy.make_url(text)
    except exc.ArgumentError:
        raise Error("A server's address is no URL: write it as mysql://user@host:3306/.") from None
    engines.of(parsed.get_backend_name())
    return parsed.set(
        drivername="mysql+pymysql", password=parsed.password or environ.get("AURORA_ANALYSIS_PASSWORD")
    )


def with_tokens(engine: sqlalchemy.Engine, generate: Callable[..., str]) -> None:
    """Let each new connection log in by an IAM token of its own, valid for 15 minutes.

    `generate` is boto3's generate_db_auth_token; it signs, and calls nobody.
    https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.html
    """

    def sign(dialect: Any, record: Any, arguments: Any, parameters: dict[str, Any]) -> None:
        parameters["password"] = generate(
            DBHostname=parameters["host"], Port=parameters.get("port", 3306), DBUsername=parameters["user"]
        )
        parameters["auth_plugin_map"] = {"mysql_clear_password": None}

    sqlalchemy.event.listen(engine, "do_connect", sign)
