"""Every source against answers that AWS is known to give, or a proxy in its place: same rows, or one clear error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd
import pytest
from aws_endpoint import Endpoint
from aws_endpoint.server import WebPage
from aws_endpoint.wire import Refused
from botocore.exceptions import ClientError, PaginationError
from fetching import NOW, clients, endpoint

from aurora_analysis import Window
from aurora_analysis.errors import Error
from aurora_analysis.fetch import survey as surveys
from aurora_analysis.fetch.chunks import Context, Have, Part
from aurora_analysis.fetch.plan import SOURCES
from aurora_analysis.sources.aws import recommendations
from aurora_analysis.sources.aws.errors import explained
from aurora_analysis.sources.aws.rds import Topology

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
    "recommendations": "rds:DescribeDBRecommendations",
}
"""Source → the action that brings its data. The source `log files` is the slow log without an export."""


DETAILS = (
    "rds:DescribeDBClusterEndpoints",
    "rds:DescribeDBClusterParameters",
    "rds:DescribeDBParameters",
    "rds:DescribeDBRecommendations",
)
"""Actions of a survey without which it goes on: a note of its coverage has the reason."""

OTHERS = (
    *(("survey", action) for action in (*DETAILS, "rds:DescribeDBClusters", "rds:DescribeDBInstances")),
    ("survey", "cloudwatch:GetMetricData"),
    ("performance insights", "pi:DescribeDimensionKeys"),
    ("performance insights", "pi:ListAvailableResourceMetrics"),
    ("log files", "rds:DescribeDBLogFiles"),
)
"""Source and every further action that it needs."""

ADVICE = tuple(
    {
        "ResourceArn": f"arn:aws:rds:eu-central-1:1:db:shop-{n % 3 + 1}",
        "Detection": f"Number {n}",
        "Status": "active",
    }
    | {
        "Severity": "high",
        "CreatedTime": RECENT.start.timestamp() + n,
        "UpdatedTime": RECENT.start.timestamp(),
    }
    for n in range(150)
)
"""Recommendations of two pages."""

Rows = dict[str, list[tuple[object, ...]]]


class Served(NamedTuple):
    """A cluster behind an endpoint, its clients, and its topology of one instance."""

    aws: Endpoint
    clients: dict[str, Any]
    topology: Topology


@pytest.fixture(scope="module")
def clusters() -> Iterator[dict[str, Served]]:
    """Serve the cluster with exported logs, and without for the source `log files`."""
    with (
        endpoint(portion_bytes=2**14, recommendations=ADVICE) as exporting,
        endpoint(exports=(), portion_bytes=2**14) as keeping,
    ):
        exported, kept = _served(exporting), _served(keeping)
        yield {source: kept if source == "log files" else exported for source in QUERIED}


def _served(aws: Endpoint) -> Served:
    services = clients(aws, attempts=2)
    found = surveys.survey(services, KNOWN, "shop", RECENT, NOW).topology
    return Served(aws, services, replace(found, instances=found.instances[:1]))


@pytest.fixture(scope="module")
def undisturbed(clusters) -> dict[str, Rows]:
    """Return every source's rows from AWS at its best."""
    return {source: fetched(clusters[source], source) for source in QUERIED}


def fetched(served: Served, source: str, *misbehaving: str) -> Rows:
    """Fetch ten minutes of one instance, or survey the cluster; return sorted rows by table, and the coverage."""
    served.aws.misbehaving = set(misbehaving)
    if source == "survey":
        found = surveys.survey(served.clients, KNOWN, "shop", RECENT, NOW)
        if found.failures:
            raise Error(" ".join(found.failures))
        return _rows(found.parts)
    if source == "recommendations":
        listed = recommendations.request(served.clients["rds"], served.topology, RECENT.start)
        return _rows([Part("events", recommendations.events(listed, RECENT))])
    module = SOURCES["slow log" if source == "log files" else source]
    chunks = module.chunks(served.topology, NOTHING, RECENT, NOW)
    return _rows(part for chunk in chunks for part in module.fetch(chunk, Context(served.clients)))


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
    assert fetched(clusters[source], source, misbehaviour) == undisturbed[source]


