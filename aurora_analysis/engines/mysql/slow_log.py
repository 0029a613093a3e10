"""The slow log of every MySQL family member: text → entries → frames, and every byte accounted for.

Two layers. `entries` is the scanner: bytes in, one `Entry` of bytes for each logged execution; it needs only
the standard library, and a compiled twin may take its place. `frames` turns entries into the tables
`slow_queries` and `statements`.

What the server writes is told in the MySQL reference manual, "The Slow Query Log", and in MariaDB's "Slow
Query Log Overview". What is easily got wrong:

- A `# Time` with a zone is when the entry was logged: the end. `SET timestamp` is the end in MySQL 5.x and the
  *start* since MySQL 8.0.14; so the end is taken from `# Time` where that has a zone, and from `SET timestamp`
  (to a second) where it has none. In MariaDB (10.11.19 and 11.8.9, tried) both are the start: the end is
  Query_time later. MySQL 5.6.24 and 9.7.4 were tried too.
- `use db;` is written only where the database differs from that of the entry before it: it is the log's state.
- A statement may hold lines that look like headers. A header inside an open quote is text.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from aurora_analysis.engines.mysql import fingerprint
from aurora_analysis.engines.mysql.fingerprint import DEFAULT_MODE, SqlMode, Statement

if TYPE_CHECKING:
    import pandas as pd

MARKER = b" [Your log message was truncated]"
"""What the RDS file API writes where it cut a line (aws-sdk-js#1463)."""

LONGEST_TEXT = 8 * 2**20
"""A statement that is longer is kept to its first MiB: it bounds what a broken log can make us hold [bytes]."""

BATCH = 20_000
"""How many executions make a frame, unless told otherwise: some 15 MB."""

LONGEST_QUOTE = 16
"""A quote that is still open after so many headers, or LONGEST_TEXT, was cut, and the headers are headers."""


LARGEST = 2**63 - 1
"""The largest count that a table holds; servers have logged 2**64 - 1 for a count that they did not know."""


class Entry(NamedTuple):
    """One logged execution, as bytes of the log. `time` is None where the entry has no `# Time` of its own."""

    time: bytes | None
    user: bytes
    host: bytes
    thread_id: bytes | None
    query_time: bytes
    lock_time: bytes
    rows_sent: bytes
    rows_examined: bytes
    more: bytes
    database: bytes | None
    timestamp: bytes | None
    timestamp_is_start: bool
    sql: bytes
    cut: bool


@dataclass
class Account:
    """What became of a log's bytes: nothing is lost silently.

    `cut` entries are there, but their text ends early; `repaired` ones lost nothing but a marker; `lost` ones
    are known only by what is left of them; `quoted` headers were text inside a statement.
    """

    bytes: int = 0
    events: int = 0
    cut: int = 0
    repaired: int = 0
    lost: int = 0
    lost_bytes: int = 0
    quoted: int = 0

    def __add__(self, other: Account) -> Account:
        return Account(*(getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)))

    @property
    def is_whole(self) -> bool:
        """Whether every byte was read as it was written."""
        return not any(self._harm().values())

    @property
    def damage(self) -> int:
        """How many entries may have come to harm [entries]."""
        return self.cut + self.lost + self.quoted

    def __str__(self) -> str:
        told = [f"{self.events:,} events of {self.bytes:,} bytes"]
        told += [f"{count:,} {name}" for name, count in self._harm().items() if count]
        return ", ".join(told)

    def _harm(self) -> dict[str, int]:
        return {
            "repaired": self.repaired,
            "cut": self.cut,
            "lost": self.lost,
            "bytes unread": self.lost_bytes,
            "headers inside a text": self.quoted,
        }


_SEPARATOR = b"\n# User@Host: "
_TIME = b"\n# Time: "

