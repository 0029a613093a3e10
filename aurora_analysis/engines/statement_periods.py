"""Calls, latency and rows of statements over periods, as differences between two samples of a server's totals.

A server counts since its start, or since its totals were reset. A period in which the counters were reset is left out,
because the counts before the reset are unknown. Our own statements are left out too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from aurora_analysis.engines.digests import Digests

Key = tuple[str | None, str]
"""A statement's schema or database, and the server's id of the statement."""


class Total(NamedTuple):
    """Totals of one statement since `first_seen` [s since 1970]; None for what the server does not count."""

    text: str | None
    calls: int
    latency_ms: float
    rows_examined: int | None
    rows_sent: int
    first_seen: float
    buffers: int | None = None
    """Pages that were found in the buffer cache."""

    def since(self, before: Total) -> Total:
        """Return the difference to an earlier total."""
        return self._replace(
            calls=self.calls - before.calls,
            latency_ms=self.latency_ms - before.latency_ms,
            rows_examined=_difference(self.rows_examined, before.rows_examined),
            rows_sent=self.rows_sent - before.rows_sent,
            buffers=_difference(self.buffers, before.buffers),
        )

    def is_reset_since(self, before: Total) -> bool:
        """Return whether the server reset its counters after an earlier total."""
        return self.first_seen > before.first_seen or self.calls < before.calls


def _difference(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before


Totals = dict[Key, Total]
Histograms = dict[Key, Counter[int]]


@dataclass(frozen=True)
class Period:
    """The totals of one instance's statements between two samples; `start` and `end` [s since 1970]."""

    engine: str
    start: int
    end: int
    instance: str
    totals: Totals
    histograms: Histograms = field(default_factory=dict)


def was_reset(before: Totals, now: Totals) -> bool:
    """Return whether the server reset its counters between two samples."""
    return any(one.is_reset_since(before[key]) for key, one in now.items() if key in before)


def changed(before: Totals, now: Totals, is_ours: Callable[[str | None], bool]) -> Totals:
    """Return the differences of the statements that ran in between, without our own."""
    changes = {key: one.since(before[key]) if key in before else one for key, one in now.items()}
    return {key: one for key, one in changes.items() if one.calls > 0 and not is_ours(one.text)}


# Rows of the store's tables


STATEMENT = ["time", "period_s", "instance", "digest"]
COUNTED = ["calls", "latency_ms", "rows_examined", "rows_sent", "buffers"]
"""Fields of `Total` that add up."""


def statement_metrics(periods: Iterable[Period], digests: Digests) -> pd.DataFrame:
    """Return rows of the table `statement_metrics`.

    Statements that have one digest here but several on the server, in several schemas, are added up.
    """
    rows = pd.DataFrame(
        [
            (*_period(one), digest, *(getattr(total, name) for name in COUNTED))
            for one in periods
            for digest, total in _by_digest(one.totals, digests)
        ],
        columns=[*STATEMENT, *COUNTED],
    ).astype(dict.fromkeys(COUNTED, float))
    summed = rows.groupby(STATEMENT, as_index=False).sum(min_count=1)
    summed["mean_latency_ms"] = summed.pop("latency_ms") / summed["calls"]
    summed["buffers_per_call"] = summed.pop("buffers") / summed["calls"]
    return summed


def latency_histograms(periods: Iterable[Period], digests: Digests) -> pd.DataFrame:
    """Return rows of the table `histograms`."""
    rows = pd.DataFrame(
        [
            (*_period(one), digest, bucket, count)
            for one in periods
            for digest, counted in _by_digest(one.histograms, digests)
            for bucket, count in counted.items()
        ],
        columns=[*STATEMENT, "bucket", "count"],
    )
    return rows.groupby([*STATEMENT, "bucket"], as_index=False).sum()


def _period(one: Period) -> tuple[int, float, str]:
    return one.start, float(one.end - one.start), one.instance


def _by_digest(found: Mapping[Key, Any], digests: Digests) -> Iterator[tuple[str, Any]]:
    for (_, identity), one in found.items():
        yield digests.digest(identity), one


def add_digests(period: Period, digests: Digests) -> None:
    """Add the statements of a period to the digests."""
    for (_, identity), total in period.totals.items():
        if total.text and identity not in digests.by_id:
            digests.add(identity, total.text, period.engine)


def statements(periods: Iterable[Period], digests: Digests) -> pd.DataFrame:
    """Return the statements of the periods: columns `digest, fingerprint, server_digest, time`, no literals."""
    seen = [
        (*digests.by_id[identity], identity, one.start)
        for one in periods
        for _, identity in one.totals
        if identity in digests.by_id
    ]
    return pd.DataFrame(seen, columns=["digest", "fingerprint", "server_digest", "time"])
