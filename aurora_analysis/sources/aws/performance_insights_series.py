"""Performance Insights' answers as series, and series as rows of our tables. No request is made here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.engines.digests import Digests
from aurora_analysis.engines.vendor_metric import StatementStatistic
from aurora_analysis.sources.aws.frames import repeated, times
from aurora_analysis.window import Window

PERIOD_S = 60

LIMIT = 25
"""Maximum number of members of a dimension, and of entries of a page, that the service returns."""

OTHER = "(other)"
"""The member that stands for all members that an answer does not list."""

UNKNOWN = "(unknown)"

LOAD = "db.load.avg"

DIMENSIONS = {
    "sql": ("db.sql_tokenized", "db.sql_tokenized.id"),
    "user": ("db.user", "db.user.name"),
    "host": ("db.host", "db.host.name"),
    "wait_event": ("db.wait_event", "db.wait_event.name"),
    "database": ("db", "db.name"),
    "application": ("db.application", "db.application.name"),
}
"""Our dimension → the service's group, and the dimension in the group that names a member.

Which of them the service has for an engine is in the engine's `metrics.LOAD_DIMENSIONS`.
"""

SQL_GROUP, SQL_ID = DIMENSIONS["sql"]
SQL_TEXT = f"{SQL_GROUP}.statement"


class Series(NamedTuple):
    """One series of an answer.

    Attributes
    ----------
    metric : str
        The service's name of the metric.
    member : mapping
        The dimensions of the member; empty for the total.
    seconds : array
        Start of each point's period [s since 1970].
    numbers : array
        Value of each point; NaN if the point has no value.
    """

    metric: str
    member: Mapping[str, str]
    seconds: npt.NDArray[np.float64]
    numbers: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Offer:
    """Metrics that the service offers for an instance, and dimensions that the caller may request."""

    metrics: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    engine: str = "aurora-mysql"

    def statistics(self) -> dict[str, StatementStatistic]:
        """Map the service's name of each statement statistic on offer to our column."""
        known = engines.module(self.engine, "metrics").STATEMENT_STATISTICS
        columns = {f"{SQL_GROUP}.stats.{end}".lower(): column for end, column in known.items()}
        return {name: columns[name.lower()] for name in self.metrics if name.lower() in columns}

    def counters(self) -> dict[str, str]:
        """Map the service's name of each counter on offer to our name."""
        metrics = engines.module(self.engine, "metrics")
        known = metrics.COUNTERS | metrics.MORE_COUNTERS
        found = {name: known[name.lower()] for name in self.metrics if name.lower() in known}
        return {name: ours for name, ours in found.items() if self._is_whole(ours)}

    def _is_whole(self, metric: str) -> bool:
        """Return whether every counter of a metric that adds them up is on offer: a part of a sum is not the sum."""
        metrics = engines.module(self.engine, "metrics")
        needed = {name for name, ours in _counters(metrics) if ours == metric}
        return metric not in metrics.ADD_UP or needed <= {name.lower() for name in self.metrics}

    def absent_counters(self) -> list[str]:
        """List our names of the counters that the service does not offer."""
        known = engines.module(self.engine, "metrics").COUNTERS
        return sorted(set(known.values()) - set(self.counters().values()))


def _counters(metrics: ModuleType) -> list[tuple[str, str]]:
    return [*metrics.COUNTERS.items(), *metrics.MORE_COUNTERS.items()]


def parse(page: Mapping[str, Any]) -> list[Series]:
    """Read the series of one page of GetResourceMetrics."""
    return [
        Series(
            entry["Key"]["Metric"],
            entry["Key"].get("Dimensions") or {},
            np.asarray(seconds([point["Timestamp"] for point in entry["DataPoints"]]), dtype=float),
            # An empty bucket has no value, which becomes NaN: missing is not zero.
            np.array([point.get("Value") for point in entry["DataPoints"]], dtype=float),
        )
        for entry in page.get("MetricList", [])
    ]


def merged(found: Iterable[Series], span: Window) -> list[Series]:
    """Merge the series that several pages have of one metric and member: each point of the span once, in order.

    If pages disagree about a point, the largest value counts.
    """
    by_key: dict[tuple[object, ...], list[Series]] = {}
    for each in found:
        by_key.setdefault((each.metric, *sorted(each.member.items())), []).append(each)
    return [_one_series(same, span) for same in by_key.values()]


