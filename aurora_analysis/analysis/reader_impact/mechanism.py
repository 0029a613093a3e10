"""Word the mechanism: whether a workload's read views or snapshots blocked cleanup, and what that let grow."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.analysis.verdict import duration
from aurora_analysis.engines.vocabulary import Words

FULLY_JUDGED = 0.95
"""Share of the statements' open time in which the holder must be known before a sentence states "never"."""


def mechanism(row: pd.Series, words: Words, when: str) -> str:
    """Word whether a workload's views or snapshots blocked cleanup.

    Parameters
    ----------
    row : pandas.Series
        The workload's row of `growth`.
    words : Words
        The engine's words for cleanup.
    when : str
        The window's dates.

    Returns
    -------
    str
        One sentence; "never" only where the holder is known for almost all of the time.
    """
    views, blocked = f"Its {words.view}s", f"{words.view}s blocked {words.cleanup}"
    missing = MISSING[words.view]
    exposed, what = (
        duration(3600 * row["exposed_hours"]),
        "transactions" if row["idle_share"] > 0 else "statements",
    )
    hours = f"its {what} were open for {exposed}"
    if np.isnan(row["growth"]):
        return f"Whether its {blocked} is unknown, because {missing} ({hours}; {when})."
    if row["growth"] <= 0 and row["judged_share"] < FULLY_JUDGED:
        return (
            f"Whether its {blocked} is known for {100 * row['judged_share']:.0f} % only of the {exposed} in which its {what} were "
            f"open; in that part they were never the oldest. For the rest {missing} ({when})."
        )
    if row["growth"] <= 0:
        return f"{views} were never the oldest while the {words.delay} grew ({hours}; {when})."
    return (
        f"{views} were the oldest during {row['share_pct']:.0f} % of {GROWTH[words.view]} "
        f"({row['growth']:,.0f} transactions meanwhile; {row['per_exposed_hour']:,.0f} per hour in which its {what} were open"
        f"{_between(row)}; {when})."
    )


GROWTH = {
    "read view": "the history list's growth",
    "snapshot": "the growth of the xmin horizon's age",
}
"""Noun of the quantity that grew while cleanup was blocked, by the kind of view."""

MISSING = {
    "read view": "the history list length or a count of the writer's transactions is missing",
    "snapshot": "the age of the xmin horizon is missing",
}
"""Data that are missing if no holder can be named, by the kind of view."""


def _between(row: pd.Series) -> str:
    low, high = row["low_per_hour"], row["high_per_hour"]
    return "" if np.isnan(low) else f", 95 % confidence interval {low:,.0f} to {high:,.0f}"
