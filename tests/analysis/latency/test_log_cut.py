"""What the slow log's limits hide, and which quantiles of all statements it determines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from latency_cases import cuts, lognormal, slow_queries

from aurora_analysis.analysis import latency
from aurora_analysis.analysis.verdict import three_digits


def test_the_cut_is_the_strictest_setting():
    """A limit that was changed inside the window hid statements for part of it."""
    seen = pd.DataFrame(
        {
            "instance": ["db-2", "db-2"],
            "long_query_time_s": [0.5, 2.0],
            "min_examined_row_limit": [0, 0],
            "log_slow_rate_limit": [1.0, 1.0],
        }
    )
    assert latency.cut(seen)["long_query_time_ms"].tolist() == [2000.0]


LIMITS = {"min_examined_row_limit": 0, "log_slow_rate_limit": 1.0}


def test_a_log_of_the_slowest_statements_determines_their_upper_quantiles():
    """The log has the slowest 4,000 of 100,000 statements: the p99 is exact, the p95 lies below the cut."""
    every = np.sort(lognormal(100_000))
    logged, cut_ms = every[-4000:], 1000 * every[-4000]
    metrics = pd.DataFrame({"instance": "db-2", "value": [0.5, 0.5], "period_s": [100_000.0] * 2})
    counted = latency.statements(metrics)
    found = latency.identified(
        latency.counts(slow_queries(logged)), counted, cuts(cut_ms).assign(**LIMITS)
    ).iloc[0]
    assert found["logged_pct"] == pytest.approx(4)
    assert float(found["p99 of all [ms]"].replace(",", "")) == pytest.approx(
        1000 * np.quantile(every, 0.99), rel=0.02
    )
    assert found["p95 of all [ms]"] == f"< {three_digits(cut_ms)}"


@pytest.mark.parametrize(
    ("limits", "counted"),
    [
        (LIMITS, pd.Series({"db-3": 1e6})),
        (LIMITS | {"min_examined_row_limit": 1000}, pd.Series({"db-2": 1e6})),
        (LIMITS | {"log_slow_rate_limit": 10.0}, pd.Series({"db-2": 1e6})),
        (LIMITS | {"long_query_time_ms": np.nan}, pd.Series({"db-2": 1e6})),
    ],
)
def test_a_sampled_log_or_an_unknown_total_determines_no_quantile_of_all_statements(limits, counted):
    """The p99 of a sample of slow statements is not the p99 of all."""
    found = latency.identified(latency.counts(slow_queries(lognormal())), counted, cuts().assign(**limits))
    assert set(found.filter(like="of all").iloc[0]) == {"not known"}
