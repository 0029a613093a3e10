"""The store, with real processes: nothing is lost, nothing is half-written."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from aurora_analysis import Store, Window
from aurora_analysis.cli import main
from aurora_analysis.errors import Error
from aurora_analysis.store.opening import NO_ACTION

DAY = Window("2026-11-09", "2026-11-10")
SPAWN = multiprocessing.get_context("spawn")


def history(
    window: Window = DAY, value: float = 1.0, instance: str = "db-1", freq: str = "h"
) -> pd.DataFrame:
    """A history list of one value, hour by hour."""
    times = pd.date_range(window.start, window.end, freq=freq, inclusive="left", unit="us")
    return pd.DataFrame(
        {
            "time": times,
            "period_s": 3600.0,
            "instance": instance,
            "name": "history_list_length",
            "statistic": "average",
            "value": value,
        }
    )


def write(store: Store, window: Window = DAY, value: float = 1.0, instance: str = "db-1") -> int | None:
    return store.write(
        "metrics", history(window, value, instance), window, cluster="shop", source="test", instance=instance
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_written_frame_is_read_back(store):
    """A frame comes back with its times in UTC and its partitions filled in."""
    write(store)
    rows = store.read("metrics", DAY, cluster="shop")
    assert len(rows) == 24
    assert str(rows["time"].dtype) == "datetime64[us, UTC]"
    assert set(rows["week"]) == {"2026-W46"}


def test_only_the_rows_wanted_are_read(store):
    """One value of a column, or one of several."""
    for instance in ("db-1", "db-2", "db-3"):
        write(store, instance=instance)
    one = store.read("metrics", DAY, cluster="shop", where={"instance": "db-2"})
    several = store.read("metrics", DAY, cluster="shop", where={"instance": ["db-1", "db-3"]})
    assert set(one["instance"]) == {"db-2"}
    assert set(several["instance"]) == {"db-1", "db-3"}


def test_a_table_that_was_never_written_is_empty(store):
    """Nothing there is an empty frame with the right columns, not an error."""
    assert store.read("slow_queries", DAY, cluster="shop").empty
    assert "query_time_s" in store.read("slow_queries", DAY, cluster="shop")


def test_writing_a_window_replaces_it_and_nothing_else(store):
    """Hours before and after, other instances and other sources stay."""
    write(store)
    write(store, instance="db-2")
    noon = Window("2026-11-09T12:00", "2026-11-09T14:00")
    write(store, noon, value=7.0)
    values = store.read("metrics", DAY, cluster="shop", instance="db-1").value
    assert (values == 7.0).sum() == 2
    assert len(values) == 24
    assert (store.read("metrics", DAY, cluster="shop", instance="db-2").value == 1.0).all()


def test_an_empty_frame_empties_the_window(store):
    """Rows that the source no longer returns are removed."""
    write(store)
    store.write("metrics", history().iloc[:0], DAY, cluster="shop", source="test")
    assert store.read("metrics", DAY, cluster="shop").empty


def test_the_same_content_makes_no_commit(store):
    """Fetched twice is written once, in whatever order the rows come."""
    assert write(store) == 1
    shuffled = history().sample(frac=1, random_state=3)
    assert store.write("metrics", shuffled, DAY, cluster="shop", source="test", instance="db-1") is None
    assert store.versions() == {"shop": {"metrics": 1}}


def test_rows_outside_the_window_are_refused(store):
    """A write never touches what it did not name."""
    with pytest.raises(ValueError, match="not all inside"):
        store.write("metrics", history(DAY.previous()), DAY, cluster="shop", source="test")


def test_an_unknown_column_is_refused(store):
    """A column that tables.py does not know is a mistake."""
    with pytest.raises(ValueError, match="no column colour"):
        store.write("metrics", history().assign(colour="red"), DAY, cluster="shop", source="test")


def executions(**changes: object) -> pd.DataFrame:
    """Two slow queries of one connection."""
    ends = pd.to_datetime(["2026-11-09T01:00Z", "2026-11-09T02:00Z"]).as_unit("us")
    plain = {
        "started_at": ends - pd.Timedelta("40min"),
        "ended_at": ends,
        "instance": "db-2",
        "digest": "d1",
        "thread_id": 7,
        "query_time_s": 2400.0,
        "lock_time_s": 0.0,
        "ordinal": 0,
    }
    return pd.DataFrame(plain | changes)


def test_overlapping_files_merge_in_either_order(tmp_path):
    """The first and the second hour, then the second and the third: three executions, in any order."""
    early, late = (
        executions(),
        executions().assign(ended_at=lambda rows: rows["ended_at"] + pd.Timedelta("1h")),
    )
    tables = []
    for name, files in {"a": (early, late), "b": (late, early)}.items():
        store = Store(tmp_path / name)
        for file in files:
            store.merge("slow_queries", file, cluster="shop", source="slow log")
        assert store.merge("slow_queries", early, cluster="shop", source="again") is None
        tables.append(store.read("slow_queries", cluster="shop").drop(columns="started_at"))
    assert len(tables[0]) == 3
    pd.testing.assert_frame_equal(*tables)


def test_a_statement_seen_again_was_seen_for_longer(store):
    """The span from a digest's first to its last execution widens to both sides, across days."""
    seen = pd.to_datetime(["2026-11-09T12:00Z", "2026-11-08T12:00Z", "2026-11-12T12:00Z"]).as_unit("us")
    for moment in seen:
        frame = pd.DataFrame(
            {"digest": ["d1"], "fingerprint": ["select ?"], "first_seen": [moment], "last_seen": [moment]}
        )
        store.merge("statements", frame, cluster="shop", source="slow log")
    known = store.read("statements", cluster="shop")
    assert known[["first_seen", "last_seen", "week"]].to_numpy().tolist() == [[seen[1], seen[2], "2026-W45"]]


