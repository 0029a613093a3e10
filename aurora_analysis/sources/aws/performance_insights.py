"""Performance Insights: database load by SQL digest, user, host, wait event and database; counters; statement statistics.

For each dimension the service lists the top 25 members of the requested span. A member below the top 25 is *not
listed*, which is not zero: a digest among the day's top 25 that a span does not list is requested by name, and the
load of all unlisted members is stored as the member `(other)`, so that shares add up.

The service cuts an answer at about 350 points a series, without an error and without a token. Spans are therefore
shorter, and if an answer ends too early the rest is requested again. Points are stamped with the start of their minute.
https://docs.aws.amazon.com/performance-insights/latest/APIReference/API_GetResourceMetrics.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from aurora_analysis import engines
from aurora_analysis.engines.digests import Digests
from aurora_analysis.fetch.chunks import (
    Chunk,
    Context,
    Have,
    NoLongerKept,
    Part,
    Unavailable,
    by_day,
    split,
)
from aurora_analysis.sources.aws import errors
from aurora_analysis.sources.aws import performance_insights_series as series
from aurora_analysis.sources.aws.answers import pages
from aurora_analysis.sources.aws.frames import inside
from aurora_analysis.sources.aws.performance_insights_series import (
    DIMENSIONS,
    LIMIT,
    LOAD,
    PERIOD_S,
    SQL_GROUP,
    SQL_ID,
    SQL_TEXT,
    Offer,
    Series,
)
from aurora_analysis.sources.aws.rds import Instance, Topology
from aurora_analysis.window import Window

SOURCE = "performance insights"

TOKEN = "NextToken"
"""Name of the page token of every operation; boto3 has no paginators for this service."""

SPAN = timedelta(minutes=288)
"""Longest span of one request: a fifth of a day, 288 points, below the 350 at which the service cuts."""

QUERIES_PER_CALL = 15

TEXT_BYTES = 500
"""The service cuts statements at this length [bytes]; longer texts are requested in full."""

CALLS_PER_SPAN = 9
"""Maximum beside a page of load by each dimension: 1 page more of load, 2 of followed digests, 5 of statistics, 1 of counters."""


@dataclass(frozen=True)
class LoadArguments:
    """Load, statement statistics and counters of one instance."""

    resource_id: str
    engine: str


# Plan


def chunks(topology: Topology, have: Have, window: Window, now: datetime) -> list[Chunk]:
    """Plan a chunk for each instance and day; a window that cannot be fetched gets one chunk that explains it."""
    return [
        chunk
        for each in topology.by_resource()
        for gap in have.missing(SOURCE, each.name, window)
        for chunk in _chunks(each, topology.engine, gap, now)
    ]


def _chunks(instance: Instance, engine: str, window: Window, now: datetime) -> list[Chunk]:
    if reason := _unavailable(instance):
        return [_without_calls(instance, window, Unavailable(f"{reason}."))]
    kept_since = _minute(now - timedelta(days=instance.pi_retention_days) + timedelta(minutes=5))
    planned = []
    if window.start < kept_since:
        gone = Window(window.start, min(window.end, kept_since))
        planned.append(_no_longer_kept(instance, gone))
    if window.end > kept_since:
        rest = Window(max(window.start, kept_since), window.end)
        planned += [_chunk(instance, engine, day) for day in by_day([rest])]
    return planned


def _unavailable(instance: Instance) -> str:
    if instance.gone and not instance.resource_id:
        return f"{instance.name} is no longer in the cluster, and the store does not know its resource id"
    if not instance.pi_retention_days and not instance.gone:
        return (
            f"Performance Insights is off for {instance.name}: turn it on (run aurora-analysis doctor to see how), "
            "or leave the instance out with --instance"
        )
    return ""


def _without_calls(instance: Instance, window: Window, arguments: Unavailable | NoLongerKept) -> Chunk:
    return Chunk(SOURCE, "pi", instance.name, window, arguments, tables=("db_load",))


def _no_longer_kept(instance: Instance, window: Window) -> Chunk:
    minutes = window.duration.total_seconds() / PERIOD_S
    note = f"beyond the {instance.pi_retention_days} days that Performance Insights keeps"
    part = Part("db_load", None, minutes, 0, unit="minutes", note=note, instance=instance.name)
    return _without_calls(instance, window, NoLongerKept((part,)))


def _chunk(instance: Instance, engine: str, window: Window) -> Chunk:
    dimensions = engines.module(engine, "metrics").LOAD_DIMENSIONS
    calls = 1 + len(split(window, SPAN)) * (CALLS_PER_SPAN + len(dimensions))
    tables = ("db_load", "statement_metrics", "metrics")
    arguments = LoadArguments(instance.resource_id, engine)
    return Chunk(SOURCE, "pi", instance.name, window, arguments, calls, tables=tables, cost=float(calls))


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


# Fetch


class Resource(NamedTuple):
    """An instance as Performance Insights identifies it, the client to request it with, the digests known, and its engine."""

    pi: Any
    resource_id: str
    digests: Digests
    engine: str


def fetch(chunk: Chunk, context: Context) -> list[Part]:
    """Fetch a window of an instance span by span: load, statement statistics and counters."""
    arguments, window = chunk.arguments, chunk.window
    assert isinstance(arguments, LoadArguments)
    resource = Resource(context.clients["pi"], arguments.resource_id, context.digests, arguments.engine)
    offer = context.once(f"{SOURCE} {resource.resource_id}", lambda: offered(resource, arguments.engine))
    followed = top_digests(resource, window) if "sql" in offer.dimensions else []
    whole = Window(_minute(window.start), window.end)
    answers = [_Answers.of(resource, offer, followed, span) for span in split(whole, SPAN)]
    return _parts(answers, offer, chunk, whole, resource.digests)


class _Answers(NamedTuple):
    """The answers about one span. Each answer about load has a top 25 of its own."""

    load: list[list[Series]]
    statistics: list[Series]
    counters: list[Series]

    @classmethod
    def of(cls, resource: Resource, offer: Offer, followed: Sequence[str], span: Window) -> _Answers:
        pieces = request(resource, load_queries(offer.dimensions), span)
        return cls(
            [_complete_load(resource, found, followed, piece) for piece, found in pieces],
            _request_all(resource, statistics_queries(offer), span),
            _request_all(resource, counter_queries(offer), span),
        )


def _parts(
    answers: Sequence[_Answers], offer: Offer, chunk: Chunk, whole: Window, digests: Digests
) -> list[Part]:
    load = series.db_load([answer for each in answers for answer in each.load], digests)
    statistics = series.statement_metrics(
        [one for each in answers for one in each.statistics], offer, digests
    )
    counters = series.metrics([one for each in answers for one in each.counters], offer)
    totals = sum(series.minutes_with_a_total(answer) for each in answers for answer in each.load)
    minutes = whole.duration.total_seconds() / PERIOD_S
    part = partial(Part, expected=minutes, unit="minutes", instance=chunk.instance)
    return [
        part("db_load", inside(load, chunk.window), received=totals, note="; ".join(offer.notes)),
        Part("statements", series.statements(load, digests, offer.engine), unit=""),
        part(
            "statement_metrics",
            inside(statistics, chunk.window) if statistics_queries(offer) else None,
            received=statistics["time"].nunique(),
            note=""
            if statistics_queries(offer)
            else "Performance Insights offers no statement statistics here",
        ),
        part(
            "metrics",
            inside(counters, chunk.window) if counter_queries(offer) else None,
            received=counters["time"].nunique(),
            note=f"not offered: {', '.join(absent)}" if (absent := offer.absent_counters()) else "",
        ),
    ]


def _complete_load(
    resource: Resource, found: list[Series], followed: Sequence[str], span: Window
) -> list[Series]:
    """Add the followed digests that a span's load does not list, requested by name."""
    listed = {each.member[SQL_ID] for each in found if SQL_ID in each.member}
    if len(listed) >= LIMIT:
        by_name = _request_all(resource, [_by_name(pi_id) for pi_id in followed if pi_id not in listed], span)
        found = series.merged(found + [each for each in by_name if each.member], span)
    learn(resource, [each.member for each in found], span)
    return found


