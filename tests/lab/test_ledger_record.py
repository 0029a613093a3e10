"""A short recording of a real PostgreSQL primary and its hot standby contains what really happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from aurora_analysis import engines
from aurora_analysis.glossary import METRICS
from aurora_analysis.lab import ledger, ledger_record
from aurora_analysis.lab.schedule import Assignment, row, unstarted
from aurora_analysis.store import Store
from aurora_analysis.tables import TABLES

pytestmark = pytest.mark.real

CLUSTER, DURATION_S = "ledger", 14
HELD = ("extract", "cursor", "idle", "elsewhere")
SPANS = {"trap": (1, 12), "control": (1, 12), **{role: (2 + 2 * n, 6 + 2 * n) for n, role in enumerate(HELD)}}
"""Role → start and end of its run [s]; each holder begins while the one before it still runs."""


@dataclass(frozen=True)
class EveryRoleOnce(ledger_record.LedgerOptions):
    """Runs each role once, at fixed times, in place of a draw."""

    def plan(self, start: datetime) -> pd.DataFrame:
        rows = []
        for role, span in SPANS.items():
            one = Assignment("once", 0, ledger.USERS[role], True, 1.0, role in ledger.HOLDERS)
            begin, end = (start + timedelta(seconds=at) for at in span)
            rows.append(row(one, (begin, end)))
        return unstarted(rows)


@pytest.fixture(scope="module")
def recorded(postgresql_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of a recording of 14 s."""
    store = Store(tmp_path_factory.mktemp("ledger"))
    ledger_record.record(store, EveryRoleOnce(DURATION_S, seed=5))
    return store


@pytest.fixture(scope="module")
def trials(recorded: Store) -> pd.DataFrame:
    return recorded.read("trials", cluster=CLUSTER).set_index("workload")


def during(rows: pd.DataFrame, run: pd.Series) -> pd.DataFrame:
    """Rows sampled during a run, at least a second after its start: a reader reports once per second."""
    return rows[rows["time"].between(run["started_at"] + pd.Timedelta(seconds=1), run["ended_at"])]


def test_every_run_took_place_as_planned(trials):
    """On time and as long as planned; holders and innocents are marked."""
    assert ((trials["started_at"] - trials["time"]).dt.total_seconds().between(0, 3)).all()
    assert ((trials["ended_at"] - trials["end"]).dt.total_seconds().abs() < 3).all()
    assert set(trials.index[trials["holds_view"]]) == {ledger.USERS[role] for role in HELD}


def test_metrics_have_the_names_that_a_fetch_stores(recorded):
    """Counters of Performance Insights and CloudWatch under our names, and nothing that the glossary lacks."""
    names = engines.module("postgresql", "metrics")
    found = recorded.read("metrics", cluster=CLUSTER)
    # The lab counts changed rows by table, and its server has no vCPUs of its own.
    counters = {*names.COUNTERS.values()} - {"blocked_transactions", "rows_changed", "sampled_vcpus"}
    fetched = counters | {"commit_latency", "commit_throughput", "replica_lag"}
    assert fetched <= set(found["name"]) <= set(METRICS)
    writer = found[found["instance"] == "ledger-writer"]
    assert (writer["name"] == "commit_latency").sum() >= DURATION_S - 3
    assert (writer["name"] == "xmin_age_readers").sum() >= DURATION_S - 4


def test_a_readers_session_holds_the_horizon_of_the_primary(recorded, trials):
    """While a holder runs the reader's report stands still at its snapshot, whatever its database."""
    open_ones = recorded.read("open_transactions", cluster=CLUSTER)
    views = recorded.read("read_views", cluster=CLUSTER)
    reports = views[views["holder"] == "report of a reader"]
    assert set(reports["instance"]) == {"ledger-reader-1"}
    for role in HELD:
        user = ledger.USERS[role]
        held = open_ones[(open_ones["user"] == user) & open_ones["oldest_xid"].notna()]
        assert set(held["instance"]) == {"ledger-reader-1"}
        assert len(set(held["oldest_xid"])) == 1, user
        reported = during(reports, trials.loc[user])["oldest_read_view_trx_id"]
        assert set(held["oldest_xid"]) <= set(reported), user


def test_innocents_are_recorded_as_what_they_are(recorded):
    """An idle transaction without a snapshot, and the oldest snapshot of all, in another database of the primary."""
    open_ones = recorded.read("open_transactions", cluster=CLUSTER)
    control = open_ones[(open_ones["user"] == "bi") & (open_ones["command"] == "idle in transaction")]
    assert len(control) > 3 and not control["has_read_view"].any()
    trap = open_ones[open_ones["user"] == "backup"]
    assert set(trap["instance"]) == {"ledger-writer"} and set(trap["database"]) == {"archive"}
    needed = open_ones[open_ones["user"].isin([ledger.USERS[role] for role in HELD])]["oldest_xid"]
    assert trap["oldest_xid"].max() < needed.min()


def test_the_logs_hold_the_long_extracts_and_the_vacuums(recorded, trials):
    """With database and application; an idle session and a cursor log nothing."""
    slow = recorded.read("slow_queries", cluster=CLUSTER).query("query_time_s > 3").set_index("user")
    assert set(slow.index) == {"snowflake", "metabase"}
    assert slow["database"].to_dict() == {"snowflake": "ledger", "metabase": "archive"}
    assert slow["application"].to_dict() == {"snowflake": "Snowflake", "metabase": "Metabase"}
    late = (slow["started_at"] - trials["started_at"].reindex(slow.index)).dt.total_seconds()
    assert late.abs().max() < 1
    vacuums = recorded.read("vacuums", cluster=CLUSTER).query("table == 'public.queue'")
    assert len(vacuums) and set(vacuums["instance"]) == {"ledger-writer"}


def test_the_queues_delete_touches_more_pages_while_vacuum_is_blocked(recorded):
    """Buffers per call of the primary's statements, counted from the start to the end of each run."""
    statements = recorded.read("statements", cluster=CLUSTER)
    delete = statements[statements["fingerprint"].str.startswith("delete from queue")]["digest"].item()
    calls = recorded.read("statement_metrics", cluster=CLUSTER)
    calls = calls[calls["digest"] == delete]
    assert calls["buffers_per_call"].max() > 1.3 * calls["buffers_per_call"].iloc[0]
    relations = recorded.read("relations", cluster=CLUSTER).query("relation == 'public.queue'")
    assert relations["dead_rows"].max() > 1_000


def test_instances_have_their_settings_and_coverage_names_every_source(recorded):
    """One row for each; the samples, the logs and the plan are covered."""
    instances = recorded.read("instances", cluster=CLUSTER).set_index("instance")
    assert instances["role"].to_dict() == {"ledger-reader-1": "reader", "ledger-writer": "writer"}
    assert set(instances["engine"]) == {"postgresql"} and set(instances["long_query_time_s"]) == {0.2}
    covered = recorded.read("coverage", cluster=CLUSTER)
    tables = {"metrics", "statement_metrics", "slow_queries", "vacuums", "trials"}
    assert tables <= set(covered["table"]) <= set(TABLES)
    assert (covered["received"] >= 0.7 * covered["expected"]).all()
