"""Find the thing that an identifier names: a cluster, an RDS instance without one, or something that belongs to a cluster.

People paste an instance's name, an endpoint or an ARN where a cluster is expected. The error then names the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from aurora_analysis import engines
from aurora_analysis.errors import Error
from aurora_analysis.sources.aws import errors

AURORA = ("aurora", "aurora-mysql", "aurora-postgresql")
"""RDS's names of the engines whose instances share one volume, and so their old row versions."""

ENGINE = "aurora-mysql"
"""Engine of a cluster whose description or rows name none."""

NOT_FOUND = {
    "DBClusterNotFoundFault",
    "DBClusterNotFound",
    "DBInstanceNotFound",
    "DBInstanceNotFoundFault",
    "DBClusterEndpointNotFoundFault",
    "InvalidParameterValue",
}


def is_aurora(engine: str) -> bool:
    """Return whether the instances of an engine share one volume.

    >>> is_aurora("aurora-mysql"), is_aurora("mysql")
    (True, False)
    """
    return engine in AURORA


def find(rds: Any, identifier: str) -> dict[str, Any]:
    """Return RDS's description of a cluster; an RDS instance without a cluster is described as one of itself.

    Raises
    ------
    Error
        If the identifier is neither, naming the cluster that it belongs to; or if the engine is not supported.
    """
    if "." in identifier:
        raise Error(_of_host(rds, identifier))
    found = _row(rds.describe_db_clusters, "DBClusters", DBClusterIdentifier=identifier)
    if not found:
        instance = _row(rds.describe_db_instances, "DBInstances", DBInstanceIdentifier=identifier)
        if not instance or instance.get("DBClusterIdentifier"):
            raise Error(_of_cluster(rds, identifier, instance))
        found = _alone(instance)
    check_engine(found)
    return found


def _row(operation: Any, key: str, **request: Any) -> dict[str, Any]:
    """Return the one row of an answer; empty if there is none."""
    try:
        return dict(next(iter(operation(**request)[key]), {}))
    except ClientError as problem:
        if errors.code(problem) in NOT_FOUND:
            return {}
        raise


def check_engine(cluster: Mapping[str, Any]) -> None:
    """Refuse an engine that is not supported, and clusters whose instances have a volume each."""
    engine, name = str(cluster.get("Engine", "")), cluster["DBClusterIdentifier"]
    try:
        engines.of(engine)
    except Error as problem:
        raise Error(f"{name}: {problem}") from None
    if not is_aurora(engine) and not cluster.get("IsAlone"):
        raise Error(
            f"{name} runs {engine}, whose instances share no volume: name an Aurora cluster, or one instance."
        )


def _alone(instance: Mapping[str, Any]) -> dict[str, Any]:
    """Describe an instance without a cluster as a cluster of itself."""
    name = instance["DBInstanceIdentifier"]
    replica = bool(instance.get("ReadReplicaSourceDBInstanceIdentifier"))
    return {
        "DBClusterIdentifier": name,
        "DBClusterMembers": [{"DBInstanceIdentifier": name, "IsClusterWriter": not replica}],
        "Engine": instance.get("Engine", ""),
        "EngineVersion": instance.get("EngineVersion", ""),
        "EnabledCloudwatchLogsExports": instance.get("EnabledCloudwatchLogsExports") or [],
        "DatabaseInsightsMode": instance.get("DatabaseInsightsMode", ""),
        "StorageType": instance.get("StorageType", ""),
        "IsAlone": True,
    }


# Names of something else


def _of_cluster(rds: Any, identifier: str, instance: Mapping[str, Any]) -> str:
    """Explain an identifier that is no cluster's: an instance's, a custom endpoint's, or nobody's."""
    if instance:
        return (
            f"{identifier!r} is an instance of cluster {instance['DBClusterIdentifier']!r}: pass "
            f"--cluster {instance['DBClusterIdentifier']}."
        )
    if found := _endpoint(rds, identifier):
        return f"{identifier!r} is a custom endpoint of cluster {found!r}: pass --cluster {found}."
    return (
        f"There is no cluster {identifier!r} in {rds.meta.region_name}: check --cluster and --region, or set "
        "the cluster's identifier and region in aurora-analysis.toml."
    )


def _endpoint(rds: Any, identifier: str) -> str:
    """Return the cluster of a custom endpoint; empty if there is no such endpoint, or the call is refused."""
    try:
        found = _row(
            rds.describe_db_cluster_endpoints, "DBClusterEndpoints", DBClusterEndpointIdentifier=identifier
        )
    except ClientError:
        return ""
    named = found.get("DBClusterEndpointIdentifier") == identifier
    return str(found.get("DBClusterIdentifier", "")) if named else ""


def _of_host(rds: Any, host: str) -> str:
    """Explain a host name, such as shop.cluster-ro-x.eu-central-1.rds.amazonaws.com."""
    labels = [*host.split("@")[-1].split("/")[-1].split(":")[0].split("."), "", "", ""]
    name, kind, region = labels[:3]
    there = f" --region {region}" if region and region != rds.meta.region_name else ""
    if kind.startswith("proxy-"):
        return f"{host!r} is the endpoint of an RDS Proxy: pass the identifier of the proxy's cluster."
    if kind.startswith("cluster-custom-"):
        cluster = "" if there else _endpoint(rds, name)
        return (
            f"{host!r} is a custom endpoint{f' of cluster {cluster!r}' if cluster else ''}: pass --cluster "
            + (f"{cluster}." if cluster else f"and its cluster's identifier{there}.")
        )
    if kind.startswith("cluster-"):
        readers = "readers' " if kind.startswith("cluster-ro-") else ""
        return f"{host!r} is the {readers}endpoint of cluster {name!r}: pass --cluster {name}{there}."
    instance = {} if there else _row(rds.describe_db_instances, "DBInstances", DBInstanceIdentifier=name)
    if owner := instance.get("DBClusterIdentifier"):
        return f"{host!r} is the endpoint of instance {name!r} of cluster {owner!r}: pass --cluster {owner}."
    return f"{host!r} is a host name, not a cluster's identifier: pass the identifier that RDS lists{there}."


# Kinds of clusters


def remarks(cluster: Mapping[str, Any]) -> tuple[str, ...]:
    """Explain what the kind of a cluster means for the question, where it is not an ordinary Aurora cluster."""
    name, engine = cluster["DBClusterIdentifier"], str(cluster.get("Engine", ENGINE))
    if cluster.get("IsAlone"):
        what = f"{name} is RDS for {engine}, not Aurora"
        return (f"{what}: {engines.module(engine, 'settings').ON_REPLICAS}",)
    words = engines.words(engine)
    source = str(cluster.get("ReplicationSourceIdentifier") or "")
    writes = any(member.get("IsClusterWriter") for member in cluster.get("DBClusterMembers", []))
    if writes or not (source or cluster.get("GlobalClusterIdentifier")):
        return ()
    primary = source.rpartition(":")[2]
    where = (
        f"cluster {primary} in {source.split(':')[3]}"
        if source.count(":") >= 6
        else "a cluster in another region"
    )
    return (
        f"{name} is a secondary cluster of a global database, and its writer is {where}. The readers of {name} can "
        f"block the writer's {words.cleanup} too, but only the writer's cluster shows the effect: fetch that cluster as "
        "well.",
    )
