"""What was stated to be acceptable: the minutes over it, and how much of the window's error budget they spent."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from aurora_analysis.analysis.verdict import Severity, Verdict
from aurora_analysis.tables import METRICS
from aurora_analysis.window import Window

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
    series: Mapping[str, pd.Series], limits: Mapping[str, float], window: Window, *, budget_pct: float = 1.0
) -> pd.DataFrame:
    """For how many minutes each metric's minute mean was over its limit, and the share of the error budget [%].

    Answers: was it acceptable? The budget is `budget_pct` of the window's minutes. Minutes that were not observed are
    neither over nor within: `coverage` [0 to 1] tells them. `worst_day` (UTC) had the most minutes over.
    """
    rows = [_over(name, limit, series[name], window, budget_pct) for name, limit in limits.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def _over(
    name: str, limit: float, values: pd.Series, window: Window, budget_pct: float
) -> tuple[str | float | None, ...]:
    minutes = values.groupby(pd.DatetimeIndex(values.index).floor("min")).mean()
    over = minutes[minutes > limit]
    budget = window.duration.total_seconds() / 60 * budget_pct / 100
    days = over.groupby(pd.DatetimeIndex(over.index).strftime("%Y-%m-%d")).size()
    worst = str(days.idxmax()) if len(days) else None
    coverage = window.coverage(pd.DatetimeIndex(minutes.index), 60.0)
    unit, spent = METRICS[name][0], 100 * len(over) / budget
    return (name, unit, limit, len(minutes), len(over), budget, spent, worst, coverage)


def verdicts(
    found: pd.DataFrame,
    *,
    topic: str = "workload_change",
    watch_pct: float = 50.0,  # half of the budget
    coverage_needed: float = 0.5,
) -> list[Verdict]:
    """One verdict an objective: `budget spent`, `within budget` or `unknown`."""
    return [_verdict(row, topic, watch_pct, coverage_needed) for row in found.to_dict("records")]


ACTIONS = {
    "budget spent": "Find what the worst day's minutes have in common: see reader_impact, undo_log and db_load.",
    "within budget": "Nothing to do.",
    "unknown": "Fetch the metric, or state an objective on one that is there.",
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
    return Verdict(topic, f"objective: {name}", level, severity, sentence, numbers, evidence, ACTIONS[level])


def _level(row: Mapping[Hashable, Any], watch_pct: float, coverage_needed: float) -> tuple[str, Severity]:
    """What is spent is spent, however little was seen; that it is not needs most of the window."""
    if row["spent_pct"] > 100:
        return "budget spent", "act"
    if row["coverage"] < coverage_needed:
        return "unknown", "unknown"
    return "within budget", "watch" if row["spent_pct"] > watch_pct else "ok"
