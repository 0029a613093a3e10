"""The compiled scanner: it counts a log's plain entries, which are nearly all, and Python reads the others.

Without the library (`engines.compiled`), `scanner` reads every entry, with the same results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aurora_analysis.engines import compiled
from aurora_analysis.engines.log_events import Account, Entry
from aurora_analysis.engines.mysql.slow_log.pieces import hard_pieces
from aurora_analysis.engines.mysql.slow_log.scanner import State, read
from aurora_analysis.engines.sql_mode import SqlMode


def library(mode: SqlMode) -> Any:
    """Return the compiled scanner's module; None if it is missing or does not read this sql_mode."""
    return None if mode.ansi_quotes else compiled.library()


def hard_entries(
    chunks: Iterable[bytes],
    account: Account,
    mode: SqlMode,
    scanner: Any,
    row_of: Callable[[bytes], int],
    drain: Callable[[], None],
) -> Iterator[Entry]:
    """Let the scanner count a log's plain entries, and yield the others, in the order of the log.

    The database of a yielded entry is right only if its own lines name it.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size.
    account : Account
        Filled while the log is read, complete at the end.
    mode : SqlMode
        The server's sql_mode.
    scanner : Scanner
        Of `library`.
    row_of : callable
        Returns the number of the row that counts the statements of a new shape.
    drain : callable
        Takes the scanner's counts, because it has no room for more.
    """
    state, scanners = State(), library(mode)

    def plain(text: bytes, at: int) -> int:
        if not scanner.resume(state.time, state.clock.logged, state.clock.recent):
            return at
        while True:
            at, reason, events = scanner.scan(text, at)
            account.events += events
            if reason == scanners.NEW_SHAPE:
                scanner.learn(row_of(scanner.shape()))
            elif reason == scanners.FULL:
                drain()
            else:
                break
        state.time, state.clock.logged, state.clock.recent = scanner.state()
        return at

    return read(hard_pieces(chunks, account, state.queue, plain), state, account, mode)
