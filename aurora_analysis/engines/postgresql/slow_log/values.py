"""Entries → events: the values of an execution, with its times in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from aurora_analysis.engines.log_events import Entry, Event, Logged, ServerEvent, Vacuum, decoded
from aurora_analysis.engines.postgresql.fingerprint import FingerprintCache, Statement, tags
from aurora_analysis.engines.postgresql.slow_log.clock import Moment, moment
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode


def events(found: Iterable[Logged], mode: SqlMode = DEFAULT_MODE) -> Iterator[Event | Vacuum | ServerEvent]:
    """Yield the entries as events: values parsed, times in UTC, statements with their digests; the rest as it is.

    Parameters
    ----------
    found : iterable of Entry, Vacuum or ServerEvent
        What a log holds, in its order.
    mode : SqlMode
        Without meaning for PostgreSQL.
    """
    statements = FingerprintCache()
    for one in found:
        yield _event(one, statements(one.sql)) if isinstance(one, Entry) else one


def ended(entry: Entry, zoned: bool) -> Moment:
    """Return when an execution ended [us since 1970, UTC], and how exact that is [s]; None if the zone is not known."""
    return moment(entry.time or b"")


def _event(entry: Entry, statement: Statement) -> Event:
    ended_us, precision_s = ended(entry, False)
    query_time_s = float(entry.query_time)
    return Event(
        None if ended_us is None else ended_us - round(query_time_s * 1e6),
        ended_us,
        precision_s,
        _name(entry.user),
        _name(entry.host),
        _name(entry.database) if entry.database else None,
        False,
        int(entry.thread_id or 0),
        query_time_s,
        None,
        None,
        None,
        {},
        tags(decoded(entry.sql)) if b"/*" in entry.sql or b"--" in entry.sql else {},
        statement,
        entry.sql,
        entry.cut or not statement.whole,
        _name(entry.more) if entry.more not in {b"", b"[unknown]"} else None,
    )


_name = lru_cache(maxsize=4096)(decoded)
"""Decode a user, host, database or application. They are few, so each is held once."""
