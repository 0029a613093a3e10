"""Performance Insights: db load by SQL digest, user, host, wait event and database; counters; statement statistics.

Of each dimension the service lists the top 25 of the span it is asked for. What is below is *not listed*, which
is not zero: a digest among the day's top 25 that a span does not list is asked for by name, and the sum of what
stays unlisted is the member `(other)`, so that shares add up.

The service cuts an answer at about 350 points a series, without an error and without a token, so spans are
shorter, and an answer that ends too early is asked to go on. Points are stamped with the start of their minute.
https://docs.aws.amazon.com/performance-insights/latest/APIReference/API_GetResourceMetrics.html
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from botocore.exceptions import ClientError

from aurora_analysis.engines.mysql import fingerprint
from aurora_analysis.engines.mysql.digests import Digests
from aurora_analysis.errors import NotEnabled
from aurora_analysis.fetch.chunks import DENIED, Chunk, Clients, Part, by_day, missing, split
from aurora_analysis.sources.aws.cloudwatch import repeated, times
from aurora_analysis.sources.aws.rds import Instance, Topology
from aurora_analysis.window import Window

SOURCE = "performance insights"
PERIOD_S = 60
SPAN = timedelta(minutes=288)
"""A fifth of a day: 288 points, under the 350 at which the service cuts."""

LIMIT = 25
"""The most members of a dimension, and entries of a page, that the service gives."""

QUERIES_A_CALL = 15
TEXT_BYTES = 500
"""Statements are cut at so many bytes; the whole text is asked for then."""

REST = "(other)"
UNKNOWN = "(unknown)"

DIMENSIONS = {
    "sql": ("db.sql_tokenized", "db.sql_tokenized.id"),
    "user": ("db.user", "db.user.name"),
    "host": ("db.host", "db.host.name"),
    "wait_event": ("db.wait_event", "db.wait_event.name"),
    "database": ("db", "db.name"),
}
"""Our dimension → the service's group, and the dimension in it that names a member."""

SQL_GROUP, SQL_ID = DIMENSIONS["sql"]
SQL_TEXT = f"{SQL_GROUP}.statement"

LOAD = "db.load.avg"

STATISTICS = {
    "count_star_per_sec": ("calls", float(PERIOD_S)),
    "sum_timer_wait_per_call": ("mean_latency_ms", 1.0),
    "sum_rows_examined_per_sec": ("rows_examined", float(PERIOD_S)),
    "sum_rows_sent_per_sec": ("rows_sent", float(PERIOD_S)),
}
"""The end of a statistic's name → our column, and the factor to its unit. A rate becomes the period's total."""

COUNTERS = {
    "db.sql.innodb_rows_read": "rows_read",
    "db.sql.innodb_rows_changed": "rows_changed",
    "db.sql.slow_queries": "slow_query_throughput",
    "db.users.threads_running": "threads_running",
    "db.cache.innodb_buffer_pool_reads": "buffer_pool_reads",
    "db.locks.innodb_row_lock_waits": "row_lock_waits",
    "db.temp.created_tmp_disk_tables": "temporary_disk_tables",
}
"""Counters that CloudWatch does not have, in lower case: the service's own spelling is read from its list."""


class Line(NamedTuple):
    """One series of an answer: its metric, whom it is of (nobody: the total), and its points, NaN without a value."""

    metric: str
    member: Mapping[str, str]
    seconds: npt.NDArray[np.float64]
    numbers: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Offered:
    """What the service offers of an instance: its metrics' names, and the dimensions that may be asked for."""

    metrics: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = tuple(DIMENSIONS)
    notes: tuple[str, ...] = ()

    def statistics(self) -> dict[str, str]:
        """The service's name of each statistic that it has → the end of the name."""
        ends = {f"{SQL_GROUP}.stats.{end}".lower(): end for end in STATISTICS}
        return {name: ends[name.lower()] for name in self.metrics if name.lower() in ends}

    def counters(self) -> dict[str, str]:
        """The service's name of each counter that it has → our name."""
        return {name: COUNTERS[name.lower()] for name in self.metrics if name.lower() in COUNTERS}


