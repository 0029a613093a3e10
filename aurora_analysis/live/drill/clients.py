"""Clients of a drill, side by side on the same cluster: each writes sequence numbers, and reads them back.

A worker has one connection at a time. It reads the highest sequence number that it finds, then writes the next one, and
records every attempt. It uses the connection until an error, and then gets a new one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy import exc

from aurora_analysis import engines
from aurora_analysis.engines.drill_statements import TableStatements
from aurora_analysis.live.drill.options import PLAIN, POOL, TOPOLOGY, ClientOptions
from aurora_analysis.live.drill.place import WRITER, Address, Place

CONNECT, READ, WRITE = "connect", "read", "write"


class Attempt(NamedTuple):
    """One attempt of a worker; times by the monotonic clock [s].

    Attributes
    ----------
    client, worker : str, int
        Who.
    operation : str
        `connect`, `read` or `write`.
    started, ended : float
        When.
    error : str
        The error's text; empty if it succeeded.
    sequence : int
        The number that was written or read.
    behind_s : float
        For a read: how long the oldest acknowledged write that it lacks had been acknowledged [s]; 0 if it lacks none.
    from_writer : bool
        For a read: whether the server accepts writes.
    """

    client: str
    worker: int
    operation: str
    started: float
    ended: float
    error: str = ""
    sequence: int = 0
    behind_s: float = 0.0
    from_writer: bool = True


Record = Callable[[Attempt], None]


class CachedName:
    """An endpoint's address that is looked up again only when it is older than `keep_s`, as a JVM does."""

    def __init__(self, look_up: Callable[[], Address], keep_s: float) -> None:
        self._look_up, self._keep_s = look_up, keep_s
        self._found: Address | None = None
        self._until = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> Address:
        """Return the address."""
        with self._lock:
            if self._found is None or time.monotonic() >= self._until:
                self._found, self._until = self._look_up(), time.monotonic() + self._keep_s
            return self._found

    def expire(self) -> None:
        """Let the next look-up be a new one, as after a long time on the same connection."""
        with self._lock:
            self._until = 0.0


class Topology:
    """Asks the instances which of them is the writer, and connects to that one by its own name.

    All workers of a client share one answer, which is dropped at an error and looked up again at most once per pause.
    """

    def __init__(self, place: Place, pause_s: float, count: Callable[[sqlalchemy.Engine], None]) -> None:
        self._module = engines.module(place.engine_name, "drill")
        self._engines = {name: place.instance(name) for name in place.instances}
        for engine in self._engines.values():
            count(engine)
        self._pause_s, self._lock = pause_s, threading.Lock()
        self._writer, self._asked_at = "", 0.0

    def connect(self, role: str) -> sqlalchemy.Connection:
        """Connect to the writer, or to the first reader that answers; the writer answers if no reader does."""
        writer = self._found()
        if role == WRITER:
            return self._engines[writer].connect()
        for name in (*(one for one in self._engines if one != writer), writer):
            with suppress(exc.DBAPIError):
                return self._engines[name].connect()
        raise NoWriter("no instance answers")

    def forget(self) -> None:
        """Forget the writer: an attempt failed."""
        with self._lock:
            self._writer = ""

    def _found(self) -> str:
        with self._lock:
            if not self._writer and time.monotonic() - self._asked_at >= self._pause_s:
                self._writer = self._ask()
                self._asked_at = time.monotonic()
            if not self._writer:
                raise NoWriter("no instance says that it is the writer")
            return self._writer

    def _ask(self) -> str:
        """Ask one instance after the other; the one that is named must itself accept writes."""
        for name, engine in self._engines.items():
            with suppress(exc.DBAPIError), engine.connect() as connection:
                named = writer_name(connection, self._module, name)
                if named == name or self._accepts_writes(named):
                    return named
        return ""

    def _accepts_writes(self, name: str) -> bool:
        engine = self._engines.get(name)
        if engine is None:
            return False
        with suppress(exc.DBAPIError), engine.connect() as connection:
            return accepts_writes(connection, self._module)
        return False


class NoWriter(Exception):
    """No instance is known to be the writer."""


def accepts_writes(connection: sqlalchemy.Connection, module: Any) -> bool:
    """Return whether a server accepts writes; `module` is the engine's `drill`."""
    return bool(int(connection.exec_driver_sql(f"SELECT {module.IS_WRITER}").scalar_one()))


def writer_name(connection: sqlalchemy.Connection, module: Any, own: str) -> str:
    """Return the writer's name as an instance (`own`) knows it; empty if it does not know.

    Aurora's instances know all of the cluster. Others know of themselves only whether they accept writes. An instance that
    takes itself for the writer and accepts no writes is a former one, which does not know yet.
    """
    if accepts_writes(connection, module):
        return own
    if int(connection.exec_driver_sql(module.IS_AURORA).scalar_one()):
        named = str(connection.exec_driver_sql(module.AURORA_WRITER).scalar() or "")
        return "" if named == own else named
    return ""


@dataclass
class Client:
    """One client: how it connects, whether a worker keeps its connection, and what happens at certain moments."""

    name: str
    connect: Callable[[], sqlalchemy.Connection]
    keeps: bool = True
    failed: Callable[[], None] = field(default=lambda: None)
    before_fault: Callable[[], None] = field(default=lambda: None)
    close: Callable[[], None] = field(default=lambda: None)


