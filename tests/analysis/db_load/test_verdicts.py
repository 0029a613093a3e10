"""Bottlenecks with their rule, and planted ones that are found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from db_load_cases import HOUR, INSTANCES, NO_METRICS, TIMES, load

from aurora_analysis.analysis import db_load
from aurora_analysis.window import Window


def judge(
    rows: pd.DataFrame,
    metrics: pd.DataFrame = NO_METRICS,
    instances: pd.DataFrame = INSTANCES,
    **thresholds: float,
):
    classes = db_load.with_vcpus(db_load.by_class(rows), instances, metrics)
    [verdict] = db_load.verdicts(classes, db_load.profile(classes, instances, HOUR), metrics, **thresholds)
    return verdict


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
    assert verdict.evidence.endswith("p95 of the minute means of commit_latency: 95 ms")


def test_one_session_on_four_vcpus_is_no_bottleneck():
    """Nearly all of it is on CPU."""
    verdict = judge(load(cpu=1.0, io__aurora_redo_log_flush=0.2))
    assert (verdict.level, verdict.severity) == ("no bottleneck", "ok")
    assert verdict.numbers["mean_sessions"] == 1.2


def test_a_third_of_the_window_is_too_little():
    """The rest of the window may have been different."""
    verdict = judge(load(cpu=9.0).iloc[:4])
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")
    assert "33 % of the window was observed" in verdict.sentence


def judge_with_vcpus(rows: pd.DataFrame, vcpus: float):
    return judge(rows, instances=INSTANCES.assign(vcpus=vcpus))


def test_sixty_sessions_on_an_unknown_number_of_vcpus_are_unknown():
    """A serverless instance has no fixed number of vCPUs, so the verdict names the capacity that is missing."""
    verdict = judge_with_vcpus(load(cpu=60.0), np.nan)
    assert (verdict.level, verdict.severity) == ("unknown", "unknown")
    assert "the number of vCPUs is unknown" in verdict.sentence
    assert "sessions seldom outnumber the vCPUs" not in verdict.sentence
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
    assert "33 % of the window was observed" in verdict.sentence


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
    classes = db_load.with_vcpus(db_load.by_class(load), INSTANCES.assign(vcpus=vcpus), NO_METRICS)
    profiles = db_load.profile(classes, INSTANCES, Window(HOUR.start, day))
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


def capacity(name: str, values: list[float] | float) -> pd.DataFrame:
    """A metric of the hour's instance, every five minutes."""
    return pd.DataFrame(
        {"time": TIMES, "instance": "db-1", "name": name, "statistic": "average", "value": values}
    )


SERVERLESS = INSTANCES.assign(vcpus=np.nan)


def test_a_serverless_instance_is_judged_by_its_capacity_at_the_time():
    """Six sessions fit 32 ACUs, about 8 vCPUs, and not the 16 ACUs of the second half hour; the number is an estimate."""
    acus = capacity("serverless_capacity", [32.0] * 6 + [16.0] * 6)
    verdict = judge(load(cpu=6.0), acus, SERVERLESS)
    assert (verdict.level, verdict.severity) == ("CPU", "act")
    assert verdict.numbers["over_vcpus_pct"] == 50.0
    assert "on about 6 vCPUs (median; estimated from its ACUs" in verdict.sentence
    quiet = judge(load(cpu=1.0), acus, SERVERLESS)
    assert (quiet.level, quiet.severity) == ("no bottleneck", "ok")


def test_the_operating_system_counts_vcpus_where_the_class_does_not():
    """Its count is exact, so it comes before an estimate from ACUs; the class comes before both."""
    both = pd.concat([capacity("vcpus", 2.0), capacity("serverless_capacity", 64.0)])
    verdict = judge(load(cpu=3.0), both, SERVERLESS)
    assert verdict.numbers["vcpus"] == 2
    assert "on 2 vCPUs (counted by the operating system)" in verdict.sentence
    assert judge(load(cpu=3.0), both).numbers["vcpus"] == 4


def test_performance_insights_counts_vcpus_where_enhanced_monitoring_is_off():
    """Its count comes before that of Enhanced Monitoring, and the sentence names the source."""
    verdict = judge(load(cpu=3.0), capacity("sampled_vcpus", 2.0), SERVERLESS)
    assert verdict.numbers["vcpus"] == 2
    assert "on 2 vCPUs (counted by Performance Insights)" in verdict.sentence
    both = pd.concat([capacity("sampled_vcpus", 2.0), capacity("vcpus", 8.0)])
    assert judge(load(cpu=3.0), both, SERVERLESS).numbers["vcpus"] == 2


def test_a_capacity_of_minutes_is_not_that_of_an_hour():
    """An instance whose capacity was measured for ten minutes has an unknown number of vCPUs in the rest of the hour."""
    verdict = judge(load(cpu=6.0), capacity("serverless_capacity", 64.0).iloc[:2], SERVERLESS)
    assert verdict.severity == "unknown"
    assert "on an unknown number of vCPUs" in verdict.sentence


def test_waits_are_judged_on_an_unknown_number_of_vcpus():
    """The rule on vCPUs needs them; the rule on classes of waits does not."""
    verdict = judge(load(io__aurora_redo_log_flush=9.0), instances=INSTANCES.iloc[:0])
    assert verdict.level == "commit path"
    assert "db-1 (role unknown)" in verdict.sentence
    assert "on an unknown number of vCPUs" in verdict.sentence


def test_no_db_load_is_unknown():
    """A cluster without Performance Insights gets one verdict and no exception."""
    classes = db_load.with_vcpus(db_load.by_class(load(cpu=1.0).iloc[:0]), INSTANCES, NO_METRICS)
    [verdict] = db_load.verdicts(classes, db_load.profile(classes, INSTANCES, HOUR), NO_METRICS)
    assert (verdict.subject, verdict.level) == ("all instances", "unknown")
    assert db_load.shares(classes).empty
    assert db_load.hour_of_week(classes, pd.Series(dtype=str)).empty