@pytest.mark.parametrize("source", QUERIED)
def test_a_token_that_comes_twice_ends_the_request(clusters, source):
    """The error names the operation, and the token that comes twice."""
    with pytest.raises((PaginationError, Error), match="returned the same (Next|next)?(Token|Marker) twice"):
        fetched(clusters[source], source, "loops_tokens")


@pytest.mark.parametrize("source", QUERIED)
def test_a_web_page_in_place_of_an_answer_is_retried(clusters, undisturbed, source):
    """Two pages by a proxy, with status 503 and with status 200, change nothing."""
    aws = clusters[source].aws
    for status in (503, 200):
        aws.interpose(QUERIED[source], status=status)
    assert fetched(clusters[source], source) == undisturbed[source]


@pytest.mark.parametrize("source", QUERIED)
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (WebPage(503), "returned a web page, with HTTP status 503: check the proxy"),
        (
            Refused("InvalidSignatureException", "Signature expired: 20261109T000000Z is now earlier than"),
            "set this machine's clock",
        ),
        (Refused("AccessDenied", "with an explicit deny in a service control policy"), "a service control policy"),
        (Refused("AccessDeniedException", "not authorized to perform: kms:Decrypt on key"), "allow kms:Decrypt"),
    ],
)  # fmt: skip
def test_an_error_that_lasts_is_one_line(clusters, source, error, line):
    """The line names the cause and the next step; the survey goes on without its events."""
    aws = clusters[source].aws
    fault = aws.always(QUERIED[source], error)
    try:
        found = _line_of(clusters[source], source)
    finally:
        aws.end(fault)
    assert line in found
    assert "\n" not in found


def _line_of(served: Served, source: str) -> str:
    """Return the line of a fetch that fails, or of a survey that goes on or ends."""
    try:
        fetched(served, source)
    except (ClientError, Error) as problem:
        return explained(problem)
    raise AssertionError("nothing failed")


@pytest.mark.parametrize(("source", "action"), OTHERS)
def test_a_web_page_in_place_of_a_further_answer_is_retried(clusters, undisturbed, source, action):
    """The topology, the lists of metrics, of statements and of log files are requested again."""
    for status in (503, 200):
        clusters[source].aws.interpose(action, status=status)
    assert fetched(clusters[source], source) == undisturbed[source]


@pytest.mark.parametrize("action", [each for _, each in OTHERS if each not in DETAILS])
def test_a_further_answer_that_is_denied_is_one_line(clusters, action):
    """Without the topology, or without what a source lists first, nothing passes for an empty answer."""
    source = next(source for source, each in OTHERS if each == action)
    fault = clusters[source].aws.always(
        action, Refused("AccessDenied", "with an explicit deny in a service control policy")
    )
    try:
        line = _line_of(clusters[source], source)
    finally:
        clusters[source].aws.end(fault)
    assert (
        "is denied by a service control policy" in line and action.split(":")[1] in line and "\n" not in line
    )


@pytest.mark.parametrize("action", DETAILS)
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (WebPage(503), "returned a web page, with HTTP status 503"),
        (
            Refused("AccessDenied", "with an explicit deny in a service control policy"),
            "a service control policy",
        ),
    ],
)
def test_a_detail_of_the_topology_that_lacks_is_a_note(clusters, action, error, line):
    """The survey goes on, and the coverage names what it lacks and why."""
    aws, services = clusters["survey"].aws, clusters["survey"].clients
    fault = aws.always(action, error)
    try:
        found = surveys.survey(services, KNOWN, "shop", RECENT, NOW)
    finally:
        aws.end(fault)
    notes = " ".join(part.note for part in found.parts)
    assert line in notes, notes