# Queries


def load_queries(dimensions: Iterable[str]) -> list[dict[str, Any]]:
    """Return the queries of load by each dimension; the total alone if there is no dimension."""
    grouped = [
        {"Metric": LOAD, "GroupBy": {"Group": DIMENSIONS[each][0], "Limit": LIMIT}} for each in dimensions
    ]
    return grouped or [{"Metric": LOAD}]


def _by_name(pi_id: str) -> dict[str, Any]:
    """Return the query of one digest's load; it groups as well as filters, so that the answer names the digest."""
    return {"Metric": LOAD, "GroupBy": {"Group": SQL_GROUP, "Limit": 1}, "Filter": {SQL_ID: pi_id}}


def statistics_queries(offer: Offer) -> list[dict[str, Any]]:
    """Return the queries of the statement statistics on offer; none if the caller may not see SQL."""
    if "sql" not in offer.dimensions:
        return []
    group = {"Group": SQL_GROUP, "Limit": LIMIT}
    return [{"Metric": f"{name}.avg", "GroupBy": group} for name in sorted(offer.statistics())]


def counter_queries(offer: Offer) -> list[dict[str, Any]]:
    """Return the queries of the counters on offer."""
    return [{"Metric": f"{name}.avg"} for name in sorted(offer.counters())]


