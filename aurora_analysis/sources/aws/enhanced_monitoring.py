"""Enhanced Monitoring: what the operating system says, second by second, as means of a minute.

Each event of the log group RDSOSMetrics is one JSON document; an instance's stream is named by its resource id.
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_Monitoring-Available-OS-Metrics.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd

from aurora_analysis.errors import NotEnabled
from aurora_analysis.fetch.chunks import Chunk, Clients, Part, missing, split
from aurora_analysis.sources.aws.cloudwatch import times
from aurora_analysis.sources.aws.rds import Instance, Topology
from aurora_analysis.window import Window

SOURCE = "enhanced monitoring"
GROUP = "RDSOSMetrics"
KEPT_DAYS = 30
"""How long the group keeps its events unless somebody changed it [days]."""

PERIOD_S = 60
OFTEN_S = 10
"""Documents that come more often than this are brought three hours at a time, others two days: they are held until then."""

KIB = 1024.0

Document = Mapping[str, Any]


def _in(section: str, key: str, factor: float = 1.0) -> Callable[[Document], float | None]:
    return lambda document: _times(document.get(section, {}).get(key), factor)


def _times(value: Any, factor: float) -> float | None:
    return None if value is None else float(value) * factor


def _summed(section: str, key: str) -> Callable[[Document], float | None]:
    return lambda document: _sum([row[key] for row in document.get(section, []) if key in row])


def _sum(values: Sequence[float]) -> float | None:
    return float(sum(values)) if values else None


def _disk(key: str) -> Callable[[Document], float | None]:
    """A figure of whichever element of diskIO has it: the shared storage's has no `device`, the local volume's other keys."""
    return lambda document: next((float(row[key]) for row in document.get("diskIO", []) if key in row), None)


def _local(key: str) -> Callable[[Document], float | None]:
    return lambda document: next((float(row[key]) for row in document.get("fileSys", []) if key in row), None)


METRICS: dict[str, Callable[[Document], float | None]] = {
    "os_cpu": _in("cpuUtilization", "total"),
    "os_cpu_wait": _in("cpuUtilization", "wait"),
    "os_load": _in("loadAverageMinute", "one"),
    "os_memory_free": _in("memory", "free", KIB),
    "os_memory_cached": _in("memory", "cached", KIB),
    "os_swap_free": _in("swap", "free", KIB),
    "os_tasks_running": _in("tasks", "running"),
    "os_tasks_blocked": _in("tasks", "blocked"),
    "os_network_receive": _summed("network", "rx"),
    "os_network_transmit": _summed("network", "tx"),
    "os_storage_read_latency": _disk("readLatency"),
    "os_storage_write_latency": _disk("writeLatency"),
    "os_storage_read_iops": _disk("readIOsPS"),
    "os_storage_write_iops": _disk("writeIOsPS"),
    "os_storage_queue": _disk("diskQueueDepth"),
    "os_local_await": _disk("await"),
    "os_local_iops": _disk("tps"),
    "os_local_used": _local("usedPercent"),
}
"""Our metric → where a document has it; None where it does not."""


# The plan


def chunks(topology: Topology, coverage: pd.DataFrame, window: Window, now: datetime) -> list[Chunk]:
    """A chunk for each instance and two days; an instance without the service is one chunk that says so."""
    return [
        chunk
        for each in topology.by_resource()
        for gap in missing(coverage, SOURCE, each.name, window)
        for chunk in _chunks(each, gap)
    ]


def _chunks(instance: Instance, window: Window) -> list[Chunk]:
    if said := _unavailable(instance):
        return [_saying(instance, window, said)]
    often = instance.monitoring_interval_s and instance.monitoring_interval_s < OFTEN_S
    return [
        _chunk(instance, piece) for piece in split(window, timedelta(hours=3) if often else timedelta(days=2))
    ]


def _unavailable(instance: Instance) -> str:
    if not instance.resource_id:
        return f"{instance.name} is no longer in the cluster, and the store does not know its resource id"
    if not instance.monitoring_interval_s and not instance.gone:
        return (
            f"Enhanced Monitoring is off for {instance.name}: aurora-analysis doctor says how to turn it on"
        )
    return ""


def _saying(instance: Instance, window: Window, said: str) -> Chunk:
    def bring(clients: Clients) -> Sequence[Part]:
        raise NotEnabled(f"{said}.")

    return Chunk(SOURCE, "logs", instance.name, window, 0, bring)


EVENT_BYTES = 3000
PAGE_BYTES = 2**20
PAGE_EVENTS = 10_000


def _chunk(instance: Instance, window: Window) -> Chunk:
    events = window.duration.total_seconds() / (instance.monitoring_interval_s or PERIOD_S)
    calls = max(1, math.ceil(events * EVENT_BYTES / PAGE_BYTES), math.ceil(events / PAGE_EVENTS))
    bring = partial(fetch, instance=instance, window=window, expected=events)
    return Chunk(SOURCE, "logs", instance.name, window, calls, bring)


# Fetch


def fetch(clients: Clients, *, instance: Instance, window: Window, expected: float) -> list[Part]:
    """An instance's documents as means of a minute."""
    found = events(clients["logs"], GROUP, instance.resource_id, window)
    frame, read, broken = parse((event["message"] for event in found), window)
    note = "" if read else f"{GROUP} has nothing of it; it keeps {KEPT_DAYS} days by default"
    if not instance.monitoring_interval_s:
        expected = float(read + broken)
    return [Part("metrics", frame, expected, read, broken, "documents", note, instance.name)]


def events(logs: Any, group: str, stream: str, window: Window) -> Iterator[Mapping[str, Any]]:
    """The events of one stream in a window; pages may be empty and go on. Both ends of a request are inclusive."""
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group,
        logStreamNames=[stream],
        startTime=_milliseconds(window.start),
        endTime=_milliseconds(window.end) - 1,
    )
    return (event for page in pages for event in page.get("events", []))


def _milliseconds(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo)) / timedelta(milliseconds=1))


def parse(messages: Iterable[str], window: Window) -> tuple[pd.DataFrame, int, int]:
    """Table `metrics` of the documents (means of a minute), how many were read, and how many could not be."""
    rows = [_row(message) for message in messages]
    kept = [row for row in rows if row is not None]
    frame = pd.DataFrame(kept, columns=["time", *METRICS]).astype(dict.fromkeys(METRICS, "float64"))
    frame = frame.assign(time=times(frame["time"].to_numpy(dtype=float)).floor("min"))
    means = frame.groupby("time").mean().reset_index().melt("time", var_name="name").dropna(subset=["value"])
    means = means[(means["time"] >= window.start) & (means["time"] < window.end)]
    return means.assign(period_s=float(PERIOD_S), statistic="average"), len(kept), len(rows) - len(kept)


def _row(message: str) -> list[float | None] | None:
    try:
        document = json.loads(message)
        moment = datetime.fromisoformat(document["timestamp"]).timestamp()
        return [moment, *(read(document) for read in METRICS.values())]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
