"""A slow log as columns from the compiled scanner: the rows of `reading.batches` without a Python object for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aurora_analysis.engines import log_tables
from aurora_analysis.engines.log_events import Account, Entry, Event, decoded
from aurora_analysis.engines.log_tables import Batch, Coded, Columns
from aurora_analysis.engines.mysql.fingerprint import FingerprintCache, Statement, join_key, tags
from aurora_analysis.engines.mysql.slow_log.compiled import hard_entries, library
from aurora_analysis.engines.mysql.slow_log.scanner import State
from aurora_analysis.engines.mysql.slow_log.values import event, is_zoned
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode

MOST_KNOWN, MOST_TEXT = 20_000, 16 * 2**20
"""Maximum number of statements, and of texts of tags, that outlive a batch, and of the fingerprints' length in all."""


def write_batches(
    chunks: Iterable[bytes],
    account: Account,
    write: Callable[[Batch], None],
    *,
    instance: str | None = None,
    batch: int = log_tables.BATCH,
    mode: SqlMode = DEFAULT_MODE,
) -> None:
    """Read a log with the compiled scanner, and write its executions in batches; `account` is complete at the end.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size.
    account : Account
        Filled while the log is read.
    write : callable
        Takes a batch.
    instance : str, optional
        Value of the column `instance`; without one, the column is left out.
    batch : int
        Number of executions from which on a batch is written, at the next chunk.
    mode : SqlMode
        The server's sql_mode; `library` must have a scanner for it.
    """
    recorder = _Recorder(account, mode)

    def written(chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if recorder.is_full(batch):
                write(recorder.taken(instance))
            yield chunk

    for entry in hard_entries(
        written(chunks), account, recorder.state, recorder.scanner, recorder.stopped, mode
    ):
        recorder.add(entry)
    recorder.end()
    if recorder.scanner.recorded:
        write(recorder.taken(instance))


class _Recorder:
    """The compiled scanner that records, and the texts that its numbers stand for."""

    def __init__(self, account: Account, mode: SqlMode) -> None:
        self.state, self._account, self._mode = State(), account, mode
        self._library = library(mode)
        self.scanner: Any = self._library.Scanner(mode.backslash_escapes, 1, record=True)
        self._fingerprints = FingerprintCache(mode)
        self._cut_at = -1  # the number of executions when the latest one was cut
        self._forget()

    def _forget(self) -> None:
        self._statements: list[Statement] = []
        self._rows: dict[str, int] = {}
        self._text = 0
        self._tags: list[str | None] = [None]
        self._tag_numbers: dict[str | None, int] = {None: 0}
        self.scanner.forget()

    def stopped(self, reason: int, text: bytes) -> None:
        """Number a new shape, or new comments."""
        if reason == self._library.NEW_SHAPE:
            self.scanner.learn(*self._numbered(self._fingerprints.of_shape(self.scanner.shape())))
        elif reason == self._library.NEW_TAGS:
            start, end = self.scanner.statement()
            self.scanner.learn_tags(self._tags_number(tags(decoded(text[start:end]), self._mode)))
        else:
            raise AssertionError(f"the scanner stopped for reason {reason}")

    def add(self, entry: Entry) -> None:
        """Record an entry that Python read; one without a time is lost."""
        self.state.is_zoned = self.state.is_zoned or is_zoned(entry)
        found = event(entry, self._fingerprints(entry.sql), self.state.is_zoned, self._mode)
        if found.ended_us is None:
            self._account.lost += 1
            self._cut_at = -1
            return
        self._append(found)
        self._cut_at = self.scanner.recorded if found.cut else -1

    def _append(self, one: Event) -> None:
        user, host, database = one.user, one.host, one.database
        examined = -1 if one.rows_examined is None else one.rows_examined
        self.scanner.append(
            (*self._numbered(one.statement), self._tags_number(one.tags)),
            (user, host, database, one.database_is_inferred),
            (one.started_us, one.ended_us, one.time_precision_s),
            (one.thread_id, one.query_time_s, one.lock_time_s, one.rows_sent, examined),
            log_tables.json_text(one.extras) or "",
        )

    def is_full(self, batch: int) -> bool:
        """Return whether there are so many executions, and the latest of them is whole."""
        recorded: int = self.scanner.recorded
        return recorded >= batch and recorded != self._cut_at

    def end(self) -> None:
        """Leave out an execution that the end of the log cut: it cannot be identified."""
        if self._cut_at == self.scanner.recorded:
            self.scanner.drop_last()
            self._account.cut, self._account.lost = self._account.cut - 1, self._account.lost + 1

    def taken(self, instance: str | None) -> Batch:
        """Take the executions out of the scanner."""
        found = self.scanner.take_records()
        columns = _columns(found, [one.digest for one in self._statements], self._tags)
        spans = [(self._statements[row], first, last) for row, first, last in found["spans"]]
        made = Batch(
            log_tables.slow_query_rows(columns, instance), log_tables.statement_rows(spans, join_key), {}
        )
        if max(len(self._statements), len(self._tags)) > MOST_KNOWN or self._text > MOST_TEXT:
            self._forget()
        self._cut_at = -1
        return made

    def _numbered(self, statement: Statement) -> tuple[int, int]:
        """Return the number of a statement, and its digest as a number."""
        number = self._rows.setdefault(statement.digest, len(self._statements))
        if number == len(self._statements):
            self._statements.append(statement)
            self._text += len(statement.fingerprint)
        return number, int(statement.digest, 16)

    def _tags_number(self, found: dict[str, str]) -> int:
        text = log_tables.json_text(found)
        number = self._tag_numbers.setdefault(text, len(self._tags))
        if number == len(self._tags):
            self._tags.append(text)
        return number


def _columns(found: dict[str, Any], digests: list[str], tags_: list[str | None]) -> Columns:
    """Return the scanner's columns as those of `slow_queries`."""
    names = [None if name is None else decoded(name) for name in found["names"]]
    numbers = {name: memoryview(found[name]).cast("q") for name in _NUMBERS}
    reals = {name: memoryview(found[name]).cast("d") for name in ("precision_s", "query_s", "lock_s")}
    codes = {name: memoryview(found[name]).cast("I") for name in _CODES}
    examined = numbers["rows_examined"]
    extras = found["extras"].decode().split("\n")[:-1]
    return {
        "started_at": numbers["started_us"],
        "ended_at": numbers["ended_us"],
        "time_precision_s": reals["precision_s"],
        "user": Coded(names, codes["user"]),
        "host": Coded(names, codes["host"]),
        "database": Coded(names, codes["database"]),
        "database_is_inferred": Coded([False, True], codes["is_inferred"]),
        "thread_id": numbers["thread_id"],
        "query_time_s": reals["query_s"],
        "lock_time_s": reals["lock_s"],
        "rows_sent": numbers["rows_sent"],
        "rows_examined": examined if min(examined) >= 0 else [None if n < 0 else n for n in examined],
        "application": [None] * len(examined),
        "ordinal": numbers["ordinal"],
        "tags": Coded(tags_, codes["tags"]),
        "extras": [text or None for text in extras],
        "digest": Coded(digests, codes["row"]),
    }


_NUMBERS = ("started_us", "ended_us", "thread_id", "rows_sent", "rows_examined", "ordinal")
_CODES = ("user", "host", "database", "is_inferred", "tags", "row")
