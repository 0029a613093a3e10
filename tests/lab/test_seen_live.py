"""Live samples explain growth that no log explains, on a real InnoDB."""

from __future__ import annotations

import pytest
from holder_agreement import attributed, by_state, with_samples

from aurora_analysis import Store
from aurora_analysis.store import location


def test_samples_shrink_the_unknown_class_of_the_committed_recording():
    """From about 6 % of the growth to none: the idle session is in the samples, and logged runs keep theirs."""
    store = Store(location.sample())
    by_log, _ = attributed(store)
    found, known = with_samples(store)
    assert by_state(by_log)["unknown"] > 0.04
    assert by_state(found).get("unknown", 0.0) < 0.01
    named = known.loc[found["run"].dropna().unique(), "workload"]
    trials = store.read("trials", cluster="lab")
    assert set(named) == set(trials.loc[trials["holds_view"].astype(bool), "workload"])
    assert by_state(by_log)["held"] == pytest.approx(1 - by_state(by_log)["unknown"])
