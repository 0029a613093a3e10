"""A cluster's topology and events, as RDS describes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from aurora_analysis import Window
from aurora_analysis.errors import Error
from aurora_analysis.fetch import doctor
from aurora_analysis.sources.aws import clusters, rds
from aurora_analysis.sources.aws.rds import Instance, Topology

WINDOW = Window("2026-11-01", "2026-11-15")


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def described(**more: object) -> dict[str, object]:
    return {"DBInstanceIdentifier": "a", "DbiResourceId": "db-A", "DBInstanceClass": "db.r6g.2xlarge", **more}


CLUSTER = {
    "DBClusterIdentifier": "shop",
    "Engine": "aurora-mysql",
    "EngineVersion": "8.0.mysql_aurora.3.08.0",
    "DBClusterMembers": [
        {"DBInstanceIdentifier": "a", "IsClusterWriter": True, "PromotionTier": 0},
        {"DBInstanceIdentifier": "b", "IsClusterWriter": False, "PromotionTier": 15},
    ],
}


def test_a_description_is_parsed():
    """Performance Insights without a stated retention keeps 7 days, the minimum."""
    on = described(PerformanceInsightsEnabled=True, MonitoringInterval=60)
    found = rds.parse(CLUSTER, [on, described(DBInstanceIdentifier="b")], [])
    assert found.writer == "a"
    assert [each.pi_retention_days for each in found.instances] == [7, 0]
    assert [each.promotion_tier for each in found.instances] == [0, 15]
    assert found.instances[0].monitoring_interval_s == 60


def test_custom_endpoints_of_an_instance():
    """ANY includes the writer, READER does not; exclusions count only without static members."""
    endpoints = [
        {"DBClusterEndpointIdentifier": "bi", "EndpointType": "CUSTOM", "CustomEndpointType": "ANY", "ExcludedMembers": []},
        {"DBClusterEndpointIdentifier": "ro", "EndpointType": "CUSTOM", "CustomEndpointType": "READER"},
        {"DBClusterEndpointIdentifier": "one", "EndpointType": "CUSTOM", "CustomEndpointType": "ANY", "StaticMembers": ["b"], "ExcludedMembers": ["b"]},
        {"EndpointType": "READER"},
    ]  # fmt: skip
    found = rds.parse(CLUSTER, [described(), described(DBInstanceIdentifier="b")], endpoints)
    assert {each.name: each.custom_endpoints for each in found.instances} == {
        "a": ("bi",),
        "b": ("bi", "one", "ro"),
    }


def test_the_next_writer_has_the_lowest_tier_and_the_largest_class():
    """A tie names both; a serverless reader's size is not known; without a writer nobody is promoted."""

    def cluster(*readers: Instance, writer: bool = True) -> list[str]:
        found = Topology("shop", "", (), "", (Instance("a", is_writer=writer), *readers))
        return [each.name for each in rds.next_writers(found)]

    small = Instance("small", instance_class="db.r6g.large", promotion_tier=0)
    large = Instance("large", instance_class="db.r6g.4xlarge", promotion_tier=0)
    last = Instance("last", instance_class="db.r6g.16xlarge", promotion_tier=15)
    auto = Instance("auto", instance_class="db.serverless", promotion_tier=0)
    assert cluster(small, large, last) == ["large"]
    assert cluster(large, replace(large, name="twin"), last) == ["large", "twin"]
    assert cluster(small, auto) == ["small", "auto"]
    assert cluster(small, writer=False) == cluster() == []


def test_an_endpoint_follows_a_promoted_reader_unless_it_is_for_readers():
    """READER loses the instance at its promotion; ANY keeps it."""
    endpoints = [
        {"DBClusterEndpointIdentifier": "any", "EndpointType": "CUSTOM", "CustomEndpointType": "ANY", "StaticMembers": ["b"]},
        {"DBClusterEndpointIdentifier": "ro", "EndpointType": "CUSTOM", "CustomEndpointType": "READER", "StaticMembers": ["b"]},
    ]  # fmt: skip
    found = rds.parse(CLUSTER, [described(), described(DBInstanceIdentifier="b")], endpoints)
    b = found.instances[1]
    assert (b.custom_endpoints, b.endpoints_as_writer) == (("any", "ro"), ("any",))


