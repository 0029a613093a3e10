"""Read the slow log from its table, `mysql.slow_log` (log_output=TABLE): rows → the entries of a slow log.

Columns differ by version (MySQL 5.6 has no thread_id) and are looked up by name. `start_time` is the start in MySQL 5.7
and MariaDB 10.11 (tried). The table logs a statement only from whole seconds on; its times are exact to a microsecond.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aurora_analysis.engines.mysql.live import TAG, Probe
from aurora_analysis.engines.mysql.slow_log import Account, Entry, Layout, LogTables, to_tables

OVERLAP_S = 2
"""Overlap of two reads [s]: a statement is logged a moment after its end. Rows read twice merge."""


@dataclass(frozen=True)
class Logged:
    """Executions that were logged in so many seconds."""

    seconds: int
    tables: list[LogTables]


class SlowLogTail:
    """Reads what the slow log of one instance gained since the previous read."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self.forget()

    def forget(self) -> None:
        """Start over with a first sample, because the instance was lost or replaced."""
        self._at: int | None = None

    def sample(self, tick: int, instance: str) -> Logged | None:
        """Return the executions since the last sample; None if there is none, or no such table."""
        last, self._at = self._at, tick
        rows = None if last is None else self._probe.slow_log_rows(tick - last + OVERLAP_S)
        if last is None or rows is None:
            return None
        found = to_tables(entries(dict(row._mapping) for row in rows), Account(), Layout(instance))
        return Logged(tick - last, list(found))


_USER_HOST = re.compile(r"(?P<user>[^\[]*)\[[^\]]*\] @ *(?P<name>[^\[]*?) *\[(?P<address>[^\]]*)\]")


def entries(rows: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
    """Yield each row as the entry of a log file; our own statements are left out."""
    for row in rows:
        sql = _bytes(row["sql_text"])
        if not sql.startswith(TAG.encode()):
            yield _entry(row, sql)


def _entry(row: Mapping[str, Any], sql: bytes) -> Entry:
    took, locked = row["query_time"], row["lock_time"]
    end = datetime.fromtimestamp(float(row["started_at"]), UTC) + took
    user, host = _user_and_host(str(row["user_host"]))
    return Entry(
        time=end.isoformat(timespec="microseconds").encode(),
        user=user,
        host=host,
        thread_id=_number(row.get("thread_id")),
        query_time=_seconds(took),
        lock_time=_seconds(locked),
        rows_sent=_number(row["rows_sent"]),
        rows_examined=_number(row["rows_examined"]),
        more=b"",
        database=_bytes(row["db"]) or None,
        timestamp=None,
        timestamp_is_start=False,
        sql=sql,
        cut=False,
        database_is_inferred=False,
    )


def _user_and_host(text: str) -> tuple[bytes, bytes]:
    found = _USER_HOST.match(text)
    if found is None:
        return text.encode(), b""
    return found["user"].strip().encode(), (found["name"] or found["address"]).encode()


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value or "").encode()


def _number(value: Any) -> bytes:
    return str(int(value or 0)).encode()


def _seconds(value: timedelta) -> bytes:
    return f"{value.total_seconds():.6f}".encode()