_HEADER = re.compile(
    rb"""
    ([^\[\n]{,255}+)\[([^\]\n]{,255}+)\]\ @\ *([^\[\n]{,255}?)\ *\[([^\]\n]{,255})\](?:\s+Id:\s*(\d{1,18}))?[^\n]*\n
    (?:\#\ (?:Thread_id:\ (\d{1,18})\ +)?Schema:\ ([^\n\[]*?(?:\n[^\#\n\[][^\n\[]*?)?)(?:\ \ (QC_hit:)?[^\n\[]*)?\n)? # Percona; MariaDB
    \#\ Query_time:\ (\d{1,9}+\.?+\d*+)\s++Lock_time:\ (\d{1,9}+\.?+\d*+)\s++Rows_sent:\ (\d++)\s++Rows_examined:\ (\d++)
    ([^\n]*+(?:\n|\Z)(?:\#(?!\ administrator\ command)[^\n]*+(?:\n|\Z))*+)                       # more fields
    (?:use\ ([^\n]*?|[^\n\[]{,255}\n(?!SET\ )[^\n\[]{,255}?);(?:\n|\Z))?                           # a name may have a line end
    (?:SET\ [^\n;]*?timestamp=(\d{1,10})(?:\.\d+)?;(?:\n|\Z))?
    """,
    re.VERBOSE,
)
_SCHEMA = re.compile(rb" Schema: ([^\n]*?)(?: Rows_affected:|\n|\Z)")
"""Where Percona Server writes it under log_slow_extra: among the figures."""
_BANNER = re.compile(
    rb"(?:\A|(?<=\n))[^\n]*, Version: [^\n]*started with:\n[^\n]*\nTime[ \t]+Id[ \t]+Command[ \t]+Argument[^\n]*(?:\n|\Z)"
)
_REMAINS = re.compile(rb"(?<=;)(?:\n#[^\n]*)*?\n# (?:User@Host|Query_time|Time): ")
_HEADER_LINE = re.compile(rb"#( +[\w@]+: .*)?|use [^;]+;|SET [^;]*timestamp=\d+;", re.DOTALL)


def entries(chunks: Iterable[bytes], account: Account, mode: SqlMode = DEFAULT_MODE) -> Iterator[Entry]:
    """Every execution of a log that arrives in pieces of any size; `account` is complete at the end."""
    pieces = _pieces(chunks, account)
    time, database = _leading(next(pieces), account), None
    for text, following in _whole_pieces(pieces, account, mode):
        found = _HEADER.match(text)
        if found is None:
            _account_for_loss(text, account)
        else:
            entry = _entry(found, text, time, database, account, mode)
            database = entry.database
            yield entry
        time = following


def _leading(piece: bytes, account: Account) -> bytes | None:
    """The first entry's time, from what precedes its header: banners, or the rest of an entry that is lost."""
    text, time = _before_time(piece)
    rest = _BANNER.sub(b"", text.lstrip(b"\n")).strip()
    if rest:
        _account_for_loss(rest, account)
    return time


def _entry(
    found: re.Match[bytes],
    text: bytes,
    time: bytes | None,
    database: bytes | None,
    account: Account,
    mode: SqlMode,
) -> Entry:
    (
        user,
        login,
        host,
        address,
        id_,
        thread_id,
        schema,
        mariadb,
        query,
        lock,
        sent,
        examined,
        more,
        use,
        at,
    ) = found.groups()
    sql = text[found.end() :]
    cut = False
    if sql[-1:] != b";" or MARKER in sql or (b"\n" in sql and (b"\n# " in sql or b"started with:" in sql)):
        sql, cut = _sound(sql, account, mode)
    if len(more) > 1:
        if b"# Query_time: " in more:
            _account_for_loss(more, account)
        if schema is None and b" Schema: " in more:
            schema = _SCHEMA.findall(more)[0]
    account.events += 1
    database = schema if schema is not None else use if use is not None else database
    return _made(
        Entry,
        (
            time,
            user or login,
            host or address,
            id_ or thread_id,
            query,
            lock,
            sent,
            examined,
            more,
            database,
            at,
            mariadb is not None,
            sql,
            cut,
        ),
    )


_made = tuple.__new__
"""An entry without a look at its length: there are millions."""


