"""One logged execution, and the account of a log's bytes: the same for every engine."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aurora_analysis.engines.statement import Statement

MARKER = b" [Your log message was truncated]"
"""Text that the RDS file API writes in place of the rest of a line that it cut (aws-sdk-js#1463)."""


@dataclass
class Account:
    """Account of a log's bytes: read, damaged or lost.

    Attributes
    ----------
    bytes : int
        Bytes read.
    events : int
        Executions read.
    cut : int
        Entries that were read but whose text ends early.
    repaired : int
        Header lines that lost nothing but a marker inside them.
    lost : int
        Entries that were found only in part.
    lost_bytes : int
        Bytes that belong to no entry.
    untimed : int
        Executions that the store cannot take, since the log does not give their time.
    quoted : int
        Lines that look like headers but were text inside a statement.
    unknown : int
        Entries, counted in `lost`, whose header lines no supported server writes, or with an impossible Query_time.
    unmarked : int
        Entries, counted in `cut`, that end early without the marker that RDS writes.
    without_text : int
        Durations that the server logged without a statement, as PostgreSQL does with log_duration.
    """

    bytes: int = 0
    events: int = 0
    cut: int = 0
    repaired: int = 0
    lost: int = 0
    lost_bytes: int = 0
    untimed: int = 0
    quoted: int = 0
    unknown: int = 0
    unmarked: int = 0
    without_text: int = 0

    def __add__(self, other: Account) -> Account:
        return Account(*(getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)))

    def __sub__(self, other: Account) -> Account:
        return Account(*(getattr(self, f.name) - getattr(other, f.name) for f in dataclasses.fields(self)))

    @property
    def is_whole(self) -> bool:
        """Whether every byte was read as the server wrote it."""
        return not any(self._damages().values())

    @property
    def damage(self) -> int:
        """Number of entries that may be damaged [entries]."""
        return self.cut + self.lost + self.untimed + self.quoted

    def add_loss(self, size: int) -> None:
        """Count a lost entry by the size of its remains [bytes]."""
        self.lost += 1
        self.lost_bytes += size

    def __str__(self) -> str:
        parts = [f"{self.events:,} events of {self.bytes:,} bytes"]
        parts += [f"{count:,} {name}" for name, count in self._damages().items() if count]
        parts += [f"{self.without_text:,} durations without a statement"] if self.without_text else []
        return ", ".join(parts)

    def _damages(self) -> dict[str, int]:
        return {
            "repaired": self.repaired,
            "cut": self.cut,
            "lost": self.lost,
            "bytes unread": self.lost_bytes,
            "left out, whose time the log does not give": self.untimed,
            "headers inside a text": self.quoted,
        }


class Entry(NamedTuple):
    """One logged execution, as bytes of the log.

    `time` is None if the entry has no `# Time` of its own. The server writes `use` only if the session has a database
    and it differs from the previous entry's. Without one, the session has either the log's latest database or none:
    unless the session itself named that database, `database_is_inferred`. Servers before 5.1 may omit Rows_examined.
    PostgreSQL logs neither lock time nor rows; `more` is the application's name there.
    """

    time: bytes | None
    user: bytes
    host: bytes
    thread_id: bytes | None
    query_time: bytes
    lock_time: bytes | None
    rows_sent: bytes | None
    rows_examined: bytes | None
    more: bytes
    database: bytes | None
    timestamp: bytes | None
    timestamp_is_start: bool
    sql: bytes
    cut: bool
    database_is_inferred: bool


class Event(NamedTuple):
    """One execution. Times are in microseconds since 1970 (UTC); None if the log does not give them."""

    started_us: int | None
    ended_us: int | None
    time_precision_s: float | None
    user: str
    host: str
    database: str | None
    database_is_inferred: bool
    thread_id: int
    query_time_s: float
    lock_time_s: float | None
    rows_sent: int | None
    rows_examined: int | None
    extras: dict[str, Any]
    tags: dict[str, str]
    statement: Statement
    sql: bytes
    cut: bool
    application: str | None = None


class Vacuum(NamedTuple):
    """A report of autovacuum. Times are in microseconds since 1970 (UTC); transaction ids are as the log writes them."""

    time_us: int | None
    started_at: int | None
    database: str
    table: str
    removed: int
    dead_not_removable: int | None
    cutoff: int | None
    next_xid: int | None
    elapsed_s: float


class ServerEvent(NamedTuple):
    """Something that happened, which the server logged: a category of `events`, and a message without literals."""

    time_us: int | None
    category: str
    message: str


Logged = Entry | Vacuum | ServerEvent
"""The records of a log."""


FIGURES = Event._fields[2:12]


def record(event: Event, *, with_sql: bool = False) -> dict[str, Any]:
    """Return an event as plain values, for one line of JSON.

    Parameters
    ----------
    event : Event
        The execution.
    with_sql : bool
        Include the statement's text, with its literals, as `sql`.
    """
    values: dict[str, Any] = {"started_at": _iso(event.started_us), "ended_at": _iso(event.ended_us)}
    values |= {name: getattr(event, name) for name in FIGURES}
    if not event.database_is_inferred:
        del values["database_is_inferred"]
    values |= {"application": event.application} if event.application is not None else {}
    values |= {"digest": event.statement.digest, "fingerprint": event.statement.fingerprint}
    values |= {"tags": event.tags, "extras": event.extras} | ({"cut": True} if event.cut else {})
    return values | ({"sql": decoded(event.sql)} if with_sql else {})


def decoded(value: bytes) -> str:
    """Return a log's bytes as text; what is not UTF-8 becomes U+FFFD."""
    return value.decode("utf-8", "replace")


def _iso(us: int | None) -> str | None:
    if us is None:
        return None
    second = datetime.fromtimestamp(us // 1_000_000, UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{us % 1_000_000:06d}Z"
