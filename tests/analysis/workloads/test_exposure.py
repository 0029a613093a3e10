"""Exposure comes from the log, else from db load, else it is unknown; an unlisted member is not idle."""

from __future__ import annotations

import pandas as pd
import pytest

from aurora_analysis import Store, Window
from aurora_analysis.analysis import reader_impact, workloads
from aurora_analysis.analysis.workloads import exposure, writer_jobs
from aurora_analysis.store import location

HOUR = Window("2026-11-09T10:00", "2026-11-09T11:00")


def at(minute: float) -> pd.Timestamp:
    return (pd.Timestamp(HOUR.start) + pd.Timedelta(minutes=minute)).as_unit("us")


def queries(*runs: tuple[str, float, float]) -> pd.DataFrame:
    """Executions on db-2: user, start and end in minutes."""
    columns = {"user": "str", "started_at": "datetime64[us, UTC]", "ended_at": "datetime64[us, UTC]"}
    frame = pd.DataFrame([(user, at(start), at(end)) for user, start, end in runs], columns=list(columns))
    return frame.astype(columns).assign(instance="db-2", digest="d", thread_id=1)


def load(*rows: tuple[float, str, str, float]) -> pd.DataFrame:
    """Periods of a minute on db-2: minute, dimension, member, active sessions."""
    frame = pd.DataFrame(rows, columns=["minute", "dimension", "member", "active_sessions"])
    times = pd.DatetimeIndex([at(minute) for minute in frame["minute"]], dtype="datetime64[us, UTC]")
    return frame.assign(time=times, period_s=60.0, instance="db-2")


def listed(users: dict[str, dict[int, float]], rest: float = 0.0) -> pd.DataFrame:
    """An hour in which users had these sessions by minute, and others `rest`."""
    rows = [(n, "user", user, sessions[n]) for user, sessions in users.items() for n in sessions]
    return load(*rows, *[(n, "user", "(other)", rest) for n in range(60)])


def covered(start: float, end: float, **columns) -> pd.DataFrame:
    """A row of coverage of db-2's slow log."""
    row = {
        "time": at(start),
        "end": at(end),
        "instance": "db-2",
        "source": "slow log",
        "table": "slow_queries",
        "expected": 100.0,
        "received": 100.0,
        "lost": 0.0,
    }
    return pd.DataFrame([row | columns])


def fetched(*log: pd.DataFrame, until: float = 60) -> pd.DataFrame:
    """Coverage of a window with complete metrics and the given log."""
    return pd.concat([covered(0, until, table="metrics"), *log], ignore_index=True)


def instances(*names: str, **columns) -> pd.DataFrame:
    """Readers as the table instances lists them."""
    settings = {
        "slow_query_log": None,
        "log_slow_rate_limit": None,
        "log_output": None,
        "custom_endpoints": None,
    }
    rows = [{"time": at(0), "instance": name, "role": "reader"} | settings | columns for name in names]
    return pd.DataFrame(rows).astype({"log_slow_rate_limit": float, "log_output": "str"})


NO_COVERAGE = covered(0, 60)[:0]


def minutes(spans: pd.DataFrame, name: str) -> list[tuple[float, float]]:
    """A workload's spans in minutes."""
    mine = spans[spans["workload"] == name]
    offsets = [(mine[edge] - at(0)).dt.total_seconds() / 60 for edge in ("start", "end")]
    return list(zip(*(list(offset) for offset in offsets)))


def test_the_log_takes_precedence_over_the_load():
    """The log shows etl for ten minutes; the load of many short statements is not one open statement."""
    found = exposure.exposure(
        exposure.Tables(
            queries(("etl", 5, 15)), listed({"etl": {30: 3.0}}), covered(0, 60), instances("db-2"), HOUR
        )
    )
    assert minutes(found.runs, "etl") == [(5, 15)]
    assert found.unknown.empty
    assert found.sources.to_numpy().tolist() == [["db-2", 1.0, 1.0, 0.0, 0.0]]


