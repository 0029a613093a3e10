"""The answer on db load: what a reader of the sample reads, and what an empty window yields."""

from __future__ import annotations

import pytest

from aurora_analysis import Store, Window, observe
from aurora_analysis.analysis import db_load

WEEK = Window("2026-11-09", "2026-11-16")
EMPTY = Window("2020-11-09", "2020-11-16")


@pytest.fixture(scope="module")
def sample() -> db_load.Answer:
    """The sample's last week."""
    return db_load.answer(observe(Store(), WEEK, "shop"))


def test_no_instance_of_the_sample_has_a_bottleneck(sample):
    """Each instance is judged, then each bad practice, the costliest first."""
    assert [(one.subject, one.level, one.headline) for one in sample.verdicts] == [
        ("shop-1", "no bottleneck", "shop-1 has no bottleneck"),
        ("shop-2", "no bottleneck", "shop-2 has no bottleneck"),
        ("shop-3", "no bottleneck", "shop-3 has no bottleneck"),
        (
            "snowflake",
            "bulk extract",
            "snowflake's `select o.* from orders o where o.change…` ran 31 times as a bulk extract, 27 h 18 min in all",
        ),
        (
            "tableau",
            "long unoptimised query",
            "tableau's `select l.region, sum(l.amount) from ord…` ran 35 times as a long unoptimised query, "
            "27 h 55 min in all",
        ),
        (
            "finance",
            "bulk extract",
            "finance's `select i.id, i.net, i.tax from invoices…` ran 7 times as a bulk extract, 4 h in all",
        ),
    ]


def test_the_frames_support_the_verdicts(sample):
    """Roles follow the failover; statements are ranked, with their text; practices name their user."""
    assert sample.profiles["role"].to_list() == ["writer, then reader", "reader, then writer", "reader"]
    assert set(sample.busy["role"]) == {"writer", "shop-1", "shop-2", "shop-3"}
    assert sample.statements["rank"].to_list() == list(range(1, 11))
    assert sample.statements["fingerprint"].notna().all()
    assert set(sample.practices["user"]) == {"snowflake", "tableau", "finance"}
    assert {one.role for one in sample.sparklines} == {"writer", "shop-1", "shop-2", "shop-3"}


def test_thresholds_decide_the_verdict():
    """With a threshold of 0.1 % the few minutes above the vCPUs count, and CPU or a wait is named."""
    found = db_load.answer(observe(Store(), WEEK, "shop"), watch_pct=0.1, act_pct=0.2)
    severities = {one.subject: one.severity for one in found.verdicts}
    assert severities["shop-1"] == "act"
    assert severities["shop-3"] == "ok"


def test_an_empty_window_is_unknown():
    """No rows: one unknown verdict, and frames without rows, but no error."""
    found = db_load.answer(observe(Store(), EMPTY, "shop"))
    assert [(one.subject, one.level) for one in found.verdicts] == [("all instances", "unknown")]
    assert found.classes.empty
    assert found.profiles.empty
    assert found.statements.empty
    assert found.practices.empty
    assert found.sparklines == ()