def make(name: str, place: Place, role: str, options: ClientOptions, record: Record) -> Client:
    """Return a client of the name `plain`, `pool` or `topology`; `record` receives its connection attempts."""

    def count(engine: sqlalchemy.Engine, look_up: Callable[[], Address] | None = None) -> None:
        record_connects(engine, name, record, look_up)

    if name == PLAIN:
        engine = place.endpoint(role)
        cached = CachedName(lambda: place.resolve(role), options.dns_cache_s)
        count(engine, cached)
        return Client(name, engine.connect, before_fault=cached.expire)
    if name == POOL:
        engine = place.endpoint(role, options.recycle_s)
        count(engine, lambda: place.resolve(role))
        return Client(name, engine.connect, keeps=False, close=engine.dispose)
    assert name == TOPOLOGY
    topology = Topology(place, options.pause_s, count)
    return Client(name, lambda: topology.connect(role), failed=topology.forget)


def record_connects(
    engine: sqlalchemy.Engine, client: str, record: Record, look_up: Callable[[], Address] | None
) -> None:
    """Record every connection that an engine's driver opens, and lead it to the address that is looked up."""
    module = engines.module(engine.dialect.name, "drill")

    def connect(dialect: Any, _: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
        started = time.monotonic()
        try:
            if look_up is None:
                made = dialect.connect(*arguments, **parameters)
            else:
                made = module.connect(dialect, parameters, *look_up())
        except Exception as problem:
            record(Attempt(client, -1, CONNECT, started, time.monotonic(), _first_line(problem)))
            raise
        record(Attempt(client, -1, CONNECT, started, time.monotonic()))
        return made

    sqlalchemy.event.listen(engine, "do_connect", connect)


def _first_line(problem: BaseException) -> str:
    text = str(getattr(problem, "orig", None) or problem).strip()
    return text.partition("\n")[0] or type(problem).__name__


@dataclass(frozen=True)
class Lane:
    """Plan of the workers of one run: the statements, the number of the run, the pause [s], and when to stop."""

    table: TableStatements
    run: int
    pause_s: float
    stopping: threading.Event
    record: Record


class Worker:
    """Writes sequence numbers through a client, and reads them back; or only reads what a writing worker wrote.

    `acknowledged` has when each sequence number was acknowledged, in order.
    """

    def __init__(self, client: Client, number: int, lane: Lane, follows: Worker | None = None) -> None:
        self.client, self.number, self._lane, self._follows = client, number, lane, follows
        self.acknowledged: list[tuple[int, float]] = []
        self.attempted = 0
        self._connection: sqlalchemy.Connection | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def key(self) -> str:
        """Name of the worker in the table."""
        return f"{self.client.name}-{self.number}"

    def start(self) -> None:
        """Start the worker."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait until the worker has stopped."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._lane.stopping.is_set():
            operation, started = CONNECT, time.monotonic()
            try:
                connection = self._connected()
                operation, started = READ, time.monotonic()
                self._read(connection)
                if self._follows is None:
                    operation, started = WRITE, time.monotonic()
                    self._write(connection)
                self._give_back()
            except (exc.SQLAlchemyError, NoWriter, OSError) as problem:
                self._note_failure(operation, started, problem)
            self._lane.stopping.wait(self._lane.pause_s)
        self._discard()

    def _connected(self) -> sqlalchemy.Connection:
        if self._connection is None:
            self._connection = self.client.connect().execution_options(isolation_level="AUTOCOMMIT")
        return self._connection

    def _read(self, connection: sqlalchemy.Connection) -> None:
        followed = self._follows or self
        known, started = len(followed.acknowledged), time.monotonic()
        values = {"run": self._lane.run, "client": followed.key}
        found, from_writer = connection.execute(sqlalchemy.text(self._lane.table.read), values).one()
        missed = _first_after(followed.acknowledged[:known], int(found))
        behind_s = 0.0 if missed is None else started - missed
        attempt = Attempt(self.client.name, self.number, READ, started, time.monotonic())
        self._lane.record(
            attempt._replace(sequence=int(found), behind_s=behind_s, from_writer=bool(from_writer))
        )

    def _write(self, connection: sqlalchemy.Connection) -> None:
        self.attempted += 1
        sequence, started = self.attempted, time.monotonic()
        values = {"run": self._lane.run, "client": self.key, "sequence": sequence}
        connection.execute(sqlalchemy.text(self._lane.table.insert), values)
        ended = time.monotonic()
        self.acknowledged.append((sequence, ended))
        self._lane.record(Attempt(self.client.name, self.number, WRITE, started, ended, sequence=sequence))

    def _give_back(self) -> None:
        """Return the connection to the pool, which decides about the next one."""
        if not self.client.keeps and self._connection is not None:
            self._connection.close()
            self._connection = None

    def _note_failure(self, operation: str, started: float, problem: Exception) -> None:
        ended = time.monotonic()
        text = _first_line(problem)
        self._lane.record(Attempt(self.client.name, self.number, operation, started, ended, text))
        self.client.failed()
        self._discard()

    def _discard(self) -> None:
        """Close the connection; a pool throws away only those that it knows to be broken."""
        if self._connection is not None:
            with suppress(exc.SQLAlchemyError, OSError):
                self._connection.close()
            self._connection = None


def _first_after(acknowledged: Sequence[tuple[int, float]], sequence: int) -> float | None:
    """Return the time at which the first write after `sequence` was acknowledged; None if none was."""
    return next((at for number, at in acknowledged if number > sequence), None)
