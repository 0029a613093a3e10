"""Db load: sums checked by hand, by class, statement and hour."""

from __future__ import annotations

import pandas as pd
import pytest
from db_load_cases import HOUR, INSTANCES, NO_METRICS, TIMES, load

from aurora_analysis import Store
from aurora_analysis.analysis import db_load


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("cpu", "CPU"),
        ("io/aurora_redo_log_flush", "commit path"),
        ("io/redo_log_flush", "commit path"),
        ("synch/cond/innodb/row_lock_wait_cond", "row locks"),
        ("synch/mutex/innodb/aurora_lock_thread_slot_futex", "row locks"),
        ("synch/cond/sql/MDL_context::COND_wait_status", "metadata locks"),
        ("synch/sxlock/innodb/hash_table_locks", "buffer misses"),
        ("synch/mutex/innodb/buf_pool_mutex", "buffer misses"),
        ("io/aurora_respond_to_client", "client not reading"),
        ("io/socket/sql/client_connection", "connections"),
        ("synch/mutex/innodb/trx_sys_mutex", "undo and transactions"),
        ("io/table/sql/handler", "table access"),
        ("synch/mutex/sql/LOG", "other waits"),
        ("(other)", "not listed"),
    ],
)
def test_wait_events_are_classified(event, name):
    """Events of the Aurora user guide, as Performance Insights spells them."""
    assert db_load.wait_class(pd.Series([event])).to_list() == [name]


def test_the_events_of_a_class_are_summed():
    """Two events of the commit path make one class."""
    classes = db_load.by_class(load(io__aurora_redo_log_flush=1.0, io__redo_log_flush=2.0, cpu=0.5))
    assert classes.groupby("wait_class")["active_sessions"].mean().to_dict() == {
        "CPU": 0.5,
        "commit path": 3.0,
    }
    assert db_load.shares(classes).loc["db-1"].round(1).to_dict() == {"commit path": 85.7, "CPU": 14.3}


def test_a_profile_compares_sessions_with_vcpus():
    """Three of twelve periods exceed four vCPUs; the roles are listed in order of time."""
    classes = db_load.with_vcpus(db_load.by_class(load(cpu=[5.0] * 3 + [1.0] * 9)), INSTANCES, NO_METRICS)
    row = db_load.profile(classes, INSTANCES, HOUR).iloc[0]
    assert row["role"] == "reader, then writer"
    assert (row["over_vcpus_pct"], row["max_sessions"], row["mean_sessions"]) == (25.0, 5.0, 2.0)
    assert row["coverage"] == 1.0


def test_a_cluster_without_tables_gives_empty_results(tmp_path):
    """The store returns empty frames for tables that were never written."""
    nothing = Store(tmp_path)
    rows, queries = (nothing.read(table, cluster="lab") for table in ("db_load", "slow_queries"))
    instances = nothing.instances(HOUR, cluster="lab")
    classes = db_load.with_vcpus(db_load.by_class(rows), instances, nothing.read("metrics", cluster="lab"))
    profiles = db_load.profile(classes, instances, HOUR)
    assert profiles.empty
    assert db_load.statement_load(rows).empty
    assert db_load.statistics(nothing.read("statement_metrics", cluster="lab"), HOUR).empty
    costs = db_load.costs(queries, pd.Series(dtype="str"), HOUR)
    found = db_load.practices(costs, profiles, HOUR)
    assert db_load.practice_verdicts(found, pd.DataFrame(columns=["digest", "fingerprint"])) == []


def test_load_is_a_mean_over_observed_time():
    """A digest listed half of the time with one session has a mean of 0.5; unlisted load belongs to no digest."""
    rows = pd.DataFrame(
        {"time": TIMES[[0, 1, 0, 1, 2, 3]], "period_s": 300.0, "instance": "db-1", "dimension": "sql"}
        | {"member": ["d"] * 2 + ["(other)"] * 4, "active_sessions": 1.0}
    )
    assert db_load.statement_load(rows).to_dict() == {"d": 0.5}


def test_statistics_are_per_call():
    """Latency is weighted by calls; rows are those of one call."""
    rows = pd.DataFrame(
        {"digest": "d", "calls": [30.0, 90.0], "mean_latency_ms": [1.0, 5.0]}
        | {"rows_examined": [300.0, 900.0], "rows_sent": 60.0}
    )
    assert db_load.statistics(rows, HOUR).loc[0].to_list() == ["d", 120.0, 4.0, 10.0, 1.0]


def test_weekdays_and_hours_are_local():
    """Sunday 23:30 UTC is Monday in Berlin; the writing instance appears as the writer."""
    times = pd.to_datetime(["2026-11-08 23:30", "2026-11-08 23:30"], utc=True)
    classes = pd.DataFrame(
        {"time": times, "instance": ["db-1", "db-2"], "wait_class": "CPU", "active_sessions": [2.0, 3.0]}
    )
    found = db_load.hour_of_week(classes, pd.Series(["reader", "writer"]), timezone="Europe/Berlin")
    assert found.to_numpy().tolist() == [["db-1", 0, 0, 2.0], ["writer", 0, 0, 3.0]]
