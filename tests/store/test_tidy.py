"""Upkeep of a table beside writers that commit meanwhile."""

from __future__ import annotations

import pandas as pd
import pytest

from aurora_analysis import Store, Window
from aurora_analysis.errors import Gone
from aurora_analysis.report import build
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


def test_a_read_begins_again_if_the_files_of_its_version_are_deleted(tmp_path, monkeypatch):
    """Compaction runs between the opening of the table and the reading of its files."""
    store, place, opened = Store(tmp_path), layout.Place(str(tmp_path), "metrics", "shop"), []
    rewrite(store, 1.0)

    def slowly(spec, cluster, own=store.open):
        table = own(spec, cluster)
        if not opened:
            rewrite(Store(tmp_path), 2.0)
            tidy.delete_superfluous(place, own(spec, cluster), grace_hours=0)
        opened.append(table.version())
        return table

    monkeypatch.setattr(store, "open", slowly)
    assert store.read("metrics", cluster="shop")["value"].tolist() == [2.0]
    assert len(opened) == 2


def test_a_file_that_is_missing_from_the_newest_version_is_an_error(tmp_path):
    """Nobody has committed since, so that another look would find the same."""
    store = Store(tmp_path)
    rewrite(store, 1.0)
    [file] = tmp_path.rglob("week=*/*.parquet")
    file.unlink()
    with pytest.raises(Gone, match=r"its file \S+ is missing"):
        store.read("metrics", cluster="shop")


def test_a_report_keeps_versions_that_are_the_newest_once_they_are_kept(tmp_path, monkeypatch):
    """Others rewrite and compact while the report marks its versions: it reads what nobody may delete any more."""
    store, place = Store(tmp_path), layout.Place(str(tmp_path), "metrics", "shop")
    rewrite(store, 1.0)
    keep, rounds = Store.keep, []

    def late(self, duration, versions):
        if len(rounds) < 2:
            rewrite(store, float(len(rounds) + 2))
            tidy.compact(place, opening.opened(str(tmp_path), TABLES["metrics"], "shop"), grace_hours=0)
        rounds.append(versions)
        keep(self, duration, versions)

    monkeypatch.setattr(Store, "keep", late)
    reading = build._opened(build.Request(str(tmp_path), clusters=("shop",)))
    rewrite(store, 9.0)
    store.compact()
    assert reading.read("metrics", cluster="shop")["value"].tolist() == [3.0]
