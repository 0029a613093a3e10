"""CloudWatch Logs: the exported slow log, one event an entry, and RDSOSMetrics, one event a JSON document."""

from __future__ import annotations

import base64
import bisect
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aws_endpoint import postgresql, slow_log_text
from aws_endpoint.cluster import Cluster, Series
from aws_endpoint.wire import Refused

PAGE_EVENTS = 10_000
PAGE_BYTES = 1024 * 1024
EVENT_BYTES = 26
"""What an event counts beside its message."""
STREAMS_PER_PAGE = 50
OS_METRICS = "RDSOSMetrics"
OS_KEPT_S = 30 * 86400
DELIVERY_MS = 1500


@dataclass(frozen=True)
class Event:
    """An event of a stream: its time [ms since 1970] and its message."""

    at_ms: int
    message: str
    stream: str


def slow_log_group(cluster: Cluster) -> str:
    """The group of the cluster's exported slow logs."""
    return f"/aws/rds/cluster/{cluster.name}/{_log_type(cluster)}"


def _log_type(cluster: Cluster) -> str:
    return "postgresql" if cluster.is_postgresql else "slowquery"


def groups(cluster: Cluster) -> list[str]:
    """List the log groups."""
    exported = [slow_log_group(cluster)] if _log_type(cluster) in cluster.exports else []
    return exported + ([OS_METRICS] if cluster.monitoring_interval_s else [])


def streams(cluster: Cluster, group: str) -> list[str]:
    """The streams of a group: instances by name, or by resource id."""
    if group not in groups(cluster):
        raise Refused("ResourceNotFoundException", "The specified log group does not exist.")
    if group == OS_METRICS:
        return sorted(cluster.resource_id(name) for name in cluster.names if _cpu(cluster, name) is not None)
    named = [name for name in cluster.names if slow_log_text.entries(cluster, name)]
    return [postgresql.stream(name) for name in named] if cluster.is_postgresql else named


def events(aws: Any, group: str, stream: str, start_ms: int, end_ms: int) -> list[Event]:
    """A stream's events of [start, end], both inclusive [ms since 1970], in order."""
    if group == OS_METRICS:
        start_ms = max(start_ms, int((aws.now_s - OS_KEPT_S) * 1000))
        return os_events(aws.cluster, aws.cluster.by_resource[stream], start_ms, min(end_ms, _now_ms(aws)))
    entries = slow_log_text.entries(aws.cluster, stream.removesuffix(".0"))
    low = bisect.bisect_left(entries, start_ms, key=lambda one: one.at_ms)
    high = bisect.bisect_right(entries, min(end_ms, _now_ms(aws)), key=lambda one: one.at_ms)
    found = [Event(one.at_ms, one.text, stream) for one in entries[low:high]]
    return _with_banners(found) if aws.is_("banner_events") else found


def _with_banners(found: list[Event]) -> list[Event]:
    """Before the first event of every hour, the three lines that the server writes into a new file."""
    hour, listed = None, []
    for one in found:
        if one.at_ms // 3_600_000 != hour:
            hour = one.at_ms // 3_600_000
            lines = slow_log_text.BANNER.splitlines()
            listed += [Event(one.at_ms, line, one.stream) for line in lines]
        listed.append(one)
    return listed


def _now_ms(aws: Any) -> int:
    return int(aws.events_until_s * 1000) - 1


def _cpu(cluster: Cluster, instance: str) -> Series | None:
    return cluster.series_of("cpu_utilization", instance)


def os_events(cluster: Cluster, instance: str, start_ms: int, end_ms: int) -> list[Event]:
    """Enhanced Monitoring's documents, one per period of the CPU's series."""
    cpu = _cpu(cluster, instance)
    if cpu is None:
        return []
    found = cpu.between(start_ms / 1000, end_ms / 1000 + 1e-3)
    resource_id = cluster.resource_id(instance)
    document = partial(os_document, instance, resource_id, cluster.vcpus(instance))
    return [
        Event(int(at) * 1000, json.dumps(document(int(at), float(value))), resource_id)
        for at, value in zip(found.start, found.value)
    ]


