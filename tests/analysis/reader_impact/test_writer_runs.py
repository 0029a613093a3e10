"""Runs on the writer stand beside the readers', under names of their own."""

from __future__ import annotations

import pandas as pd

from aurora_analysis.analysis.reader_impact.answer import _with_writer


def test_runs_of_digests_whose_load_comes_in_bursts_are_named_too():
    """Load by digest comes as a categorical column, and runs of the log as text."""
    readers = pd.DataFrame({"workload": ["etl"], "start": [1]})
    writer = pd.DataFrame({"workload": pd.Categorical(["queue"]), "start": [2]})
    assert _with_writer(readers, writer)["workload"].tolist() == ["etl", "(writer) queue"]
