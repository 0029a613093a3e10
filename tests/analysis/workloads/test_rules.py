"""Rules name workloads, and runs become exposure."""

from __future__ import annotations

import pandas as pd
import pytest

from aurora_analysis import Window
from aurora_analysis.analysis import workloads


def at(clock: str) -> pd.Timestamp:
    return pd.Timestamp(f"2026-11-09T{clock}Z")


def queries(*rows: tuple[str | None, str, str]) -> pd.DataFrame:
    """One execution a row: user, start and end (clock times)."""
    return pd.DataFrame(
        {
            "user": pd.Series([user for user, _, _ in rows], dtype="str"),
            "started_at": pd.DatetimeIndex([at(start) for _, start, _ in rows]),
            "ended_at": pd.DatetimeIndex([at(end) for _, _, end in rows]),
            "instance": "db-2",
            "digest": "00ff00ff00ff00ff",
            "thread_id": range(len(rows)),
        }
    )


def test_a_workload_is_the_user_or_else_the_digest():
    """Without a user in the log, the digest names the workload."""
    named = workloads.workload_names(
        queries(("etl", "10:00", "10:05"), (None, "10:00", "10:05"), ("", "10:00", "10:05"))
    )
    assert list(named) == ["etl", "00ff00ff00ff00ff", "00ff00ff00ff00ff"]


def executions(**columns) -> pd.DataFrame:
    """Executions whose other columns are alike; one row a value."""
    usual = {
        "user": "u",
        "host": "10.0.0.1",
        "database": "shop",
        "instance": "db-2",
        "digest": "d",
        "tags": None,
    }
    rows = pd.DataFrame(usual | columns, index=range(len(next(iter(columns.values())))))
    return rows.assign(started_at=at("10:00"), ended_at=at("10:05"), thread_id=1)


@pytest.mark.parametrize(
    ("columns", "rule", "taken"),
    [
        ({"user": ["sf_1", "snowflake", "bi", None]}, {"user": ["sf_*", "snow*"]}, [0, 1]),
        ({"host": ["10.20.3.44", "10.2.3.44"]}, {"host": ["10.20.*"]}, [0]),
        ({"digest": ["00ff", "01ff"]}, {"digest": ["00*"]}, [0]),
        ({"database": ["shop", "Shop", None]}, {"database": ["shop"]}, [0]),
        ({"application": ["dbt", "psql", None]}, {"application": ["dbt"]}, [0]),
        ({"client": ["dbt", "psql", None]}, {"application": ["dbt"]}, [0]),
        ({"instance": ["db-2", "db-3"]}, {"instance": ["db-[3-9]"]}, [1]),
        ({"tags": ['{"app": "dbt", "job": "x"}', '{"job": "dbt"}', None]}, {"tags.app": ["dbt"]}, [0]),
        ({"user": ["etl", "etl"], "host": ["a", "b"]}, {"user": ["etl"], "host": ["b"]}, [1]),
    ],
)
def test_a_rule_matches_in_all_of_its_fields(columns, rule, taken):
    """Globs are case-sensitive, a missing value matches nothing, and an unmatched statement is its own digest."""
    rows = executions(**columns)
    named = workloads.workload_names(rows, {"mine": [rule]})
    assert list(named[named == "mine"].index) == taken
    assert set(named[named != "mine"]) <= set(rows["digest"])


def test_an_inferred_database_alone_attributes_nothing():
    """With a user it may: the user identifies the session. Logs ingested by older versions have no flag."""
    rows = executions(database_is_inferred=[True, False, None])
    for rule, taken in (
        ({"database": ["shop"]}, [1, 2]),
        ({"database": ["shop"], "instance": ["db-2"]}, [1, 2]),
        ({"database": ["shop"], "user": ["u"]}, [0, 1, 2]),
    ):
        named = workloads.workload_names(rows, {"mine": [rule]})
        assert list(named[named == "mine"].index) == taken


