"""A short recording of a real server contains what really happened."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pandas as pd
import pytest
from deltalake import DeltaTable
from holder_agreement import harmless_share, judged

from aurora_analysis.glossary import METRICS
from aurora_analysis.store import Store
from aurora_analysis.tables import TABLES

pytestmark = pytest.mark.real

HOLDER, CONTROL, IDLE = "bi", "snowflake", "night_job"
"""Users of the extract, the control and the idle session in `short_recording`; the first two are swapped."""

DURATION_S, BLOCK_S = 86, 16


@pytest.fixture(scope="session")
def trials(short_recording: Store) -> pd.DataFrame:
    return short_recording.read("trials", cluster="lab")


def metric(store: Store, name: str, statistic: str = "average") -> pd.Series:
    return store.metric(name, store.span("lab"), cluster="lab", statistic=statistic)


def runs(trials: pd.DataFrame, workload: str) -> pd.DataFrame:
    return trials[(trials["workload"] == workload) & trials["started_at"].notna()]


def alone(trials: pd.DataFrame, workload: str) -> pd.DataFrame:
    """The workload's runs in blocks in which the other workload was off."""
    others = trials[(trials["trial"] == "lab") & (trials["workload"] != workload) & trials["assigned"]]
    return runs(trials, workload)[lambda rows: ~rows["block"].isin(others["block"])]


def during(series: pd.Series, run: pd.Series) -> pd.Series:
    """Samples during the run, at least a second away from both ends."""
    clear = pd.Timedelta(seconds=1)
    return series[run["started_at"] + clear : run["ended_at"] - clear]