def os_document(instance: str, resource_id: str, vcpus: int, at: int, cpu: float) -> dict[str, Any]:
    """One document, with both shapes of diskIO: Aurora's storage, and a local device."""
    return {
        "engine": "AURORA",
        "instanceID": instance,
        "instanceResourceID": resource_id,
        "timestamp": f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "version": 1.0,
        "uptime": "10 days, 1:53:04",
        "numVCPUs": vcpus,
        "cpuUtilization": {
            "guest": 0.0, "irq": 0.0, "system": round(cpu * 0.25, 4), "wait": 0.5, "idle": round(100 - cpu, 4),
            "user": round(cpu * 0.75, 4), "total": cpu, "steal": 0.0, "nice": 0.0,
        },
        "loadAverageMinute": {"fifteen": 0.14, "five": 0.17, "one": 0.18},
        "memory": {"free": 259016, "active": 13016084, "total": 15670012, "cached": 11742648},
        "tasks": {"sleeping": 223, "zombie": 0, "running": 1, "stopped": 0, "total": 224, "blocked": 0},
        "swap": {"cached": 0, "total": 0, "free": 0},
        "network": [{"interface": "eth0", "rx": 217.57, "tx": 2319.67}],
        "diskIO": [
            {
                "readLatency": 0.0, "writeLatency": 1.53, "writeThroughput": 2048.2, "readThroughput": 0.0,
                "readIOsPS": 0.0, "diskQueueDepth": 0, "writeIOsPS": 5.83,
            },
            {"device": "rdstemp", "await": 0.4, "util": 0.1, "tps": 1.2, "readIOsPS": 0.2, "writeIOsPS": 1.0},
        ],
        "fileSys": [{"name": "rdsfilesys", "mountPoint": "/rdsdbdata", "total": 30828540, "used": 7006720}],
        "processList": [],
    }  # fmt: skip


