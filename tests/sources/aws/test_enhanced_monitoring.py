"""Enhanced Monitoring: documents of the operating system become means of a minute."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pandas as pd
import pytest
from fetching import DAY, KEPT, NOON, clients, endpoint

from aurora_analysis import Window
from aurora_analysis.fetch.chunks import Chunk, Context, Have
from aurora_analysis.glossary import METRICS
from aurora_analysis.sources.aws import enhanced_monitoring
from aurora_analysis.sources.aws.enhanced_monitoring import DocumentArguments
from aurora_analysis.sources.aws.rds import Instance, Topology

HOUR = Window("2026-11-09T00:00", "2026-11-09T01:00")
NOW = datetime(2026, 11, 10, tzinfo=UTC)

STORAGE = {"readLatency": 0.5, "writeLatency": 1.5, "readIOsPS": 3.0, "writeIOsPS": 5.0, "diskQueueDepth": 0}
LOCAL = {"device": "rdstemp", "await": 0.25, "tps": 2.0, "util": 0.1}


def document(second: int = 0, **more: object) -> str:
    """Return one document of the hour's first minutes."""
    stamp = f"2026-11-09T00:{second // 60:02}:{second % 60:02}Z"
    storage = {"readLatency": float(second), "writeLatency": 1.5}
    return json.dumps({"timestamp": stamp, "diskIO": [storage], **more})


def read(*messages: str) -> tuple[dict[str, list[float]], int, int]:
    """Return each metric's minutes, and the numbers of documents read and not read."""
    frame, count, broken = enhanced_monitoring.parse(messages, HOUR)
    ordered = frame.sort_values("time")
    return {str(name): rows["value"].tolist() for name, rows in ordered.groupby("name")}, count, broken


def test_every_metric_is_in_the_glossary():
    """Each metric has a name that glossary.py explains."""
    assert set(enhanced_monitoring.METRICS) <= set(METRICS)


def test_seconds_become_means_of_a_minute():
    """0, 10 and 20 in the first minute, 60 in the second."""
    metrics, _, _ = read(document(0), document(10), document(20), document(60))
    assert metrics["os_storage_read_latency"] == [10.0, 60.0]


@pytest.mark.parametrize("disks", [[STORAGE], [STORAGE, LOCAL], [LOCAL, STORAGE]])
def test_the_shared_storage_is_distinguished_by_its_keys(disks):
    """The shared storage has no `device`; the local volume has other figures; their order does not matter."""
    metrics, _, _ = read(document(diskIO=disks))
    assert metrics["os_storage_write_latency"] == [1.5]


def test_a_missing_figure_has_no_row():
    """Missing is not zero."""
    metrics, _, _ = read(document(diskIO=[LOCAL], numVCPUs=8))
    assert metrics == {"vcpus": [8.0]}


def test_the_local_volume_is_read_in_per_cent():
    """The first file system is the one of temporary tables."""
    metrics, _, _ = read(document(fileSys=[{"name": "rdsdev", "usedPercent": 2.5}]))
    assert metrics["os_local_used"] == [2.5]


def test_a_broken_document_is_counted():
    """Broken: not JSON, without a time, or with an invalid time."""
    metrics, count, broken = read(document(), '{"timestamp": ', "{}", "[]", '{"timestamp": "today"}')
    assert (count, broken) == (1, 4)
    assert metrics["os_storage_read_latency"] == [0.0]


def planned(instance: Instance, window: Window = DAY) -> list[Chunk]:
    have = Have(pd.DataFrame(columns=["time", "end", "source", "instance", "received"]))
    return enhanced_monitoring.chunks(Topology("shop", "", (), "", (instance,)), have, window, NOW)


def test_a_service_that_is_off_is_not_planned():
    """No analysis needs it, so that its absence is no failure of a fetch."""
    assert planned(Instance("a", "db-A")) == []


def test_documents_of_every_second_have_smaller_chunks():
    """A day of such documents is too much to hold at once."""
    assert len(planned(Instance("a", "db-A", monitoring_interval_s=60))) == 1
    assert len(planned(Instance("a", "db-A", monitoring_interval_s=1))) == 8


@pytest.mark.parametrize("misbehaviour", [(), ("empty_pages",)])
def test_the_stream_of_an_instance_is_read_by_its_resource_id(misbehaviour):
    """Two hours of one document a minute, except the minute of the failover; pages may be empty."""
    with endpoint(*misbehaviour) as aws:
        name = aws.cluster.resource_id("shop-1")
        chunk = Chunk("enhanced monitoring", "logs", "shop-1", NOON, DocumentArguments(name, 60, 120))
        [part] = enhanced_monitoring.fetch(chunk, Context(clients(aws)))
    assert (part.received, part.lost) == (119, 0)
    assert set(KEPT) == {"shop-1", "shop-2", "shop-3"}
    assert part.frame["time"].nunique() == 119