# Requests


def _request_all(resource: Resource, queries: Sequence[dict[str, Any]], span: Window) -> list[Series]:
    """Request any number of queries, as many in a call as the service takes."""
    groups = [queries[n : n + QUERIES_PER_CALL] for n in range(0, len(queries), QUERIES_PER_CALL)]
    return [one for group in groups for _, found in request(resource, group, span) for one in found]


def request(
    resource: Resource, queries: Sequence[dict[str, Any]], span: Window
) -> Iterator[tuple[Window, list[Series]]]:
    """Request a span, and yield its pieces: if an answer ends too early, the rest is requested again.

    If a piece brings no further point, the rest is a gap and is not requested again.
    """
    while True:
        found, end = _answer(resource, queries, span)
        reached = min(_reached(found), end)
        if reached <= span.start.timestamp() or reached >= end:
            yield span, found
            return
        cut = datetime.fromtimestamp(reached, UTC)
        yield Window(span.start, cut), found
        span = Window(cut, span.end)


def _answer(
    resource: Resource, queries: Sequence[dict[str, Any]], span: Window
) -> tuple[list[Series], float]:
    """Read all pages of one answer; return its series and the expected end of its points [s since 1970].

    A page may be empty and still lead to another.
    """
    parameters = {
        "ServiceType": "RDS",
        "Identifier": resource.resource_id,
        "MetricQueries": list(queries),
        "StartTime": span.start,
        "EndTime": span.end,
        "PeriodInSeconds": PERIOD_S,
        "PeriodAlignment": "START_TIME",
        "MaxResults": LIMIT,
    }
    found: list[Series] = []
    end = span.end.timestamp()
    for page in pages(resource.pi.get_resource_metrics, TOKEN, **parameters):
        found += series.parse(page)
        end = max(end, *series.seconds([page["AlignedEndTime"]])) if "AlignedEndTime" in page else end
    return series.merged(found, span), end


def _reached(found: Sequence[Series]) -> float:
    """Return the end of the last point of any series [s since 1970]."""
    return max((each.seconds[-1] + PERIOD_S for each in found if len(each.seconds)), default=0.0)


