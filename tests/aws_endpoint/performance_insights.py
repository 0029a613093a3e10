"""Performance Insights: db load by dimension, counters, and statement statistics, per instance."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from aws_endpoint.cluster import OTHER, Cluster, Series, code
from aws_endpoint.cluster import period as period_of
from aws_endpoint.wire import Refused

PERIODS = (1, 60, 300, 3600, 86400)
PAGE = 25
DEFAULT_LIMIT = 10
TEXT_BYTES = 500
"""Text in an element of an answer is cut at so many bytes."""
FULL_TEXT_BYTES = 4096
"""Aurora MySQL keeps so many bytes of a statement."""
POINTS = 350
"""Points per series and call, beyond which the service is silent."""
DAY_S = 86400

STATISTICS: dict[str, Callable[[pd.Series], float]] = {
    "avg": lambda values: values.mean(),
    "min": lambda values: values.min(),
    "max": lambda values: values.max(),
    "sum": lambda values: values.sum(),
    "sample_count": lambda values: float(len(values)),
}

STATEMENT_STATISTICS = {
    "count_star_per_sec": lambda rows, period: rows.calls / period,
    "sum_timer_wait_per_call": lambda rows, period: rows.mean_latency_ms,
    "sum_timer_wait_per_sec": lambda rows, period: rows.calls * rows.mean_latency_ms / period,
    "sum_rows_examined_per_sec": lambda rows, period: rows.rows_examined / period,
    "sum_rows_examined_per_call": lambda rows, period: rows.rows_examined / rows.calls,
    "sum_rows_sent_per_sec": lambda rows, period: rows.rows_sent / period,
    "sum_rows_sent_per_call": lambda rows, period: rows.rows_sent / rows.calls,
}
"""Stem of `db.sql_tokenized.stats.` → its value, from rows of `statement_metrics`."""

GROUPS: dict[str, str] = {
    "db.sql_tokenized": "sql",
    "db.sql": "sql",
    "db.user": "user",
    "db.host": "host",
    "db.wait_event": "wait_event",
    "db.wait_event_type": "wait_event",
    "db": "database",
}
"""Dimension group → the dimension of `db_load` that it tells."""


def dimensions(cluster: Cluster, group: str, member: str) -> dict[str, str]:
    """How Performance Insights names a member of a group."""
    if group in ("db.sql_tokenized", "db.sql"):
        return _sql_dimensions(cluster, group, member)
    if group in ("db.user", "db.host"):
        return {f"{group}.id": code(member), f"{group}.name": member}
    if group == "db":
        return {"db.name": member}
    name, kind = _wait_event(member)
    named = {"db.wait_event.name": name, "db.wait_event.type": kind}
    return named if group == "db.wait_event" else {"db.wait_event_type.name": kind}


def _sql_dimensions(cluster: Cluster, group: str, digest: str) -> dict[str, str]:
    known = cluster.statement(digest)
    text = _cut(known.digest_text if group == "db.sql_tokenized" else known.example, TEXT_BYTES)
    if group == "db.sql_tokenized":
        return {f"{group}.id": known.pi_id, f"{group}.db_id": known.db_id, f"{group}.statement": text}
    return {
        "db.sql.id": code("sql" + known.digest, 40),
        "db.sql.db_id": known.db_id,
        "db.sql.statement": text,
        "db.sql.tokenized_id": known.pi_id,
    }


def _wait_event(member: str) -> tuple[str, str]:
    """Name and type of a wait event, with the prefix that the service puts before it."""
    if member.lower() == "cpu":
        return "CPU", "CPU"
    name = member.removeprefix("wait/")
    return f"wait/{name}", name.split("/")[0]


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def instance_of(aws: Any, parameters: dict[str, Any]) -> str:
    """The instance that is asked about, where the service knows it and watches it.

    AWS documents no code for either refusal: an unknown resource is taken to be not authorized, one that is not
    watched an invalid argument. An instance that was removed can still be asked about by its resource id.
    """
    found = {one.resource_id: one for one in aws.cluster.instances(aws.now)}.get(parameters["Identifier"])
    if found is None:
        name = aws.cluster.by_resource.get(parameters["Identifier"])
        if name is None or name not in aws.cluster.removed:
            raise Refused("NotAuthorizedException", f"Unknown identifier {parameters['Identifier']}")
        return name
    if not found.pi_retention_days:
        raise Refused("InvalidArgumentException", "Performance Insights is not enabled for this resource")
    return found.name


def window_of(aws: Any, parameters: dict[str, Any], instance: str) -> tuple[int, int, int]:
    """Aligned start, aligned end and period [s] of a request, refused where it is older than what is kept."""
    start, end = parameters["StartTime"], parameters["EndTime"]
    if start >= end:
        raise Refused("InvalidArgumentException", "StartTime must be before EndTime")
    kept = {one.name: one.pi_retention_days for one in aws.cluster.instances(aws.now)}.get(instance, 7)
    if start < aws.now_s - kept * DAY_S:
        raise Refused("InvalidArgumentException", f"StartTime must be within the last {kept} days")
    period = parameters.get("PeriodInSeconds") or next(
        (one for one in PERIODS if (end - start) / one <= 200), 86400
    )
    if period not in PERIODS:
        raise Refused("InvalidArgumentException", f"PeriodInSeconds must be one of {PERIODS}")
    return int(start // period * period), int(-(-end // period) * period), period


def get_resource_metrics(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Series of load, counters and statement statistics, a page of them."""
    instance = instance_of(aws, parameters)
    start, end, period = window_of(aws, parameters, instance)
    found = []
    for query in parameters["MetricQueries"]:
        _refuse_hidden(aws, query.get("GroupBy", {}).get("Group", ""), query.get("Filter") or {})
        found += _series(aws.cluster, instance, query, start, end, period)
    late = period if parameters.get("PeriodAlignment", "END_TIME") == "END_TIME" else 0
    grid = np.arange(start, min(end, aws.metrics_until_s), period)
    listed = [{"Key": key, "DataPoints": _points(aws, values.reindex(grid), late)} for key, values in found]
    page, token = paged(aws, parameters, listed)
    return {
        "AlignedStartTime": start,
        "AlignedEndTime": end,
        "Identifier": parameters["Identifier"],
        "MetricList": page,
        "NextToken": token,
    }


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


