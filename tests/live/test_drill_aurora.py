"""A drill on a cluster of Aurora: the calls of AWS against its own service model, the statements against a script."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import boto3
import pytest
import scripted_mysql
import sqlalchemy
from botocore.stub import Stubber
from click.testing import CliRunner

from aurora_analysis import engines
from aurora_analysis.cli import connections, main
from aurora_analysis.errors import Error
from aurora_analysis.live.drill import aurora
from aurora_analysis.live.drill.clients import writer_name
from aurora_analysis.live.drill.outcome import Outcome
from aurora_analysis.live.drill.place import Address, Injected
from aurora_analysis.live.drill.run import _took_effect
from aurora_analysis.live.drill.servers import Server, Servers

HOST = "shop.cluster-abc.eu-west-1.rds.amazonaws.com"
NAME = {"DBClusterIdentifier": "shop"}


def cluster_row(writer: str = "shop-1", **changes) -> dict:
    """A cluster with a writer and a reader, as DescribeDBClusters returns it."""
    members = [
        {"DBInstanceIdentifier": name, "IsClusterWriter": name == writer} for name in ("shop-1", "shop-2")
    ]
    return NAME | {
        "Status": "available", "Engine": "aurora-mysql", "Port": 3306, "Endpoint": HOST,
        "ReaderEndpoint": HOST.replace("cluster-", "cluster-ro-"), "DBClusterMembers": members,
        "ClusterCreateTime": datetime(2026, 11, 1, tzinfo=UTC), "CloneGroupId": "group",
    } | changes  # fmt: skip


def instance_row(name: str, status: str = "available") -> dict:
    return {
        "DBInstanceIdentifier": name,
        "DBInstanceStatus": status,
        "Endpoint": {"Address": f"{name}.abc", "Port": 3306},
    }


SOURCE = cluster_row(DBClusterIdentifier="prod", ClusterCreateTime=datetime(2026, 1, 1, tzinfo=UTC))


@contextmanager
def stubbed():
    """RDS's client, whose calls must match the service's model; and the stubber, which must be used up."""
    rds = boto3.client("rds", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(rds) as stub:
        yield rds, stub
        stub.assert_no_pending_responses()


def described(stub: Stubber, row: dict, instances=("shop-1", "shop-2"), group=(SOURCE,), status="available"):
    """Answer the calls of `aurora.describe`."""
    stub.add_response("describe_db_clusters", {"DBClusters": [row]}, NAME)
    rows = [instance_row(name, status) for name in instances]
    filters = {"Filters": [{"Name": "db-cluster-id", "Values": ["shop"]}]}
    stub.add_response("describe_db_instances", {"DBInstances": rows}, filters)
    if row.get("CloneGroupId") and not row.get("CrossAccountClone"):
        filters = {"Filters": [{"Name": "clone-group-id", "Values": ["group"]}]}
        stub.add_response("describe_db_clusters", {"DBClusters": [row, *group]}, filters)


def place(row: dict | None = None, kind: str = "clone", connect=None, **given) -> aurora.AuroraPlace:
    with stubbed() as (rds, stub):
        described(stub, row or cluster_row(), **given)
        return aurora.AuroraPlace(rds, aurora.describe(rds, "shop"), kind, connect)


def test_a_clone_is_younger_than_another_cluster_of_its_group():
    """The source has the same group id: it is refused as a clone, and so is a cluster that never was cloned."""
    assert place().instances == ("shop-1", "shop-2")
    assert place(cluster_row(CrossAccountClone=True)).kind == "clone"
    younger = SOURCE | {"ClusterCreateTime": datetime(2026, 11, 20, tzinfo=UTC)}
    for given in ({"group": [younger]}, {"group": []}, {"row": cluster_row(CloneGroupId="")}):
        with pytest.raises(Error, match="is not known to be a clone"):
            place(**given)
        assert place(kind="production", **given).kind == "production"


@pytest.mark.parametrize(
    ("row", "status", "message"),
    [
        (cluster_row(Status="failing-over"), "available", "shop is failing-over"),
        (cluster_row(), "rebooting", "shop-1 is rebooting, shop-2 is rebooting"),
        (cluster_row(writer=""), "available", "has no single writer"),
    ],
)
def test_a_cluster_that_is_not_ready_is_left_alone(row, status, message):
    """One line says what is not available."""
    with pytest.raises(Error, match=message):
        place(row, status=status)


def test_a_fault_that_the_cluster_cannot_have_is_refused():
    """Without a reader nothing can be promoted, and only Aurora has statements that inject faults."""
    alone = place(instances=["shop-1"])
    assert "has no reader" in alone.refusal("failover") and not alone.refusal("crash")
    multi_az = place(cluster_row(Engine="mysql"))
    assert "only Aurora" in multi_az.refusal("crash") and not multi_az.refusal("failover")


def test_failover_and_restart_are_calls_of_rds():
    """A failover names no target, so that AWS promotes by tier; a restart is of the reader."""
    with stubbed() as (rds, stub):
        described(stub, cluster_row())
        made = aurora.AuroraPlace(rds, aurora.describe(rds, "shop"), "clone", None)
        stub.add_response("failover_db_cluster", {}, NAME)
        stub.add_response("reboot_db_instance", {}, {"DBInstanceIdentifier": "shop-2"})
        assert made.inject("failover", 0, "shop-1").is_certain is None
        assert made.inject("reader-restart", 0, "shop-1").is_certain is None


def test_the_first_writer_is_restored(monkeypatch):
    """By one failover to it, once everything is available; no call if it is the writer."""
    monkeypatch.setattr(aurora, "POLL_S", 0.0)
    with stubbed() as (rds, stub):
        described(stub, cluster_row())
        made = aurora.AuroraPlace(rds, aurora.describe(rds, "shop"), "clone", None)
        described(stub, cluster_row())
        assert made.make_writer("shop-1") == ""
        described(stub, cluster_row("shop-2"), status="rebooting")
        described(stub, cluster_row("shop-2"))
        stub.add_response("failover_db_cluster", {}, NAME | {"TargetDBInstanceIdentifier": "shop-1"})
        described(stub, cluster_row("shop-2", Status="failing-over"))
        described(stub, cluster_row("shop-1"))
        assert made.make_writer("shop-1") == "shop-1 is the writer again"
        monkeypatch.setattr(aurora, "RESTORE_S", -1.0)
        described(stub, cluster_row("shop-2"), status="rebooting")
        with pytest.raises(Error, match="the writer is shop-2"):
            made.make_writer("shop-1")


def test_a_refused_call_is_one_line():
    """Such as without the drill's policy, or on a cluster without its tag."""
    with stubbed() as (rds, stub):
        described(stub, cluster_row())
        made = aurora.AuroraPlace(rds, aurora.describe(rds, "shop"), "clone", None)
        stub.add_client_error("failover_db_cluster", "AccessDenied", "no identity-based policy allows it")
        with pytest.raises(Error, match="FailoverDBCluster"):
            made.inject("failover", 0, "shop-1")


