"""Estimate the shift of latency against the previous window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aurora_analysis.analysis.latency.blocks import (
    BLOCKS_NEEDED,
    QUANTILES,
    BlockCounts,
    block_counts,
    block_weights,
    percentile_interval,
)
from aurora_analysis.window import Window


def shift(
    executions: pd.DataFrame,
    before: pd.DataFrame,
    window: Window,
    by: Sequence[str] = ("instance",),
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate how far each latency quantile moved against the previous window [%], with interval.

    Parameters
    ----------
    executions, before : DataFrame
        Counts in the window and in `window.previous()`.
    window : Window
        The window.
    by : sequence of str
        Columns that name a group.
    confidence : float
        Coverage of the block-bootstrap intervals [0 to 1].
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        `by…, quantile, before_ms, latency_ms` [ms], `shift_pct, low_pct, high_pct` [%]. Groups that ran in only one of the
        windows are omitted; intervals are NaN if a window has too few non-empty blocks.
    """
    earlier = dict(block_counts(before, window.previous(), by))
    pairs = [
        (group, now, earlier[group])
        for group, now in block_counts(executions, window, by)
        if group in earlier
    ]
    rows = [
        (*group, *values) for group, now, then in pairs for values in _shifts(now, then, confidence, seed)
    ]
    columns = [*by, "quantile", "before_ms", "latency_ms", "shift_pct", "low_pct", "high_pct"]
    return pd.DataFrame(rows, columns=columns)


def _shifts(now: BlockCounts, then: BlockCounts, confidence: float, seed: int) -> list[tuple[float, ...]]:
    resampled, resampled_before = now.resampled(seed), then.resampled(seed + 1)
    ratio = None if resampled is None or resampled_before is None else resampled / resampled_before
    low, high = percentile_interval(None if ratio is None else 100 * (ratio - 1), confidence)
    before_ms, latency_ms = then.quantiles(), now.quantiles()
    return list(zip(QUANTILES, before_ms, latency_ms, 100 * (latency_ms / before_ms - 1), low, high))


def rate_shift(
    executions: pd.DataFrame,
    before: pd.DataFrame,
    window: Window,
    statement_rates: tuple[pd.Series, pd.Series] | None = None,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate how far the number of logged executions moved against the previous window [%], with interval.

    If statements slow down, more of them exceed the cut, and the new ones lie just above it: the quantiles of the log can
    fall while everything gets slower. So a quantile of a cut log must be read together with the rate above the cut.

    The interval is a bootstrap over pairs of blocks at the same position of both windows, so that the rhythm of days, and
    of the week in windows of a week, cancels.

    Parameters
    ----------
    executions, before : DataFrame
        Counts in the window and in `window.previous()`.
    window : Window
        The window.
    statement_rates : tuple of Series, optional
        Results of `statement_rate` in the window and in the previous one. Where both have an instance, its shift is that
        of the logged share of all statements, which does not depend on traffic.
    confidence : float
        Coverage of the intervals [0 to 1].
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        `instance, logged_before, logged` (executions), `traffic` (ratio of all statements to the previous window, NaN if
        unknown), `rate_pct, rate_low_pct, rate_high_pct` [%]. Instances without executions in one of the windows are
        omitted; the interval is NaN if a window has too few non-empty blocks.
    """
    now = {group[0]: one.blocks.sum(axis=1) for group, one in block_counts(executions, window, ["instance"])}
    earlier = block_counts(before, window.previous(), ["instance"])
    then = {group[0]: one.blocks.sum(axis=1) for group, one in earlier}
    traffic = _traffic(statement_rates)
    rows = [
        (
            instance,
            then[instance].sum(),
            counts.sum(),
            traffic.get(instance, np.nan),
            *_rate(counts, then[instance], traffic.get(instance, np.nan), confidence, seed),
        )
        for instance, counts in now.items()
        if instance in then
    ]
    columns = ["instance", "logged_before", "logged", "traffic", "rate_pct", "rate_low_pct", "rate_high_pct"]
    return pd.DataFrame(rows, columns=columns)


def _traffic(statement_rates: tuple[pd.Series, pd.Series] | None) -> pd.Series:
    """Ratio of all statements to those of the previous window, by instance."""
    if statement_rates is None:
        return pd.Series(dtype=float)
    now, then = statement_rates
    return (now / then.where(then > 0)).where(now > 0).dropna()


def _rate(
    now: np.ndarray, then: np.ndarray, traffic: float, confidence: float, seed: int
) -> tuple[float, float, float]:
    """Shift of the logged executions, per statement if `traffic` is known, with its interval [%]."""
    per = 1.0 if np.isnan(traffic) else traffic
    change = 100 * (now.sum() / then.sum() / per - 1)
    if min(np.count_nonzero(now), np.count_nonzero(then)) < BLOCKS_NEEDED:
        return change, np.nan, np.nan
    weights = block_weights(len(now), seed)
    sums_before = weights @ then
    ratios = (weights @ now) / np.where(sums_before > 0, sums_before, np.nan) / per
    low, high = np.nanpercentile(100 * (ratios - 1), [50 * (1 - confidence), 50 * (1 + confidence)])
    return change, float(low), float(high)
