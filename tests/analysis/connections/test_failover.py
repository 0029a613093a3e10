"""What a failover would do to custom endpoints: the sentence that a DBA reads, and the tiers to set."""

from __future__ import annotations

import pandas as pd

from aurora_analysis.analysis import connections
from aurora_analysis.analysis.verdict import Verdict

NO_USERS = pd.DataFrame({"instance": [], "member": [], "active_sessions": []})
START = pd.Timestamp("2026-11-09", tz="UTC")


def instance(
    name: str, tier: float | None = 1, endpoints: str | None = "", as_writer: str | None = "", **more: object
):
    """One instance: a reader of an Aurora cluster unless said otherwise, with its endpoints as a reader and as the writer."""
    row = {"time": START, "instance": name, "role": "reader", "engine": "aurora-mysql", "vcpus": 8.0}
    row |= {"promotion_tier": tier, "endpoints_as_reader": endpoints, "endpoints_as_writer": as_writer}
    return row | {"custom_endpoints": endpoints} | more


WRITER = instance("shop-1", 0, role="writer")
BI = instance("shop-3", 0, "analytics", "analytics")


def judged(*rows: dict, users: pd.DataFrame = NO_USERS) -> list[Verdict]:
    return connections.failover_verdicts(pd.DataFrame(rows), users)


def test_the_endpoint_and_its_users_would_follow_the_promoted_reader():
    """The sentence names the reader, the endpoint and the user with most load; the action sets both tiers."""
    load = {"instance": ["shop-3"] * 3 + ["shop-2"], "member": ["snowflake", "app", "(other)", "tableau"]}
    users = pd.DataFrame(load | {"active_sessions": [2.0, 0.5, 9.0, 7.0]})
    [verdict] = judged(WRITER, instance("shop-2", 1), BI, users=users)
    assert (verdict.level, verdict.severity) == ("endpoint on the next writer", "watch")
    assert verdict.headline == (
        "If the writer failed now, shop-3, which serves analytics, would become the writer"
    )
    assert "the queries of custom endpoint analytics would run on it" in verdict.sentence
    assert "snowflake (2 active sessions on average) and app (0.5" in verdict.sentence
    assert "Suggested promotion tiers: shop-2 0, shop-3 15." in verdict.sentence
    assert "--db-instance-identifier shop-2 --promotion-tier 0" in verdict.action
    assert "--db-instance-identifier shop-3 --promotion-tier 15" in verdict.action


def test_without_another_reader_the_endpoint_is_changed():
    """No tier helps if every reader serves an endpoint."""
    [verdict] = judged(WRITER, BI)
    assert "No reader could take over without this." in verdict.sentence
    assert "--db-cluster-endpoint-identifier analytics --endpoint-type READER" in verdict.action
    assert "--promotion-tier" not in verdict.action


def test_an_endpoint_may_lose_its_only_instance():
    """A READER endpoint drops the promoted reader; with a second member, or the old writer, it goes on."""
    only = instance("shop-3", 0, "analytics")
    [verdict] = judged(WRITER, instance("shop-2", 1), only)
    assert verdict.level == "endpoint without an instance"
    assert "shop-2 0, shop-3 15" in verdict.sentence
    [fine] = judged(WRITER, instance("shop-2", 1, "analytics"), only)
    [back] = judged(WRITER | {"endpoints_as_reader": "analytics"}, only)
    assert fine.severity == back.severity == "ok"


def test_a_failover_that_touches_no_endpoint_is_ok():
    """The reader with the lowest tier serves none."""
    [verdict] = judged(WRITER, instance("shop-2", 0), instance("shop-3", 15, "analytics", "analytics"))
    assert (verdict.level, verdict.severity) == ("endpoints stay off the writer", "ok")
    assert "shop-2 would become the writer; no custom endpoint" in verdict.sentence


def test_a_tie_has_a_verdict_for_each_candidate():
    """Aurora may promote either."""
    verdicts = judged(WRITER, instance("shop-2", 0), BI)
    assert {verdict.subject: verdict.severity for verdict in verdicts} == {"shop-2": "ok", "shop-3": "watch"}
    assert "shop-3 (or shop-2) would become the writer" in verdicts[1].sentence


def test_unknown_tiers_and_endpoints_are_never_ok():
    """Both may have been refused, or the store may be older than these columns."""
    for rows in (
        (WRITER, instance("shop-2", None), instance("shop-3", None)),
        (WRITER, instance("shop-2", 0, None, None)),
        (WRITER, instance("shop-2", 0, "bi", None)),
    ):
        [verdict] = judged(*rows)
        assert verdict.severity == "unknown"
        assert "DescribeDBClusterEndpoints" in verdict.action


def test_an_endpoint_that_leads_to_the_writer_is_found():
    """After a failover, analytics runs on the writer."""
    first, _ = judged(instance("shop-1", 0, "analytics", "analytics", role="writer"), instance("shop-2", 1))
    assert first.level == "endpoint on the writer"
    assert "Custom endpoint analytics leads to shop-1, the writer" in first.sentence


def test_other_clusters_have_no_verdict():
    """A MariaDB server has no promotion tiers, a single instance has no reader, and the role of one may be unknown."""
    assert judged(WRITER) == judged(instance("a", role=None), instance("b", role=None)) == []
    assert judged(WRITER | {"engine": "mariadb"}, BI | {"engine": "mariadb"}) == []


def test_the_history_has_a_row_for_each_change():
    """Equal rows of later fetches are left out; an unknown value is not a change to none."""
    later = [{**BI, "time": START + pd.Timedelta(days=n)} for n in (1, 2)]
    moved = {**later[1], "promotion_tier": 15, "time": START + pd.Timedelta(days=3)}
    found = connections.endpoint_history(pd.DataFrame([BI, *later, moved]))
    assert found["promotion_tier"].tolist() == [0, 15]
    assert found["time"].tolist() == [START, START + pd.Timedelta(days=3)]
