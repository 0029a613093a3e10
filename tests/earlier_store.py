"""A store in the layout of earlier versions: all clusters in one table, a folder for each day."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
from deltalake import write_deltalake

from aurora_analysis.store import frames
from aurora_analysis.tables import TABLES

DAYS = {"shop": 20, "Lab": 2}
"""Cluster → its days, a row a day."""


def make(place: Path) -> None:
    """Write the store. A row of its metrics has no cluster, and a file beside its tables is not Delta's."""
    for cluster, days in DAYS.items():
        for name in ("metrics", "coverage"):
            spec = TABLES[name]
            times = pd.date_range("2026-11-01", periods=days, freq="D", tz="UTC", unit="us")
            frame = pd.DataFrame({"time": times, "instance": "db-1"})
            rows = frames.to_arrow(frame, spec, cluster=cluster, source="test").to_pandas()
            rows = rows.drop(columns="week").assign(day=times.strftime("%Y-%m-%d"))
            write_deltalake(f"{place}/{name}", rows, mode="append", partition_by=["cluster", "day"])
    nameless = pa.table({"cluster": pa.nulls(1, pa.string()), "day": ["2026-11-01"], "time": [times[0]]})
    write_deltalake(f"{place}/metrics", nameless, mode="append", schema_mode="merge")
    (place / "README.md").write_text("ours")
