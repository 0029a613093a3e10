"""A ranked profile of a slow log: which statements took the time, and how their times are distributed.

Standard library only: an analyst has it from a raw log in seconds, without a store.

What bounds its memory: the shapes that `fingerprint.Statements` knows; `MOST` digests with a row of their own,
the others share one row whose totals are exact; and 8 bytes for each execution, since quantiles are exact.
"""

from __future__ import annotations

import json
import math
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import chain, repeat
from typing import Any

from aurora_analysis.fingerprint import DEFAULT_MODE, SqlMode, Statement, Statements
from aurora_analysis.sources import log_files, slow_log
from aurora_analysis.sources.slow_log import Account, Entry
from aurora_analysis.window import Window

MOST = 20_000
"""How many digests have a row of their own; one with 100 clients is some 10 kB."""

OTHER = Statement("other", "(all further statements)", True)

CLIENTS = 100
"""How many clients (user and host) a row tells apart; the others are counted together."""

OTHER_CLIENTS = (b"(others)", b"(others)")

SHARES = (0.5, 0.95, 0.99)

PART = 64 * 2**20
"""How much of a big log one process takes at a time [bytes]."""


@dataclass(slots=True)
class Row:
    """The executions of one digest; `times` are their query times [s]."""

    statement: Statement
    times: array[float] = field(default_factory=lambda: array("d"))
    lock_time_us: int = 0
    rows_sent: int = 0
    rows_examined: int = 0
    clients: dict[tuple[bytes, bytes], int] = field(default_factory=dict)

    def add(self, other: Row) -> None:
        """Take in the executions of another row."""
        self.times.extend(other.times)
        self.lock_time_us += other.lock_time_us
        self.rows_sent += other.rows_sent
        self.rows_examined += other.rows_examined
        for client, calls in other.clients.items():
            _count(self.clients, client, calls)


@dataclass
class Profile:
    """The rows by digest, the time of the first and the last entry, and what became of the log's bytes."""

    rows: dict[str, Row] = field(default_factory=dict)
    first_us: int | None = None
    last_us: int | None = None
    account: Account = field(default_factory=Account)


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
    *,
    processes: int = 1,
    wanted: Wanted = ALL,
    mode: SqlMode = DEFAULT_MODE,
    tell: Callable[[int], None] = lambda _: None,
) -> Profile:
    """The profile of several files; `tell` hears how many bytes were read since it heard last.

    Several processes take a plain file in parts, each of which begins where an entry does.
    """
    if processes == 1:
        return merged(of_log(_told(log_files.chunks(name), tell), wanted=wanted, mode=mode) for name in names)
    from concurrent.futures import ProcessPoolExecutor

    parts = [part for name in names for part in _parts(name)]
    with ProcessPoolExecutor(processes) as pool:
        return merged(
            _told_profile(done, tell) for done in pool.map(_of_part, parts, repeat(wanted), repeat(mode))
        )


def _parts(name: str) -> list[tuple[str, int, int | None]]:
    size = log_files.size(name)
    if size is None:
        return [(name, 0, None)]
    return [(name, start, end) for start, end in log_files.ranges(name, math.ceil(size / PART))]


def _of_part(part: tuple[str, int, int | None], wanted: Wanted, mode: SqlMode) -> Profile:
    return of_log(log_files.chunks(*part), wanted=wanted, mode=mode, statements=_statements(mode))


@cache
def _statements(mode: SqlMode) -> Statements:
    """What one process knows of the statements stays from part to part."""
    return Statements(mode)


