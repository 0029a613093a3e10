"""A slow log as columns from the compiled scanner: the rows of `reading.batches` without a Python object for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import compress
from typing import Any

from aurora_analysis.engines import log_tables
from aurora_analysis.engines.log_events import Account, Entry, Event, decoded
from aurora_analysis.engines.log_tables import Batch, Coded, Columns
from aurora_analysis.engines.mysql.fingerprint import FingerprintCache, Statement, join_key, tags
from aurora_analysis.engines.mysql.slow_log.compiled import hard_entries, library
from aurora_analysis.engines.mysql.slow_log.scanner import State
from aurora_analysis.engines.mysql.slow_log.values import event, is_zoned
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.printable import compact_json_line, escaped

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


def write_lines(
    chunks: Iterable[bytes],
    account: Account,
    write: Callable[[list[str]], None],
    wanted: Callable[[bytes, int | None], bool] | None = None,
    *,
    mode: SqlMode = DEFAULT_MODE,
) -> None:
    """Read a log with the compiled scanner, and write each execution as a line of JSON; as `log_events.record` has it.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size.
    account : Account
        Filled while the log is read, complete at the end.
    write : callable
        Takes some lines.
    wanted : callable, optional
        Whether to write an execution, by its user and by when it ended [us since 1970], None if that is unknown.
    mode : SqlMode
        The server's sql_mode; `library` must have a scanner for it.
    """
    recorder, cut = _Recorder(account, mode), set[int]()

    def written(chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if recorder.scanner.recorded >= LINES:
                write(recorder.taken_lines(cut, wanted))
                cut.clear()
            yield chunk

    for entry in hard_entries(
        written(chunks), account, recorder.state, recorder.scanner, recorder.stopped, mode
    ):
        found = recorder.event(entry)
        if found.cut:
            cut.add(recorder.scanner.recorded)
        recorder.append(found)
    if recorder.scanner.recorded:
        write(recorder.taken_lines(cut, wanted))


LINES = 2000
"""Number of executions from which on their lines are written, at the next chunk."""

NO_TIME = -(2**63)
"""The scanner's number for an unknown time."""


def _or(value: Any, default: float) -> Any:
    return default if value is None else value


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
        """Record an entry that Python read; one without a time is left out."""
        found = self.event(entry)
        if found.ended_us is None:
            self._account.untimed += 1
            self._cut_at = -1
            return
        self.append(found)
        self._cut_at = self.scanner.recorded if found.cut else -1

    def event(self, entry: Entry) -> Event:
        """Return the values of an entry that Python read."""
        self.state.is_zoned = self.state.is_zoned or is_zoned(entry)
        return event(entry, self._fingerprints(entry.sql), self.state.is_zoned, self._mode)

    def append(self, one: Event) -> None:
        """Record an execution; one without a time has `NO_TIME`."""
        user, host, database = one.user, one.host, one.database
        self.scanner.append(
            (*self._numbered(one.statement), self._tags_number(one.tags)),
            (user, host, database, one.database_is_inferred),
            (_or(one.started_us, NO_TIME), _or(one.ended_us, NO_TIME), _or(one.time_precision_s, 0.0)),
            (
                one.thread_id,
                one.query_time_s,
                one.lock_time_s,
                _or(one.rows_sent, -1),
                _or(one.rows_examined, -1),
            ),
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
        self._forget_surplus()
        self._cut_at = -1
        return made

    def taken_lines(self, cut: set[int], wanted: Callable[[bytes, int | None], bool] | None) -> list[str]:
        """Take the executions out of the scanner, the wanted ones as JSON; `cut` has the places of those that were cut."""
        found = self.scanner.take_records()
        lines = _lines(found, self._statements, self._tags, cut)
        if wanted is not None:
            names, ends = found["names"], memoryview(found["ended_us"]).cast("q")
            users = memoryview(found["user"]).cast("I")
            keep = (wanted(names[user], None if us == NO_TIME else us) for user, us in zip(users, ends))
            lines = compress(lines, keep)
        made = list(lines)
        self._forget_surplus()
        return made

    def _forget_surplus(self) -> None:
        if max(len(self._statements), len(self._tags)) > MOST_KNOWN or self._text > MOST_TEXT:
            self._forget()

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
        "rows_sent": _counts(numbers["rows_sent"]),
        "rows_examined": _counts(numbers["rows_examined"]),
        "application": [None] * len(extras),
        "ordinal": numbers["ordinal"],
        "tags": Coded(tags_, codes["tags"]),
        "extras": [text or None for text in extras],
        "digest": Coded(digests, codes["row"]),
    }


def _counts(numbers: Sequence[int]) -> Sequence[int | None]:
    """Return counts with None for those that are unknown, which the scanner gives as -1."""
    return numbers if min(numbers) >= 0 else [None if n < 0 else n for n in numbers]


def _lines(
    found: dict[str, Any], statements: list[Statement], tags_: list[str | None], cut: set[int]
) -> Iterator[str]:
    """Yield the scanner's executions as lines of JSON."""
    names = [compact_json_line(None if name is None else decoded(name)) for name in found["names"]]
    texts = [
        compact_json_line({"digest": one.digest, "fingerprint": one.fingerprint})[1:-1] for one in statements
    ]
    tag_texts = [escaped(text or "{}") for text in tags_]
    numbers = (memoryview(found[name]).cast("q") for name in ("started_us", "ended_us", "thread_id", "rows_sent", "rows_examined"))  # fmt: skip
    reals = (memoryview(found[name]).cast("d") for name in ("precision_s", "query_s", "lock_s"))
    codes = (memoryview(found[name]).cast("I") for name in _CODES)
    rows = zip(*numbers, *reals, *codes, found["extras"].decode().split("\n"))
    for place, row in enumerate(rows):
        started, ended, thread, sent, examined, precision, query, lock, user, host, database, inferred, tag, number, extras = row  # fmt: skip
        yield (
            f'{{"started_at":{_moment(started)},"ended_at":{_moment(ended)},'
            f'"time_precision_s":{"null" if ended == NO_TIME else repr(precision)},'
            f'"user":{names[user]},"host":{names[host]},"database":{names[database]},'
            f'{_INFERRED if inferred else ""}"thread_id":{thread},"query_time_s":{query!r},"lock_time_s":{lock!r},'
            f'"rows_sent":{"null" if sent < 0 else sent},"rows_examined":{"null" if examined < 0 else examined},{texts[number]},'
            f'"tags":{tag_texts[tag]},"extras":{escaped(extras) or "{}"}{_CUT if place in cut else ""}}}'
        )


_INFERRED, _CUT = '"database_is_inferred":true,', ',"cut":true'


def _moment(us: int) -> str:
    """Return a time as JSON."""
    return "null" if us == NO_TIME else f'"{_second(us // 1_000_000)}.{us % 1_000_000:06d}Z"'


@lru_cache(maxsize=4096)
def _second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


_NUMBERS = ("started_us", "ended_us", "thread_id", "rows_sent", "rows_examined", "ordinal")
_CODES = ("user", "host", "database", "is_inferred", "tags", "row")
