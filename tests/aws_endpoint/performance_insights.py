"""Performance Insights' operations, page by page."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pandas as pd

from aws_endpoint.cluster import code
from aws_endpoint.db_load import (
    DEFAULT_LIMIT,
    GROUPS,
    STATISTICS,
    About,
    Member,
    counter_series,
    cut,
    dimensions,
    group_of,
    load_by_member,
    load_series,
    most_loaded,
    sql_id,
    statement_series,
    statement_statistics,
)
from aws_endpoint.wire import Refused

PERIODS = (1, 60, 300, 3600, 86400)
PAGE = 25
FULL_TEXT_BYTES = 4096
"""Aurora MySQL keeps so many bytes of a statement."""
POINTS = 350
"""Points per series and call, beyond which the service is silent."""
DAY_S = 86400


def about(aws: Any, parameters: dict[str, Any]) -> About:
    """Return the subject of a request, its window aligned to its period. Refuse a window older than the retention."""
    instance, kept_days = watched(aws, parameters)
    start, end = parameters["StartTime"], parameters["EndTime"]
    if start >= end:
        raise Refused("InvalidArgumentException", "StartTime must be before EndTime")
    if start < aws.now_s - kept_days * DAY_S:
        raise Refused("InvalidArgumentException", f"StartTime must be within the last {kept_days} days")
    period = parameters.get("PeriodInSeconds") or _usual_period(end - start)
    if period not in PERIODS:
        raise Refused("InvalidArgumentException", f"PeriodInSeconds must be one of {PERIODS}")
    return About(
        aws.cluster, instance, int(start // period * period), int(-(-end // period) * period), period
    )


def watched(aws: Any, parameters: dict[str, Any]) -> tuple[str, int]:
    """Return the requested instance and its days of retention; refuse an unknown or unwatched instance.

    AWS documents no code for either refusal: an unknown resource is taken to be not authorized, an instance
    without the service an invalid argument. A removed instance can still be requested by its resource id.
    """
    wanted = parameters["Identifier"]
    found = {one.resource_id: one for one in aws.cluster.instances(aws.now)}.get(wanted)
    if found is None and aws.cluster.by_resource.get(wanted) in aws.cluster.removed:
        return aws.cluster.by_resource[wanted], 7
    if found is None:
        raise Refused("NotAuthorizedException", f"Unknown identifier {wanted}")
    if not found.pi_retention_days:
        raise Refused("InvalidArgumentException", "Performance Insights is not enabled for this resource")
    return found.name, found.pi_retention_days


def _usual_period(length_s: float) -> int:
    """Return the service's default period, which gives about 100 to 200 points."""
    return next((one for one in PERIODS if length_s / one <= 200), PERIODS[-1])


