"""The longest time that a read view may be held at each hour of the week before the writer is slower by an objective.

The growth model inverted: latency gives the history list length that is too long, the entries per transaction turn it
into commits, and the commit rate from that hour on turns them into time.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.analysis.limits.effect_curve import Curve
from aurora_analysis.analysis.limits.growth import Growth
from aurora_analysis.analysis.limits.replay import DRAWS, interval, rate_factor
from aurora_analysis.analysis.series import Array

BEYOND = 2.0
"""No limit is stated beyond this multiple of the longest recorded hold: nothing shows what latency does there."""

COLUMNS = ["metric", "slowdown_pct", "weekday", "hour", "minutes", "low_minutes", "high_minutes"]

SUGGESTION_COLUMNS = [
    "days",
    "hour",
    "minutes",
    "low_minutes",
    "high_minutes",
    "limit_min",
    "max_execution_time",
]

SUGGESTED = (1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1440)
"""Time limits that people set [min]."""


def longest_holds(
    growth: Growth, curve: Curve, longest_hold_s: float, slowdowns_pct: tuple[float, ...] = (5.0, 10.0)
) -> pd.DataFrame:
    """Longest hold at each hour of the week before latency is higher by each objective.

    Parameters
    ----------
    growth : Growth
        Commit rate and growth.
    curve : Curve
        Latency over the history list.
    longest_hold_s : float
        Longest recorded hold [s]; limits beyond twice this are not stated.
    slowdowns_pct : tuple of float
        The objectives [%].

    Returns
    -------
    DataFrame
        `COLUMNS`, one row per objective and hour of the week (`weekday` 0 is Monday). `minutes` is the median limit and
        `low_minutes` to `high_minutes` its 95 % prediction interval [min]; infinite beyond twice the longest hold.
    """
    most = BEYOND * longest_hold_s / 60
    rng = np.random.default_rng(0)
    slopes, entries = curve.draws(rng, DRAWS), growth.entries.draws(rng, DRAWS)
    too_long = {pct: curve.excess_at(pct, slopes) / entries for pct in slowdowns_pct}
    rows = []
    for hour in range(7 * 24):
        committed = growth.rate.committed(60 * hour, int(np.ceil(most)))
        # The same random numbers for every hour: hours then differ by their rates alone, not by chance.
        factor = rate_factor(growth, np.random.default_rng(1), 60 * hour, most / 2)
        for pct, commits in too_long.items():
            limits = interval(_minutes_until(commits / factor, committed, most))
            rows.append((curve.metric, pct, hour // 24, hour % 24, limits.value, limits.low, limits.high))
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(
        ["slowdown_pct", "weekday", "hour"], ignore_index=True
    )


def _minutes_until(commits: Array, committed: Array, most: float) -> Array:
    """Minutes until so many commits have happened; infinite beyond `most`."""
    minutes = np.interp(commits, committed, np.arange(len(committed)), right=np.inf)
    return np.where(minutes <= most, minutes, np.inf)


def suggested_limits(holds: pd.DataFrame, slowdown_pct: float, longest_hold_s: float) -> pd.DataFrame:
    """Suggest a `max_execution_time` for each hour, for weekdays and for weekends.

    Parameters
    ----------
    holds : DataFrame
        Result of `longest_holds`.
    slowdown_pct : float
        The objective [%], one of those in `holds`.
    longest_hold_s : float
        Longest recorded hold [s]; no suggestion goes beyond twice this.

    Returns
    -------
    DataFrame
        One row per hour and `days` (`weekdays` or `weekends`): `minutes`, `low_minutes` and `high_minutes` of the
        strictest of these days [min], `limit_min`, the lower end rounded down to a usual length [min], and
        `max_execution_time`, the same as a value of that variable [ms]. Missing if even one minute may be too long.
    """
    mine = holds[holds["slowdown_pct"] == slowdown_pct]
    days = mine["weekday"].ge(5).map({False: "weekdays", True: "weekends"}).rename("days")
    strictest = mine.groupby([days, "hour"])[["minutes", "low_minutes", "high_minutes"]].min()
    most = BEYOND * longest_hold_s / 60
    limit = strictest["low_minutes"].clip(upper=most).map(_rounded_down)
    milliseconds = (60_000 * limit).round().astype("Int64")
    return strictest.assign(limit_min=limit, max_execution_time=milliseconds).reset_index()


def _rounded_down(minutes: float) -> float:
    return float(max((one for one in SUGGESTED if one <= minutes), default=np.nan))
