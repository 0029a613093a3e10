"""Stores in folders whose names delta-rs cannot address."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pandas as pd
import pytest

from aurora_analysis import Store, Window
from aurora_analysis.errors import Error
from aurora_analysis.store import delta, merging
from aurora_analysis.tables import TABLES

DAY = Window("2026-11-09", "2026-11-10")
AWKWARD = ["feature%2Forders", "build[2]", "feature%2Forders[2]"]
SPAWN = multiprocessing.get_context("spawn")


def values(value: float, hour: int = 0) -> tuple[pd.DataFrame, Window]:
    """One value of a metric, and the hour that it fills."""
    window = Window(f"2026-11-09T{hour:02}:00", f"2026-11-09T{hour + 1:02}:00")
    columns = {"period_s": 3600.0, "instance": "db-1", "name": "connections", "statistic": "average"}
    times = pd.DatetimeIndex([window.start]).as_unit("us")
    return pd.DataFrame({"time": times, **columns, "value": value}), window


def write_hours(location: str, source: str) -> None:
    """Write twelve hours, one commit each."""
    for hour in range(12):
        frame, window = values(float(hour), hour)
        Store(location).write("metrics", frame, window, cluster="shop", source=source)


@pytest.mark.parametrize("name", AWKWARD)
def test_a_store_in_an_awkward_folder_is_written_and_read(tmp_path, name):
    """Jenkins names a branch's workspace feature%2Forders: the store lies exactly there, and nowhere else."""
    store = Store(tmp_path / name / "store")
    frame, window = values(1.0)
    store.write("metrics", frame, window, cluster="shop", source="test")
    assert store.write("metrics", frame, window, cluster="shop", source="test") is None
    frame, window = values(2.0)
    assert store.write("metrics", frame, window, cluster="shop", source="test") is not None
    assert store.read("metrics", DAY, cluster="shop")["value"].tolist() == [2.0]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert list((tmp_path / name / "store" / "metrics").glob("cluster=shop/week=*/*.parquet"))


@pytest.mark.parametrize("cluster", ["Shop", "a b", "ö", "feature/orders[2]%2F"])
def test_an_awkward_folder_takes_every_cluster_name(tmp_path, cluster):
    """The names of the store and of the cluster are quoted apart from each other."""
    store = Store(tmp_path / "feature%2Forders")
    for value in (1.0, 2.0):
        frame, window = values(value)
        store.write("metrics", frame, window, cluster=cluster, source="test")
    assert store.read("metrics", DAY, cluster=cluster)["value"].tolist() == [2.0]
    assert store.versions() == {cluster: {"metrics": 2}}
    assert int(store.sql("select count(*) as n from metrics where cluster = $c", c=cluster)["n"].iloc[0]) == 1


@pytest.mark.parametrize("name", AWKWARD)
def test_an_awkward_folder_takes_logs_and_upkeep(tmp_path, name):
    """`ingest` writes through `delta`; compacting and pinned versions work too."""
    location = str(tmp_path / name)
    columns = {"digest": ["d1"], "fingerprint": ["select ?"], "first_seen": [0], "last_seen": [0]}
    rows = delta.rows(TABLES["statements"], columns, cluster="shop", source="slow_log")
    merging.merge(location, TABLES["statements"], rows)
    assert merging.merge(location, TABLES["statements"], rows) is None
    write_hours(location, "test")
    store = Store(location)
    then = store.versions()
    store.compact()
    assert store.read("metrics", DAY, cluster="shop")["value"].tolist() == [float(n) for n in range(12)]
    assert store.read("statements", cluster="shop")["digest"].tolist() == ["d1"]
    assert len(list(Path(location).glob("metrics/cluster=shop/week=*/*.parquet"))) == 1
    with pytest.raises(Error, match="metrics of shop at version"):
        store.at({"shop": {"metrics": then["shop"]["metrics"] + 99}}).read("metrics", DAY, cluster="shop")


def test_a_relative_path_is_resolved(tmp_path, monkeypatch):
    """The awkward part may be the working folder's own name."""
    (tmp_path / "a[b]").mkdir()
    monkeypatch.chdir(tmp_path / "a[b]")
    write_hours("store", "test")
    assert len(Store("store").read("metrics", DAY, cluster="shop")) == 12
    assert (tmp_path / "a[b]" / "store" / "metrics").is_dir()


def test_concurrent_writers_in_an_awkward_folder_lose_nothing(tmp_path):
    """Two processes commit into one table: every hour of each is there."""
    location = str(tmp_path / "feature%2Forders")
    writers = [SPAWN.Process(target=write_hours, args=(location, f"source {n}")) for n in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0]
    rows = Store(location).read("metrics", DAY, cluster="shop")
    assert rows.groupby("source").size().to_dict() == {"source 0": 12, "source 1": 12}
