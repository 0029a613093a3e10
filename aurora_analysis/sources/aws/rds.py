"""A cluster's topology: its instances, their settings, what happened to them, and who was the writer when.

`fetch` asks RDS; `parse`, `events` and `writers` think. RDS tells the roles of now only. Its events reach
14 days back; before that, CloudWatch tells the writer by what only a writer emits (AuroraReplicaLagMaximum)
and only a reader does (AuroraReplicaLag).
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_Events.Messages.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from botocore.exceptions import ClientError

from aurora_analysis import engines
from aurora_analysis.errors import Error
from aurora_analysis.window import Window

SOURCE = "rds"

EVENTS_KEPT = timedelta(days=14)
"""How far back RDS remembers events."""

ON = {"1", "on", "true"}


@dataclass(frozen=True)
class Instance:
    """An instance of the cluster as it is now, or, where it is `gone`, as far as it is known.

    `parameters` are those of its own and its cluster's parameter group; the instance's group wins.
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
    parameters: Mapping[str, str] = field(default_factory=dict)
    parameter_groups: tuple[str, ...] = ()
    gone: bool = False


@dataclass(frozen=True)
class Topology:
    """A cluster as it is now. `log_exports` are the logs that it sends to CloudWatch Logs."""

    cluster: str
    engine_version: str
    log_exports: tuple[str, ...]
    parameter_group: str
    instances: tuple[Instance, ...]
    notes: tuple[str, ...] = ()

    @property
    def writer(self) -> str | None:
        """The writer of now."""
        return next((each.name for each in self.instances if each.is_writer), None)

    def by_resource(self) -> list[Instance]:
        """The instances, without the former names of renamed ones: services that go by resource id know one of each."""
        current = {each.resource_id for each in self.instances if not each.gone}
        return [each for each in self.instances if not each.gone or each.resource_id not in current]


def fetch(rds: Any, identifier: str) -> Topology:
    """The cluster as RDS describes it now; parameters that may not be read are noted, and unknown."""
    cluster = _cluster(rds, identifier)
    described = _pages(
        rds,
        "describe_db_instances",
        "DBInstances",
        Filters=[{"Name": "db-cluster-id", "Values": [identifier]}],
    )
    endpoints, no_endpoints = _tolerant(
        rds, "describe_db_cluster_endpoints", "DBClusterEndpoints", DBClusterIdentifier=identifier
    )
    found = parse(cluster, described, endpoints)
    parameters, no_parameters = _parameters(rds, found)
    instances = tuple(_with_parameters(each, parameters) for each in found.instances)
    return replace(found, instances=instances, notes=(*no_endpoints, *no_parameters))


def remembered(known: pd.DataFrame, identifier: str) -> Topology:
    """The cluster as the store's `instances` knew it last, where RDS may not be asked."""
    latest = known.sort_values("time", kind="stable").groupby("instance", as_index=False).last()
    found = tuple(
        Instance(
            str(row["instance"]),
            _known(row["resource_id"], ""),
            is_writer=row["role"] == "writer",
            pi_retention_days=int(_known(row["pi_retention_days"], 0)),
            monitoring_interval_s=int(_known(row["monitoring_interval_s"], 0)),
        )
        for row in latest.to_dict("records")
    )
    return Topology(identifier, "", (), "", found, ("instances as the store knew them last",))


def _known(value: Any, otherwise: Any) -> Any:
    return otherwise if pd.isna(value) else value


def _cluster(rds: Any, identifier: str) -> dict[str, Any]:
    try:
        found = rds.describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"]
    except ClientError as problem:
        if problem.response["Error"]["Code"] not in {"DBClusterNotFoundFault", "DBClusterNotFound"}:
            raise
        found = []
    if not found:
        raise Error(
            f"There is no cluster {identifier!r} in {rds.meta.region_name}: name another, or set its identifier and region "
            "in aurora-analysis.toml."
        )
    check_engine(found[0])
    return dict(found[0])


