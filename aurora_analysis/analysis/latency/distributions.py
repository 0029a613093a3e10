"""The distribution of latency in one window: counts by bucket, shares, and quantiles with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aurora_analysis import histogram
from aurora_analysis.analysis.latency.blocks import QUANTILES, block_counts, percentile_interval
from aurora_analysis.analysis.verdict import three_digits
from aurora_analysis.window import Window

COLUMNS = ["ended_at", "instance", "digest", "query_time_s"]
"""The columns of `slow_queries` that `counts` reads."""

COUNT_COLUMNS = ["time", "instance", "digest", "bucket", "count"]
"""The columns of counts."""


def counts(slow_queries: pd.DataFrame) -> pd.DataFrame:
    """Count executions by latency bucket, at the minute in which they ended.

    Parameters
    ----------
    slow_queries : DataFrame
        Rows of the table `slow_queries` with the columns `COLUMNS`; times in UTC, `query_time_s` in seconds.

    Returns
    -------
    DataFrame
        `time, instance, digest, bucket, count`; buckets are those of `aurora_analysis.histogram`.
    """
    buckets = histogram.bucket(slow_queries["query_time_s"] * 1000)
    frame = slow_queries.assign(time=slow_queries["ended_at"].dt.floor("min"), bucket=buckets, count=1)
    sums: pd.Series = frame.groupby(COUNT_COLUMNS[:-1])["count"].sum()
    return sums.to_frame().reset_index()


def no_counts() -> pd.DataFrame:
    """Counts without rows.

    Returns
    -------
    DataFrame
        With `COUNT_COLUMNS`.
    """
    return counts(
        pd.DataFrame(
            {
                "ended_at": pd.DatetimeIndex([], tz="UTC"),
                "instance": [],
                "digest": [],
                "query_time_s": np.zeros(0),
            }
        )
    )


def top(executions: pd.DataFrame, count: int = 5) -> list[str]:
    """List the digests with the largest total time.

    Parameters
    ----------
    executions : DataFrame
        Counts.
    count : int
        Length of the list.

    Returns
    -------
    list of str
        Digests, largest total time first.
    """
    seconds = histogram.middle(executions["bucket"]) * executions["count"]
    return list(seconds.groupby(executions["digest"]).sum().nlargest(count).index)


def distribution(executions: pd.DataFrame, by: Sequence[str] = ("instance",)) -> pd.DataFrame:
    """Compute the share and the cumulative share of executions by latency.

    Parameters
    ----------
    executions : DataFrame
        Counts.
    by : sequence of str
        Columns that name a group.

    Returns
    -------
    DataFrame
        `by…, bucket, count, latency_ms, share, ecdf`: `latency_ms` is the bucket's upper bound [ms]; `share` and `ecdf`
        are fractions of the group's executions [0 to 1].
    """
    grouped = executions.groupby([*by, "bucket"], as_index=False)["count"].sum()
    groups = grouped.groupby(list(by))["count"]
    share = grouped["count"] / groups.transform("sum")
    result: pd.DataFrame = grouped.assign(
        latency_ms=histogram.bounds(grouped["bucket"])[1],
        share=share,
        ecdf=share.groupby([grouped[name] for name in by]).cumsum(),
    )
    return result


def quantiles(
    executions: pd.DataFrame,
    window: Window,
    by: Sequence[str] = ("instance",),
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate latency quantiles with block-bootstrap intervals.

    Parameters
    ----------
    executions : DataFrame
        Counts in the window.
    window : Window
        The window; it is cut into `BLOCKS` blocks, which are resampled.
    by : sequence of str
        Columns that name a group.
    confidence : float
        Coverage of the intervals [0 to 1].
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        `by…, executions, quantile, latency_ms, low_ms, high_ms`, one row per group and quantile [ms]. Bucketing adds an
        error of at most 1 %. The interval is NaN with fewer than `BLOCKS_NEEDED` non-empty blocks.
    """
    rows = [
        (*group, int(sample.total), *values)
        for group, sample in block_counts(executions, window, by)
        for values in zip(
            QUANTILES, sample.quantiles(), *percentile_interval(sample.resampled(seed), confidence)
        )
    ]
    return pd.DataFrame(rows, columns=[*by, "executions", "quantile", "latency_ms", "low_ms", "high_ms"])


def summary(estimated: pd.DataFrame) -> pd.DataFrame:
    """Format quantiles for reading: one row per group, such as "584 [570, 601]" in milliseconds.

    Parameters
    ----------
    estimated : DataFrame
        The result of `quantiles`.

    Returns
    -------
    DataFrame
        The group's columns, one text column per quantile (`p50 [ms]` …) and `executions`.
    """
    by = [name for name in estimated.columns if name in COUNT_COLUMNS]
    values = zip(estimated["latency_ms"], estimated["low_ms"], estimated["high_ms"])
    columns = "p" + (100 * estimated["quantile"]).map("{:g}".format) + " [ms]"
    cells = estimated.assign(text=[_with_interval(*row) for row in values], column=columns)
    wide = cells.pivot(index=by, columns="column", values="text")
    executions = estimated.groupby(by)["executions"].first()
    return wide.rename_axis(columns=None).assign(executions=executions).reset_index()


def _with_interval(value: float, low: float, high: float) -> str:
    if np.isnan(low):
        return f"{three_digits(value)} [too few]"
    return f"{three_digits(value)} [{three_digits(low)}, {three_digits(high)}]"
