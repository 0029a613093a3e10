"""Names of clusters, instances, metrics and tables: empty ones are refused, misspelt ones are corrected."""

from __future__ import annotations

from datetime import date
from functools import partial

import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

from aurora_analysis import Store, Window, observe
from aurora_analysis.cli import main
from aurora_analysis.errors import Error
from aurora_analysis.store import delta
from aurora_analysis.tables import TABLES

DAY = Window("2026-11-09", "2026-11-10")
START = pd.DatetimeIndex([DAY.start]).as_unit("us")
END = pd.DatetimeIndex([DAY.end]).as_unit("us")
COVERED = pd.DataFrame({"time": START, "end": END, "table": "metrics"})
HISTORY = pd.DataFrame(
    {
        "time": START,
        "period_s": 60.0,
        "instance": "db-1",
        "name": "history_list_length",
        "statistic": "average",
        "value": 1.0,
    }
)
STATEMENT = pd.DataFrame({"digest": ["d1"], "first_seen": START, "last_seen": START})


@pytest.fixture
def store(tmp_path) -> Store:
    """A store with the clusters lab and shop."""
    opened = Store(tmp_path / "store")
    for cluster in ("lab", "shop"):
        opened.write("coverage", COVERED, DAY, cluster=cluster, source="test")
    opened.write("metrics", HISTORY, DAY, cluster="shop", source="test")
    return opened


def test_versions_of_a_misspelt_cluster_are_an_error(store):
    """Also if the store is pinned to versions; a caller who expects clusters without data says so."""
    for opened in (store, store.at(store.versions())):
        with pytest.raises(Error, match=r"no cluster 'shopp' \(it has: lab, shop\): did you mean 'shop'"):
            opened.versions(["shop", "shopp"])
        assert set(opened.versions(["shop", "shopp"], missing_ok=True)) == {"shop"}


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_cluster_is_refused_at_every_write(tmp_path, name):
    """An unset shell variable must not leave rows that belong to nobody."""
    store, spec = Store(tmp_path), TABLES["statements"]
    with pytest.raises(Error, match="The cluster name is empty"):
        store.write("metrics", HISTORY, DAY, cluster=name, source="test")
    with pytest.raises(Error, match="The cluster name is empty"):
        store.merge("statements", STATEMENT, cluster=name, source="test")
    with pytest.raises(Error, match="The cluster name is empty"):
        delta.rows(spec, {"first_seen": [0]}, cluster=name, source="test")
    rows = delta.rows(spec, {"first_seen": [0]}, cluster="shop", source="test")
    with pytest.raises(Error, match="The cluster name is empty"):
        delta.replace(str(tmp_path), spec, rows, delta.Slice(DAY, name, "test"))
    assert store.versions() == {}


def test_an_empty_instance_is_refused_at_every_write(tmp_path):
    """Also in a column of the frame; null stays allowed, for the cluster's own rows."""
    store, spec = Store(tmp_path), TABLES["slow_queries"]
    with pytest.raises(Error, match="The instance name is empty"):
        store.write("metrics", HISTORY, DAY, cluster="shop", source="test", instance="")
    with pytest.raises(Error, match="The instance name is empty"):
        store.write("metrics", HISTORY.assign(instance=""), DAY, cluster="shop", source="test")
    with pytest.raises(Error, match="The instance name is empty"):
        delta.rows(spec, {"ended_at": [0], "instance": [""]}, cluster="shop", source="test")
    with pytest.raises(Error, match="The instance name is empty"):
        delta.replace(str(tmp_path), spec, pa.table({}), delta.Slice(DAY, "shop", "test", ""))
    store.write("metrics", HISTORY.assign(instance=None), DAY, cluster="shop", source="test")
    assert len(store.read("metrics", DAY, cluster="shop")) == 1


def test_a_cluster_whose_rows_were_all_deleted_is_no_longer_listed(store):
    """Its folders are still there."""
    assert store.clusters() == ["lab", "shop"]
    assert len(store.coverage(DAY, cluster="shop")) == 1
    assert store.span("lab") == DAY
    assert store.read("metrics", DAY, cluster="shop")["cluster"].tolist() == ["shop"]
    assert observe(store, DAY, "shop").metric("history_list_length", instance="db-1").tolist() == [1.0]
    assert store.write("metrics", HISTORY, DAY, cluster="shop", source="test") is None
    store.compact()
    store.prune(pd.Timestamp("2026-11-10").date())
    assert store.clusters() == []


def test_a_misspelt_cluster_names_what_there_is(store):
    """An empty frame would be taken for a cluster without data."""
    wanted = r"no cluster 'shopp' \(it has: lab, shop\): did you mean 'shop'\?"
    for read in (
        lambda: store.read("metrics", cluster="shopp"),
        lambda: store.read("slow_queries", DAY, cluster="shopp"),
        lambda: store.metric("history_list_length", DAY, cluster="shopp"),
        lambda: store.coverage(DAY, cluster="shopp"),
        lambda: store.span("shopp"),
        lambda: observe(store, DAY, "shopp"),
    ):
        with pytest.raises(Error, match=wanted):
            read()


