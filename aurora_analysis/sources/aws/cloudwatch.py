"""CloudWatch metrics of the instances and the cluster, in as few GetMetricData calls as possible.

Timestamps are the starts of periods. A value is the mean of a minute: say "p95 of minute means", never "query p95".
CloudWatch keeps coarser periods for older data; a request for too fine a period gets no data and no error.
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.AuroraMonitoring.Metrics.html
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.engines.vendor_metric import VendorMetric
from aurora_analysis.fetch.chunks import Chunk, Context, Have, NoLongerKept, Part, by_day, united
from aurora_analysis.sources.aws import answers, clusters
from aurora_analysis.sources.aws.frames import inside, repeated, times
from aurora_analysis.sources.aws.rds import Topology
from aurora_analysis.window import Window

SOURCE = "cloudwatch"
NAMESPACE = "AWS/RDS"

QUERIES_PER_CALL = 500
POINTS_PER_PAGE = 100_800

ATTEMPTS = 4
"""Number of attempts for a query that fails inside a successful answer."""

MARGIN = timedelta(hours=1)
"""Data this close to an age limit are requested as if they were past it, because the fetch itself takes time."""

AGES = ((timedelta(days=15), 60), (timedelta(days=63), 300), (timedelta(days=455), 3600))
"""(maximum age, finest period that CloudWatch keeps of data that old [s])."""

VOLUME_PERIOD_S = 300
"""CloudWatch publishes the volume's metrics every five minutes."""

KEYS = ["time", "instance", "name", "statistic"]
"""Columns that identify a point."""

STATISTICS = {"Average": "average", "Sum": "sum", "Maximum": "maximum", "SampleCount": "sample_count"}


@dataclass(frozen=True)
class Query:
    """One series of one metric, of an instance or (`instance` is None) of the cluster."""

    vendor: str
    metric: VendorMetric
    instance: str | None
    statistic: str
    period_s: int


@dataclass(frozen=True)
class MetricArguments:
    """All metrics of these instances and of the cluster, at one period."""

    cluster: str
    engine: str
    names: tuple[str, ...]
    period_s: int


def finest_period(start: datetime, now: datetime) -> int | None:
    """Return the finest period that CloudWatch keeps of data this old [s]; None if it keeps nothing.

    >>> finest_period(datetime(2026, 9, 1), datetime(2026, 11, 1))
    300
    """
    age = now - start + MARGIN
    return next((period for oldest, period in AGES if age <= oldest), None)


def queries(engine: str, instances: Sequence[str], period_s: int) -> list[Query]:
    """Return a query for every series of the instances and of the cluster.

    RDS sends one sample a minute, so each minute mean has weight one. Latency means of longer periods come with
    their sample counts, by which an analysis weights them.
    """
    metrics = engines.module(engine, "metrics")
    of_instance: Mapping[str, VendorMetric] = metrics.INSTANCE_METRICS
    of_cluster: Mapping[str, VendorMetric] = metrics.CLUSTER_METRICS
    weighted = period_s > 60
    found = [
        Query(vendor, metric, instance, statistic, period_s)
        for instance in instances
        for vendor, metric in of_instance.items()
        for statistic in metric.statistics + (("SampleCount",) if weighted and _is_latency(metric) else ())
    ]
    volume_s = max(period_s, VOLUME_PERIOD_S)
    if not clusters.is_aurora(engine):
        return found
    return found + [
        Query(vendor, metric, None, statistic, volume_s)
        for vendor, metric in of_cluster.items()
        for statistic in metric.statistics
    ]


def _is_latency(metric: VendorMetric) -> bool:
    return metric.name.endswith("_latency")


# Plan


def chunks(topology: Topology, have: Have, window: Window, now: datetime) -> list[Chunk]:
    """Plan one chunk for each day on which an instance or the cluster lacks data: they share their calls."""
    names = tuple(each.name for each in topology.instances)
    lacking = [gap for name in (None, *names) for gap in have.missing(SOURCE, name, window)]
    return [_chunk(topology, names, piece, now) for piece in by_day(united(lacking))]


def _chunk(topology: Topology, names: tuple[str, ...], window: Window, now: datetime) -> Chunk:
    period_s = finest_period(window.start, now)
    if period_s is None:
        return Chunk(SOURCE, "cloudwatch", None, window, _no_longer_kept(names, window))
    planned = queries(topology.engine, names, period_s)
    points = sum(window.duration.total_seconds() / each.period_s for each in planned)
    calls = max(math.ceil(len(planned) / QUERIES_PER_CALL), math.ceil(points / POINTS_PER_PAGE))
    arguments = MetricArguments(topology.cluster, topology.engine, names, period_s)
    return Chunk(SOURCE, "cloudwatch", None, window, arguments, calls, cost=float(len(planned)))


def _no_longer_kept(names: Sequence[str], window: Window) -> NoLongerKept:
    note = f"beyond the {AGES[-1][0].days} days that CloudWatch keeps"
    minutes = window.duration.total_seconds() / 60
    parts = (
        Part("metrics", None, minutes, 0, unit="minutes", note=note, instance=name) for name in (None, *names)
    )
    return NoLongerKept(tuple(parts))


# Fetch


def fetch(chunk: Chunk, context: Context) -> list[Part]:
    """Fetch all metrics of a window, and count for each instance the periods with any value."""
    arguments, window = chunk.arguments, chunk.window
    assert isinstance(arguments, MetricArguments)
    names, period_s = arguments.names, arguments.period_s
    planned = dict(enumerate(queries(arguments.engine, names, period_s)))
    frame, failed = _frame(context.clients["cloudwatch"], arguments.cluster, planned, window)
    lost = Counter(query.instance for query in failed)
    return [
        Part("metrics", frame, instance=None, **_received(frame, None, window, period_s, lost[None])),
        *(
            Part("metrics", None, instance=name, **_received(frame, name, window, period_s, lost[name]))
            for name in names
        ),
    ]