def _series(
    cluster: Cluster, instance: str, query: dict[str, Any], start: int, end: int, period: int
) -> list[tuple[dict[str, Any], pd.Series]]:
    """The series of one metric query: key → values by time [s]."""
    metric, statistic = _split(query["Metric"])
    if metric in ("db.load", "db.sampledload"):
        return _load_series(cluster, instance, query, start, end, period)
    if metric.startswith("db.sql_tokenized.stats."):
        return _statement_series(cluster, instance, query, start, end, period)
    counters = counters_of(cluster, instance)
    if metric not in counters:
        raise Refused("InvalidArgumentException", f"The metric {metric} is not a known metric")
    values = counters[metric].between(start - counters[metric].period + 1, end)
    return [({"Metric": query["Metric"]}, _bucketed(values, period, statistic))]


def _refuse_hidden(aws: Any, group: str, chosen: dict[str, str]) -> None:
    if aws.is_("hides_sql") and any(name.startswith("db.sql") for name in (group, *chosen)):
        raise Refused("NotAuthorizedException", "You are not authorized to access the dimension group db.sql")


def _split(metric: str) -> tuple[str, str]:
    name, _, statistic = metric.rpartition(".")
    if statistic not in STATISTICS:
        raise Refused(
            "InvalidArgumentException", f"The specified statistic is not a known statistic: {metric}"
        )
    return name, statistic


