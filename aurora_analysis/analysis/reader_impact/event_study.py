"""Event study: mean latency before, during and after a workload's runs.

Runs are aligned by their start, and once more by their end. The interval is a jackknife over days, because runs of
one day share their noise.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from aurora_analysis.analysis.reader_impact import regressors
from aurora_analysis.analysis.series import Array, Integers, Mask
from aurora_analysis.analysis.statistics import block_df, jackknife_se

AROUND = {"start": (-60, 60), "end": (-30, 90)}
"""Minutes shown before and after each edge of a run."""

BIN = 5
"""Minutes that are averaged: a single one is mostly noise."""

DAYS_NEEDED = 4
"""Fewest days with runs from which an interval is computed."""

COLUMNS = ["edge", "minute", "effect_pct", "low_pct", "high_pct", "exposed_share", "runs"]


def aligned(logs: Array, exposed: Array, day: Integers, *, alpha: float = 0.05) -> pd.DataFrame:
    """Mean latency around starts and ends of runs, with intervals [% of its level without the workload].

    Parameters
    ----------
    logs : numpy.ndarray, shape (minutes,)
        Log latency with the influence of everything but the workload removed; NaN where missing.
    exposed : numpy.ndarray, shape (minutes,)
        Share of each minute in which the workload was running [0 to 1].
    day : numpy.ndarray, shape (minutes,)
        Number of each minute's day.
    alpha : float
        The intervals cover 1 - alpha.

    Returns
    -------
    pandas.DataFrame
        One row per edge and bin: `minute` is the middle of the bin, counted from the edge; `effect_pct`, `low_pct`,
        `high_pct` [%]; `exposed_share` the share of runs in progress then [0 to 1]; `runs` their number.
    """
    starts = np.flatnonzero(regressors.starts_of(exposed[:, None])[:, 0])
    ends = starts + regressors.run_lengths(exposed)
    level = np.nanmean(logs[exposed == 0]) if (exposed == 0).any() else 0.0
    frames = [
        _around(logs - level, exposed, day, moments, edge, alpha)
        for edge, moments in (("start", starts), ("end", ends))
    ]
    return pd.concat(frames, ignore_index=True)


def _around(
    logs: Array, exposed: Array, day: Integers, moments: Integers, edge: str, alpha: float
) -> pd.DataFrame:
    first, last = AROUND[edge]
    offsets = np.arange(first, last)
    at = moments[:, None] + offsets
    inside = (at >= 0) & (at < len(logs))
    shown = np.where(inside, logs[np.clip(at, 0, len(logs) - 1)], np.nan)
    running = np.where(inside, exposed[np.clip(at, 0, len(logs) - 1)] > 0, False)
    sums, counts = _by_bin(np.nan_to_num(shown)), _by_bin(np.isfinite(shown).astype(float))
    days = day[np.clip(moments, 0, len(day) - 1)]
    mean, reach = _mean_and_reach(_by_day(sums, days), _by_day(counts, days), alpha)
    limits = {name: 100 * np.expm1(mean + sign * reach) for name, sign in (("low_pct", -1), ("high_pct", 1))}
    frame = pd.DataFrame({"minute": offsets[::BIN] + BIN / 2, "effect_pct": 100 * np.expm1(mean), **limits})
    share = _by_bin(running).mean(axis=0) / BIN
    return frame.assign(edge=edge, exposed_share=share, runs=len(moments))[COLUMNS]


def _by_bin(values: Array | Mask) -> Array:
    return np.asarray(values.reshape(len(values), -1, BIN).sum(axis=2), dtype=float)


def _by_day(values: Array, days: Integers) -> Array:
    return np.stack([values[days == one].sum(axis=0) for one in np.unique(days)])


def _mean_and_reach(sums: Array, counts: Array, alpha: float) -> tuple[Array, Array]:
    """Mean over all runs, and half the width of its interval; NaN with data on fewer than `DAYS_NEEDED` days."""
    known = (counts > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums.sum(axis=0) / counts.sum(axis=0)
        without = (sums.sum(axis=0) - sums) / (counts.sum(axis=0) - counts)
    error = jackknife_se(np.where(counts > 0, without, np.nan))
    reach = special.stdtrit(block_df(counts), 1 - alpha / 2) * error
    return mean, np.where(known >= DAYS_NEEDED, reach, np.nan)