def _frame(
    client: Any, cluster: str, planned: Mapping[int, Query], window: Window
) -> tuple[pd.DataFrame, list[Query]]:
    """Return the rows of all queries, and the queries that failed in every attempt.

    A query may fail inside a successful answer; it is requested again.
    """
    frames = []
    for _ in range(ATTEMPTS):
        failed: set[int] = set()
        for page in pages(client, cluster, planned, window):
            failed |= {_number(result) for result in page.get("MetricDataResults", []) if _failed(result)}
            frames.append(parse(page, planned))
        planned = {number: planned[number] for number in failed}
        if not planned:
            break
    frame = inside(pd.concat(frames, ignore_index=True), window)
    # Of a point that was returned twice, the larger value counts.
    frame = frame.sort_values("value", kind="stable").drop_duplicates(KEYS, keep="last").sort_index()
    return frame, list(planned.values())


def _failed(result: Mapping[str, Any]) -> bool:
    return result.get("StatusCode") in {"InternalError", "Forbidden"}


def _number(result: Mapping[str, Any]) -> int:
    return int(result["Id"][1:])


def _received(
    frame: pd.DataFrame, name: str | None, window: Window, period_s: int, failed: int
) -> dict[str, Any]:
    """Count the periods for which CloudWatch has any value of the instance."""
    rows = frame[frame["instance"].isna() if name is None else frame["instance"] == name]
    period_s = max(period_s, VOLUME_PERIOD_S) if name is None else period_s
    note = "" if len(rows) else "CloudWatch has no data of it"
    return {
        "expected": math.ceil(window.duration.total_seconds() / period_s),
        "received": None if failed else rows["time"].nunique(),
        "unit": f"periods of {period_s} s",
        "note": f"CloudWatch failed to return {failed} of its metrics" if failed else note,
    }


def pages(
    client: Any, cluster: str, planned: Mapping[int, Query], window: Window
) -> Iterator[Mapping[str, Any]]:
    """Request all queries, and yield GetMetricData's answers page by page. A query's `Id` is q and its number."""
    numbers = list(planned)
    for first in range(0, len(numbers), QUERIES_PER_CALL):
        yield from answers.pages(
            client.get_metric_data,
            "NextToken",
            MetricDataQueries=[
                request(planned[n], cluster, f"q{n}") for n in numbers[first : first + QUERIES_PER_CALL]
            ],
            StartTime=window.start,
            EndTime=window.end,
            ScanBy="TimestampAscending",
        )


def request(query: Query, cluster: str, name: str) -> dict[str, Any]:
    """Return a query as GetMetricData takes it."""
    dimension = (
        {"Name": "DBClusterIdentifier", "Value": cluster}
        if query.instance is None
        else {"Name": "DBInstanceIdentifier", "Value": query.instance}
    )
    metric = {"Namespace": NAMESPACE, "MetricName": query.vendor, "Dimensions": [dimension]}
    return {
        "Id": name,
        "MetricStat": {"Metric": metric, "Period": query.period_s, "Stat": query.statistic},
        "ReturnData": True,
    }


def parse(page: Mapping[str, Any], planned: Mapping[int, Query]) -> pd.DataFrame:
    """Convert a page of GetMetricData to rows of table `metrics`. Missing values give no rows."""
    results = [each for each in page.get("MetricDataResults", []) if each.get("Values") and not _failed(each)]
    found = [(planned[_number(result)], result) for result in results]
    counts = [len(result["Values"]) for _, result in found]
    values = [np.asarray(result["Values"], dtype=float) * query.metric.factor for query, result in found]
    return pd.DataFrame(
        {
            "time": times([moment for _, result in found for moment in result["Timestamps"]]),
            "period_s": np.repeat(np.array([query.period_s for query, _ in found], dtype=float), counts),
            "instance": repeated([query.instance for query, _ in found], counts),
            "name": repeated([query.metric.name for query, _ in found], counts),
            "statistic": repeated([STATISTICS[query.statistic] for query, _ in found], counts),
            "value": np.concatenate(values) if values else np.empty(0),
        }
    )


# Roles


def presence(client: Any, topology: Topology, window: Window, now: datetime) -> pd.DataFrame:
    """Find when each instance published the metric that only a writer, or only a reader, publishes.

    Days of the same period share a request.

    Returns
    -------
    DataFrame
        Columns time, instance, and writer (bool: whether the metric was the writer's).
    """
    days = groupby(by_day([window]), lambda day: finest_period(day.start, now))
    frames = [_presence(client, topology, united(group)[0], period) for period, group in days if period]
    none = pd.DataFrame({"time": times([]), "instance": [], "writer": np.empty(0, dtype=bool)})
    return pd.concat(frames, ignore_index=True) if frames else none


def _presence(client: Any, topology: Topology, window: Window, period_s: int) -> pd.DataFrame:
    metrics = engines.module(topology.engine, "metrics")
    of_instance: Mapping[str, VendorMetric] = metrics.INSTANCE_METRICS
    planned = [
        Query(vendor, of_instance[vendor], each.name, "Average", period_s)
        for each in topology.instances
        for vendor in (metrics.WRITER_METRIC, metrics.READER_METRIC)
    ]
    frame, _ = _frame(client, "", dict(enumerate(planned)), window)
    of_writer = frame["name"] == of_instance[metrics.WRITER_METRIC].name
    return frame.assign(writer=of_writer)[["time", "instance", "writer"]]