def connecting(port: int):
    """Engines that lead to the script."""
    return lambda host, _, pool_s: connections.engine(f"mysql://admin@127.0.0.1:{port}/", pool_s=pool_s)


STATEMENTS = {
    "crash": "ALTER SYSTEM CRASH INSTANCE",
    "lag": 'ALTER SYSTEM SIMULATE 100 PERCENT READ REPLICA FAILURE TO "shop-2" FOR INTERVAL 7 SECOND',
    "disk": "ALTER SYSTEM SIMULATE 100 PERCENT DISK FAILURE IN DISK 0 FOR INTERVAL 7 SECOND",
}


@pytest.mark.parametrize("fault", STATEMENTS)
def test_aurora_mysql_gets_its_own_statement(fault):
    """On the writer; a crash drops the connection, and only that counts as done."""
    answers = {"CRASH": scripted_mysql.DROP} if fault == "crash" else {}
    with scripted_mysql.serving(answers) as script:
        injected = place(connect=connecting(script.port)).inject(fault, 7.0, "shop-1")
    assert STATEMENTS[fault] in script.received and STATEMENTS[fault] in injected.how
    assert injected.is_certain is None
    assert injected.ends_at - injected.at == pytest.approx(0 if fault == "crash" else 7)


def test_a_refused_statement_is_an_error():
    """A server that is not Aurora, or a user without the privileges: nothing was injected."""
    with scripted_mysql.serving({"ALTER SYSTEM": (1064, "You have an error in your SQL syntax")}) as script:
        made = place(connect=connecting(script.port))
        with pytest.raises(Error, match=r"shop-1 refused ALTER SYSTEM CRASH INSTANCE: You have an error"):
            made.inject("crash", 0, "shop-1")


def test_a_reader_names_the_writer():
    """The topology-aware client learns it from any instance; a server without the table knows only itself."""
    drill = engines.module("aurora-mysql", "drill")
    replicas = {
        "read_only": [("0",)],
        r"information_schema\.tables": [("1",)],
        "MASTER_SESSION_ID": [("shop-1",)],
    }
    for answers, named in (
        (replicas, "shop-1"),
        (replicas | {r"information_schema\.tables": [("0",)]}, ""),
        (replicas | {"MASTER_SESSION_ID": []}, ""),
        (replicas | {"MASTER_SESSION_ID": [("shop-2",)]}, ""),  # a former writer that does not know yet
        (replicas | {"read_only": [("1",)]}, "shop-2"),
    ):
        with scripted_mysql.serving(answers) as script:
            engine = connecting(script.port)("", 0, 0.0)
            with engine.connect() as connection:
                assert writer_name(connection, drill, "shop-2") == named