def statements(*digests: str, seen: str = "2026-11-09T12:00Z") -> pd.DataFrame:
    """Digests that were executed at one time."""
    moment = pd.Timestamp(seen).as_unit("us")
    return pd.DataFrame(
        {"digest": digests, "fingerprint": "select ?", "first_seen": moment, "last_seen": moment}
    )


def test_a_new_statement_leaves_the_others_files_alone(store):
    """Only the file of a row that occurs again is rewritten, however many files there are."""
    for digest, hour in (("d1", "10"), ("d2", "11"), ("d3", "12")):
        seen = f"2026-11-09T{hour}:00Z"
        store.merge("statements", statements(digest, seen=seen), cluster="shop", source="slow log")
    before = set(DeltaTable(f"{store.location}/statements/cluster=shop").file_uris())
    store.merge(
        "statements", statements("d2", "d4", seen="2026-11-09T13:00Z"), cluster="shop", source="slow log"
    )
    assert len(before) == 3
    assert len(before - set(DeltaTable(f"{store.location}/statements/cluster=shop").file_uris())) == 1
    known = store.read("statements", cluster="shop").set_index("digest")
    assert known["first_seen"].dt.hour.to_dict() == {"d1": 10, "d2": 11, "d3": 12, "d4": 13}
    assert known["last_seen"].dt.hour.to_dict() == {"d1": 10, "d2": 13, "d3": 12, "d4": 13}


def test_rows_that_nothing_tells_apart_are_refused(store):
    """An identity has no gaps; equal rows are one."""
    with pytest.raises(ValueError, match="rows of statements lack digest"):
        store.merge("statements", statements(None), cluster="shop", source="slow log")
    store.merge("statements", statements("d1", "d1"), cluster="shop", source="slow log")
    assert len(store.read("statements", cluster="shop")) == 1


def test_overlapping_reads_what_ran_in_the_window(store):
    """A query that began before the window or ended after it ran in it."""
    store.merge("slow_queries", executions(), cluster="shop", source="slow log")
    half_past = Window("2026-11-09T00:30", "2026-11-09T00:40")
    assert store.read("slow_queries", half_past, cluster="shop").empty
    assert len(store.read("slow_queries", half_past, cluster="shop", overlapping=True)) == 1


def test_the_writers_metric_follows_the_role(store):
    """After a failover the writer's series is the other instance's."""
    roles = pd.DataFrame(
        {
            "time": pd.to_datetime(["2026-11-09T00:00Z"] * 2 + ["2026-11-09T12:00Z"] * 2).as_unit("us"),
            "instance": ["db-1", "db-2"] * 2,
            "role": ["writer", "reader", "reader", "writer"],
        }
    )
    store.write("instances", roles, DAY, cluster="shop", source="test")
    write(store, value=1.0, instance="db-1")
    write(store, value=2.0, instance="db-2")
    series = store.metric("history_list_length", DAY, cluster="shop")
    assert series.tolist() == [1.0] * 12 + [2.0] * 12
    noon = pd.Timestamp("2026-11-09T12:00Z")
    assert store.writers(DAY, cluster="shop").to_numpy().tolist() == [
        [DAY.start, noon, "db-1"],
        [noon, DAY.end, "db-2"],
    ]