def filter_log_events(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Events of the named streams, interleaved by time, a page of at most 1 MB or 10,000."""
    group = _group(parameters)
    if parameters.get("filterPattern"):
        raise Refused("NotImplemented", "This endpoint knows no filter patterns.", 501)
    if parameters.get("logStreamNames") and parameters.get("logStreamNamePrefix"):
        raise Refused(
            "InvalidParameterException", "logStreamNames and logStreamNamePrefix exclude each other."
        )
    known = streams(aws.cluster, group)
    wanted = parameters.get("logStreamNames") or [
        one for one in known if one.startswith(parameters.get("logStreamNamePrefix", ""))
    ]
    if set(wanted) - set(known):
        raise Refused("ResourceNotFoundException", "The specified log stream does not exist.")
    start, end = parameters.get("startTime", 0), parameters.get("endTime", _now_ms(aws))
    listed = _interleaved(aws, group, tuple(sorted(wanted)), start, end)
    at, empty = _position(parameters.get("nextToken"))
    if aws.is_("empty_pages") and not empty:
        return {"events": [], "searchedLogStreams": [], "nextToken": _token(at, True)}
    until = _page_end(listed, at, parameters.get("limit", PAGE_EVENTS))
    page = [_filtered(one, number) for number, one in enumerate(listed[at:until], at)]
    token = _token(until, False) if until < len(listed) else None
    return {"events": page, "searchedLogStreams": [], "nextToken": token}


def _group(parameters: dict[str, Any]) -> str:
    name = parameters.get("logGroupName") or parameters.get("logGroupIdentifier", "")
    return name.split(":log-group:")[-1].removesuffix(":*")


def _interleaved(aws: Any, group: str, wanted: tuple[str, ...], start: int, end: int) -> list[Event]:
    """Return the events of several streams by time. The last answer is kept, because each page needs it again."""
    kept = aws.cluster.once("events", make=dict)
    span, last = (start, end, aws.now), kept.get((group, wanted))
    if last and last[0] == span:
        return last[1]
    found = [one for stream in wanted for one in events(aws, group, stream, start, end)]
    found.sort(key=lambda one: one.at_ms)
    kept[group, wanted] = span, found
    return found


def _page_end(listed: list[Event], at: int, limit: int) -> int:
    size, until = 0, at
    while until < min(len(listed), at + limit):
        size += len(listed[until].message.encode()) + EVENT_BYTES
        if size > PAGE_BYTES and until > at:
            break
        until += 1
    return until


def _filtered(event: Event, number: int) -> dict[str, Any]:
    return {
        "logStreamName": event.stream,
        "timestamp": event.at_ms,
        "message": event.message,
        "ingestionTime": event.at_ms + DELIVERY_MS,
        "eventId": f"{event.at_ms:020d}{number:036d}",
    }


def get_log_events(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Events of one stream; at the end the forward token is the one that was sent."""
    group, stream = _group(parameters), parameters["logStreamName"]
    if stream not in streams(aws.cluster, group):
        raise Refused("ResourceNotFoundException", "The specified log stream does not exist.")
    end = parameters.get("endTime", _now_ms(aws) + 1) - 1
    listed = events(aws, group, stream, parameters.get("startTime", 0), end)
    limit = min(parameters.get("limit", PAGE_EVENTS), PAGE_EVENTS)
    first = 0 if parameters.get("startFromHead") else max(len(listed) - limit, 0)
    at = int(parameters["nextToken"][2:]) if parameters.get("nextToken") else first
    until = _page_end(listed, at, limit)
    page = [
        {"timestamp": one.at_ms, "message": one.message, "ingestionTime": one.at_ms + DELIVERY_MS}
        for one in listed[at:until]
    ]
    return {"events": page, "nextForwardToken": f"f/{until:056d}", "nextBackwardToken": f"b/{at:056d}"}


def describe_log_groups(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """List the groups with a name prefix; groups that RDS made keep their events forever."""
    prefix = parameters.get("logGroupNamePrefix", "")
    arn = f"arn:aws:logs:{aws.cluster.region}:{aws.cluster.account}:log-group:"
    found = [
        {"logGroupName": name, "arn": f"{arn}{name}:*", "storedBytes": 0, "metricFilterCount": 0}
        | ({"retentionInDays": 30} if name == OS_METRICS else {})
        for name in groups(aws.cluster)
        if name.startswith(prefix)
    ]
    return {"logGroups": found}


def describe_log_streams(aws: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The streams of a group, with the times of their first and last events."""
    group, prefix = _group(parameters), parameters.get("logStreamNamePrefix", "")
    listed = [name for name in streams(aws.cluster, group) if name.startswith(prefix)]
    at, empty = _position(parameters.get("nextToken"))
    if aws.is_("empty_pages") and not empty:
        return {"logStreams": [], "nextToken": _token(at, True)}
    until = at + parameters.get("limit", STREAMS_PER_PAGE)
    found = [_stream(aws, group, name) for name in listed[at:until]]
    return {"logStreams": found, "nextToken": _token(until, False) if until < len(listed) else None}


def _stream(aws: Any, group: str, name: str) -> dict[str, Any]:
    arn = f"arn:aws:logs:{aws.cluster.region}:{aws.cluster.account}:log-group:{group}:log-stream:{name}"
    found = {"logStreamName": name, "arn": arn, "storedBytes": 0}
    if group == OS_METRICS:
        cpu = _cpu(aws.cluster, aws.cluster.by_resource[name])
        times = [int(cpu.start[0]) * 1000, int(cpu.start[-1]) * 1000] if cpu is not None else []
    else:
        entries = slow_log_text.entries(aws.cluster, name.removesuffix(".0"))
        times = [entries[0].at_ms, entries[-1].at_ms]
    return found | dict(zip(("firstEventTimestamp", "lastEventTimestamp"), times))


def _token(at: int, empty: bool) -> str:
    return base64.b64encode(json.dumps([at, empty]).encode()).decode()


def _position(token: str | None) -> tuple[int, bool]:
    try:
        return tuple(json.loads(base64.b64decode(token))) if token else (0, False)  # type: ignore[return-value]
    except ValueError:
        raise Refused("InvalidParameterException", "The specified nextToken is invalid.") from None


OPERATIONS = {
    "FilterLogEvents": filter_log_events,
    "GetLogEvents": get_log_events,
    "DescribeLogGroups": describe_log_groups,
    "DescribeLogStreams": describe_log_streams,
}
