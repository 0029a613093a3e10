"""Live evidence of any engine: an instance's sample, its open transactions, and the session that blocks cleanup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

SNAPSHOT_LEVELS = {"REPEATABLE READ", "SERIALIZABLE"}
"""Isolation levels at which a transaction keeps the view of its first read; at others each statement has its own."""


class ConnectionLost(Exception):
    """The connection broke; the next query opens a new one."""


class Transaction(NamedTuple):
    """An open transaction with its session; `started_at` [s since 1970]."""

    thread_id: int
    user: str
    host: str
    command: str
    started_at: float
    isolation_level: str
    rows_modified: int | None
    query: str | None
    since: float | None = None
    """Start of the session's present state, a running statement or idling [s since 1970, whole seconds]."""
    client: str | None = None
    has_locks: bool = False
    """Whether the engine holds locks on rows or tables for it."""
    number: int = 0
    """Its own transaction number; 0 if it has none because it only reads."""
    database: str | None = None
    needs: int | None = None
    """Oldest transaction number that it needs; None if it needs none, or the server does not show it."""
    has_written: bool = False

    @property
    def view_since(self) -> float:
        """Earliest possible start of its read view [s since 1970].

        At READ COMMITTED a view belongs to the running statement, so it cannot be older than that statement, unless
        the server shows the number that the session needs: a cursor keeps its view between statements.
        """
        if self.isolation_level in SNAPSHOT_LEVELS or self.needs is not None:
            return self.started_at
        return max(self.started_at, self.since or self.started_at)


class Holder(NamedTuple):
    """A session or transaction that blocks cleanup: the lowest transaction number needed, and who needs it.

    `number` is the transaction number it needs, `how` states why it needs it. `transaction` is None if only the
    instance is known. `kill` is the SQL statement that ends it, for a person to run; None if it is unknown.
    """

    instance: str
    number: int
    how: str
    transaction: Transaction | None
    kill: str | None = None
    name: str = ""
    """Name of a transaction that no session owns, such as `prepared XA transaction 'g1'`."""
    confidence: float = 1.0
    """Probability that it blocks cleanup [0 to 1]."""
    tied: tuple[Holder, ...] = ()
    """Others that need the same number: cleanup goes on only after all of them have ended."""
    rivals: tuple[Holder, ...] = ()
    """Other explanations, the likeliest first."""
    since: float | None = None
    """When a holder without a session began, if the server shows it [s since 1970]."""


class CanaryStatements(NamedTuple):
    """SQL of a trial's canary: `create` and `drop` its table, and one `beat`, which reads and updates its row."""

    create: tuple[str, ...]
    beat: tuple[str, ...]
    drop: str


class InstanceSample(Protocol):
    """One instance at one moment, as far as every engine has it; the engine's `cleanup` reads the rest."""

    @property
    def engine_name(self) -> str:
        """Name that leads to the engine's modules."""

    @property
    def time(self) -> float:
        """When the sample was taken [s since 1970]."""

    @property
    def instance(self) -> str:
        """Name of the instance."""

    @property
    def role(self) -> str:
        """The instance is a "writer" or a "reader"."""

    @property
    def version(self) -> str:
        """The server's version."""

    @property
    def server(self) -> str:
        """Host name and port: two addresses may lead to the same server."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Counts since the server's start; `uptime` [s]."""

    @property
    def transactions(self) -> Sequence[Transaction] | None:
        """The open transactions; None if they may not be read."""

    @property
    def clock_ahead_s(self) -> float:
        """Seconds by which the server's clock is ahead of ours."""

    @property
    def writes(self) -> int:
        """Statements that write, since the server started to count."""


class Probe(Protocol):
    """Samples one instance: see the `Probe` of each engine's `live`."""

    name: str
    role: str
    skipped: dict[str, str]

    @property
    def engine_name(self) -> str:
        """Name that leads to the engine's modules."""

    def sample(self) -> InstanceSample:
        """Sample the instance; raise `ConnectionLost` if the server does not answer."""

    def rows(self, name: str, **values: Any) -> Sequence[Any] | None:
        """Run one of the engine's queries; None if a grant or the table is missing."""

    def abort(self) -> None:
        """Break the connection from another thread, so that a statement that waits for the server ends."""

    def close(self) -> None:
        """Close the connection."""
