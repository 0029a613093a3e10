"""A client meets an objective only if every run shows it; a lost write is worse than any delay."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from aurora_analysis.analysis import drill
from aurora_analysis.analysis.drill.verdicts import MISSES
from aurora_analysis.tables import TABLES

OBJECTIVES = {"failover": 30.0, "crash": 30.0, "reader-restart": 30.0, "lag": 5.0, "disk": 30.0}


def rows(*changes: dict, **common) -> pd.DataFrame:
    """Rows of `drills` of one client: one run for each change of a good run."""
    good = {
        "time": pd.Timestamp("2026-11-29T10:00Z"), "drill": "shop", "fault": "failover", "place": "clone",
        "engine": "aurora-postgresql", "client": "plain", "took_effect": True, "observed_s": 60.0,
        "first_success_s": 4.0, "settled_s": 5.0, "errors": 40, "connections": 20, "connections_per_s": 9,
        "writes_acknowledged": 500, "writes_lost": 0, "writes_unconfirmed": 0, "stale_reads": 0,
        "worst_staleness_s": 0.0, "former_writer_reads": 0,
    }  # fmt: skip
    frame = pd.DataFrame([good | common | {"run": n} | change for n, change in enumerate(changes)])
    return frame.astype({"took_effect": "boolean", "writes_lost": "Int64", "writes_unconfirmed": "Int64"})


def verdict(*changes: dict, objectives: dict | None = None, **common):
    (found,) = drill.verdicts(rows(*changes, **common), OBJECTIVES if objectives is None else objectives)
    return found


def test_three_good_runs_meet_the_objective():
    """The sentence has the slowest run, and how little three runs prove."""
    found = verdict({}, {"settled_s": 7.4}, {})
    assert (found.level, found.severity) == ("meets the objective", "ok")
    assert "at most 7.4 s" in found.sentence and "3 of 3 runs met the objective of 30 s" in found.sentence
    assert "up to 63.2 % of such faults may miss it" in found.sentence
    assert "None of 1,500 acknowledged writes was lost." in found.sentence


UNKNOWN = {
    "two runs only": ({}, {}),
    "a fault without effect": ({}, {}, {}, {"took_effect": False}),
    "a fault that nothing shows": ({}, {}, {}, {"took_effect": pd.NA}),
    "writes not checked": ({}, {}, {}, {"writes_lost": pd.NA}),
    "observed for too short": ({}, {}, {}, {"first_success_s": None, "settled_s": None, "observed_s": 20.0}),
    "nothing acknowledged": [{"writes_acknowledged": 0}] * 3,
}


@pytest.mark.parametrize("changes", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_unknown_is_never_good(changes):
    """Each of these is `cannot tell`, and the sentence has the reason."""
    found = verdict(*changes)
    assert (found.level, found.severity) == ("cannot tell", "unknown")
    assert "The verdict is open because" in found.sentence and found.action


def test_without_an_objective_there_is_no_verdict():
    """The action names the setting."""
    found = verdict({}, {}, {}, objectives={}, fault="reader-restart")
    assert found.level == "cannot tell" and "reader_restart_s" in found.action


@pytest.mark.parametrize(
    "late",
    [{"settled_s": 30.1}, {"first_success_s": None, "settled_s": None, "observed_s": 30.0}],
    ids=["late", "never"],
)
@pytest.mark.parametrize("client", ["plain", "pool", "topology"])
def test_one_late_run_misses_the_objective(late, client):
    """Also beside good runs; each client has its own first action."""
    found = verdict({}, {}, {}, late, client=client)
    assert (found.level, found.severity) == ("misses the objective", "act")
    assert "3 of 4 runs met" in found.sentence and "too late" in found.headline
    assert found.action == MISSES[client]


@pytest.mark.parametrize("other", [{}, {"took_effect": False}, {"settled_s": 90.0}, {"writes_lost": pd.NA}])
def test_a_lost_write_comes_first(other):
    """Whatever the other runs show."""
    found = verdict({}, {}, {"writes_lost": 2}, other)
    assert (found.level, found.severity) == ("loses writes", "act")
    assert "lost 2 acknowledged writes" in found.headline and "2 of 2,000" in found.sentence


@pytest.mark.parametrize("late_s", [30.004, 30.04, 30.4, 31.0, 119.0])
def test_a_late_time_is_not_printed_as_the_objective(late_s):
    """30.4 s is not "30 s" beside an objective of 30 s."""
    sentence = verdict(*[{"settled_s": late_s}] * 3).sentence
    printed = re.search(r"at most ([\d.]+) s", sentence)
    assert printed and float(printed[1]) > 30 and "0 of 3 runs met the objective of 30 s" in sentence
    on_time = verdict(*[{"settled_s": 60 - late_s}] * 3).sentence if late_s < 60 else "at most 1.0 s"
    assert float(re.search(r"at most ([\d.]+) s", on_time)[1]) <= 30


@pytest.mark.parametrize("old", [{"former_writer_reads": 3}, {"stale_reads": 3}])
def test_reads_of_a_former_writer_are_not_ok(old):
    """A client that works again in time may still have shown old data."""
    assert verdict({}, {}, old).severity == "watch"
    assert verdict({}, {}, old, fault="crash").severity == "watch"


def test_a_lag_is_judged_by_the_age_of_what_was_read():
    """Its reads succeed all the time, so the time to a success says nothing."""
    good = {"fault": "lag", "first_success_s": 0.0, "settled_s": 0.0, "stale_reads": 9}
    assert verdict(*[good | {"worst_staleness_s": 4.0}] * 3).level == "meets the objective"
    found = verdict(*[good | {"worst_staleness_s": 9.5}] * 3)
    assert found.level == "misses the objective" and "at most 9.5 s old" in found.sentence


def test_a_lab_says_that_it_is_one():
    """Its times are not those of the team's cluster."""
    assert "lab's" in verdict({}, {}, {}, place="lab").sentence
    assert "lab" not in verdict({}, {}, {}).sentence


def test_places_and_clients_are_judged_apart():
    """A lab's good runs do not fill up a clone's."""
    both = pd.concat([rows({}, {}), rows({}, {}, place="lab"), rows({}, {}, {}, client="pool")])
    assert sorted(one.level for one in drill.verdicts(both, OBJECTIVES)) == [
        "cannot tell",
        "cannot tell",
        "meets the objective",
    ]


def test_no_drill_is_unknown():
    """An empty window is not green."""
    empty = pd.DataFrame(columns=TABLES["drills"].column_names())
    (found,) = drill.verdicts(empty, OBJECTIVES)
    assert found.severity == "unknown" and "nothing is known" in found.sentence
    assert drill.outcomes(empty, OBJECTIVES).empty and drill.runs(empty, OBJECTIVES).empty