def check_engine(cluster: Mapping[str, Any]) -> None:
    """Refuse a cluster whose engine is not supported, and one that is not Aurora."""
    engine, name = str(cluster.get("Engine", "")), cluster["DBClusterIdentifier"]
    try:
        engines.of(engine)
    except Error as problem:
        raise Error(f"{name}: {problem}") from None
    if engine not in {"aurora-mysql", "aurora"}:
        raise Error(f"{name} runs {engine}: name an Aurora MySQL cluster.")


def _pages(client: Any, operation: str, key: str, **request: Any) -> list[dict[str, Any]]:
    pages = client.get_paginator(operation).paginate(**request)
    return [row for page in pages for row in page.get(key, [])]


def _tolerant(
    client: Any, operation: str, key: str, **request: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    """What was found, or nothing and a note: the topology stands without it."""
    try:
        return _pages(client, operation, key, **request), []
    except ClientError as problem:
        return [], [f"{problem.operation_name}: {problem.response['Error']['Code']}"]


def _parameters(rds: Any, found: Topology) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The parameters that matter, by parameter group; the cluster's under the empty name."""
    notes: list[str] = []
    parameters: dict[str, dict[str, str]] = {}
    for group in sorted({group for each in found.instances for group in each.parameter_groups}):
        rows, refused = _tolerant(rds, "describe_db_parameters", "Parameters", DBParameterGroupName=group)
        parameters[group] = settings(rows)
        notes += refused
    rows, refused = _tolerant(
        rds, "describe_db_cluster_parameters", "Parameters", DBClusterParameterGroupName=found.parameter_group
    )
    notes += refused
    defaults = {} if notes else DEFAULTS
    return parameters | {"": defaults | settings(rows)}, sorted(set(notes))


MATTERING = {
    "slow_query_log", "long_query_time", "log_output", "min_examined_row_limit", "log_slow_extra",
    "innodb_monitor_enable", "innodb_purge_threads", "aurora_read_replica_read_committed",
    "transaction_isolation", "tx_isolation", "performance_schema",
}  # fmt: skip


DEFAULTS = {
    "slow_query_log": "0",
    "long_query_time": "10",
    "log_output": "FILE",
    "min_examined_row_limit": "0",
    "aurora_read_replica_read_committed": "OFF",
    "transaction_isolation": "REPEATABLE-READ",
}
"""What Aurora MySQL takes where a group, which may be read, does not set it."""


def settings(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The parameters that matter and are set."""
    return {
        row["ParameterName"]: str(row["ParameterValue"])
        for row in rows
        if row.get("ParameterName") in MATTERING and row.get("ParameterValue") is not None
    }


def _with_parameters(instance: Instance, parameters: Mapping[str, dict[str, str]]) -> Instance:
    """The instance with its parameters: its own group's before its cluster's, before the defaults."""
    own = {name: value for each in instance.parameter_groups for name, value in parameters[each].items()}
    return replace(instance, parameters=parameters[""] | own)


def parse(
    cluster: Mapping[str, Any],
    instances: Sequence[Mapping[str, Any]],
    endpoints: Sequence[Mapping[str, Any]],
) -> Topology:
    """The topology that RDS's descriptions tell."""
    members = {row["DBInstanceIdentifier"]: row for row in cluster.get("DBClusterMembers", [])}
    custom = {row["DBInstanceIdentifier"]: _custom_endpoints(row, endpoints, members) for row in instances}
    return Topology(
        cluster=cluster["DBClusterIdentifier"],
        engine_version=cluster.get("EngineVersion", ""),
        log_exports=tuple(cluster.get("EnabledCloudwatchLogsExports") or ()),
        parameter_group=cluster.get("DBClusterParameterGroup", ""),
        instances=tuple(
            _instance(row, members.get(row["DBInstanceIdentifier"], {}), custom[row["DBInstanceIdentifier"]])
            for row in sorted(instances, key=lambda row: row["DBInstanceIdentifier"])
        ),
    )


def _instance(
    row: Mapping[str, Any], member: Mapping[str, Any], custom_endpoints: tuple[str, ...]
) -> Instance:
    return Instance(
        name=row["DBInstanceIdentifier"],
        resource_id=row.get("DbiResourceId", ""),
        is_writer=bool(member.get("IsClusterWriter")),
        created_at=_utc(row["InstanceCreateTime"]) if row.get("InstanceCreateTime") else None,
        instance_class=row.get("DBInstanceClass", ""),
        engine=row.get("Engine", ""),
        engine_version=row.get("EngineVersion", ""),
        pi_retention_days=_pi_retention(row),
        monitoring_interval_s=int(row.get("MonitoringInterval") or 0),
        promotion_tier=member.get("PromotionTier", row.get("PromotionTier")),
        custom_endpoints=custom_endpoints,
        parameter_groups=tuple(group["DBParameterGroupName"] for group in row.get("DBParameterGroups", [])),
    )


def _pi_retention(row: Mapping[str, Any]) -> int:
    """Days that Performance Insights keeps; 0 is off. Where it is on and does not say: 7, the least there is."""
    return (
        int(row.get("PerformanceInsightsRetentionPeriod") or 7)
        if row.get("PerformanceInsightsEnabled")
        else 0
    )


def _custom_endpoints(
    row: Mapping[str, Any], endpoints: Sequence[Mapping[str, Any]], members: Mapping[str, Any]
) -> tuple[str, ...]:
    name = row["DBInstanceIdentifier"]
    leading = [
        each for each in endpoints if each.get("EndpointType") == "CUSTOM" and _leads(each, name, members)
    ]
    return tuple(sorted(each["DBClusterEndpointIdentifier"] for each in leading))


def _leads(endpoint: Mapping[str, Any], name: str, members: Mapping[str, Any]) -> bool:
    """Whether the endpoint may lead to the instance. A READER endpoint leaves the writer out; ANY does not."""
    if endpoint.get("CustomEndpointType") == "READER" and members.get(name, {}).get("IsClusterWriter"):
        return False
    if static := endpoint.get("StaticMembers"):
        return name in static
    return name not in (endpoint.get("ExcludedMembers") or ())


def vcpus(instance_class: str) -> float | None:
    """Virtual CPUs of an instance class; None where the class does not tell (serverless).

    >>> vcpus("db.r6g.4xlarge"), vcpus("db.serverless")
    (16.0, None)
    """
    size = instance_class.rpartition(".")[2]
    if size in {"medium", "large"}:
        return 2.0
    many = re.fullmatch(r"(\d*)xlarge", size)
    return 4.0 * int(many[1] or 1) if many else None


# Events


def fetch_events(rds: Any, topology: Topology, window: Window) -> list[dict[str, Any]]:
    """What RDS remembers of the cluster and its instances in the window."""
    named = [("db-cluster", topology.cluster)]
    named += [("db-instance", each.name) for each in topology.instances if not each.gone]
    asked = {"StartTime": window.start, "EndTime": window.end}
    return [
        row
        for kind, name in named
        for row in _pages(rds, "describe_events", "Events", SourceType=kind, SourceIdentifier=name, **asked)
    ]


def events(rows: Sequence[Mapping[str, Any]], window: Window) -> pd.DataFrame:
    """Table `events` of RDS's events; what is said of the cluster has no instance."""
    told = [
        {
            "time": _utc(row["Date"]),
            "instance": row["SourceIdentifier"] if row.get("SourceType") == "db-instance" else None,
            "category": ", ".join(row.get("EventCategories") or ["note"]),
            "message": row.get("Message", ""),
        }
        for row in rows
        if _utc(row["Date"]) in window
    ]
    frame = pd.DataFrame(told, columns=["time", "instance", "category", "message"])
    return frame.assign(time=frame["time"].astype("datetime64[us, UTC]")).drop_duplicates()


# Roles

FAILOVER = re.compile(
    r"(?P<what>Started (?:same|cross) AZ failover|Completed failover) to DB instance:?\s*(?P<name>[\w-]+)"
    r"|(?P<again>Promoting previous primary again):?\s*(?P<previous>[\w-]+)"
)


@dataclass(frozen=True)
class Change:
    """From `time` on `writer` was the writer; None where that is not defined or not known."""

    time: datetime
    writer: str | None


def failovers(rows: pd.DataFrame) -> list[Change]:
    """The changes of the writer that the events tell: between started and completed nobody is."""
    changes = []
    ordered = rows.sort_values("time", kind="stable")
    for time, message in zip(ordered["time"], ordered["message"]):
        if found := FAILOVER.search(message):
            begun = (found["what"] or "").startswith("Started")
            writer = None if begun else found["name"] or found["previous"]
            changes.append(Change(time.to_pydatetime(), writer))
    return changes


def seen_writers(presence: pd.DataFrame) -> list[Change]:
    """The changes of the writer that CloudWatch's presence tells.

    `presence` has time, instance, and writer (whether the instance emitted what only a writer does). A period in
    which two did is the failover's: nobody is the writer in it, as the period does not say when.
    """
    writers = presence[presence["writer"]].drop_duplicates(["time", "instance"])
    changes: list[Change] = []
    names_at = writers.groupby("time")["instance"].agg(list)
    for time, names in zip(pd.DatetimeIndex(names_at.index), names_at):
        name = names[0] if len(names) == 1 else None
        if not changes or changes[-1].writer != name:
            changes.append(Change(time.to_pydatetime(), name))
    return changes


def writers(
    told: Sequence[Change],
    seen: Sequence[Change],
    now: Change,
    window: Window,
    known_since: datetime,
) -> list[Change]:
    """Who was the writer when, from the window's start. Answers: whose is the writer's series?

    `told` by events, trusted from `known_since` on; `seen` in CloudWatch before that; `now` by RDS. The writer
    before the first event is whom CloudWatch saw last, or the writer of now where no event came between.
    """
    floor = max(window.start, known_since)
    early = [change for change in seen if change.time < floor]
    late = [change for change in told if floor < change.time < window.end]
    at_floor = [Change(floor, _writer_at(floor, told, seen, now))] if floor < window.end else []
    return _settled([*early, *at_floor, *late], window.start)


def _writer_at(moment: datetime, told: Sequence[Change], seen: Sequence[Change], now: Change) -> str | None:
    """The writer at a moment from which on every failover is told."""
    earlier = [change for change in told if change.time <= moment]
    if earlier:
        return earlier[-1].writer
    later = [change for change in told if change.time > moment]
    if not later:
        return now.writer
    known = [change.writer for change in seen if change.time < later[0].time and change.writer]
    return known[-1] if known else None


def _settled(changes: Sequence[Change], start: datetime) -> list[Change]:
    """In order, from the start, and only where the writer changes."""
    before = [change for change in changes if change.time <= start]
    settled = [Change(start, before[-1].writer if before else None)]
    for change in changes:
        if change.time > start and change.writer != settled[-1].writer:
            settled.append(change)
    return settled


def instances(topology: Topology, changes: Sequence[Change], window: Window) -> pd.DataFrame:
    """Table `instances`: every instance at the window's start, or its creation, and whenever its role changes."""
    rows = [row for each in topology.instances for row in _lifetime(each, changes, window)]
    frame = pd.DataFrame(rows, columns=["time", *COLUMNS])
    return frame.astype({"time": "datetime64[us, UTC]", **REALS}).sort_values(["time", "instance"])


COLUMNS = [
    "instance", "resource_id", "role", "instance_class", "vcpus", "engine", "engine_version",
    "long_query_time_s", "min_examined_row_limit", "isolation_level", "pi_retention_days",
    "slow_query_log", "log_output", "read_committed_on_readers", "purge_threads", "promotion_tier",
    "custom_endpoints", "monitoring_interval_s",
]  # fmt: skip
REALS = dict.fromkeys(("vcpus", "long_query_time_s", "pi_retention_days", "monitoring_interval_s"), "float64")
REALS |= dict.fromkeys(("min_examined_row_limit", "purge_threads", "promotion_tier"), "Int64")
REALS |= dict.fromkeys(("slow_query_log", "read_committed_on_readers"), "boolean")


def _lifetime(each: Instance, changes: Sequence[Change], window: Window) -> list[dict[str, object]]:
    born = max(window.start, each.created_at) if each.created_at else window.start
    if born >= window.end:
        return []
    moments = [born, *(change.time for change in changes if change.time > born)]
    rows: list[dict[str, object]] = []
    for moment in moments:
        role = role_at(each.name, changes, moment)
        if not rows or rows[-1]["role"] != role:
            rows.append({"time": moment, **_attributes(each), "role": role})
    return rows


def role_at(name: str, changes: Sequence[Change], moment: datetime) -> str | None:
    """writer, reader, or None: where nobody is known to be the writer, only the one before and the one after are in doubt."""
    at = max((n for n, change in enumerate(changes) if change.time <= moment), default=None)
    if at is None:
        return None
    if changes[at].writer is not None:
        return "writer" if changes[at].writer == name else "reader"
    known = at > 0 and at + 1 < len(changes)
    in_doubt = {changes[n].writer for n in (at - 1, at + 1) if 0 <= n < len(changes)}
    return "reader" if known and name not in in_doubt else None


def _attributes(each: Instance) -> dict[str, object]:
    asked = each.parameters.get
    return {
        "instance": each.name,
        "resource_id": each.resource_id or None,
        "instance_class": each.instance_class or None,
        "vcpus": vcpus(each.instance_class),
        "engine": each.engine or None,
        "engine_version": each.engine_version or None,
        "long_query_time_s": number(asked("long_query_time")),
        "min_examined_row_limit": number(asked("min_examined_row_limit")),
        "isolation_level": asked("transaction_isolation") or asked("tx_isolation"),
        "pi_retention_days": float(each.pi_retention_days),
        "slow_query_log": _is_on(asked("slow_query_log")),
        "log_output": asked("log_output"),
        "read_committed_on_readers": _is_on(asked("aurora_read_replica_read_committed")),
        "purge_threads": number(asked("innodb_purge_threads")),
        "promotion_tier": each.promotion_tier,
        "custom_endpoints": ", ".join(each.custom_endpoints) or None,
        "monitoring_interval_s": float(each.monitoring_interval_s),
    }


def number(text: str | None) -> float | None:
    """A parameter's number; None where it is not set, or a formula."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _is_on(text: str | None) -> bool | None:
    return None if text is None else text.lower() in ON


# Instances that are no more


def former(
    topology: Topology, known: pd.DataFrame, told: Sequence[Mapping[str, Any]], streams: Iterable[str]
) -> list[Instance]:
    """Instances that the cluster had and has no more. Answers: what else is there to fetch?

    `known`: the store's `instances`; `told`: RDS's events; `streams`: of the cluster's slow log, named by instance.
    Only the store knows their resource ids.
    """
    current = {each.name for each in topology.instances}
    remembers = {each.name: each for each in remembered(known, topology.cluster).instances}
    found = (FAILOVER.search(str(row.get("Message", ""))) for row in told)
    named = {match["name"] or match["previous"] for match in found if match}
    names = ({*remembers, *streams} | named) - current
    return [
        replace(remembers.get(name, Instance(name)), is_writer=False, gone=True) for name in sorted(names)
    ]


def _utc(moment: datetime | float | str) -> datetime:
    if isinstance(moment, int | float):
        return datetime.fromtimestamp(moment, UTC)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.astimezone(UTC)