def test_a_misspelt_instance_names_what_there_is(store):
    """An empty frame would be taken for an instance without data; one without rows in a table has none there."""
    store.write("coverage", COVERED.assign(instance="db-2"), DAY, cluster="shop", source="log")
    wanted = r"Cluster shop has no instance 'db-11' \(it has: db-1, db-2\): did you mean 'db-1'\?"
    for read in (
        lambda: store.read("metrics", cluster="shop", instance="db-11"),
        lambda: store.metric("history_list_length", DAY, cluster="shop", instance="db-11"),
        lambda: observe(store, DAY, "shop").metric("history_list_length", instance="db-11"),
    ):
        with pytest.raises(Error, match=wanted):
            read()
    assert store.read("metrics", cluster="shop", instance="db-2").empty
    assert store.read("metrics", cluster="shop", instance="db-11", missing_ok=True).empty
    assert store.read("metrics", cluster="lab", instance="any").empty


def test_looking_before_the_first_write_is_allowed(store, tmp_path):
    """A new store has no clusters to confuse a name with; another one's callers say missing_ok."""
    assert Store(tmp_path / "new").read("metrics", DAY, cluster="shop").empty
    assert store.read("metrics", DAY, cluster="new", missing_ok=True).empty
    assert store.coverage(DAY, cluster="new", missing_ok=True).empty


def test_a_cluster_without_coverage_is_known_by_its_rows(store):
    """A read that finds nothing in one table does not deny a cluster that another table has."""
    store.write("trials", COVERED[["time", "end"]], DAY, cluster="trial", source="test")
    assert store.read("metrics", DAY, cluster="trial").empty


def test_a_misspelt_metric_names_the_metrics(store):
    """A metric of the glossary without values is an empty series, and no error."""
    assert store.metric("commit_latency", DAY, cluster="shop").empty
    assert observe(store, DAY, "shop").metric("commit_latency").empty
    assert store.metrics(["commit_latency"], DAY, cluster="shop").empty
    wanted = "no metric 'history_list' .*did you mean 'history_list_length'"
    with pytest.raises(Error, match=wanted):
        store.metric("history_list", DAY, cluster="shop")
    with pytest.raises(Error, match=wanted):
        store.metrics(["commit_latency", "history_list"], DAY, cluster="shop")
    with pytest.raises(Error, match=wanted):
        observe(store, DAY, "shop").metric("history_list")
    with pytest.raises(Error, match=wanted):
        observe(store, DAY, "shop").metrics(["history_list"])


def test_a_misspelt_statistic_names_the_statistics(store):
    """A statistic that the metric merely lacks is an empty series, and no error."""
    assert store.metric("commit_latency", DAY, cluster="shop", statistic="p95").empty
    wanted = "no statistic 'maximun' .*did you mean 'maximum'"
    with pytest.raises(Error, match=wanted):
        store.metric("commit_latency", DAY, cluster="shop", statistic="maximun")
    with pytest.raises(Error, match=wanted):
        observe(store, DAY, "shop").metric("commit_latency", statistic="maximun")


@pytest.mark.parametrize(
    "query", [{"columns": ["valu"]}, {"where": {"valu": 1.0}}, {"at_least": {"valu": 1.0}}]
)
def test_a_misspelt_column_names_the_columns(store, query):
    """Neither an empty column nor a message of Arrow."""
    wanted = "metrics has no column 'valu' .*did you mean 'value'"
    with pytest.raises(Error, match=wanted):
        store.read("metrics", cluster="shop", **query)
    with pytest.raises(Error, match=wanted):
        observe(store, DAY, "shop").table("metrics", **query)


@pytest.mark.parametrize("command", ["coverage", "compact", "prune"])
def test_upkeep_of_a_misspelt_cluster_is_refused(store, command):
    """Nothing is done and nothing claimed: exit code 2, with the clusters that there are."""
    typed = ["store", command, "--store", store.location, "--cluster", "shopp"]
    done = CliRunner().invoke(main, typed)
    assert done.exit_code == 2 and "no cluster 'shopp'" in done.output
    for act in (store.compact, partial(store.prune, date(2026, 11, 9))):
        with pytest.raises(Error, match="no cluster 'shopp'"):
            act(clusters=["shopp"])


def test_a_misspelt_table_names_the_tables(store):
    """The caller's mistake, hence a ValueError."""
    with pytest.raises(ValueError, match=r"no table 'metric' .*did you mean 'metrics'"):
        store.read("metric", cluster="shop")


def test_what_is_neither_a_store_nor_a_window_is_refused(store):
    """None, from a variable that is not set, must not open a folder of that name."""
    with pytest.raises(Error, match=r"^None is not a store: name a folder or an s3:// prefix"):
        Store(None)
    with pytest.raises(Error, match=r"'2026-W46' is not a window: pass Window"):
        observe(store, "2026-W46", "shop")
