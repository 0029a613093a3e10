"""A ranked profile of a slow log: which statements took the time, and how their times are distributed.

Standard library only: an analyst has it from a raw log in seconds, without a store.

What bounds its memory: the shapes that `fingerprint.FingerprintCache` knows; `MOST` digests, of `MOST_TEXT` in all, with
a row of their own, where the others share one row whose totals are exact; and `HELD` query times: quantiles are
exact, so what is more than that waits in a temporary file.
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

from aurora_analysis.engines.mysql import slow_log
from aurora_analysis.engines.mysql.fingerprint import DEFAULT_MODE, FingerprintCache, SqlMode, Statement
from aurora_analysis.engines.mysql.slow_log import Account, Entry
from aurora_analysis.sources import log_files
from aurora_analysis.window import Window

MOST, MOST_TEXT = 20_000, 16 * 2**20
"""How many digests have a row of their own, and how long their fingerprints are in all [characters]."""

OTHER = Statement("other", "(all further statements)", True)

CLIENTS, MOST_CLIENTS = 100, 100_000
"""How many clients (user and host) a row tells apart, and all rows; the others are counted together."""

OTHER_CLIENTS = (b"(others)", b"(others)")

HELD = 2_000_000
"""How many query times are held in memory, 8 bytes each; as many are when those on disk are read back."""

SHARES = (0.5, 0.95, 0.99)

PART = 64 * 2**20
"""How much of a big log one process takes at a time [bytes]."""


@dataclass(slots=True)
class Row:
    """The executions of one digest.

    `times` are the query times [s] that are in memory. The others are in the profile's file, in sorted `runs`: where
    each begins [bytes] and how many it has, in turns; `spilled_s` is their sum.
    """

    statement: Statement
    times: array[float] = field(default_factory=lambda: array("d"))
    runs: array[int] = field(default_factory=lambda: array("q"))
    spilled_s: float = 0.0
    lock_time_us: int = 0
    rows_sent: int = 0
    rows_examined: int = 0
    clients: dict[tuple[bytes, bytes], int] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """How many executions there were."""
        return sum(self.runs[1::2]) + len(self.times)


@dataclass
class Profile:
    """The rows by digest, the time of the first and the last entry, and what became of the log's bytes.

    `text` and `clients` are how much the rows' fingerprints and clients take; `file`, if any, has the query times
    that were too many for memory.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    first_us: int | None = None
    last_us: int | None = None
    account: Account = field(default_factory=Account)
    text: int = 0
    clients: int = 0
    file: IO[bytes] | None = None


@dataclass(frozen=True)
class Wanted:
    """Which executions count: those that ended from `since` to `until` [us since 1970, UTC], of one user."""

    since_us: int | None = None
    until_us: int | None = None
    user: str | None = None


ALL = Wanted()


def wanted(since: str = "", until: str = "", user: str = "") -> Wanted:
    """What the user asked for; empty is no bound."""
    span = Window(since or "0001-01-01", until or "9999-12-31")
    return Wanted(
        int(span.start.timestamp()) * 1_000_000 if since else None,
        int(span.end.timestamp()) * 1_000_000 if until else None,
        user or None,
    )


def processes_for(size: int) -> int:
    """How many processes pay: one below 256 MB, where starting them costs what they save."""
    return 1 if size < 256_000_000 else min(4, os.cpu_count() or 1)


def of_files(
    names: Sequence[str],
    overflow: IO[bytes],
    *,
    processes: int = 1,
    wanted: Wanted = ALL,
    mode: SqlMode = DEFAULT_MODE,
    tell: Callable[[int], None] = lambda _: None,
) -> Profile:
    """The profile of several files; `tell` hears how many bytes were read since it heard last.

    `overflow`, an empty temporary file, takes the query times that are too many for memory; the profile needs it.
    Several processes take the plain files in parts, each of which begins where an entry does; what is packed or
    comes from a pipe has no parts.
    """
    profile = Profile(file=overflow)
    sizes = {name: log_files.size(name) for name in names} if processes > 1 else {}
    parts = [(name, *part) for name, size in sizes.items() if size for part in _parts(name, size)]
    if parts:
        from concurrent.futures import ProcessPoolExecutor

        with ProcessPoolExecutor(processes, initializer=_ended_by_ctrl_c) as pool:
            for part in pool.map(_of_part, parts, repeat(wanted), repeat(mode)):
                add(profile, part)
                tell(part.account.bytes)
    for name in names:
        if sizes.get(name) is None:
            read(profile, _told(log_files.chunks(name), tell), wanted=wanted, mode=mode)
    return profile


