"""The page undo_log on PostgreSQL: who held the xmin horizon is named exactly, by kind, or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from postgresql_window import (
    DIGEST,
    OTHER_READER,
    READER,
    WRITER,
    Hold,
    at,
    busy,
    counted,
    observed,
    reports,
    watched,
)

from aurora_analysis import config
from aurora_analysis.analysis import undo_log
from aurora_analysis.analysis.undo_log import dead_rows, idle_readers
from aurora_analysis.analysis.verdict import Verdict

TRAP = Hold(1, 58, WRITER, "reporting", 7, "other")
"""An idle snapshot in another database of the writer: the oldest session of all, which holds nothing of `shop`."""

IDLE_READER = Hold(10, 30)
LOGGED_READER = Hold(10, 30, digest=DIGEST, logged=True)
OTHER_DATABASE = Hold(10, 30, database="other")
PREPARED = Hold(10, 40, WRITER, kind="prepared")
SLOT = Hold(10, 59.9, WRITER, kind="slots")
WRITES = Hold(10, 40, WRITER, "writes", 9)
SEES_IT = Hold(20, 50, needs_since=10)
"""A reader's snapshot that began while the writer's transaction was open, and so needs its id."""


def verdicts(tables: Mapping[str, pd.DataFrame]) -> list[Verdict]:
    return undo_log.answer(observed(tables), config.Groups()).verdicts


@pytest.mark.parametrize(
    ("holds", "named", "how"),
    [
        ([IDLE_READER], ["snowflake on ledger-2"], "equals the xmin horizon"),
        ([OTHER_DATABASE], ["snowflake on ledger-2"], "equals the xmin horizon"),
        ([PREPARED], ["a prepared transaction"], "for each kind of holder"),
        ([SLOT], ["a replication slot"], "for each kind of holder"),
        ([WRITES, SEES_IT], ["writes on ledger-1", "snowflake on ledger-2"], "equals the xmin horizon"),
    ],
    ids=["idle", "other database of a reader", "prepared", "slot", "writer, then reader"],
)
def test_live_samples_name_the_holder_and_never_the_trap(holds, named, how):
    """The session whose transaction id equals the horizon is named, and the oldest session of another database is not.

    Each hold leaves more than 100,000 dead rows on one table.
    """
    found = verdicts(watched([*holds, TRAP]))
    assert [(one.level, one.severity, one.subject) for one in found] == [
        ("blocked", "act", name) for name in named
    ]
    assert all(how in one.evidence for one in found)
    assert "reporting" not in " ".join(str(one) for one in found)
    assert sum(float(one.numbers["growth_share"]) for one in found) == pytest.approx(1.0, abs=0.001)


@pytest.mark.parametrize(
    ("active", "advised"), [(1, "commit before it goes idle"), (60, "Split its long statements")]
)
def test_a_session_is_idle_if_most_of_its_samples_show_no_statement(active, advised):
    """The first sample alone, in which its statement still ran, does not make it one of long statements."""
    tables = watched([IDLE_READER, TRAP])
    rows = tables["open_transactions"].sort_values("time", kind="stable").reset_index(drop=True)
    first = rows.index[rows["instance"] == READER][:active]
    rows["digest"] = rows["digest"].astype(object).mask(rows.index.isin(first), DIGEST)
    [found] = verdicts({**tables, "open_transactions": rows})
    assert (found.subject, found.level) == ("snowflake on ledger-2", "blocked")
    assert advised in found.action


def short_hold(dead: float | None, vacuum_at: int) -> dict[str, pd.DataFrame]:
    """The horizon stood for a minute and a half, and public.queue gained so many dead rows beside 5,000 that were there."""
    tables = watched([Hold(10, 11.5)])
    relations, minute = tables["relations"], (tables["relations"]["time"] - at(0)).dt.total_seconds() / 60
    held = minute.between(10.2, 11.5)
    rows = pd.Series(None if dead is None else 5_000.0 + held * dead, relations.index, dtype=float)
    return {**tables, "relations": relations.assign(dead_rows=rows, vacuum_at=vacuum_at)}


def test_a_short_hold_is_weighed_by_the_dead_rows_that_it_left():
    """By its age alone it would be ok."""
    [one] = [each for each in verdicts(short_hold(60_000, 500)) if each.level == "blocked"]
    assert one.severity == "watch"
    assert "The table public.queue gained up to 60,000 dead rows in one hold" in one.sentence


@pytest.mark.parametrize(
    ("dead", "vacuum_at", "severity"),
    [
        (9_000, 500, "ok"),
        (10_000, 500, "watch"),
        (100_000, 500, "act"),
        (600_000, 400_000, "ok"),  # a large table, for which vacuum is not even due
        (None, 500, "ok"),
    ],
)
def test_dead_rows_count_once_vacuum_is_overdue(dead, vacuum_at, severity):
    """Few of them, or few for the table, change nothing."""
    left = dead_rows.most_left(
        dead_rows.by_table(observed(short_hold(dead, vacuum_at))), [(at(10), at(11.5))]
    )
    assert dead_rows.weighed("ok", left) == severity
    assert dead_rows.weighed("act", left) == "act"
    assert bool(dead_rows.sentence(left)) == (severity != "ok")


def test_the_vacuum_log_weighs_a_hold_without_samples_of_the_tables():
    """Autovacuum reports 120,000 rows that it could not remove, and 500 before the hold."""
    tables = watched([Hold(10, 11.5)])
    reports = pd.DataFrame(
        {
            "time": [at(10.1), at(11.4)],
            "instance": WRITER,
            "table": "public.queue",
            "dead_not_removable": [500, 120_500],
        }
    )
    found = verdicts({**tables, "relations": tables["relations"][:0], "vacuums": reports})
    [one] = [each for each in found if each.level == "blocked"]
    assert one.severity == "act" and "public.queue gained up to 120,000 dead rows" in one.sentence


@pytest.mark.parametrize(
    ("holds", "named"),
    [
        ([IDLE_READER], ["a session of a reader"]),
        ([LOGGED_READER], ["snowflake on ledger-2"]),
        ([WRITES, SEES_IT], ["a session of the writer", "a session of a reader"]),
        ([PREPARED], ["a prepared transaction"]),
    ],
    ids=["idle", "logged", "writer, then reader", "prepared"],
)
def test_performance_insights_alone_names_the_kind(holds, named):
    """Without samples the kind is known, and a logged statement that began and ended with the snapshot.

    Readers repeat the id
    of the writer's open transaction, and are not blamed for it.
    """
    found = verdicts(counted([*holds, TRAP]))
    assert [(one.level, one.subject) for one in found] == [("blocked", name) for name in named]
    assert all(one.severity == "watch" for one in found)


def idle_on(ages: Mapping[str, float]) -> dict[str, pd.DataFrame]:
    """Performance Insights alone, and readers on which a session went idle in a transaction at these minutes."""
    tables, minute = counted([IDLE_READER]), np.arange(10, 30)
    rows = {"name": "oldest_idle_transaction_age", "statistic": "average", "period_s": 60.0}
    idle = [
        pd.DataFrame({"time": at(minute), "instance": name, "value": 60.0 * (minute - since) + 30}).assign(
            **rows
        )
        for name, since in ages.items()
    ]
    return {**tables, "metrics": pd.concat([tables["metrics"], *idle], ignore_index=True)}


def test_the_readers_idle_time_names_the_reader():
    """A session went idle there at minute 10, when the snapshot began; the other reader's is older."""
    found = verdicts(idle_on({READER: 10, OTHER_READER: 2}))
    assert [(one.level, one.subject) for one in found] == [("blocked", "a session of a reader (ledger-2)")]


