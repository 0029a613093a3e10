"""The rows of a profile: one per statement, with bounded numbers of statements, users and hosts."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

from aurora_analysis.engines.log_events import Account
from aurora_analysis.engines.statement import Statement
from aurora_analysis.errors import Error
from aurora_analysis.sources import query_times
from aurora_analysis.sources.inputs import Source

MOST, MOST_TEXT = 20_000, 16 * 2**20
"""Maximum number of digests with a row of their own, and of their fingerprints' length in all [characters]."""

OTHER = Statement("other", "(all further statements)", True)

CLIENTS, MOST_CLIENTS = 100, 100_000
"""Maximum number of users, and of hosts, that one row, and all rows, count separately."""

OTHERS = b"(others)"


@dataclass(slots=True)
class Row:
    """The executions of one digest.

    `times` are the query times in memory [us]. The others are in the profile's file, as sorted runs: `runs` holds the
    start [bytes] and the length [times] of each, one after the other. `query_time_us` is the sum of all. `clients`
    holds the calls by user and host that are not in `users` and `hosts` yet.
    """

    statement: Statement
    times: array[int] = field(default_factory=lambda: array("q"))
    runs: array[int] = field(default_factory=lambda: array("q"))
    query_time_us: int = 0
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
    """The rows by digest, the times of the first and the last entry, and the account of the logs' bytes, in all and by file.

    `text` is the length of all fingerprints [characters]; `clients` is the number of pairs of user and host that wait
    in the rows, `users` and `hosts` the numbers of those counted separately. `is_part` lifts the limits on rows and
    names: what a part of a log holds is limited by its size, and the limits hold where the parts are added up.
    The times of a part are those of its first and last entry, even if the log is not in order.
    `file` returns the file for the query times beyond `HELD`; without it, all stay in memory. `engine` wrote the logs, and does not log
    the figures `unknown`; it is None as long as no log is recognised.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    first_us: int | None = None
    last_us: int | None = None
    account: Account = field(default_factory=Account)
    files: dict[Source, Account] = field(default_factory=dict)
    text: int = 0
    clients: int = 0
    users: int = 0
    hosts: int = 0
    is_part: bool = False
    file: Callable[[], IO[bytes]] | None = None
    engine: str | None = None
    unknown: frozenset[str] = frozenset()


def add(profile: Profile, other: Profile) -> None:
    """Add another profile, of another log or part, which must not be used any more; its query times must be in memory."""
    for digest, row in other.rows.items():
        ours = profile.rows.get(digest) or row_of(profile, row.statement)
        if ours.times:
            ours.times.extend(row.times)
        else:
            ours.times = row.times
        ours.query_time_us += row.query_time_us
        ours.lock_time_us += row.lock_time_us
        ours.rows_sent += row.rows_sent
        ours.rows_examined += row.rows_examined
        fold(profile, ours)
        for user, calls in _users(row).items():
            profile.users += _add_name(ours.users, user, calls, _limit(profile, ours, profile.users))
        for host, calls in _hosts(row).items():
            profile.hosts += _add_name(ours.hosts, host, calls, _limit(profile, ours, profile.hosts))
    widen(profile, other.first_us, other.last_us)
    profile.account += other.account
    if other.engine is not None:
        set_engine(profile, other.engine, other.unknown)
    spill_surplus(profile)


def set_engine(profile: Profile, engine: str, unknown: frozenset[str]) -> None:
    """Note which engine wrote a log, and which figures it does not log.

    Raises
    ------
    Error
        If another engine wrote another log of the profile.
    """
    if profile.engine not in {None, engine}:
        raise Error(
            f"Some of these logs are of {profile.engine}, others of {engine}: their statements have different fingerprints "
            "and figures. Read each engine's logs by themselves."
        )
    profile.engine, profile.unknown = engine, unknown


def widen(profile: Profile, first_us: int | None, last_us: int | None) -> None:
    """Widen the profile's span of time to these ends."""
    profile.first_us = min((us for us in (profile.first_us, first_us) if us is not None), default=None)
    profile.last_us = max((us for us in (profile.last_us, last_us) if us is not None), default=None)


def row_of(profile: Profile, statement: Statement) -> Row:
    """Return the row of a new digest, or the common row if there are too many."""
    if not profile.is_part and (len(profile.rows) >= MOST or profile.text > MOST_TEXT):
        statement = OTHER
    profile.text += len(statement.fingerprint)
    return profile.rows.setdefault(statement.digest, Row(statement))


def count_client(profile: Profile, row: Row, client: tuple[bytes, bytes]) -> None:
    """Count a call of a new pair of user and host; before, make room for it."""
    if profile.clients >= MOST_CLIENTS:
        fold_all(profile)
    row.clients[client] = 1
    profile.clients += 1


def fold_all(profile: Profile) -> None:
    """Move all calls by pair into the calls by user and by host."""
    for row in profile.rows.values():
        fold(profile, row)


def fold(profile: Profile, row: Row) -> None:
    """Move the row's calls by pair into its calls by user and by host, in the order of the log."""
    if _limit(profile, row, 0) is None:
        profile.users += _add_names(row.users, row.clients, 0)
        profile.hosts += _add_names(row.hosts, row.clients, 1)
        profile.clients -= len(row.clients)
        row.clients.clear()
        return
    for (user, host), calls in row.clients.items():
        profile.users += _add_name(row.users, user, calls, _limit(profile, row, profile.users))
        profile.hosts += _add_name(row.hosts, host, calls, _limit(profile, row, profile.hosts))
    profile.clients -= len(row.clients)
    row.clients.clear()


def _add_names(counts: dict[bytes, int], clients: dict[tuple[bytes, bytes], int], place: int) -> int:
    """Add the calls of users (place 0) or hosts (place 1); return the number of new names."""
    before = len(counts)
    for client, calls in clients.items():
        counts[client[place]] = counts.get(client[place], 0) + calls
    return len(counts) - before


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
    _add_names(found, row.clients, part)
    return found


def spill_surplus(profile: Profile) -> None:
    """Move the query times to the profile's file if there are too many in memory."""
    if profile.file is None or sum(len(row.times) for row in profile.rows.values()) < query_times.HELD:
        return
    for row in profile.rows.values():
        row.runs.extend(query_times.write_run(row.times, profile.file()))
        row.times = array("q")