def _sound(sql: bytes, account: Account, mode: SqlMode) -> tuple[bytes, bool]:
    """A statement without the banner or the remains of another entry that follow it; and whether it was cut."""
    sql = _BANNER.sub(b"", sql).rstrip(b"\n")
    remains = _REMAINS.search(sql)
    if remains and fingerprint.quotes_are_closed(sql[: remains.start()], mode):
        _account_for_loss(sql[remains.start() :], account)
        sql = sql[: remains.start()]
    kept, marker, _ = sql.partition(MARKER)
    cut = bool(marker) or not (kept.endswith(b";") or not kept)
    account.cut += cut
    return kept, cut


def _account_for_loss(text: bytes, account: Account) -> None:
    account.lost += 1
    account.lost_bytes += len(text)


def _before_time(piece: bytes) -> tuple[bytes, bytes | None]:
    """A piece without the `# Time` line at its end, which belongs to the next; and that time."""
    at = piece.rfind(_TIME)
    if at < 0:
        return piece, None
    time = piece[at + len(_TIME) :].rstrip()
    return (piece, None) if b"\n" in time else (piece[:at], time)


# From chunks to whole pieces: what lies between one `# User@Host` header and the next.


def _pieces(chunks: Iterable[bytes], account: Account) -> Iterator[bytes]:
    """What precedes the first header, then each entry from its user on."""
    pending, started = b"\n", False
    for chunk in _lines_ended_alike(chunks, account):
        *whole, last = _repaired(pending + chunk, account).split(_SEPARATOR)
        yield from whole[started:]
        started = started or bool(whole)
        pending = _bounded(_SEPARATOR + last if started else last, account)
    *whole, last = _repaired(pending + b"\n", account).split(_SEPARATOR)
    yield from [*whole, last][started:]


def _lines_ended_alike(chunks: Iterable[bytes], account: Account) -> Iterator[bytes]:
    """The chunks; with LF for CRLF where the log's first line ends in CRLF."""
    chunks = iter(chunks)
    start = b""
    while b"\n" not in start and len(start) < LONGEST_TEXT and (chunk := next(chunks, b"")):
        start += chunk
    account.bytes += len(start)
    rest = _counted(chunks, account)
    crlf = start.partition(b"\n")[0].endswith(b"\r")
    return _lf(chain([start], rest)) if crlf else chain([start], rest)


def _counted(chunks: Iterable[bytes], account: Account) -> Iterator[bytes]:
    for chunk in chunks:
        account.bytes += len(chunk)
        yield chunk


