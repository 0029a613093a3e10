"""The hot loop: bytes → one `Entry` of bytes per execution.

It needs only the standard library. `compiled` reads the same with the help of `_scanner.c`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from aurora_analysis.engines.log_events import MARKER, Account, Entry
from aurora_analysis.engines.mysql.fingerprint import quotes_are_closed
from aurora_analysis.engines.mysql.slow_log.clock import Clock
from aurora_analysis.engines.mysql.slow_log.grammar import (
    BANNER,
    CUT_SETTING,
    HEAD,
    HEADER,
    LONGEST_TIME,
    REMAINS,
    SCHEMA,
    before_time,
    header,
)
from aurora_analysis.engines.mysql.slow_log.pieces import JUNK, pieces, whole_entries, with_plain_end
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode

LONGEST_S = 366 * 86400.0
"""Longest sensible Query_time [s]. Servers whose clock was set back have logged centuries: such an entry is lost."""

LONGEST_SENSIBLE = len("9.999999")
"""A time of more characters, or without a point, may be longer than `LONGEST_S`."""

HALF = "\ufffd".encode()
"""Replacement of a character of which a cut left only some bytes."""

LARGEST = 2**63 - 1
"""The largest count that a table holds. Servers have logged 2**64 - 1 for an unknown count."""


def entries(chunks: Iterable[bytes], account: Account, mode: SqlMode = DEFAULT_MODE) -> Iterator[Entry]:
    """Yield every execution of a log.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size. It is read as a stream, in bounded memory.
    account : Account
        Filled while the log is read, complete at the end.
    mode : SqlMode
        The server's sql_mode.
    """
    return read(pieces(chunks, account), State(), account, mode)


@dataclass(slots=True)
class State:
    """State that the next entry takes over from the log before it.

    Attributes
    ----------
    time : bytes or None
        The entry's `# Time`, which stands before its other lines.
    database, named_by : bytes or None
        The log's latest database, and the session whose entry named it.
    is_zoned : bool
        Whether an entry of the log had a time with a zone; the hot loop leaves it alone.
    clock : Clock
        The log's time so far.
    queue : deque of bytes
        Pieces that are not known to be whole entries yet.
    """

    time: bytes | None = None
    database: bytes | None = None
    named_by: bytes | None = None
    is_zoned: bool = False
    clock: Clock = field(default_factory=Clock)
    queue: deque[bytes] = field(default_factory=deque)


def read(found: Iterator[bytes], state: State, account: Account, mode: SqlMode) -> Iterator[Entry]:
    """Yield the executions of a log that is split into pieces; the first piece is what precedes the first entry."""
    state.time = _leading(next(found), account)
    clock = state.clock
    for text, following, is_open in whole_entries(found, account, mode, state.queue):
        found_header = HEADER.match(text) or header(text)
        time = state.time
        if found_header is None or _is_absurd(found_header[9]) or _is_absurd(found_header[10]):
            account.add_loss(len(text))
            account.unknown += text.rstrip().endswith(b";")  # else its header lines may have been cut, too
        else:
            entry = _entry(found_header, text, time, is_open, account, mode)
            if entry.database is not None:
                state.database, state.named_by = entry.database, entry.thread_id
            elif state.database:
                is_inferred = state.named_by is None or entry.thread_id != state.named_by
                entry = entry._replace(database=state.database, database_is_inferred=is_inferred)
            if time is not None:
                clock.log(time)
            at = entry.timestamp
            if at is not None and (clock.local_s is not None or at[:5] != clock.recent):
                at = clock.checked(at, entry.query_time, is_timed=time is not None)
                entry = entry._replace(timestamp=at)
            yield entry
        if b"started with:\n" in text and BANNER.search(text):
            state.database = state.named_by = None  # a server that opens its log names every database again
            clock.zone_s = None  # and may have another time zone
        state.time = following
    if state.time is not None:
        account.add_loss(len(HEAD) + len(state.time))  # the log ends within the header lines of an entry


def _leading(piece: bytes, account: Account) -> bytes | None:
    """Return the first entry's time; before its header are banners, or the rest of a lost entry."""
    text, time = before_time(with_plain_end(piece))
    if time is not None and len(time) > LONGEST_TIME:
        text, time = piece, None
    rest = BANNER.sub(b"", text.lstrip(b"\n")).strip(JUNK)
    if rest:
        account.add_loss(len(rest))
    return time


def _is_absurd(seconds: bytes) -> bool:
    """Return whether a duration is impossible."""
    return (len(seconds) > LONGEST_SENSIBLE or seconds.isdigit()) and float(seconds) > LONGEST_S


def _known(count: bytes | None) -> bytes | None:
    """Return a count that is long; None if it stands for an unknown one."""
    return None if count is None or int(count) > LARGEST else count


def _entry(
    found: re.Match[bytes],
    text: bytes,
    time: bytes | None,
    is_open: bool,
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
    if len(sent) > 18 or (examined is not None and len(examined) > 18):
        sent, examined = _known(sent), _known(examined)
    sql = text[found.end() :]
    cut = False
    if (
        sql[-1:] != b";"
        or is_open
        or MARKER in sql
        or (b"\n" in sql and (b"\n# " in sql or b"started with:" in sql))
    ):
        sql, cut = _sound(sql, account, mode)
        if cut and at is None and re.fullmatch(CUT_SETTING, sql):
            sql = b""
    if len(more) > 1:
        if b"# Query_time: " in more:
            account.add_loss(len(more))
        if schema is None and b" Schema: " in more:
            schema = SCHEMA.findall(more)[0]
    account.events += 1
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
            use if use is not None else schema,
            at,
            mariadb is not None,
            sql,
            cut,
            False,
        ),
    )


_made = tuple.__new__
"""Makes an entry without a check of its length: there are millions."""


def _sound(sql: bytes, account: Account, mode: SqlMode) -> tuple[bytes, bool]:
    """Return a statement without a banner or remains of another entry, and whether it is cut or missing."""
    sql = BANNER.sub(b"", sql).rstrip(b" \t\r\n\0")
    remains = re.search(REMAINS, sql)
    if remains and quotes_are_closed(sql[: remains.start()], mode):
        account.add_loss(len(sql[remains.start() :]))
        sql = sql[: remains.start()]
    kept, marker, _ = sql.partition(MARKER)
    if kept.endswith(HALF):
        kept = kept.removesuffix(HALF)
        account.lost_bytes += len(HALF)
    cut = bool(marker) or not (kept.endswith(b";") and quotes_are_closed(kept, mode))
    account.cut += cut
    account.unmarked += cut and not marker and kept != b""
    return kept, cut
