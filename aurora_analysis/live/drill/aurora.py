"""A place for drills: a cluster of Aurora, a clone or production.

Failover and restart go through the RDS API; crash, lag and disk fault are Aurora's own statements, run on the writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import exc

from aurora_analysis import engines
from aurora_analysis.errors import Error
from aurora_analysis.live.drill import dns
from aurora_analysis.live.drill.options import LASTING
from aurora_analysis.live.drill.place import WRITER, Address, Injected
from aurora_analysis.sources.aws.errors import explained

CLONE, PRODUCTION = "clone", "production"

RESTORE_S = 600.0
"""Time limit for the first writer to be the writer again; Aurora usually takes less than a minute."""

POLL_S = 5.0

NEEDS_A_READER = ("failover", "reader-restart", "lag")

BY_STATEMENT = ("crash", "lag", "disk")
"""Faults that a statement of Aurora injects; Multi-AZ clusters of RDS do not have these statements."""


@dataclass(frozen=True)
class Cluster:
    """A cluster as AWS describes it.

    Attributes
    ----------
    identifier, engine : str
        Its name, and its engine such as aurora-mysql.
    endpoints : mapping of str to Address
        The cluster endpoint (`writer`) and the reader endpoint (`reader`).
    instances : mapping of str to Address
        Each instance's own endpoint.
    writer : str
        Name of the writer.
    not_ready : str
        What is not available now; empty if everything is.
    not_a_clone : str
        Why the cluster does not count as a clone; empty if it is one.
    """

    identifier: str
    engine: str
    endpoints: Mapping[str, Address]
    instances: Mapping[str, Address]
    writer: str
    not_ready: str
    not_a_clone: str


def describe(rds: Any, identifier: str) -> Cluster:
    """Ask AWS about a cluster.

    Raises
    ------
    Error
        If AWS refuses, or an instance has no endpoint.
    """
    found = _called(rds.describe_db_clusters, DBClusterIdentifier=identifier)["DBClusters"][0]
    rows = _all(
        rds, "describe_db_instances", "DBInstances", [{"Name": "db-cluster-id", "Values": [identifier]}]
    )
    states = {identifier: found.get("Status", "")} | {
        row["DBInstanceIdentifier"]: row.get("DBInstanceStatus", "") for row in rows
    }
    not_ready = [
        f"{name} is {state or 'in an unknown state'}"
        for name, state in states.items()
        if state != "available"
    ]
    without = [row["DBInstanceIdentifier"] for row in rows if not row.get("Endpoint", {}).get("Address")]
    if without or not rows:
        raise Error(
            f"{identifier} has no endpoint of {without[0] if without else 'any instance'}: wait until it has."
        )
    port = int(found["Port"])
    endpoints = {WRITER: found["Endpoint"], "reader": found.get("ReaderEndpoint") or found["Endpoint"]}
    writers = [one["DBInstanceIdentifier"] for one in found["DBClusterMembers"] if one["IsClusterWriter"]]
    return Cluster(
        identifier=str(found["DBClusterIdentifier"]),
        engine=str(found["Engine"]),
        endpoints={role: Address(host, port) for role, host in endpoints.items()},
        instances={
            row["DBInstanceIdentifier"]: Address(row["Endpoint"]["Address"], int(row["Endpoint"]["Port"]))
            for row in rows
        },
        writer=writers[0] if len(writers) == 1 else "",
        not_ready=", ".join(not_ready),
        not_a_clone=_not_a_clone(rds, found),
    )


def _not_a_clone(rds: Any, found: Mapping[str, Any]) -> str:
    """Why a cluster does not count as a clone: it has no clone group, or is the group's first cluster."""
    if found.get("CrossAccountClone"):
        return ""
    group, name = found.get("CloneGroupId"), found["DBClusterIdentifier"]
    if not group:
        return f"AWS knows no clone group of {name}"
    others = [
        one
        for one in _all(
            rds, "describe_db_clusters", "DBClusters", [{"Name": "clone-group-id", "Values": [group]}]
        )
        if one["DBClusterIdentifier"] != name
    ]
    earlier = [one for one in others if _created(one) < _created(found)]
    return (
        "" if earlier else f"no cluster of {name}'s clone group is older than {name}, which may be the source"
    )


def _created(cluster: Mapping[str, Any]) -> datetime:
    created: datetime = cluster["ClusterCreateTime"]
    return created


