"""The log as JSON (log_destination = jsonlog, PostgreSQL 15): lines → records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from aurora_analysis.engines.log_events import Account
from aurora_analysis.engines.postgresql.slow_log.records import LONGEST, Record

_LINE = re.compile(rb'\A\s*\{[^\n]{0,4000}?"(?:error_severity)":"\w')

_NAMES = {
    "time": ("timestamp", "log_time"), "host": ("remote_host", "connection_from"), "user": ("user", "user_name"), "database": ("dbname", "database_name"),
    "application": ("application_name",), "pid": ("pid", "process_id"), "session": ("session_id",), "level": ("error_severity",), "message": ("message",),
    "detail": ("detail",), "context": ("context",), "statement": ("statement", "query"),
}  # fmt: skip
"""Field → its name in PostgreSQL's own JSON, and as CloudNativePG writes it."""


def is_json(head: bytes) -> bool:
    """Return whether a log begins with a line of jsonlog."""
    return _LINE.match(head) is not None


def records(chunks: Iterable[bytes], account: Account) -> Iterator[Record]:
    """Yield a log's records; a line that is not JSON, or not a record, is lost.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size.
    account : Account
        Filled while the log is read, complete at the end.
    """
    pending: list[bytes] = []
    size = 0
    for chunk in chunks:
        account.bytes += len(chunk)
        *lines, last = chunk.split(b"\n")
        if lines and size <= LONGEST:
            lines[0] = b"".join([*pending, lines[0]])
        elif lines:
            account.add_loss(size + len(lines[0]))
            lines[0] = b""
        pending, size = (
            ([last], len(last)) if lines else ([*pending, last] if size <= LONGEST else [], size + len(last))
        )
        for line in lines:
            yield from _record(line, account)
    if size > LONGEST:
        account.add_loss(size)
    else:
        yield from _record(b"".join(pending), account)


def _record(line: bytes, account: Account) -> Iterator[Record]:
    if not line.strip(b" \r\t\x00"):
        return
    try:
        found = json.loads(line)
        inside = found.get("record", found)
        fields = {ours: _text(inside, names) for ours, names in _NAMES.items()}
    except (ValueError, RecursionError, AttributeError):
        fields = {"level": b""}
    if not fields["level"]:
        account.add_loss(len(line))
        return
    host = fields["host"].rpartition(b":")[0] if "connection_from" in inside else b""
    fields |= {"host": host or fields["host"], "message": fields["message"].replace(b"\n", b"\n\t")}
    yield Record._make([*(fields[name] for name in Record._fields[:-1]), False])


def _text(record: dict[str, Any], names: tuple[str, ...]) -> bytes:
    value = next((record[name] for name in names if name in record), "")
    return str(value).encode("utf-8", "surrogatepass")
