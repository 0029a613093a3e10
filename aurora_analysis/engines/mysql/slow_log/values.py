"""Entries → events: the values of an execution, with its times in UTC."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

from aurora_analysis.engines.log_events import Entry, Event, decoded
from aurora_analysis.engines.mysql.fingerprint import (
    FingerprintCache,
    Statement,
    tags,
)
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode

_ZONED = re.compile(rb"(20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


def events(entries: Iterable[Entry], mode: SqlMode = DEFAULT_MODE) -> Iterator[Event]:
    """Yield the entries as events: values parsed, times in UTC, statements with their digests.

    Parameters
    ----------
    entries : iterable of Entry
        What the scanner found, in the log's order.
    mode : SqlMode
        The server's sql_mode.
    """
    statements = FingerprintCache(mode)
    zoned = False
    for entry in entries:
        zoned = zoned or is_zoned(entry)
        yield event(entry, statements(entry.sql), zoned, mode)


def is_zoned(entry: Entry) -> bool:
    """Return whether the entry has a time with a zone."""
    return entry.time is not None and _ZONED.fullmatch(entry.time) is not None


def event(entry: Entry, statement: Statement, zoned: bool, mode: SqlMode) -> Event:
    """Return an entry as an event; `zoned` as in `ended`."""
    ended_us, precision_s = ended(entry, zoned)
    query_time_s = float(entry.query_time)
    return Event(
        None if ended_us is None else ended_us - round(query_time_s * 1e6),
        ended_us,
        precision_s,
        _name(entry.user),
        _name(entry.host),
        _name(entry.database.strip(b"`")) if entry.database else None,
        entry.database_is_inferred,
        int(entry.thread_id or 0),
        query_time_s,
        float(entry.lock_time or 0),
        None if entry.rows_sent is None else int(entry.rows_sent),
        None if entry.rows_examined is None else int(entry.rows_examined),
        _extras(entry.more),
        tags(decoded(entry.sql), mode) if _has_comment(entry.sql) else {},
        statement,
        entry.sql,
        entry.cut,
    )


def ended(entry: Entry, zoned: bool) -> tuple[int | None, float | None]:
    """Return when an execution ended [us since 1970, UTC], and how exact that is [s].

    Parameters
    ----------
    entry : Entry
        The execution.
    zoned : bool
        Whether an earlier entry of the log had a time with a zone. Without a `# Time` of its own, an entry of such
        a log has only `SET timestamp`, which may be the start or the end.
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
    """Return a zoned time without its fraction [us since 1970]; None if the calendar has no such time."""
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
    """Return the further fields of an entry's header lines, under the log's own names."""
    if len(more) < 2:
        return {}
    lines = [line for line in more.split(b"\n") if not line.startswith(b"# explain:")]
    fields = re.findall(rb"([A-Z]\w*): (\S+)", b"\n".join(lines))
    return {decoded(name): _number(decoded(value)) for name, value in fields}


@lru_cache(maxsize=4096)
def _number(text: str) -> int | float | str:
    if text.isdecimal():
        return int(text)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


_name = lru_cache(maxsize=4096)(decoded)
"""Decode a user, host or database. They are few, so each is held once."""