def test_the_first_workload_counts_and_one_of_its_rules_is_enough():
    """In the order of the settings."""
    rules = {"etl": [{"user": ["a"]}, {"host": ["h"]}], "rest": [{"user": ["*"]}]}
    named = workloads.workload_names(executions(user=["a", "b", "b"], host=["x", "h", "x"]), rules)
    assert list(named) == ["etl", "etl", "rest"]


def test_an_endpoint_stands_for_the_instances_it_may_lead_to():
    """The state nearest to the execution's start decides; without the table `instances` nothing matches."""
    rows = executions(instance=["db-2", "db-3"])
    seen = pd.DataFrame(
        {
            "time": [at("09:00"), at("09:00"), at("11:30")],
            "instance": ["db-2", "db-3", "db-3"],
            "custom_endpoints": [None, "analytics, reports", None],
        }
    )
    rules = {"extracts": [{"endpoint": ["report*"]}]}
    assert list(workloads.workload_names(rows, rules, seen)) == ["d", "extracts"]
    assert list(workloads.workload_names(rows, rules)) == ["d", "d"]


def test_runs_are_ordered_by_start_and_may_be_cut_at_a_length():
    """Executions shorter than `shortest_s` are left out."""
    log = queries(("etl", "11:00", "11:20"), ("etl", "10:00", "10:10"), ("bi", "10:30", "10:31"))
    runs = workloads.exposures(log, shortest_s=300)
    assert list(runs["start"]) == [at("10:00"), at("11:00")]
    assert list(runs.columns) == workloads.EXPOSURE_COLUMNS


def test_exposure_is_the_share_of_each_period():
    """A run from 10:00:30 to 10:02:15 fills half of one minute, all of the next, a quarter of the third."""
    runs = workloads.exposures(queries(("etl", "10:00:30", "10:02:15")))
    minutes = pd.date_range(at("10:00"), periods=4, freq="min", unit="us")
    assert list(workloads.exposure_share(runs, minutes, 60)["etl"]) == pytest.approx([0.5, 1, 0.25, 0])


def test_runs_at_the_same_time_count_once():
    """Two extracts side by side, one inside another, and one that follows at once."""
    log = queries(
        ("etl", "10:00", "10:30"),
        ("etl", "10:10", "10:20"),
        ("etl", "10:20", "10:40"),
        ("etl", "11:00", "11:15"),
    )
    runs = workloads.exposures(log)
    hours = pd.date_range(at("10:00"), periods=2, freq="h", unit="us")
    assert list(workloads.exposure_share(runs, hours, 3600)["etl"]) == pytest.approx([40 / 60, 15 / 60])


def test_exposed_hours_are_those_inside_the_window():
    """A run that began before the window counts from its start."""
    runs = workloads.exposures(queries(("etl", "09:30", "10:30"), ("bi", "10:00", "10:15")))
    window = Window("2026-11-09T10:00", "2026-11-09T11:00")
    assert workloads.exposed_hours(runs, window).to_dict() == pytest.approx({"bi": 0.25, "etl": 0.5})


def test_no_slow_queries_are_no_exposure():
    """Nothing ran: no column, no row, no exception."""
    runs = workloads.exposures(queries())
    minutes = pd.date_range(at("10:00"), periods=3, freq="min", unit="us")
    assert runs.empty
    assert workloads.exposure_share(runs, minutes, 60).shape == (3, 0)
    assert workloads.exposed_hours(runs, Window("2026-11-09", "2026-11-10")).empty


def sample(second: int, thread: int, **columns) -> dict[str, object]:
    """A sample of an idle REPEATABLE READ transaction that holds a view since 11:00."""
    start = pd.Timestamp("2026-11-23T11:00", tz="UTC")
    usual = {
        "time": start + pd.Timedelta(seconds=second),
        "instance": "db-2",
        "thread_id": thread,
        "user": "etl",
        "started_at": start,
        "isolation_level": "REPEATABLE READ",
        "rows_modified": 0,
        "has_read_view": True,
        "digest": None,
    }
    return usual | columns


