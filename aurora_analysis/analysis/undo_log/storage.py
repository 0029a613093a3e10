"""The shared volume beside undo: its size, its billed reads and writes, and the change records that backtracking keeps.

Backtracking stores a record of each change for the length of its window. These records are not undo records: a long read view
keeps undo, and a long backtrack window keeps change records, each at its own price.
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraMySQL.Managing.Backtrack.html
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.analysis.verdict import Severity, Verdict, large, three_digits
from aurora_analysis.store.observations import Observations

USD_PER_MILLION_HOURS = 0.012
"""Price of a million change records kept for an hour [USD], in us-east-1. An assumption, noted without a price list at hand."""

GIB, MILLION = 2.0**30, 1e6

COLUMNS: dict[str, tuple[str, str, float]] = {
    "volume_gib": ("volume_bytes", "max", GIB),
    "reads_millions": ("volume_reads", "sum", MILLION),
    "writes_millions": ("volume_writes", "sum", MILLION),
    "records_created_millions": ("backtrack_records_created", "sum", MILLION),
    "records_stored_millions": ("backtrack_records_stored", "mean", MILLION),
    "backtrack_window_min": ("backtrack_window", "min", 1.0),
    "backtrack_alerts": ("backtrack_alerts", "sum", 1.0),
}
"""Column of `storage` → its metric, how a day's values are summarised, and what divides them."""

METRICS = [metric for metric, _, _ in COLUMNS.values()]


def storage(data: Observations) -> pd.DataFrame:
    """Summarise the volume and the change records of each day.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    DataFrame
        By `day` (UTC): `volume_gib` (the most), `reads_millions` and `writes_millions` (billed operations),
        `records_created_millions`, `records_stored_millions` (mean), `backtrack_window_min` (the least [min]) and
        `backtrack_alerts`; NaN without data, and no rows without any of these metrics.
    """
    rows = data.table("metrics", columns=["name", "value"], where={"name": METRICS}).astype({"name": str})
    days = rows.groupby([rows["time"].dt.floor("D").rename("day"), "name"])["value"]
    of_day = days.agg(["max", "min", "mean", "sum"])
    found = {
        column: of_day[how].xs(metric, level="name") / unit
        for column, (metric, how, unit) in COLUMNS.items()
        if metric in set(rows["name"])
    }
    return pd.DataFrame(found, columns=list(COLUMNS)).rename_axis("day")


def backtrack_verdicts(
    days: pd.DataFrame, *, usd_per_million_hours: float = USD_PER_MILLION_HOURS
) -> list[Verdict]:
    """Judge whether the backtrack window reached its target, and state what it costs.

    Parameters
    ----------
    days : DataFrame
        The result of `storage`.
    usd_per_million_hours : float
        Price of a million change records kept for an hour [USD].

    Returns
    -------
    list of Verdict
        None if no change record was counted, as without backtracking. Otherwise one: `watch` if the window fell short of its
        target, `ok` if not, `unknown` if that was not recorded.
    """
    stored, created = (
        days["records_stored_millions"].mean(),
        days["records_created_millions"].sum(min_count=1),
    )
    if not stored > 0 and not created > 0:
        return []
    alerts = days["backtrack_alerts"].sum(min_count=1)
    level, severity = _level(alerts)
    return [
        Verdict(
            "undo_log",
            "backtrack",
            level,
            severity,
            f"{_reached(days, alerts)} {_cost(stored, created, usd_per_million_hours)} Undo is kept apart from these records: a "
            "long read view keeps it however long the window is.",
            {"alerts": _number(alerts), "records_stored_millions": _number(stored)},
            "the table of the volume and its change records",
            ACTIONS[level],
            HEADLINES[level],
        )
    ]


HEADLINES = {
    "window fell short": "The backtrack window fell short of its target",
    "window reached": "The backtrack window reached its target",
    "unknown": "Unknown whether the backtrack window reached its target",
}
ACTIONS = {
    "window fell short": "Write in smaller bulks, or shorten the target window to what is kept (aws rds modify-db-cluster "
    "--backtrack-window SECONDS); take a snapshot before a bulk change.",
    "window reached": "Nothing to do; a shorter window costs less.",
    "unknown": "Fetch CloudWatch's BacktrackWindowAlert of the writer (aurora-analysis fetch).",
}


def _level(alerts: float) -> tuple[str, Severity]:
    if np.isnan(alerts):
        return "unknown", "unknown"
    return ("window fell short", "watch") if alerts > 0 else ("window reached", "ok")


def _reached(days: pd.DataFrame, alerts: float) -> str:
    if np.isnan(alerts):
        return "Whether the backtrack window reached its target was not recorded."
    if not alerts:
        return "The backtrack window reached its target throughout."
    on = days.index[days["backtrack_alerts"] > 0]
    return (
        f"Aurora alerted {alerts:,.0f} times, on {len(on)} {'day' if len(on) == 1 else 'days'}, that the backtrack window was shorter than its target: more was "
        "changed than it could keep."
    )


def _cost(stored: float, created: float, price: float) -> str:
    made = "" if np.isnan(created) else f"{large(created * MILLION)} change records were written"
    if np.isnan(stored):
        return f"{made}; how many are kept was not recorded."
    kept = f"{large(stored * MILLION)} were kept on average, about {three_digits(24 * stored * price)} USD a day at {price:g} USD"
    return f"{made + ', and ' if made else ''}{kept} per million and hour (an assumption: check your region's price list)."


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
