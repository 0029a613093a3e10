"""The hot loop: bytes → one `Entry` of bytes per execution.

It needs only the standard library. A compiled twin (`_scanner.c`) may replace `entries`, together with the shapes of
`fingerprint.cache`, without a change elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from aurora_analysis.engines.log_events import MARKER, Account, Entry
from aurora_analysis.engines.mysql.fingerprint import quotes_are_closed
from aurora_analysis.engines.mysql.slow_log.clock import Clock
from aurora_analysis.engines.mysql.slow_log.grammar import (
    BANNER,
    HEADER,
    LONGEST_TIME,
    REMAINS,
    SCHEMA,
    before_time,
    header,
)
from aurora_analysis.engines.mysql.slow_log.pieces import pieces, whole_entries
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode

LONGEST_S = 366 * 86400.0
"""Longest sensible Query_time [s]. Servers whose clock was set back have logged centuries: such an entry is lost."""

LONGEST_SENSIBLE = len("9.999999")
"""A Query_time of more characters may be longer than `LONGEST_S`."""


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
    found_pieces = pieces(chunks, account)
    time = _leading(next(found_pieces), account)
    database: bytes | None = None
    named_by: bytes | None = None
    clock = Clock()
    for text, following in whole_entries(found_pieces, account, mode):
        found = HEADER.match(text) or header(text)
        if found is None or (len(found[9]) > LONGEST_SENSIBLE and float(found[9]) > LONGEST_S):
            account.add_loss(len(text))
            account.unknown += 1
        else:
            entry = _entry(found, text, time, account, mode)
            if entry.database is not None:
                database, named_by = entry.database, entry.thread_id
            elif database:
                is_inferred = named_by is None or entry.thread_id != named_by
                entry = entry._replace(database=database, database_is_inferred=is_inferred)
            if time is not None:
                clock.logged = time
            if entry.timestamp is not None and entry.timestamp[:5] != clock.recent:
                entry = entry._replace(timestamp=clock.checked(entry.timestamp, entry.query_time))
            yield entry
        if b" started with:\n" in text and BANNER.search(text):
            database = named_by = None  # a server that opens its log names every database again
        time = following
    if time is not None and len(time) > LONGEST_TIME:
        account.add_loss(len(time))


def _leading(piece: bytes, account: Account) -> bytes | None:
    """Return the first entry's time; before its header are banners, or the rest of a lost entry."""
    text, time = before_time(piece)
    if time is not None and len(time) > LONGEST_TIME:
        text, time = piece, None
    rest = BANNER.sub(b"", text.lstrip(b"\n")).strip()
    if rest:
        account.add_loss(len(rest))
    return time


def _entry(
    found: re.Match[bytes],
    text: bytes,
    time: bytes | None,
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
    """Return a statement without a banner or remains of another entry behind it, and whether it was cut."""
    sql = BANNER.sub(b"", sql).rstrip(b"\n")
    remains = REMAINS.search(sql)
    if remains and quotes_are_closed(sql[: remains.start()], mode):
        account.add_loss(len(sql[remains.start() :]))
        sql = sql[: remains.start()]
    kept, marker, _ = sql.partition(MARKER)
    cut = bool(marker) or not (kept.endswith(b";") or not kept)
    account.cut += cut
    account.unmarked += cut and not marker
    return kept, cut
