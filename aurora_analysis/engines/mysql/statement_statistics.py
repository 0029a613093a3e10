"""Calls, latency and rows of each statement, as differences between two samples of performance_schema.

A server counts since its start, or since its table was emptied. A period in which the counters were reset is left out,
because the counts before the reset are unknown. Our own statements are left out too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from aurora_analysis import histogram
from aurora_analysis.engines.digests import Digests
from aurora_analysis.engines.mysql.fingerprint import join_key, statement
from aurora_analysis.engines.mysql.live import QUERIES, Probe

FOLLOWED = 100
"""Maximum number of statements with a histogram, slowest first: MySQL has 450 buckets for each."""

OVERLAP_S = 2
"""Overlap of two samples [s], so that no statement is missed: servers' clocks have whole seconds."""

EVER_S = 10**9
"""The first sample covers all statements ever counted [s]."""

Key = tuple[str | None, str]
"""A statement's schema and the server's digest."""


class Total(NamedTuple):
    """Totals of one statement since `first_seen` [s since 1970]."""

    text: str | None
    calls: int
    latency_ms: float
    rows_examined: int
    rows_sent: int
    first_seen: float

    def since(self, before: Total) -> Total:
        """Return the difference to an earlier total."""
        return self._replace(
            calls=self.calls - before.calls,
            latency_ms=self.latency_ms - before.latency_ms,
            rows_examined=self.rows_examined - before.rows_examined,
            rows_sent=self.rows_sent - before.rows_sent,
        )

    def is_reset_since(self, before: Total) -> bool:
        """Return whether the server reset its counters after an earlier total."""
        return self.first_seen > before.first_seen or self.calls < before.calls


Totals = dict[Key, Total]
Histograms = dict[Key, Counter[int]]


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


@dataclass(frozen=True)
class Period:
    """The totals of one instance's statements between two samples; `start` and `end` [s since 1970]."""

    start: int
    end: int
    instance: str
    totals: Totals
    histograms: Histograms = field(default_factory=dict)


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
        self.was_reset = any(
            one.is_reset_since(self._totals[key]) for key, one in now.items() if key in self._totals
        )
        if self.was_reset:
            self.forget()
        else:
            changed = _changed(self._totals, now)
        self._at = tick
        self._totals |= now
        if last is None or self.was_reset:
            return None
        return Period(last, tick, instance, changed, self._histograms_of(changed))

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


def _changed(before: Totals, now: Totals) -> Totals:
    changes = {key: one.since(before[key]) if key in before else one for key, one in now.items()}
    return {key: one for key, one in changes.items() if one.calls > 0 and not _is_ours(one.text)}


def _key(text: str) -> str:
    return join_key(statement(text).fingerprint)


OURS = {_key(re.sub(r":\w+", "1", query.text.replace(":digests", "(1, 2)"))) for query in QUERIES.values()}


def _is_ours(text: str | None) -> bool:
    return text is not None and _key(text) in OURS


# Rows of the store's tables


def statement_metrics(periods: Iterable[Period], digests: Digests) -> pd.DataFrame:
    """Return rows of the table `statement_metrics`.

    Statements that have one digest here but several on the server, in several schemas, are added up.
    """
    rows = pd.DataFrame(
        [
            (one.start, float(one.end - one.start), one.instance, digest, *total[1:5])
            for one in periods
            for digest, total in _by_digest(one.totals, digests)
        ],
        columns=[*STATEMENT, "calls", "latency_ms", "rows_examined", "rows_sent"],
    )
    summed = rows.groupby(STATEMENT, as_index=False).sum()
    summed["mean_latency_ms"] = summed.pop("latency_ms") / summed["calls"]
    return summed.astype(dict.fromkeys(["calls", "rows_examined", "rows_sent"], float))


STATEMENT = ["time", "period_s", "instance", "digest"]


def latency_histograms(periods: Iterable[Period], digests: Digests) -> pd.DataFrame:
    """Return rows of the table `histograms`."""
    rows = pd.DataFrame(
        [
            (one.start, float(one.end - one.start), one.instance, digest, bucket, count)
            for one in periods
            for digest, counted in _by_digest(one.histograms, digests)
            for bucket, count in counted.items()
        ],
        columns=[*STATEMENT, "bucket", "count"],
    )
    return rows.groupby([*STATEMENT, "bucket"], as_index=False).sum()


def _by_digest(found: Mapping[Key, Any], digests: Digests) -> Iterator[tuple[str, Any]]:
    for (_, identity), one in found.items():
        yield digests.digest(identity), one


def add_digests(period: Period, digests: Digests) -> None:
    """Add the statements of a period to the digests."""
    for (_, identity), total in period.totals.items():
        if total.text and identity not in digests.by_id:
            digests.add(identity, total.text, "mysql")


def statements(periods: Iterable[Period], digests: Digests) -> pd.DataFrame:
    """Return the statements of the periods: columns `digest, fingerprint, server_digest, time`, no literals."""
    seen = [
        (*digests.by_id[identity], identity, one.start)
        for one in periods
        for _, identity in one.totals
        if identity in digests.by_id
    ]
    return pd.DataFrame(seen, columns=["digest", "fingerprint", "server_digest", "time"])
