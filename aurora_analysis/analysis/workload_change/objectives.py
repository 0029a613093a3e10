"""Compare metrics with stated objectives: the minutes over each limit, and the share of the error budget spent."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis.analysis.verdict import Severity, Verdict
from aurora_analysis.glossary import METRICS
from aurora_analysis.window import Window, zone

COLUMNS = [
    "metric",
    "unit",
    "limit",
    "minutes_observed",
    "minutes_over",
    "budget_minutes",
    "spent_pct",
    "worst_day",
    "coverage",
]


def minutes_over(
    series: Mapping[str, pd.Series],
    limits: Mapping[str, float],
    window: Window,
    *,
    budget_pct: float = 1.0,
    timezone: str = "UTC",
) -> pd.DataFrame:
    """Count the minutes in which each metric's minute mean was over its limit.

    Parameters
    ----------
    series : mapping of str to Series
        Metric name → its values over time (UTC).
    limits : mapping of str to float
        Metric name → its limit, in the metric's unit.
    window : Window
        The window.
    budget_pct : float, default 1
        Error budget: the share of the window's minutes that may be over the limit [%].
    timezone : str, default "UTC"
        Time zone of days.

    Returns
    -------
    DataFrame
        One row per metric: `metric`, `unit`, `limit`, `minutes_observed`, `minutes_over`, `budget_minutes`, `spent_pct`
        (share of the budget [%]), `worst_day` (date with the most minutes over), and `coverage` [0 to 1]. Minutes
        that were not observed count neither as over nor as within.
    """
    rows = [_over(name, limit, series[name], window, budget_pct, timezone) for name, limit in limits.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def _over(
    name: str, limit: float, values: pd.Series, window: Window, budget_pct: float, timezone: str
) -> tuple[str | float | None, ...]:
    values = values.dropna()
    minutes = values.groupby(pd.DatetimeIndex(values.index).floor("min")).mean()
    over = minutes[minutes > limit]
    budget = window.duration.total_seconds() / 60 * budget_pct / 100
    worst = None
    if len(over):
        local = pd.DatetimeIndex(over.index).tz_convert(zone(timezone))
        worst = str(over.groupby(local.strftime("%Y-%m-%d")).size().idxmax())
    coverage = window.coverage(pd.DatetimeIndex(minutes.index), 60.0)
    unit, spent = METRICS[name][0], 100 * len(over) / budget
    return (name, unit, limit, len(minutes), len(over), budget, spent, worst, coverage)


def verdicts(
    found: pd.DataFrame,
    *,
    topic: str = "workload_change",
    watch_pct: float = 50.0,
    coverage_needed: float = 0.5,
) -> list[Verdict]:
    """Conclude whether each objective was met.

    Parameters
    ----------
    found : DataFrame
        Result of `minutes_over`.
    topic : str, default "workload_change"
        Notebook of the verdicts.
    watch_pct : float, default 50
        Share of the budget that is to be watched once spent [%].
    coverage_needed : float, default 0.5
        Smallest share of the window that must be observed [0 to 1].

    Returns
    -------
    list of Verdict
        One per objective: `budget spent`, `within budget` or `unknown`.
    """
    return [_verdict(row, topic, watch_pct, coverage_needed) for row in found.to_dict("records")]


ACTIONS = {
    "budget spent": "Find what the worst day's minutes have in common: see reader_impact, undo_log and db_load.",
    "within budget": "Nothing to do.",
    "unknown": "Fetch the metric, or state an objective for a metric that is stored.",
}

NEARLY_SPENT_ACTION = "Watch it: much of the error budget is spent, although the objective is still met."


HEADLINES = {
    "budget spent": "The {name} objective was missed: its error budget is spent",
    "within budget": "The {name} objective was met",
    "unknown": "Unknown whether the {name} objective was met",
}


def _verdict(row: Mapping[Hashable, Any], topic: str, watch_pct: float, coverage_needed: float) -> Verdict:
    level, severity = _level(row, watch_pct, coverage_needed)
    name = row["metric"].replace("_", " ")
    worst = f", {row['worst_day']} worst" if row["minutes_over"] else ""
    sentence = (
        f"{name} was over {row['limit']:g} {row['unit']} (minute mean) in {row['minutes_over']:,} of "
        f"{row['minutes_observed']:,} minutes observed{worst}: {row['spent_pct']:.0f} % of the budget of "
        f"{row['budget_minutes']:.0f} minutes. {100 * row['coverage']:.0f} % of the window observed."
    )
    names = ["limit", "minutes_observed", "minutes_over", "spent_pct", "coverage"]
    numbers = {key: round(float(row[key]), 4) for key in names}
    evidence = "the table of objectives"
    headline = HEADLINES[level].format(name=name)
    return Verdict(
        topic,
        f"objective: {name}",
        level,
        severity,
        sentence,
        numbers,
        evidence,
        _action(level, severity),
        headline,
    )


def _action(level: str, severity: Severity) -> str:
    return NEARLY_SPENT_ACTION if level == "within budget" and severity == "watch" else ACTIONS[level]


def _level(row: Mapping[Hashable, Any], watch_pct: float, coverage_needed: float) -> tuple[str, Severity]:
    """A spent budget needs no coverage; `within budget` needs most of the window."""
    if row["spent_pct"] > 100:
        return "budget spent", "act"
    if not row["coverage"] >= coverage_needed or np.isnan(row["spent_pct"]):
        return "unknown", "unknown"
    return "within budget", "watch" if row["spent_pct"] > watch_pct else "ok"
