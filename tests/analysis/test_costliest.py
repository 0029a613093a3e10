"""A card names the statement on which a workload spends most of its time, and a headline never overstates its share."""

import pandas as pd
import pytest

from aurora_analysis import Window
from aurora_analysis.analysis.costliest import costliest, owner, shortened, slowed
from aurora_analysis.analysis.effect_level import slowdown_ms
from aurora_analysis.analysis.reader_impact.headlines import how_long, latency_while_running
from aurora_analysis.analysis.verdict import described

DAY = Window("2026-11-09", "2026-11-10")
LONG, SHORT = "aaaaaaaaaaaaaaa1", "bbbbbbbbbbbbbbb2"
TEXTS = pd.DataFrame({"digest": [LONG], "fingerprint": ["select `a`  from t where " + "x and " * 40]})


def runs(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Runs of one workload by digest, start and end."""
    frame = pd.DataFrame(rows, columns=["digest", "start", "end"])
    times = {name: pd.to_datetime(frame[name], utc=True, format="ISO8601") for name in ("start", "end")}
    return frame.assign(**times, workload="bi", instance="db-2", thread_id=range(7, 7 + len(rows)))


def test_time_outside_of_the_window_does_not_count():
    """A run that began long before the window is not the costliest for it."""
    found = costliest(
        runs(
            (SHORT, "2026-11-07", "2026-11-09T00:10"),
            (LONG, "2026-11-09T01:00", "2026-11-09T01:48"),
            (LONG, "2026-11-09T05:00", "2026-11-09T05:30"),
        ),
        TEXTS,
        DAY,
    )
    assert (found["digest"], found["runs"], found["total_s"], found["longest_s"]) == (LONG, 2, 4680.0, 2880.0)
    assert (
        described(found)
        == "the costliest of 2 statements: 2 runs on db-2, 78 min in all, longest 48 min; last run 2026-11-09 05:00 UTC, "
        "thread 9"
    )
    assert len(str(found["text"])) == 100 and "`a` from" in str(found["text"])


def test_the_last_run_is_on_the_readers_clock():
    """05:00 UTC is 10:30 in Kolkata."""
    found = costliest(runs((LONG, "2026-11-09T05:00", "2026-11-09T05:30")), TEXTS, DAY, "Asia/Kolkata")
    assert found["last"] == "2026-11-09 10:30 Asia/Kolkata"


def test_a_headline_quotes_the_slowed_statement():
    """Both pages' names of one statement's latency lead to its text; without a text the digest stands for it."""
    for metric in (f"latency_of_{LONG[:8]}", f"statement {LONG[:8]}"):
        assert slowed(metric, TEXTS).startswith("the writer's `select"), metric
    assert slowed("latency_of_0123abcd", TEXTS) == "the writer's statement 0123abcd"
    assert slowed("commit_latency", TEXTS) == "commits"


def test_calls_that_no_log_has_are_counted():
    """The statistics know how often it ran, and no log its last run."""
    called = {"digest": LONG, "text": "select 1", "instance": "db-2", "calls": 1200, "called_s": 7200.0}
    assert described(called) == (
        "called 1,200 times on db-2, 2 h in all; no run was logged, so its last run and thread are unknown"
    )
    assert described({"digest": LONG, "text": "select 1", "instance": "db-2"}) == f"digest {LONG}"


def test_without_a_statement_nothing_is_named():
    """Runs that db load shows have no digest, and other days are other windows."""
    assert costliest(runs(("", "2026-11-09T01:00", "2026-11-09T02:00")), TEXTS, DAY) == {}
    assert costliest(runs((LONG, "2026-11-01", "2026-11-02")), TEXTS, DAY) == {}
    assert owner("bi", {}) == "bi"


@pytest.mark.parametrize(
    ("share", "text"), [(0.95, "bi's `select a`"), (0.7, "bi (mostly `select a`)"), (0.4, "bi")]
)
def test_a_headline_names_a_statement_only_for_its_share(share, text):
    """Less than half of a workload's time does not stand for it; backticks of names cannot open code."""
    assert owner("bi", {"digest": LONG, "text": "select `a`", "share": share}) == text


def test_a_slowdown_in_ms_is_the_part_of_the_exposed_latency_that_the_effect_explains():
    """2.2 ms while it runs and +10 % are 0.2 ms; an unknown latency has no slowdown."""
    times = pd.date_range(DAY.start, periods=60, freq="min", unit="us")
    latency = pd.Series([2.0] * 30 + [2.2] * 30, index=times)
    open_half = runs((LONG, "2026-11-09T00:30", "2026-11-09T01:00"))
    assert slowdown_ms(latency_while_running(latency, open_half), 10.0) == pytest.approx(0.2)
    assert slowdown_ms(latency_while_running(latency[:30], open_half), 10.0) is None
    assert slowdown_ms(latency_while_running(None, open_half), 10.0) is None


def test_exposed_time_is_per_week_only_with_a_week_of_data():
    """A day's hours are of that day."""
    assert how_long(3.0, DAY) == "3 h of 24 h"
    assert how_long(54.0, Window("2026-11-02", "2026-11-16")) == "27 h a week"
    assert shortened("select *  from orders", 12) == "select * fr…"
