"""The answer on db load: what a reader of the sample reads, and what an empty window yields."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from aurora_analysis import Store, Window, observe
from aurora_analysis.analysis import db_load
from aurora_analysis.analysis.costliest import COUNTED, LOGGED
from aurora_analysis.analysis.db_load.worst import Known, with_statements
from aurora_analysis.analysis.verdict import Verdict, described

WEEK = Window("2026-11-09", "2026-11-16")
EMPTY = Window("2020-11-09", "2020-11-16")
HEAVIEST = {"shop-1": "55a3e1df2e4f1e35", "shop-2": "0dfe048ca81e9bc1", "shop-3": "0c5ae9b67c750a82"}


@pytest.fixture(scope="module")
def sample() -> db_load.Answer:
    """The sample's last week."""
    return db_load.answer(observe(Store(), WEEK, "shop"), timezone="Asia/Kolkata")


def test_no_instance_of_the_sample_has_a_bottleneck(sample):
    """Each instance is judged, then each bad practice, the costliest first."""
    assert [(one.subject, one.level, one.headline) for one in sample.verdicts] == [
        ("shop-1", "no bottleneck", "shop-1 has no bottleneck"),
        ("shop-2", "no bottleneck", "shop-2 has no bottleneck"),
        ("shop-3", "no bottleneck", "shop-3 has no bottleneck"),
        (
            "snowflake",
            "bulk extract",
            "snowflake's `select o.* from orders o where o.change…` ran 31 times as a bulk extract, 27 h 18 min in all",
        ),
        (
            "tableau",
            "long unoptimised query",
            "tableau's `select l.region, sum(l.amount) from ord…` ran 35 times as a long unoptimised query, "
            "27 h 55 min in all",
        ),
        (
            "finance",
            "bulk extract",
            "finance's `select i.id, i.net, i.tax from invoices…` ran 7 times as a bulk extract, 4 h in all",
        ),
    ]


def test_each_card_names_the_heaviest_statement(sample):
    """By load on its instance; calls come from statistics, the last run from the log, on the reader's clock."""
    instances = sample.verdicts[:3]
    assert [one.statement["digest"] for one in instances] == [HEAVIEST[one.subject] for one in instances]
    assert "called 188 million times on shop-1, 4 d 4 h in all; the log has" in described(
        instances[0].statement
    )
    assert all("has the most load on this instance" in one.evidence for one in instances)
    assert described(sample.verdicts[3].statement).endswith(
        "last run 2026-11-15 21:55 Asia/Kolkata, thread 445052"
    )
    assert "UTC" not in "".join(map(str, sample.verdicts))


def test_while_sessions_outnumber_the_vcpus_the_statement_of_that_time_is_named():
    """`busy` has the load of the one crowded period, `usual` that of all others."""
    times = pd.date_range(WEEK.start, periods=4, freq="min", unit="us")
    rows = pd.DataFrame({"time": times, "period_s": 60.0, "instance": "db-1"})
    classes = rows.assign(active_sessions=[1.0, 1, 1, 9], vcpus=4.0)
    usual = rows.iloc[:3].assign(member="usual", active_sessions=8.0)
    busy = rows.iloc[3:].assign(member="busy", active_sessions=9.0)
    rest = rows.assign(member="(not listed)", active_sessions=50.0)
    listed = pd.concat([usual, busy, rest], ignore_index=True)
    known = Known(classes, pd.DataFrame(columns=["instance", "digest", "open_s"]), listed, watch_pct=1.0)
    crowded = Verdict("db_load", "db-1", "CPU", "act", "So.", {"over_vcpus_pct": 25.0})
    calm, blind = replace(crowded, numbers={"over_vcpus_pct": 0.1}), replace(crowded, subject="db-2")
    none = pd.DataFrame(columns=[*dict.fromkeys([*LOGGED, *COUNTED])])
    data = SimpleNamespace(
        window=WEEK, fingerprints=pd.DataFrame(columns=["digest", "fingerprint"]), table=lambda *_, **__: none
    )
    found = [with_statements([one], known, data, "UTC")[0] for one in (crowded, calm, blind)]
    assert [one.statement.get("digest") for one in found] == ["busy", "usual", None]
    assert found[2].evidence.startswith("No statement can be named: neither Performance Insights nor the log")


def test_the_frames_support_the_verdicts(sample):
    """Roles follow the failover; statements are ranked, with their text; practices name their user."""
    assert sample.profiles["role"].to_list() == ["writer, then reader", "reader, then writer", "reader"]
    assert set(sample.busy["role"]) == {"writer", "shop-1", "shop-2", "shop-3"}
    assert sample.statements["rank"].to_list() == list(range(1, 11))
    assert sample.statements["fingerprint"].notna().all()
    assert set(sample.practices["user"]) == {"snowflake", "tableau", "finance"}
    assert {one.role for one in sample.sparklines} == {"writer", "shop-1", "shop-2", "shop-3"}


def test_thresholds_decide_the_verdict():
    """With a threshold of 0.1 % the few minutes above the vCPUs count, and CPU or a wait is named."""
    found = db_load.answer(observe(Store(), WEEK, "shop"), watch_pct=0.1, act_pct=0.2)
    severities = {one.subject: one.severity for one in found.verdicts}
    assert severities["shop-1"] == "act"
    assert severities["shop-3"] == "ok"


def test_an_empty_window_is_unknown():
    """No rows: one unknown verdict, and frames without rows, but no error."""
    found = db_load.answer(observe(Store(), EMPTY, "shop"))
    assert [(one.subject, one.level) for one in found.verdicts] == [("all instances", "unknown")]
    assert found.classes.empty
    assert found.profiles.empty
    assert found.statements.empty
    assert found.practices.empty
    assert found.sparklines == ()
