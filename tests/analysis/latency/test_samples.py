"""What one window shows of latency."""

from __future__ import annotations

import pandas as pd
import pytest
from latency_cases import WEEK

from aurora_analysis.analysis import latency


@pytest.mark.parametrize(("calls", "whole"), [(1000.0, True), (2000.0, False)])
def test_histograms_of_a_part_of_the_statements_are_not_of_all(calls, whole):
    """A server has histograms of its slowest statements only; its counters show how many others there were."""
    histograms = pd.DataFrame(
        {"time": [WEEK.start], "period_s": 7 * 86_400.0, "instance": "db-2", "bucket": 1, "count": 1000}
    )
    counters = pd.DataFrame({"instance": ["db-2"], "calls": [calls]})
    assert len(latency.whole_histograms(histograms, counters, WEEK)) == whole
    hour = histograms.assign(period_s=3600.0)
    assert latency.whole_histograms(hour, counters, WEEK).empty