def _ended_by_ctrl_c() -> None:
    """Without a word: it is for the parent to say."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _parts(name: str, size: int) -> list[tuple[int, int]]:
    return log_files.ranges(name, math.ceil(size / PART))


def _of_part(part: tuple[str, int, int], wanted: Wanted, mode: SqlMode) -> Profile:
    return of_log(log_files.chunks(*part), wanted=wanted, mode=mode)


@cache
def _statements(mode: SqlMode) -> FingerprintCache:
    """What one process knows of the statements stays from log to log."""
    return FingerprintCache(mode)


def _told(chunks: Iterable[bytes], tell: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        tell(len(chunk))


def of_log(chunks: Iterable[bytes], *, wanted: Wanted = ALL, mode: SqlMode = DEFAULT_MODE) -> Profile:
    """The profile of one log."""
    profile = Profile()
    read(profile, chunks, wanted=wanted, mode=mode)
    return profile


def read(
    profile: Profile, chunks: Iterable[bytes], *, wanted: Wanted = ALL, mode: SqlMode = DEFAULT_MODE
) -> None:
    """Take in the executions of a log."""
    entries = selected(slow_log.entries(_held(chunks, profile), profile.account, mode), wanted)
    statements, rows = _statements(mode), profile.rows
    entry = first = next(entries, None)
    for entry in chain([first] if first else [], entries):
        _, user, host, _, query_time, lock_time, rows_sent, rows_examined, _, _, _, _, sql, _ = entry
        statement = statements(sql)
        row = rows.get(statement.digest) or _row(profile, statement)
        row.times.append(float(query_time))
        row.lock_time_us += round(float(lock_time) * 1e6)
        row.rows_sent += int(rows_sent)
        row.rows_examined += int(rows_examined)
        client = (user, host)
        if client in row.clients:
            row.clients[client] += 1
        else:
            _count(profile, row, client, 1)
    if first is not None and entry is not None:
        _widen(profile, slow_log.ended(first, False)[0], slow_log.ended(entry, False)[0])


def add(profile: Profile, other: Profile) -> None:
    """Take in another profile, of another log or part of one; its query times are in memory."""
    for digest, row in other.rows.items():
        ours = profile.rows.get(digest) or _row(profile, row.statement)
        ours.times.extend(row.times)
        ours.lock_time_us += row.lock_time_us
        ours.rows_sent += row.rows_sent
        ours.rows_examined += row.rows_examined
        for client, calls in row.clients.items():
            _count(profile, ours, client, calls)
    _widen(profile, other.first_us, other.last_us)
    profile.account += other.account
    _spill_surplus(profile)


def selected(entries: Iterator[Entry], wanted: Wanted = ALL) -> Iterator[Entry]:
    """The entries that are wanted; one that tells no time is not, where a time is asked for."""
    return entries if wanted == ALL else (entry for entry in entries if _is_wanted(entry, wanted))


def _is_wanted(entry: Entry, wanted: Wanted) -> bool:
    if wanted.user is not None and entry.user != wanted.user.encode():
        return False
    if wanted.since_us is None and wanted.until_us is None:
        return True
    ended_us, _ = slow_log.ended(entry, False)
    if ended_us is None:
        return False
    return (wanted.since_us or 0) <= ended_us and (wanted.until_us is None or ended_us < wanted.until_us)


def _widen(profile: Profile, first_us: int | None, last_us: int | None) -> None:
    profile.first_us = min((us for us in (profile.first_us, first_us) if us is not None), default=None)
    profile.last_us = max((us for us in (profile.last_us, last_us) if us is not None), default=None)


def _row(profile: Profile, statement: Statement) -> Row:
    """The row of a new digest; the common one where there are too many."""
    if len(profile.rows) >= MOST or profile.text > MOST_TEXT:
        statement = OTHER
    profile.text += len(statement.fingerprint)
    return profile.rows.setdefault(statement.digest, Row(statement))


def _count(profile: Profile, row: Row, client: tuple[bytes, bytes], calls: int) -> None:
    if client not in row.clients:
        is_own = len(row.clients) < CLIENTS and profile.clients < MOST_CLIENTS
        profile.clients += is_own
        client = client if is_own else OTHER_CLIENTS
    row.clients[client] = row.clients.get(client, 0) + calls


# Query times beyond HELD wait in a file, in sorted runs.


def _held(chunks: Iterable[bytes], profile: Profile) -> Iterator[bytes]:
    """The chunks; before each, what became too much of the profile goes to its file."""
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
    """The query times at these ranks, the smallest being 0."""
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
    """A sorted run of the file, a block at a time."""
    for done in range(0, count, block):
        file.seek(start + 8 * done)
        times = array("d")
        times.fromfile(file, min(block, count - done))
        yield from times


def _sort(times: array[float]) -> None:
    """In place. A million of them as Python floats would take 32 MB."""
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
"""What a profile may be ranked by, the largest first."""


def summary(profile: Profile, *, order_by: str = "time", limit: int | None = None) -> dict[str, Any]:
    """The profile as plain values: `events`, `sums`, the ranked `profile`, `coverage`."""
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
        "users": _by(row.clients, 0),
        "hosts": _by(row.clients, 1),
    }


def _by(clients: dict[tuple[bytes, bytes], int], part: int) -> dict[str, int]:
    """Calls by user (0) or host (1), the most frequent first."""
    calls: Counter[str] = Counter()
    for client, count in clients.items():
        calls[client[part].decode("utf-8", "replace")] += count
    return dict(calls.most_common())


def _iso(us: int | None) -> str | None:
    if us is None:
        return None
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat().replace("+00:00", "Z")


def lines(
    names: Sequence[str],
    account: Account,
    *,
    wanted: Wanted = ALL,
    mode: SqlMode = DEFAULT_MODE,
    with_sql: bool = False,
) -> Iterator[str]:
    """One execution a line, as JSON; `account` is complete at the end."""
    for name in names:
        entries = slow_log.entries(log_files.chunks(name), account, mode)
        for event in slow_log.events(selected(entries, wanted), mode):
            yield json.dumps(slow_log.record(event, with_sql=with_sql), ensure_ascii=False)


def text(told: dict[str, Any]) -> str:
    """A summary as a page for the terminal: the ranked statements, then each one's text and clients."""
    head = _HEAD.format(
        **told,
        span=", {first_ended_at} to {last_ended_at}".format(**told) if told["events"] else "",
        time=_seconds(told["sums"]["query_time_s"]),
        size=told["coverage"]["bytes"] / 1e6,
        account=Account(**told["coverage"]),
    )
    rows = [_ROW.format(**row, **_human(row)) for row in told["profile"]]
    return "\n".join([head, _COLUMNS, *rows, "", *map(_details, told["profile"])])


