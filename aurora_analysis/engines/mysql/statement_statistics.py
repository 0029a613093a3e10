"""What performance_schema counts of each statement, as differences between two samples.

A server counts since it was started, or since somebody emptied the table. Where the count began anew between two
samples the period is left out: nobody knows what was counted and lost. Our own statements are left out too.
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
from aurora_analysis.engines.mysql.digests import Digests
from aurora_analysis.engines.mysql.fingerprint import join_key, statement
from aurora_analysis.engines.mysql.live import QUERIES, Probe

FOLLOWED = 100
"""So many statements have a histogram, those that took the most time first: MySQL has 450 buckets for each."""

OVERLAP_S = 2
"""Asked for again, so that no statement is missed between two samples: clocks of servers have whole seconds."""

EVER_S = 10**9

Key = tuple[str | None, str]
"""A statement's schema and the server's digest of it."""


class Total(NamedTuple):
    """What a statement came to since `first_seen` [s since 1970]."""

    text: str | None
    calls: int
    latency_ms: float
    rows_examined: int
    rows_sent: int
    first_seen: float

    def since(self, before: Total) -> Total:
        """What came after an earlier total of the same count."""
        return self._replace(
            calls=self.calls - before.calls,
            latency_ms=self.latency_ms - before.latency_ms,
            rows_examined=self.rows_examined - before.rows_examined,
            rows_sent=self.rows_sent - before.rows_sent,
        )

    def is_anew(self, before: Total) -> bool:
        """Whether the count began anew after an earlier total."""
        return self.first_seen > before.first_seen or self.calls < before.calls


Totals = dict[Key, Total]
Histograms = dict[Key, Counter[int]]


def totals(rows: Iterable[Sequence[Any]]) -> Totals:
    """By statement; the row of all that the full table could not tell apart has no digest, and is left out."""
    return {(schema, digest): _total(*row) for schema, digest, *row in rows if digest is not None}


def _total(text: str | None, calls: Any, ms: Any, examined: Any, sent: Any, first_seen: Any) -> Total:
    return Total(text, int(calls), float(ms), int(examined), int(sent), float(first_seen))


def histograms(rows: Iterable[Sequence[Any]]) -> Histograms:
    """By statement: executions by our bucket of latency.

    A bucket of MySQL is 4.7 % wide; its executions are told by its middle, so that a quantile is within 3.4 %.
    """
    found: Histograms = {}
    for schema, digest, low_ms, high_ms, count in rows:
        middle = np.sqrt(float(low_ms) * float(high_ms)) or float(high_ms)
        found.setdefault((schema, digest), Counter())[int(histogram.bucket(middle))] += int(count)
    return found


@dataclass(frozen=True)
class Period:
    """What the statements of an instance came to between two samples [s since 1970]."""

    start: int
    end: int
    instance: str
    totals: Totals
    histograms: Histograms = field(default_factory=dict)


class Statistics:
    """Samples one instance; each answers with what came since the one before.

    `began_anew` tells that the last sample found the count begun anew.
    """

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self.began_anew = False
        self.forget()

    def forget(self) -> None:
        """The next sample is a first one: the instance was lost, or is another."""
        self._at: int | None = None
        self._totals: Totals = {}
        self._histograms: Histograms = {}

    def sample(self, tick: int, instance: str) -> Period | None:
        """What came since the last sample; None where there is none, or where the count began anew."""
        last = self._at
        seconds = EVER_S if last is None else tick - last + OVERLAP_S
        rows = self._probe.rows("statement_digests", seconds=seconds)
        if rows is None:
            self.forget()
            return None
        now = totals(rows)
        self.began_anew = any(
            one.is_anew(self._totals[key]) for key, one in now.items() if key in self._totals
        )
        if self.began_anew:
            self.forget()
        else:
            changed = _changed(self._totals, now)
        self._at = tick
        self._totals |= now
        if last is None or self.began_anew:
            return None
        return Period(last, tick, instance, changed, self._histograms_of(changed))

    def _histograms_of(self, changed: Totals) -> Histograms:
        """Those of the statements that are followed and ran; one that is new among them has none yet."""
        before = self._histograms
        slowest = sorted(changed, key=lambda key: changed[key].latency_ms, reverse=True)
        added = [key for key in slowest if key not in before]
        ran = [*(before.keys() & changed.keys()), *added[: FOLLOWED - len(before)]]
        now = histograms(self._rows(ran))
        self._histograms = before | now
        return {key: one - before[key] for key, one in now.items() if key in before}

    def _rows(self, keys: Sequence[Key]) -> Iterator[Sequence[Any]]:
        """Asked by schema, as the table is indexed; a statement's session may have had none."""
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
    """Rows of `statement_metrics`; what is one statement to us, in several schemas, is added up."""
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
    """Rows of `histograms`."""
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


def learn(period: Period, digests: Digests) -> None:
    """Learn the digests of the statements of a period."""
    for (_, identity), total in period.totals.items():
        if total.text and identity not in digests.by_id:
            digests.add(identity, total.text)


def statements(periods: Iterable[Period], digests: Digests) -> pd.DataFrame:
    """What ran in the periods, `digest, fingerprint, server_digest, time`: fingerprints, no literals."""
    seen = [
        (*digests.by_id[identity], identity, one.start)
        for one in periods
        for _, identity in one.totals
        if identity in digests.by_id
    ]
    return pd.DataFrame(seen, columns=["digest", "fingerprint", "server_digest", "time"])
