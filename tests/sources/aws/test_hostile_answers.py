"""Every source against answers that AWS is known to give, or a proxy in its place: same rows, or one clear error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from aws_endpoint import Endpoint
from fetching import NOW, clients, endpoint

from aurora_analysis import Window
from aurora_analysis.fetch import survey as surveys
from aurora_analysis.fetch.chunks import Context, Have, Part
from aurora_analysis.fetch.plan import SOURCES

RECENT = Window("2026-11-09T23:50", "2026-11-10")
NOTHING = Have(pd.DataFrame(columns=["source", "instance", "table", "time", "end", "received"]))
KNOWN = pd.DataFrame(
    columns=["time", "instance", "resource_id", "role", "pi_retention_days", "monitoring_interval_s"]
)
QUERIED = {
    "cloudwatch": "cloudwatch:GetMetricData",
    "performance insights": "pi:GetResourceMetrics",
    "enhanced monitoring": "logs:FilterLogEvents",
    "slow log": "logs:FilterLogEvents",
    "log files": "rds:DownloadDBLogFilePortion",
    "survey": "rds:DescribeEvents",
}
"""Source → the action that brings its data. The source `log files` is the slow log without an export."""


Rows = dict[str, list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def clusters() -> Iterator[dict[str, tuple[Endpoint, dict[str, Any]]]]:
    """Serve the cluster with and without exported logs, and make the clients of each."""
    with endpoint(portion_bytes=2**14) as exporting, endpoint(exports=(), portion_bytes=2**14) as keeping:
        served = (exporting, clients(exporting)), (keeping, clients(keeping))
        yield {each: served[each == "log files"] for each in QUERIED}


@pytest.fixture(scope="module")
def undisturbed(clusters) -> dict[str, Rows]:
    """Return every source's rows from AWS at its best."""
    return {source: fetched(clusters, source) for source in QUERIED}


def fetched(clusters, source: str, *misbehaving: str) -> Rows:
    """Fetch ten minutes of one instance, or survey the cluster; return sorted rows by table, and the coverage."""
    aws, services = clusters[source]
    aws.misbehaving = set(misbehaving)
    found = surveys.survey(services, KNOWN, "shop", RECENT, NOW)
    if source == "survey":
        return _rows(found.parts)
    topology = replace(found.topology, instances=found.topology.instances[:1])
    module = SOURCES["slow log" if source == "log files" else source]
    chunks = module.chunks(topology, NOTHING, RECENT, NOW)
    return _rows(part for chunk in chunks for part in module.fetch(chunk, Context(services)))


def _rows(parts: Iterable[Part]) -> Rows:
    found: Rows = {"coverage": []}
    for part in parts:
        if part.frame is not None:
            listed = part.frame.astype("str").itertuples(index=False, name=None)
            found.setdefault(part.table, []).extend(listed)
        found["coverage"].append((part.table, part.instance, part.expected, part.received, part.unit))
    assert len(found) > 1
    return {table: sorted(listed, key=str) for table, listed in found.items()}


@pytest.mark.parametrize("source", QUERIED)
@pytest.mark.parametrize("misbehaviour", ["repeats_pages", "reverses"])
def test_repeated_and_reversed_answers_make_the_same_rows(clusters, undisturbed, source, misbehaviour):
    """Rows and coverage are those of an undisturbed fetch."""
    assert fetched(clusters, source, misbehaviour) == undisturbed[source]
