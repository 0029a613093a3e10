"""What an identifier names: each wrong name gets one line that names the cluster to pass."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from aurora_analysis.errors import Error
from aurora_analysis.sources.aws import clusters, log_export, rds

CLUSTER = {
    "DBClusterIdentifier": "shop",
    "Engine": "aurora-mysql",
    "DBClusterMembers": [{"DBInstanceIdentifier": "shop-1", "IsClusterWriter": True}],
}
INSTANCE = {"DBInstanceIdentifier": "shop-1", "DBClusterIdentifier": "shop", "Engine": "aurora-mysql"}
ALONE = {
    "DBInstanceIdentifier": "books",
    "Engine": "mysql",
    "EngineVersion": "8.0.39",
    "EnabledCloudwatchLogsExports": ["slowquery"],
    "DBParameterGroups": [],
}
ENDPOINT = {"DBClusterEndpointIdentifier": "analytics", "DBClusterIdentifier": "shop"}


def client(**answers: list[dict[str, object]]) -> SimpleNamespace:
    """Return a client that has one cluster, two instances and an endpoint, each found by its name."""

    def found(key: str, name: str, rows: list[dict[str, object]]):
        def operation(**request: object) -> dict[str, object]:
            wanted = request.get(name)
            listed = [row for row in rows if wanted in (None, row[name])]
            if not listed:
                raise ClientError({"Error": {"Code": f"{key[:-1]}NotFoundFault"}}, "Describe")
            return {key: listed}

        return operation

    return SimpleNamespace(
        meta=SimpleNamespace(region_name="eu-central-1"),
        describe_db_clusters=found(
            "DBClusters", "DBClusterIdentifier", [CLUSTER, *answers.get("clusters", [])]
        ),
        describe_db_instances=found("DBInstances", "DBInstanceIdentifier", [INSTANCE, ALONE]),
        describe_db_cluster_endpoints=found("DBClusterEndpoints", "DBClusterEndpointIdentifier", [ENDPOINT]),
        describe_db_parameters=found("Parameters", "DBParameterGroupName", []),
    )


HOST = "EXAMPLE.eu-central-1.rds.amazonaws.com"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("shop-1", "'shop-1' is an instance of cluster 'shop': pass --cluster shop."),
        ("analytics", "'analytics' is a custom endpoint of cluster 'shop': pass --cluster shop."),
        ("nobody", "There is no cluster 'nobody' in eu-central-1: check --cluster and --region"),
        (f"shop.cluster-{HOST}", "is the endpoint of cluster 'shop': pass --cluster shop."),
        (f"shop.cluster-ro-{HOST}:3306", "is the readers' endpoint of cluster 'shop': pass --cluster shop."),
        (f"analytics.cluster-custom-{HOST}", "is a custom endpoint of cluster 'shop': pass --cluster shop."),
        (
            f"other.cluster-custom-{HOST}",
            "is a custom endpoint: pass --cluster and its cluster's identifier.",
        ),
        (f"shop-1.{HOST}", "is the endpoint of instance 'shop-1' of cluster 'shop': pass --cluster shop."),
        (f"gate.proxy-{HOST}", "is the endpoint of an RDS Proxy"),
        ("shop.cluster-x.us-east-1.rds.amazonaws.com", "pass --cluster shop --region us-east-1."),
        ("shop.example.com", "is a host name, not a cluster's identifier"),
    ],
)
def test_a_wrong_name_is_explained(name, line):
    """The line names the cluster, and its region if it is another one."""
    with pytest.raises(Error) as raised:
        clusters.find(client(), name)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_instance_without_a_cluster_is_described():
    """RDS for MySQL: a topology of one writer, its own log group, and a remark on what it means."""
    found = rds.describe(client(), "books")
    assert (found.cluster, found.engine, found.writer) == ("books", "mysql", "books")
    assert log_export.group(found.cluster, found.engine) == "/aws/rds/instance/books/slowquery"
    assert found.log_exports == ("slowquery",)
    (remark,) = found.remarks
    assert "a query on a replica cannot block purge here" in remark


def test_a_secondary_of_a_global_database_is_explained():
    """The remark names the writer's cluster and region, and says that the readers count."""
    member = {"DBInstanceIdentifier": "shop-eu-1", "IsClusterWriter": False}
    source = "arn:aws:rds:us-east-1:123456789012:cluster:shop"
    secondary = CLUSTER | {"DBClusterMembers": [member], "ReplicationSourceIdentifier": source}
    (remark,) = clusters.remarks(secondary)
    assert "its writer is cluster shop in us-east-1" in remark
    assert "can block the writer's purge too" in remark
    unnamed = CLUSTER | {"DBClusterMembers": [member], "GlobalClusterIdentifier": "world"}
    assert "its writer is a cluster in another region" in clusters.remarks(unnamed)[0]
    assert clusters.remarks(CLUSTER | {"GlobalClusterIdentifier": "world"}) == ()
