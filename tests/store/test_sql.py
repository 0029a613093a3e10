"""`Store.sql`: a SELECT over the store's tables, and nothing else."""

from __future__ import annotations

import os

import pandas as pd
import pytest

from aurora_analysis import Store, Window
from aurora_analysis.errors import Error
from aurora_analysis.store.location import sample
from aurora_analysis.tables import TABLES

DAY = Window("2026-11-09", "2026-11-10")


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(sample())


@pytest.fixture
def small(tmp_path) -> Store:
    """A store with one row of one table."""
    written = Store(tmp_path / "store")
    event = pd.DataFrame({"time": [pd.Timestamp("2026-11-09T01:00Z")], "message": ["hello"]})
    written.write("events", event, DAY, cluster="shop", source="test")
    return written


def test_it_reads_what_read_reads(store):
    """Sum and number of the rows of a day, by parameters of the query."""
    query = """select count(*) as n, sum(query_time_s) as seconds, max(ended_at) as last from slow_queries
               where cluster = $cluster and ended_at >= $start and ended_at < $end"""
    found = store.sql(query, cluster="shop", start=DAY.start, end="2026-11-10").iloc[0]
    rows = store.read("slow_queries", DAY, cluster="shop")
    assert found["n"] == len(rows) > 100
    assert found["seconds"] == pytest.approx(rows["query_time_s"].sum())
    assert found["last"] == rows["ended_at"].max()


def test_times_are_utc_and_the_hour_is_the_utc_hour(store):
    """Whatever time zone the machine has."""
    query = "select time, hour(time) as hour from metrics where cluster = 'shop' and time = '2026-11-09 13:05Z' limit 1"
    found = store.sql(query).iloc[0]
    assert (found["time"], found["hour"]) == (pd.Timestamp("2026-11-09T13:05Z"), 13)


def test_a_table_that_was_never_written_has_no_rows_and_all_columns(small):
    """An ad-hoc question must not fail because nobody fetched `examples`."""
    assert small.sql("select * from examples").columns.to_list() == TABLES["examples"].column_names()
    assert len(small.sql("from events")) == 1


def test_pinned_versions_are_read(small):
    """A report's store shows its own versions, also in SQL."""
    pinned = small.at(small.versions())
    small.write(
        "events", pd.DataFrame({"time": []}).astype("datetime64[us, UTC]"), DAY, cluster="shop", source="test"
    )
    assert (len(small.sql("from events")), len(pinned.sql("from events"))) == (0, 1)
    assert small.at({}).sql("from events").empty


def test_a_pivot_and_the_list_of_tables_work(small):
    """Both only read."""
    assert small.sql("pivot (select cluster, source from events) on source using count(*)")[
        "test"
    ].to_list() == [1]
    assert set(small.sql("show tables")["name"]) == set(TABLES)
    assert small.sql("describe events")["column_name"].to_list() == TABLES["events"].column_names()


REACHES_OUT = "only tables of the store can be read; files, addresses and extensions cannot."


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("copy events to '{path}'", "only reads, and the text is a COPY statement: write a SELECT"),
        ("export database '{path}'", "an EXPORT statement"),
        ("attach '{path}'", "an ATTACH statement"),
        ("install httpfs", "a LOAD statement"),
        ("load httpfs", "a LOAD statement"),
        ("set enable_external_access = true", "a SET statement"),
        ("delete from events", "a DELETE statement"),
        ("insert into events select * from events", "an INSERT statement"),
        ("create table mine as select 1", "a CREATE statement"),
        ("select 1; copy events to '{path}'", "takes one SELECT, and the text has 2 statements"),
        ("", "takes one SELECT, and the text has 0 statements"),
        ("select * from read_csv('{file}')", REACHES_OUT),
        ("select * from read_text('{file}')", REACHES_OUT),
        ("select * from read_parquet('https://127.0.0.1:9/x.parquet')", REACHES_OUT),
        ("select * from glob('/*')", REACHES_OUT),
        ("select * from delta_scan('{file}')", REACHES_OUT),
        ("select * from '{file}'", REACHES_OUT),
        ("select * from query('copy events to ''{path}''')", "single SELECT"),
        ("select * from secret", "Table with name secret does not exist"),
        ("select * from slow_querys", 'Table with name slow_querys does not exist! Did you mean "slow_queries"?'),
        ("select usr from slow_queries", 'column "usr" not found in FROM clause! Candidate bindings: "user"'),
        ("select * frm events", 'syntax error at or near "events"'),
        ("select $cluster", "not provided for the following parameters: cluster"),
    ],
)  # fmt: skip
def test_everything_else_is_refused_in_one_line(small, tmp_path, query, says):
    """Nothing outside the store is read or written; the message names the culprit."""
    secret = pd.DataFrame({"a": [1]})  # noqa: F841  # a variable that DuckDB could find
    file, path = tmp_path / "secret.csv", tmp_path / "made"
    file.write_text("a,b\n1,2\n")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(Error) as refused:
        small.sql(query.format(file=file, path=path))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert sorted(os.listdir(tmp_path)) == before