# The plan


def chunks(
    topology: Topology, statements: pd.DataFrame, coverage: pd.DataFrame, window: Window, now: datetime
) -> list[Chunk]:
    """A chunk for each instance and day; what is off, out of reach or forgotten is one chunk that says so."""
    digests = Digests.of(statements, "pi_id")
    return [
        chunk
        for each in topology.by_resource()
        for gap in missing(coverage, SOURCE, each.name, window)
        for chunk in _chunks(each, digests, gap, now)
    ]


def _chunks(instance: Instance, digests: Digests, window: Window, now: datetime) -> list[Chunk]:
    if said := _unavailable(instance):
        return [_saying(instance, window, said)]
    kept_since = _minute(now - timedelta(days=instance.pi_retention_days) + timedelta(minutes=5))
    planned = []
    if window.start < kept_since:
        gone = Window(window.start, min(window.end, kept_since))
        planned.append(_gone(instance, gone))
    if window.end > kept_since:
        source = Source(instance.resource_id, digests)
        rest = Window(max(window.start, kept_since), window.end)
        planned += [_chunk(instance, source, day) for day in by_day([rest])]
    return planned


def _unavailable(instance: Instance) -> str:
    if instance.gone and not instance.resource_id:
        return f"{instance.name} is no longer in the cluster, and the store does not know its resource id"
    if not instance.pi_retention_days and not instance.gone:
        return (
            f"Performance Insights is off for {instance.name}: turn it on (aurora-analysis doctor says how), "
            "or leave the instance out with --instance"
        )
    return ""


def _saying(instance: Instance, window: Window, said: str) -> Chunk:
    def bring(clients: Clients) -> Sequence[Part]:
        raise NotEnabled(f"{said}.")

    return Chunk(SOURCE, "pi", instance.name, window, 0, bring, tables=("db_load",))


def _gone(instance: Instance, window: Window) -> Chunk:
    """The part that the service no longer keeps: nothing to ask, and said once."""
    minutes = window.duration.total_seconds() / PERIOD_S
    note = f"beyond the {instance.pi_retention_days} days that Performance Insights keeps"
    part = Part("db_load", None, minutes, 0, unit="minutes", note=note, instance=instance.name)
    return Chunk(SOURCE, "pi", instance.name, window, 0, lambda clients: [part], tables=("db_load",))


def _chunk(instance: Instance, source: Source, window: Window) -> Chunk:
    spans = len(split(window, SPAN))
    calls = 1 + spans * CALLS_A_SPAN
    bring = partial(fetch, source=source, instance=instance.name, window=window)
    tables = ("db_load", "statement_metrics", "metrics")
    return Chunk(SOURCE, "pi", instance.name, window, calls, bring, tables=tables, cost=float(calls))


CALLS_A_SPAN = 14
"""At most, where every dimension is full: 6 pages of load, 2 of what is followed, 5 of statistics, 1 of counters."""


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


class Source:
    """An instance as Performance Insights knows it; what it offers is asked once, by whichever thread is first."""

    def __init__(self, resource_id: str, digests: Digests) -> None:
        self.resource_id = resource_id
        self.digests = digests
        self._offered: Offered | None = None
        self._lock = threading.Lock()

    def offered(self, pi: Any) -> Offered:
        """What the service offers of the instance."""
        with self._lock:
            self._offered = self._offered or offered(pi, self.resource_id)
            return self._offered


# Fetch


