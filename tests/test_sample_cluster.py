"""A recorded cluster is copied into the sample whole, and a second copy changes nothing."""

from __future__ import annotations

import pandas as pd
from sample_cluster import copy

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
