"""A recorded cluster is copied into the sample whole, and a second copy changes nothing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from sample_cluster import SAMPLE, copy, forget_places

from aurora_analysis.store import Store
from aurora_analysis.window import Window

WINDOW = Window("2026-11-29T17:00", "2026-11-29T17:02")


def recorded(location) -> Store:
    """A store with metrics of two sources, a statement, and coverage."""
    store = Store(location)
    times = pd.to_datetime(["2026-11-29T17:00:00", "2026-11-29T17:01:00"], utc=True).as_unit("us")
    rows = pd.DataFrame({"time": times, "period_s": 60.0, "instance": "w", "name": "dead_rows", "value": 1.0})
    for source in ("live", "lab"):
        store.write("metrics", rows, WINDOW, cluster="ledger", source=source)
    statement = pd.DataFrame({"digest": ["d"], "fingerprint": ["select ?"], "first_seen": times[:1]})
    store.merge("statements", statement, cluster="ledger", source="live")
    covered = pd.DataFrame(
        {
            "time": times[:1],
            "end": [pd.Timestamp(WINDOW.end).as_unit("us")],
            "table": "metrics",
            "received": 2.0,
        }
    )
    store.write("coverage", covered, WINDOW, cluster="ledger", source="live")
    return store


def test_every_row_is_copied_beside_the_other_clusters(tmp_path):
    """With its source, in one commit per table and source; nothing is copied twice."""
    store, sample = recorded(tmp_path / "recorded"), Store(tmp_path / "sample")
    copy(store, sample, "ledger")
    versions = sample.versions()
    copy(store, sample, "ledger")
    assert sample.versions() == versions
    for table in ("metrics", "statements", "coverage"):
        pd.testing.assert_frame_equal(
            sample.read(table, cluster="ledger"), store.read(table, cluster="ledger"), check_like=True
        )


def places(folder: Path) -> list[Path]:
    """Logs that name the folder in which a table was created."""
    return [log for log in folder.rglob("_delta_log/*.json") if '"location":' in log.read_text()]


def test_no_committed_table_names_the_folder_in_which_it_was_created(tmp_path):
    """delta-rs notes it; it is a path of somebody's machine."""
    store = recorded(tmp_path)
    assert places(tmp_path)
    before = store.versions(), store.read("metrics", cluster="ledger")
    forget_places(tmp_path)
    assert places(tmp_path) == []
    assert Store(tmp_path).versions() == before[0]
    pd.testing.assert_frame_equal(Store(tmp_path).read("metrics", cluster="ledger"), before[1])
    assert places(SAMPLE.parent) == []
