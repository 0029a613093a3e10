"""CloudWatch's metrics of the instances and of the cluster, in as few GetMetricData calls as there can be.

Timestamps are starts of periods. A value is the mean of a minute: say "p95 of minute means", never "query p95".
How fine CloudWatch still is depends on the age; asked too fine, it answers with nothing and no error.
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.AuroraMonitoring.Metrics.html
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis.fetch.chunks import Chunk, Clients, Part, by_day, missing
from aurora_analysis.sources.aws.rds import Topology
from aurora_analysis.window import Window

SOURCE = "cloudwatch"
NAMESPACE = "AWS/RDS"

QUERIES_A_CALL = 500
POINTS_A_PAGE = 100_800

ATTEMPTS = 4
"""How often a query is asked that fails inside an answer."""

MARGIN = timedelta(hours=1)
"""Data this close to the end of an age are asked for as if they were past it: the fetch itself takes time."""

AGES = ((timedelta(days=15), 60), (timedelta(days=63), 300), (timedelta(days=455), 3600))
"""(how old at most, the finest period then [s])."""


class Metric(NamedTuple):
    """Our name of a vendor's metric, the factor to our unit, and the statistics asked for."""

    name: str
    factor: float = 1.0
    statistics: tuple[str, ...] = ("Average",)


OF_INSTANCE = {
    "RollbackSegmentHistoryListLength": Metric("history_list_length"),
    "PurgeBoundary": Metric("purge_boundary"),
    "PurgeFinishedPoint": Metric("purge_finished"),
    "TruncateFinishedPoint": Metric("undo_truncated"),
    "TransactionAgeMaximum": Metric("oldest_transaction_age", 1.0, ("Maximum",)),
    "ActiveTransactions": Metric("active_transactions"),
    "BlockedTransactions": Metric("blocked_transactions"),
    "CommitLatency": Metric("commit_latency"),
    "CommitThroughput": Metric("commit_throughput"),
    "DMLLatency": Metric("dml_latency"),
    "DMLThroughput": Metric("dml_throughput"),
    "InsertLatency": Metric("insert_latency"),
    "UpdateLatency": Metric("update_latency"),
    "DeleteLatency": Metric("delete_latency"),
    "SelectLatency": Metric("select_latency"),
    "SelectThroughput": Metric("select_throughput"),
    "DDLLatency": Metric("ddl_latency"),
    "Queries": Metric("query_throughput"),
    "RowLockTime": Metric("row_lock_time"),
    "Deadlocks": Metric("deadlocks"),
    "BufferCacheHitRatio": Metric("buffer_cache_hit_ratio"),
    "DatabaseConnections": Metric("connections"),
    "CPUUtilization": Metric("cpu_utilization"),
    "FreeableMemory": Metric("freeable_memory"),
    "EngineUptime": Metric("uptime"),
    "StorageNetworkThroughput": Metric("storage_throughput"),
    "NetworkTransmitThroughput": Metric("network_transmit"),
    "AuroraReplicaLag": Metric("replica_lag"),
    "AuroraReplicaLagMaximum": Metric("replica_lag_maximum"),
    "DBLoad": Metric("db_load"),
}
"""CloudWatch's metrics of an instance. What it does not publish stays absent."""

OF_CLUSTER = {
    "VolumeReadIOPs": Metric("volume_reads", 1.0, ("Sum",)),
    "VolumeWriteIOPs": Metric("volume_writes", 1.0, ("Sum",)),
    "VolumeBytesUsed": Metric("volume_bytes"),
}
"""CloudWatch's metrics of the shared volume, which it counts every five minutes."""

VOLUME_PERIOD_S = 300

ROLES = {"AuroraReplicaLagMaximum": True, "AuroraReplicaLag": False}
"""Whether who emits the metric is the writer."""

STATISTICS = {"Average": "average", "Sum": "sum", "Maximum": "maximum", "SampleCount": "sample_count"}


@dataclass(frozen=True)
class Query:
    """One series of one metric: of an instance, or (None) of the cluster."""

    vendor: str
    instance: str | None
    statistic: str
    period_s: int

    @property
    def metric(self) -> Metric:
        """What we make of it."""
        return (OF_CLUSTER if self.instance is None else OF_INSTANCE)[self.vendor]


