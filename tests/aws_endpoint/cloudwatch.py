"""CloudWatch's metrics of RDS: GetMetricData and ListMetrics."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pandas as pd

from aws_endpoint.cluster import Cluster, Series
from aws_endpoint.wire import Refused

DAY_S = 86400
AGES = ((15 * DAY_S, 60), (63 * DAY_S, 300), (455 * DAY_S, 3600))
"""Age of a window's start [s] → the period [s] of which its period must be a multiple, up to that age."""
POINTS = 100_800
"""Points per page of GetMetricData."""
METRICS_PER_PAGE = 500
LISTED_S = 14 * DAY_S
"""ListMetrics forgets what was silent for two weeks."""
NAMESPACE = "AWS/RDS"

Owner = tuple[tuple[str, str], ...]


def owners(cluster: Cluster) -> dict[tuple[str, Owner], Series]:
    """(Metric, its exact dimensions) → its series."""
    return cluster.once("cloudwatch", make=lambda: _owners(cluster))


def _owners(cluster: Cluster) -> dict[tuple[str, Owner], Series]:
    found: dict[tuple[str, Owner], Series] = {}
    for (name, instance), series in cluster.metrics.items():
        if instance is None:
            found[name, (("DBClusterIdentifier", cluster.name),)] = series
        else:
            found[name, (("DBInstanceIdentifier", instance),)] = series
    return found | _by_role(cluster)


def _by_role(cluster: Cluster) -> dict[tuple[str, Owner], Series]:
    """Return the series of the writer of each time, and the mean of the readers."""
    found: dict[tuple[str, Owner], Series] = {}
    for name in {name for name, instance in cluster.metrics if instance}:
        mine = [
            pd.DataFrame({"start": s.start, "value": s.value, "role": _roles(cluster, i, s)})
            for (n, i), s in cluster.metrics.items()
            if n == name and i
        ]
        period = next(s.period for (n, i), s in cluster.metrics.items() if n == name and i)
        for role, rows in pd.concat(mine).groupby("role"):
            means = rows.groupby("start").value.mean()
            owner = (("DBClusterIdentifier", cluster.name), ("Role", str(role).upper()))
            found[name, owner] = Series(means.index.to_numpy(), means.to_numpy(), period)
    return found


def _roles(cluster: Cluster, instance: str, series: Series) -> list[str]:
    starts, roles = cluster.roles[instance]
    at = np.maximum(np.searchsorted(starts, series.start, side="right") - 1, 0)
    return [roles[index] for index in at]


