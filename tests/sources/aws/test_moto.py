"""The sources against moto, an independent simulation of AWS, as far as it goes.

moto has no Performance Insights, custom endpoints or log files. Where moto differs from AWS's documentation, only our
own endpoint is tested.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta

import boto3
import moto.logs.models
import pytest
from moto.server import ThreadedMotoServer

from aurora_analysis import Window
from aurora_analysis.fetch.chunks import Chunk, Context
from aurora_analysis.sources.aws import cloudwatch, enhanced_monitoring, log_export
from aurora_analysis.sources.aws import rds as topology
from aurora_analysis.sources.aws.cloudwatch import MetricArguments
from aurora_analysis.sources.aws.enhanced_monitoring import DocumentArguments
from aurora_analysis.sources.aws.log_export import Log
from aurora_analysis.sources.aws.rds import Instance, Topology

MINUTES = Window("2026-11-09T00:00", "2026-11-09T00:10")
NAMES = ("shop-1", "shop-2")
ENTRY = """# Time: 2026-11-09T00:0{minute}:00.000000Z
# User@Host: etl[etl] @  [10.0.0.1]  Id:     7
# Query_time: 1.500000  Lock_time: 0.000000 Rows_sent: 1  Rows_examined: 2
use shop;
SET timestamp=1794182400;
select * from orders where id = {minute};"""


@pytest.fixture(scope="module")
def url():
    """Run a silent moto server on 127.0.0.1."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(scope="module")
def clients(url):
    """Return boto3 clients of the server."""
    how = {"region_name": "eu-central-1", "aws_access_key_id": "example", "aws_secret_access_key": "example"}
    return {name: boto3.client(name, endpoint_url=url, **how) for name in ("rds", "cloudwatch", "logs")}


@pytest.fixture(scope="module")
def cluster(clients):
    """Create a cluster of two instances."""
    rds = clients["rds"]
    rds.create_db_cluster(
        DBClusterIdentifier="shop",
        Engine="aurora-mysql",
        MasterUsername="admin",
        MasterUserPassword="password",
        EnableCloudwatchLogsExports=["slowquery"],
    )
    for name in NAMES:
        rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBClusterIdentifier="shop",
            Engine="aurora-mysql",
            DBInstanceClass="db.r6g.2xlarge",
            MonitoringInterval=60,
            MonitoringRoleArn="arn:aws:iam::123456789012:role/monitoring",
        )
    return rds.describe_db_clusters(DBClusterIdentifier="shop")["DBClusters"][0]


def test_a_cluster_is_described(clients, cluster):
    """Members, the writer, classes and exports are read."""
    described = clients["rds"].describe_db_instances()["DBInstances"]
    found = topology.parse(cluster, described, [])
    assert [(one.name, one.is_writer) for one in found.instances] == [("shop-1", True), ("shop-2", False)]
    assert {topology.vcpus(one.instance_class) for one in found.instances} == {8.0}
    assert {one.monitoring_interval_s for one in found.instances} == {60}
    assert all(one.resource_id.startswith("db-") for one in found.instances)
    assert found.log_exports == ("slowquery",)


def test_events_are_read(clients, cluster):
    """moto records the creation of an instance, by its own clock."""
    found = topology.parse(cluster, clients["rds"].describe_db_instances()["DBInstances"], [])
    ever = Window("2020-01-01", "2100-01-01")
    found_events = topology.events(topology.request_events(clients["rds"], found, ever), ever)
    assert set(found_events["instance"].dropna()) == set(NAMES)
    assert set(found_events["category"]) >= {"creation"}


def test_metrics_are_fetched(clients):
    """Each value put is fetched at its minute."""
    put = [
        {
            "MetricName": "CPUUtilization",
            "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": name}],
            "Timestamp": MINUTES.start + timedelta(minutes=minute),
            "Value": float(minute + tens),
        }
        for name, tens in zip(NAMES, (10, 20))
        for minute in range(10)
    ]
    clients["cloudwatch"].put_metric_data(Namespace="AWS/RDS", MetricData=put)
    chunk = Chunk(
        "cloudwatch", "cloudwatch", None, MINUTES, MetricArguments("shop", "aurora-mysql", NAMES, 60)
    )
    parts = cloudwatch.fetch(chunk, Context(clients))
    frame = next(part.frame for part in parts if part.frame is not None)
    found = frame.pivot_table(index="time", columns="instance", values="value", observed=True)
    assert found["shop-1"].tolist() == [10.0 + minute for minute in range(10)]
    assert found["shop-2"].tolist() == [20.0 + minute for minute in range(10)]
    assert found.index[0] == MINUTES.start
    assert [part.received for part in parts if part.instance] == [10, 10]


