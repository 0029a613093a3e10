"""How far latency moved against the window before."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from aurora_analysis.analysis.latency.blocks import (
    QUANTILES,
    BlockCounts,
    block_counts,
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
