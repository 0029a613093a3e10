"""AWS's own recommendations for a cluster, such as an alarm about its history list, beside our findings.

https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBRecommendations.html
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pandas as pd

from aurora_analysis.sources.aws.answers import pages
from aurora_analysis.sources.aws.frames import utc
from aurora_analysis.sources.aws.rds import Topology
from aurora_analysis.window import Window

CATEGORY = "recommendation"
"""First word of the category of such rows in the table `events`."""

PRESENT = {"active", "pending"}
"""Statuses of recommendations that nobody has resolved or dismissed."""


class Recommendation(NamedTuple):
    """One recommendation; the instance is None if it is for the cluster or a parameter group of it."""

    time: datetime
    instance: str | None
    severity: str
    status: str
    detection: str
    advice: str


def request(rds: Any, topology: Topology, since: datetime) -> list[Recommendation]:
    """Request the recommendations for a cluster, its instances and its parameter groups, updated since a moment.

    The answer is for the whole account: those of other clusters are dropped.
    """
    found = pages(rds.describe_db_recommendations, "Marker", LastUpdatedAfter=since)
    rows = {repr(row): row for page in found for row in page.get("DBRecommendations", [])}
    listed = [one for row in rows.values() if (one := _recommendation(row, topology)) is not None]
    return sorted(listed, key=lambda one: (one.time, one.instance or "", one.detection))


def _recommendation(row: dict[str, Any], topology: Topology) -> Recommendation | None:
    kind, _, name = str(row.get("ResourceArn", "")).partition(":rds:")[2].split(":", 2)[-1].partition(":")
    groups = {group for each in topology.instances for group in each.parameter_groups}
    own = {
        "cluster": {topology.cluster},
        "cluster-pg": {topology.parameter_group} - {""},
        "db": {each.name for each in topology.instances},
        "pg": groups,
    }
    created = row.get("CreatedTime") or row.get("UpdatedTime")
    if name not in own.get(kind, set()) or created is None:
        return None
    return Recommendation(
        utc(created),
        name if kind == "db" else None,
        str(row.get("Severity") or ""),
        str(row.get("Status") or ""),
        _line(row.get("Detection") or row.get("TypeDetection") or row.get("Description")),
        _line(row.get("Recommendation") or row.get("TypeRecommendation")),
    )


def _line(text: Any) -> str:
    """Return Markdown of several lines as one line without its emphasis."""
    return " ".join(str(text or "").replace("**", "").split())


def events(found: Sequence[Recommendation], window: Window) -> pd.DataFrame:
    """Convert the recommendations that were made in a window to rows of table `events`."""
    rows = [
        {
            "time": one.time,
            "instance": one.instance,
            "category": ", ".join(filter(None, (CATEGORY, one.severity))),
            "message": ". ".join(filter(None, (one.detection.rstrip("."), one.advice))),
        }
        for one in found
        if one.time in window
    ]
    frame = pd.DataFrame(rows, columns=["time", "instance", "category", "message"])
    return frame.assign(time=frame["time"].astype("datetime64[us, UTC]")).drop_duplicates()