@pytest.mark.parametrize("log", [queries(), queries(("app", 5, 6))])
def test_a_load_of_short_statements_makes_no_run(log):
    """After the log ends, app is as active as in the logged minutes in which it had nothing open."""
    users = {"app": dict.fromkeys(range(60), 2.0), "etl": {10: 1.0, 11: 1.0, 45: 1.0}}
    ran = pd.concat([log, queries(("etl", 10, 12))], ignore_index=True)
    found = exposure.exposure(
        exposure.Tables(ran, listed(users), fetched(covered(0, 30)), instances("db-2"), HOUR)
    )
    assert minutes(found.runs, "app") == minutes(workloads.exposures(log), "app")
    assert minutes(found.unknown, "app") == ([(30, 60)] if len(log) else [])
    assert minutes(found.runs, "etl") == [(10, 12), (45, 46)]
    assert minutes(found.unknown, "etl") == []


def test_without_a_log_the_load_decides():
    """Half a session counts as open; an unlisted member was idle where the rest is close to zero."""
    users = {"etl": {10: 1.0, 11: 0.9, 12: 0.3, 40: 1.0}, "app": dict.fromkeys(range(60), 0.2)}
    found = exposure.exposure(exposure.Tables(queries(), listed(users), NO_COVERAGE, instances("db-2"), HOUR))
    assert minutes(found.runs, "etl") == [(10, 12), (40, 41)]
    assert set(found.runs["workload"]) == {"etl"}
    assert found.unknown.empty


def test_an_applications_load_is_the_exposure_of_a_rule_by_application():
    """PostgreSQL's sessions name their application, and Performance Insights lists its load."""
    rows = load((10, "application", "dbt", 1.0), (10, "user", "app", 1.0), (40, "application", "psql", 1.0))
    tables = exposure.Tables(queries(), rows, NO_COVERAGE, instances("db-2"), HOUR)
    found = exposure.exposure(tables, {"models": [{"application": ["dbt"]}]})
    assert minutes(found.runs, "models") == [(10, 11)]


def test_an_unlisted_workload_is_unknown_beside_other_unlisted_load():
    """Two sessions are unlisted: etl may have been one of them."""
    users = {"etl": {10: 1.0, 11: 0.9, 30: 0.1}}
    found = exposure.exposure(
        exposure.Tables(queries(), listed(users, rest=2.0), NO_COVERAGE, instances("db-2"), HOUR)
    )
    assert minutes(found.runs, "etl") == [(10, 12)]
    assert minutes(found.unknown, "etl") == [(0, 10), (12, 30), (31, 60)]


def test_minutes_without_a_source_are_unknown():
    """The log covers half an hour, the load ten minutes more; the rest is unknown."""
    seen = listed({"etl": {32: 1.0}})
    found = exposure.exposure(
        exposure.Tables(
            queries(("etl", 5, 15)),
            seen[seen["time"] < at(40)],
            fetched(covered(0, 30)),
            instances("db-2"),
            HOUR,
        )
    )
    assert minutes(found.runs, "etl") == [(5, 15), (32, 33)]
    assert minutes(found.unknown, "etl") == [(40, 60)]
    assert found.sources["log"].item() == pytest.approx(1 / 2)
    assert found.sources["load"].item() == pytest.approx(1 / 6)
    assert found.sources["unknown"].item() == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("coverage", "settings"),
    [
        (covered(0, 60), {"slow_query_log": False}),
        (covered(0, 60), {"log_slow_rate_limit": 10.0}),
        (covered(0, 60), {"log_output": "TABLE"}),
        (covered(0, 60, received=None), {}),
        (covered(0, 60, lost=20.0), {}),
        (covered(0, 60, table="metrics"), {}),
        (covered(0, 60, instance="db-3"), {}),
    ],
)
def test_a_log_that_was_off_sampled_or_lost_does_not_count(coverage, settings):
    """An empty log of a server that logs nothing does not prove an hour without the workload."""
    found = exposure.exposure(
        exposure.Tables(
            queries(("etl", 5, 15)), listed({"etl": {40: 1.0}}), coverage, instances("db-2", **settings), HOUR
        )
    )
    assert minutes(found.runs, "etl") == [(5, 15), (40, 41)]
    assert found.sources["log"].item() == 0