def test_the_writer_is_found_by_its_metric(clients):
    """AuroraReplicaLagMaximum belongs to the writer, AuroraReplicaLag to a reader."""
    put = [
        {
            "MetricName": metric,
            "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": name}],
            "Timestamp": MINUTES.start,
            "Value": 14.0,
        }
        for name, metric in zip(NAMES, ("AuroraReplicaLagMaximum", "AuroraReplicaLag"))
    ]
    clients["cloudwatch"].put_metric_data(Namespace="AWS/RDS", MetricData=put)
    shop = Topology("shop", "", (), "", tuple(Instance(name) for name in NAMES))
    seen = cloudwatch.presence(clients["cloudwatch"], shop, MINUTES, MINUTES.end)
    assert dict(zip(seen["instance"], seen["writer"])) == {"shop-1": True, "shop-2": False}


@pytest.fixture
def today(monkeypatch):
    """Set moto's clock to the day after the events: like AWS, moto rejects events older than two weeks.

    moto's times have no zone.
    """
    monkeypatch.setattr(moto.logs.models, "utcnow", lambda: datetime(2026, 11, 10))


def put_events(logs, group: str, stream: str, messages: list[str]) -> None:
    """Put one event a minute, from the window's start."""
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    start = int(MINUTES.start.timestamp() * 1000)
    events = [{"timestamp": start + 60_000 * n, "message": message} for n, message in enumerate(messages)]
    answer = logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    assert "rejectedLogEventsInfo" not in answer


def test_an_exported_slow_log_is_read(clients, today):
    """Events of one stream are one log; a missing group is no error."""
    messages = [ENTRY.format(minute=minute) for minute in range(5)]
    put_events(clients["logs"], log_export.group("shop", "aurora-mysql"), "shop-1", messages)
    parts = list(
        log_export.fetch_exported(
            clients["logs"],
            "/aws/rds/cluster/shop/slowquery",
            ["shop-1"],
            Log("shop-1", MINUTES, "aurora-mysql"),
        )
    )
    rows = next(part.frame for part in parts if part.table == "slow_queries" and part.frame is not None)
    assert rows["ended_at"].dt.minute.tolist() == [0, 1, 2, 3, 4]
    assert rows["digest"].nunique() == 1
    assert parts[-1].lost == 0
    assert log_export.streams(clients["logs"], "shop", "aurora-mysql") == ["shop-1"]
    assert log_export.streams(clients["logs"], "another", "aurora-mysql") is None


def test_enhanced_monitoring_is_read(clients, today):
    """Documents become minutes; a broken one counts as lost."""
    documents = [
        json.dumps({"timestamp": f"2026-11-09T00:0{minute}:00Z", "diskIO": [{"readLatency": 10.0 + minute}]})
        for minute in range(4)
    ]
    put_events(clients["logs"], "RDSOSMetrics", "db-A", [*documents, "{"])
    chunk = Chunk("enhanced monitoring", "logs", "shop-1", MINUTES, DocumentArguments("db-A", 60, 10.0))
    parts = enhanced_monitoring.fetch(chunk, Context(clients))
    frame = parts[0].frame
    assert frame["value"].tolist() == [10.0, 11.0, 12.0, 13.0]
    assert [parts[0].received, parts[0].lost] == [4, 1]


def test_an_rds_instance_without_a_cluster_is_described_and_read(clients):
    """RDS for MySQL: moto's instance, and the log group that RDS names after the instance."""
    clients["rds"].create_db_instance(
        DBInstanceIdentifier="books",
        Engine="mysql",
        DBInstanceClass="db.m6g.large",
        AllocatedStorage=20,
        MasterUsername="admin",
        MasterUserPassword="password",
        EnableCloudwatchLogsExports=["slowquery"],
    )
    logs, name = clients["logs"], "/aws/rds/instance/books/slowquery"
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="books")
    found = topology.describe(clients["rds"], "books")
    assert (found.engine, found.writer, found.storage_type) == ("mysql", "books", "gp2")
    assert found.log_exports == ("slowquery",)
    assert "log_output" not in found.instances[0].parameters  # Aurora's default would be a guess
    assert log_export.streams(logs, "books", found.engine) == ["books"]