@pytest.mark.parametrize(
    ("ages", "name"),
    [({READER: 10}, READER), ({READER: 10, OTHER_READER: 10}, None), ({READER: 2}, None), ({WRITER: 10}, None), ({}, None)],
    ids=["one", "both", "another transaction", "the writer's", "none"],
)  # fmt: skip
def test_no_reader_is_named_unless_one_alone_fits(ages, name):
    """Two that fit, or none, leave the kind alone."""
    idle = idle_readers.idle_since(observed(idle_on(ages)))
    assert idle_readers.reader_of(idle, pd.DatetimeIndex(at(np.arange(10, 30))), at(10)) == name


def test_two_logged_statements_that_fit_alike_are_both_spared():
    """Two workloads began and ended together: the kind is stated, and no name."""
    other = Hold(10, 30, OTHER_READER, "looker", 8, digest="e2" * 8, logged=True)
    found = verdicts(counted([LOGGED_READER, other]))
    assert [one.subject for one in found] == ["a session of a reader"]


def test_a_run_that_ends_while_the_horizon_stands_is_not_the_holder():
    """The horizon stood on after the logged statement had ended: another session holds it."""
    short = Hold(10, 15, OTHER_READER, "looker", 8, digest="e2" * 8, logged=True)
    assert [one.subject for one in verdicts(counted([IDLE_READER, short]))] == ["a session of a reader"]


