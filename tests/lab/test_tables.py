"""The lab's samples and client timings become rows of the store's tables."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from aurora_analysis.engines.mysql.innodb_status import InnodbStatus, Transaction
from aurora_analysis.glossary import METRICS
from aurora_analysis.histogram import bucket
from aurora_analysis.lab import tables
from aurora_analysis.lab.sampler import InnodbSample
from aurora_analysis.lab.workload import RunTimes, Timing
from aurora_analysis.tables import TABLES
from aurora_analysis.window import Window

AT = int(datetime(2026, 11, 23, 11, tzinfo=UTC).timestamp())
WINDOW = Window("2026-11-23T11:00", "2026-11-23T11:00:15")


def sample(second: int, *transactions: Transaction, views: dict[int, int] | None = None) -> InnodbSample:
    held = views or {}
    seen = InnodbStatus(7, 200, 190, min([200, *held.values()]), len(held), len(transactions), held, {})
    return InnodbSample(AT + second, seen, 12.5, list(transactions))


def transaction(thread: int, user: str, query: str | None = None) -> Transaction:
    command = "Query" if query else "Sleep"
    return Transaction(thread, user, "localhost", command, AT - 30, "REPEATABLE READ", 0, query)


def instance(user: str) -> str:
    return "lab-writer" if user == "app" else "lab-reader"


@pytest.fixture
def timings() -> pd.DataFrame:
    """Two batches and a commit in the first second, one batch in the third."""
    return tables.timed(
        [
            Timing(AT + 0.2, "batch", "queue", 1.0),
            Timing(AT + 0.8, "batch", "queue", 3.0),
            Timing(AT + 0.9, "commit", "commit", 0.5),
            Timing(AT + 2.5, "batch", "queue", 8.0),
            Timing(AT + 11.0, "oldest", "select", 2.0),
        ]
    )


def values(rows: pd.DataFrame, name: str, statistic: str = "average") -> dict[int, float]:
    wanted = rows[(rows["name"] == name) & (rows["statistic"] == statistic)]
    return {int(time.timestamp()) - AT: value for time, value in zip(wanted["time"], wanted["value"])}


def test_metrics_have_one_value_per_second(timings):
    """Latency is the mean of executions that ended in the second; without any it is missing, and throughput is 0."""
    rows = tables.metrics([sample(0)], timings, {AT + n: 40.0 for n in range(3)})
    assert values(rows, "queue_latency") == {0: 2.0, 2: 8.0}
    assert values(rows, "queue_latency", "p95") == pytest.approx({0: 2.9, 2: 8.0})
    assert values(rows, "queue_throughput") == {0: 2, 1: 0, 2: 1}
    assert values(rows, "history_list_length") == {0: 7}
    assert values(rows, "cpu_utilization") == {0: 12.5}
    assert set(rows["name"]) <= set(METRICS)
    assert set(rows.columns) <= set(TABLES["metrics"].column_names())


def test_a_missed_sample_is_a_gap():
    """A second without a sample has no value."""
    rows = tables.metrics([sample(0), sample(2)], tables.timed([]), {AT + n: 40.0 for n in range(3)})
    assert sorted(values(rows, "history_list_length")) == [0, 2]
    assert values(rows, "queue_latency") == {}
    assert values(rows, "queue_throughput") == {0: 0, 1: 0, 2: 0}


def test_histograms_count_each_execution_of_a_statement_once(timings):
    """In periods of ten seconds; the last period may be shorter."""
    rows = tables.histograms(timings, WINDOW)
    assert rows["count"].sum() == 2
    second = rows[rows["time"] == pd.Timestamp("2026-11-23T11:00:10Z")]
    assert second["period_s"].tolist() == [5.0]
    assert second["bucket"].tolist() == bucket([2.0]).tolist()


def test_statement_metrics_agree_with_the_histograms(timings):
    """Both count the same executions."""
    rows = tables.statement_metrics(timings, WINDOW)
    assert rows["calls"].sum() == tables.histograms(timings, WINDOW)["count"].sum()
    assert set(rows["digest"]) <= set(tables.statements(WINDOW)["digest"])


def test_open_transactions_show_which_sessions_hold_a_view():
    """An idle session holds one, a query without InnoDB tables does not."""
    seen = sample(0, transaction(5, "airflow"), transaction(6, "bi", "SELECT 1"), views={5: 150})
    rows = tables.open_transactions([seen], instance, leave_out={"root"}).set_index("user")
    assert rows["has_read_view"].to_dict() == {"airflow": True, "bi": False}
    assert rows["command"].to_dict() == {"airflow": "Sleep", "bi": "Query"}
    assert pd.isna(rows.loc["airflow", "digest"])
    assert rows.loc["airflow", "started_at"] == pd.Timestamp("2026-11-23T10:59:30Z")


def test_no_transactions_give_an_empty_table():
    """As in a block without any open transaction."""
    rows = tables.open_transactions([], instance, leave_out=set())
    assert rows.empty
    assert list(rows.columns) == tables.OPEN_TRANSACTION


def test_an_instance_without_a_view_has_the_counter_as_its_oldest_view():
    """As on Aurora."""
    seen = sample(0, transaction(5, "airflow"), views={5: 150})
    rows = tables.read_views([seen], {"lab-writer": "writer", "lab-reader": "reader"}, instance)
    assert rows.set_index("role")["oldest_read_view_trx_id"].to_dict() == {"writer": 200, "reader": 150}


def test_run_times_are_added_to_the_plan():
    """They stay missing for runs that did not take place."""
    plan = pd.DataFrame({"workload": ["bi", "snowflake"]})
    rows = tables.with_runs(plan, [RunTimes(1, AT + 0.25, AT + 45.0)])
    assert rows["started_at"].isna().tolist() == [True, False]
    assert rows.loc[1, "ended_at"] == pd.Timestamp("2026-11-23T11:00:45Z")


def test_metrics_of_a_longer_period(timings):
    """Latency is the mean of the period; throughput stays per second."""
    rows = tables.metrics([sample(0)], timings, {AT: 40.0, AT + 10: 40.0}, period_s=10)
    assert values(rows, "queue_latency") == {0: 4.0}
    assert values(rows, "queue_throughput") == {0: 0.3, 10: 0.0}
    assert rows["period_s"].eq(10).all()


def test_a_slow_query_of_a_planned_run_gets_its_clients_start():
    """The log has whole seconds only; other slow queries keep the log's time."""
    at = pd.Timestamp("2026-11-23T11:00:00Z").as_unit("us")
    logged = pd.DataFrame({"started_at": [at, at + pd.Timedelta("9s")], "user": ["bi", "app"]}).assign(
        ended_at=lambda rows: rows["started_at"] + pd.Timedelta("5s"),
        query_time_s=5.2,
        time_precision_s=1.0,
    )
    started = at + pd.Timedelta("700ms")
    plan = pd.DataFrame({"workload": ["bi", "bi"], "started_at": [started, pd.NaT]}).astype(
        {"started_at": logged["started_at"].dtype}
    )
    rows = tables.with_client_times(logged, plan, pd.Timedelta("1s"), 0.001).set_index("user")
    assert rows.loc["bi", "started_at"] == started
    assert rows.loc["bi", "ended_at"] == started + pd.Timedelta("5.2s")
    assert rows.loc["app", "started_at"] == at + pd.Timedelta("9s")
    assert rows["time_precision_s"].to_dict() == {"bi": 0.001, "app": 1.0}


def test_slow_queries_of_the_window_get_their_instance():
    """Those that ended before the window belong to the set-up and are dropped."""
    ended = pd.to_datetime(["2026-11-23T10:59:59Z", "2026-11-23T11:00:01Z"])
    rows = pd.DataFrame({"ended_at": ended, "user": ["app", "bi"]})
    assert tables.slow_queries(rows, WINDOW, instance)["instance"].tolist() == ["lab-reader"]
    assert tables.slow_queries(rows[:1], WINDOW, instance).empty
