"""Rank the statements of slow logs: which took the time, and how their times are distributed.

It needs only the standard library and no store, so that an answer from a raw log takes seconds.

Memory is bounded by three limits. `FingerprintCache` limits the shapes. At most `MOST` digests, with `MOST_TEXT`
characters in all, have a row of their own; all others share one row whose totals are exact. At most `HELD` query times
stay in memory; the rest wait in a temporary file, because quantiles are exact.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import signal
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import chain, repeat
from typing import IO, Any

from aurora_analysis import engines
from aurora_analysis.engines.log_events import Account, record
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.engines.statement import Statement
from aurora_analysis.sources import log_files
from aurora_analysis.sources.inputs import Source
from aurora_analysis.sources.selection import ALL, Selection, selected

MOST, MOST_TEXT = 20_000, 16 * 2**20
"""Maximum number of digests with a row of their own, and of their fingerprints' length in all [characters]."""

OTHER = Statement("other", "(all further statements)", True)

CLIENTS, MOST_CLIENTS = 100, 100_000
"""Maximum number of users, and of hosts, that one row, and all rows, count separately."""

OTHERS = b"(others)"

HELD = 2_000_000
"""Maximum number of query times in memory, 8 bytes each; the same again when those on disk are read back."""

SHARES = (0.5, 0.95, 0.99)
"""The quantiles of a row."""

PART = 64 * 2**20
"""Size of the parts of a big log that processes take one by one [bytes]."""


@dataclass(slots=True)
class Row:
    """The executions of one digest.

    `times` are the query times in memory [s]. The others are in the profile's file, as sorted runs: `runs` holds the
    start [bytes] and the length [times] of each, one after the other; `spilled_s` is their sum. `clients` holds the
    calls by user and host that are not in `users` and `hosts` yet.
    """

    statement: Statement
    times: array[float] = field(default_factory=lambda: array("d"))
    runs: array[int] = field(default_factory=lambda: array("q"))
    spilled_s: float = 0.0
    lock_time_us: int = 0
    rows_sent: int = 0
    rows_examined: int = 0
    clients: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    users: dict[bytes, int] = field(default_factory=dict)
    hosts: dict[bytes, int] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """Number of executions."""
        return sum(self.runs[1::2]) + len(self.times)


@dataclass
class Profile:
    """The rows by digest, the times of the first and the last entry, and the account of the log's bytes.

    `text` is the length of all fingerprints [characters]; `clients` is the number of pairs of user and host that wait
    in the rows, `users` and `hosts` the numbers of those counted separately. `is_part` lifts the limits on rows and
    names: what a part of a log holds is limited by its size, and the limits hold where the parts are added up.
    The times of a part are those of its first and last entry, even if the log is not in order.
    `file` takes the query times beyond `HELD`; without one, all stay in memory.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    first_us: int | None = None
    last_us: int | None = None
    account: Account = field(default_factory=Account)
    text: int = 0
    clients: int = 0
    users: int = 0
    hosts: int = 0
    is_part: bool = False
    file: IO[bytes] | None = None


def processes_for(size: int) -> int:
    """Return the number of processes for a log of this size [bytes]: one below 256 MB, where a start costs more."""
    return 1 if size < 256_000_000 else min(4, os.cpu_count() or 1)


def profile_files(
    names: Sequence[Source],
    overflow: IO[bytes],
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
    overflow : file
        An empty temporary file for the query times beyond `HELD`; it must stay open as long as the profile.
    processes : int
        Number of processes. They read plain files in parts that begin at an entry. Gzipped files and pipes have no
        parts and are read by this process.
    selection : Selection
        The executions to count.
    mode : SqlMode
        The server's sql_mode.
    progress : callable
        Called with the number of bytes read since the last call.
    """
    profile = Profile(file=overflow)
    files = [name for name in names if isinstance(name, str)] if processes > 1 else []
    sizes: dict[Source, int | None] = {name: log_files.size(name) for name in files}
    parts = [(name, *part) for name in files if (size := sizes[name]) for part in _parts(name, size)]
    if parts:
        from concurrent.futures import ProcessPoolExecutor

        with ProcessPoolExecutor(processes, initializer=_ended_by_ctrl_c) as pool:
            spans: dict[str, tuple[int | None, int | None]] = {}
            for (name, *_), part in zip(parts, pool.map(_of_part, parts, repeat(selection), repeat(mode))):
                progress(part.account.bytes)
                if part.rows:
                    spans[name] = (spans[name][0] if name in spans else part.first_us, part.last_us)
                part.first_us = part.last_us = None
                add(profile, part)
            for span in spans.values():
                _widen(profile, *span)
    for source in names:
        if sizes.get(source) is None:
            read(profile, _reported(log_files.chunks(source), progress), selection=selection, mode=mode)
    return profile


