"""Db load: sums checked by hand, bottlenecks with their rule, and the cost of bad practices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aurora_analysis import Store
from aurora_analysis.analysis import db_load
from aurora_analysis.window import Window

HOUR = Window("2026-11-09T00:00", "2026-11-09T01:00")
TIMES = pd.date_range("2026-11-09", periods=12, freq="5min", tz="UTC", unit="us")
INSTANCES = pd.DataFrame(
    {"time": TIMES[[0, 6]], "instance": ["db-1", "db-1"], "role": ["reader", "writer"], "vcpus": 4.0}
)
NO_METRICS = pd.DataFrame({"instance": [], "name": [], "statistic": [], "value": []})


def load(**sessions: float | list[float]) -> pd.DataFrame:
    """An hour of one instance: active sessions by wait event ("/" written as "__")."""
    rows = [
        pd.DataFrame({"time": TIMES, "member": event.replace("__", "/"), "active_sessions": values})
        for event, values in sessions.items()
    ]
    return pd.concat(rows, ignore_index=True).assign(period_s=300.0, instance="db-1", dimension="wait_event")


def judge(rows: pd.DataFrame, metrics: pd.DataFrame = NO_METRICS, **thresholds: float):
    classes = db_load.by_class(rows)
    [verdict] = db_load.verdicts(classes, db_load.profile(classes, INSTANCES, HOUR), metrics, **thresholds)
    return verdict


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
    classes = db_load.by_class(load(cpu=[5.0] * 3 + [1.0] * 9))
    row = db_load.profile(classes, INSTANCES, HOUR).iloc[0]
    assert row["role"] == "reader, then writer"
    assert (row["over_vcpus_pct"], row["max_sessions"], row["mean_sessions"]) == (25.0, 5.0, 2.0)
    assert row["coverage"] == 1.0


def test_the_bottleneck_is_the_largest_class_while_sessions_outnumber_vcpus():
    """CPU has most of the load overall, but row locks have most of it while sessions outnumber the vCPUs."""
    verdict = judge(load(cpu=2.0, synch__cond__innodb__row_lock_wait=[9.0] + [0.0] * 11))
    assert (verdict.level, verdict.severity) == ("row locks", "act")
    assert "more sessions than vCPUs 8.3 % of the time" in verdict.sentence
    assert "Rule: most of the load while sessions outnumbered the vCPUs." in verdict.sentence


def test_a_class_of_waits_is_a_bottleneck_with_few_sessions():
    """Two sessions of three wait for the commit path, on four vCPUs; the evidence quotes commit latency."""
    metrics = pd.DataFrame(
        {"instance": "db-1", "name": "commit_latency", "statistic": "average", "value": np.arange(101.0)}
    )
    verdict = judge(load(cpu=1.0, io__aurora_redo_log_flush=2.0), metrics)
    assert (verdict.level, verdict.severity) == ("commit path", "watch")
    assert verdict.evidence.endswith("p95 of the minute means of commit_latency: 95")


def test_one_session_on_four_vcpus_is_no_bottleneck():
    """Nearly all of it is on CPU."""
    verdict = judge(load(cpu=1.0, io__aurora_redo_log_flush=0.2))
    assert (verdict.level, verdict.severity) == ("no bottleneck", "ok")
    assert verdict.numbers["mean_sessions"] == 1.2


def test_a_third_of_the_window_is_too_little():
    """The rest of the window may have been different."""
    verdict = judge(load(cpu=9.0).iloc[:4])
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")
    assert "33 % of the window observed" in verdict.sentence


def judge_with_vcpus(rows: pd.DataFrame, vcpus: float):
    classes = db_load.by_class(rows)
    profiles = db_load.profile(classes, INSTANCES.assign(vcpus=vcpus), HOUR)
    [verdict] = db_load.verdicts(classes, profiles, NO_METRICS)
    return verdict


def test_sixty_sessions_on_an_unknown_number_of_vcpus_are_unknown():
    """A serverless instance has no fixed number of vCPUs, so the verdict names the capacity that is missing."""
    verdict = judge_with_vcpus(load(cpu=60.0), np.nan)
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")
    assert "the number of vCPUs is unknown" in verdict.sentence
    assert "sessions fit the vCPUs" not in verdict.sentence
    assert "ServerlessDatabaseCapacity" in verdict.action


def test_load_in_one_unclassified_wait_is_watched_by_its_name():
    """14 of 14.5 sessions wait for one event that has no class: the headline names it."""
    verdict = judge_with_vcpus(load(synch__mutex__sql__LOG=14.0, cpu=0.4, io__other=0.1), 32.0)
    assert (verdict.level, verdict.severity) == ("other waits", "watch")
    assert verdict.headline == "Sessions on db-1 wait for synch/mutex/sql/LOG, which has no class yet"
    assert (
        "14.1 of 14.5 sessions wait for events without a class, mostly synch/mutex/sql/LOG"
        in verdict.sentence
    )


def test_a_crowd_in_an_unclassified_wait_is_named():
    """More sessions than vCPUs, most of them in an event without a class."""
    verdict = judge_with_vcpus(load(synch__mutex__sql__LOG=14.0, cpu=0.5), 8.0)
    assert (verdict.level, verdict.severity) == ("other waits", "act")
    assert "synch/mutex/sql/LOG" in verdict.headline


def test_load_in_no_listed_event_is_unknown():
    """Performance Insights lists 25 events; most of this load is in none of them."""
    verdict = judge_with_vcpus(
        load(cpu=1.0).pipe(
            lambda rows: pd.concat([rows, rows.assign(member="(other)", active_sessions=3.0)])
        ),
        8.0,
    )
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")
    assert "3.0 of 4.0 sessions are in no listed wait event" in verdict.sentence


def test_missing_sessions_are_not_zero():
    """Rows without a number of sessions count as not observed."""
    rows = load(cpu=[1.0] * 4 + [np.nan] * 8)
    verdict = judge_with_vcpus(rows, 8.0)
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")
    assert "33 % of the window observed" in verdict.sentence


PLANTED = {
    "CPU": {"cpu": 0.8, "synch/mutex/innodb/trx_sys_mutex": 0.2},
    "row locks": {"synch/cond/innodb/row_lock_wait_cond": 0.6, "io/table/sql/handler": 0.3, "cpu": 0.1},
    "commit path": {
        "io/aurora_redo_log_flush": 0.5,
        "synch/cond/sql/MYSQL_BIN_LOG::COND_done": 0.3,
        "cpu": 0.2,
    },
    "buffer misses": {
        "synch/sxlock/innodb/hash_table_locks": 0.4,
        "synch/mutex/innodb/buf_pool_mutex": 0.2,
        "io/table/sql/handler": 0.4,
    },
    "connections": {
        "io/socket/sql/client_connection": 0.4,
        "synch/mutex/sql/LOCK_connection_count": 0.2,
        "cpu": 0.4,
    },
    "metadata locks": {"synch/cond/sql/MDL_context::COND_wait_status": 0.9, "cpu": 0.1},
    "client not reading": {"io/aurora_respond_to_client": 0.7, "cpu": 0.3},
}
"""Bottleneck → the share of each wait event in the additional sessions."""

ORDINARY = {
    "cpu": 1.2,
    "io/table/sql/handler": 0.6,
    "io/aurora_redo_log_flush": 0.2,
    "io/aurora_respond_to_client": 0.1,
    "synch/cond/innodb/row_lock_wait_cond": 0.05,
}
"""Sessions by wait event on a day without a bottleneck."""


def day_of(planted: dict[str, float], sessions: float, hours: tuple[float, float], vcpus: float, seed: int):
    """Judge a day with daily rhythm and noise, and with additional sessions between two hours."""
    rng, day = np.random.default_rng(seed), HOUR.start + pd.Timedelta(days=1)
    times = pd.date_range(HOUR.start, day, freq="5min", inclusive="left")
    hour = np.arange(len(times)) / 12
    more = np.where((hour >= hours[0]) & (hour < hours[1]), sessions, 0.0)
    rhythm = 1 + 0.4 * np.sin(2 * np.pi * (hour - 9) / 24)
    sessions_of = {
        event: usual * rhythm + planted.get(event, 0) * more
        for event, usual in (dict.fromkeys(planted, 0.0) | ORDINARY).items()
    }
    noisy = pd.DataFrame(sessions_of, index=times) * rng.gamma(8, 1 / 8, (len(times), len(sessions_of)))
    load = noisy.rename_axis("time").reset_index().melt("time", None, "member", "active_sessions")
    load = load.assign(period_s=300.0, instance="db-1", dimension="wait_event")
    classes = db_load.by_class(load)
    profiles = db_load.profile(classes, INSTANCES.assign(vcpus=vcpus), Window(HOUR.start, day))
    return db_load.verdicts(classes, profiles, NO_METRICS)[0]


@pytest.mark.parametrize("name", PLANTED)
def test_additional_sessions_above_the_vcpus_are_attributed_to_their_class(name):
    """Twenty more sessions on eight vCPUs for two hours: `act`, with the right class for each seed."""
    found = [day_of(PLANTED[name], 20.0, (10, 12), 8, seed) for seed in range(5)]
    assert {(verdict.level, verdict.severity) for verdict in found} == {(name, "act")}


@pytest.mark.parametrize("name", [name for name in PLANTED if name != "CPU"])
def test_additional_waits_below_the_vcpus_are_attributed_to_their_class(name):
    """Four more sessions all day on sixteen vCPUs: `watch`, with the right class for each seed."""
    found = [day_of(PLANTED[name], 4.0, (0, 24), 16, seed) for seed in range(5)]
    assert {(verdict.level, verdict.severity) for verdict in found} == {(name, "watch")}


def test_a_quiet_day_has_no_bottleneck():
    """Twenty days without a bottleneck give no false alarm."""
    found = [day_of({}, 0.0, (0, 0), 8, seed) for seed in range(20)]
    assert {(verdict.level, verdict.severity) for verdict in found} == {("no bottleneck", "ok")}


def test_waits_are_judged_on_an_unknown_number_of_vcpus():
    """The rule on vCPUs needs them; the rule on classes of waits does not."""
    classes = db_load.by_class(load(io__aurora_redo_log_flush=9.0))
    profiles = db_load.profile(classes, INSTANCES.iloc[:0], HOUR)
    [verdict] = db_load.verdicts(classes, profiles, NO_METRICS)
    assert verdict.level == "commit path"
    assert "db-1 (role unknown)" in verdict.sentence
    assert "on an unknown number of vCPUs" in verdict.sentence


def test_no_db_load_is_unknown():
    """A cluster without Performance Insights gets one verdict and no exception."""
    classes = db_load.by_class(load(cpu=1.0).iloc[:0])
    [verdict] = db_load.verdicts(classes, db_load.profile(classes, INSTANCES, HOUR), NO_METRICS)
    assert (verdict.subject, verdict.level) == ("all instances", "unknown")
    assert db_load.shares(classes).empty
    assert db_load.hour_of_week(classes, pd.Series(dtype=str)).empty


def test_a_cluster_without_tables_gives_empty_results(tmp_path):
    """The store returns empty frames for tables that were never written."""
    nothing = Store(tmp_path)
    rows, queries = (nothing.read(table, cluster="lab") for table in ("db_load", "slow_queries"))
    profiles = db_load.profile(db_load.by_class(rows), nothing.instances(HOUR, cluster="lab"), HOUR)
    assert profiles.empty
    assert db_load.statement_load(rows).empty
    assert db_load.statistics(nothing.read("statement_metrics", cluster="lab"), HOUR).empty
    costs = db_load.costs(queries, pd.Series(dtype="str"), HOUR)
    found = db_load.practices(costs, profiles, HOUR)
    assert db_load.practice_verdicts(found) == []


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


def queries(**columns: object) -> pd.DataFrame:
    """One execution, half an hour long by default."""
    row = {
        "started_at": pd.Timestamp("2026-11-09 00:10", tz="UTC"),
        "ended_at": pd.Timestamp("2026-11-09 00:40", tz="UTC"),
        "instance": "db-1",
        "user": "etl",
        "digest": "d",
        "query_time_s": 1800.0,
        "rows_sent": 5,
        "rows_examined": 4_000_000,
    }
    return pd.DataFrame([row | columns])


def found_practices(rows: pd.DataFrame, role: str = "reader") -> pd.DataFrame:
    classes = db_load.by_class(load(cpu=2.0))
    costs = db_load.costs(rows, pd.Series([role]), HOUR)
    return db_load.practices(costs, db_load.profile(classes, INSTANCES, HOUR), HOUR)


def test_a_bulk_extract_has_a_cost():
    """A run of half an hour in an hour is half a session, a quarter of a load of two."""
    found = found_practices(queries(rows_sent=4_000_000))
    assert found.loc[0, ["practice", "open_hours", "active_sessions", "load_pct"]].to_list() == [
        "bulk extract",
        0.5,
        0.5,
        25.0,
    ]
    [verdict] = db_load.practice_verdicts(found)
    assert (verdict.subject, verdict.level, verdict.severity) == ("etl", "bulk extract", "watch")
    assert "25 % of the load of db-1" in verdict.sentence


def test_a_practice_without_db_load_has_an_unknown_share():
    """The sentence states no share."""
    found = found_practices(queries(rows_sent=4_000_000)).assign(load_pct=np.nan)
    [verdict] = db_load.practice_verdicts(found)
    assert verdict.severity == "unknown"
    assert "of the load" not in verdict.sentence


def test_a_cost_on_an_instance_with_little_observed_load_is_unknown():
    """The mean of a tenth of the window is not the window's load."""
    classes = db_load.by_class(load(cpu=100.0).iloc[:1])
    costs = db_load.costs(queries(rows_sent=4_000_000), pd.Series(["reader"]), HOUR)
    found = db_load.practices(costs, db_load.profile(classes, INSTANCES, HOUR), HOUR)
    [verdict] = db_load.practice_verdicts(found)
    assert verdict.severity == "unknown"


def test_only_time_inside_the_window_is_counted():
    """A statement that began a day earlier counts for 40 minutes of the window's hour."""
    found = found_practices(queries(rows_sent=4e6, started_at=pd.Timestamp("2026-11-08", tz="UTC")))
    assert found.loc[0, "open_hours"] == pytest.approx(40 / 60)


def test_a_long_query_with_few_rows_sent_is_unoptimised_on_a_reader():
    """On the writer it may be a write, which sends no rows."""
    assert found_practices(queries())["practice"].to_list() == ["long unoptimised query"]
    assert found_practices(queries(), role="writer").empty


@pytest.mark.parametrize("harmless", [{"query_time_s": 5.0}, {"rows_examined": 4000}])
def test_a_short_or_a_lean_query_is_no_bad_practice(harmless):
    """A bad practice is both long and wasteful."""
    assert found_practices(queries(**harmless)).empty
