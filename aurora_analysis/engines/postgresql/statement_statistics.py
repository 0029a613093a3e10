"""Calls, latency, rows and buffers of each statement, as differences between two samples of pg_stat_statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from aurora_analysis.engines import statement_periods
from aurora_analysis.engines.postgresql.live import TAG, Probe
from aurora_analysis.engines.statement_periods import (
    Period,
    Total,
    Totals,
    add_digests,
    latency_histograms,
    statement_metrics,
    statements,
)

__all__ = ["add_digests", "latency_histograms", "statement_metrics", "statements"]


def totals(rows: Iterable[Sequence[Any]]) -> Totals:
    """Return the totals by database and queryid; a statement of several users is added up."""
    found: Totals = {}
    for database, identity, text, calls, ms, rows_sent, hits, since in rows:
        one = Total(text, int(calls), float(ms), None, int(rows_sent), float(since), int(hits))
        other = found.get((database, identity))
        found[database, identity] = one if other is None else _sum(other, one)
    return found


def _sum(one: Total, other: Total) -> Total:
    return one._replace(
        calls=one.calls + other.calls,
        latency_ms=one.latency_ms + other.latency_ms,
        rows_sent=one.rows_sent + other.rows_sent,
        buffers=(one.buffers or 0) + (other.buffers or 0),
    )


class StatementSampler:
    """Samples one instance; each sample gives the totals since the previous one.

    `was_reset` is True if the last sample found that the server had reset its counters.
    """

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self.was_reset = False
        self.forget()

    def forget(self) -> None:
        """Start over with a first sample, because the instance was lost or replaced."""
        self._at: int | None = None
        self._totals: Totals = {}

    def sample(self, tick: int, instance: str) -> Period | None:
        """Return the totals since the last sample; None if there is none, or the counters were reset.

        Parameters
        ----------
        tick : int
            The time of the sample [s since 1970].
        instance : str
            The instance's name in the store.
        """
        rows = self._probe.rows("statement_digests")
        if rows is None:
            self.forget()
            return None
        now, before, last = totals(rows), self._totals, self._at
        self.was_reset = statement_periods.was_reset(before, now)
        self._at, self._totals = tick, now
        if last is None or self.was_reset:
            return None
        changed = statement_periods.changed(before, now, _is_ours)
        return Period("postgresql", last, tick, instance, changed)


def _is_ours(text: str | None) -> bool:
    """Return whether a statement is ours: the server keeps the comment of a text that it normalised."""
    return text is not None and text.startswith(TAG)
