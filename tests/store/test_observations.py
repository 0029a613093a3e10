"""Observations: one window of one cluster, each table read once, roles joined."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from aurora_analysis import Observations, Store, Window, observe
from aurora_analysis.errors import Error
from aurora_analysis.store.store import Store as Opened
from aurora_analysis.tables import TABLES

DAY = Window("2026-11-09", "2026-11-10")


def times(*texts: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([pd.Timestamp(f"2026-11-{text}Z") for text in texts]).as_unit("us")


def hourly(instance: str, value: float, name: str = "commit_latency") -> pd.DataFrame:
    """A metric of one value, hour by hour."""
    index = pd.date_range(DAY.start, DAY.end, freq="h", inclusive="left", unit="us")
    columns = {"period_s": 3600.0, "instance": instance, "name": name, "statistic": "average"}
    return pd.DataFrame({"time": index, **columns, "value": value})


@pytest.fixture
def store(tmp_path) -> Store:
    """A cluster of two instances whose writer fails over at noon."""
    opened = Store(tmp_path / "store")
    roles = pd.DataFrame(
        {
            "time": times("08T00:00", "08T00:00", "09T12:00", "09T12:00"),
            "instance": ["db-1", "db-2"] * 2,
            "role": ["writer", "reader", "reader", "writer"],
        }
    )
    covered = pd.DataFrame({"time": times("09T00:00"), "end": times("10T00:00"), "table": "metrics"})
    slow = pd.DataFrame(
        {
            "started_at": times("09T11:30"),
            "ended_at": times("09T12:30"),
            "instance": "db-2",
            "digest": "d1",
            "query_time_s": 3600.0,
        }
    )
    both = pd.concat([hourly("db-1", 1.0), hourly("db-2", 2.0), hourly("db-1", 9.0, "connections")])
    write = {"cluster": "shop", "source": "test"}
    opened.write("instances", roles, Window("2026-11-08", DAY.end), **write)
    opened.write("coverage", covered, DAY, **write)
    opened.write("slow_queries", slow, DAY, **write)
    opened.write("metrics", both, DAY, **write)
    text = pd.DataFrame({"digest": ["d1"], "fingerprint": ["select ?"], "first_seen": times("09T11:30")})
    opened.merge("statements", text, **write)
    return opened


@pytest.fixture
def data(store) -> Observations:
    return observe(store, DAY, "shop")


@pytest.fixture
def reads(monkeypatch) -> Counter[str]:
    """How often each table is read from the store."""
    counted: Counter[str] = Counter()
    whole = Opened._rows

    def count(self, spec, *how):
        counted[spec.name] += 1
        return whole(self, spec, *how)

    monkeypatch.setattr(Opened, "_rows", count)
    return counted


def test_each_table_is_read_once(data, reads):
    """However often rows, roles, terms and metrics are used, and over other windows too."""
    for _ in range(3):
        data.table("slow_queries")
        data.table("db_load")
        data.metric("commit_latency")
        assert len(data.instances)
        assert len(data.writers)
        assert len(data.coverage)
        assert len(data.fingerprints)
    data.previous().table("db_load")
    assert reads == {
        "slow_queries": 1,
        "db_load": 2,
        "metrics": 1,
        "instances": 1,
        "coverage": 1,
        "statements": 1,
    }


def test_rows_have_the_role_of_their_time(data):
    """A failover at noon moves the role; an execution has the role that its instance had when it started."""
    rows = data.table("metrics", where={"name": "commit_latency"})
    assert rows[rows["role"] == "writer"]["value"].tolist() == [1.0] * 12 + [2.0] * 12
    assert data.table("slow_queries")["role"].tolist() == ["reader"]
    assert [rows["role"].tolist() for rows in data.days("slow_queries")] == [["reader"]]


def test_a_frame_can_be_changed_without_changing_the_data(data):
    """The next call returns what the store has."""
    rows = data.table("metrics", where={"name": "commit_latency"})
    rows["value"] = 0.0
    again = data.table("metrics", where={"name": "commit_latency"})
    assert again["value"].iloc[0] == 1.0
    assert data.metric("commit_latency").iloc[0] == 1.0


def test_metrics_are_the_writers(data, store):
    """The same as the store's own, for one metric and for several; an instance may be named."""
    one = store.metric("commit_latency", DAY, cluster="shop")
    several = store.metrics(["connections", "commit_latency"], DAY, cluster="shop")
    pd.testing.assert_series_equal(data.metric("commit_latency"), one)
    pd.testing.assert_frame_equal(data.metrics(["connections", "commit_latency"]), several)
    assert data.metric("commit_latency", instance="db-2").tolist() == [2.0] * 24
    assert list(several) == ["connections", "commit_latency"]