def _all(rds: Any, operation: str, key: str, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    pages = _called(lambda: list(rds.get_paginator(operation).paginate(Filters=filters)))
    return [row for page in pages for row in page[key]]


def _called(operation: Callable[..., Any], **request: Any) -> Any:
    """Call AWS; a refusal becomes an error that the drill's clean-up survives."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return operation(**request)
    except (BotoCoreError, ClientError) as problem:
        raise Error(explained(problem)) from None


Connect = Callable[[str, int, float], sqlalchemy.Engine]
"""(host, port, age at which a pooled connection is replaced [s]; 0 for no pool) → an engine."""


class AuroraPlace:
    """A cluster of Aurora.

    Parameters
    ----------
    rds : boto3 client
        Of the service RDS.
    cluster : Cluster
        See `describe`.
    kind : str
        `clone` or `production`.
    connect : callable
        Makes engines.

    Raises
    ------
    Error
        If the cluster is not available, or should be a clone and is none.
    """

    def __init__(self, rds: Any, cluster: Cluster, kind: str, connect: Connect) -> None:
        if cluster.not_ready:
            raise Error(f"{cluster.not_ready}: wait until everything is available. Nothing was injected.")
        if not cluster.writer:
            raise Error(
                f"{cluster.identifier} has no single writer: wait until it has. Nothing was injected."
            )
        if kind == CLONE and cluster.not_a_clone:
            raise Error(
                f"{cluster.identifier} is not known to be a clone: {cluster.not_a_clone}. Name a clone, or pass "
                "--production."
            )
        self._rds, self._cluster, self.kind, self._connect = rds, cluster, kind, connect
        self._module = engines.module(cluster.engine, "drill")

    @property
    def engine_name(self) -> str:
        """The engine, such as aurora-mysql."""
        return self._cluster.engine

    @property
    def instances(self) -> tuple[str, ...]:
        """Names of all instances."""
        return tuple(self._cluster.instances)

    def instance(self, name: str) -> sqlalchemy.Engine:
        """Return an engine without a pool that connects to an instance by its own endpoint."""
        return self._connect(*self._cluster.instances[name], 0.0)

    def endpoint(self, role: str, pool_s: float = 0.0) -> sqlalchemy.Engine:
        """Return an engine that connects to the cluster endpoint or the reader endpoint."""
        return self._connect(*self._cluster.endpoints[role], pool_s)

    def resolve(self, role: str) -> Address:
        """Look the endpoint's name up in DNS."""
        return dns.look_up(*self._cluster.endpoints[role])

    def refusal(self, fault: str) -> str:
        """Return why a fault cannot be injected; empty if it can."""
        if fault in NEEDS_A_READER and len(self._cluster.instances) < 2:
            return f"{self._cluster.identifier} has no reader. Add one, or run `drill crash`."
        if fault in BY_STATEMENT and not self._cluster.engine.startswith("aurora"):
            return f"{self._cluster.engine} has no statement for it, which only Aurora has. Run `drill failover`."
        return ""

    def inject(self, fault: str, seconds: float, writer: str) -> Injected:
        """Inject a fault."""
        reader = next((name for name in self._cluster.instances if name != writer), "")
        at = time.monotonic()
        if fault == "failover":
            _called(self._rds.failover_db_cluster, DBClusterIdentifier=self._cluster.identifier)
            return Injected(at, None, f"FailoverDBCluster of {self._cluster.identifier}", at)
        if fault == "reader-restart":
            _called(self._rds.reboot_db_instance, DBInstanceIdentifier=reader)
            return Injected(at, None, f"RebootDBInstance of {reader}", at)
        text = self._module.FAULTS[fault](round(seconds), reader)
        self._execute(writer, text)
        return Injected(at, None, f"{writer}: {text}", at + seconds * (fault in LASTING))

    def _execute(self, writer: str, text: str) -> None:
        """Run a statement that injects a fault; a crash breaks the connection before it returns."""
        try:
            with self.instance(writer).connect() as connection:
                auto = connection.execution_options(isolation_level="AUTOCOMMIT")
                auto.exec_driver_sql(text.replace("%", "%%"))
        except exc.DBAPIError as problem:
            if not problem.connection_invalidated:
                reason = engines.module(self._cluster.engine, "live").reason(problem)
                raise Error(
                    f"{writer} refused {text}: {reason}. It needs Aurora and the privileges of the master user."
                ) from None

    def make_writer(self, name: str) -> str:
        """Fail over to an instance unless it is the writer, and wait until it is.

        Raises
        ------
        Error
            If it is not the writer after RESTORE_S.
        """
        deadline, has_asked = time.monotonic() + RESTORE_S, False
        while True:
            now = describe(self._rds, self._cluster.identifier)
            if now.writer == name and not now.not_ready:
                return f"{name} is the writer again" if has_asked else ""
            if not now.not_ready and now.writer and not has_asked:
                target = {"TargetDBInstanceIdentifier": name}
                _called(self._rds.failover_db_cluster, DBClusterIdentifier=self._cluster.identifier, **target)
                has_asked = True
            if time.monotonic() > deadline:
                raise Error(
                    f"{name} is not the writer after {RESTORE_S:g} s; the writer is {now.writer or 'unknown'}."
                )
            time.sleep(POLL_S)