GUARDED = ["drill", "failover", "--cluster", "shop", "--region", "eu-west-1"]


@pytest.fixture
def described_shop(monkeypatch):
    """The command finds the cluster `shop`, a clone."""
    with ExitStack() as stack:
        rds, stub = stack.enter_context(stubbed())
        described(stub, cluster_row())
        monkeypatch.setattr(connections, "aws_clients", lambda *_: {"rds": rds})
        yield


@pytest.mark.parametrize("typed", [None, "", "yes\n", "Shop\n", "shop-1\n"])
def test_production_wants_the_clusters_name(described_shop, tmp_path, typed):
    """Any other text, and no terminal, inject nothing."""
    command = [*GUARDED, "--production", "--endpoint", f"mysql://admin@{HOST}/app", "--store", str(tmp_path)]
    done = CliRunner().invoke(main, command, input=typed)
    assert done.exit_code == 2
    assert "breaks production: failover on shop" in done.output
    assert "The typed name is not shop. Nothing was injected." in done.output


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://admin@prod.cluster-abc.eu-west-1.rds.amazonaws.com/app", f"of shop is {HOST}"),
        (f"postgresql://admin@{HOST}/app", "shop is aurora-mysql"),
        (f"mysql://admin@{HOST}", "Name the database"),
    ],
)
def test_the_endpoint_must_be_the_clusters_own(described_shop, tmp_path, url, message):
    """A drill cannot reach another cluster than the one that is named."""
    done = CliRunner().invoke(main, [*GUARDED, "--clone", "--endpoint", url, "--store", str(tmp_path)])
    assert done.exit_code == 2 and message in done.output


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "pass --lab, --clone or --production"),
        (["--lab", "--production"], "pass --lab, --clone or --production"),
        (["--clone"], "its cluster endpoint with --endpoint"),
        (["--lab", "--fault-length", "11m"], "cannot end a fault early"),
        (["lag", "--lab", "--fault-length", "30s", "--observe", "30s"], "--observe must be longer"),
    ],
)
def test_the_place_must_be_stated(tmp_path, given, message):
    """One line names what is missing."""
    done = CliRunner().invoke(main, [*GUARDED[:4], *given, "--store", str(tmp_path)])
    assert done.exit_code == 2 and message in done.output


QUIET = Outcome(0.0, 0.0, 0, 0, 0, 10, 0, 0, 0, 0.0, 0)
BROKEN = replace(QUIET, errors=3)
BEFORE = Servers({"shop-1": Server(True, 100.0), "shop-2": Server(False, 100.0)})
PROMOTED = Servers({"shop-1": Server(False, 200.0), "shop-2": Server(True, 100.0)})
RESTARTED = Servers({"shop-1": Server(True, 200.0), "shop-2": Server(False, 100.0)})
READER_RESTARTED = Servers({"shop-1": Server(True, 100.0), "shop-2": Server(False, 200.0)})
NO_WRITER = Servers({"shop-2": Server(False, 100.0)})


@pytest.mark.parametrize(
    ("fault", "after", "outcome", "expected"),
    [
        ("failover", PROMOTED, QUIET, True),
        ("failover", RESTARTED, BROKEN, False),
        ("failover", NO_WRITER, BROKEN, False),
        ("crash", RESTARTED, QUIET, True),
        ("crash", BEFORE, BROKEN, False),
        ("crash", READER_RESTARTED, BROKEN, False),
        ("reader-restart", READER_RESTARTED, QUIET, True),
        ("reader-restart", RESTARTED, BROKEN, False),
        ("lag", BEFORE, replace(QUIET, stale_reads=1), True),
        ("lag", BEFORE, QUIET, None),
        ("disk", BEFORE, BROKEN, True),
        ("disk", BEFORE, QUIET, None),
    ],
)
def test_a_fault_took_effect_only_if_something_shows_it(fault, after, outcome, expected):
    """Roles, start times, or what clients saw; that AWS accepted the call is no evidence."""
    injected = Injected(0.0, None, "", 0.0)
    assert _took_effect(fault, injected, BEFORE, after, {"plain": QUIET, "pool": outcome}) is expected


def test_every_instance_is_reached_by_its_own_endpoint():
    """The topology-aware client does not depend on the cluster endpoint."""
    asked = []
    made = place(connect=lambda *given: asked.append(given) or sqlalchemy.create_engine("sqlite://"))
    made.instance("shop-2")
    made.endpoint("writer", 60.0)
    made.endpoint("reader")
    assert asked == [
        ("shop-2.abc", 3306, 0.0),
        (HOST, 3306, 60.0),
        (HOST.replace("cluster-", "cluster-ro-"), 3306, 0.0),
    ]
    assert aurora.dns.look_up("localhost", 3306) in {Address("127.0.0.1", 3306), Address("::1", 3306)}
