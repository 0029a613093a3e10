"""What was sampled and timed becomes rows of the store's tables."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from aurora_analysis.engines.mysql.innodb_status import InnodbStatus, Transaction
from aurora_analysis.histogram import bucket
from aurora_analysis.lab import frames
from aurora_analysis.lab.sampler import Sample
from aurora_analysis.lab.workload import Ran, Timing
from aurora_analysis.tables import METRICS, TABLES
from aurora_analysis.window import Window

AT = int(datetime(2026, 11, 23, 11, tzinfo=UTC).timestamp())
WINDOW = Window("2026-11-23T11:00", "2026-11-23T11:00:15")


def sample(second: int, *transactions: Transaction, views: dict[int, int] | None = None) -> Sample:
    held = views or {}
    seen = InnodbStatus(7, 200, 190, min([200, *held.values()]), len(held), len(transactions), held, {})
    return Sample(AT + second, seen, 12.5, list(transactions))


def transaction(thread: int, user: str, query: str | None = None) -> Transaction:
    command = "Query" if query else "Sleep"
    return Transaction(thread, user, "localhost", command, AT - 30, "REPEATABLE READ", 0, query)


def instance(user: str) -> str:
    return "lab-writer" if user == "app" else "lab-reader"


@pytest.fixture
def timings() -> pd.DataFrame:
    """Two batches and a commit in the first second, one batch in the third."""
    return frames.timed(
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


def test_metrics_have_a_value_a_second(timings):
    """Latency is the mean of what ended in the second; where nothing ended there is none, and the throughput is 0."""
    rows = frames.metrics([sample(0)], timings, {AT + n: 40.0 for n in range(3)})
    assert values(rows, "queue_latency") == {0: 2.0, 2: 8.0}
    assert values(rows, "queue_latency", "p95") == pytest.approx({0: 2.9, 2: 8.0})
    assert values(rows, "queue_throughput") == {0: 2, 1: 0, 2: 1}
    assert values(rows, "history_list_length") == {0: 7}
    assert values(rows, "cpu_utilization") == {0: 12.5}
    assert set(rows["name"]) <= set(METRICS)
    assert set(rows.columns) <= set(TABLES["metrics"].column_names())


def test_a_missed_sample_is_a_gap():
    """Nothing is made up for the second in which no sample was taken."""
    rows = frames.metrics([sample(0), sample(2)], frames.timed([]), {AT + n: 40.0 for n in range(3)})
    assert sorted(values(rows, "history_list_length")) == [0, 2]
    assert values(rows, "queue_latency") == {}
    assert values(rows, "queue_throughput") == {0: 0, 1: 0, 2: 0}


def test_histograms_count_each_execution_of_a_statement_once(timings):
    """By ten seconds of the window; the last period is what is left of it."""
    rows = frames.histograms(timings, WINDOW)
    assert rows["count"].sum() == 2
    second = rows[rows["time"] == pd.Timestamp("2026-11-23T11:00:10Z")]
    assert second["period_s"].tolist() == [5.0]
    assert second["bucket"].tolist() == bucket([2.0]).tolist()


def test_statement_metrics_agree_with_the_histograms(timings):
    """The same executions, counted the other way."""
    rows = frames.statement_metrics(timings, WINDOW)
    assert rows["calls"].sum() == frames.histograms(timings, WINDOW)["count"].sum()
    assert set(rows["digest"]) <= set(frames.statements(WINDOW)["digest"])


def test_open_transactions_tell_who_holds_a_view():
    """An idle session that holds one, and a query that holds none."""
    seen = sample(0, transaction(5, "airflow"), transaction(6, "bi", "SELECT 1"), views={5: 150})
    rows = frames.open_transactions([seen], instance, leave_out={"root"}).set_index("user")
    assert rows["has_read_view"].to_dict() == {"airflow": True, "bi": False}
    assert rows["command"].to_dict() == {"airflow": "Sleep", "bi": "Query"}
    assert pd.isna(rows.loc["airflow", "digest"])
    assert rows.loc["airflow", "started_at"] == pd.Timestamp("2026-11-23T10:59:30Z")


def test_no_transactions_make_an_empty_table():
    """As in a block in which nothing was open."""
    rows = frames.open_transactions([], instance, leave_out=set())
    assert rows.empty
    assert list(rows.columns) == frames.OPEN_TRANSACTION


def test_an_instance_without_a_view_needs_nothing_old():
    """Its oldest view is the counter, as on Aurora."""
    seen = sample(0, transaction(5, "airflow"), views={5: 150})
    rows = frames.read_views([seen], {"lab-writer": "writer", "lab-reader": "reader"}, instance)
    assert rows.set_index("role")["oldest_read_view_trx_id"].to_dict() == {"writer": 200, "reader": 150}


def test_runs_are_noted_in_the_plan():
    """Where a run did not take place the times stay missing."""
    plan = pd.DataFrame({"workload": ["bi", "snowflake"]})
    rows = frames.with_runs(plan, [Ran(1, AT + 0.25, AT + 45.0)])
    assert rows["started_at"].isna().tolist() == [True, False]
    assert rows.loc[1, "ended_at"] == pd.Timestamp("2026-11-23T11:00:45Z")


def test_metrics_of_a_longer_period(timings):
    """The mean of what ended in the period; its throughput is still by the second."""
    rows = frames.metrics([sample(0)], timings, {AT: 40.0, AT + 10: 40.0}, period_s=10)
    assert values(rows, "queue_latency") == {0: 4.0}
    assert values(rows, "queue_throughput") == {0: 0.3, 10: 0.0}
    assert rows["period_s"].eq(10).all()


def test_a_slow_query_of_a_planned_run_begins_when_its_client_says():
    """The log knows the second only; what belongs to no run keeps the log's time."""
    at = pd.Timestamp("2026-11-23T11:00:00Z").as_unit("us")
    logged = pd.DataFrame({"started_at": [at, at + pd.Timedelta("9s")], "user": ["bi", "app"]}).assign(
        ended_at=lambda rows: rows["started_at"] + pd.Timedelta("5s"),
        query_time_s=5.2,
        time_precision_s=1.0,
    )
    ran = at + pd.Timedelta("700ms")
    plan = pd.DataFrame({"workload": ["bi", "bi"], "started_at": [ran, pd.NaT]}).astype(
        {"started_at": logged["started_at"].dtype}
    )
    rows = frames.with_client_times(logged, plan, pd.Timedelta("1s"), 0.001).set_index("user")
    assert rows.loc["bi", "started_at"] == ran
    assert rows.loc["bi", "ended_at"] == ran + pd.Timedelta("5.2s")
    assert rows.loc["app", "started_at"] == at + pd.Timedelta("9s")
    assert rows["time_precision_s"].to_dict() == {"bi": 0.001, "app": 1.0}


def test_slow_queries_of_the_window_are_told_of_their_instance():
    """What ended before it was the set-up; where nothing ended inside, no row is left."""
    ended = pd.to_datetime(["2026-11-23T10:59:59Z", "2026-11-23T11:00:01Z"])
    rows = pd.DataFrame({"ended_at": ended, "user": ["app", "bi"]})
    assert frames.slow_queries(rows, WINDOW, instance)["instance"].tolist() == ["lab-reader"]
    assert frames.slow_queries(rows[:1], WINDOW, instance).empty
