"""An Aurora PostgreSQL cluster from AWS: what is fetched equals what happened, and doctor states the exact fixes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from aws_endpoint import Cluster, Endpoint, ledger
from click.testing import CliRunner, Result
from fetching import environment, inside

from aurora_analysis import Store, Window
from aurora_analysis.cli import main

HOURS = Window("2026-11-09T08:50", "2026-11-09T09:50")
"""An hour in which the extract runs."""
START, NOW = datetime(2026, 11, 9, 8, tzinfo=UTC), datetime(2026, 11, 9, 11, tzinfo=UTC)


@contextmanager
def endpoint(
    *misbehaving: str, frames: dict[str, pd.DataFrame] | None = None, **how: Any
) -> Iterator[Endpoint]:
    """Serve the made cluster; keyword arguments go to the cluster."""
    exports = {"exports": ("postgresql",)}
    made = frames or ledger.tables(START, NOW)
    with Endpoint(Cluster(ledger.NAME, made, **exports | how), NOW, misbehaving) as aws:
        yield aws


def run(aws: Endpoint, *words: str) -> Result:
    """Run a command about the cluster."""
    command = [*words, "--cluster", ledger.NAME, "--now", NOW.isoformat()]
    return CliRunner(env=environment(aws)).invoke(main, command, catch_exceptions=False)


def fetch(aws: Endpoint, location: Path, *more: str) -> Result:
    """Fetch the hour."""
    span = ["--start", HOURS.start.isoformat(), "--end", HOURS.end.isoformat()]
    return run(aws, "fetch", "--store", str(location), *span, *more)


@pytest.fixture(scope="module")
def truth() -> dict[str, pd.DataFrame]:
    tables = ledger.tables(START, NOW)
    return {name: inside(tables[name], HOURS) for name in ("metrics", "statement_metrics", "vacuums")}


@pytest.fixture(scope="module")
def fetched(tmp_path_factory) -> tuple[Store, Result]:
    """The store after a fetch of every source, and the command's result."""
    folder = tmp_path_factory.mktemp("ledger") / "store"
    with endpoint() as aws:
        result = fetch(aws, folder)
    return Store(str(folder)), result


def metric(store: Store, name: str, instance: str = ledger.WRITER) -> pd.Series:
    """A metric of an instance by time."""
    rows = store.read("metrics", HOURS, cluster=ledger.NAME, where={"name": name, "instance": instance})
    return rows.set_index("time")["value"].sort_index()


def test_every_chunk_is_fetched(fetched):
    """Nothing failed, and nothing is unexplained."""
    store, result = fetched
    assert result.exit_code == 0, result.output
    assert "Traceback" not in result.output
    rows = store.coverage(HOURS, cluster=ledger.NAME)
    assert not rows["received"].isna().any()
    assert {*rows["source"]} == {
        "rds",
        "cloudwatch",
        "performance insights",
        "enhanced monitoring",
        "slow log",
    }


def test_the_horizons_age_is_that_of_each_kind_of_holder(fetched, truth):
    """What the readers hold is a metric of its own; 2,147,483,647, by which the service states 'none', is an age of zero."""
    store, _ = fetched
    known = truth["metrics"]
    held = known[known["name"] == "xmin_age_readers"].set_index("time")["value"]
    pd.testing.assert_series_equal(
        metric(store, "xmin_age_readers"), held, check_names=False, check_freq=False
    )
    assert set(metric(store, "xmin_age_prepared")) == {0.0}
    assert set(metric(store, "xmin_age_slots")) == {200.0}  # the larger of two counters, not their sum
    assert set(metric(store, "rows_changed")) == {400.0}  # three counters add up


def test_settings_and_roles_are_stored(fetched):
    """The engine, its version, the threshold of the log and the isolation level."""
    rows = fetched[0].read("instances", HOURS, cluster=ledger.NAME).drop_duplicates("instance", keep="last")
    assert dict(zip(rows["instance"], rows["role"])) == {
        "ledger-1": "writer", "ledger-2": "reader", "ledger-3": "reader"
    }  # fmt: skip
    assert {*rows["engine"]} == {"aurora-postgresql"}
    assert {*rows["long_query_time_s"]} == {1.0}
    assert {*rows["isolation_level"]} == {"READ COMMITTED"}


