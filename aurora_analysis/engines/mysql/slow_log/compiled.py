"""The compiled scanner: it takes a log's plain entries, which are nearly all, and Python reads the others.

Without the library (`engines.compiled`), `scanner` reads every entry, with the same results.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aurora_analysis.engines import compiled
from aurora_analysis.engines.log_events import Account, Entry
from aurora_analysis.engines.mysql.slow_log.pieces import hard_pieces
from aurora_analysis.engines.mysql.slow_log.scanner import State, entries, read
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode


def library(mode: SqlMode) -> Any:
    """Return the compiled scanner's module; None if it is missing or does not read this sql_mode."""
    return None if mode.ansi_quotes else compiled.library()


def hard_entries(
    chunks: Iterable[bytes],
    account: Account,
    state: State,
    scanner: Any,
    stopped: Callable[[int, bytes], None],
    mode: SqlMode,
) -> Iterator[Entry]:
    """Let the scanner take a log's plain entries, and yield the others, in the order of the log.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size.
    account : Account
        Filled while the log is read, complete at the end.
    state : State
        A new one.
    scanner : Scanner
        Of `library`. Unless it records, the database of a yielded entry is right only if its own lines name it.
    stopped : callable
        Called with the reason why the scanner stopped and the text that it scans; removes the reason.
    mode : SqlMode
        The server's sql_mode.
    """
    scanners = library(mode)
    ended = (scanners.ENDED, scanners.HARD)

    def plain(text: bytes, at: int) -> int:
        clock = state.clock
        times = (state.time, clock.logged, clock.recent, clock.zone_s)
        if not scanner.resume(times, (state.database, state.named_by, state.is_zoned)):
            return at
        while True:
            at, reason, events = scanner.scan(text, at)
            account.events += events
            if reason in ended:
                break
            stopped(reason, text)
        read_times, session = scanner.state()
        state.time, clock.logged, clock.recent, clock.local_s, clock.zone_s = read_times
        state.database, state.named_by, state.is_zoned = session
        return at

    return read(hard_pieces(chunks, account, state.queue, plain), state, account, mode)


def account_of(chunks: Iterable[bytes], mode: SqlMode = DEFAULT_MODE) -> Account:
    """Return the account of a log that is read for nothing else.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size.
    mode : SqlMode
        The server's sql_mode.
    """
    account, scanners = Account(), library(mode)
    if scanners is None:
        found = entries(chunks, account, mode)
    else:
        scanner = scanners.Scanner(mode.backslash_escapes, MOST_PAIRS)

        def stopped(reason: int, _: bytes) -> None:
            """Give all shapes one row, because nothing is counted by statement."""
            scanner.take() if reason == scanners.FULL else scanner.learn(0)

        found = hard_entries(chunks, account, State(), scanner, stopped, mode)
    deque(found, maxlen=0)
    return account


MOST_PAIRS = 1000
"""Pairs of user and host that `account_of` lets the scanner hold."""