def get_resource_metrics(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Series of load, counters and statement statistics, a page of them."""
    request = about(aws, parameters)
    late = request.period if parameters.get("PeriodAlignment", "END_TIME") == "END_TIME" else 0
    grid = np.arange(request.start, min(request.end, aws.metrics_until_s), request.period)
    series = [one for query in parameters["MetricQueries"] for one in _series(aws, request, query)]
    page = _answer(aws, parameters, series, "MetricList")
    shown = [
        {"Key": key, "DataPoints": _points(aws, values.reindex(grid), late)}
        for key, values in page["MetricList"]
    ]
    return page | {
        "MetricList": shown,
        "AlignedStartTime": request.start,
        "AlignedEndTime": request.end,
        "Identifier": parameters["Identifier"],
    }


def _series(aws: Any, request: About, query: dict[str, Any]) -> list[tuple[dict[str, Any], pd.Series]]:
    """The series of one metric query: key → values by time [s]."""
    _refuse_hidden(aws, query)
    metric, _, statistic = query["Metric"].rpartition(".")
    if statistic not in STATISTICS:
        message = f"The specified statistic is not a known statistic: {query['Metric']}"
        raise Refused("InvalidArgumentException", message)
    if metric in ("db.load", "db.sampledload"):
        return load_series(request, query)
    if metric.startswith("db.sql_tokenized.stats."):
        return statement_series(request, query)
    return [({"Metric": query["Metric"]}, counter_series(request, metric, statistic))]


def _refuse_hidden(aws: Any, query: dict[str, Any]) -> None:
    """Refuse dimensions that the caller may not see, and filters on unknown dimensions."""
    filtered = [group_of(name) for name in query.get("Filter") or {}]
    group = query.get("GroupBy", {}).get("Group", "")
    if aws.is_("hides_sql") and any(name.startswith("db.sql") for name in (group, *filtered)):
        raise Refused("NotAuthorizedException", "You are not authorized to access the dimension group db.sql")


def _points(aws: Any, values: pd.Series, late: int) -> list[dict[str, float]]:
    """Points of a series; the stamp is the period's start, or its end (`late` by a period)."""
    if aws.is_("truncates_points"):
        values = values.iloc[:POINTS]
    stamps = (values.index.to_numpy(dtype=float) + late).tolist()
    points = [
        {"Timestamp": stamp, "Value": value} if value == value else {"Timestamp": stamp}
        for stamp, value in zip(stamps, values.tolist())
    ]
    return points if aws.is_("omits_value") else [point for point in points if "Value" in point]


def describe_dimension_keys(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The members with the most load in a window, each with its mean over the whole window."""
    request, group_by = about(aws, parameters), parameters["GroupBy"]
    _refuse_hidden(aws, parameters)
    if parameters.get("AdditionalMetrics") and group_by["Group"] != "db.sql_tokenized":
        raise Refused("InvalidArgumentException", "AdditionalMetrics need the group db.sql_tokenized")
    members = load_by_member(request, group_by, parameters.get("Filter") or {})
    partitions = _partitions(request, parameters)
    listed = [
        {"Dimensions": dict(key), "Total": float(members[key].sum() / len(members[key]))}
        | _parts(request, parameters, partitions, key)
        | _additional(request, parameters, key)
        for key in most_loaded(members, group_by.get("Limit", DEFAULT_LIMIT))
    ]
    partition_keys = (
        {"PartitionKeys": [{"Dimensions": dict(key)} for key in partitions]} if partitions else {}
    )
    window = {"AlignedStartTime": request.start, "AlignedEndTime": request.end}
    return _answer(aws, parameters, listed, "Keys") | window | partition_keys


def _partitions(request: About, parameters: dict[str, Any]) -> list[Member]:
    """Return the members of the group that partitions the keys."""
    by = parameters.get("PartitionBy")
    if by is None:
        return []
    members = load_by_member(request, by, parameters.get("Filter") or {})
    return most_loaded(members, by.get("Limit", DEFAULT_LIMIT))


def _parts(
    request: About, parameters: dict[str, Any], partitions: list[Member], key: Member
) -> dict[str, Any]:
    """A key's load in each partition."""
    if not partitions:
        return {}
    members = load_by_member(request, parameters["PartitionBy"], dict(key[:1]))
    return {"Partitions": [float(members[one].mean()) if one in members else 0.0 for one in partitions]}


def _additional(request: About, parameters: dict[str, Any], key: Member) -> dict[str, Any]:
    """Return the additional statement statistics of a digest."""
    if "AdditionalMetrics" not in parameters:
        return {}
    chosen = {"db.sql_tokenized.id": dict(key)["db.sql_tokenized.id"]}
    return {
        "AdditionalMetrics": {
            metric: float(values.mean())
            for metric in parameters["AdditionalMetrics"]
            for _, values in statement_series(request, {"Metric": metric, "Filter": chosen})
        }
    }


def get_dimension_key_details(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The full text of a statement; a digest has none."""
    watched(aws, parameters)
    if parameters["Group"] != "db.sql":
        raise Refused("InvalidArgumentException", "The group must be db.sql")
    texts = {sql_id(digest): one.example for digest, one in aws.cluster.statements.items()}
    text = texts.get(parameters["GroupIdentifier"])
    status = (
        {"Status": "AVAILABLE", "Value": cut(text, FULL_TEXT_BYTES)} if text else {"Status": "UNAVAILABLE"}
    )
    return {"Dimensions": [{"Dimension": "db.sql.statement"} | status]}


def get_resource_metadata(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Which features are on."""
    watched(aws, parameters)
    features = {"SQL_STATISTICS": {"Status": "ENABLED"}, "DB_LOCK_SNAPSHOT": {"Status": "UNSUPPORTED"}}
    return {"Identifier": parameters["Identifier"], "Features": features}


def list_available_resource_metrics(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Counters and statement statistics, without the statistic's suffix."""
    instance, _ = watched(aws, parameters)
    kinds = parameters["MetricTypes"]
    names = [name for name in sorted(aws.cluster.counters(instance)) if name.split(".")[0] in kinds]
    if "db.sql_tokenized.stats" in kinds and aws.cluster.statement_metrics(instance):
        names += [f"db.sql_tokenized.stats.{stem}" for stem in statement_statistics(aws.cluster)]
    listed = [{"Metric": name, "Description": name, "Unit": "Count"} for name in names]
    return _answer(aws, parameters, listed, "Metrics")


def list_available_resource_dimensions(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """List the groups of load; only those that the caller may see if the request names actions."""
    watched(aws, parameters)
    hidden = aws.is_("hides_sql") and parameters.get("AuthorizedActions")
    groups = [
        {"Group": group, "Dimensions": [{"Identifier": n} for n in dimensions(aws.cluster, group, "any")]}
        for group in GROUPS
        if not (hidden and group.startswith("db.sql"))
        and (aws.cluster.is_postgresql or group != "db.application")
    ]
    listed = [{"Metric": metric, "Groups": groups} for metric in parameters["Metrics"]]
    return _answer(aws, parameters, listed, "MetricDimensions")


def _answer(aws: Any, parameters: dict[str, Any], listed: list[Any], name: str) -> dict[str, Any]:
    """A page of a list and the token of the next; a token fits only the request that it came from."""
    request = code(json.dumps({k: v for k, v in parameters.items() if k not in ("NextToken", "MaxResults")}))
    at, empty = _position(parameters.get("NextToken"), request)
    if aws.is_("empty_pages") and not empty:
        return {name: [], "NextToken": _token(at, request, True)}
    end = at + (parameters.get("MaxResults") or PAGE)
    return {name: listed[at:end], "NextToken": _token(end, request, False) if end < len(listed) else None}


def _token(at: int, request: str, empty: bool) -> str:
    return base64.b64encode(json.dumps([at, request, empty]).encode()).decode()


def _position(token: str | None, request: str) -> tuple[int, bool]:
    if token is None:
        return 0, False
    try:
        at, of, empty = json.loads(base64.b64decode(token))
    except ValueError:
        raise Refused("InvalidArgumentException", "The NextToken is invalid") from None
    if of != request:
        raise Refused("InvalidArgumentException", "The NextToken is of another request")
    return at, empty


OPERATIONS = {
    "GetResourceMetrics": get_resource_metrics,
    "DescribeDimensionKeys": describe_dimension_keys,
    "GetDimensionKeyDetails": get_dimension_key_details,
    "GetResourceMetadata": get_resource_metadata,
    "ListAvailableResourceMetrics": list_available_resource_metrics,
    "ListAvailableResourceDimensions": list_available_resource_dimensions,
}
