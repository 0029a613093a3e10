"""The answer on latency: what a reader of the sample reads, and what an empty window yields."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from latency_cases import slow_queries

from aurora_analysis import Store, Window, observe
from aurora_analysis.analysis import latency
from aurora_analysis.analysis.latency import distributions
from aurora_analysis.analysis.latency.samples import Sample
from aurora_analysis.analysis.latency.worst import with_statements
from aurora_analysis.analysis.verdict import Verdict, described

WEEK = Window("2026-11-09", "2026-11-16")
LAB = Window("2026-11-23T11:08:53", "2026-11-23T11:50:53")
EMPTY = Window("2020-11-09", "2020-11-16")
NO_CALLS = pd.DataFrame({"instance": [], "digest": [], "calls": [], "mean_latency_ms": []})


@pytest.fixture(scope="module")
def lab() -> latency.Answer:
    """The lab's recording, which has histograms and no previous window."""
    return latency.answer(observe(Store(), LAB, "lab"), timezone="Asia/Kolkata")


def test_the_lab_has_no_window_to_compare_with(lab):
    """Without a previous window, whether latency shifted is unknown."""
    assert [(one.subject, one.level, one.headline) for one in lab.verdicts] == [
        ("lab-reader", "unknown", "Unknown whether latency on lab-reader shifted"),
        ("lab-writer", "unknown", "Unknown whether latency on lab-writer shifted"),
    ]
    assert lab.shifts.empty


def test_the_frames_describe_the_log_and_the_histograms(lab):
    """The log starts at 2 ms; its share of all statements is known on the writer only."""
    assert lab.cuts["long_query_time_ms"].to_list() == [2.0, 2.0]
    assert lab.instances["instance"].to_list() == ["lab-reader", "lab-writer"]
    assert lab.top["digest"].nunique() == len(lab.statements) == 5
    assert lab.statements["fingerprint"].str.len().max() <= 70
    assert lab.identified["statements"].isna().to_list() == [True, False]
    assert set(lab.histograms["instance"]) == {"lab-writer"}
    assert set(lab.counted["instance"]) == {"lab-writer"}


def test_each_card_names_the_statement_with_the_most_time(lab):
    """The instance, its calls, its logged runs and the last one on the reader's clock."""
    reader, writer = lab.verdicts
    assert described(reader.statement) == (
        "8 runs on lab-reader, 6 min in all, longest 48 s; last run 2026-11-23 17:18 Asia/Kolkata, thread 46"
    )
    assert described(writer.statement).startswith(
        "called 116,000 times on lab-writer, 3 min in all; the log has 13,332"
    )
    assert reader.evidence.endswith("with the most time in this instance's log.")
    assert writer.evidence.endswith("with the most time on this instance.")
    assert len(str(reader.statement["text"])) == 100
    assert "UTC" not in "".join(map(str, lab.verdicts))


def test_a_slower_instance_names_the_statement_that_grew():
    """`small` grew by more than `large`, which takes more time in all."""
    texts = pd.DataFrame({"digest": ["large", "small"], "fingerprint": ["select 1", "select 2"]})
    week = np.full(500, 1.0)
    runs = [slow_queries(9 * week, digest="large"), slow_queries(4 * week, digest="small")]
    then = [
        slow_queries(9 * week, WEEK.previous(), digest="large"),
        slow_queries(week, WEEK.previous(), digest="small"),
    ]
    now, before = (
        Sample(window, distributions.counts(pd.concat(rows)))
        for window, rows in ((WEEK, runs), (WEEK.previous(), then))
    )
    verdicts = [Verdict("latency", "db-2", level, "watch", "So.") for level in ("slower", "inconclusive")]
    known = pd.concat(runs).assign(started_at=lambda rows: rows["ended_at"], thread_id=1)
    data = SimpleNamespace(
        window=WEEK, fingerprints=texts, table=lambda name, **_: known if name == "slow_queries" else NO_CALLS
    )
    [grew], [most] = (with_statements([one], now, before, data, "UTC") for one in verdicts)
    assert (grew.statement["digest"], most.statement["digest"]) == ("small", "large")
    assert "grew most against the previous window" in grew.evidence


def test_each_instance_of_a_week_is_compared_with_the_week_before():
    """The shifts of the verdict's quantile belong to the same instances."""
    found = latency.answer(observe(Store(), WEEK, "shop"))
    judged = {one.subject: one.numbers["shift_pct"] for one in found.verdicts}
    shifts = found.shifts[found.shifts["quantile"] == 0.95].set_index("instance")["shift_pct"]
    assert judged == pytest.approx(shifts.to_dict(), abs=1e-4)
    assert set(judged) == {"shop-1", "shop-2", "shop-3"}


def test_an_empty_window_is_unknown():
    """No rows: one unknown verdict, and frames without rows, but no error."""
    found = latency.answer(observe(Store(), EMPTY, "shop"))
    assert [(one.subject, one.level) for one in found.verdicts] == [("all instances", "unknown")]
    assert "No statement can be named: no execution" in found.verdicts[0].evidence
    assert found.executions.empty
    assert found.shifts.empty
    assert found.histograms.empty