def test_ctrl_c_keeps_what_was_recorded(begun, tmp_path):
    """The exit code is 0; the unfinished block, the plan and the coverage are stored."""
    command = [sys.executable, "-m", "aurora_analysis", "lab", "record", "--store", str(tmp_path / "store")]
    process = subprocess.Popen(
        [*command, "--minutes", "1", "--block-s", "15"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "history list up to" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    output, problems = process.communicate(timeout=60)
    assert process.returncode == 0, problems
    assert re.search(r"recorded .* as cluster lab", output)
    store = Store(tmp_path / "store")
    span = store.span("lab")
    assert 3 <= span.duration.total_seconds() < 40
    assert len(store.read("trials", cluster="lab")) == 5
    assert store.metric("history_list_length", span, cluster="lab").index.max() < span.end


def test_the_plan_was_written_before_the_first_block(short_recording, trials):
    """The first version with rows was committed before the first run, and has no run times."""
    history = DeltaTable(f"{short_recording.location}/trials/cluster=lab").history()
    written = next(commit for commit in reversed(history) if commit["operation"] == "WRITE")
    assert pd.Timestamp(written["timestamp"], unit="ms", tz="UTC") < trials["time"].min()
    plan = short_recording.at({"lab": {"trials": written["version"]}}).read("trials", cluster="lab")
    assert plan["started_at"].isna().all()
    columns = ["time", "end", "trial", "block", "workload", "assigned", "on_share", "holds_view"]
    pd.testing.assert_frame_equal(plan[columns], trials[columns])


def test_every_run_that_was_drawn_took_place_as_planned(trials):
    """On time, for as long as planned, and only where drawn."""
    assert (trials["started_at"].notna() == trials["assigned"]).all()
    ran = trials[trials["assigned"]]
    assert ((ran["started_at"] - ran["time"]).dt.total_seconds().between(0, 3)).all()
    assert ((ran["ended_at"] - ran["end"]).dt.total_seconds().abs() < 3).all()


def test_the_tables_hold_what_they_promise(short_recording):
    """Known metrics of one writer, nearly every second; two instances; coverage."""
    rows = short_recording.read("metrics", cluster="lab")
    assert set(rows["name"]) <= set(METRICS)
    assert set(rows["instance"]) == {"lab-writer", "lab-reader"}
    assert set(rows.query("instance == 'lab-reader'")["name"]) == {"oldest_transaction_age"}
    assert len(metric(short_recording, "history_list_length")) > 0.8 * DURATION_S
    assert len(metric(short_recording, "planned_rate")) == DURATION_S
    assert len(metric(short_recording, "queue_latency", "p99")) > 0.8 * DURATION_S
    instances = short_recording.read("instances", cluster="lab")
    assert instances.set_index("instance")["role"].to_dict() == {
        "lab-reader": "reader",
        "lab-writer": "writer",
    }
    assert instances["long_query_time_s"].eq(0.002).all()
    covered = short_recording.read("coverage", cluster="lab")
    assert {"metrics", "slow_queries", "trials"} <= set(covered["table"]) <= set(TABLES)
    assert short_recording.span("lab").duration.total_seconds() == DURATION_S


def test_a_held_view_stops_the_purge_boundary(short_recording, trials):
    """It stands still while the extract runs, and while the idle session holds its snapshot."""
    boundary = metric(short_recording, "purge_boundary")
    for _, run in runs(trials, HOLDER).iterrows():
        assert len(set(during(boundary, run))) == 1
    for _, run in runs(trials, IDLE).iterrows():
        assert len(set(during(boundary, run))) == 1


def test_the_control_does_not_stop_the_purge_boundary(short_recording, trials):
    """While it runs alone the boundary moves with every sample, however long its query or transaction."""
    boundary = metric(short_recording, "purge_boundary")
    (run,) = [row for _, row in alone(trials, CONTROL).iterrows()]
    assert during(boundary, run).is_monotonic_increasing
    assert during(boundary, run).nunique() == len(during(boundary, run)) > 3


def test_the_history_list_grows_under_the_extract_only(short_recording, trials):
    """At least by the orders committed meanwhile; under the control it stays short."""
    history = metric(short_recording, "history_list_length")
    grown = {
        name: during(history, alone(trials, name).iloc[0]).agg(lambda h: h.iloc[-1] - h.iloc[0])
        for name in (HOLDER, CONTROL)
    }
    assert grown[HOLDER] > 300
    assert abs(grown[CONTROL]) < 0.5 * grown[HOLDER]


def test_slow_log_times_are_right_on_a_server_in_another_time_zone(short_recording, trials):
    """Start and end of each extract agree with its client's, within the log's resolution of a second."""
    slow = short_recording.read("slow_queries", cluster="lab").query("user == @HOLDER and query_time_s > 3")
    assert len(slow) == len(runs(trials, HOLDER))
    for (_, logged), (_, run) in zip(slow.iterrows(), runs(trials, HOLDER).iterrows()):
        assert abs((logged["started_at"] - run["started_at"]).total_seconds()) < 2
        assert abs((logged["ended_at"] - run["ended_at"]).total_seconds()) < 3
    assert slow["time_precision_s"].eq(1).all()


def test_sessions_are_on_the_instance_they_represent(short_recording):
    """The application's on the writer, all others on the reader; no other users are stored."""
    slow = short_recording.read("slow_queries", cluster="lab")
    assert set(slow[slow["user"] == "app"]["instance"]) <= {"lab-writer"}
    assert set(slow[slow["user"] != "app"]["instance"]) == {"lab-reader"}
    assert set(slow["user"]) <= {"app", "dashboard", HOLDER, CONTROL}


def test_the_idle_session_is_in_the_live_samples_and_not_in_the_slow_log(short_recording):
    """Only samples of open transactions show it."""
    rows = short_recording.read("open_transactions", cluster="lab").query("user == @IDLE")
    assert len(rows) > 2
    assert rows["has_read_view"].all()
    assert set(rows["command"]) == {"Sleep"}
    assert IDLE not in set(short_recording.read("slow_queries", cluster="lab")["user"])


def test_the_control_is_open_for_long_without_a_view(short_recording):
    """Its READ COMMITTED transaction is the oldest, and not the holder."""
    rows = short_recording.read("open_transactions", cluster="lab")
    control = rows[(rows["user"] == CONTROL) & (rows["isolation_level"] == "READ COMMITTED")]
    assert ((control["time"] - control["started_at"]).max()) > pd.Timedelta(seconds=BLOCK_S / 4)
    assert not control[control["command"] == "Sleep"]["has_read_view"].any()
    ages = short_recording.read("metrics", cluster="lab").query("name == 'oldest_transaction_age'")
    of_reader = ages[ages["instance"] == "lab-reader"].set_index("time")["value"]
    assert of_reader.max() > BLOCK_S / 4
    assert (of_reader >= 0).all()


def test_the_reader_holds_the_view(short_recording, trials):
    """While the extract runs, the reader's oldest view is the purge boundary, as an Aurora writer would report."""
    views = short_recording.read("read_views", cluster="lab").query("role == 'reader'").set_index("time")
    boundary = metric(short_recording, "purge_boundary")
    for _, run in runs(trials, HOLDER).iterrows():
        held = during(views["oldest_read_view_trx_id"], run)
        assert set(held) == set(during(boundary, run))


def test_histograms_count_what_the_statement_metrics_count(short_recording):
    """The same client timings, in two tables."""
    counts = short_recording.read("histograms", cluster="lab").groupby(["time", "digest"])["count"].sum()
    calls = short_recording.read("statement_metrics", cluster="lab").set_index(["time", "digest"])["calls"]
    assert (counts.astype(float).sort_index() == calls.sort_index()).all()
    digests = short_recording.read("statements", cluster="lab")["digest"]
    assert set(calls.index.get_level_values("digest")) <= set(digests)


def test_holders_are_named_whatever_their_users_are_called(short_recording):
    """User names are no evidence: here the extracts run as `bi`, and the control as `snowflake`.

    The log gives the end of a statement to a second, and its transaction ends a little later: these are two of the
    nine seconds of a run. The committed recording, with runs of 45 s, is judged to the end.
    """
    found = judged(short_recording, unresolved_s=2)
    assert found["precision"] >= 0.9
    assert found["recall"] >= 0.9
    assert harmless_share(short_recording) <= 0.02