def test_load_is_stored_by_application_and_by_wait_event_with_its_type(fetched):
    """PostgreSQL's sessions name their application; Performance Insights states a wait event's type apart."""
    load = fetched[0].read("db_load", HOURS, cluster=ledger.NAME)
    members = load.groupby(["instance", "dimension"])["member"].agg(set)
    assert members["ledger-3", "application"] == {"dbt"}
    assert members["ledger-1", "wait_event"] == {"cpu", "IO:XactSync"}
    assert members["ledger-3", "wait_event"] == {"Client:ClientWrite"}


def test_statements_have_their_buffers_per_call(fetched, truth):
    """The mechanism: pages that an execution must step over, by minute."""
    store, _ = fetched
    statements = store.read("statements", cluster=ledger.NAME)
    (digest,) = statements[statements["fingerprint"].str.contains("skip locked")]["digest"].unique()
    found = store.read("statement_metrics", HOURS, cluster=ledger.NAME)
    found = found[found["digest"] == digest].set_index("time").sort_index()
    known = truth["statement_metrics"].query("digest == 'queue'").set_index("time")
    for column in ("calls", "mean_latency_ms", "buffers_per_call"):
        pd.testing.assert_series_equal(found[column], known[column], check_freq=False)


def same_logs(store: Store, truth: dict[str, pd.DataFrame]) -> None:
    """Assert that the log's executions and reports of vacuum are stored, with the extract's client."""
    runs = store.read("slow_queries", HOURS, cluster=ledger.NAME)
    assert [
        *runs[["instance", "user", "host", "database", "query_time_s"]].itertuples(index=False, name=None)
    ] == [("ledger-3", "snowflake", "10.0.0.9", "app", 2400.0)]
    vacuums = store.read("vacuums", HOURS, cluster=ledger.NAME).sort_values("time")
    assert vacuums["removed"].tolist() == truth["vacuums"]["removed"].tolist()
    assert vacuums["dead_not_removable"].tolist() == truth["vacuums"]["dead_not_removable"].tolist()
    lost = store.coverage(HOURS, cluster=ledger.NAME).query("source == 'slow log'")
    assert set(lost["table"]) == {"slow_queries", "vacuums"}
    assert lost["lost"].sum() == 0


def test_exported_logs_are_read_by_their_numbered_streams(fetched, truth):
    """RDS writes `ledger-3.0`; the store has the instance."""
    same_logs(fetched[0], truth)


def test_log_files_are_read_where_nothing_is_exported(tmp_path, truth):
    """A file is named by its start, the current one as well, and RDS keeps files for three days."""
    with endpoint("overlaps_portions", exports=()) as aws:
        result = fetch(aws, tmp_path, "--source", "slow log")
    assert result.exit_code == 0, result.output
    same_logs(Store(str(tmp_path)), truth)


def test_a_counter_that_the_version_lacks_is_said_and_not_zero(tmp_path):
    """The coverage and doctor name it; no row states zero."""
    lacking = frozenset({"db.Transactions.oldest_reader_feedback_xid_age", "db.SQL.tup_deleted"})
    with endpoint(absent_counters=lacking) as aws:
        fetch(aws, tmp_path, "--source", "performance insights", "--instance", ledger.WRITER)
        doctor = run(aws, "doctor").output
    store = Store(str(tmp_path))
    assert metric(store, "xmin_age_readers").empty
    assert metric(store, "rows_changed").empty  # two of three counters are not the sum
    notes = store.coverage(HOURS, cluster=ledger.NAME)["note"].str.cat()
    assert "rows_changed, sampled_vcpus, xmin_age_readers" in notes
    assert "16.6 has no counter of readers: what holds vacuum may go unseen" in doctor


