"""Rank the statements of slow logs: which took the time, and how their times are distributed.

It needs only the standard library and no store, so that an answer from a raw log takes seconds.

Memory is bounded by three limits. `FingerprintCache` limits the shapes. At most `MOST` digests, with `MOST_TEXT`
characters in all, have a row of their own; all others share one row whose totals are exact. At most `HELD` query times
stay in memory; the rest wait in a temporary file, because quantiles are exact.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache, partial
from itertools import chain
from types import ModuleType
from typing import IO, Any

from aurora_analysis import engines
from aurora_analysis.engines.log_events import Account, Entry, record
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.engines.statement import Statement
from aurora_analysis.errors import Error
from aurora_analysis.printable import compact_json_line
from aurora_analysis.sources import forked, log_files, profile_rows, query_times, unread
from aurora_analysis.sources.inputs import Source
from aurora_analysis.sources.profile_rows import Profile, Row, add, widen
from aurora_analysis.sources.selection import ALL, Ended, Selection, selected

SHARES = (0.5, 0.95, 0.99)
"""The quantiles of a row."""

PART = 256 * 2**20
"""Largest part of a log that a process takes [bytes]: each part learns the statements' shapes anew, which takes 7 ms."""

LARGEST_WHOLE = 64 * 2**20
"""Size up to which a compressed file or an object is read beside others [bytes]: its query times are held in memory."""

COMPRESSION = 8
"""Typical ratio of a slow log's size to that of its gzipped file."""


def processes_for(sources: Sequence[Source]) -> int:
    """Return the number of processes for these logs: one below 256 MB of text, where a start costs more."""
    plain = sum(log_files.size(name) or 0 for name in sources)
    whole = [size for name in sources if (size := _whole_size(name))]
    total = plain + COMPRESSION * (sum(whole) if plain or len(whole) > 1 else 0)
    return 1 if total < 256_000_000 else min(4, os.cpu_count() or 1)


def _whole_size(name: Source) -> int:
    size = log_files.whole_size(name) or 0
    return size if size <= LARGEST_WHOLE else 0


def profile_files(
    names: Sequence[Source],
    overflow: Callable[[], IO[bytes]],
    *,
    processes: int = 1,
    selection: Selection = ALL,
    mode: SqlMode = DEFAULT_MODE,
    progress: Callable[[int], None] = lambda _: None,
) -> Profile:
    """Profile several files as one log.

    Parameters
    ----------
    names : sequence of str or S3Object
        Files or objects, as `inputs.found` returns them; `-` is standard input.
    overflow : callable
        Returns the temporary file, empty at first, for the query times beyond `HELD`; called only if there are so many.
        The file must stay open as long as the profile.
    processes : int
        Number of processes. They read plain files in parts that begin at an entry, and compressed files and listed
        objects of at most `LARGEST_WHOLE` bytes one by one. This process reads what is left, such as a pipe.
    selection : Selection
        The executions to count.
    mode : SqlMode
        The server's sql_mode.
    progress : callable
        Called with the number of bytes read since the last call.
    """
    profile = Profile(file=overflow)
    parts = [part for name in names for part in _parts(name, processes)] if processes > 1 else []
    if len(parts) > 1:
        spans: dict[Source, tuple[int | None, int | None]] = {}
        work = partial(_of_part, selection=selection, mode=mode)
        with closing(forked.in_order(work, parts, processes)) as found:
            for (name, *_), part in zip(parts, found):
                progress(part.account.bytes)
                if part.rows:
                    spans[name] = (spans[name][0] if name in spans else part.first_us, part.last_us)
                part.first_us = part.last_us = None
                profile.files[name] = profile.files.get(name, Account()) + part.account
                add(profile, part)
        for span in spans.values():
            widen(profile, *span)
    done = {name for name, *_ in parts if len(parts) > 1}
    for source in names:
        if source not in done:
            before = replace(profile.account)
            read(profile, _reported(log_files.chunks(source), progress), selection=selection, mode=mode)
            profile.files[source] = profile.account - before
    return profile


Part = tuple[Source, int, int | None]
"""A log, and where the part begins and ends [bytes]."""