def _told(chunks: Iterable[bytes], tell: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        tell(len(chunk))


def _told_profile(profile: Profile, tell: Callable[[int], None]) -> Profile:
    tell(profile.account.bytes)
    return profile


def of_log(
    chunks: Iterable[bytes],
    *,
    wanted: Wanted = ALL,
    mode: SqlMode = DEFAULT_MODE,
    statements: Statements | None = None,
) -> Profile:
    """The profile of one log."""
    profile = Profile()
    entries = selected(slow_log.entries(chunks, profile.account, mode), wanted)
    statements, rows = statements or Statements(mode), profile.rows
    entry = first = next(entries, None)
    for entry in chain([first] if first else [], entries):
        _, user, host, _, query_time, lock_time, rows_sent, rows_examined, *_, sql, _ = entry
        statement = statements(sql)
        row = rows.get(statement.digest) or _row(rows, statement)
        row.times.append(float(query_time))
        row.lock_time_us += round(float(lock_time) * 1e6)
        row.rows_sent += int(rows_sent)
        row.rows_examined += int(rows_examined)
        _count(row.clients, (user, host), 1)
    if first is not None and entry is not None:
        profile.first_us, profile.last_us = slow_log.ended(first, False)[0], slow_log.ended(entry, False)[0]
    return profile


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


def _row(rows: dict[str, Row], statement: Statement) -> Row:
    """The row of a new digest; the common one where there are too many."""
    if len(rows) >= MOST:
        statement = OTHER
    return rows.setdefault(statement.digest, Row(statement))


def _count(clients: dict[tuple[bytes, bytes], int], client: tuple[bytes, bytes], calls: int) -> None:
    if client not in clients and len(clients) >= CLIENTS:
        client = OTHER_CLIENTS
    clients[client] = clients.get(client, 0) + calls


def merged(profiles: Iterable[Profile]) -> Profile:
    """One profile of several logs, or parts of a log, in the order of their entries."""
    total = Profile()
    for profile in profiles:
        for digest, row in profile.rows.items():
            (total.rows.get(digest) or _row(total.rows, row.statement)).add(row)
        known = [us for us in (total.first_us, profile.first_us) if us is not None]
        total.first_us = min(known, default=None)
        known = [us for us in (total.last_us, profile.last_us) if us is not None]
        total.last_us = max(known, default=None)
        total.account += profile.account
    return total


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
    rows = [_summary(row) for row in profile.rows.values()]
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


def _summary(row: Row) -> dict[str, Any]:
    calls, total_s = len(row.times), round(math.fsum(row.times), 6)
    times = _ordered(row.times)
    return {
        "digest": row.statement.digest,
        "fingerprint": row.statement.fingerprint,
        "calls": calls,
        "response_time_s": total_s,
        "mean_s": total_s / calls,
        **{f"p{share * 100:.0f}_s": times[math.ceil(share * calls) - 1] for share in SHARES},
        "max_s": times[-1],
        "lock_time_s": row.lock_time_us / 1e6,
        "rows_sent": row.rows_sent,
        "rows_examined": row.rows_examined,
        "users": _by(row.clients, 0),
        "hosts": _by(row.clients, 1),
    }


def _ordered(times: array[float]) -> Sequence[float]:
    """The query times, smallest first. A million of them as Python floats would take 32 MB."""
    if len(times) < 200_000:
        return sorted(times)
    import numpy as np

    ordered = array("d", times)
    np.frombuffer(ordered).sort()
    return ordered


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
    names: Sequence[str], *, wanted: Wanted = ALL, mode: SqlMode = DEFAULT_MODE, with_sql: bool = False
) -> Iterator[str]:
    """One execution a line, as JSON."""
    for name in names:
        entries = slow_log.entries(log_files.chunks(name), Account(), mode)
        for event in slow_log.events(selected(entries, wanted), mode):
            yield json.dumps(slow_log.record(event, with_sql=with_sql), ensure_ascii=False)


def text(told: dict[str, Any]) -> str:
    """A summary as a page for the terminal: the ranked statements, then each one's text and clients."""
    head = _HEAD.format(
        **told,
        time=_seconds(told["sums"]["query_time_s"]),
        size=told["coverage"]["bytes"] / 1e6,
        account=Account(**told["coverage"]),
    )
    rows = [_ROW.format(**row, **_human(row)) for row in told["profile"]]
    return "\n".join([head, _COLUMNS, *rows, "", *map(_details, told["profile"])])


_HEAD = """\
# {events:,} executions of {digests:,} statements, {first_ended_at} to {last_ended_at}: {time} in all
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