def _one_series(same: Sequence[Series], span: Window) -> Series:
    start, end = span.start.timestamp(), span.end.timestamp()
    if len(same) == 1 and _is_in_order(same[0].seconds, start, end):
        return same[0]
    moments = _joined([each.seconds for each in same])
    numbers = _joined([each.numbers for each in same])
    kept = (moments >= start) & (moments < end)
    unique, position = np.unique(moments[kept], return_inverse=True)
    largest = np.full(len(unique), np.nan)
    np.fmax.at(largest, position, numbers[kept])
    return same[0]._replace(seconds=unique, numbers=largest)


def _is_in_order(seconds: npt.NDArray[np.float64], start: float, end: float) -> bool:
    """Return whether times ascend strictly from `start` to before `end`: the ordinary answer, and the fast case."""
    return not len(seconds) or bool(
        seconds[0] >= start and seconds[-1] < end and (seconds[1:] > seconds[:-1]).all()
    )


def seconds(moments: Sequence[float | datetime]) -> Sequence[float]:
    """Convert times of an answer to seconds since 1970; an answer has times of one kind."""
    if len(moments) and isinstance(moments[0], datetime):
        return [each.timestamp() for each in moments]  # type: ignore[union-attr]
    return moments  # type: ignore[return-value]


def member_name(dimension: str, member: Mapping[str, str], digests: Digests) -> str:
    """Return our name of a member: a digest, or the service's name, a wait event's as the engine's manual has it."""
    word = member[DIMENSIONS[dimension][1]]
    if dimension == "sql":
        return digests.digest(word)
    if dimension == "wait_event":
        return wait_event(word, member.get("db.wait_event.type", ""))
    return word or UNKNOWN


def wait_event(name: str, kind: str) -> str:
    """Return a wait event as the engine's manual names it: MySQL's without `wait/`, PostgreSQL's with its type.

    >>> wait_event("wait/io/aurora_redo_log_flush", "io"), wait_event("ClientRead", "Client"), wait_event("CPU", "CPU")
    ('io/aurora_redo_log_flush', 'Client:ClientRead', 'cpu')
    """
    if name.upper() == "CPU":
        return "cpu"
    return name.removeprefix("wait/") if not kind or set(":/") & set(name) else f"{kind}:{name}"


def total_load(answer: Sequence[Series]) -> Series | None:
    """Return the series of the total load of an answer."""
    return next((series for series in answer if not series.member and series.metric == LOAD), None)


def minutes_with_a_total(answer: Sequence[Series]) -> int:
    """Count the minutes for which an answer has the total load."""
    total = total_load(answer)
    return 0 if total is None else int(np.isfinite(total.numbers).sum())


def db_load(answers: Iterable[Sequence[Series]], digests: Digests) -> pd.DataFrame:
    """Convert answers to rows of table `db_load`. In each answer, `(other)` is the total minus all listed members."""
    named = [(label, series) for answer in answers for label, series in _named(answer, digests)]
    return _long(named, ("dimension", "member"), "active_sessions").assign(period_s=float(PERIOD_S))


def _named(answer: Sequence[Series], digests: Digests) -> Iterator[tuple[tuple[str, str], Series]]:
    """Yield the dimension and our name of every listed member, and `(other)` of each dimension that is full."""
    total = total_load(answer)
    for dimension, (_, key) in DIMENSIONS.items():
        listed = [series for series in answer if key in series.member]
        yield from (((dimension, member_name(dimension, each.member, digests)), each) for each in listed)
        if total is not None and len(listed) >= LIMIT:
            yield (dimension, OTHER), _other(total, listed)


def _other(total: Series, listed: Sequence[Series]) -> Series:
    """Subtract the listed members from the total; rounding of averages must not make the rest negative."""
    left = total.numbers.copy()
    for each in listed:
        _, here, there = np.intersect1d(total.seconds, each.seconds, assume_unique=True, return_indices=True)
        left[here] -= np.nan_to_num(each.numbers[there])
    return total._replace(numbers=left.clip(min=0.0))


def _long(named: Sequence[tuple[tuple[str, ...], Series]], labels: Sequence[str], value: str) -> pd.DataFrame:
    """Make a row for each point with a value. Series of the same name add up."""
    counts = [len(series.seconds) for _, series in named]
    frame = pd.DataFrame(
        {
            "time": times(_joined([series.seconds for _, series in named])),
            **{label: repeated([name[n] for name, _ in named], counts) for n, label in enumerate(labels)},
            value: _joined([series.numbers for _, series in named]),
        }
    )
    frame = frame[frame[value].notna()]
    keys = ["time", *labels]
    if frame.duplicated(keys).any():
        frame = frame.groupby(keys, observed=True, as_index=False).sum()
    return frame


