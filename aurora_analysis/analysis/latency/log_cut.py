"""Statements that the slow log omits, and the quantiles of all statements that it still determines.

The limits are MySQL's: https://dev.mysql.com/doc/refman/8.0/en/slow-query-log.html; `log_slow_rate_limit` is MariaDB's and
Percona's.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis import histogram
from aurora_analysis.analysis.verdict import three_digits

STATEMENTS = ("select_throughput", "dml_throughput")
"""The metrics that together count all statements [1/s]; the slow log holds the slowest of these statements."""

ALL_QUANTILES = (0.5, 0.95, 0.99, 0.999)
"""The quantiles of all statements that `identified` reports."""


def cut(instances: pd.DataFrame) -> pd.DataFrame:
    """Find each instance's strictest limits of the slow log in the window.

    Parameters
    ----------
    instances : DataFrame
        Rows of the table `instances`: `instance, long_query_time_s, min_examined_row_limit, log_slow_rate_limit`.

    Returns
    -------
    DataFrame
        `instance, long_query_time_ms, min_examined_row_limit, log_slow_rate_limit`; NaN where a limit is unknown.
    """
    limits = ["long_query_time_s", "min_examined_row_limit", "log_slow_rate_limit"]
    strictest = instances.groupby("instance", as_index=False)[limits].max()
    strictest.insert(1, "long_query_time_ms", strictest.pop("long_query_time_s") * 1000)
    return strictest


def statements(metrics: pd.DataFrame) -> pd.Series:
    """Count the statements that each instance executed while its throughput was measured.

    Parameters
    ----------
    metrics : DataFrame
        Rows of the table `metrics` whose name is in `STATEMENTS`: `instance, value` [1/s] and `period_s` [s].

    Returns
    -------
    Series
        Number of statements by instance.
    """
    count = metrics["value"] * metrics["period_s"]
    return count.groupby(metrics["instance"]).sum().rename("statements")


def statement_rate(metrics: pd.DataFrame) -> pd.Series:
    """Compute the mean rate of all statements of each instance [1/s].

    Parameters
    ----------
    metrics : DataFrame
        Rows of the table `metrics` whose name is in `STATEMENTS`: `instance, name, value` [1/s] and `period_s` [s].

    Returns
    -------
    Series
        Statements per second by instance; NaN if one of the metrics is missing.
    """
    measured = metrics[metrics["value"].notna()].astype({"instance": str, "name": str})
    sums = measured.assign(count=measured["value"] * measured["period_s"]).groupby(["instance", "name"])
    totals = sums[["count", "period_s"]].sum()
    rates = (totals["count"] / totals["period_s"]).unstack().reindex(columns=[*STATEMENTS])
    return rates.sum(axis=1, skipna=False).rename("statements_per_s")


def identified(executions: pd.DataFrame, counted: pd.Series, cuts: pd.DataFrame) -> pd.DataFrame:
    """Determine the quantiles of *all* statements that follow from the slow log, formatted for reading.

    If the log holds the slowest part of all statements, a quantile within that part is determined; a quantile below it is
    only bounded by the cut. If the log leaves out or samples statements, or if their total is unknown, no quantile is
    determined.

    Parameters
    ----------
    executions : DataFrame
        Counts of the slow log.
    counted : Series
        The result of `statements`.
    cuts : DataFrame
        The result of `cut`.

    Returns
    -------
    DataFrame
        `instance, statements, logged, logged_pct` and one text column per quantile (`p50 of all [ms]` …): a latency, an
        upper bound such as "< 1,000", or "not known".
    """
    limits = cuts.set_index("instance").to_dict("index")
    rows = [
        (
            instance,
            counted.get(instance, np.nan),
            logged["count"].sum(),
            *_identified(logged, counted.get(instance), limits.get(instance)),
        )
        for instance, logged in executions.groupby("instance")
    ]
    names = [f"p{100 * quantile:g} of all [ms]" for quantile in ALL_QUANTILES]
    result = pd.DataFrame(rows, columns=["instance", "statements", "logged", *names])
    result.insert(3, "logged_pct", 100 * result["logged"] / result["statements"])
    return result


def _identified(
    logged: pd.DataFrame, total: float | None, limits: Mapping[Hashable, Any] | None
) -> list[str]:
    """One instance's quantiles of all statements; `limits` is its row of `cut`."""
    if total is None or limits is None or not limits["long_query_time_ms"] >= 0 or _leaves_out(limits):
        return ["not known"] * len(ALL_QUANTILES)
    slowest_first = logged.groupby("bucket")["count"].sum().sort_index(ascending=False).cumsum()
    cut_ms = limits["long_query_time_ms"]
    return [_exceeded_by(slowest_first, (1 - quantile) * total, cut_ms) for quantile in ALL_QUANTILES]


def _leaves_out(limits: Mapping[Hashable, Any]) -> bool:
    return bool(limits["min_examined_row_limit"] > 0 or limits["log_slow_rate_limit"] > 1)


def _exceeded_by(slowest_first: pd.Series, count: float, cut_ms: float) -> str:
    """The latency that `count` statements exceed, or the statement that it lies below the cut."""
    reached = slowest_first[slowest_first >= count]
    if reached.empty:
        return f"< {three_digits(cut_ms)}"
    return three_digits(float(histogram.middle(np.array([reached.index[0]]))[0]))
