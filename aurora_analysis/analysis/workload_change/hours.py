"""Hourly totals of what is compared: throughput and latency of each role and statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pandas as pd

from aurora_analysis.analysis.sparkline import Sparkline, sparklines
from aurora_analysis.glossary import METRICS
from aurora_analysis.window import Window

KEY_METRICS = [
    "commit_throughput",
    "commit_latency",
    "dml_throughput",
    "dml_latency",
    "select_throughput",
    "select_latency",
]
"""Metrics that are compared for each role: how much it does, and how long that takes."""

UNITS = {"throughput": "calls/h", "latency": "ms"} | {name: METRICS[name][0] for name in KEY_METRICS}

MOST_WEEKS = 8
"""Largest number of earlier weeks; older ones had a different workload."""

CALLS = ["time", "period_s", "instance", "digest", "calls", "mean_latency_ms"]
"""Columns of statement_metrics that `statement_hours` needs."""

SUBJECT = ["role", "digest", "measure"]
HOUR_COLUMNS = ["time", "instance", "digest", "measure", "total", "weight"]


def earlier(window: Window, span: Window, count: int = MOST_WEEKS) -> list[Window]:
    """List the windows on the same weekdays and hours of earlier weeks, newest first.

    Parameters
    ----------
    window : Window
        The window.
    span : Window
        The span of the stored data; windows that start before it are left out.
    count : int, default MOST_WEEKS
        Largest number of windows.

    Returns
    -------
    list of Window
        Windows of the same length, shifted by whole weeks.
    """
    step = timedelta(days=7 * -(-window.duration // timedelta(days=7)))
    shifted = [Window(window.start - n * step, window.end - n * step) for n in range(1, count + 1)]
    return [week for week in shifted if week.start >= span.start]


def statement_hours(statement_metrics: pd.DataFrame) -> pd.DataFrame:
    """Sum calls and latency of each digest hour by hour.

    Parameters
    ----------
    statement_metrics : DataFrame
        Rows of the table statement_metrics, with `CALLS`.

    Returns
    -------
    DataFrame
        `time` (UTC), `instance`, `digest`, `measure`, `total`, `weight`; the mean is total / weight. For `throughput`:
        calls by observed hours [calls/h]; for `latency`: milliseconds by calls [ms].
    """
    rows = statement_metrics.assign(
        time=statement_metrics["time"].dt.floor("h"),
        busy_ms=statement_metrics["calls"] * statement_metrics["mean_latency_ms"],
    )
    sums = rows.groupby(["time", "instance", "digest"], as_index=False)[["calls", "busy_ms"]].sum()
    sums = sums.astype({"instance": str, "digest": str})
    observed = _observed_hours(statement_metrics).reindex(
        pd.MultiIndex.from_frame(sums[["time", "instance"]])
    )
    subjects = sums[["time", "instance", "digest"]]
    frames = [
        subjects.assign(measure="throughput", total=sums["calls"], weight=observed.to_numpy()),
        subjects.assign(measure="latency", total=sums["busy_ms"], weight=sums["calls"]),
    ]
    return pd.concat(frames, ignore_index=True)[HOUR_COLUMNS]


def _observed_hours(statement_metrics: pd.DataFrame) -> pd.Series:
    """Observed part of each hour of each instance's statements [h]."""
    periods = statement_metrics[["time", "instance", "period_s"]].drop_duplicates(["time", "instance"])
    periods = periods.astype({"instance": str})
    return (
        periods.assign(time=periods["time"].dt.floor("h")).groupby(["time", "instance"])["period_s"].sum()
        / 3600
    )


def metric_hours(metrics: pd.DataFrame, names: Sequence[str] = KEY_METRICS) -> pd.DataFrame:
    """Sum the key metrics of each instance hour by hour, as `statement_hours` does.

    Parameters
    ----------
    metrics : DataFrame
        Rows of the table metrics.
    names : sequence of str, default KEY_METRICS
        Names of the metrics.

    Returns
    -------
    DataFrame
        Columns as in `statement_hours`; `digest` is empty, `weight` is minutes.
    """
    rows = metrics[metrics["name"].isin(names) & (metrics["statistic"] == "average")]
    hours = rows.assign(time=rows["time"].dt.floor("h"), digest="")
    grouped = hours.groupby(["time", "instance", "digest", "name"])["value"]
    sums = grouped.agg(total="sum", weight="size").reset_index()
    return sums.rename(columns={"name": "measure"}).astype({"weight": float})[HOUR_COLUMNS]


def by_role(hours: pd.DataFrame, roles: pd.Series) -> pd.DataFrame:
    """Replace `instance` by `role`: "writer" through every failover, a reader by its name.

    Parameters
    ----------
    hours : DataFrame
        Result of `statement_hours` and `metric_hours`.
    roles : Series
        Role of each row's instance at that time: "writer" or "reader".

    Returns
    -------
    DataFrame
        `time` (UTC), `role`, `digest`, `measure`, `total`, `weight`.
    """
    hours = hours.assign(role=hours["instance"].where(roles != "writer", "writer"))
    hours = hours.drop_duplicates(["time", "instance", "digest", "measure"])
    return hours.groupby(["time", *SUBJECT], as_index=False)[["total", "weight"]].sum()


def at_a_glance(hours: pd.DataFrame, window: Window, others: Sequence[Window]) -> list[Sparkline]:
    """Draw the key metrics of each role as sparklines, with the windows of comparison.

    Parameters
    ----------
    hours : DataFrame
        Result of `by_role`.
    window : Window
        The window to draw.
    others : sequence of Window
        Windows to compare with, newest first.

    Returns
    -------
    list of Sparkline
        One per role and metric.
    """
    rows = hours[hours["digest"] == ""]
    shown = rows.assign(value=rows["total"] / rows["weight"], measure=rows["measure"].str.replace("_", " "))
    units = {name.replace("_", " "): UNITS[name] for name in KEY_METRICS}
    return sparklines("workload_change", shown, units, window, others)