def finest_period(start: datetime, now: datetime) -> int | None:
    """The finest period that CloudWatch still keeps of data this old [s]; None where it keeps nothing.

    >>> finest_period(datetime(2026, 9, 1), datetime(2026, 11, 1))
    300
    """
    age = now - start + MARGIN
    return next((period for oldest, period in AGES if age <= oldest), None)


def queries(instances: Sequence[str], period_s: int) -> list[Query]:
    """Every series of the instances and of the cluster at a period.

    RDS sends one sample a minute, so a mean of a minute weighs one; means of longer periods come with their
    sample counts.
    """
    weighed = period_s > 60
    found = [
        Query(vendor, instance, statistic, period_s)
        for instance in instances
        for vendor, metric in OF_INSTANCE.items()
        for statistic in metric.statistics + (("SampleCount",) if weighed and _is_latency(metric) else ())
    ]
    volume = max(period_s, VOLUME_PERIOD_S)
    return found + [
        Query(vendor, None, each, volume) for vendor in OF_CLUSTER for each in OF_CLUSTER[vendor].statistics
    ]


def _is_latency(metric: Metric) -> bool:
    return metric.name.endswith("_latency")


# The plan


def chunks(topology: Topology, coverage: pd.DataFrame, window: Window, now: datetime) -> list[Chunk]:
    """A chunk for each day of which any instance or the cluster lacks something: all are asked together."""
    names = [each.name for each in topology.instances]
    lacking = [gap for name in [None, *names] for gap in missing(coverage, SOURCE, name, window)]
    return [_chunk(topology.cluster, names, piece, now) for piece in by_day(_united(lacking))]


def _united(windows: Iterable[Window]) -> list[Window]:
    united: list[Window] = []
    for window in sorted(windows, key=lambda each: each.start):
        if united and window.start <= united[-1].end:
            united[-1] = Window(united[-1].start, max(united[-1].end, window.end))
        else:
            united.append(window)
    return united


def _chunk(cluster: str, names: Sequence[str], window: Window, now: datetime) -> Chunk:
    period = finest_period(window.start, now)
    asked = queries(names, period) if period else []
    points = sum(window.duration.total_seconds() / each.period_s for each in asked)
    bring = partial(fetch, cluster=cluster, names=tuple(names), window=window, period_s=period)
    calls = max(math.ceil(len(asked) / QUERIES_A_CALL), math.ceil(points / POINTS_A_PAGE))
    return Chunk(SOURCE, "cloudwatch", None, window, calls, bring, cost=float(len(asked)))


# Fetch


def fetch(
    clients: Clients, *, cluster: str, names: Sequence[str], window: Window, period_s: int | None
) -> list[Part]:
    """All metrics of a window, and per instance in how many of its periods there was anything."""
    if period_s is None:
        note = f"beyond the {AGES[-1][0].days} days that CloudWatch keeps"
        minutes = window.duration.total_seconds() / 60
        return [
            Part("metrics", None, minutes, 0, unit="minutes", note=note, instance=name)
            for name in [None, *names]
        ]
    asked = dict(enumerate(queries(names, period_s)))
    frame, refused = _frame(clients["cloudwatch"], cluster, asked, window)
    lost = Counter(query.instance for query in refused)
    return [
        Part("metrics", frame, instance=None, **_received(frame, None, window, period_s, lost[None])),
        *(
            Part("metrics", None, instance=name, **_received(frame, name, window, period_s, lost[name]))
            for name in names
        ),
    ]


def _frame(
    client: Any, cluster: str, asked: Mapping[int, Query], window: Window
) -> tuple[pd.DataFrame, list[Query]]:
    """The rows of all queries, and the queries that CloudWatch failed at to the end.

    A query may fail in an answer that succeeds: it is asked for again.
    """
    frames = []
    for _ in range(ATTEMPTS):
        failed: set[int] = set()
        for page in pages(client, cluster, asked, window):
            failed |= {_number(result) for result in page.get("MetricDataResults", []) if _failed(result)}
            frames.append(parse(page, asked))
        asked = {number: asked[number] for number in failed}
        if not asked:
            break
    frame = _inside(pd.concat(frames, ignore_index=True), window)
    return frame.drop_duplicates(["time", "instance", "name", "statistic"]), list(asked.values())


