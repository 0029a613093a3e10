"""Enhanced Monitoring: operating-system metrics, published every few seconds, as means of a minute.

Each event of the log group RDSOSMetrics is one JSON document. An instance's stream is named by its resource id.
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_Monitoring-Available-OS-Metrics.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

import pandas as pd

from aurora_analysis.fetch.chunks import Chunk, Context, Have, Part, split
from aurora_analysis.sources.aws.answers import pages
from aurora_analysis.sources.aws.frames import inside, times
from aurora_analysis.sources.aws.rds import Instance, Topology
from aurora_analysis.window import Window

SOURCE = "enhanced monitoring"
GROUP = "RDSOSMetrics"
KEPT_DAYS = 30
"""Default retention of the log group [days]."""

PERIOD_S = 60
FREQUENT_S = 10
"""Documents published more often than this [s] are fetched three hours at a time, others two days at a time.

A chunk's documents are held in memory until its minutes are averaged.
"""

EVENT_BYTES = 3000
PAGE_BYTES = 2**20
PAGE_EVENTS = 10_000

Document = Mapping[str, Any]


def _first(section: str, key: str) -> Callable[[Document], float | None]:
    """Read a figure from the element of a list that has it.

    Of diskIO's elements, only the shared storage's has latencies.
    """
    return lambda document: next((float(row[key]) for row in document.get(section, []) if key in row), None)


def _vcpus(document: Document) -> float | None:
    count = document.get("numVCPUs")
    return None if count is None else float(count)


METRICS: dict[str, Callable[[Document], float | None]] = {
    "vcpus": _vcpus,
    "os_storage_read_latency": _first("diskIO", "readLatency"),
    "os_storage_write_latency": _first("diskIO", "writeLatency"),
    "os_local_used": _first("fileSys", "usedPercent"),
}
"""Our metric → the function that reads it from a document; None if the document lacks it.

Only what an analysis uses is kept: CloudWatch publishes most of the other figures too.
"""


@dataclass(frozen=True)
class DocumentArguments:
    """The documents of one instance. An interval of 0 means that the number of documents is unknown."""

    resource_id: str
    interval_s: int
    expected: float


# Plan


def chunks(topology: Topology, have: Have, window: Window, now: datetime) -> list[Chunk]:
    """Plan a chunk for each instance and two days; none where the service is off, because no analysis needs it."""
    return [
        chunk
        for each in topology.by_resource()
        if each.resource_id and (each.monitoring_interval_s or each.gone)
        for gap in have.missing(SOURCE, each.name, window)
        for chunk in _chunks(each, gap)
    ]


def _chunks(instance: Instance, window: Window) -> list[Chunk]:
    frequent = instance.monitoring_interval_s and instance.monitoring_interval_s < FREQUENT_S
    step = timedelta(hours=3) if frequent else timedelta(days=2)
    return [_chunk(instance, piece) for piece in split(window, step)]


def _chunk(instance: Instance, window: Window) -> Chunk:
    interval_s = instance.monitoring_interval_s
    events = window.duration.total_seconds() / (interval_s or PERIOD_S)
    calls = max(1, math.ceil(events * EVENT_BYTES / PAGE_BYTES), math.ceil(events / PAGE_EVENTS))
    arguments = DocumentArguments(instance.resource_id, interval_s, events)
    return Chunk(SOURCE, "logs", instance.name, window, arguments, calls)


# Fetch


def fetch(chunk: Chunk, context: Context) -> list[Part]:
    """Fetch an instance's documents as means of a minute."""
    arguments = chunk.arguments
    assert isinstance(arguments, DocumentArguments)
    found = events(context.clients["logs"], GROUP, [arguments.resource_id], chunk.window)
    frame, read, broken = parse((event["message"] for event in found), chunk.window)
    note = "" if read else f"{GROUP} has no document of it; it keeps {KEPT_DAYS} days by default"
    expected = arguments.expected if arguments.interval_s else float(read + broken)
    return [Part("metrics", frame, expected, read, broken, "documents", note, chunk.instance)]


def events(logs: Any, group: str, streams: Sequence[str], window: Window) -> Iterator[Mapping[str, Any]]:
    """Yield the events of log streams in a window, in order of time within a page; a repeated page counts once.

    A page may be empty and still lead to another. Both ends of a request are inclusive.
    """
    found = pages(
        logs.filter_log_events,
        "nextToken",
        logGroupName=group,
        logStreamNames=list(streams),
        startTime=_milliseconds(window.start),
        endTime=_milliseconds(window.end) - 1,
    )
    before: set[str] = set()
    for page in found:
        listed = {event["eventId"]: event for event in page.get("events", [])}
        yield from sorted(
            (event for name, event in listed.items() if name not in before), key=itemgetter("timestamp")
        )
        before = set(listed)


def _milliseconds(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo)) / timedelta(milliseconds=1))


def parse(messages: Iterable[str], window: Window) -> tuple[pd.DataFrame, int, int]:
    """Average the documents of each minute.

    Returns
    -------
    DataFrame
        Rows of table `metrics`.
    int
        Number of documents read.
    int
        Number of documents that could not be read.
    """
    rows = [_row(message) for message in messages]
    kept = [row for row in rows if row is not None]
    frame = pd.DataFrame(kept, columns=["time", *METRICS]).astype(dict.fromkeys(METRICS, "float64"))
    frame = frame.assign(time=times(frame["time"].to_numpy(dtype=float)).floor("min"))
    means = frame.groupby("time").mean().reset_index().melt("time", var_name="name").dropna(subset=["value"])
    means = inside(means, window).assign(period_s=float(PERIOD_S), statistic="average")
    return means, len(kept), len(rows) - len(kept)


def _row(message: str) -> list[float | None] | None:
    try:
        document = json.loads(message)
        moment = datetime.fromisoformat(document["timestamp"]).timestamp()
        return [moment, *(read(document) for read in METRICS.values())]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