def fetch(clients: Clients, *, source: Source, instance: str, window: Window) -> list[Part]:
    """A day of an instance: load, statement statistics and counters, span by span."""
    pi, has = clients["pi"], source.offered(clients["pi"])
    followed = top_digests(pi, source, window) if "sql" in has.dimensions else []
    asked = Window(_minute(window.start), window.end)
    found = [_Found.of(pi, source, has, followed, span) for span in split(asked, SPAN)]
    load = parse_load([answer for each in found for answer in each.load], source.digests)
    statistics = parse_statistics([line for each in found for line in each.statistics], has, source.digests)
    counters = parse_counters([line for each in found for line in each.counters], has)
    minutes = asked.duration.total_seconds() / PERIOD_S
    totals = sum(minutes_with_a_total(answer) for each in found for answer in each.load)
    part = partial(Part, expected=minutes, unit="minutes", instance=instance)
    return [
        part("db_load", _inside(load, window), received=totals, note="; ".join(has.notes)),
        Part("statements", _seen(load, source.digests), unit=""),
        part(
            "statement_metrics",
            _inside(statistics, window) if statistics_queries(has) else None,
            received=_minutes(statistics),
            note=_lacking(has),
        ),
        part(
            "metrics",
            _inside(counters, window) if counter_queries(has) else None,
            received=_minutes(counters),
            note=_unlisted(has),
        ),
    ]