def get_metric_data(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return values of up to 500 metrics, newest first by default, a page of points at a time."""
    queries = parameters["MetricDataQueries"]
    if len(queries) > 500:
        raise Refused(
            "ValidationError", "The collection MetricDataQueries must not have a size greater than 500"
        )
    if len({query["Id"] for query in queries}) < len(queries):
        raise Refused("ValidationError", "The values for parameter id in MetricDataQueries are not unique")
    if parameters["StartTime"] >= parameters["EndTime"]:
        raise Refused("ValidationError", "The parameter StartTime must be less than the parameter EndTime")
    newest_first = parameters.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    found = [(query, _values(aws, query, parameters, newest_first)) for query in queries]
    return _page(aws, parameters, found)


def _values(
    aws: Any, query: dict[str, Any], parameters: dict[str, Any], newest_first: bool
) -> tuple[list[float], list[float]]:
    """Return times [s] and values of one query; an unknown series is empty, not an error."""
    if "MetricStat" not in query:
        raise Refused("NotImplemented", "This endpoint knows no metric math.", 501)
    stat = query["MetricStat"]
    metric, period = stat["Metric"], stat["Period"]
    if metric["Namespace"] != NAMESPACE or not period_fits(aws.now_s, parameters["StartTime"], period):
        return [], []
    owner = tuple(sorted((d["Name"], d["Value"]) for d in metric.get("Dimensions", [])))
    series = owners(aws.cluster).get((metric["MetricName"], owner))
    if series is None:
        return [], []
    start = parameters["StartTime"] // period * period
    values = statistic(
        series.between(start, min(parameters["EndTime"], aws.metrics_until_s)), period, stat["Stat"]
    )
    values = values.iloc[::-1] if newest_first else values
    return [float(time) for time in values.index], values.tolist()


def period_fits(now_s: float, start: float, period: int) -> bool:
    """Return whether data of a period exist for a window with this start; otherwise the answer is empty."""
    age = now_s - start
    multiple = next((multiple for oldest, multiple in AGES if age <= oldest), None)
    return multiple is not None and period % multiple == 0


def statistic(series: Series, period: int, name: str) -> pd.Series:
    """A statistic of the raw values in each period, by its start [s]."""
    raw = pd.Series(series.value, index=series.start)
    groups = raw.groupby(raw.index // period * period)
    if name.startswith("p"):
        return groups.quantile(float(name[1:]) / 100)
    known = {"Average": "mean", "Sum": "sum", "Minimum": "min", "Maximum": "max", "SampleCount": "count"}
    if name not in known:
        raise Refused("ValidationError", f"The value {name} for parameter Stat is not supported")
    return groups.agg(known[name]).astype(float)


def _page(aws: Any, parameters: dict[str, Any], found: list[Any]) -> dict[str, Any]:
    """Fill the page with points query by query; a query that continues has status PartialData."""
    room = min(parameters.get("MaxDatapoints") or POINTS, POINTS)
    at, empty = _position(parameters.get("NextToken"))
    if aws.is_("empty_pages") and not empty:
        return {"MetricDataResults": [], "NextToken": _token(at, True)}
    results, passed = [], 0
    for query, (times, values) in found:
        low, high = max(at - passed, 0), min(max(at + room - passed, 0), len(times))
        passed += len(times)
        if low < high or (not times and at == 0):
            results.append(_result(aws, query, times[low:high], values[low:high], high < len(times)))
    more = at + room < passed
    return {"MetricDataResults": results, "NextToken": _token(at + room, False) if more else None}


def _result(
    aws: Any, query: dict[str, Any], times: list[float], values: list[float], partial: bool
) -> dict[str, Any]:
    label = query.get("Label") or query["MetricStat"]["Metric"]["MetricName"]
    status = "PartialData" if partial else "Complete"
    if aws.is_("internal_errors") and aws.errs_at_first(f"{query['MetricStat']}"):
        times, values, status = [], [], "InternalError"
    return {"Id": query["Id"], "Label": label, "Timestamps": times, "Values": values, "StatusCode": status}


def list_metrics(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """List the metrics that match the request and had a value in the last two weeks."""
    since = aws.now_s - (3 * 3600 if parameters.get("RecentlyActive") else LISTED_S)
    listed = [
        {
            "Namespace": NAMESPACE,
            "MetricName": name,
            "Dimensions": [{"Name": n, "Value": v} for n, v in owner],
        }
        for (name, owner), series in sorted(owners(aws.cluster).items(), key=lambda item: item[0])
        if len(series.between(since, aws.now_s).start) and _matches(parameters, name, dict(owner))
    ]
    at, empty = _position(parameters.get("NextToken"))
    if aws.is_("empty_pages") and not empty:
        return {"Metrics": [], "NextToken": _token(at, True)}
    end = at + METRICS_PER_PAGE
    return {"Metrics": listed[at:end], "NextToken": _token(end, False) if end < len(listed) else None}


def _matches(parameters: dict[str, Any], name: str, owner: dict[str, str]) -> bool:
    wanted = parameters.get("Dimensions", [])
    return (
        parameters.get("Namespace", NAMESPACE) == NAMESPACE
        and parameters.get("MetricName", name) == name
        and all(d["Name"] in owner and d.get("Value", owner[d["Name"]]) == owner[d["Name"]] for d in wanted)
    )


def _token(at: int, empty: bool) -> str:
    return base64.b64encode(json.dumps([at, empty]).encode()).decode()


def _position(token: str | None) -> tuple[int, bool]:
    try:
        return tuple(json.loads(base64.b64decode(token))) if token else (0, False)  # type: ignore[return-value]
    except ValueError:
        raise Refused("InvalidNextToken", "The token is invalid") from None


OPERATIONS = {"GetMetricData": get_metric_data, "ListMetrics": list_metrics}