def _lf(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        text = held + chunk
        held = b"\r" if text.endswith(b"\r") else b""
        yield text[: len(text) - len(held)].replace(b"\r\n", b"\n")
    yield held


def _bounded(pending: bytes, account: Account) -> bytes:
    """The entry that is not complete yet; one that grows beyond all bounds is cut, and marked so."""
    if len(pending) <= LONGEST_TEXT:
        return pending
    start, end = pending[: 2**20], pending[-len(_SEPARATOR) :]
    account.lost_bytes += len(pending) - len(start) - len(MARKER) - len(end)
    return start + MARKER + end


def _repaired(text: bytes, account: Account) -> bytes:
    """The text without the markers that were put into header lines: those lines are whole without them."""
    if MARKER not in text:
        return text
    *lines, last = text.split(b"\n")
    return b"\n".join([*(_repaired_line(line, account) for line in lines), last])


def _repaired_line(line: bytes, account: Account) -> bytes:
    if MARKER not in line:
        return line
    without = line.replace(MARKER, b"")
    if not _HEADER_LINE.fullmatch(without):
        return line
    account.repaired += 1
    return without


def _whole_pieces(
    pieces: Iterable[bytes], account: Account, mode: SqlMode
) -> Iterator[tuple[bytes, bytes | None]]:
    """Each entry's text with the time of the next: a header inside a quote does not end an entry."""
    queue: deque[bytes] = deque()
    for piece in pieces:
        text, time = _before_time(piece)
        odd = text.count(b"'") & 1 or text.count(b'"') & 1
        if not queue and text[-1:] == b";" and not (odd and (_is_odd(text, b"'") or _is_odd(text, b'"'))):
            yield text, time
            continue
        queue.append(piece)
        while queue and (length := _length(queue, mode)):
            yield _taken(queue, length, account)
    while queue:
        yield _taken(queue, _length(queue, mode) or 1, account)


def _is_odd(text: bytes, quote: bytes) -> bool:
    """Whether so many quotes, those after a backslash left out, suggest that one is open."""
    return text.count(quote) & 1 == 1 and text.count(b"\\" + quote) & 1 == 0


def _taken(queue: deque[bytes], length: int, account: Account) -> tuple[bytes, bytes | None]:
    account.quoted += length - 1
    return _before_time(_SEPARATOR.join([queue.popleft() for _ in range(length)]))


def _length(queue: deque[bytes], mode: SqlMode) -> int:
    """How many pieces are the entry at the head of the queue; 0 where one more has to be seen."""
    if MARKER in queue[0] or len(queue) > LONGEST_QUOTE or sum(map(len, queue)) > LONGEST_TEXT:
        return 1
    text = b""
    for length, piece in enumerate(queue, 1):
        text = text + _SEPARATOR + piece if text else piece
        ended = _ended_by_semicolon(text) or (length < len(queue) and _HEADER.match(queue[length]))
        if ended and fingerprint.quotes_are_closed(text, mode):
            return length
    return 0


def _ended_by_semicolon(text: bytes) -> bool:
    return _BANNER.sub(b"", _before_time(text)[0]).rstrip(b"\n").endswith(b";")


# From entries to frames.

_ZONED = re.compile(rb"([12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")


class Event(NamedTuple):
    """One execution, its times in microseconds since 1970 (UTC); None where the log does not tell."""

    started_us: int | None
    ended_us: int | None
    time_precision_s: float | None
    user: str
    host: str
    database: str | None
    thread_id: int
    query_time_s: float
    lock_time_s: float
    rows_sent: int
    rows_examined: int
    extras: dict[str, Any]
    tags: dict[str, str]
    statement: Statement
    sql: bytes
    cut: bool


def events(entries: Iterable[Entry], mode: SqlMode = DEFAULT_MODE) -> Iterator[Event]:
    """The entries with their values read, their times in UTC and their statements' digests."""
    statements = fingerprint.FingerprintCache(mode)
    zoned = False
    for entry in entries:
        zoned = zoned or (entry.time is not None and _ZONED.fullmatch(entry.time) is not None)
        yield _event(entry, statements(entry.sql), zoned, mode)


def _event(entry: Entry, statement: Statement, zoned: bool, mode: SqlMode) -> Event:
    ended_us, precision_s = ended(entry, zoned)
    query_time_s = float(entry.query_time)
    return Event(
        None if ended_us is None else ended_us - round(query_time_s * 1e6),
        ended_us,
        precision_s,
        _name(entry.user),
        _name(entry.host),
        _name(entry.database.strip(b"`")) if entry.database else None,
        int(entry.thread_id or 0),
        query_time_s,
        float(entry.lock_time),
        min(int(entry.rows_sent), LARGEST),
        min(int(entry.rows_examined), LARGEST),
        _extras(entry.more),
        fingerprint.tags(_text(entry.sql), mode) if _has_comment(entry.sql) else {},
        statement,
        entry.sql,
        entry.cut,
    )


def ended(entry: Entry, zoned: bool) -> tuple[int | None, float | None]:
    """When the execution ended [us since 1970], and how exact that is [s].

    `zoned`: the log has written zoned times before. An entry of such a log that lacks its own has only
    `SET timestamp`, of which nothing tells whether it is the start or the end.
    """
    time = entry.time if entry.time is not None else _extra_end(entry.more)
    found = _ZONED.fullmatch(time) if time is not None else None
    second_us = _second_us(found[1] + found[3]) if found else None
    if found and second_us is not None:
        return second_us + round(float(found[2] or 0) * 1e6), 1e-6
    if entry.timestamp is None:
        return None, None
    logged_us, query_time_s = int(entry.timestamp) * 1_000_000, float(entry.query_time)
    if entry.timestamp_is_start:
        return logged_us + round(query_time_s * 1e6), 1.0
    return logged_us, 1.0 + query_time_s * zoned


@lru_cache(maxsize=4096)
def _second_us(text: bytes) -> int | None:
    """A zoned time without its fraction [us since 1970]; None where the calendar has no such time."""
    try:
        return int(datetime.fromisoformat(text.decode()).timestamp()) * 1_000_000
    except ValueError:
        return None


def _extra_end(more: bytes) -> bytes | None:
    found = re.search(rb" End: (\S+)", more)
    return found[1] if found else None


def _has_comment(sql: bytes) -> bool:
    return b"/*" in sql or b"--" in sql or b"#" in sql


def _extras(more: bytes) -> dict[str, Any]:
    """The further fields of an entry's header lines, by the log's own names."""
    if len(more) < 2:
        return {}
    lines = [line for line in more.split(b"\n") if not line.startswith(b"# explain:")]
    fields = re.findall(rb"([A-Z]\w*): (\S+)", b"\n".join(lines))
    return {_text(name): _number(_text(value)) for name, value in fields}


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


_name = lru_cache(maxsize=4096)(_text)
"""Users, hosts and databases are few: each is held once."""


def record(event: Event, *, with_sql: bool = False) -> dict[str, Any]:
    """An event as plain values, for one line of JSON. The statement's text only where it is asked for."""
    told: dict[str, Any] = {"started_at": _iso(event.started_us), "ended_at": _iso(event.ended_us)}
    told |= {name: getattr(event, name) for name in _FIGURES}
    told |= {"digest": event.statement.digest, "fingerprint": event.statement.fingerprint}
    told |= {"tags": event.tags, "extras": event.extras} | ({"cut": True} if event.cut else {})
    return told | ({"sql": _text(event.sql)} if with_sql else {})


def _iso(us: int | None) -> str | None:
    if us is None:
        return None
    second = datetime.fromtimestamp(us // 1_000_000, UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{us % 1_000_000:06d}Z"


Columns = dict[str, Sequence[Any]]


@dataclass(frozen=True)
class Batch:
    """A batch of a log as columns of the tables `slow_queries`, `statements` and, where they are asked for, `examples`.

    Times are in microseconds since 1970 (UTC).
    """

    slow_queries: Columns
    statements: Columns
    examples: Columns


def batches(
    entries: Iterable[Entry],
    account: Account,
    *,
    instance: str | None = None,
    mode: SqlMode = DEFAULT_MODE,
    batch: int = BATCH,
    examples: bool = False,
) -> Iterator[Batch]:
    """The entries in batches of at most `batch` executions; `account` is complete at the end.

    Literals go nowhere, unless `examples` asks for the text of one execution of each digest.

    An entry without any time, and one that the end of the log cut, cannot be told apart from others and is
    left out: the account has it as lost.
    """
    seen = _Seen()
    kept: dict[str, Event] = {}
    stored = _storable(events(entries, mode), account)
    stored = _remembered(stored, kept) if examples else stored
    while rows := [_row(event, seen.before(event)) for event in islice(stored, batch)]:
        columns = dict(zip(_COLUMNS, zip(*rows)))
        yield Batch(_slow_queries(columns, instance), _statements(columns), _examples(kept, instance))
        kept.clear()


@dataclass(frozen=True)
class Frames:
    """A batch as frames."""

    slow_queries: pd.DataFrame
    statements: pd.DataFrame
    examples: pd.DataFrame


def frames(chunks: Iterable[bytes], *, account: Account | None = None, **how: Any) -> Iterator[Frames]:
    """The log as frames, as `batches` makes them; `account` (if given) is complete at the end."""
    account = account or Account()
    return entry_frames(entries(chunks, account, how.get("mode", DEFAULT_MODE)), account, **how)


def entry_frames(entries: Iterable[Entry], account: Account, **how: Any) -> Iterator[Frames]:
    """The entries as `frames`, for a log that is no text."""
    for batch in batches(entries, account, **how):
        yield Frames(_frame(batch.slow_queries), _frame(batch.statements), _frame(batch.examples))


_TIMES = {"started_at", "ended_at", "first_seen", "last_seen", "time"}


def _frame(columns: Columns) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    def times(micros: Sequence[int]) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(np.array(micros, dtype="datetime64[us]")).tz_localize("UTC")

    return pd.DataFrame(
        {name: times(values) if name in _TIMES else values for name, values in columns.items()}
    )


def _remembered(events: Iterable[Event], kept: dict[str, Event]) -> Iterator[Event]:
    """The events; `kept` has the first of each digest."""
    for event in events:
        kept.setdefault(event.statement.digest, event)
        yield event


def _storable(events: Iterable[Event], account: Account) -> Iterator[Event]:
    held = None
    for event in events:
        if held is not None:
            yield held
        held = event if event.ended_us is not None else None
        account.lost += held is None
    if held is not None and held.cut:
        account.cut, account.lost = account.cut - 1, account.lost + 1
    elif held is not None:
        yield held


_FIGURES = Event._fields[2:11]
_COLUMNS = ("started_at", "ended_at", *_FIGURES, "ordinal", "tags", "extras", "statement")
"""What the tables keep of an event: not its text."""


def _row(event: Event, ordinal: int) -> tuple[Any, ...]:
    return (*event[:11], ordinal, _json(event.tags), _json(event.extras), event.statement)


def _slow_queries(columns: Mapping[str, Any], instance: str | None) -> Columns:
    digests = [statement.digest for statement in columns["statement"]]
    told = {name: values for name, values in columns.items() if name != "statement"} | {"digest": digests}
    return told if instance is None else told | {"instance": [instance] * len(digests)}


EXAMPLE_BYTES = 4096
"""As much as Performance Insights keeps of a statement."""


def _examples(kept: Mapping[str, Event], instance: str | None) -> Columns:
    """One execution of each digest, with its text."""
    return {
        "time": [event.ended_us for event in kept.values()],
        "instance": [instance] * len(kept),
        "digest": list(kept),
        "query_time_s": [event.query_time_s for event in kept.values()],
        "text": [_text(event.sql[:EXAMPLE_BYTES]) for event in kept.values()],
    }


def _statements(columns: Mapping[str, Any]) -> Columns:
    """One row for each digest: its fingerprint, and the first and last time that it was seen."""
    ended: dict[tuple[str, str], list[int]] = {}
    for (digest, text, _), ended_us in zip(columns["statement"], columns["ended_at"]):
        ended.setdefault((digest, text), []).append(ended_us)
    digests, texts = zip(*ended)
    return {
        "digest": digests,
        "fingerprint": texts,
        "join_key": [fingerprint.join_key(text) for text in texts],
        "kind": [fingerprint.kind(text) for text in texts],
        "first_seen": [min(times) for times in ended.values()],
        "last_seen": [max(times) for times in ended.values()],
    }


def _json(value: dict[str, Any]) -> str | None:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else None


class _Seen:
    """How often the same execution was seen within the last seconds of the log, across batches.

    Entries that are the same in all that identifies them are numbered. Two generations bound the memory, each of at
    most HORIZON_US of log time and MOST entries; a log that repeats itself later (files joined that overlap)
    numbers from 0 again, and so merges.
    """

    HORIZON_US = 10_000_000
    MOST = 20_000

    def __init__(self) -> None:
        self._recent: dict[tuple[Any, ...], int] = {}
        self._older: dict[tuple[Any, ...], int] = {}
        self._since = 0

    def before(self, event: Event) -> int:
        """How many executions of the same identity came before this one."""
        assert event.ended_us is not None
        is_recent = 0 <= event.ended_us - self._since < self.HORIZON_US
        if not is_recent or len(self._recent) >= self.MOST:
            self._older, self._recent, self._since = self._recent, {}, event.ended_us
        figures = (event.query_time_s, event.lock_time_s, event.statement.digest)
        identity = (event.ended_us, event.thread_id, *figures)
        count = self._recent.get(identity, self._older.get(identity, 0))
        self._recent[identity] = count + 1
        return count
