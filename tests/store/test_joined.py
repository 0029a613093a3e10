"""Rows of one identity become one row, whatever the order in which they come."""

from __future__ import annotations

import functools
import itertools

import pandas as pd
import pytest

from aurora_analysis import Store, Window
from aurora_analysis.fetch.run import join_statements
from aurora_analysis.store.joined import one_row

SEEN = pd.to_datetime(["2026-11-08T23:00Z", "2026-11-09T01:00Z", "2026-11-09T02:00Z"]).as_unit("us")


def statement(source: str, fingerprint: str | None, span: tuple[int, int], pi_id: str | None) -> dict:
    """Return a row of `statements`."""
    times = {"first_seen": span[0], "last_seen": span[1]}
    text = {"source": source, "fingerprint": fingerprint, "join_key": "key", "kind": "select"}
    return {"digest": "d", **text, "pi_id": pi_id, "server_digest": None, **times}


def example(time: int, text: str | None) -> dict:
    """Return a row of `examples`."""
    return {"digest": "d", "time": time, "instance": "a", "text": text}


CASES = {
    "statements": [
        statement("performance insights", "select `a`", (3, 9), "B"),
        statement("slow log", "select a", (4, 5), None),
        statement("slow log", "select a", (2, 3), "A"),
        statement("live", None, (5, 11), None),
    ],
    "examples": [example(3, "b"), example(2, "b"), example(2, "a"), example(4, None)],
}


@pytest.mark.parametrize("table", CASES)
def test_neither_order_nor_repetition_changes_the_row(table):
    """Any order of pairs gives the row of all of them, also if one of them comes twice."""
    rows = CASES[table]
    whole = one_row(table, rows)
    for order in itertools.permutations([*rows, rows[0]]):
        assert functools.reduce(lambda one, other: one_row(table, (one, other)), order) == whole


def test_a_statement_has_the_whole_span_the_logs_text_and_the_first_id():
    assert one_row("statements", CASES["statements"]) == statement("slow log", "select a", (2, 11), "A")


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([(None, None), ("shop", True)], "shop"),
        ([("other", True), ("shop", False), (None, None)], "shop"),
        ([("shop", False), ("other", False)], "shop"),
        ([("other", None), ("shop", True)], "shop"),
    ],
)
def test_an_execution_keeps_the_database_that_is_known_best(known, expected):
    """Equal knowledge leaves the first row."""
    rows = [{"database": name, "database_is_inferred": is_inferred} for name, is_inferred in known]
    assert one_row("slow_queries", rows)["database"] == expected


def found(source: str, digest: str, at: tuple[int, ...]) -> tuple[str, pd.DataFrame]:
    """Return a source, and what instances of a cluster report of one statement at these times."""
    moments = SEEN[list(at)]
    pi_id = ["A" if source == "performance insights" else None] * len(at)
    rows = {"digest": digest, "fingerprint": digest, "join_key": "key", "kind": "select", "pi_id": pi_id}
    return source, pd.DataFrame(rows | {"first_seen": moments, "last_seen": moments})


def stored(place, *writes: tuple[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the statements of a store after these merges and the end of a fetch."""
    store = Store(place)
    for source, frame in writes:
        store.merge("statements", frame, cluster="shop", source=source)
    join_statements(store, cluster="shop")
    return store.read("statements", cluster="shop")


def test_a_fetch_that_was_interrupted_leaves_the_same_statements(tmp_path):
    """Without a fault, both sources come at once and Performance Insights does not know the log's digest; after one, it does."""
    theirs, ours = found("performance insights", "theirs", (2, 0)), found("slow log", "ours", (1, 2))
    expected = [["ours", "ours", "slow log", "A", "2026-W45", SEEN[0], SEEN[2]]]
    columns = ["digest", "fingerprint", "source", "pi_id", "week", "first_seen", "last_seen"]
    orders = {
        "at once": (theirs, ours),
        "log first": (ours, found("performance insights", "ours", (2, 0))),
        "each instance alone": (ours, *(found("performance insights", "ours", (n,)) for n in (2, 0))),
    }
    for name, writes in orders.items():
        assert stored(tmp_path / name, *writes)[columns].to_numpy().tolist() == expected, name


def test_renamed_load_keeps_its_rows_in_each_week(tmp_path):
    """The log came a week later: load of every week gets its digest, in one commit, and nothing else changes."""
    store, window = Store(tmp_path), pd.date_range("2026-11-02", periods=3, freq="7D", tz="UTC", unit="us")
    theirs, ours = found("performance insights", "theirs", (2,)), found("slow log", "ours", (1,))
    for time in window:
        load = pd.DataFrame({"time": time, "period_s": 60.0, "instance": "a", "dimension": "sql",
                             "member": ["theirs", "another"], "active_sessions": 1.0})  # fmt: skip
        day = Window(time, time + pd.Timedelta("1D"))
        store.write("db_load", load, day, cluster="shop", source="performance insights")
    before = store.versions()["shop"]["db_load"]
    stored(tmp_path, theirs, ours)
    members = store.read("db_load", cluster="shop")[["time", "member"]]
    assert sorted(members.itertuples(index=False, name=None)) == [
        (time, name) for time in window for name in ("another", "ours")
    ]
    assert store.versions()["shop"]["db_load"] == before + 1