def _inside(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    return frame[(frame["time"] >= window.start) & (frame["time"] < window.end)]


def _minutes(frame: pd.DataFrame) -> int:
    return int(frame["time"].nunique())


def _lacking(has: Offered) -> str:
    return "" if statistics_queries(has) else "Performance Insights offers no statement statistics here"


def _unlisted(has: Offered) -> str:
    lacking = sorted(set(COUNTERS.values()) - set(has.counters().values()))
    return f"not offered: {', '.join(lacking)}" if lacking else ""


class _Found(NamedTuple):
    """What a span brought: of load an answer's lines each, for each has a top 25 of its own."""

    load: list[list[Line]]
    statistics: list[Line]
    counters: list[Line]

    @classmethod
    def of(cls, pi: Any, source: Source, has: Offered, followed: Sequence[str], span: Window) -> _Found:
        found = answers(pi, source.resource_id, load_queries(has.dimensions), span)
        return cls(
            [_load(pi, source, lines, followed, piece) for piece, lines in found],
            _asked(pi, source, statistics_queries(has), span),
            _asked(pi, source, counter_queries(has), span),
        )


def _asked(pi: Any, source: Source, queries: Sequence[dict[str, Any]], span: Window) -> list[Line]:
    """All lines of any number of queries, as many a call as the service takes."""
    groups = [queries[n : n + QUERIES_A_CALL] for n in range(0, len(queries), QUERIES_A_CALL)]
    return [
        line
        for group in groups
        for _, lines in answers(pi, source.resource_id, group, span)
        for line in lines
    ]


def _load(pi: Any, source: Source, lines: list[Line], followed: Sequence[str], span: Window) -> list[Line]:
    """A span's load, with the digests that it does not list, asked for by name."""
    listed = {line.member[SQL_ID] for line in lines if SQL_ID in line.member}
    if len(listed) >= LIMIT:
        by_name = _asked(pi, source, [_by_name(pi_id) for pi_id in followed if pi_id not in listed], span)
        lines = lines + [line for line in by_name if line.member]
    learn(pi, source, [line.member for line in lines], span)
    return lines


def minutes_with_a_total(answer: Sequence[Line]) -> int:
    """In how many minutes an answer says how much load there was in all."""
    total = _total(answer)
    return 0 if total is None else int(np.isfinite(total.numbers).sum())


def _total(answer: Sequence[Line]) -> Line | None:
    return next((line for line in answer if not line.member and line.metric == LOAD), None)


def load_queries(dimensions: Iterable[str]) -> list[dict[str, Any]]:
    """The queries of db load by each dimension; the total alone where there is none."""
    grouped = [
        {"Metric": LOAD, "GroupBy": {"Group": DIMENSIONS[each][0], "Limit": LIMIT}} for each in dimensions
    ]
    return grouped or [{"Metric": LOAD}]


def _by_name(pi_id: str) -> dict[str, Any]:
    """Grouped as well as filtered, so that the answer names whom it is of."""
    return {"Metric": LOAD, "GroupBy": {"Group": SQL_GROUP, "Limit": 1}, "Filter": {SQL_ID: pi_id}}


def statistics_queries(has: Offered) -> list[dict[str, Any]]:
    """The queries of the statements' statistics that the service offers, and lets us see."""
    if "sql" not in has.dimensions:
        return []
    group = {"Group": SQL_GROUP, "Limit": LIMIT}
    return [{"Metric": f"{name}.avg", "GroupBy": group} for name in sorted(has.statistics())]


def counter_queries(has: Offered) -> list[dict[str, Any]]:
    """The queries of the counters that the service offers."""
    return [{"Metric": f"{name}.avg"} for name in sorted(has.counters())]


def answers(
    pi: Any, resource_id: str, queries: Sequence[dict[str, Any]], span: Window
) -> Iterator[tuple[Window, list[Line]]]:
    """The lines of a span; where an answer ends too early, it is asked to go on from there.

    A piece that brings no further point is a gap: nobody is asked for it again.
    """
    while True:
        found, end = _answer(pi, resource_id, queries, span)
        reached = min(_reached(found), end)
        if reached <= span.start.timestamp() or reached >= end:
            yield span, found
            return
        cut = datetime.fromtimestamp(reached, UTC)
        yield Window(span.start, cut), found
        span = Window(cut, span.end)


def _answer(
    pi: Any, resource_id: str, queries: Sequence[dict[str, Any]], span: Window
) -> tuple[list[Line], float]:
    """All pages of one answer, and where its points should end [s since 1970]. A page may be empty and go on."""
    request = {
        "ServiceType": "RDS",
        "Identifier": resource_id,
        "MetricQueries": list(queries),
        "StartTime": span.start,
        "EndTime": span.end,
        "PeriodInSeconds": PERIOD_S,
        "PeriodAlignment": "START_TIME",
        "MaxResults": LIMIT,
    }
    found: list[Line] = []
    end = span.end.timestamp()
    for page in _pages(pi.get_resource_metrics, request):
        found += lines(page)
        end = max(end, *_seconds([page["AlignedEndTime"]])) if "AlignedEndTime" in page else end
    return found, end


def _reached(found: Sequence[Line]) -> float:
    """The end of the last point of any line [s since 1970]."""
    return max((line.seconds[-1] + PERIOD_S for line in found if len(line.seconds)), default=0.0)


def _pages(operation: Any, request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """boto3 has no paginators for this service."""
    page = operation(**request)
    yield page
    while token := page.get("NextToken"):
        page = operation(**request, NextToken=token)
        yield page


def top_digests(pi: Any, source: Source, window: Window) -> list[str]:
    """The service's ids of the top 25 statements of a window: they are followed through all its spans."""
    request = {
        "ServiceType": "RDS",
        "Identifier": source.resource_id,
        "StartTime": window.start,
        "EndTime": window.end,
        "Metric": LOAD,
        "GroupBy": {"Group": SQL_GROUP, "Limit": LIMIT},
        "MaxResults": LIMIT,
    }
    keys = [
        key["Dimensions"]
        for page in _pages(pi.describe_dimension_keys, request)
        for key in page.get("Keys", [])
    ]
    return [key[SQL_ID] for key in keys if SQL_ID in key]


def offered(pi: Any, resource_id: str) -> Offered:
    """What the service offers of an instance, and lets us see."""
    asked = {"ServiceType": "RDS", "Identifier": resource_id, "MaxResults": LIMIT}
    kinds = ["os", "db", f"{SQL_GROUP}.stats"]
    pages = _pages(pi.list_available_resource_metrics, asked | {"MetricTypes": kinds})
    metrics = tuple(row["Metric"] for page in pages for row in page.get("Metrics", []))
    dimensions, notes = _dimensions(pi, asked)
    return Offered(metrics, dimensions, notes)


def _dimensions(pi: Any, asked: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The dimensions that policy lets us see; all, where the service does not say."""
    actions = ["GetResourceMetrics", "DescribeDimensionKeys"]
    try:
        pages = list(
            _pages(
                pi.list_available_resource_dimensions,
                dict(asked) | {"Metrics": ["db.load"], "AuthorizedActions": actions},
            )
        )
    except ClientError:
        return tuple(DIMENSIONS), ()
    groups = {
        group["Group"]
        for page in pages
        for metric in page.get("MetricDimensions", [])
        for group in metric.get("Groups", [])
    }
    seen = tuple(each for each, (group, _) in DIMENSIONS.items() if group in groups)
    hidden = sorted(set(DIMENSIONS) - set(seen))
    return seen, (f"not permitted or not offered: db load by {', '.join(hidden)}",) if hidden else ()


def learn(pi: Any, source: Source, members: Iterable[Mapping[str, str]], span: Window) -> None:
    """Tell the digests of the statements among the members; a text that was cut is asked for in full."""
    for member in members:
        pi_id, text = member.get(SQL_ID), member.get(SQL_TEXT)
        if pi_id and text and pi_id not in source.digests.by_id:
            if len(text.encode()) >= TEXT_BYTES:
                text = _whole_text(pi, source.resource_id, pi_id, span) or text
            source.digests.add(pi_id, text)


def _whole_text(pi: Any, resource_id: str, pi_id: str, span: Window) -> str:
    """One execution's text of a digest, up to 4 KiB; it is fingerprinted and forgotten. Nothing where it is not to be had."""
    try:
        keys = pi.describe_dimension_keys(
            ServiceType="RDS",
            Identifier=resource_id,
            StartTime=span.start,
            EndTime=span.end,
            Metric=LOAD,
            GroupBy={"Group": "db.sql", "Limit": 1},
            Filter={"db.sql.tokenized_id": pi_id},
        ).get("Keys", [])
        if not keys:
            return ""
        details = pi.get_dimension_key_details(
            ServiceType="RDS",
            Identifier=resource_id,
            Group="db.sql",
            GroupIdentifier=keys[0]["Dimensions"]["db.sql.id"],
            RequestedDimensions=["statement"],
        )
    except ClientError as problem:
        if problem.response["Error"]["Code"] in {*DENIED, "InvalidArgumentException"}:
            return ""
        raise
    texts = [
        row.get("Value", "") for row in details.get("Dimensions", []) if row.get("Status") == "AVAILABLE"
    ]
    return next(iter(texts), "")


# Parse


def lines(page: Mapping[str, Any]) -> list[Line]:
    """The series of one page of GetResourceMetrics."""
    return [
        Line(
            entry["Key"]["Metric"],
            entry["Key"].get("Dimensions") or {},
            np.asarray(_seconds([point["Timestamp"] for point in entry["DataPoints"]]), dtype=float),
            np.array([_value(point) for point in entry["DataPoints"]], dtype=float),
        )
        for entry in page.get("MetricList", [])
    ]


def _value(point: Mapping[str, Any]) -> float:
    """NaN where the bucket is empty: missing is not zero."""
    value = point.get("Value")
    return float("nan") if value is None else value


def _seconds(moments: Sequence[float | datetime]) -> list[float]:
    return [each if isinstance(each, int | float) else each.timestamp() for each in moments]


def member_name(dimension: str, member: Mapping[str, str], digests: Digests) -> str:
    """Our name of a member: a digest, or the service's word without the prefix that its documentation drops."""
    word = member[DIMENSIONS[dimension][1]]
    if dimension == "sql":
        return digests.digest(word)
    if dimension == "wait_event":
        return "cpu" if word == "CPU" else word.removeprefix("wait/")
    return word or UNKNOWN


def parse_load(answers: Iterable[Sequence[Line]], digests: Digests) -> pd.DataFrame:
    """Table `db_load` of answers. In each, the rest is the total less all that it lists."""
    named = [(label, line) for answer in answers for label, line in _named(answer, digests)]
    return _long(named, ("dimension", "member"), "active_sessions").assign(period_s=float(PERIOD_S))


def _named(answer: Sequence[Line], digests: Digests) -> Iterator[tuple[tuple[str, str], Line]]:
    """The dimension and our name of every member, and of the rest of each dimension that is full."""
    total = _total(answer)
    for dimension, (_, key) in DIMENSIONS.items():
        listed = [line for line in answer if key in line.member]
        yield from (((dimension, member_name(dimension, line.member, digests)), line) for line in listed)
        if total is not None and len(listed) >= LIMIT:
            yield (dimension, REST), _rest(total, listed)


def _rest(total: Line, listed: Sequence[Line]) -> Line:
    """What the listed members leave of the total; an average's rounding does not make it negative."""
    left = total.numbers.copy()
    for line in listed:
        _, here, there = np.intersect1d(total.seconds, line.seconds, assume_unique=True, return_indices=True)
        left[here] -= np.nan_to_num(line.numbers[there])
    return total._replace(numbers=left.clip(min=0.0))


def _long(named: Sequence[tuple[tuple[str, ...], Line]], labels: Sequence[str], value: str) -> pd.DataFrame:
    """A row for each point with a value; lines of one name add up."""
    counts = [len(line.seconds) for _, line in named]
    frame = pd.DataFrame(
        {
            "time": times(_joined([line.seconds for _, line in named])),
            **{label: repeated([name[n] for name, _ in named], counts) for n, label in enumerate(labels)},
            value: _joined([line.numbers for _, line in named]),
        }
    )
    frame = frame[frame[value].notna()]
    keys = ["time", *labels]
    if frame.duplicated(keys).any():
        frame = frame.groupby(keys, observed=True, as_index=False).sum()
    return frame


def _joined(parts: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.empty(0)


def parse_statistics(found: Sequence[Line], has: Offered, digests: Digests) -> pd.DataFrame:
    """Table `statement_metrics` of the lines of the statements' statistics; where there is none, there is no row."""
    found = [line for line in found if SQL_ID in line.member]
    ids = sorted({line.member[SQL_ID] for line in found})
    moments = np.unique(_joined([line.seconds for line in found]))
    table = {column: np.full((len(ids), len(moments)), np.nan) for column, _ in STATISTICS.values()}
    ends, row = has.statistics(), {pi_id: n for n, pi_id in enumerate(ids)}
    for line in found:
        column, factor = STATISTICS[ends[line.metric.removesuffix(".avg")]]
        at = np.searchsorted(moments, line.seconds)
        table[column][row[line.member[SQL_ID]], at] = line.numbers * factor
    which, when = np.nonzero(~np.isnan(list(table.values())).all(axis=0))
    names = repeated([digests.digest(pi_id) for pi_id in ids], np.bincount(which, minlength=len(ids)))
    told = {"time": times(moments[when]), "digest": names}
    wide = pd.DataFrame(told | {column: values[which, when] for column, values in table.items()})
    return _by_digest(wide).assign(period_s=float(PERIOD_S))


def _by_digest(wide: pd.DataFrame) -> pd.DataFrame:
    """One row for a digest and minute. Of several statements of one digest, totals add up and the latency is weighted."""
    if not wide.duplicated(["time", "digest"]).any():
        return wide
    weighed = wide.assign(mean_latency_ms=wide["mean_latency_ms"] * wide["calls"])
    summed = weighed.groupby(["time", "digest"], observed=True).sum(min_count=1).reset_index()
    return summed.assign(mean_latency_ms=summed["mean_latency_ms"] / summed["calls"])


def parse_counters(found: Sequence[Line], has: Offered) -> pd.DataFrame:
    """Table `metrics` of the lines of counters."""
    names = has.counters()
    named = [((names[line.metric.removesuffix(".avg")],), line) for line in found]
    return _long(named, ("name",), "value").assign(period_s=float(PERIOD_S), statistic="average")


def _seen(load: pd.DataFrame, digests: Digests) -> pd.DataFrame:
    """Table `statements` of the digests that had load: their text is a fingerprint, without literals."""
    busy = load[(load["dimension"] == "sql") & (load["active_sessions"] > 0) & (load["member"] != REST)]
    spans = busy.assign(member=busy["member"].astype("str")).groupby("member")["time"].agg(["min", "max"])
    known = {digest: (pi_id, text) for pi_id, (digest, text) in dict(digests.by_id).items()}
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