def test_ingested_files_leave_no_hole_where_the_log_was_quiet():
    """A file's coverage ends with its last entry; a day without any file is a hole."""
    days = Window("2026-11-09T10:00", "2026-11-12T10:00")
    files = [covered(start, start + 60, source="slow_log a.log") for start in (0, 8 * 60, 50 * 60)]
    rotated = fetched(*files, until=72 * 60)
    found = exposure.exposure(
        exposure.Tables(queries(("etl", 5, 15)), load(), rotated, instances("db-2"), days)
    )
    assert minutes(found.unknown, "etl") == [(9 * 60, 50 * 60), (51 * 60, 72 * 60)]


def test_minutes_that_were_never_fetched_are_not_unknown():
    """A lookback of a fortnight in a store of one hour has an hour, not a fortnight of unknown minutes."""
    fortnight = Window("2026-11-01", "2026-11-15")
    found = exposure.exposure(
        exposure.Tables(
            queries(("etl", 5, 15)), load(), fetched(covered(0, 60)), instances("db-2"), fortnight
        )
    )
    assert found.sources["reader_hours"].item() == 1
    assert found.unknown.empty


def test_a_reader_without_any_source_is_listed():
    """It makes no minute of the other readers unknown, but the verdict names it."""
    found = exposure.exposure(
        exposure.Tables(queries(("etl", 5, 15)), load(), covered(0, 60), instances("db-2", "db-3"), HOUR)
    )
    assert found.unknown.empty
    assert found.unobserved() == ["db-3"]


def test_statements_without_any_coverage_are_runs():
    """No reader is observed then, and no minute is unknown for it."""
    ran = queries(("etl", 5, 15))
    found = exposure.exposure(exposure.Tables(ran, load(), fetched(), instances("db-2"), HOUR))
    assert minutes(found.runs, "etl") == [(5, 15)]
    assert found.unknown.empty


RULES = {"extracts": [{"user": ["sf_*"], "instance": ["db-2"]}], "tagged": [{"tags.app": ["dbt"]}]}


def test_a_rule_selects_load_where_the_load_has_its_field():
    """Rules match user, host, database or digest; load has no tags, so a tagged workload is unknown."""
    ran = queries(("sf_1", 5, 15), ("etl", 5, 15)).assign(tags=[None, '{"app": "dbt"}'])
    users = {"sf_1": {40: 0.4}, "sf_2": {40: 0.4}, "app": {40: 9.0}}
    coverage = fetched(covered(0, 30))
    found = exposure.exposure(exposure.Tables(ran, listed(users), coverage, instances("db-2"), HOUR), RULES)
    assert minutes(found.runs, "extracts") == [(5, 15), (40, 41)]
    assert minutes(found.runs, "tagged") == [(5, 15)]
    assert minutes(found.unknown, "tagged") == [(30, 60)]
    assert set(found.runs["workload"]) == {"extracts", "tagged"}


@pytest.fixture(scope="module")
def shop() -> dict[str, pd.DataFrame]:
    """The simulated fortnight, as it was logged and as Performance Insights would list it."""
    store = Store(location.sample())
    window = Window("2026-11-02", "2026-11-16")
    names = ["slow_queries", "db_load", "coverage", "instances"]
    tables = {name: store.read(name, window, cluster="shop") for name in names}
    role = {
        name: store.roles(tables[name], cluster="shop", time=time)
        for name, time in (("slow_queries", "started_at"), ("db_load", "time"))
    }
    return tables | {
        "window": window,
        "on_readers": tables["slow_queries"][role["slow_queries"] != "writer"],
        "on_writer": tables["slow_queries"][role["slow_queries"] == "writer"],
        "writers_load": tables["db_load"][role["db_load"] == "writer"],
        "metrics": store.metrics(reader_impact.WRITER_METRICS, window, cluster="shop"),
        "roles": store.writers(window, cluster="shop"),
    }


