"""Upkeep of a table beside writers that commit meanwhile."""

from __future__ import annotations

import pandas as pd

from aurora_analysis import Store, Window
from aurora_analysis.store import layout, opening, tidy
from aurora_analysis.tables import TABLES

DAY = Window("2026-11-09", "2026-11-10")


def rewrite(store: Store, value: float) -> None:
    """Replace the day's only value, so that the file of the earlier one is superfluous."""
    row = {"time": [pd.Timestamp(DAY.start).as_unit("us")], "period_s": 60.0, "instance": "a", "value": value}
    frame = pd.DataFrame(row | {"name": "connections", "statistic": "average"})
    store.write("metrics", frame, DAY, cluster="shop", source="test")


def test_superfluous_files_are_deleted_although_another_writer_commits(tmp_path):
    """The table was opened before a commit that replaced a file of its version: no error, and one file stays."""
    store, place = Store(tmp_path), layout.Place(str(tmp_path), "metrics", "shop")
    for value in (1.0, 2.0):
        rewrite(store, value)
    table = opening.opened(str(tmp_path), TABLES["metrics"], "shop")
    rewrite(store, 3.0)
    tidy.delete_superfluous(place, table, grace_hours=0)
    assert len([*tmp_path.rglob("week=*/*.parquet")]) == 1
    assert store.read("metrics", cluster="shop")["value"].tolist() == [3.0]
