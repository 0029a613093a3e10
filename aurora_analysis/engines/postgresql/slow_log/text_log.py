"""The log as text with a prefix (log_destination = stderr, the only form of RDS's files): bytes → records.

A record begins at the start of a line; each further line of it begins with a tab. So no text of a statement can look
like another record, and the form is read in blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from aurora_analysis import engines
from aurora_analysis.engines.log_events import MARKER, Account, Entry
from aurora_analysis.engines.postgresql.slow_log import prefix
from aurora_analysis.engines.postgresql.slow_log.records import KEPT, LONGEST, Record
from aurora_analysis.errors import Error

_TEXT = r"[^\n]*+(?>\n\t[^\n]*+)*+"


def _pattern(format_: str, *, is_lenient: bool = False) -> bytes:
    """Return the pattern of a record: an execution, which is the most frequent by far, or any other."""
    execution = (
        rf"LOG: {{1,2}}duration: (?P<ms>\d+\.\d+) ms {{1,2}}(?:statement|execute [^\n:]*+): (?P<sql>{_TEXT})"
    )
    other = rf"{prefix.level(format_)}: {{1,2}}(?P<message>{_TEXT})"
    return f"{prefix.pattern(format_, is_lenient=is_lenient)}(?:{execution}|{other})(?:\n|\\Z)".encode()


_FIELDS = (*prefix.FIELDS, "ms", "sql", "level", "message")
_PLAIN = tuple(name for name in _FIELDS if name not in {"session", "level", "message"})
_NEXT = re.compile(rb"\n(?!\t)")
_KNOWN = frozenset(word.encode() for word in (*prefix.SEVERITIES, *prefix.FURTHER))


def records(chunks: Iterable[bytes], account: Account, format_: str) -> Iterator[Sequence[Entry | Record]]:
    """Yield a log's records, one by one, and runs of executions that need nothing else, as their entries.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size.
    account : Account
        Filled while the log is read, complete at the end.
    format_ : str
        Its log_line_prefix. A part of the log may have another one of those that are known.
    """
    reader, pending, is_skipping, is_crlf = _Reader(format_, account), b"", False, False
    for chunk in chunks:
        account.bytes += len(chunk)
        text = pending + without_nul(chunk, account)
        if is_skipping:
            found = _NEXT.search(text, 0, len(text) - 1)
            account.lost_bytes += found.end() if found else len(text) - 1
            text, is_skipping = text[found.end() if found else len(text) - 1 :], found is None
        end = 0 if is_skipping else _last_start(text, max(0, len(pending) - 1))
        is_crlf = is_crlf or _ends_in_crlf(text)
        if end:
            yield from reader.block(text[:end].replace(b"\r\n", b"\n") if is_crlf else text[:end])
        pending = text[end:]
        if len(pending) > LONGEST:
            account.lost_bytes += len(pending) - KEPT - 1
            yield from reader.block(pending[:KEPT] + MARKER + b"\n")
            pending, is_skipping = pending[-1:], True
    if is_skipping:
        account.lost_bytes += len(pending)
    elif pending:
        yield from reader.block(pending.replace(b"\r\n", b"\n") if is_crlf else pending)


def without_nul(chunk: bytes, account: Account) -> bytes:
    """Return a chunk without NUL bytes, which a crash leaves in a file, and count them as lost."""
    if b"\x00" not in chunk:
        return chunk
    account.lost_bytes += chunk.count(b"\x00")
    return chunk.replace(b"\x00", b"")


def _last_start(text: bytes, after: int) -> int:
    """Return where the last record begins, if one does behind this place; 0 if the text may be of one record."""
    at = len(text)
    while (at := text.rfind(b"\n", after, at)) >= 0:
        if at + 1 < len(text) and text[at + 1] != 9:
            return at + 1
    return 0


def _ends_in_crlf(text: bytes) -> bool:
    """Return whether the first line of a text ends in CRLF."""
    at = text.find(b"\n")
    return at > 0 and text[at - 1] == 13


class _Reader:
    """Reads blocks of whole records, and remembers the prefixes that the log has."""

    MOST_FORMATS = 8

    def __init__(self, format_: str, account: Account) -> None:
        self._account = account
        self._formats: list[str] = []
        self._learn(format_)

    def _learn(self, format_: str) -> None:
        """Try this prefix first."""
        if format_ in self._formats:
            self._formats.remove(format_)
        self._formats = [format_, *self._formats][: self.MOST_FORMATS]
        self._first = re.compile(rb"^" + _pattern(format_), re.MULTILINE)
        strict = [re.compile(_pattern(each)) for each in self._formats]
        self._all = strict + [re.compile(_pattern(each, is_lenient=True)) for each in self._formats]
        self._order = [self._first.groupindex[name] for name in _FIELDS]
        self._plain = [self._first.groupindex[name] for name in _PLAIN]

    def block(self, text: bytes) -> Iterator[Sequence[Entry | Record]]:
        """Yield the records of a text that begins at a record and ends at the end of one: runs of entries, or a record."""
        run: list[Entry] = []
        at, size, is_whole = 0, len(text), MARKER not in text
        last = size if text.endswith(b"\n") else size - 1
        plain, order = self._plain, self._order
        for found in self._first.finditer(text):
            start, end = found.span()
            if start != at:
                yield from self._taken(run)
                run = []
                yield from ((one,) for one in self._stray(text[at:start]))
            at = end
            time, host, user, database, application, pid, ms, sql = found.group(*plain)
            if ms is None or not is_whole or end > last:
                if not _is_idle(found["message"]):
                    yield from self._taken(run)
                    run = []
                    yield from ((one,) for one in self._record(found, order))
                continue
            if _LF in sql:
                sql = sql.replace(b"\n\t", b"\n")
            # fmt: off
            run.append(_made(Entry, (
                time, user, host, pid, ms + _MS, None, None, None, application, database, None, False, sql, False, False,
            )))
            # fmt: on
        yield from self._taken(run)
        if at < size:
            yield from ((one,) for one in self._stray(text[at:]))

    def _taken(self, run: list[Entry]) -> Iterator[list[Entry]]:
        """Count a run of entries and yield it, if there is one."""
        self._account.events += len(run)
        if run:
            yield run

    def _record(self, found: re.Match[bytes], order: list[int]) -> Iterator[Record]:
        """Yield a record that is not a plain execution."""
        time, host, user, database, application, pid, session, ms, sql, level, message = found.group(*order)
        if level is None:
            level = b"LOG"
            message = found[0][found.start(order[7]) - found.start() - len(b"duration: ") :].removesuffix(
                b"\n"
            )
        if level not in _KNOWN:
            self._account.unknown += 1
            self._account.add_loss(len(found[0]))
            return
        kept, marker, rest = message.partition(MARKER)
        cut = bool(marker) or found.string[found.end() - 1 : found.end()] != b"\n"
        if _SQLSTATE.match(kept):
            kept = kept[7:]
        yield Record(time, host, user, database, application, pid, session, level, kept, cut=cut)

    def _stray(self, text: bytes) -> Iterator[Record]:
        """Yield the records of a text in which none begins with the usual prefix; the rest is lost."""
        at = 0
        while at < len(text):
            found = next((found for each in self._all if (found := each.match(text, at))), None)
            if found is None:
                end = _NEXT.search(text, at)
                line = text[at : end.end() if end else len(text)]
                format_ = prefix.of_line(line)
                if format_ is not None and format_ not in self._formats:
                    self._learn(format_)
                    continue
                if line.strip():
                    _refuse_other_engines(line)
                    self._account.add_loss(len(line))
                at += len(line)
            else:
                yield from self._record(found, [found.re.groupindex[name] for name in _FIELDS])
                at = found.end()


_made = tuple.__new__
"""Makes an entry without a check of its length: there are millions."""


def _is_idle(message: bytes | None) -> bool:
    """Return whether a message says nothing that is used: a step before an execution, or its parameters."""
    return message is not None and _IDLE.match(message) is not None


_IDLE = re.compile(
    rb"(?:[0-9A-Z]{5}: )?(?:parameters: |Parameters: |duration: \d+\.\d+ ms {1,2}(?:parse|bind) )"
)

_LF = ord("\n")
"""Python finds a number in bytes faster than bytes of length one."""

_MS = b"e-3"
"""Turns the text of milliseconds into one of seconds, which is exact."""

_SQLSTATE = re.compile(rb"[0-9A-Z]{5}: ")
"""Text that log_error_verbosity = verbose writes before a message."""


def _refuse_other_engines(line: bytes) -> None:
    if line.startswith(b"# ") and (name := engines.of_log(line)) not in {None, "postgresql"}:
        raise Error(
            f"A log of PostgreSQL also has entries of a slow log of the {name} family ({line[:40].decode('utf-8', 'replace').strip()}…): "
            "they came together by mistake, read each log by itself."
        )