def test_rds_for_postgresql_has_another_name_for_the_readers_counter():
    """Both names lead to one metric."""
    from aurora_analysis.sources.aws.performance_insights_series import Offer

    names = (
        "db.Transactions.oldest_hot_standby_feedback_xid_age",
        "db.Transactions.oldest_reader_feedback_xid_age",
    )
    for name in names:
        offer = Offer((name,), engine="postgres")
        assert offer.counters() == {name: "xmin_age_readers"}
        assert "xmin_age_readers" not in offer.absent_counters()


def test_doctor_knows_the_engine(fetched):
    """On a cluster that is set up well, nothing is a gap, and nothing speaks of MySQL or of backtracking."""
    with endpoint() as aws:
        output = run(aws, "doctor").output
    assert "Aurora PostgreSQL 16.6" in output
    assert not [line for line in output.splitlines() if "  gap  " in line]
    assert "of readers, sessions of the writer, prepared transactions, replication slots" in output
    assert "backtrack" not in output


FIXES = {
    "log_min_duration_statement": ("-1", "ParameterValue=1000,ApplyMethod=immediate"),
    "log_autovacuum_min_duration": ("10000", "ParameterValue=0,ApplyMethod=immediate"),
    "idle_in_transaction_session_timeout": ("86400000", "ParameterValue=600000,ApplyMethod=immediate"),
    "max_standby_streaming_delay": ("1000", "ParameterValue=30000,ApplyMethod=immediate"),
    "log_line_prefix": ("%m ", "ParameterValue='%t:%r:%u@%d:[%p]:',ApplyMethod=immediate\""),
    "shared_preload_libraries": (
        "auto_explain,pg_cron",
        "ParameterValue='auto_explain,pg_cron,pg_stat_statements',ApplyMethod=pending-reboot\""
        " && aws rds reboot-db-instance --db-instance-identifier ledger-3",
    ),
}
"""Parameter → a value that does not suit, and what its fix must contain."""


def test_doctor_states_the_exact_fix_of_each_parameter():
    """A list keeps what it has, a static parameter needs a reboot, and the value survives the shell."""
    values = {"parameters": {name: value for name, (value, _) in FIXES.items()}}
    with endpoint(overrides=dict.fromkeys(ledger.INSTANCES, values), exports=()) as aws:
        output = run(aws, "doctor").output
    for name, (_, fix) in FIXES.items():
        (line,) = [line for line in output.splitlines() if line.startswith(f"ledger-3, {name}:")]
        assert f"ParameterName={name},{fix}" in line
    assert "off: RDS keeps the files for 72 hours" in output
    assert "--cloudwatch-logs-export-configuration EnableLogTypes=postgresql" in output


def test_defaults_of_aurora_are_used_where_no_group_sets_them():
    """Aurora loads pg_stat_statements by default: that is no gap. Its default idle limit of a day is one."""
    from aurora_analysis.engines.postgresql import settings

    found = {
        check.name: check.is_good(settings.DEFAULTS[check.name])
        for check in (*settings.SLOW_LOG_CHECKS, *settings.METRIC_CHECKS)
    }
    assert found == {
        "log_min_duration_statement": False,
        "log_autovacuum_min_duration": False,
        "log_line_prefix": True,
        "shared_preload_libraries": True,
        "max_standby_streaming_delay": True,
        "idle_in_transaction_session_timeout": False,
    }


def test_bad_answers_change_nothing(fetched, tmp_path):
    """Pages that come twice, lists in reverse, empty pages and cut series: the store equals a well-behaved service's."""
    with endpoint("repeats_pages", "reverses", "empty_pages", "truncates_points") as aws:
        result = fetch(aws, tmp_path)
    assert result.exit_code == 0, result.output
    for table in ("metrics", "db_load", "statement_metrics", "slow_queries", "vacuums"):
        good, other = (
            store.read(table, HOURS, cluster=ledger.NAME).pipe(lambda rows: rows.sort_values([*rows.columns]))
            for store in (fetched[0], Store(str(tmp_path)))
        )
        pd.testing.assert_frame_equal(good.reset_index(drop=True), other.reset_index(drop=True))
