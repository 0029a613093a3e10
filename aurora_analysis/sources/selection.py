"""Selection of logged executions by the time when they ended, and by user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aurora_analysis.engines.log_events import Entry


@dataclass(frozen=True)
class Selection:
    """The executions to count: those that ended in [`since_us`, `until_us`) [us since 1970, UTC], of one user."""

    since_us: int | None = None
    until_us: int | None = None
    user: str | None = None

    def includes(self, user: bytes, ended_us: int | None) -> bool:
        """Return whether it includes an execution of this user that ended then; None is an unknown time."""
        if self.user is not None and user != self.user.encode():
            return False
        if self.since_us is None and self.until_us is None:
            return True
        if ended_us is None or ended_us < (self.since_us or 0):
            return False
        return self.until_us is None or ended_us < self.until_us


ALL = Selection()


def parse(since: str = "", until: str = "", user: str = "") -> Selection:
    """Return the selection that a user wrote; an empty text sets no limit.

    Raises
    ------
    Error
        If a text is not a time.
    """
    if not since and not until:
        return Selection(user=user or None)
    from aurora_analysis.window import EARLIEST, LATEST, Window  # most commands name no time

    span = Window(since or EARLIEST, until or LATEST)
    return Selection(
        int(span.start.timestamp()) * 1_000_000 if since else None,
        int(span.end.timestamp()) * 1_000_000 if until else None,
        user or None,
    )


Ended = Callable[[Entry, bool], tuple[int | None, float | None]]
"""The engine's function that reads when an entry ended."""


def selected(entries: Iterator[Entry], selection: Selection, ended: Ended) -> Iterator[Entry]:
    """Filter the entries; one without a time is dropped if the selection limits the time."""
    if selection == ALL:
        return entries
    return (entry for entry in entries if selection.includes(entry.user, ended(entry, False)[0]))
