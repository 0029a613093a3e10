"""A cluster's topology according to RDS: its instances, their settings, and its events.

`describe` and `request_events` make requests; `parse` and `events` convert the answers.
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBInstances.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd
from botocore.exceptions import ClientError

from aurora_analysis import engines
from aurora_analysis.engines.failover_order import Candidate, first_in_line
from aurora_analysis.sources.aws import clusters, errors
from aurora_analysis.sources.aws.answers import pages
from aurora_analysis.sources.aws.frames import utc
from aurora_analysis.window import Window

SOURCE = "rds"

EVENTS_KEPT = timedelta(days=14)
"""Time that RDS keeps events."""


@dataclass(frozen=True)
class Instance:
    """An instance of the cluster as it is now; of a deleted one (`gone`), what the store knows.

    `custom_endpoints` may lead to the instance now, `endpoints_as_writer` would if it were the writer, and
    `endpoints_as_reader` if it were a reader.
    `parameters` come from the instance's parameter group, then from the cluster's, then from the engine's defaults.
    """

    name: str
    resource_id: str = ""
    is_writer: bool = False
    created_at: datetime | None = None
    instance_class: str = ""
    engine: str = ""
    engine_version: str = ""
    pi_retention_days: int = 0
    monitoring_interval_s: int = 0
    promotion_tier: int | None = None
    custom_endpoints: tuple[str, ...] = ()
    endpoints_as_writer: tuple[str, ...] = ()
    endpoints_as_reader: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    parameter_groups: tuple[str, ...] = ()
    gone: bool = False


class Backtrack(NamedTuple):
    """Reach of a rewind of the cluster: the target window [h], and the earliest time if RDS states one."""

    target_h: float
    since: datetime | None


@dataclass(frozen=True)
class Topology:
    """A cluster as it is now.

    Attributes
    ----------
    cluster : str
        The DB cluster's identifier.
    engine_version : str
        The engine's version, as RDS writes it.
    log_exports : tuple of str
        Names of the logs that the cluster exports to CloudWatch Logs.
    parameter_group : str
        The cluster's parameter group.
    instances : tuple of Instance
        The cluster's instances, former ones included once `survey` has added them.
    notes : tuple of str
        What could not be read, one line each.
    engine : str
        RDS's name of the engine.
    streams : tuple of str
        Names of the streams of the cluster's exported log; each is of one instance (`stream_instance`).
    remarks : tuple of str
        What the kind of cluster means for the question, one line each.
    insights_mode : str
        The mode of Database Insights, `standard` or `advanced`; empty if RDS does not state it.
    backtrack : Backtrack, optional
        The backtrack window; None if backtracking is off.
    has_endpoints : bool
        Whether the instances' custom endpoints are known.
    storage_type : str
        RDS's name of the storage; Aurora writes `aurora` (Standard) and `aurora-iopt1` (I/O-Optimized).
    """

    cluster: str
    engine_version: str
    log_exports: tuple[str, ...]
    parameter_group: str
    instances: tuple[Instance, ...]
    notes: tuple[str, ...] = ()
    engine: str = clusters.ENGINE
    streams: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    insights_mode: str = ""
    storage_type: str = ""
    backtrack: Backtrack | None = None
    has_endpoints: bool = True

    @property
    def writer(self) -> str | None:
        """Name of the present writer."""
        return next((each.name for each in self.instances if each.is_writer), None)

    @property
    def exported(self) -> tuple[str, ...]:
        """Names of the instances whose logs are in CloudWatch Logs."""
        return tuple(sorted({stream_instance(name) for name in self.streams}))

    def by_resource(self) -> list[Instance]:
        """Return the instances without former names of renamed ones, for services that identify by resource id."""
        current = {each.resource_id for each in self.instances if not each.gone}
        return [each for each in self.instances if not each.gone or each.resource_id not in current]


def stream_instance(stream: str) -> str:
    """Return the instance of a stream of exported logs. RDS numbers the streams of PostgreSQL.

    >>> stream_instance("ledger-2.0"), stream_instance("shop-1")
    ('ledger-2', 'shop-1')
    """
    return re.sub(r"\.\d+$", "", stream)


def describe(rds: Any, identifier: str) -> Topology:
    """Request a cluster's present state. Parameters that the caller may not read are noted, and stay unknown."""
    cluster = clusters.find(rds, identifier)
    name = cluster["DBClusterIdentifier"]
    endpoints: list[dict[str, Any]] = []
    no_endpoints: list[str] = []
    chosen: dict[str, Any] = {"DBInstanceIdentifier": name}
    if clusters.is_aurora(cluster["Engine"]):
        chosen = {"Filters": [{"Name": "db-cluster-id", "Values": [name]}]}
        endpoints, no_endpoints = _optional(
            rds.describe_db_cluster_endpoints, "DBClusterEndpoints", DBClusterIdentifier=name
        )
    described = _rows(rds.describe_db_instances, "DBInstances", **chosen)
    found = parse(cluster, described, endpoints)
    parameters, no_parameters = _parameters(rds, found)
    instances = tuple(_with_parameters(each, parameters) for each in found.instances)
    notes = (*no_endpoints, *no_parameters)
    return replace(found, instances=instances, notes=notes, has_endpoints=not no_endpoints)