def test_an_hour_without_a_log_adds_no_workload(shop):
    """As a fetch leaves the last hour: app and dashboard, whose short statements never stop, stay what they are."""
    log = shop["coverage"]["table"] == "slow_queries"
    cut = shop["coverage"].copy()
    last = pd.Timestamp(shop["window"].end) - pd.Timedelta("1h")
    cut.loc[log, "end"] = cut.loc[log, "end"].clip(upper=last)
    found = [
        exposure.exposure(
            exposure.Tables(shop["on_readers"], shop["db_load"], coverage, shop["instances"], shop["window"]),
            shortest_s=10,
        )
        for coverage in (shop["coverage"], cut)
    ]
    assert (found[1].sources["log"] < 1).sum() == 2
    assert {*found[1].runs["workload"]} == {*found[0].runs["workload"]}


def test_without_any_slow_log_the_verdicts_stay(shop):
    """From load alone, in five-minute periods: the culprit slows, the harmless one does not, the tied one cannot tell."""
    unlogged = shop["coverage"][shop["coverage"]["table"] != "slow_queries"]
    window = (shop["db_load"], unlogged, shop["instances"], shop["window"])
    found = exposure.exposure(exposure.Tables(shop["on_readers"][:0], *window))
    jobs = writer_jobs.jobs(exposure.Tables(shop["on_writer"][:0], shop["writers_load"], *window[1:]))
    design = reader_impact.ordinary_days(shop["metrics"], found, jobs, writers=shop["roles"])
    effects = reader_impact.effects(design)
    commit = effects[effects["metric"] == "commit_latency"].set_index("workload")
    assert commit.loc["snowflake", "level"] == "slows"
    assert commit.loc["snowflake", "ci_low_pct"] < 12 < commit.loc["snowflake", "ci_high_pct"] + 0.5
    assert commit.loc["tableau", "level"] == "no material effect"
    assert commit.loc["finance", "level"] == "cannot tell"
    assert "writer job" in commit.loc["finance", "reason"]
    assert commit.loc["dashboard", "level"] == "cannot tell"


def test_the_minutes_around_the_failover_do_not_count(shop):
    """The series follows the role, from shop-1 to shop-2, and the minutes around the failover are masked."""
    logged = workloads.exposures(shop["on_readers"], shortest_s=10)
    only = exposure.Exposure(logged, logged[:0], pd.DataFrame())
    jobs = workloads.exposures(shop["on_writer"], shortest_s=10)
    assert list(shop["roles"]["writer"]) == ["shop-1", "shop-2"]
    (moved,) = shop["roles"]["start"][1:]
    near = (shop["metrics"].index >= moved - pd.Timedelta("5min")) & (
        shop["metrics"].index < moved + pd.Timedelta("14min")
    )
    worse = shop["metrics"].assign(commit_latency=lambda frame: frame["commit_latency"].mask(near, 500.0))
    found = [
        reader_impact.effects(reader_impact.ordinary_days(metrics, only, jobs, writers=shop["roles"]))
        for metrics in (shop["metrics"], worse)
    ]
    assert near.sum() >= 15
    pd.testing.assert_frame_equal(*found)


def test_load_and_log_agree_on_the_extracts(shop):
    """Where both sources exist, their runs overlap almost completely."""
    logged = workloads.exposures(shop["on_readers"], shortest_s=10)
    unlogged = shop["coverage"][shop["coverage"]["table"] != "slow_queries"]
    loaded = exposure.exposure(
        exposure.Tables(shop["on_readers"][:0], shop["db_load"], unlogged, shop["instances"], shop["window"])
    ).runs
    minutes_of = pd.date_range(shop["window"].start, shop["window"].end, freq="min", unit="us")
    shares = [workloads.exposure_share(runs, minutes_of, 60)["snowflake"] for runs in (logged, loaded)]
    assert shares[0].corr(shares[1]) > 0.95