def test_an_idle_transaction_in_live_samples_is_a_run():
    """It begins with the transaction, not with its first sample; a bare BEGIN is not a run."""
    rows = [sample(n, 7) for n in (4, 6, 8)] + [sample(n, 6, has_read_view=False) for n in (4, 6, 8)]
    found = workloads.live_runs(pd.DataFrame(rows))
    assert found[["workload", "thread_id", "digest"]].to_numpy().tolist() == [["etl", 7, workloads.IDLE]]
    assert (found["end"] - found["start"]).dt.total_seconds().tolist() == [8.0]


@pytest.mark.parametrize(
    ("digests", "named"),
    [(["a", None, None], workloads.IDLE), (["a", "b", "b", None, None], "b"), ([None, "a", "a"], "a")],
)
def test_a_sampled_run_is_named_by_what_most_of_its_samples_show(digests, named):
    """A transaction that is idle for most of its time is idle, whatever its first sample shows."""
    rows = [sample(2 * n, 7, digest=digest) for n, digest in enumerate(digests)]
    assert workloads.live_runs(pd.DataFrame(rows))["digest"].tolist() == [named]


def test_rules_name_live_runs_and_short_ones_are_left_out():
    """Rules match user or host; a rule on a tag matches nothing."""
    rows = [sample(n, 7, user="af_1") for n in (4, 6, 8)] + [sample(n, 6) for n in (0, 1)]
    rules = {"tagged": [{"tags.app": ["*"]}], "airflow": [{"user": ["af_*"]}]}
    found = workloads.live_runs(pd.DataFrame(rows), rules, shortest_s=5)
    assert list(found["workload"]) == ["airflow"]


def test_a_view_of_read_committed_lasts_for_its_statement():
    """Each stretch of samples with a view is a separate run, from its first sample."""
    views = {0: True, 2: True, 4: False, 6: True}
    rows = [
        sample(n, 7, isolation_level="READ COMMITTED", has_read_view=view, digest="d")
        for n, view in views.items()
    ]
    found = workloads.live_runs(pd.DataFrame(rows))
    assert (found["end"] - found["start"]).dt.total_seconds().tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    ("version", "seconds"), [("10.11.19-MariaDB", [6.0]), ("8.0.mysql_aurora.3.08.0", []), (None, [])]
)
def test_a_transaction_that_has_written_is_a_run_without_a_view_on_mariadb(version, seconds):
    """The run begins with the transaction at every isolation level; MySQL and Aurora purge past it."""
    rows = [
        sample(n, 7, isolation_level="READ COMMITTED", has_read_view=False, rows_modified=1) for n in (4, 6)
    ]
    instances = pd.DataFrame({"engine_version": pd.Series([version], dtype=str)})
    found = workloads.live_runs(pd.DataFrame(rows), instances=instances)
    assert (found["end"] - found["start"]).dt.total_seconds().tolist() == seconds


def test_a_logged_run_is_not_counted_twice():
    """The same connection at the same time is the logged run; another time is not."""
    live = workloads.live_runs(pd.DataFrame([sample(n, thread) for n in (4, 6) for thread in (7, 8)]))
    logged = live[live["thread_id"] == 7].assign(digest="logged")
    found = workloads.with_live_runs(logged, live)
    assert sorted(found["digest"]) == [workloads.IDLE, "logged"]
    later = logged.assign(start=logged["start"] + pd.Timedelta("1h"), end=logged["end"] + pd.Timedelta("1h"))
    assert len(workloads.with_live_runs(later, live)) == 3


def test_without_samples_the_log_stands_alone():
    """No samples add no runs."""
    none = pd.DataFrame([sample(0, 7)])[:0]
    logged = workloads.live_runs(pd.DataFrame([sample(4, 7)]))
    assert workloads.with_live_runs(logged, workloads.live_runs(none)).equals(logged)