def _failed(result: Mapping[str, Any]) -> bool:
    return result.get("StatusCode") in {"InternalError", "Forbidden"}


def _number(result: Mapping[str, Any]) -> int:
    return int(result["Id"][1:])


def _inside(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    return frame[(frame["time"] >= window.start) & (frame["time"] < window.end)]


def _received(
    frame: pd.DataFrame, name: str | None, window: Window, period_s: int, failed: int
) -> dict[str, Any]:
    """Periods in which CloudWatch had anything of the instance."""
    rows = frame[frame["instance"].isna() if name is None else frame["instance"] == name]
    period_s = max(period_s, VOLUME_PERIOD_S) if name is None else period_s
    note = "" if len(rows) else "CloudWatch knows nothing of it"
    return {
        "expected": math.ceil(window.duration.total_seconds() / period_s),
        "received": None if failed else rows["time"].nunique(),
        "unit": f"periods of {period_s} s",
        "note": f"CloudWatch failed at {failed} of its metrics" if failed else note,
    }


def pages(
    client: Any, cluster: str, asked: Mapping[int, Query], window: Window
) -> Iterator[Mapping[str, Any]]:
    """GetMetricData's answers to all queries, page by page; `Id` is q and the query's number."""
    numbers = list(asked)
    for first in range(0, len(numbers), QUERIES_A_CALL):
        yield from client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[
                request(asked[n], cluster, f"q{n}") for n in numbers[first : first + QUERIES_A_CALL]
            ],
            StartTime=window.start,
            EndTime=window.end,
            ScanBy="TimestampAscending",
        )


def request(query: Query, cluster: str, name: str) -> dict[str, Any]:
    """GetMetricData's words for a query."""
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


def parse(page: Mapping[str, Any], asked: Mapping[int, Query]) -> pd.DataFrame:
    """Table `metrics` of a page of GetMetricData: what has no value has no row."""
    results = [each for each in page.get("MetricDataResults", []) if each.get("Values") and not _failed(each)]
    found = [(asked[_number(result)], result) for result in results]
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


def repeated(labels: Sequence[str | None], counts: Sequence[int] | npt.NDArray[np.int64]) -> pd.Categorical:
    """A column of few words, each repeated."""
    words = sorted({label for label in labels if label is not None})
    code = {None: -1} | {word: n for n, word in enumerate(words)}
    codes = [code[label] for label in labels]
    return pd.Categorical.from_codes(
        np.repeat(np.array(codes, dtype=int), counts), pd.Index(words, dtype="str")
    )


def times(moments: Sequence[float | datetime] | npt.NDArray[np.float64]) -> pd.DatetimeIndex:
    """The moments of an answer: boto3 gives seconds since 1970 as our clients read them, datetimes as others do."""
    if len(moments) and isinstance(moments[0], datetime):
        moments = [each.timestamp() for each in moments]  # type: ignore[union-attr]
    micros = np.round(np.asarray(moments, dtype=float) * 1e6).astype("int64")
    return pd.DatetimeIndex(micros.view("datetime64[us]")).tz_localize("UTC")


# Who was the writer


def presence(client: Any, names: Sequence[str], window: Window, now: datetime) -> pd.DataFrame:
    """When each instance emitted what only a writer, or only a reader, does: time, instance, writer.

    Days of one period are asked for together.
    """
    days = groupby(by_day([window]), lambda day: finest_period(day.start, now))
    frames = [_presence(client, names, _united(group)[0], period) for period, group in days if period]
    none = pd.DataFrame({"time": times([]), "instance": [], "writer": np.empty(0, dtype=bool)})
    return pd.concat(frames, ignore_index=True) if frames else none


def _presence(client: Any, names: Sequence[str], window: Window, period_s: int) -> pd.DataFrame:
    asked = [Query(vendor, name, "Average", period_s) for name in names for vendor in ROLES]
    frame, _ = _frame(client, "", dict(enumerate(asked)), window)
    return frame.assign(writer=frame["name"] == "replica_lag_maximum")[["time", "instance", "writer"]]