def remembered(known: pd.DataFrame, identifier: str) -> Topology:
    """Build a topology from the store's table `instances`, for when RDS refuses to describe the cluster."""
    latest = known.sort_values("time", kind="stable").groupby("instance", as_index=False).last()
    found = tuple(
        Instance(
            str(row["instance"]),
            _or(row["resource_id"], ""),
            is_writer=row["role"] == "writer",
            pi_retention_days=int(_or(row["pi_retention_days"], 0)),
            monitoring_interval_s=int(_or(row["monitoring_interval_s"], 0)),
        )
        for row in latest.to_dict("records")
    )
    stored = latest["engine"].dropna() if "engine" in latest else pd.Series(dtype=str)
    engine = str(stored.iloc[-1]) if len(stored) else clusters.ENGINE
    note = "instances as last recorded in the store"
    return Topology(identifier, "", (), "", found, (note,), engine, has_endpoints=False)


def _or(value: Any, default: Any) -> Any:
    return default if pd.isna(value) else value


def _rows(operation: Callable[..., Any], key: str, **request: Any) -> list[dict[str, Any]]:
    """Return all rows of an operation, each once, in the order of the service."""
    found = (row for page in pages(operation, "Marker", **request) for row in page.get(key, []))
    return list({repr(row): row for row in found}.values())