def _joined(parts: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.empty(0)


def statement_metrics(found: Sequence[Series], offer: Offer, digests: Digests) -> pd.DataFrame:
    """Convert series of statement statistics to rows of table `statement_metrics`."""
    found = [series for series in found if SQL_ID in series.member]
    ids = sorted({series.member[SQL_ID] for series in found})
    moments = np.unique(_joined([series.seconds for series in found]))
    columns = engines.module(offer.engine, "metrics").STATEMENT_STATISTICS.values()
    table = {column: np.full((len(ids), len(moments)), np.nan) for column, _ in columns}
    known, row = offer.statistics(), {pi_id: n for n, pi_id in enumerate(ids)}
    for series in found:
        column, factor = known[series.metric.removesuffix(".avg")]
        at = np.searchsorted(moments, series.seconds)
        table[column][row[series.member[SQL_ID]], at] = series.numbers * factor
    which, when = np.nonzero(~np.isnan(list(table.values())).all(axis=0))
    names = repeated([digests.digest(pi_id) for pi_id in ids], np.bincount(which, minlength=len(ids)))
    keys = {"time": times(moments[when]), "digest": names}
    wide = pd.DataFrame(keys | {column: values[which, when] for column, values in table.items()})
    return _by_digest(wide).assign(period_s=float(PERIOD_S))


def _by_digest(wide: pd.DataFrame) -> pd.DataFrame:
    """Merge statements of one digest: totals add up, and means of a call are weighted by calls."""
    if not wide.duplicated(["time", "digest"]).any():
        return wide
    means = [name for name in MEANS if name in wide]
    weighted = wide.assign(**{name: wide[name] * wide["calls"] for name in means})
    summed = weighted.groupby(["time", "digest"], observed=True).sum(min_count=1).reset_index()
    return summed.assign(**{name: summed[name] / summed["calls"] for name in means})


MEANS = ("mean_latency_ms", "buffers_per_call")
"""Columns of `statement_metrics` that are means of a call."""


def metrics(found: Sequence[Series], offer: Offer) -> pd.DataFrame:
    """Convert series of counters to rows of table `metrics`."""
    names, vendor = offer.counters(), engines.module(offer.engine, "metrics")
    by_name: dict[str, list[Series]] = {}
    for series in found:
        by_name.setdefault(names[series.metric.removesuffix(".avg")], []).append(series)
    named = [
        ((name,), _combined(several, name in vendor.ADD_UP, vendor.NO_HOLDER))
        for name, several in by_name.items()
    ]
    return _long(named, ("name",), "value").assign(period_s=float(PERIOD_S), statistic="average")


def _combined(several: Sequence[Series], adds_up: bool, nothing: float | None) -> Series:
    """Combine the counters of one metric: their sum where all have a value, or the largest.

    A counter has a series for each span. The value `nothing` is an age of zero: nothing holds, as live samples say it.
    """
    moments = np.unique(_joined([one.seconds for one in several]))
    row = {name: n for n, name in enumerate(dict.fromkeys(one.metric for one in several))}
    table = np.full((len(row), len(moments)), np.nan)
    for one in several:
        table[row[one.metric], np.searchsorted(moments, one.seconds)] = one.numbers
    if nothing is not None:
        table[table >= nothing] = 0.0
    combined = table.sum(axis=0) if adds_up else np.fmax.reduce(table, axis=0)
    return several[0]._replace(seconds=moments, numbers=combined)


def statements(load: pd.DataFrame, digests: Digests, engine: str) -> pd.DataFrame:
    """Return rows of table `statements` for the digests with load. The text is a fingerprint, without literals."""
    fingerprint = engines.module(engine, "fingerprint")
    busy = load[(load["dimension"] == "sql") & (load["active_sessions"] > 0) & (load["member"] != OTHER)]
    spans = busy.assign(member=busy["member"].astype("str")).groupby("member")["time"].agg(["min", "max"])
    learned = sorted(dict(digests.by_id).items(), reverse=True)  # of several ids, the first in the alphabet
    known = {digest: (pi_id, text) for pi_id, (digest, text) in learned}
    spans = spans[spans.index.isin(list(known))]
    texts = [known[digest][1] for digest in spans.index]
    return pd.DataFrame(
        {
            "digest": spans.index.to_numpy(),
            "fingerprint": texts,
            "join_key": [fingerprint.join_key(text) for text in texts],
            "pi_id": [known[digest][0] for digest in spans.index],
            "kind": [fingerprint.kind(text) for text in texts],
            "first_seen": spans["min"].array,
            "last_seen": spans["max"].array,
        }
    )