def test_writers_and_instances_are_those_of_the_window(data, store):
    """The row of the day before holds when the window begins."""
    pd.testing.assert_frame_equal(data.writers, store.writers(DAY, cluster="shop"))
    pd.testing.assert_frame_equal(data.instances, store.instances(DAY, cluster="shop"))
    assert data.writers["writer"].tolist() == ["db-1", "db-2"]
    assert data.fingerprints.to_dict("list") == {"digest": ["d1"], "fingerprint": ["select ?"]}
    assert data.span == DAY


def test_other_windows_have_the_same_cluster(data):
    """The earlier window is the previous one, a longer one, or a named baseline."""
    assert data.previous().window == DAY.previous() == data.against().window
    assert data.at_least(7).window == Window("2026-11-03", "2026-11-10")
    assert data.against("2026-11-01/2026-11-02").window == Window("2026-11-01", "2026-11-02")
    assert {data.previous().cluster, data.at_least(2).cluster} == {"shop"}


def test_an_unknown_cluster_is_refused_by_name(store):
    """The error lists the clusters that there are."""
    with pytest.raises(Error, match=r"no cluster 'crm' \(it has: shop\): fetch or ingest it first"):
        observe(store, DAY, "crm")


def test_a_window_without_data_has_the_right_columns(data):
    """Every table is an empty frame, every metric an empty series."""
    before = data.previous().previous()
    for name, spec in TABLES.items():
        rows = before.table(name)
        assert rows.empty
        assert set(spec.column_names()) <= set(rows.columns)
    assert "role" in before.table("metrics")
    assert before.metric("commit_latency").empty
    assert before.metrics(["commit_latency"]).empty
    assert before.coverage.empty


@pytest.fixture
def behind_endpoints(store) -> Observations:
    """The same cluster: db-2 is behind two custom endpoints as long as it is a reader."""
    states = store.read("instances", cluster="shop").drop(columns=["cluster", "week", "source"])
    reads = (states["instance"] == "db-2") & (states["role"] == "reader")
    states = states.assign(custom_endpoints=np.where(reads, "reports, analytics", None))
    example = pd.DataFrame({"time": times("09T12:30"), "digest": ["d1"], "text": ["SELECT 7"]})
    store.write("instances", states, Window("2026-11-08", DAY.end), cluster="shop", source="test")
    store.write("examples", example, DAY, cluster="shop", source="test")
    return observe(store, DAY, "shop")


def test_slow_queries_come_with_text_role_and_endpoint(behind_endpoints):
    """Where the execution began, although its instance was promoted before it ended."""
    (row,) = behind_endpoints.slow_queries().to_dict("records")
    assert (row["fingerprint"], row["example"], row["role"]) == ("select ?", "SELECT 7", "reader")
    assert row["endpoint"] == "reports, analytics"


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"endpoint": "analytics"}, 1),
        ({"endpoint": ["analytics", "nosuch"]}, 1),
        ({"endpoint": "analy"}, 0),
        ({"role": "writer"}, 0),
        ({"digest": "d1", "role": "reader"}, 1),
        ({"digest": "d2"}, 0),
        ({"at_least_s": 3600.0}, 1),
        ({"at_least_s": 3601.0}, 0),
    ],
)
def test_slow_queries_are_selected_by_any_column(behind_endpoints, where, found):
    """Columns of the table, and those that are joined."""
    assert len(behind_endpoints.slow_queries(**where)) == found


def test_an_unknown_column_is_refused_by_name(behind_endpoints):
    """One line with what was probably meant."""
    with pytest.raises(
        Error, match=r"slow_queries has no column 'usr' \(it has: .*endpoint.*\): did you mean 'user'\?"
    ):
        behind_endpoints.slow_queries(usr="etl")


@pytest.mark.parametrize(
    ("moment", "count"), [("09T11:29", 0), ("09T11:30", 1), ("09T12:29", 1), ("09T12:30", 0)]
)
def test_what_ran_at_a_moment(behind_endpoints, moment, count):
    """From its start, inclusive, to its end, exclusive."""
    assert len(behind_endpoints.running_at(times(moment)[0])) == count


def test_a_cluster_without_executions_has_the_same_columns(behind_endpoints):
    """An empty window groups by endpoint like any other."""
    empty = behind_endpoints.over(Window("2026-12-01", "2026-12-02")).slow_queries(role="reader")
    assert empty.empty
    assert {"role", "endpoint", "fingerprint", "example"} <= set(empty)