def _bucketed(values: Series, period: int, statistic: str) -> pd.Series:
    """A statistic of the values of each period; values of longer periods are repeated."""
    if values.period >= period and statistic != "sample_count":
        repeats = values.period // period
        start = (values.start[:, None] + np.arange(repeats) * period).ravel()
        return pd.Series(np.repeat(values.value, repeats), index=start)
    frame = pd.Series(values.value, index=values.start)
    return frame.groupby(frame.index // period * period).agg(STATISTICS[statistic])


def counters_of(cluster: Cluster, instance: str) -> dict[str, Series]:
    """Counter → series of an instance."""
    return cluster.counters(instance)


def load_by_member(
    cluster: Cluster,
    instance: str,
    group_by: dict[str, Any],
    chosen: dict[str, str],
    start: int,
    end: int,
    period: int,
) -> dict[tuple[tuple[str, str], ...], pd.Series]:
    """Members of a group, named by their dimensions → active sessions by time [s], unsorted."""
    load = _windowed(
        cluster.load(instance, GROUPS[_group(group_by["Group"])]), start, end, cluster.load_period_s
    )
    share = _share_of_others(cluster, instance, group_by["Group"], chosen, start, end)
    total = _windowed(cluster.total_load(instance).to_frame(), start, end, cluster.load_period_s)[0]
    found: dict[tuple[tuple[str, str], ...], pd.Series] = {}
    for member in load.columns:
        named = dimensions(cluster, group_by["Group"], str(member))
        if member == OTHER or any(named.get(name, value) != value for name, value in chosen.items()):
            continue
        kept = {n: v for n, v in named.items() if n in (group_by.get("Dimensions") or named)}
        values = _mean_load(load[member] * share, total, period, cluster.load_period_s)
        key = tuple(kept.items())
        found[key] = found[key].add(values, fill_value=0) if key in found else values
    return {key: values for key, values in found.items() if values.notna().any()}


def _group(name: str) -> str:
    if name not in GROUPS:
        raise Refused("InvalidArgumentException", f"The dimension group {name} is not supported")
    return name


def _windowed(frame: pd.DataFrame, start: int, end: int, native: int) -> pd.DataFrame:
    """The rows whose periods, `native` long, overlap the window."""
    low, high = frame.index.searchsorted([start - native + 1, end])
    return frame.iloc[low:high]


def _mean_load(values: pd.Series, total: pd.Series, period: int, native: int) -> pd.Series:
    """Mean load of each period: the member's sum over all moments at which the instance was seen."""
    if native >= period:
        return _bucketed(Series(values.index.to_numpy(), values.to_numpy(), native), period, "avg")
    seen = total.groupby(total.index // period * period).count()
    sums = values.groupby(values.index // period * period).sum(min_count=1)
    return (sums / seen).reindex(seen.index)


def _share_of_others(
    cluster: Cluster, instance: str, group: str, chosen: dict[str, str], start: int, end: int
) -> pd.Series | float:
    """By how much a filter on other groups lowers the load, as if groups were independent of each other."""
    share: pd.Series | float = 1.0
    for name, value in chosen.items():
        other = _group_of(name)
        if GROUPS[other] != GROUPS[_group(group)]:
            load = _windowed(cluster.load(instance, GROUPS[other]), start, end, cluster.load_period_s)
            members = [m for m in load.columns if dimensions(cluster, other, str(m)).get(name) == value]
            share = load[members].sum(axis=1) / load.sum(axis=1) * share
    return share


def _group_of(dimension: str) -> str:
    group = "db" if dimension == "db.name" else dimension.rsplit(".", 1)[0]
    return _group(group)


def _load_series(
    cluster: Cluster, instance: str, query: dict[str, Any], start: int, end: int, period: int
) -> list[tuple[dict[str, Any], pd.Series]]:
    """The total first, then the members with the most load in this very window."""
    total = _windowed(cluster.total_load(instance).to_frame(), start, end, cluster.load_period_s)[0]
    chosen = query.get("Filter") or {}
    for name in chosen:
        _group_of(name)
    if "GroupBy" not in query:
        share = _share_of_others(cluster, instance, "db", chosen, start, end) if chosen else 1.0
        return [
            ({"Metric": query["Metric"]}, _mean_load(total * share, total, period, cluster.load_period_s))
        ]
    members = load_by_member(cluster, instance, query["GroupBy"], chosen, start, end, period)
    listed = _most_loaded(members)[: query["GroupBy"].get("Limit", DEFAULT_LIMIT)]
    whole = pd.concat(members.values(), axis=1).sum(axis=1, min_count=1) if chosen and members else None
    if whole is None:
        whole = _mean_load(total, total, period, cluster.load_period_s)
    series = [({"Metric": query["Metric"]}, whole)]
    return series + [({"Metric": query["Metric"], "Dimensions": dict(key)}, members[key]) for key in listed]


def _most_loaded(members: dict[Any, pd.Series]) -> list[Any]:
    return sorted(members, key=lambda key: (-members[key].sum(), key))


def _statement_series(
    cluster: Cluster, instance: str, query: dict[str, Any], start: int, end: int, period: int
) -> list[tuple[dict[str, Any], pd.Series]]:
    """A statement statistic, per digest where it is grouped, of one digest where it is filtered."""
    stem = _split(query["Metric"])[0].removeprefix("db.sql_tokenized.stats.")
    if stem not in STATEMENT_STATISTICS:
        raise Refused("InvalidArgumentException", f"The metric {query['Metric']} is not a known metric")
    wanted = (query.get("Filter") or {}).get("db.sql_tokenized.id")
    if wanted is None and "GroupBy" not in query:
        raise Refused("InvalidArgumentException", "Statement statistics need db.sql_tokenized")
    digests = statement_statistics(cluster, instance, stem, start, end, period)
    named = {d: dimensions(cluster, "db.sql_tokenized", d) for d in digests}
    listed = [d for d in digests if wanted in (None, named[d]["db.sql_tokenized.id"])]
    limit = query.get("GroupBy", {}).get("Limit", DEFAULT_LIMIT)
    load = cluster.load(instance, "sql")
    by_load = sorted(
        listed,
        key=lambda d: (-_windowed(load, start, end, cluster.load_period_s).get(d, pd.Series(0.0)).sum(), d),
    )
    return [({"Metric": query["Metric"], "Dimensions": named[d]}, digests[d]) for d in by_load[:limit]]


def statement_statistics(
    cluster: Cluster, instance: str, stem: str, start: int, end: int, period: int
) -> dict[str, pd.Series]:
    """Digest → a statistic of it by time [s]."""
    native = period_of(cluster.frame("statement_metrics"))
    found = {}
    for digest, whole in cluster.statement_metrics(instance).items():
        rows = _windowed(whole, start, end, native)
        values = STATEMENT_STATISTICS[stem](rows, native).to_numpy(dtype=float)
        found[digest] = _bucketed(Series(rows.index.to_numpy(), values, native), period, "avg")
    return {digest: values for digest, values in found.items() if len(values)}


def describe_dimension_keys(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The members with the most load in a window, each with its mean over the whole window."""
    instance = instance_of(aws, parameters)
    start, end, period = window_of(aws, parameters, instance)
    group, cluster = parameters["GroupBy"], aws.cluster
    _refuse_hidden(aws, group["Group"], parameters.get("Filter") or {})
    if parameters.get("AdditionalMetrics") and group["Group"] != "db.sql_tokenized":
        raise Refused("InvalidArgumentException", "AdditionalMetrics need the group db.sql_tokenized")
    chosen = parameters.get("Filter") or {}
    members = load_by_member(cluster, instance, group, chosen, start, end, period)
    keys = _most_loaded(members)[: group.get("Limit", DEFAULT_LIMIT)]
    listed = [
        {"Dimensions": dict(key), "Total": float(members[key].sum() / len(members[key]))}
        | _partitions(cluster, instance, parameters, dict(key), start, end, period)
        | _additional(cluster, instance, parameters, dict(key), start, end, period)
        for key in keys
    ]
    page, token = paged(aws, parameters, listed)
    found = {"AlignedStartTime": start, "AlignedEndTime": end, "Keys": page, "NextToken": token}
    if "PartitionBy" in parameters:
        found["PartitionKeys"] = [
            {"Dimensions": dict(key)}
            for key in _partition_keys(cluster, instance, parameters, start, end, period)
        ]
    return found


def _partition_keys(
    cluster: Cluster, instance: str, parameters: dict[str, Any], start: int, end: int, period: int
) -> list[tuple[tuple[str, str], ...]]:
    by = parameters["PartitionBy"]
    members = load_by_member(cluster, instance, by, parameters.get("Filter") or {}, start, end, period)
    return _most_loaded(members)[: by.get("Limit", DEFAULT_LIMIT)]


def _partitions(
    cluster: Cluster, instance: str, parameters: dict[str, Any], key: dict[str, str], *window: int
) -> dict[str, Any]:
    """A key's load in each partition, as if the two groups were independent of each other."""
    if "PartitionBy" not in parameters:
        return {}
    start, end, period = window
    named = next(iter(key.items()))
    members = load_by_member(cluster, instance, parameters["PartitionBy"], dict([named]), start, end, period)
    keys = _partition_keys(cluster, instance, parameters, start, end, period)
    means = [members[one].mean() if one in members else 0.0 for one in keys]
    return {"Partitions": [float(mean) for mean in means]}


def _additional(
    cluster: Cluster, instance: str, parameters: dict[str, Any], key: dict[str, str], *window: int
) -> dict[str, Any]:
    found = {}
    for metric in parameters.get("AdditionalMetrics", []):
        query = {"Metric": metric, "Filter": {"db.sql_tokenized.id": key["db.sql_tokenized.id"]}}
        for _, values in _statement_series(cluster, instance, query, *window):
            found[metric] = float(values.mean())
    return {"AdditionalMetrics": found} if "AdditionalMetrics" in parameters else {}


def get_dimension_key_details(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The full text of a statement; a digest has none."""
    instance_of(aws, parameters)
    if parameters["Group"] != "db.sql":
        raise Refused("InvalidArgumentException", "The group must be db.sql")
    digests = aws.cluster.statements
    text = next(
        (s.example for d, s in digests.items() if code("sql" + d, 40) == parameters["GroupIdentifier"]), None
    )
    status = (
        {"Status": "UNAVAILABLE"}
        if text is None
        else {"Status": "AVAILABLE", "Value": _cut(text, FULL_TEXT_BYTES)}
    )
    return {"Dimensions": [{"Dimension": "db.sql.statement"} | status]}


def get_resource_metadata(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Which features are on."""
    instance_of(aws, parameters)
    enabled, unsupported = {"Status": "ENABLED"}, {"Status": "UNSUPPORTED"}
    features = {"SQL_STATISTICS": enabled, "DB_LOCK_SNAPSHOT": unsupported}
    return {"Identifier": parameters["Identifier"], "Features": features}


def list_available_resource_metrics(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Counters and statement statistics, without the statistic's suffix."""
    instance = instance_of(aws, parameters)
    kinds = tuple(parameters["MetricTypes"])
    listed = [
        {"Metric": name, "Description": name, "Unit": "Count"}
        for name in sorted(counters_of(aws.cluster, instance))
        if name.split(".")[0] in kinds
    ]
    if "db.sql_tokenized.stats" in kinds and len(aws.cluster.frame("statement_metrics")):
        listed += [
            {"Metric": f"db.sql_tokenized.stats.{stem}", "Description": stem, "Unit": "Count"}
            for stem in STATEMENT_STATISTICS
        ]
    page, token = paged(aws, parameters, listed)
    return {"Metrics": page, "NextToken": token}


def list_available_resource_dimensions(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The groups that load can be grouped by: those that the caller may see, where it asks for its actions."""
    instance_of(aws, parameters)
    groups = [
        {
            "Group": group,
            "Dimensions": [{"Identifier": name} for name in dimensions(aws.cluster, group, "any")],
        }
        for group in GROUPS
        if not (aws.is_("hides_sql") and parameters.get("AuthorizedActions") and group.startswith("db.sql"))
    ]
    listed = [{"Metric": metric, "Groups": groups} for metric in parameters["Metrics"]]
    page, token = paged(aws, parameters, listed)
    return {"MetricDimensions": page, "NextToken": token}


def paged(aws: Any, parameters: dict[str, Any], listed: list[Any]) -> tuple[list[Any], str | None]:
    """A page of a list and the token of the next; a token fits only the request that it came from."""
    asked = code(json.dumps({k: v for k, v in parameters.items() if k not in ("NextToken", "MaxResults")}))
    at, empty = _position(parameters.get("NextToken"), asked)
    if aws.is_("empty_pages") and not empty:
        return [], _token(at, asked, True)
    end = at + (parameters.get("MaxResults") or PAGE)
    return listed[at:end], _token(end, asked, False) if end < len(listed) else None


def _token(at: int, asked: str, empty: bool) -> str:
    return base64.b64encode(json.dumps([at, asked, empty]).encode()).decode()


def _position(token: str | None, asked: str) -> tuple[int, bool]:
    if token is None:
        return 0, False
    try:
        at, of, empty = json.loads(base64.b64decode(token))
    except ValueError:
        raise Refused("InvalidArgumentException", "The NextToken is invalid") from None
    if of != asked:
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