def _optional(
    operation: Callable[..., Any], key: str, **request: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return all rows and no note, or no rows and a note if the call is refused."""
    try:
        return _rows(operation, key, **request), []
    except ClientError as problem:
        return [], [errors.explained(problem)]


def _parameters(rds: Any, found: Topology) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the relevant parameters by parameter group; the cluster's group has the empty name."""
    engine = engines.module(found.engine, "settings")
    notes: list[str] = []
    parameters: dict[str, dict[str, str]] = {}
    for group in sorted({group for each in found.instances for group in each.parameter_groups}):
        rows, refused = _optional(rds.describe_db_parameters, "Parameters", DBParameterGroupName=group)
        parameters[group] = _values(rows, engine.PARAMETERS)
        notes += refused
    rows = []
    if found.parameter_group:
        rows, refused = _optional(
            rds.describe_db_cluster_parameters,
            "Parameters",
            DBClusterParameterGroupName=found.parameter_group,
        )
        notes += refused
    # A group that may not be read may set the parameter, so a default would be a guess.
    # RDS without Aurora has other defaults, such as log_output = TABLE for MySQL.
    defaults = {} if notes or not clusters.is_aurora(found.engine) else engine.DEFAULTS
    return parameters | {"": defaults | _values(rows, engine.PARAMETERS)}, sorted(set(notes))


def _values(rows: Sequence[Mapping[str, Any]], relevant: Collection[str]) -> dict[str, str]:
    return {
        row["ParameterName"]: str(row["ParameterValue"])
        for row in rows
        if row.get("ParameterName") in relevant and row.get("ParameterValue") is not None
    }


def _with_parameters(instance: Instance, parameters: Mapping[str, dict[str, str]]) -> Instance:
    """Add an instance's parameters: those of its own group override its cluster's and the defaults."""
    own = {name: value for each in instance.parameter_groups for name, value in parameters[each].items()}
    return replace(instance, parameters=parameters[""] | own)


def parse(
    cluster: Mapping[str, Any],
    instances: Sequence[Mapping[str, Any]],
    endpoints: Sequence[Mapping[str, Any]],
) -> Topology:
    """Build a topology from RDS's descriptions of a cluster, its instances and its endpoints."""
    members = {row["DBInstanceIdentifier"]: row for row in cluster.get("DBClusterMembers", [])}
    return Topology(
        cluster=cluster["DBClusterIdentifier"],
        engine_version=cluster.get("EngineVersion", ""),
        log_exports=tuple(cluster.get("EnabledCloudwatchLogsExports") or ()),
        parameter_group=cluster.get("DBClusterParameterGroup", ""),
        instances=tuple(
            _instance(row, members.get(row["DBInstanceIdentifier"], {}), endpoints)
            for row in sorted(instances, key=lambda row: row["DBInstanceIdentifier"])
        ),
        engine=cluster.get("Engine", clusters.ENGINE),
        remarks=clusters.remarks(cluster),
        backtrack=_backtrack(cluster),
        insights_mode=cluster.get("DatabaseInsightsMode") or "",
        storage_type=cluster.get("StorageType") or "",
    )


def _backtrack(cluster: Mapping[str, Any]) -> Backtrack | None:
    since = cluster.get("EarliestBacktrackTime")
    hours = int(cluster.get("BacktrackWindow") or 0) / 3600
    return Backtrack(hours, utc(since) if since else None) if hours else None


def _instance(
    row: Mapping[str, Any], member: Mapping[str, Any], endpoints: Sequence[Mapping[str, Any]]
) -> Instance:
    is_writer = bool(member.get("IsClusterWriter"))
    return Instance(
        name=row["DBInstanceIdentifier"],
        resource_id=row.get("DbiResourceId", ""),
        is_writer=is_writer,
        created_at=utc(row["InstanceCreateTime"]) if row.get("InstanceCreateTime") else None,
        instance_class=row.get("DBInstanceClass", ""),
        engine=row.get("Engine", ""),
        engine_version=row.get("EngineVersion", ""),
        pi_retention_days=_pi_retention(row),
        monitoring_interval_s=int(row.get("MonitoringInterval") or 0),
        promotion_tier=member.get("PromotionTier", row.get("PromotionTier")),
        custom_endpoints=_custom_endpoints(row, endpoints, is_writer=is_writer),
        endpoints_as_writer=_custom_endpoints(row, endpoints, is_writer=True),
        endpoints_as_reader=_custom_endpoints(row, endpoints, is_writer=False),
        parameter_groups=tuple(group["DBParameterGroupName"] for group in row.get("DBParameterGroups", [])),
    )


def _pi_retention(row: Mapping[str, Any]) -> int:
    """Return the days that Performance Insights keeps: 0 if it is off, 7 (the minimum) if RDS does not state them."""
    return (
        int(row.get("PerformanceInsightsRetentionPeriod") or 7)
        if row.get("PerformanceInsightsEnabled")
        else 0
    )


def _custom_endpoints(
    row: Mapping[str, Any], endpoints: Sequence[Mapping[str, Any]], *, is_writer: bool
) -> tuple[str, ...]:
    """Return the custom endpoints that may lead to an instance in a role."""
    name = row["DBInstanceIdentifier"]
    custom = [each for each in endpoints if each.get("EndpointType") == "CUSTOM"]
    return tuple(
        sorted(each["DBClusterEndpointIdentifier"] for each in custom if _may_lead(each, name, is_writer))
    )


def _may_lead(endpoint: Mapping[str, Any], name: str, is_writer: bool) -> bool:
    """Return whether an endpoint may lead to an instance. A READER endpoint excludes the writer; ANY does not."""
    if endpoint.get("CustomEndpointType") == "READER" and is_writer:
        return False
    if static := endpoint.get("StaticMembers"):
        return name in static
    return name not in (endpoint.get("ExcludedMembers") or ())


def next_writers(topology: Topology) -> tuple[Instance, ...]:
    """Return the readers that a failover may promote now."""
    readers = {each.name: each for each in topology.instances if not each.is_writer and not each.gone}
    if topology.writer is None:
        return ()
    candidates = [
        Candidate(name, each.promotion_tier, vcpus(each.instance_class)) for name, each in readers.items()
    ]
    return tuple(readers[name] for name in first_in_line(candidates))


def vcpus(instance_class: str) -> float | None:
    """Return the virtual CPUs of an instance class; None if the class has no fixed number (serverless).

    >>> vcpus("db.r6g.4xlarge"), vcpus("db.serverless")
    (16.0, None)
    """
    size = instance_class.rpartition(".")[2]
    if size in {"medium", "large"}:
        return 2.0
    many = re.fullmatch(r"(\d*)xlarge", size)
    return 4.0 * int(many[1] or 1) if many else None


# Events


def request_events(rds: Any, topology: Topology, window: Window) -> list[dict[str, Any]]:
    """Request RDS's events of the cluster and its present instances in a window."""
    named = [("db-cluster", topology.cluster)] if clusters.is_aurora(topology.engine) else []
    named += [("db-instance", each.name) for each in topology.instances if not each.gone]
    span = {"StartTime": window.start, "EndTime": window.end}
    return [
        row
        for kind, name in named
        for row in _rows(rds.describe_events, "Events", SourceType=kind, SourceIdentifier=name, **span)
    ]


def events(rows: Sequence[Mapping[str, Any]], window: Window) -> pd.DataFrame:
    """Convert RDS's events to rows of table `events`. An event of the cluster has no instance."""
    found = [
        {
            "time": utc(row["Date"]),
            "instance": row["SourceIdentifier"] if row.get("SourceType") == "db-instance" else None,
            "category": ", ".join(row.get("EventCategories") or ["note"]),
            "message": row.get("Message", ""),
        }
        for row in rows
        if utc(row["Date"]) in window
    ]
    frame = pd.DataFrame(found, columns=["time", "instance", "category", "message"])
    return frame.assign(time=frame["time"].astype("datetime64[us, UTC]")).drop_duplicates()
