"""AWS's own recommendations: those of this cluster, as lines of the table `events`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from aurora_analysis import Window
from aurora_analysis.sources.aws import recommendations
from aurora_analysis.sources.aws.rds import Instance, Topology

WINDOW = Window("2026-11-09", "2026-11-10")
NOON = datetime(2026, 11, 9, 12, tzinfo=UTC)
SHOP = Topology("shop", "", (), "shop-cluster", (Instance("shop-1", parameter_groups=("own",)),))


def advice(resource: str, **more: Any) -> dict[str, Any]:
    row = {"ResourceArn": f"arn:aws:rds:eu-central-1:1:{resource}", "Severity": "high", "Status": "active"}
    row |= {
        "CreatedTime": NOON,
        "Detection": "The history list grew.",
        "Recommendation": "End\nlong **transactions**",
    }
    return row | more


class Client:
    """A client that returns these pages, each with a token of its own."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = pages

    def describe_db_recommendations(self, Marker: str = "0", **_: Any) -> dict[str, Any]:
        following = int(Marker) + 1
        more = {"Marker": str(following)} if following < len(self.pages) else {}
        return {"DBRecommendations": self.pages[int(Marker)], **more}


def found(*pages: list[dict[str, Any]]) -> list[recommendations.Recommendation]:
    return recommendations.request(Client(*pages), SHOP, WINDOW.start)


@pytest.mark.parametrize(
    ("resource", "instance"),
    [("db:shop-1", "shop-1"), ("cluster:shop", None), ("pg:own", None), ("cluster-pg:shop-cluster", None)],
)
def test_a_recommendation_belongs_to_the_cluster_by_its_arn(resource, instance):
    """Instances, the cluster, and their parameter groups."""
    [one] = found([advice(resource)])
    assert (one.instance, one.detection, one.advice) == (
        instance,
        "The history list grew.",
        "End long transactions",
    )


@pytest.mark.parametrize(
    "resource", ["db:other", "cluster:other", "pg:other", "snapshot:shop", "db:shop", ""]
)
def test_recommendations_of_others_are_dropped(resource):
    """The answer is for the whole account; a broken ARN belongs to nobody."""
    assert found([advice(resource)], [{}]) == []


def test_a_page_that_comes_twice_counts_once():
    """The order of pages does not matter."""
    first, second = advice("db:shop-1"), advice("cluster:shop", CreatedTime=WINDOW.start)
    assert found([first], [first], [second]) == found([second, first])
    assert len(found([first], [first], [second])) == 2


def test_events_are_those_of_the_window():
    """One line for each, with AWS's severity in the category; without a severity or an advice, neither."""
    bare = advice("cluster:shop", Severity=None, Recommendation=None)
    rows = recommendations.events(
        found([advice("db:shop-1"), bare, advice("db:shop-1", CreatedTime=WINDOW.end)]), WINDOW
    )
    listed = rows.astype(object).where(rows.notna(), None).to_numpy().tolist()
    assert listed == [
        [pd.Timestamp(NOON), None, "recommendation", "The history list grew"],
        [
            pd.Timestamp(NOON),
            "shop-1",
            "recommendation, high",
            "The history list grew. End long transactions",
        ],
    ]
    assert recommendations.events([], WINDOW).empty
