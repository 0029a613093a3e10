"""What happens around the runs of a workload, on average: before it starts, while it is open, after it ended.

Runs are laid on top of each other by their start, and once more by their end. The interval is a jackknife over days,
for runs of one day share their noise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from aurora_analysis.analysis.reader_impact import regressors
from aurora_analysis.analysis.statistics import jackknife_se

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

AROUND = {"start": (-60, 60), "end": (-30, 90)}
"""How much is shown before and after each edge of a run [min]."""

BIN = 5
"""Minutes that are averaged: a single one is mostly noise."""

DAYS_NEEDED = 4

COLUMNS = ["edge", "minute", "effect_pct", "low_pct", "high_pct", "open_share", "runs"]


def aligned(logs: Array, open_: Array, day: Integers, *, alpha: float = 0.05) -> pd.DataFrame:
    """The mean of log latency around starts and ends [% of its level without the workload], with intervals.

    `logs` is what the workload alone did to log latency, by minute (NaN = missing), `open_` its exposure, `day` the
    day of each minute. `minute` is the middle of a bin, counted from the edge; `open_share` is the share of runs that
    were open then [0 to 1].
    """
    starts = np.flatnonzero(regressors.starts_of(open_[:, None])[:, 0])
    ends = starts + regressors.run_lengths(open_)
    level = np.nanmean(logs[open_ == 0]) if (open_ == 0).any() else 0.0
    frames = [
        _around(logs - level, open_, day, moments, edge, alpha)
        for edge, moments in (("start", starts), ("end", ends))
    ]
    return pd.concat(frames, ignore_index=True)


def _around(
    logs: Array, open_: Array, day: Integers, moments: Integers, edge: str, alpha: float
) -> pd.DataFrame:
    first, last = AROUND[edge]
    offsets = np.arange(first, last)
    at = moments[:, None] + offsets
    inside = (at >= 0) & (at < len(logs))
    shown = np.where(inside, logs[np.clip(at, 0, len(logs) - 1)], np.nan)
    opened = np.where(inside, open_[np.clip(at, 0, len(logs) - 1)] > 0, False)
    sums, counts = _by_bin(np.nan_to_num(shown)), _by_bin(np.isfinite(shown).astype(float))
    days = day[np.clip(moments, 0, len(day) - 1)]
    mean, reach = _jackknifed(_by_day(sums, days), _by_day(counts, days), alpha)
    edges = {name: 100 * np.expm1(mean + sign * reach) for name, sign in (("low_pct", -1), ("high_pct", 1))}
    frame = pd.DataFrame({"minute": offsets[::BIN] + BIN / 2, "effect_pct": 100 * np.expm1(mean), **edges})
    return frame.assign(edge=edge, open_share=_by_bin(opened).mean(axis=0) / BIN, runs=len(moments))[COLUMNS]


def _by_bin(values: Array | npt.NDArray[np.bool_]) -> Array:
    return np.asarray(values.reshape(len(values), -1, BIN).sum(axis=2), dtype=float)


def _by_day(values: Array, days: Integers) -> Array:
    return np.stack([values[days == one].sum(axis=0) for one in np.unique(days)])


def _jackknifed(sums: Array, counts: Array, alpha: float) -> tuple[Array, Array]:
    """The mean over all runs, and how far its interval reaches; missing where fewer days tell it than are needed."""
    known = (counts > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums.sum(axis=0) / counts.sum(axis=0)
        without = (sums.sum(axis=0) - sums) / (counts.sum(axis=0) - counts)
    error = jackknife_se(np.where(counts > 0, without, np.nan), mean, known)
    reach = stats.t.ppf(1 - alpha / 2, np.maximum(known - 1, 1)) * error
    return mean, np.where(known >= DAYS_NEEDED, reach, np.nan)