_HEAD = """\
# {events:,} executions of {digests:,} statements{span}: {time} in all
# {account}
"""
_COLUMNS = """\
# Rank Digest           Response time       Calls   R/Call      p50      p95      p99      max  Rows exam.  Rows sent
# ==== ================ ============== ========== ======== ======== ======== ======== ======== =========== =========="""
_ROW = (
    "{rank:6d} {digest:16} {total:>7} {share:6.1%} {calls:10,d} {mean:>8} {p50:>8} {p95:>8} {p99:>8} {max:>8}"
    " {rows_examined:11,d} {rows_sent:10,d}"
)


def _human(row: dict[str, Any]) -> dict[str, str]:
    times = {name.removesuffix("_s"): _seconds(row[name]) for name in row if name.endswith("_s")}
    return {"total": times["response_time"], **times}


def _details(row: dict[str, Any]) -> str:
    return (
        f"# {row['rank']} {row['digest']}  users: {_most(row['users'])}  hosts: {_most(row['hosts'])}\n"
        f"{row['fingerprint'] or '(no statement)'}\n"
    )


def _most(calls: dict[str, int], count: int = 3) -> str:
    named = [f"{_printable(name) or '(none)'} {number:,}" for name, number in list(calls.items())[:count]]
    return ", ".join(named + [f"{len(calls) - count} more"] * (len(calls) > count))


def _printable(name: str) -> str:
    """The name without what a terminal would act on; a fingerprint has no such characters."""
    return "".join(one if one.isprintable() else "?" for one in name)


def _seconds(value: float) -> str:
    """A duration at three significant digits.

    >>> _seconds(0.01234), _seconds(98.7), _seconds(1234.5)
    ('12.3ms', '98.7s', '1234s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            digits = max(0, 2 - math.floor(math.log10(value / size)))
            return f"{value / size:.{digits}f}{unit}"
    return f"{value * 1e6:.0f}us"