def test_vacuum_that_trails_is_outrun():
    """Nothing holds the horizon, and a table stays overdue."""
    found = verdicts(watched([TRAP], dead=50_000))
    assert [(one.level, one.severity, one.headline) for one in found] == [
        ("outrun", "watch", "Writes outran vacuum on public.queue in shop")
    ]


def test_vacuum_that_keeps_up_is_healthy():
    """Every kind of holder and the tables are known, and nothing is wrong."""
    assert [(one.level, one.severity) for one in verdicts(watched([TRAP]))] == [("healthy", "ok")]


def without_metric(name: str) -> dict[str, pd.DataFrame]:
    tables = watched()
    return {**tables, "metrics": tables["metrics"][tables["metrics"]["name"] != name]}


@pytest.mark.parametrize(
    "tables",
    [
        counted(),
        counted(without=["xmin_age_readers"]),
        without_metric("xmin_age_readers"),
        without_metric("xmin_age_slots"),
        without_metric("xmin_horizon_age") | {"relations": pd.DataFrame()},
        watched() | {"relations": pd.DataFrame()},
        watched() | {"relations": watched()["relations"].assign(vacuum_at=pd.NA)},
        {name: rows.iloc[: len(rows) // 2] for name, rows in watched().items()},
        {"instances": watched()["instances"]},
    ],
    ids=[
        "no tables",
        "no readers",
        "unread feedback",
        "no slots",
        "no age",
        "no relations",
        "old store",
        "half",
        "none",
    ],
)
def test_what_is_unknown_is_never_ok(tables):
    """A missing kind of holder, missing tables, half a window or nothing: the only verdict is unknown."""
    assert {one.severity for one in verdicts(tables)} == {"unknown"}


def test_the_vacuum_log_alone_dates_the_holder():
    """A cutoff that stands still is a holder, although no counter says which kind; the logged statement that fits is named."""
    found = verdicts({**watched(), "metrics": pd.DataFrame(), "vacuums": reports([LOGGED_READER]),
                      "slow_queries": watched([LOGGED_READER])["slow_queries"]})  # fmt: skip
    assert [(one.level, one.subject) for one in found] == [
        ("blocked", "snowflake on ledger-2"),
        ("unknown", "holders"),
    ]


def test_the_tables_show_what_vacuum_left():
    """One cutoff over many reports, and the most dead rows of the table."""
    data = observed({**watched([IDLE_READER]), "vacuums": reports([IDLE_READER])})
    row = undo_log.vacuums(data).iloc[0]
    assert (row["table"], row["vacuums"], row["removed_nothing"], row["dead_not_removable"]) == (
        "public.queue",
        60,
        20,
        360_000,
    )
    assert row["cutoffs"] == 40
    table = undo_log.relations(data).iloc[0]
    assert (table["relation"], table["dead_rows"], table["vacuums"]) == ("public.queue", 360_500, 119)
    assert table["at"] == pd.Timestamp("2026-11-23T10:30Z")


def test_a_window_without_events_says_so_and_whose_log_is_missing():
    """Silence of a log that was not read is unknown; counts come from the events' categories."""
    tables = busy([IDLE_READER])
    spans = {
        "time": at(0),
        "end": at(60),
        "table": "slow_queries",
        "source": "log",
        "expected": 1.0,
        "received": 1.0,
    }
    logs = pd.DataFrame([{**spans, "instance": name} for name in (WRITER, READER)])
    tables = {**tables, "coverage": pd.concat([tables.get("coverage", logs[:0]), logs], ignore_index=True)}
    assert "Events in the logs: 1 recovery conflict." in str(undo_log.event_remarks(observed(tables)))
    quiet = observed({**tables, "events": tables["events"][:0], "coverage": logs[:1]})
    none, unknown, *_ = undo_log.event_remarks(quiet).lines
    assert none == "No recovery conflict, lock wait, deadlock, timeout or cancellation was recorded."
    assert unknown.startswith(f"The log of {READER} covers 0 % of the window")
