"""Sessions that a trial runs while it samples: the query, a load on the writer, and a canary."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import cycle, islice
from types import ModuleType

import sqlalchemy
from sqlalchemy import exc

from aurora_analysis import engines
from aurora_analysis.engines.live_evidence import CanaryStatements
from aurora_analysis.errors import Error

STATEMENTS_PER_SESSION = 100.0
"""The load opens one session for each 100 statements per second."""


class WriterLoad:
    """Runs statements on the writer, again and again, at a constant rate; a context manager.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Connects to the writer.
    text : str
        Statements, separated by `;` at the end of a line.
    rate : float
        Statements per second.

    Attributes
    ----------
    problem : str
        Why a session ended; empty while all run.

    Raises
    ------
    Error
        If the text has no statement.
    """

    def __init__(self, engine: sqlalchemy.Engine, text: str, rate: float) -> None:
        self._engine = engine
        self._statements = [one.strip().rstrip(";") for one in text.split(";\n") if one.strip().rstrip(";")]
        if not self._statements:
            raise Error(
                "The file of --writer-load has no statement: separate statements by ; at the end of a line."
            )
        self._live = _module(engine, "live")
        count = math.ceil(rate / STATEMENTS_PER_SESSION)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, rate / count), daemon=True)
            for number in range(count)
        ]
        self.problem = ""

    def __enter__(self) -> WriterLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(self._live.STATEMENT_TIMEOUT_S)

    def _run(self, number: int, rate: float) -> None:
        try:
            with self._engine.connect() as connection:
                auto = connection.execution_options(isolation_level="AUTOCOMMIT")
                due = time.monotonic()
                for text in islice(cycle(self._statements), number, None):
                    if self._stopping.wait(max(0.0, due - time.monotonic())):
                        return
                    self._execute_unless_locked(auto, text)
                    due = max(due + 1 / rate, time.monotonic() - 1)
        except exc.DBAPIError as problem:
            self.problem = f"the writer's load failed: {self._live.reason(problem)}"

    def _execute_unless_locked(self, connection: sqlalchemy.Connection, text: str) -> None:
        """Run a statement; skip it if it times out waiting for a lock or is a deadlock's victim."""
        try:
            connection.exec_driver_sql(text.replace("%", "%%"))
        except exc.DBAPIError as problem:
            if not _module(self._engine, "trial_sessions").is_lock_error(problem):
                raise


def _module(engine: sqlalchemy.Engine, name: str) -> ModuleType:
    return engines.module(engine.dialect.name, name)


class QueryRunner:
    """Runs the query on the reader for the length of a block's run, again and again, and discards its rows.

    Parameters
    ----------
    query_engine : sqlalchemy.Engine
        Runs the query; its read time-out must exceed a run.
    query : str
        The query.
    instance : str
        Name of the reader.
    control_engine : sqlalchemy.Engine, optional
        Connects to the same server to cancel a run; its time-outs may be short.
    modes : str, optional
        Modes of the session, in which the query was judged to be reading only; None leaves the server's.

    Attributes
    ----------
    problem : str
        Why the query failed; empty if it did not.
    span : (datetime, datetime), optional
        When the last run really started and ended.
    """

    def __init__(
        self,
        query_engine: sqlalchemy.Engine,
        query: str,
        instance: str,
        control_engine: sqlalchemy.Engine | None = None,
        modes: str | None = None,
    ) -> None:
        self._query_engine, self._query, self.instance = query_engine, query, instance
        self._control_engine, self._modes = control_engine or query_engine, modes
        self._live, self._sql = (_module(query_engine, name) for name in ("live", "trial_sessions"))
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._deadline: threading.Timer | None = None
        self._connection_id: int | None = None
        self.problem = ""
        self.span: tuple[datetime, datetime] | None = None

    def start(self, seconds: float) -> None:
        """Start a run of `seconds`.

        The server's time limit does not end the run of a cursor: it holds for each fetch alone (PostgreSQL), and the snapshot
        would stay through the washout.
        """
        self._stopping = threading.Event()
        self.span, until = None, time.monotonic() + seconds
        self._thread = threading.Thread(target=self._run, args=(until,), daemon=True)
        self._thread.start()
        self._deadline = threading.Timer(seconds, self._cancel, (self._thread, self._stopping))
        self._deadline.daemon = True
        self._deadline.start()

    def stop(self) -> None:
        """End the run now: let the server cancel its statement."""
        if self._thread is None or self._deadline is None:
            return
        self._deadline.cancel()
        self._cancel(self._thread, self._stopping)
        self._thread.join(self._live.STATEMENT_TIMEOUT_S + 1)

    def _cancel(self, run: threading.Thread, stopping: threading.Event) -> None:
        stopping.set()
        if not run.is_alive():
            return
        with suppress(exc.DBAPIError), self._control_engine.connect() as other:
            if run.is_alive() and self._connection_id is not None:
                other.exec_driver_sql(f"{self._live.TAG} {self._sql.cancel(self._connection_id)}")

    def _run(self, until: float) -> None:
        began = datetime.now(UTC)
        try:
            with self._query_engine.connect() as connection:
                self._repeat(connection, until)
        except exc.DBAPIError as problem:
            self.problem = f"the query on {self.instance} failed: {self._live.reason(problem)}"
        except exc.SQLAlchemyError as problem:
            self.problem = f"the query on {self.instance} returned no rows: {type(problem).__name__}"
        self._connection_id = None
        self.span = began, datetime.now(UTC)

    def _repeat(self, connection: sqlalchemy.Connection, until: float) -> None:
        auto = connection.execution_options(isolation_level=self._sql.ISOLATION_LEVEL)
        auto.exec_driver_sql(self._sql.READ_ONLY)
        if self._modes is not None:
            auto.exec_driver_sql(self._sql.set_modes(self._modes))
        self._connection_id = int(auto.exec_driver_sql(self._sql.CONNECTION_ID).scalar_one())
        while (left := until - time.monotonic()) > 0.05 and not self._stopping.is_set():
            auto.exec_driver_sql(f"SET SESSION {self._live.time_limit(auto, left)}")
            auto.commit()
            self._run_once(auto)

    def _run_once(self, connection: sqlalchemy.Connection) -> None:
        try:
            text = sqlalchemy.text(self._query.replace(":", r"\:"))
            # An option of the connection would stay and make a cursor of the next SET, too.
            with connection.execute(text, execution_options={"stream_results": True}) as rows:
                for _ in rows:
                    if self._stopping.is_set():
                        break
        except exc.DBAPIError as problem:
            if not self._sql.is_timeout(problem):
                raise
        connection.rollback()


