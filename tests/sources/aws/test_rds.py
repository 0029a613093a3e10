"""Who was in the cluster, as what, and since when: from descriptions, events, and what CloudWatch saw."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from aurora_analysis import Window
from aurora_analysis.errors import Error
from aurora_analysis.sources.aws import rds
from aurora_analysis.sources.aws.rds import Change, Instance, Topology

WINDOW = Window("2026-11-01", "2026-11-15")
NOW = datetime(2026, 11, 20, tzinfo=UTC)
SINCE = datetime(2026, 11, 6, tzinfo=UTC)
"""RDS remembers 14 days before now."""


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def writers(
    told: list[Change], seen: list[Change], now: str, window: Window = WINDOW
) -> list[tuple[int, str | None]]:
    """The day of each change, and the writer from then on."""
    changes = rds.writers(told, seen, Change(NOW, now), window, SINCE)
    return [(change.time.day, change.writer) for change in changes]


def test_without_a_failover_the_writer_of_now_always_was():
    """Nothing told since RDS remembers: whoever writes now wrote then; before that, whom CloudWatch saw."""
    assert writers([], [Change(at(1), "a")], "a") == [(1, "a")]


def test_a_failover_after_the_window_is_undone():
    """b writes now since the 18th: in the window it was whom CloudWatch saw."""
    assert writers([Change(at(18), "b")], [Change(at(1), "a")], "b") == [(1, "a")]


def test_a_failover_in_the_window_changes_the_writer():
    """From the 10th on it is b; who was before, CloudWatch tells; between started and completed nobody is."""
    told = [Change(at(10), None), Change(at(10, 0, 1), "b")]
    assert writers(told, [Change(at(1), "a"), Change(at(10), "b")], "b") == [(1, "a"), (10, None), (10, "b")]


def test_beyond_the_events_cloudwatch_tells_alone():
    """Failovers of the 2nd and the 4th were before RDS remembers; a is the writer again since."""
    seen = [Change(at(1), "a"), Change(at(2), "b"), Change(at(4), "a")]
    assert writers([], seen, "a") == [(1, "a"), (2, "b"), (4, "a")]


def test_where_nothing_tells_nobody_is_the_writer():
    """A failover is told, but who wrote before it is not: unknown, not guessed."""
    assert writers([Change(at(10), "b")], [], "b") == [(1, None), (10, "b")]


def test_two_failovers_need_no_cloudwatch_in_between():
    """After a told failover the writer is known, without any sight of it."""
    assert writers([Change(at(8), "b"), Change(at(12), "a")], [], "a")[1:] == [(8, "b"), (12, "a")]


def test_cloudwatch_sees_a_writer_by_what_only_a_writer_emits():
    """In the hour of the failover both did: nobody is the writer in it."""
    hours = pd.to_datetime(
        ["2026-11-02T00:00Z", "2026-11-02T01:00Z", "2026-11-02T01:00Z", "2026-11-02T02:00Z"]
    )
    presence = pd.DataFrame({"time": hours, "instance": ["a", "a", "b", "b"], "writer": True})
    reader = presence.assign(writer=False, instance="c")
    seen = rds.seen_writers(pd.concat([presence, reader]))
    assert [(change.time.hour, change.writer) for change in seen] == [(0, "a"), (1, None), (2, "b")]


@pytest.mark.parametrize(
    ("message", "writer"),
    [
        ("Completed failover to DB instance: shop-2.", "shop-2"),
        ("Completed failover to DB instance: shop-2", "shop-2"),
        ("Started cross AZ failover to DB instance: shop-2.", None),
        ("Started same AZ failover to DB instance: shop-2.", None),
        ("Promoting previous primary again: shop-1.", "shop-1"),
    ],
)
def test_events_tell_failovers_by_their_text(message, writer):
    """The API has no event ids: the text is matched, with or without its period."""
    rows = pd.DataFrame({"time": [pd.Timestamp("2026-11-10", tz="UTC")], "message": [message]})
    assert rds.failovers(rows) == [Change(at(10), writer)]


def test_other_events_are_no_failover():
    """A failed one changes nothing."""
    message = "Cluster failover failed, check the health of your cluster instances and try again."
    assert rds.failovers(pd.DataFrame({"time": [at(10)], "message": [message]})) == []


CHANGES = [Change(at(1), "a"), Change(at(10), None), Change(at(10, 0, 1), "b")]


def test_only_the_two_in_doubt_have_no_role_in_between():
    """c was a reader all along."""
    roles = {name: rds.role_at(name, CHANGES, at(10)) for name in "abc"}
    assert roles == {"a": None, "b": None, "c": "reader"}
    assert rds.role_at("b", CHANGES, at(11)) == "writer"
    assert rds.role_at("a", CHANGES, at(11)) == "reader"


def test_an_instance_has_no_role_before_it_was_made():
    """c came on the 5th: its rows begin there."""
    cluster = Topology(
        "shop", "", (), "", (Instance("c", created_at=at(5)), Instance("late", created_at=at(20)))
    )
    frame = rds.instances(cluster, CHANGES, WINDOW)
    assert frame[["time", "instance", "role"]].to_numpy().tolist() == [[pd.Timestamp(at(5)), "c", "reader"]]


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


def test_a_description_is_read():
    """Performance Insights that is on and does not say how long keeps the least there is, 7 days."""
    on = described(PerformanceInsightsEnabled=True, MonitoringInterval=60)
    found = rds.parse(CLUSTER, [on, described(DBInstanceIdentifier="b")], [])
    assert found.writer == "a"
    assert [each.pi_retention_days for each in found.instances] == [7, 0]
    assert [each.promotion_tier for each in found.instances] == [0, 15]
    assert found.instances[0].monitoring_interval_s == 60


def test_a_custom_endpoint_leads_where_its_type_lets_it():
    """ANY leads to the writer too, READER does not; exclusions count only where no member is named."""
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


def test_postgresql_is_refused_once_and_clearly():
    """Not yet; and a name that is no Aurora at all is said so."""
    with pytest.raises(
        Error, match="shop: aurora-postgresql is not supported yet: aurora-analysis reads Aurora MySQL"
    ):
        rds.check_engine({"DBClusterIdentifier": "shop", "Engine": "aurora-postgresql"})
    with pytest.raises(Error, match="shop runs mysql: name an Aurora MySQL cluster"):
        rds.check_engine({"DBClusterIdentifier": "shop", "Engine": "mysql"})


@pytest.mark.parametrize(
    ("name", "count"),
    [("db.r6g.large", 2), ("db.r6i.xlarge", 4), ("db.r7g.16xlarge", 64), ("db.serverless", None)],
)
def test_a_class_tells_its_cpus(name, count):
    """By its size; a serverless one does not."""
    assert rds.vcpus(name) == count


def test_what_is_gone_is_found_by_what_it_left():
    """The store knows x and its resource id, a log stream tells of y, an event of z; a is still there."""
    rows = {"time": [at(1), at(1)], "instance": ["a", "x"], "resource_id": ["db-A", "db-X"], "role": "reader"}
    known = pd.DataFrame(rows | {"pi_retention_days": 31.0, "monitoring_interval_s": None})
    told = [{"Message": "Completed failover to DB instance: z."}]
    cluster = Topology("shop", "", (), "", (Instance("a"),))
    gone = rds.former(cluster, known, told, ["a", "y"])
    assert [(each.name, each.resource_id, each.gone) for each in gone] == [
        ("x", "db-X", True),
        ("y", "", True),
        ("z", "", True),
    ]


def test_events_of_the_cluster_have_no_instance():
    """What is said of an instance is the instance's; outside the window it is nobody's."""
    rows = [
        {"SourceType": "db-cluster", "SourceIdentifier": "shop", "Date": at(3), "Message": "m", "EventCategories": ["failover"]},
        {"SourceType": "db-instance", "SourceIdentifier": "a", "Date": at(3), "Message": "DB instance restarted."},
        {"SourceType": "db-instance", "SourceIdentifier": "a", "Date": at(30), "Message": "later"},
    ]  # fmt: skip
    frame = rds.events(rows, WINDOW)
    assert frame["instance"].isna().tolist() == [True, False]
    assert frame["category"].tolist() == ["failover", "note"]


def test_a_renamed_instance_is_one_where_the_resource_id_counts():
    """CloudWatch knows both names, Performance Insights one id; whose id is unknown is a matter of its own."""
    names = (Instance("new", "db-A"), Instance("old", "db-A", gone=True), Instance("lost", gone=True))
    cluster = Topology("shop", "", (), "", names)
    assert [each.name for each in cluster.by_resource()] == ["new", "lost"]
