"""Weigh a hold of the xmin horizon by the dead rows that it left: on a busy table they hurt long before the hold is old.

A statement that starts at a table's oldest rows steps over all dead ones, at every call: about 20 pages for each 1,000 of
them (measured by `dev.py bench postgresql`). The age of the horizon counts transactions of the whole server and shows nothing of that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from aurora_analysis import engines
from aurora_analysis.analysis.verdict import SEVERITIES, Severity
from aurora_analysis.store.observations import Observations

WATCH, ACT = 10_000, 100_000
"""Dead rows that one table gained in a hold, from which the hold is worth watching or needs action [rows].

10,000 add about 200 pages to each scan over them, more than the 110 to 140 that the queue's DELETE of the lab touches without
any; 100,000 add about 2,000. Their ratio is that of `Thresholds.watch` and `act`. This project's rule.
"""

COLUMNS = ["time", "table", "dead_rows", "vacuum_at"]


class Left(NamedTuple):
    """The table that gained most dead rows in the holds of one holder."""

    table: str
    rows: int

    @property
    def severity(self) -> Severity:
        """Severity of the dead rows."""
        return "act" if self.rows >= ACT else "watch" if self.rows >= WATCH else "ok"


def by_table(data: Observations) -> pd.DataFrame:
    """Read the dead rows of each of the writer's tables over time.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    DataFrame
        `time` (UTC), `table`, `dead_rows` and `vacuum_at` [rows], from live samples, else from autovacuum's reports, whose
        `vacuum_at` is unknown.
    """
    sampled = data.table("relations").dropna(subset=["dead_rows"])
    if len(sampled):
        return sampled.rename(columns={"relation": "table"}).reindex(columns=COLUMNS)
    reports = data.table("vacuums").dropna(subset=["dead_not_removable"])
    return reports.rename(columns={"dead_not_removable": "dead_rows"}).reindex(columns=COLUMNS)


def most_left(tables: pd.DataFrame, spans: Iterable[tuple[pd.Timestamp, pd.Timestamp]]) -> Left | None:
    """Find the table that gained most dead rows in some spans.

    Parameters
    ----------
    tables : DataFrame
        Result of `by_table`.
    spans : iterable of (Timestamp, Timestamp)
        Start and end of each hold (UTC).

    Returns
    -------
    Left or None
        None if no table gained more than the dead rows at which vacuum would be overdue, or none was observed.
    """
    found = [one for start, end in spans if (one := _in_span(tables, start, end)) is not None]
    return max(found, key=lambda one: one.rows, default=None)


def _in_span(tables: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> Left | None:
    inside = tables[tables["time"].between(start, end)].sort_values("time", kind="stable")
    if inside.empty:
        return None
    by_name = inside.groupby("table", observed=True)
    gained = (by_name["dead_rows"].max() - by_name["dead_rows"].first()).astype(float)
    due = engines.module("postgresql", "cleanup").OVERDUE * by_name["vacuum_at"].max().astype(float)
    gained = gained[~(gained <= due)]
    return Left(str(gained.idxmax()), int(gained.max())) if len(gained) else None


def weighed(severity: Severity, left: Left | None) -> Severity:
    """Weigh a hold by its age and by the dead rows that it left.

    Parameters
    ----------
    severity : Severity
        By the age of the horizon.
    left : Left or None
        Result of `most_left`.

    Returns
    -------
    Severity
        The severer one; what is unknown by age stays unknown unless the dead rows need attention.
    """
    if left is None or left.severity == "ok":
        return severity
    return min(severity, left.severity, key=SEVERITIES.index)


def sentence(left: Left | None) -> str:
    """Word the dead rows that a hold left on one table.

    Parameters
    ----------
    left : Left or None
        Result of `most_left`.

    Returns
    -------
    str
        One sentence with a space before it; empty if they need no attention.
    """
    if left is None or left.severity == "ok":
        return ""
    return (
        f" The table {left.table} gained up to {left.rows:,} dead rows in one hold, and each scan over them touches more pages "
        "(about 20 for each 1,000 rows in the lab)."
    )
