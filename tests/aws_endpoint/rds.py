"""RDS: clusters, instances, endpoints, parameters, events, and the log files of the last day."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pandas as pd

from aws_endpoint import postgresql, slow_log_text
from aws_endpoint.cluster import Cluster, Instance, milliseconds
from aws_endpoint.slow_log_text import CURRENT, HOUR_S, LogFile
from aws_endpoint.wire import Refused

EVENTS_KEPT_S = 14 * 86400
EVENTS_DEFAULT_MINUTES = 60
MAX_RECORDS = 100
PORTION_LINES = 10_000
REPEATED_LINES = 3
SKIPPED_LINES = 5
TRUNCATED = " [Your log message was truncated]\n"
BINARY = "This file contains binary data and should be downloaded instead of viewed"

FAILOVER = "failover"
INSTANCE_PARAMETERS = ("slow_query_log", "log_output", "long_query_time", "log_slow_extra", "innodb_monitor_enable",
                       "min_examined_row_limit", "aurora_read_replica_read_committed", "transaction_isolation",
                       "performance_schema")  # fmt: skip
"""Parameters of the instance's group; all others are the cluster's."""


def describe_db_clusters(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The cluster and its members as they are now; members have no history."""
    wanted = parameters.get("DBClusterIdentifier", aws.cluster.name)
    if wanted not in (aws.cluster.name, _cluster_arn(aws.cluster)):
        raise Refused("DBClusterNotFoundFault", f"DBCluster {wanted} not found.", 404)
    return {"DBClusters": [_cluster(aws.cluster, aws.cluster.instances(aws.now))]}


def _cluster_arn(cluster: Cluster) -> str:
    return f"arn:aws:rds:{cluster.region}:{cluster.account}:cluster:{cluster.name}"


def _cluster(cluster: Cluster, instances: list[Instance]) -> dict[str, Any]:
    first, host = instances[0], f"EXAMPLE.{cluster.region}.rds.amazonaws.com"
    return {
        "DBClusterIdentifier": cluster.name,
        "DBClusterArn": _cluster_arn(cluster),
        "DbClusterResourceId": "cluster-EXAMPLE",
        "Engine": first.engine,
        "EngineVersion": first.version,
        "Status": "available",
        "Endpoint": f"{cluster.name}.cluster-{host}",
        "ReaderEndpoint": f"{cluster.name}.cluster-ro-{host}",
        "CustomEndpoints": [_endpoint_host(cluster, one) for one in cluster.custom_endpoints],
        "DBClusterMembers": [_member(one) for one in instances],
        "DBClusterParameterGroup": f"{cluster.name}-cluster",
        "PerformanceInsightsEnabled": any(one.pi_retention_days for one in instances),
        "MonitoringInterval": cluster.monitoring_interval_s,
        "EnabledCloudwatchLogsExports": list(cluster.exports),
        "DatabaseInsightsMode": "standard",
        **cluster.settings,
    }


def _member(one: Instance) -> dict[str, Any]:
    return {
        "DBInstanceIdentifier": one.name,
        "IsClusterWriter": one.role == "writer",
        "PromotionTier": one.promotion_tier,
        "DBClusterParameterGroupStatus": "in-sync",
    }


def _endpoint_host(cluster: Cluster, custom: dict[str, Any]) -> str:
    name = custom["DBClusterEndpointIdentifier"]
    return f"{name}.cluster-custom-EXAMPLE.{cluster.region}.rds.amazonaws.com"