def test_pinned_versions_read_what_was_there(store):
    """A report can be run again on the versions that it recorded after newer data were written."""
    write(store)
    then = store.versions()
    write(store, value=9.0)
    assert (store.read("metrics", DAY, cluster="shop").value == 9.0).all()
    assert (store.at(then).read("metrics", DAY, cluster="shop").value == 1.0).all()
    assert store.at({}).read("metrics", DAY, cluster="shop").empty
    with pytest.raises(Error, match="opened at fixed versions"):
        write(store.at(then))


def test_a_report_pins_its_notebooks_by_the_environment(store, monkeypatch):
    """A store that is opened without versions takes those that its surroundings name."""
    write(store)
    monkeypatch.setenv("AURORA_ANALYSIS_VERSIONS", json.dumps(store.versions()))
    write(store, value=9.0)
    assert (Store(store.location).read("metrics", DAY, cluster="shop").value == 1.0).all()


def test_a_version_that_is_gone_says_so(store):
    """A pinned version that was pruned is one clear line."""
    write(store)
    with pytest.raises(Error, match="no longer has metrics of shop at version 40"):
        store.at({"shop": {"metrics": 40}}).read("metrics", DAY, cluster="shop")


def test_a_newer_schema_is_refused(store, tmp_path):
    """A store of a newer release is not misread."""
    write(store)
    table = DeltaTable(tmp_path / "store" / "metrics" / "cluster=shop")
    table.alter.set_table_description("schema 99: one row is a surprise")
    with pytest.raises(Error, match=r"newer aurora-analysis \(schema 99.*upgrade"):
        store.read("metrics", DAY, cluster="shop")


def test_compacting_keeps_the_content(store):
    """Fewer files, the same rows."""
    for hour in range(6):
        write(store, Window(f"2026-11-09T{hour:02}:00", f"2026-11-09T{hour + 1:02}:00"))
    before = store.read("metrics", DAY, cluster="shop")
    store.compact()
    pd.testing.assert_frame_equal(before, store.read("metrics", DAY, cluster="shop"))
    assert len(list(Path(store.location).glob("metrics/cluster=shop/week=*/*.parquet"))) == 1


def test_an_unknown_cluster_names_the_known_ones(store):
    """The next step is in the message."""
    coverage = pd.DataFrame(
        {"time": [pd.Timestamp(DAY.start)], "end": [pd.Timestamp(DAY.end)], "table": ["metrics"]}
    )
    store.write("coverage", coverage, DAY, cluster="shop", source="test")
    assert store.span("shop") == DAY
    with pytest.raises(Error, match=r"no cluster 'shoop' \(it has: shop\)"):
        store.span("shoop")


def replace_hours(location: str, instance: str, rounds: int) -> None:
    """A writer that replaces its own windows again and again."""
    store = Store(location)
    for n in range(rounds):
        window = Window(f"2026-11-09T{n % 24:02}:00", f"2026-11-09T{n % 24:02}:30")
        write(store, window, value=float(n), instance=instance)