def _ended_by_ctrl_c() -> None:
    """End a worker at Ctrl-C without a traceback; the parent reports it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _parts(name: str, size: int) -> list[tuple[int, int]]:
    return log_files.ranges(name, math.ceil(size / PART))


def _of_part(part: tuple[str, int, int], selection: Selection, mode: SqlMode) -> Profile:
    profile = Profile(is_part=True)
    read(profile, log_files.chunks(*part), selection=selection, mode=mode)
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
    slow_log = engines.module(engine, "slow_log")
    entries = selected(
        slow_log.entries(_held(chunks, profile), profile.account, mode), selection, slow_log.ended
    )
    statements, rows = _statements(engine, mode), profile.rows
    entry = first = next(entries, None)
    for entry in chain([first] if first else [], entries):
        _, user, host, _, query_time, lock_time, rows_sent, rows_examined, _, _, _, _, sql, *_ = entry
        statement = statements(sql)
        row = rows.get(statement.digest) or _row(profile, statement)
        row.times.append(float(query_time))
        row.lock_time_us += round(float(lock_time) * 1e6)
        row.rows_sent += int(rows_sent)
        row.rows_examined += int(rows_examined or 0)
        client = (user, host)
        if client in row.clients:
            row.clients[client] += 1
        else:
            _count(profile, row, client)
    if first is not None and entry is not None:
        ends = slow_log.ended(first, False)[0], slow_log.ended(entry, False)[0]
        if profile.is_part:
            profile.first_us, profile.last_us = ends
        else:
            _widen(profile, *ends)


def add(profile: Profile, other: Profile) -> None:
    """Add another profile, of another log or part; its query times must be in memory."""
    for digest, row in other.rows.items():
        ours = profile.rows.get(digest) or _row(profile, row.statement)
        ours.times.extend(row.times)
        ours.lock_time_us += row.lock_time_us
        ours.rows_sent += row.rows_sent
        ours.rows_examined += row.rows_examined
        _fold(profile, ours)
        for user, calls in _users(row).items():
            profile.users += _add_name(ours.users, user, calls, _limit(profile, ours, profile.users))
        for host, calls in _hosts(row).items():
            profile.hosts += _add_name(ours.hosts, host, calls, _limit(profile, ours, profile.hosts))
    _widen(profile, other.first_us, other.last_us)
    profile.account += other.account
    _spill_surplus(profile)


def _widen(profile: Profile, first_us: int | None, last_us: int | None) -> None:
    profile.first_us = min((us for us in (profile.first_us, first_us) if us is not None), default=None)
    profile.last_us = max((us for us in (profile.last_us, last_us) if us is not None), default=None)


def _row(profile: Profile, statement: Statement) -> Row:
    """Return the row of a new digest, or the common row if there are too many."""
    if not profile.is_part and (len(profile.rows) >= MOST or profile.text > MOST_TEXT):
        statement = OTHER
    profile.text += len(statement.fingerprint)
    return profile.rows.setdefault(statement.digest, Row(statement))


def _count(profile: Profile, row: Row, client: tuple[bytes, bytes]) -> None:
    """Count a call of a new pair of user and host; before, make room for it."""
    if len(row.clients) >= CLIENTS:
        _fold(profile, row)
    if profile.clients >= MOST_CLIENTS:
        for each in profile.rows.values():
            _fold(profile, each)
    row.clients[client] = 1
    profile.clients += 1


def _fold(profile: Profile, row: Row) -> None:
    """Move the row's calls by pair into its calls by user and by host, in the order of the log."""
    for (user, host), calls in row.clients.items():
        profile.users += _add_name(row.users, user, calls, _limit(profile, row, profile.users))
        profile.hosts += _add_name(row.hosts, host, calls, _limit(profile, row, profile.hosts))
    profile.clients -= len(row.clients)
    row.clients.clear()


def _limit(profile: Profile, row: Row, names: int) -> int | None:
    """Return how many names a row may count separately; None for any number.

    The common row counts none: which names came first there depends on how the log was split.
    """
    if row.statement.digest == OTHER.digest:
        return 0
    return None if profile.is_part else CLIENTS if names < MOST_CLIENTS else 0


def _add_name(counts: dict[bytes, int], name: bytes, calls: int, limit: int | None) -> int:
    """Add a name's calls, or add them to `(others)` beyond the limit; return the number of new names."""
    is_new = name not in counts
    if is_new and limit is not None and len(counts) >= limit:
        name, is_new = OTHERS, False
    counts[name] = counts.get(name, 0) + calls
    return is_new


def _users(row: Row) -> dict[bytes, int]:
    return _with_pairs(row.users, row, 0)


