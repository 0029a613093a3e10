"""Derive latency from a snapshot on PostgreSQL: changed rows stay dead, dead rows cost buffers, buffers cost time.

The dose identity has three factors, each measured by itself: the dead rows that a changed row leaves while something holds the
xmin horizon (close to 1), the buffers that one call of a statement touches more per dead row, and the milliseconds of a buffer.
Their product is a line of latency over dead rows, and the rate of changed rows turns it into time. Buffers are exact; what a buffer
costs depends on caches and on load, so the factor in milliseconds has the wide interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aurora_analysis.analysis import undo_log
from aurora_analysis.analysis.effect_level import STATEMENT_LATENCY
from aurora_analysis.analysis.limits.effect_curve import Curve
from aurora_analysis.analysis.limits.growth import SPANS_NEEDED, Growth, Lognormal
from aurora_analysis.analysis.limits.rates import weekly_rate
from aurora_analysis.analysis.limits.recorded import Recorded
from aurora_analysis.analysis.reader_impact.design import empty_design
from aurora_analysis.analysis.reader_impact.outcomes import by_digest
from aurora_analysis.analysis.reader_impact.refusals import DAYS_NEEDED
from aurora_analysis.analysis.statistics import block_df, jackknife_se
from aurora_analysis.store.observations import Observations

SETTLED_BY = (
    "record two weeks with snapshots held at different hours (aurora-analysis watch), with pg_stat_statements in "
    "shared_preload_libraries"
)

RATIO_DEVIATION_LEAST = 0.01
"""Smallest deviation of the dead rows per changed row between holds [log]: equal holds would promise too much."""


@dataclass(frozen=True)
class Dose:
    """The window's evidence on the three factors.

    Attributes
    ----------
    recorded : Recorded
        The holds; its `base` are the dead rows while nothing holds the horizon.
    growth : Growth
        Changed rows through the week, and dead rows per changed row.
    curves : list of Curve
        Relative latency over dead rows, one per statement.
    """

    recorded: Recorded
    growth: Growth
    curves: list[Curve]


def dose(data: Observations, undo: undo_log.Answer, timezone: str) -> Dose | str:
    """Measure the three factors in a window.

    Parameters
    ----------
    data : Observations
        The window of one cluster.
    undo : undo_log.Answer
        What held the horizon in it.
    timezone : str
        Time zone of weekdays and hours.

    Returns
    -------
    Dose or str
        The factors, or in one line what is missing.
    """
    dead = data.metric("dead_rows").resample("min").mean().dropna()
    changed = changed_rows(data.table("relations"))
    buffers, time = (by_digest(data, column) for column in ("buffers_per_call", "mean_latency_ms"))
    counts = {
        "dead rows of the writer's tables": len(dead),
        "count of changed rows": len(changed),
        "buffers per call of a statement of the writer": len(buffers),
    }
    missing = [name for name, count in counts.items() if not count]
    if missing:
        return f"the window has no {', no '.join(missing)}"
    days = pd.DatetimeIndex(changed.index).normalize().nunique()
    rate = weekly_rate(changed, timezone) if days >= DAYS_NEEDED else None
    if rate is None:
        return f"the window has changed rows of {days} day{'s' * (days != 1)}, and {DAYS_NEEDED} are needed to separate hours and weekdays"
    ratio = _ratio(dead, changed, undo.episodes)
    if ratio is None:
        return f"fewer than {SPANS_NEEDED} recorded holds show how many dead rows a snapshot leaves"
    recorded = Recorded(
        design=empty_design(),
        excess=np.zeros(0),
        episodes=undo.episodes,
        oldest_view=undo.oldest_view,
        commits=changed,
        base=float(dead.quantile(0.1)),
    )
    curves = [
        curve
        for digest in buffers.columns.intersection(time.columns)
        if (curve := _curve(str(digest), dead, buffers[digest], time[digest])) is not None
    ]
    if not curves:
        return (
            "no statement of the writer has buffers and time per call together with dead rows on enough days"
        )
    return Dose(recorded, Growth(rate, ratio, None), curves)


def changed_rows(relations: pd.DataFrame) -> pd.Series:
    """Compute the rows updated and deleted per second over time, of all sampled tables [1/s].

    Parameters
    ----------
    relations : DataFrame
        Rows of the table relations of the writer.

    Returns
    -------
    Series
        By time of the sample (UTC); a counter that was reset, or a table's first sample, adds nothing.
    """
    rows = relations.dropna(subset="rows_changed").sort_values("time", kind="stable")
    if rows["time"].nunique() < 2:
        return pd.Series(dtype=float, index=pd.DatetimeIndex([], tz="UTC"))
    steps = rows["rows_changed"].astype(float).groupby([rows["database"], rows["relation"]]).diff()
    total = steps.clip(lower=0.0).groupby(rows["time"]).sum().iloc[1:]
    lasted = rows["time"].drop_duplicates().diff().dt.total_seconds().iloc[1:]
    return pd.Series(total.to_numpy() / lasted.to_numpy(), pd.DatetimeIndex(total.index), name="rows_changed")


def _ratio(dead: pd.Series, changed: pd.Series, episodes: pd.DataFrame) -> Lognormal | None:
    """Dead rows per changed row over each recorded hold."""
    found = []
    for start, peak in zip(episodes["start"], episodes["peak_at"]):
        own = dead[start:peak]
        written = changed[start:peak].mean() * (peak - start).total_seconds()
        if len(own) > 1 and written > 0 and own.iloc[-1] > own.iloc[0]:
            found.append(np.log((own.iloc[-1] - own.iloc[0]) / written))
    if len(found) < SPANS_NEEDED:
        return None
    return Lognormal(
        float(np.mean(found)), max(float(np.std(found, ddof=1)), RATIO_DEVIATION_LEAST), len(found)
    )


def _curve(digest: str, dead: pd.Series, buffers: pd.Series, time: pd.Series) -> Curve | None:
    """Relative latency of one statement over dead rows: the product of two slopes, each with its error by days."""
    known = pd.concat({"dead": dead, "buffers": buffers, "time": time}, axis=1, sort=True).dropna()
    days = pd.DatetimeIndex(known.index).normalize()
    if days.nunique() < DAYS_NEEDED:
        return None
    # The time of day moves all three; what is left moves with the holds.
    moved = known - known.groupby(pd.DatetimeIndex(known.index).hour).transform("mean")
    day, _ = pd.factorize(days)
    per_row, row_error, df = _slope(moved["dead"].to_numpy(), moved["buffers"].to_numpy(), day)
    per_buffer, buffer_error, _ = _slope(moved["buffers"].to_numpy(), moved["time"].to_numpy(), day)
    least = known["dead"] <= known["dead"].quantile(0.5)
    base_ms = float(known["time"][least].median())
    error = np.hypot(per_buffer * row_error, per_row * buffer_error) / base_ms
    slope = np.array([per_row * per_buffer / base_ms])
    return Curve(f"{STATEMENT_LATENCY}{digest}", np.zeros(0), slope, np.array([[error**2]]), df)


def _slope(x: np.ndarray, y: np.ndarray, day: np.ndarray) -> tuple[float, float, float]:
    """Least-squares slope, its jackknife error over days, and the degrees of freedom."""
    across, along = np.bincount(day, x * y), np.bincount(day, x * x)
    total = along.sum()
    if not total > 0:
        return 0.0, 0.0, 2.0
    left = (total - along) > 0
    without = np.divide(across.sum() - across, total - along, out=np.full(len(along), np.nan), where=left)
    return (
        float(across.sum() / total),
        float(jackknife_se(without)),
        max(float(block_df(along.astype(float))), 2.0),
    )