def top_digests(resource: Resource, window: Window) -> list[str]:
    """Return the service's ids of the top 25 statements of a window: all its spans follow these."""
    parameters = {
        "ServiceType": "RDS",
        "Identifier": resource.resource_id,
        "StartTime": window.start,
        "EndTime": window.end,
        "Metric": LOAD,
        "GroupBy": {"Group": SQL_GROUP, "Limit": LIMIT},
        "MaxResults": LIMIT,
    }
    keys = [
        key["Dimensions"]
        for page in pages(resource.pi.describe_dimension_keys, TOKEN, **parameters)
        for key in page.get("Keys", [])
    ]
    return list(dict.fromkeys(key[SQL_ID] for key in keys if SQL_ID in key))


def offered(resource: Resource, engine: str) -> Offer:
    """Request what the service offers for an instance and lets the caller see."""
    parameters = {"ServiceType": "RDS", "Identifier": resource.resource_id, "MaxResults": LIMIT}
    kinds = ["os", "db", f"{SQL_GROUP}.stats"]
    listing = resource.pi.list_available_resource_metrics
    listed = pages(listing, TOKEN, **parameters, MetricTypes=kinds)
    metrics = tuple(dict.fromkeys(row["Metric"] for page in listed for row in page.get("Metrics", [])))
    dimensions, notes = _dimensions(resource.pi, parameters, engine)
    return Offer(metrics, dimensions, notes, engine)


def _dimensions(
    pi: Any, parameters: Mapping[str, Any], engine: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the dimensions that the caller's policy allows, and notes; all if the service refuses the question."""
    known = engines.module(engine, "metrics").LOAD_DIMENSIONS
    actions = ["GetResourceMetrics", "DescribeDimensionKeys"]
    more = {"Metrics": ["db.load"], "AuthorizedActions": actions}
    try:
        listed = list(pages(pi.list_available_resource_dimensions, TOKEN, **parameters, **more))
    except ClientError:
        return known, ()
    groups = {
        group["Group"]
        for page in listed
        for metric in page.get("MetricDimensions", [])
        for group in metric.get("Groups", [])
    }
    visible = tuple(each for each in known if DIMENSIONS[each][0] in groups)
    hidden = sorted(set(known) - set(visible))
    return visible, (f"not permitted or not offered: db load by {', '.join(hidden)}",) if hidden else ()


def learn(resource: Resource, members: Iterable[Mapping[str, str]], span: Window) -> None:
    """Add the digests of the statements among the members. A text that the service cut is requested in full."""
    digests = resource.digests
    for member in members:
        pi_id, text = member.get(SQL_ID), member.get(SQL_TEXT)
        if pi_id and text and pi_id not in digests.by_id:
            if len(text.encode()) >= TEXT_BYTES:
                text = _whole_text(resource, pi_id, span) or text
            digests.add(pi_id, text, resource.engine)


def _whole_text(resource: Resource, pi_id: str, span: Window) -> str:
    """Return the text of one execution of a digest, up to 4 KiB; empty if the service has none or refuses it.

    The caller fingerprints the text and drops it.
    """
    try:
        keys = resource.pi.describe_dimension_keys(
            ServiceType="RDS",
            Identifier=resource.resource_id,
            StartTime=span.start,
            EndTime=span.end,
            Metric=LOAD,
            GroupBy={"Group": "db.sql", "Limit": 1},
            Filter={"db.sql.tokenized_id": pi_id},
        ).get("Keys", [])
        if not keys:
            return ""
        details = resource.pi.get_dimension_key_details(
            ServiceType="RDS",
            Identifier=resource.resource_id,
            Group="db.sql",
            GroupIdentifier=keys[0]["Dimensions"]["db.sql.id"],
            RequestedDimensions=["statement"],
        )
    except ClientError as problem:
        if errors.code(problem) in {*errors.DENIED, "InvalidArgumentException"}:
            return ""
        raise
    texts = [
        row.get("Value", "") for row in details.get("Dimensions", []) if row.get("Status") == "AVAILABLE"
    ]
    return next(iter(texts), "")