def _hosts(row: Row) -> dict[bytes, int]:
    return _with_pairs(row.hosts, row, 1)


def _with_pairs(counts: dict[bytes, int], row: Row, part: int) -> dict[bytes, int]:
    """Return the calls by user (part 0) or host (part 1) of a log's part, with those that still wait in pairs."""
    found = dict(counts)
    for client, calls in row.clients.items():
        found[client[part]] = found.get(client[part], 0) + calls
    return found


# Query times beyond HELD wait in a file, in sorted runs.


def _held(chunks: Iterable[bytes], profile: Profile) -> Iterator[bytes]:
    """Pass the chunks on; before each, move surplus query times to the profile's file."""
    for chunk in chunks:
        _spill_surplus(profile)
        yield chunk


def _spill_surplus(profile: Profile) -> None:
    if profile.file is None or sum(len(row.times) for row in profile.rows.values()) < HELD:
        return
    for row in profile.rows.values():
        row.runs.extend((profile.file.tell(), len(row.times)))
        row.spilled_s += math.fsum(row.times)
        _sort(row.times)
        row.times.tofile(profile.file)
        row.times = array("d")


def _at(row: Row, ranks: Sequence[int], file: IO[bytes] | None) -> list[float]:
    """Return the query times at these ranks; rank 0 is the smallest."""
    runs = list(zip(row.runs[::2], row.runs[1::2]))
    if row.calls > HELD and file is not None:
        _sort(row.times)
        merged = heapq.merge(*(_run(file, *run) for run in runs), row.times)
        found = {rank: time for rank, time in enumerate(merged) if rank in ranks}
        return [found[rank] for rank in ranks]
    times = row.times + array("d", chain.from_iterable(_run(file, *run) for run in runs if file))
    _sort(times)
    return [times[rank] for rank in ranks]


def _run(file: IO[bytes], start: int, count: int, block: int = 8192) -> Iterator[float]:
    """Read a sorted run of the file, a block at a time."""
    for done in range(0, count, block):
        file.seek(start + 8 * done)
        times = array("d")
        times.fromfile(file, min(block, count - done))
        yield from times


def _sort(times: array[float]) -> None:
    """Sort in place; a million times as Python floats would take 32 MB."""
    if len(times) < 200_000:
        times[:] = array("d", sorted(times))
        return
    import numpy as np

    np.frombuffer(times).sort()


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
    """
    for row in profile.rows.values():
        _fold(profile, row)
    rows = [_summary(row, profile.file) for row in profile.rows.values()]
    total_s = math.fsum(row["response_time_s"] for row in rows)
    rows.sort(key=lambda row: (-row[ORDERS[order_by]], row["digest"]))
    ranked = [
        {"rank": rank, **row, "share": row["response_time_s"] / total_s if total_s else 0.0}
        for rank, row in enumerate(rows[:limit], 1)
    ]
    return {
        "version": 1,
        "events": sum(row["calls"] for row in rows),
        "digests": len(rows),
        "first_ended_at": _iso(profile.first_us),
        "last_ended_at": _iso(profile.last_us),
        "sums": {
            "query_time_s": round(total_s, 6),
            "lock_time_s": round(sum(row.lock_time_us for row in profile.rows.values()) / 1e6, 6),
            "rows_sent": sum(row["rows_sent"] for row in rows),
            "rows_examined": sum(row["rows_examined"] for row in rows),
        },
        "profile": ranked,
        "coverage": asdict(profile.account),
    }


def _summary(row: Row, file: IO[bytes] | None) -> dict[str, Any]:
    calls, total_s = row.calls, round(math.fsum(chain([row.spilled_s], row.times)), 6)
    *quantiles, max_s = _at(row, [*(math.ceil(share * calls) - 1 for share in SHARES), calls - 1], file)
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
    calls: Counter[str] = Counter()
    for name, count in counts.items():
        calls[name.decode("utf-8", "replace")] += count
    return dict(sorted(calls.items(), key=lambda each: (-each[1], each[0])))


def _iso(us: int | None) -> str | None:
    if us is None:
        return None
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat().replace("+00:00", "Z")


def lines(
    names: Sequence[Source],
    account: Account,
    *,
    selection: Selection = ALL,
    mode: SqlMode = DEFAULT_MODE,
    with_sql: bool = False,
) -> Iterator[str]:
    """Yield one execution per line, as JSON; `account` is complete at the end."""
    for name in names:
        engine, chunks = log_files.recognised(log_files.chunks(name))
        slow_log = engines.module(engine, "slow_log")
        entries = selected(slow_log.entries(chunks, account, mode), selection, slow_log.ended)
        for event in slow_log.events(entries, mode):
            yield json.dumps(record(event, with_sql=with_sql), ensure_ascii=False)
