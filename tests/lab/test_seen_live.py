"""What was seen live explains what no log tells of, on a real InnoDB."""

from __future__ import annotations

import pytest
from attribution import SHORTEST_RUN_S, attributed, by_state

from aurora_analysis import Store, resources
from aurora_analysis.analysis import read_views, workloads


def test_samples_shrink_the_unknown_class_of_the_committed_recording():
    """From some 6 % of the growth to none: the idle session was seen, and the logged runs stay theirs."""
    store = Store(resources.sample())
    held, runs = attributed(store)
    window = store.span("lab")
    history = store.metric("history_list_length", window, cluster="lab")
    committed = read_views.committed(store.metric("commit_throughput", window, cluster="lab"))
    seen = workloads.seen_holding(store.read("open_transactions", window, cluster="lab"))
    lasted = (seen["end"] - seen["start"]).dt.total_seconds()
    known = workloads.with_seen(runs, seen[lasted >= SHORTEST_RUN_S])
    found = read_views.holders(history, committed, known)
    assert by_state(held)["unknown"] > 0.04
    assert by_state(found).get("unknown", 0.0) < 0.01
    added = known.loc[found["run"].dropna().unique(), "workload"]
    trials = store.read("trials", cluster="lab")
    assert set(added) == set(trials.loc[trials["holds_view"].astype(bool), "workload"])
    assert by_state(held)["held"] == pytest.approx(1 - by_state(held)["unknown"])
