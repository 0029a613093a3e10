"""What `drill` prints, and its exit codes, from rows that no server has to make."""

from __future__ import annotations

import pandas as pd
import pytest

from aurora_analysis import Store
from aurora_analysis.analysis import drill as judged
from aurora_analysis.cli import drill
from aurora_analysis.live.drill import DrillOptions
from aurora_analysis.live.drill.run import write
from aurora_analysis.report import suite


def rows(**changes) -> pd.DataFrame:
    """Three good runs of one client; `changes` apply to the last one."""
    good = {
        "time": pd.Timestamp("2026-11-29T10:00Z"), "end": pd.Timestamp("2026-11-29T10:01Z"), "drill": "shop",
        "fault": "failover", "place": "clone", "engine": "aurora-mysql", "client": "pool", "took_effect": True,
        "observed_s": 60.0, "first_success_s": 4.0, "settled_s": 5.0, "errors": 40, "connections": 20,
        "connections_per_s": 9, "writes_acknowledged": 500, "writes_lost": 0, "writes_unconfirmed": 0, "stale_reads": 0,
        "worst_staleness_s": 0.0, "former_writer_reads": 0,
    }  # fmt: skip
    frame = pd.DataFrame([good | {"run": 0}, good | {"run": 1}, good | {"run": 2} | changes])
    return frame.astype({"took_effect": "boolean", "writes_lost": "Int64", "writes_unconfirmed": "Int64"})


PRINTED = {
    "good": ({}, 0, "0 lost"),
    "late": ({"settled_s": 40.0}, 3, "settled 40.0 s"),
    "never": ({"first_success_s": None, "settled_s": None}, 3, "first success never, settled never"),
    "lost": ({"writes_lost": 3}, 3, "3 lost"),
    "not checked": ({"writes_lost": pd.NA}, 3, "an unknown number lost"),
    "no effect": ({"took_effect": False}, 3, "nothing shows that the fault took effect"),
    "unknown effect": ({"took_effect": pd.NA}, 3, "nothing shows that the fault took effect"),
    "former writer": ({"former_writer_reads": 7}, 0, "7 from a former writer"),
}


@pytest.mark.parametrize(("changes", "code", "text"), PRINTED.values(), ids=PRINTED)
def test_each_run_is_a_line_and_the_exit_code_is_the_verdicts(capsys, changes, code, text):
    """What is not known is printed as such, and never exits with 0."""
    planned = DrillOptions(("failover",), "shop", repeats=3)
    assert drill._printed(rows(**changes), planned, {"failover": 30.0}) == code
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[:3]] == [["failover", str(n), "pool"] for n in range(3)]
    assert text in lines[2]


def test_a_drill_that_was_cut_short_exits_with_1(capsys):
    """Also if the runs that were done are good, and if none was."""
    planned = DrillOptions(("failover",), "shop", repeats=4)
    assert drill._printed(rows(), planned, {"failover": 30.0}) == 1
    assert drill._printed(pd.DataFrame(), planned, {"failover": 30.0}) == 1
    assert "nothing was measured" in capsys.readouterr().err


def test_a_report_has_the_page_where_there_was_a_drill(tmp_path):
    """A stored run is read back as it was, and its coverage makes the cluster known."""
    store = Store(tmp_path)
    one = rows(writes_lost=pd.NA, settled_s=None)[2:]
    write(store, one, "shop")
    (page,) = suite.notebooks(["drill"])
    span = store.span("shop")
    assert suite.concerns(page, store, "shop", span)
    assert not suite.concerns(page, store, "shop", type(span)("2026-11-28", "2026-11-29"))
    found = judged.outcomes(store.read("drills", span, cluster="shop"), {"failover": 30.0}).iloc[0]
    assert (found["unchecked_runs"], found["missed"]) == (1, 1)