def _parts(name: Source, processes: int) -> list[Part]:
    """Return the parts of a log that other processes can read, as many for each; none if this process has to."""
    if _whole_size(name):
        return [(name, 0, None)]
    size = log_files.size(name)
    if not size or not isinstance(name, str):
        return []
    return [
        (name, start, end)
        for start, end in log_files.ranges(name, processes * math.ceil(size / PART / processes))
    ]


def _of_part(part: Part, selection: Selection, mode: SqlMode) -> Profile:
    profile = Profile(is_part=True)
    read(profile, log_files.chunks(*part), selection=selection, mode=mode)
    profile_rows.fold_all(profile)  # here, not where the parts come together
    return profile


@cache
def _statements(engine: str, mode: SqlMode) -> Callable[[bytes], Statement]:
    """Return the process's fingerprint cache, which serves all of an engine's logs."""
    cached: Callable[[bytes], Statement] = engines.module(engine, "fingerprint").FingerprintCache(mode)
    return cached


def _reported(chunks: Iterable[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        progress(len(chunk))


def profile_log(
    chunks: Iterable[bytes], *, selection: Selection = ALL, mode: SqlMode = DEFAULT_MODE
) -> Profile:
    """Profile one log, with all query times in memory."""
    profile = Profile()
    read(profile, chunks, selection=selection, mode=mode)
    return profile


def read(
    profile: Profile, chunks: Iterable[bytes], *, selection: Selection = ALL, mode: SqlMode = DEFAULT_MODE
) -> None:
    """Add the executions of a log to the profile."""
    engine, chunks = log_files.recognised(chunks)
    slow_log = engines.module(engine or engines.DEFAULT, "slow_log")
    statements = _statements(engine or engines.DEFAULT, mode)
    if engine is not None:
        profile_rows.set_engine(profile, engine, slow_log.UNKNOWN)
    profile_rows.fold_all(profile)
    if slow_log.library(mode) is None:
        entries = slow_log.entries(_held(chunks, profile), profile.account, mode)
        ends = _count(profile, selected(entries, selection, slow_log.ended), statements, slow_log.ended)
    else:
        ends = _Counts(profile, selection, mode, slow_log, statements).read(chunks)
    if profile.is_part:
        profile.first_us, profile.last_us = ends
    else:
        widen(profile, *ends)


Ends = tuple[int | None, int | None]
"""Ends of the first and the last execution of a log [us since 1970, UTC]."""


def _count(
    profile: Profile, entries: Iterator[Entry], statements: Callable[[bytes], Statement], ended: Ended
) -> Ends:
    """Count entries one by one, in Python."""
    rows = profile.rows
    add = _add_duration if "rows_sent" in profile.unknown else _add
    entry = first = next(entries, None)
    for entry in chain([first] if first else [], entries):
        statement = statements(entry.sql)
        row = rows.get(statement.digest) or profile_rows.row_of(profile, statement)
        add(row, entry)
        client = (entry.user, entry.host)
        if client in row.clients:
            row.clients[client] += 1
        else:
            profile_rows.count_client(profile, row, client)
    if first is None or entry is None:
        return None, None
    return ended(first, False)[0], ended(entry, False)[0]


def _add(row: Row, entry: Entry) -> None:
    """Add the figures of an execution to the row of its statement."""
    _, _, _, _, query_time, lock_time, rows_sent, rows_examined, *_ = entry
    query_time_us = round(float(query_time) * 1e6)
    row.times.append(query_time_us)
    row.query_time_us += query_time_us
    row.lock_time_us += round(float(lock_time or 0) * 1e6)
    row.rows_sent += int(rows_sent or 0)
    row.rows_examined += int(rows_examined or 0)


def _add_duration(row: Row, entry: Entry) -> None:
    """Add an execution to the row of its statement, if the log has no figure but its duration."""
    query_time_us = round(float(entry.query_time) * 1e6)
    row.times.append(query_time_us)
    row.query_time_us += query_time_us


def _held(chunks: Iterable[bytes], profile: Profile) -> Iterator[bytes]:
    """Pass the chunks on; before each, move surplus query times to the profile's file."""
    for chunk in chunks:
        profile_rows.spill_surplus(profile)
        yield chunk


class _Counts:
    """Counts a log with the compiled scanner, which numbers the rows of the profile."""

    def __init__(
        self, profile: Profile, selection: Selection, mode: SqlMode, slow_log: ModuleType, statements: Any
    ) -> None:
        self._profile, self._selection, self._mode = profile, selection, mode
        self._slow_log, self._statements = slow_log, statements
        self._rows: list[Row] = []
        self._numbers: dict[str, int] = {}
        self._read = 0  # entries that Python read since the last look at the memory
        user = None if selection.user is None else selection.user.encode()
        limits = selection.since_us, selection.until_us, user
        self._scanner = slow_log.library(mode).Scanner(
            mode.backslash_escapes, profile_rows.MOST_CLIENTS, *limits
        )

    def read(self, chunks: Iterable[bytes]) -> Ends:
        """Count every entry of a log."""
        hard = self._slow_log.hard_entries(
            self._held(chunks),
            self._profile.account,
            self._slow_log.State(),
            self._scanner,
            self._stopped,
            self._mode,
        )
        for entry in selected(hard, self._selection, self._slow_log.ended):
            number = self._number_of(self._statements(entry.sql))
            _add(self._rows[number], entry)
            self._read += 1
            ended_us, _ = self._slow_log.ended(entry, False)
            while not self._scanner.count(number, entry.user, entry.host, ended_us):
                self._drain()
        self._take()
        ends: Ends = self._scanner.ends()
        return ends

    def _held(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass the chunks on; before each, make room for its query times."""
        for chunk in chunks:
            if self._scanner.held + self._read >= query_times.HELD // 2:
                self._read = 0
                self._take()
                profile_rows.spill_surplus(self._profile)
            yield chunk

    def _stopped(self, reason: int, _: bytes) -> None:
        """Number a new shape, or make room in the scanner for another pair of user and host."""
        if reason == self._slow_log.library(self._mode).FULL:
            self._drain()
        else:
            self._scanner.learn(self._number_of(self._statements.of_shape(self._scanner.shape())))

    def _number_of(self, statement: Statement) -> int:
        """Return the number of a statement's row."""
        if statement.digest not in self._numbers:
            row = self._profile.rows.get(statement.digest) or profile_rows.row_of(self._profile, statement)
            if row.statement.digest not in self._numbers:
                self._numbers[row.statement.digest] = len(self._rows)
                self._rows.append(row)
            return self._numbers[row.statement.digest]
        return self._numbers[statement.digest]

    def _drain(self) -> None:
        self._take()
        profile_rows.fold_all(self._profile)

    def _take(self) -> None:
        """Move the scanner's counts into the rows."""
        counts, clients = self._scanner.take()
        for number, query_time_us, lock_time_us, rows_sent, rows_examined, times in counts:
            row = self._rows[number]
            row.times.frombytes(times)
            row.query_time_us += query_time_us
            row.lock_time_us += lock_time_us
            row.rows_sent += rows_sent
            row.rows_examined += rows_examined
        for number, user, host, calls in clients:
            row = self._rows[number]
            self._profile.clients += (user, host) not in row.clients
            row.clients[user, host] = row.clients.get((user, host), 0) + calls


ORDERS = {
    "time": "response_time_s",
    "calls": "calls",
    "mean": "mean_s",
    "p95": "p95_s",
    "max": "max_s",
    "lock": "lock_time_s",
    "examined": "rows_examined",
    "sent": "rows_sent",
}
"""Order → the column to rank by, largest first."""


def summary(profile: Profile, *, order_by: str = "time", limit: int | None = None) -> dict[str, Any]:
    """Return the profile as plain values: `events`, `sums`, the ranked `profile`, `coverage`.

    Parameters
    ----------
    profile : Profile
        The profile.
    order_by : str
        A key of `ORDERS`.
    limit : int, optional
        Maximum number of ranked statements; sums still cover all of them.

    Raises
    ------
    Error
        If the logs do not have the figure to sort by.
    """
    if ORDERS[order_by] in profile.unknown:
        usable = ", ".join(order for order, column in ORDERS.items() if column not in profile.unknown)
        raise Error(f"A log of {profile.engine} has no {ORDERS[order_by]} to sort by: order by {usable}.")
    profile_rows.fold_all(profile)
    rows = [_summary(row, profile.file) for row in profile.rows.values()]
    total_us = sum(row.query_time_us for row in profile.rows.values())
    unknown = dict.fromkeys(profile.unknown)
    rows.sort(key=lambda row: (-row[ORDERS[order_by]], row["digest"]))
    ranked = [
        {"rank": rank, **row, "share": row["response_time_s"] / (total_us / 1e6) if total_us else 0.0}
        | unknown
        for rank, row in enumerate(rows[:limit], 1)
    ]
    return {
        "version": 1,
        "events": sum(row["calls"] for row in rows),
        "digests": len(rows),
        "first_ended_at": _iso(profile.first_us),
        "last_ended_at": _iso(profile.last_us),
        "sums": {
            "query_time_s": total_us / 1e6,
            "lock_time_s": sum(row.lock_time_us for row in profile.rows.values()) / 1e6,
            "rows_sent": sum(row["rows_sent"] for row in rows),
            "rows_examined": sum(row["rows_examined"] for row in rows),
        }
        | unknown,
        "profile": ranked,
        "coverage": asdict(profile.account),
    }


def _summary(row: Row, file: Callable[[], IO[bytes]] | None) -> dict[str, Any]:
    calls, total_s = row.calls, row.query_time_us / 1e6
    ranks = [*(math.ceil(share * calls) - 1 for share in SHARES), calls - 1]
    *quantiles, max_s = [
        us / 1e6
        for us in query_times.at_ranks(row.times, row.runs, ranks, file() if file and row.runs else None)
    ]
    return {
        "digest": row.statement.digest,
        "fingerprint": row.statement.fingerprint,
        "calls": calls,
        "response_time_s": total_s,
        "mean_s": total_s / calls,
        **{f"p{share * 100:.0f}_s": value for share, value in zip(SHARES, quantiles)},
        "max_s": max_s,
        "lock_time_s": row.lock_time_us / 1e6,
        "rows_sent": row.rows_sent,
        "rows_examined": row.rows_examined,
        "users": _by(row.users),
        "hosts": _by(row.hosts),
    }


def _by(counts: dict[bytes, int]) -> dict[str, int]:
    """Return the calls by name, most frequent first, then by name."""
    calls: dict[str, int] = {}
    for name, count in counts.items():
        text = name.decode("utf-8", "replace")
        calls[text] = calls.get(text, 0) + count
    return dict(sorted(calls.items(), key=lambda each: (-each[1], each[0])))


def _iso(us: int | None) -> str | None:
    if us is None:
        return None
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat().replace("+00:00", "Z")


def write_lines(
    names: Sequence[Source],
    account: Account,
    write: Callable[[list[str]], None],
    *,
    selection: Selection = ALL,
    mode: SqlMode = DEFAULT_MODE,
    with_sql: bool = False,
) -> tuple[str, dict[Source, Account]]:
    """Write one execution per line, as JSON, in the order of the logs; `account` is complete at the end.

    Parameters
    ----------
    names : sequence of str or S3Object
        The logs.
    account : Account
        Filled while the logs are read.
    write : callable
        Takes some lines.
    selection : Selection
        The executions to write.
    mode : SqlMode
        The server's sql_mode.
    with_sql : bool
        Include the text of each statement.

    Returns
    -------
    str, dict of str or S3Object to Account
        The engine that wrote the logs, and each file's account.

    Raises
    ------
    Error
        If the logs have nothing that can be used.
    """
    engine, files = None, dict[Source, Account]()
    for name in names:
        before = replace(account)
        found, chunks = log_files.recognised(log_files.chunks(name))
        engine = found or engine
        slow_log = engines.module(found or engines.DEFAULT, "slow_log")
        if slow_log.library(mode) is not None and not with_sql:
            wanted = None if selection == ALL else selection.includes
            slow_log.write_lines(chunks, account, write, wanted, mode=mode)
        else:
            entries = selected(slow_log.entries(chunks, account, mode), selection, slow_log.ended)
            for event in slow_log.events(entries, mode):
                write([compact_json_line(record(event, with_sql=with_sql))])
        files[name] = account - before
    unread.check(engine or engines.DEFAULT, account, *names)
    return engine or engines.DEFAULT, files