def test_three_concurrent_writers_lose_nothing(tmp_path):
    """Three processes write into one table that does not exist yet: every window of each is there."""
    writers = [SPAWN.Process(target=replace_hours, args=(str(tmp_path), f"db-{n}", 12)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    rows = Store(tmp_path).read("metrics", DAY, cluster="shop")
    for n in range(3):
        values = rows[rows["instance"] == f"db-{n}"].value
        assert values.tolist() == [float(n) for n in range(12)]


def merge_statements(location: str, first: int) -> None:
    """A writer of statements that others write too, a few at a time."""
    for n in range(8):
        digests = [f"d{(first + n + k) % 10}" for k in range(3)]
        seen = f"2026-11-09T{10 + n}:00Z"
        Store(location).merge(
            "statements", statements(*digests, seen=seen), cluster="shop", source="slow log"
        )


def test_concurrent_writers_of_the_same_statements_write_each_once(tmp_path):
    """The slower writer reads the table again: no statement is duplicated, and none is lost."""
    writers = [SPAWN.Process(target=merge_statements, args=(str(tmp_path), n)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    known = Store(tmp_path).read("statements", cluster="shop")
    assert sorted(known["digest"]) == [f"d{n}" for n in range(10)]
    assert known["last_seen"].max() == pd.Timestamp("2026-11-09T17:00Z")


def rewrite_days(location: str) -> None:
    """A writer that never ends: each round gives a whole day one new value."""
    store = Store(location)
    for n in range(10_000):
        store.write("metrics", history(value=float(n), freq="s"), DAY, cluster="shop", source="test")


def test_a_killed_writer_leaves_no_half_window(tmp_path):
    """SIGKILL at random moments: the earlier window stays, and the day has one value, all of it."""
    store = Store(tmp_path)
    write(store, DAY.previous(), value=-1.0)
    rng = random.Random(5)
    for _ in range(4):
        writer = SPAWN.Process(target=rewrite_days, args=(str(tmp_path),))
        writer.start()
        before = store.versions()["shop"]["metrics"]
        while store.versions()["shop"]["metrics"] == before:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.4))
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        day = store.read("metrics", DAY, cluster="shop")
        assert len(day) == 86_400
        assert set(day.value) == {day.value[0]}
        assert len(store.read("metrics", DAY.previous(), cluster="shop")) == 24
    assert write(store, value=3.0) is not None


def test_columns_alone_are_read_as_categories_in_the_same_order(store):
    """Also a column that is null throughout; the rows are those of a whole read, in its order."""
    ends = pd.to_datetime(["2026-11-09T10:00:02Z"] * 3 + ["2026-11-10T10:00:01Z"]).as_unit("us")
    rows = pd.DataFrame(
        {
            "ended_at": ends,
            "started_at": ends - pd.Timedelta(seconds=2),
            "instance": ["b", "a", "c", "a"],
            "digest": ["d2", "d1", "d3", "d1"],
            "thread_id": 1,
            "query_time_s": [2.0, 30.0, 2.0, 2.0],
            "lock_time_s": 0.0,
            "ordinal": 0,
        }
    )
    window = Window("2026-11-09", "2026-11-11")
    store.write("slow_queries", rows, window, cluster="shop", source="test")
    columns = ["instance", "digest", "tags", "query_time_s"]
    whole = store.read("slow_queries", window, cluster="shop")
    part = store.read("slow_queries", window, cluster="shop", columns=columns)
    assert list(part.columns) == ["ended_at", *columns]
    assert part["instance"].tolist() == whole["instance"].tolist() == ["a", "b", "c", "a"]
    assert part["instance"].dtype == "category"
    assert part["tags"].isna().all()
    days = list(store.days("slow_queries", window, cluster="shop", columns=columns))
    assert [len(day) for day in days] == [3, 1]
    long = store.read("slow_queries", window, cluster="shop", at_least={"query_time_s": 10}, columns=columns)
    assert long["digest"].tolist() == ["d1"]


def test_an_empty_entry_of_a_tables_log_is_named_with_its_repair(tmp_path):
    """As after a power cut: nothing is read or written without what the entry recorded, and a command says so."""
    store = Store(tmp_path)
    write(store)
    newest = sorted((tmp_path / "metrics" / "cluster=shop" / "_delta_log").glob("*.json"))[-1]
    empty = newest.with_name(f"{int(newest.stem) + 1:020d}.json")
    empty.touch()
    os.utime(empty, (0, 0))  # a younger one is being written, and is waited for
    with pytest.raises(Error, match="The log of metrics has an empty entry, as after a power cut"):
        store.read("metrics", cluster="shop")
    with pytest.raises(Error, match="Write .* into that file, and fetch or ingest the time around"):
        write(store, value=2.0)
    done = CliRunner().invoke(main, ["store", "compact", "--store", str(tmp_path)])
    assert done.exit_code == 1 and "has an empty entry" in done.stderr
    empty.write_text(NO_ACTION)
    assert len(store.read("metrics", cluster="shop")) == 24


def test_reading_an_hour_opens_no_file_of_another_hour(store):
    """The same holds for writing one: what lies elsewhere is not compared."""
    hours = [Window(f"2026-11-09T0{hour}:00", f"2026-11-09T0{hour + 1}:00") for hour in range(3)]
    for hour in hours[:2]:
        write(store, hour)
    for path in Path(store.location).glob("metrics/cluster=shop/week=*/*.parquet"):
        if pd.read_parquet(path)["time"].min() < hours[1].start:
            path.unlink()
    assert len(store.read("metrics", hours[1], cluster="shop")) == 1
    assert write(store, hours[1]) is None
    assert write(store, hours[2]) is not None


def test_a_row_between_two_milliseconds_is_found(store):
    """A file states its times in milliseconds, rounded down; a window may begin within one."""
    row = history(Window("2026-11-09T00:00", "2026-11-09T01:00"))
    row["time"] += pd.Timedelta(microseconds=600)
    store.write("metrics", row, DAY, cluster="shop", source="test")
    late = Window(row["time"].iloc[0].to_pydatetime(), DAY.end)
    assert len(store.read("metrics", late, cluster="shop")) == 1
    assert store.write("metrics", row, late, cluster="shop", source="test") is None