def test_a_backtrack_window_is_read():
    """The target window, and how far back it reaches; none if backtracking is off."""
    on = CLUSTER | {"BacktrackWindow": 86400, "EarliestBacktrackTime": at(9, 12)}
    assert rds.parse(on, [], []).backtrack == (24.0, at(9, 12))
    assert rds.parse(CLUSTER | {"BacktrackWindow": 0}, [], []).backtrack is None


def test_unsupported_engines_are_refused():
    """Other engines are not supported; a cluster without Aurora has a volume for each instance."""
    with pytest.raises(
        Error, match="shop: neptune is not supported: aurora-analysis reads Aurora MySQL, Aurora Post"
    ):
        clusters.check_engine({"DBClusterIdentifier": "shop", "Engine": "neptune"})
    for engine in ("mysql", "postgres"):
        with pytest.raises(Error, match=f"shop runs {engine}, whose instances share no volume"):
            clusters.check_engine({"DBClusterIdentifier": "shop", "Engine": engine})
    clusters.check_engine({"DBClusterIdentifier": "shop", "Engine": "aurora-postgresql"})


@pytest.mark.parametrize(
    ("name", "count"),
    [("db.r6g.large", 2), ("db.r6i.xlarge", 4), ("db.r7g.16xlarge", 64), ("db.serverless", None)],
)
def test_vcpus_of_a_class(name, count):
    """The size gives the number; a serverless class has none."""
    assert rds.vcpus(name) == count


def test_events_of_the_cluster_have_no_instance():
    """Events of an instance keep its name; events outside the window are dropped."""
    rows = [
        {"SourceType": "db-cluster", "SourceIdentifier": "shop", "Date": at(3), "Message": "m", "EventCategories": ["failover"]},
        {"SourceType": "db-instance", "SourceIdentifier": "a", "Date": at(3), "Message": "DB instance restarted."},
        {"SourceType": "db-instance", "SourceIdentifier": "a", "Date": at(30), "Message": "later"},
    ]  # fmt: skip
    frame = rds.events(rows, WINDOW)
    assert frame["instance"].isna().tolist() == [True, False]
    assert frame["category"].tolist() == ["failover", "note"]


def test_a_renamed_instance_has_one_resource_id():
    """CloudWatch has both names, Performance Insights one id; an instance of unknown id is kept."""
    names = (Instance("new", "db-A"), Instance("old", "db-A", gone=True), Instance("lost", gone=True))
    cluster = Topology("shop", "", (), "", names)
    assert [each.name for each in cluster.by_resource()] == ["new", "lost"]


@pytest.mark.parametrize(
    ("engine", "line"),
    [
        ("mysql", "a query on a replica cannot block purge here"),
        ("postgres", "blocks vacuum here only while the replica has hot_standby_feedback on"),
    ],
)
def test_what_a_replica_can_block_depends_on_the_engine(engine, line):
    """RDS without Aurora: InnoDB's undo log is the replica's own, and PostgreSQL's replicas may report their snapshots."""
    (remark,) = clusters.remarks({"DBClusterIdentifier": "shop", "Engine": engine, "IsAlone": True})
    assert line in remark


def test_an_rds_instance_of_postgresql_is_checked():
    """Its parameters have other defaults than Aurora's, so a value that RDS does not list is unknown, not a gap."""
    alone = rds.Topology("pg", "16.6", (), "", (rds.Instance("pg", is_writer=True),), engine="postgres")
    states = {check.what: check.state for check in doctor.checks(alone, doctor.Probes())}
    assert states["log_min_duration_statement"] == "unknown"
    assert "backtrack" not in states