def describe_db_instances(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The instances as they are now."""
    instances = aws.cluster.instances(aws.now)
    wanted = parameters.get("DBInstanceIdentifier")
    if wanted is not None:
        instances = [_instance(aws, wanted)]
    for filter_ in parameters.get("Filters", []):
        instances = [one for one in instances if _passes(aws.cluster, one, filter_)]
    listed = [_described(aws.cluster, one) for one in instances]
    page, marker = marked(parameters, listed)
    return {"DBInstances": page, "Marker": marker}


def _passes(cluster: Cluster, one: Instance, filter_: dict[str, Any]) -> bool:
    value = {
        "db-cluster-id": {cluster.name, _cluster_arn(cluster)},
        "db-instance-id": {one.name},
        "dbi-resource-id": {one.resource_id},
        "engine": {one.engine},
    }.get(filter_["Name"])
    if value is None:
        raise Refused("InvalidParameterValue", f"Unrecognized filter name: {filter_['Name']}")
    return bool(value & set(filter_["Values"]))


def _described(cluster: Cluster, one: Instance) -> dict[str, Any]:
    arn = f"arn:aws:rds:{cluster.region}:{cluster.account}:db:{one.name}"
    logs = f"arn:aws:logs:{cluster.region}:{cluster.account}:log-group:RDSOSMetrics:log-stream:"
    found = {
        "DBInstanceIdentifier": one.name,
        "DBInstanceArn": arn,
        "DbiResourceId": one.resource_id,
        "DBClusterIdentifier": cluster.name,
        "DBInstanceClass": one.instance_class,
        "DBInstanceStatus": "available",
        "InstanceCreateTime": one.created_s,
        "Engine": one.engine,
        "EngineVersion": one.version,
        "AvailabilityZone": f"{cluster.region}a",
        "PromotionTier": one.promotion_tier,
        "PerformanceInsightsEnabled": bool(one.pi_retention_days),
        "MonitoringInterval": cluster.monitoring_interval_s,
        "DBParameterGroups": [{"DBParameterGroupName": one.name, "ParameterApplyStatus": "in-sync"}],
    }
    if one.pi_retention_days:
        found["PerformanceInsightsRetentionPeriod"] = one.pi_retention_days
    if cluster.monitoring_interval_s:
        found["EnhancedMonitoringResourceArn"] = f"{logs}{one.resource_id}"
    return found


def _instance(aws: Any, name: str) -> Instance:
    found = next((one for one in aws.cluster.instances(aws.now) if name in (one.name, one.resource_id)), None)
    if found is None:
        raise Refused("DBInstanceNotFound", f"DBInstance {name} not found.", 404)
    return found


def describe_db_cluster_endpoints(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The writer's, the readers', and custom endpoints."""
    cluster = aws.cluster
    own = _cluster(cluster, cluster.instances(aws.now))
    basic = {"DBClusterIdentifier": cluster.name, "Status": "available"}
    listed = [
        basic | {"EndpointType": "WRITER", "Endpoint": own["Endpoint"]},
        basic | {"EndpointType": "READER", "Endpoint": own["ReaderEndpoint"]},
    ]
    for custom in cluster.custom_endpoints:
        listed.append(
            basic | {"EndpointType": "CUSTOM", "Endpoint": _endpoint_host(cluster, custom)} | custom
        )
    page, marker = marked(parameters, listed)
    return {"DBClusterEndpoints": page, "Marker": marker}


def describe_db_parameters(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of an instance's group, which has the instance's name here."""
    group = parameters["DBParameterGroupName"]
    found = next((one for one in aws.cluster.instances(aws.now) if one.name == group), None)
    if found is None:
        raise Refused("DBParameterGroupNotFound", f"DBParameterGroup not found: {group}", 404)
    own = _of_instances(aws.cluster)
    return _parameters(parameters, {n: v for n, v in found.parameters.items() if n in own})


def describe_db_cluster_parameters(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the cluster's group."""
    group = parameters["DBClusterParameterGroupName"]
    if group != f"{aws.cluster.name}-cluster":
        raise Refused("DBParameterGroupNotFound", f"DBClusterParameterGroup not found: {group}", 404)
    values = aws.cluster.instances(aws.now)[0].parameters
    own = _of_instances(aws.cluster)
    return _parameters(parameters, {n: v for n, v in values.items() if n not in own})


def _of_instances(cluster: Cluster) -> tuple[str, ...]:
    return postgresql.INSTANCE_PARAMETERS if cluster.is_postgresql else INSTANCE_PARAMETERS


def _parameters(parameters: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """Return these parameters among many without a value."""
    fillers = [{"ParameterName": f"parameter_{n:03d}", "Source": "engine-default"} for n in range(120)]
    changed = [{"ParameterName": n, "ParameterValue": v, "Source": "user"} for n, v in values.items()]
    listed = sorted(fillers + changed, key=lambda one: one["ParameterName"])
    page, marker = marked(parameters, listed)
    return {"Parameters": page, "Marker": marker}


def describe_events(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return events of the requested span (default: the last hour), at most of the last 14 days."""
    if parameters.get("SourceIdentifier") and not parameters.get("SourceType"):
        raise Refused("InvalidParameterCombination", "SourceIdentifier needs SourceType")
    start, end = _span(aws, parameters)
    rows = aws.cluster.frame("events")
    rows = rows.assign(second=milliseconds(rows.time) / 1000).sort_values("second") if len(rows) else rows
    listed = [
        event
        for event in (_event(aws.cluster, row) for row in rows.to_dict("records"))
        if max(start, aws.now_s - EVENTS_KEPT_S) <= event["Date"] < min(end, aws.now_s)
        and parameters.get("SourceType", event["SourceType"]) == event["SourceType"]
        and parameters.get("SourceIdentifier", event["SourceIdentifier"]) == event["SourceIdentifier"]
        and (
            not parameters.get("EventCategories")
            or set(event["EventCategories"]) & set(parameters["EventCategories"])
        )
    ]
    page, marker = marked(parameters, listed)
    return {"Events": page, "Marker": marker}


def _span(aws: Any, parameters: dict[str, Any]) -> tuple[float, float]:
    end = parameters.get("EndTime", aws.now_s)
    minutes = parameters.get("Duration", EVENTS_DEFAULT_MINUTES)
    return parameters.get("StartTime", end - minutes * 60), end


def _event(cluster: Cluster, row: dict[str, Any]) -> dict[str, Any]:
    """Return an event. A failover, and an event without an instance, belongs to the cluster. There is no event id."""
    instance = None if pd.isna(row.get("instance")) or row["category"] == FAILOVER else str(row["instance"])
    arn = _cluster_arn(cluster)
    return {
        "SourceIdentifier": instance or cluster.name,
        "SourceType": "db-instance" if instance else "db-cluster",
        "Message": row["message"],
        "EventCategories": [row["category"]] if row["category"] else [],
        "Date": row["second"],
        "SourceArn": arn.replace(f"cluster:{cluster.name}", f"db:{instance}") if instance else arn,
    }


def marked(parameters: dict[str, Any], listed: list[Any]) -> tuple[list[Any], str | None]:
    """A page of a list, and the marker of the next."""
    size = parameters.get("MaxRecords", MAX_RECORDS)
    if not 20 <= size <= MAX_RECORDS:
        raise Refused(
            "InvalidParameterValue", f"Invalid value {size} for MaxRecords. Must be between 20 and 100"
        )
    at = int(parameters.get("Marker") or 0)
    return listed[at : at + size], str(at + size) if at + size < len(listed) else None


def describe_db_recommendations(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The account's recommendations that were updated since a moment."""
    since = parameters.get("LastUpdatedAfter", 0)
    listed = [one for one in aws.cluster.recommendations if one["UpdatedTime"] >= since]
    page, marker = marked(parameters, listed)
    return {"DBRecommendations": page, "Marker": marker}


def describe_db_log_files(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The log files of the last day: one an hour, by the hour of its rotation, and the current."""
    name = _instance(aws, parameters["DBInstanceIdentifier"]).name
    listed = [
        {"LogFileName": one.name, "LastWritten": one.written_ms, "Size": len(one.content)}
        for one in slow_log_text.files(aws.cluster, name, aws.now_s)
        if parameters.get("FilenameContains", "") in one.name
        and one.written_ms >= parameters.get("FileLastWritten", 0)
        and len(one.content) >= parameters.get("FileSize", 0)
    ]
    page, marker = marked(parameters | {"MaxRecords": MAX_RECORDS}, listed)
    return {"DescribeDBLogFiles": page, "Marker": marker}


def download_db_log_file_portion(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """A portion of a file: from its start with Marker 0, its newest lines without one, at most 1 MB.

    What a marker is made of is not documented: here it is an hour and a byte. Users report the binary-data error
    without its code: here it is InvalidParameterValue.
    """
    name = _instance(aws, parameters["DBInstanceIdentifier"]).name
    file = _log_file(aws, name, parameters["LogFileName"])
    lines = parameters.get("NumberOfLines") or PORTION_LINES
    start = _start(file.content, parameters.get("Marker"), lines)
    end = _end(aws, file.content, start, lines)
    if aws.is_("binary_data") and start <= len(file.content) // 2 < end and _is_oldest(aws, name, file):
        raise Refused("InvalidParameterValue", BINARY)
    if aws.is_("rotates") and file.name == CURRENT and end < len(file.content):
        aws.now += timedelta(seconds=HOUR_S - aws.now_s % HOUR_S + 60)
    return {
        "LogFileData": _portion(aws, file.content, start, end),
        "Marker": f"{int(aws.now_s // HOUR_S % 24)}:{_skipped_to(aws, file.content, end)}",
        "AdditionalDataPending": end < len(file.content),
    }


def _portion(aws: Any, content: bytes, start: int, end: int) -> str:
    """Return the text of a portion, with the overlap of its neighbour or without the lines that do not fit."""
    if aws.is_("overlaps_portions"):
        start = len(b"".join(content[:start].splitlines(keepends=True)[:-REPEATED_LINES]))
    if aws.is_("truncates_lines") and end - start > aws.portion_bytes:
        return content[start : start + aws.portion_bytes].decode(errors="ignore") + TRUNCATED
    return content[start:end].decode()


def _skipped_to(aws: Any, content: bytes, end: int) -> int:
    """Where the next portion begins: at the end of this one, or a few lines later."""
    if not aws.is_("skips_lines"):
        return end
    return end + len(b"".join(content[end:].splitlines(keepends=True)[:SKIPPED_LINES]))


def _is_oldest(aws: Any, instance: str, file: LogFile) -> bool:
    return slow_log_text.files(aws.cluster, instance, aws.now_s)[0].name == file.name


def _log_file(aws: Any, instance: str, name: str) -> LogFile:
    found = [one for one in slow_log_text.files(aws.cluster, instance, aws.now_s) if one.name == name]
    if found:
        return found[0]
    if name == CURRENT:
        return LogFile(CURRENT, int(aws.now_s * 1000), slow_log_text.BANNER.encode())
    raise Refused("DBLogFileNotFoundFault", f"DBLog File: {name}, is not found on the DB instance", 404)


def _start(content: bytes, marker: str | None, lines: int) -> int:
    """Where a portion starts: at the marker's byte, or so many lines before the end."""
    if marker is not None and not re.fullmatch(r"(\d+:)?\d+", marker):
        raise Refused("InvalidParameterValue", f"Invalid Marker: {marker}")
    if marker is not None:
        return min(int(marker.rpartition(":")[2]), len(content))
    return max(len(content) - len(b"".join(content.splitlines(keepends=True)[-lines:])), 0)


def _end(aws: Any, content: bytes, start: int, lines: int) -> int:
    """End of a portion: after whole lines, up to the requested number of lines and the maximum size.

    Where lines are truncated, the line that does not fit counts as given.
    """
    end = start
    for line in content[start : start + 2 * aws.portion_bytes].splitlines(keepends=True)[:lines]:
        if end + len(line) - start > aws.portion_bytes:
            return end + len(line) if aws.is_("truncates_lines") or end == start else end
        end += len(line)
    return end


OPERATIONS = {
    "DescribeDBClusters": describe_db_clusters,
    "DescribeDBInstances": describe_db_instances,
    "DescribeDBClusterEndpoints": describe_db_cluster_endpoints,
    "DescribeDBParameters": describe_db_parameters,
    "DescribeDBClusterParameters": describe_db_cluster_parameters,
    "DescribeEvents": describe_events,
    "DescribeDBRecommendations": describe_db_recommendations,
    "DescribeDBLogFiles": describe_db_log_files,
    "DownloadDBLogFilePortion": download_db_log_file_portion,
}
