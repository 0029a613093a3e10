"""Calls, latency and rows of each statement, as differences between two samples of performance_schema."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from aurora_analysis import histogram
from aurora_analysis.engines import statement_periods
from aurora_analysis.engines.mysql.fingerprint import join_key, statement
from aurora_analysis.engines.mysql.live import QUERIES, Probe
from aurora_analysis.engines.statement_periods import (
    Histograms,
    Key,
    Period,
    Total,
    Totals,
    add_digests,
    latency_histograms,
    statement_metrics,
    statements,
)

__all__ = ["add_digests", "latency_histograms", "statement_metrics", "statements"]

FOLLOWED = 100
"""Maximum number of statements with a histogram, slowest first: MySQL has 450 buckets for each."""

OVERLAP_S = 2
"""Overlap of two samples [s], so that no statement is missed: servers' clocks have whole seconds."""

EVER_S = 10**9
"""The first sample covers all statements ever counted [s]."""


def totals(rows: Iterable[Sequence[Any]]) -> Totals:
    """Return the totals by statement; the row for all statements beyond a full table has no digest, and is left out."""
    return {(schema, digest): _total(*row) for schema, digest, *row in rows if digest is not None}


def _total(text: str | None, calls: Any, ms: Any, examined: Any, sent: Any, first_seen: Any) -> Total:
    return Total(text, int(calls), float(ms), int(examined), int(sent), float(first_seen))


def histograms(rows: Iterable[Sequence[Any]]) -> Histograms:
    """Return the executions of each statement, by our bucket of latency.

    A bucket of MySQL is 4.7 % wide. Its executions go into our bucket of its middle, so a quantile is within 3.4 %.
    """
    found: Histograms = {}
    for schema, digest, low_ms, high_ms, count in rows:
        middle = np.sqrt(float(low_ms) * float(high_ms)) or float(high_ms)
        found.setdefault((schema, digest), Counter())[int(histogram.bucket(middle))] += int(count)
    return found


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
        self._histograms: Histograms = {}

    def sample(self, tick: int, instance: str) -> Period | None:
        """Return the totals since the last sample; None if there is none, or the counters were reset.

        Parameters
        ----------
        tick : int
            The time of the sample [s since 1970].
        instance : str
            The instance's name in the store.
        """
        last = self._at
        seconds = EVER_S if last is None else tick - last + OVERLAP_S
        rows = self._probe.rows("statement_digests", seconds=seconds)
        if rows is None:
            self.forget()
            return None
        now = totals(rows)
        self.was_reset = statement_periods.was_reset(self._totals, now)
        if self.was_reset:
            self.forget()
        else:
            changed = statement_periods.changed(self._totals, now, _is_ours)
        self._at = tick
        self._totals |= now
        if last is None or self.was_reset:
            return None
        return Period("mysql", last, tick, instance, changed, self._histograms_of(changed))

    def _histograms_of(self, changed: Totals) -> Histograms:
        """Return the differences of histograms; a statement followed from now on has none yet."""
        before = self._histograms
        slowest = sorted(changed, key=lambda key: changed[key].latency_ms, reverse=True)
        added = [key for key in slowest if key not in before]
        ran = [*(before.keys() & changed.keys()), *added[: FOLLOWED - len(before)]]
        now = histograms(self._rows(ran))
        self._histograms = before | now
        return {key: one - before[key] for key, one in now.items() if key in before}

    def _rows(self, keys: Sequence[Key]) -> Iterator[Sequence[Any]]:
        """Query by schema, as the table is indexed; a session without a schema has None."""
        for schema in sorted({schema for schema, _ in keys}, key=lambda schema: schema or ""):
            digests = [digest for of, digest in keys if of == schema]
            yield from self._probe.rows("statement_histograms", schema=schema, digests=digests) or ()


def _key(text: str) -> str:
    return join_key(statement(text).fingerprint)


OURS = {_key(re.sub(r":\w+", "1", query.text.replace(":digests", "(1, 2)"))) for query in QUERIES.values()}


def _is_ours(text: str | None) -> bool:
    return text is not None and _key(text) in OURS
