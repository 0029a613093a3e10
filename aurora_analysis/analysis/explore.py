"""Answer an analyst's ad-hoc questions: descriptions of what happened, without a verdict.

Nothing here is adjusted for the time of day, for load or for other workloads: `reader_impact` does that.
"""

from __future__ import annotations

import pandas as pd

from aurora_analysis.analysis import workloads
from aurora_analysis.errors import Error
from aurora_analysis.store.observations import Observations

TOTALS = ["calls", "total_s", "mean_ms"]
"""Columns of `by_digest` that are compared."""


def runs(data: Observations, groups: workloads.Groups, *, shortest_s: float = 60.0) -> workloads.Exposure:
    """Find when each reader workload had a statement open, and when that is unknown.

    Parameters
    ----------
    data : Observations
        The window of one cluster (`observe`).
    groups : Groups
        Rules that name workloads (`config.groups`).
    shortest_s : float, default 60
        Leave out shorter executions [s].

    Returns
    -------
    Exposure
        `runs` and `unknown`: frames with `workload, start, end` (UTC).
    """
    tables = workloads.Tables.read(data, shortest_s=shortest_s).on_readers()
    return workloads.exposure.exposure(tables, groups.workloads, shortest_s=shortest_s)


def with_and_without(series: pd.Series, exposure: workloads.Exposure) -> pd.DataFrame:
    """Describe a metric while each workload runs, and while it does not.

    Periods that are partly exposed, or for which no source shows whether the workload ran, are left out.

    Parameters
    ----------
    series : Series
        A metric by start of the period (UTC).
    exposure : Exposure
        Result of `runs`.

    Returns
    -------
    DataFrame
        One row per workload: `periods_with`, `periods_without`, `periods_unknown`; `mean_with`, `mean_without`,
        `p95_with`, `p95_without` in the metric's unit; and `difference_pct`, of the means [%].
    """
    times, period_s = pd.DatetimeIndex(series.index), _period_s(series)
    shares = workloads.exposure_share(exposure.runs, times, period_s)
    unknown = workloads.exposure_share(exposure.unknown, times, period_s).reindex(columns=shares.columns)
    rows = [_described(series, shares[name], unknown[name].fillna(0) > 0) for name in shares]
    found = pd.DataFrame(rows, columns=COMPARED, index=pd.Index(shares.columns, name="workload"))
    return found.assign(difference_pct=100 * (found["mean_with"] / found["mean_without"] - 1))


COMPARED = [
    "periods_with",
    "periods_without",
    "periods_unknown",
    "mean_with",
    "mean_without",
    "p95_with",
    "p95_without",
]


def _period_s(series: pd.Series) -> float:
    """Length of a period: the median step [s]; a minute if there are fewer than two periods."""
    steps = series.index.to_series().diff().dt.total_seconds()
    return float(steps.median()) if len(series) > 1 else 60.0


def _described(series: pd.Series, share: pd.Series, is_unknown: pd.Series) -> tuple[float, ...]:
    inside = series[(share >= 0.999) & ~is_unknown]
    outside = series[(share == 0) & ~is_unknown]
    means = float(inside.mean()), float(outside.mean())
    p95s = float(inside.quantile(0.95)), float(outside.quantile(0.95))
    return len(inside), len(outside), int(is_unknown.sum()), *means, *p95s


def by_digest(data: Observations) -> pd.DataFrame:
    """Sum the executions of each statement over the window, on all instances.

    Parameters
    ----------
    data : Observations
        The window of one cluster (`observe`).

    Returns
    -------
    DataFrame
        By `digest`, the largest total first: `calls`; `total_s` [s]; `mean_ms` [ms]; and `counted`, which is "all" if
        the database's statistics count every execution, and "logged" if only the slow log shows the statement.
    """
    counted = data.table("statement_metrics", columns=["digest", "calls", "mean_latency_ms"])
    logged = data.table("slow_queries", columns=["digest", "query_time_s"])
    every = counted.assign(total_s=counted["calls"] * counted["mean_latency_ms"] / 1000)
    every = every.groupby("digest", observed=True)[["calls", "total_s"]].sum().assign(counted="all")
    slow = logged.groupby("digest", observed=True)["query_time_s"].agg(calls="size", total_s="sum")
    found: pd.DataFrame = pd.concat([every, slow[~slow.index.isin(every.index)].assign(counted="logged")])
    found.index = found.index.astype(str).rename("digest")
    found = found.assign(mean_ms=1000 * found["total_s"] / found["calls"])[[*TOTALS, "counted"]]
    return found.sort_values("total_s", ascending=False)


def against(data: Observations, before: Observations) -> pd.DataFrame:
    """Compare the executions of each statement in two windows.

    Parameters
    ----------
    data, before : Observations
        Two windows of one cluster, such as `data` and `data.previous()`.

    Returns
    -------
    DataFrame
        By `digest`, the largest change of the total first: the columns of `by_digest`; the same with `_before`; changes
        `total_change_s` [s] and `mean_change_pct` [%]; and `fingerprint`. A change is missing if the statement is
        unknown in one window, or counted differently in the two.
    """
    found = by_digest(data).merge(by_digest(before), on="digest", how="outer", suffixes=("", "_before"))
    same = found["counted"] == found["counted_before"]
    found = found.assign(
        total_change_s=(found["total_s"] - found["total_s_before"]).where(same),
        mean_change_pct=(100 * (found["mean_ms"] / found["mean_ms_before"] - 1)).where(same),
    )
    found = found.sort_values("total_change_s", key=abs, ascending=False)
    return found.join(data.fingerprints.set_index("digest"), how="left")


def history(data: Observations, digest: str) -> pd.DataFrame:
    """Follow one statement day by day, over everything that the store has of the cluster.

    Parameters
    ----------
    data : Observations
        Any window of the cluster.
    digest : str
        The statement's digest, or its first characters.

    Returns
    -------
    DataFrame
        By day (UTC): `calls` and `mean_ms` of all executions, `logged` and `longest_s` of those in the slow log. Days
        without a row in the source are missing, not zero.

    Raises
    ------
    Error
        If no statement of the cluster, or more than one, has such a digest.
    """
    whole, name = data.over(data.span), data.digest(digest)
    counted = whole.table(
        "statement_metrics", columns=["digest", "calls", "mean_latency_ms"], where={"digest": name}
    )
    logged = whole.table("slow_queries", columns=["digest", "query_time_s"], where={"digest": name})
    counted = counted.assign(
        day=counted["time"].dt.floor("D"), ms=counted["calls"] * counted["mean_latency_ms"]
    )
    days = counted.groupby("day")[["calls", "ms"]].sum()
    slow = logged.groupby(logged["ended_at"].dt.floor("D").rename("day"))["query_time_s"]
    found = days.assign(mean_ms=days["ms"] / days["calls"]).drop(columns="ms")
    return found.join(slow.agg(logged="size", longest_s="max"), how="outer").sort_index()


def peak(series: pd.Series) -> pd.Timestamp:
    """Return when a metric was highest.

    Parameters
    ----------
    series : Series
        A metric by start of the period (UTC).

    Returns
    -------
    Timestamp
        The start of the period.

    Raises
    ------
    Error
        If the metric has no values in the window.
    """
    if series.dropna().empty:
        raise Error(
            f"The metric {series.name} has no values in this window: `aurora-analysis store coverage` shows "
            "what the store has."
        )
    return pd.DatetimeIndex(series.index)[int(series.argmax())]
