"""On a real InnoDB, whatever its sessions are called: who held purge is named, and who did not is not."""

from __future__ import annotations

import pandas as pd
import pytest
from attribution import agreement, truth

from aurora_analysis import Store, resources
from aurora_analysis.analysis import read_views, workloads

SHORTEST_RUN_S = 5.0


def judged(store: Store) -> dict[str, float]:
    """How well the holders named agree with the recorded truth, by growth mass."""
    held, runs = attributed(store)
    return agreement(held, truth(store.read("trials", cluster="lab"), runs), period_s=1.0)


def attributed(store: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the notebook computes: who held purge at each second, of which runs."""
    window = store.span("lab")
    history = store.metric("history_list_length", window, cluster="lab")
    committed = read_views.committed(store.metric("commit_throughput", window, cluster="lab"))
    slow = store.read("slow_queries", window, cluster="lab", overlapping=True)
    runs = workloads.exposures(slow, shortest_s=SHORTEST_RUN_S)
    return read_views.holders(history, committed, runs), runs


def test_a_fresh_recording_with_swapped_names(short_recording):
    """Names are no evidence: the extracts run as `bi` here, and the control as `snowflake`."""
    found = judged(short_recording)
    assert found["precision"] >= 0.9
    assert found["recall"] >= 0.9


def test_the_committed_recording():
    """The sample's forty minutes, against what its schedule says truly ran."""
    found = judged(Store(resources.sample()))
    assert found["precision"] >= 0.9
    assert found["recall"] >= 0.9
    assert found["unknown recall"] >= 0.75


@pytest.mark.parametrize("which", ["short", "sample"])
def test_the_control_holds_no_purge(which, request):
    """As long and as often as the extracts, and never the holder of more than a sliver of the growth."""
    store = request.getfixturevalue("short_recording") if which == "short" else Store(resources.sample())
    held, runs = attributed(store)
    trials = store.read("trials", cluster="lab")
    harmless = trials.loc[~trials["holds_view"].astype(bool), "workload"].unique()
    by = runs["workload"].reindex(held["run"].astype(float)).to_numpy(dtype=object)
    assert held["growth"][pd.Series(by, held.index).isin(harmless)].sum() <= 0.02 * held["growth"].sum()
