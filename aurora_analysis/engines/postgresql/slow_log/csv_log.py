"""The log as CSV (log_destination = csvlog): bytes → records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from aurora_analysis.engines.log_events import Account
from aurora_analysis.engines.postgresql.slow_log.records import LONGEST, Record
from aurora_analysis.engines.postgresql.slow_log.text_log import without_nul

_START = r"\"?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [^\",\n]{1,8}\"?,"
_FIELD = r'(?:"(?>[^"]++|"")*+"|[^",\n]*+)'
_COLUMNS = {0: "time", 1: "user", 2: "database", 3: "pid", 4: "host", 5: "session", 11: "level", 13: "message", 14: "detail", 18: "context", 19: "statement", 22: "application"}  # fmt: skip
_ROW = re.compile(
    (
        rf"(?={_START})"
        + ",".join(f"(?P<{_COLUMNS[n]}>{_FIELD})" if n in _COLUMNS else _FIELD for n in range(23))
        + rf"(?>,{_FIELD}){{0,10}}+\r?\n"
    ).encode()
)
"""A row: 23 columns since 9.0, more since 13 and 14 (PostgreSQL manual, "Using CSV-Format Log Output")."""

_ROW_START = re.compile(rf"^(?={_START})".encode(), re.MULTILINE)
_FIRST = re.compile(
    rf"{_START}{_FIELD},{_FIELD},\d+,{_FIELD},[0-9a-f.]+,\d+,".encode(),
)


def is_csv(head: bytes) -> bool:
    """Return whether a log begins with a row of csvlog, or soon has one."""
    return any(_FIRST.match(head, found.start()) for found in _ROW_START.finditer(head[:65536]))


def records(chunks: Iterable[bytes], account: Account) -> Iterator[Record]:
    """Yield a log's records.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size.
    account : Account
        Filled while the log is read, complete at the end.
    """
    text = b""
    for chunk in chunks:
        account.bytes += len(chunk)
        text += without_nul(chunk, account)
        at, found = 0, _ROW.match(text)
        while found:
            yield _record(found)
            at = found.end()
            found = _ROW.match(text, at)
            if found is None and at < len(text) and not _may_start(text, at):
                at = _skipped(text, at, account)
                found = _ROW.match(text, at)
        text = text[at:]
        while len(text) > LONGEST or (at == 0 and text and not _may_start(text, 0)):
            after = _skipped(text, 0, account)
            text = text[after:]
            if after == 0:
                break
    text = text if text.endswith(b"\n") else text + b"\n"
    at = 0
    while at < len(text.rstrip()):
        if found := _ROW.match(text, at):
            yield _record(found)
            at = found.end()
        else:
            at = _skipped(text + b"\n", at, account) or len(text)


def _may_start(text: bytes, at: int) -> bool:
    """Return whether a row may begin here whose end, or whose start, is not read yet."""
    return len(text) - at < 40 or _ROW_START.match(text, at) is not None


def _skipped(text: bytes, at: int, account: Account) -> int:
    """Return where the next row begins behind a place where none does, and count what is between as lost."""
    found = _ROW_START.search(text, text.find(b"\n", at) + 1 or len(text))
    end = found.start() if found else max(at, text.rfind(b"\n") + 1)
    if text[at:end].strip():
        account.add_loss(end - at)
    return end


def _record(found: re.Match[bytes]) -> Record:
    values = {name: _unquoted(value) for name, value in found.groupdict().items()}
    values["host"] = values["host"].rpartition(b":")[0] or values["host"]
    values["message"] = _tabbed(values["message"])
    return Record._make([*(values[name] for name in Record._fields[:-1]), False])


def _unquoted(field: bytes) -> bytes:
    return field[1:-1].replace(b'""', b'"') if field[:1] == b'"' else field


def _tabbed(text: bytes) -> bytes:
    """Return a message as a text log has it: with a tab behind each line end."""
    return text.replace(b"\n", b"\n\t") if b"\n" in text else text