class Canary:
    """A small transaction on a table of its own, timed: the latency of a small write on the writer.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Connects to the writer.
    database : str
        Database in which the table is created.

    Raises
    ------
    Error
        If the table cannot be created.
    """

    TABLE = "aurora_analysis_canary"

    def __init__(self, engine: sqlalchemy.Engine, database: str) -> None:
        self._engine = engine
        self._connection: sqlalchemy.Connection | None = None
        self._live = _module(engine, "live")
        self._sql: CanaryStatements = _module(engine, "trial_sessions").canary(database, self.TABLE)
        try:
            for text in self._sql.create:
                self._execute(text)
        except exc.DBAPIError as problem:
            reason = self._live.reason(problem)
            raise Error(f"Cannot create the canary's table in {database}: {reason}.") from None

    def latency_ms(self) -> float | None:
        """Read and update the row and return the time that takes [ms]; None if the writer does not answer."""
        began = time.perf_counter()
        try:
            for text in self._sql.beat:
                self._execute(text)
        except exc.DBAPIError:
            self.close()
            return None
        return 1000 * (time.perf_counter() - began)

    def remove(self) -> None:
        """Drop the table, which is ours, and close the connection."""
        with suppress(exc.DBAPIError):
            self._execute(self._sql.drop)
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _execute(self, text: str) -> None:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._connection.exec_driver_sql(f"{self._live.TAG} {text}")


LEFT_AFTER_S = 2.5
"""A canary's row changes every second; one that did not change for so long belongs to no trial that runs."""


def drop_left_canaries(engine: sqlalchemy.Engine, progress: Callable[[str], None]) -> None:
    """Drop the canary's tables that a killed trial left on the writer, and report each.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Connects to the writer.
    progress : callable
        Receives one line for each table: that it was dropped, or the statement that drops it.
    """
    live, sql = _module(engine, "live"), _module(engine, "trial_sessions")
    listed = (
        f"{live.TAG} SELECT table_schema FROM information_schema.tables WHERE table_name = '{Canary.TABLE}'"
    )
    with suppress(exc.DBAPIError), engine.connect() as connection:
        auto = connection.execution_options(isolation_level="AUTOCOMMIT")
        schemas = [str(schema) for schema in auto.exec_driver_sql(listed).scalars()]
        tables = {schema: sql.canary(schema, Canary.TABLE) for schema in schemas}
        before = {schema: _beats(auto, one) for schema, one in tables.items()}
        time.sleep(LEFT_AFTER_S if tables else 0)
        for schema, one in tables.items():
            if _beats(auto, one) != before[schema]:
                continue  # the trial that made it still runs
            try:
                auto.exec_driver_sql(f"{live.TAG} {one.drop}")
                progress(f"dropped the canary's table that a killed trial left in {schema}")
            except exc.DBAPIError as problem:
                progress(f"a killed trial left a table, to be dropped by {one.drop}: {live.reason(problem)}")


def _beats(connection: sqlalchemy.Connection, one: CanaryStatements) -> object:
    return connection.exec_driver_sql(one.beat[0]).scalar()
