"""Counts of executions in blocks of time, and the block bootstrap over them.

Executions of the same hour resemble each other, so resampling single executions would give intervals that are too
narrow. Blocks of time are resampled instead (Künsch 1989, "The jackknife and the bootstrap for general stationary
observations"; here with blocks that do not overlap).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from aurora_analysis import histogram
from aurora_analysis.analysis.series import Array
from aurora_analysis.window import Window

QUANTILES = (0.5, 0.95, 0.99)
"""The quantiles that are reported."""

BLOCKS = 28
"""Number of blocks in a window: six hours each in a week, because latency is correlated over hours."""

BLOCKS_NEEDED = 8
"""Minimum number of non-empty blocks for a bootstrap interval."""

RESAMPLES = 1000
"""Number of bootstrap resamples."""


@dataclass(frozen=True)
class BlockCounts:
    """The executions of one group, counted by block of time and bucket of latency.

    Parameters
    ----------
    buckets : ndarray of int, shape (buckets,)
        Bucket numbers of `aurora_analysis.histogram`, ascending.
    blocks : ndarray of float, shape (BLOCKS, buckets)
        Number of executions.
    """

    buckets: Array
    blocks: Array

    @property
    def total(self) -> float:
        """Number of executions in the window."""
        return float(self.blocks.sum())

    def quantiles(self) -> Array:
        """Compute the latency quantiles of the window [ms].

        Returns
        -------
        ndarray of float, shape (len(QUANTILES),)
            The middle of the bucket that holds each quantile [ms].
        """
        return np.asarray(_quantiles(self.blocks.sum(axis=0)[None, :], self.buckets)[0])

    def exceeded_by(self, count: float, weights: Array | None = None) -> Array:
        """Compute the latency that `count` executions exceed [ms].

        Parameters
        ----------
        count : float
            Number of executions.
        weights : ndarray, shape (n, BLOCKS), optional
            How often each resample contains each block; by default the window itself.

        Returns
        -------
        ndarray of float, shape (n,)
            The middle of the bucket [ms]; NaN if there are fewer executions.
        """
        chosen = np.ones((1, len(self.blocks))) if weights is None else weights
        slowest_first = (chosen @ self.blocks)[:, ::-1].cumsum(axis=1)
        reached = slowest_first >= count
        values = histogram.middle(self.buckets[::-1])[reached.argmax(axis=1)]
        return np.where(reached.any(axis=1), values, np.nan)

    def resampled(self, seed: int) -> Array | None:
        """Compute the latency quantiles of resampled blocks [ms].

        Parameters
        ----------
        seed : int
            Seed of the random numbers.

        Returns
        -------
        ndarray of float, shape (RESAMPLES, len(QUANTILES)), or None
            None if fewer than `BLOCKS_NEEDED` blocks have executions.
        """
        if np.count_nonzero(self.blocks.sum(axis=1)) < BLOCKS_NEEDED:
            return None
        return _quantiles(block_weights(len(self.blocks), seed) @ self.blocks, self.buckets)


def block_weights(blocks: int, seed: int) -> Array:
    """Draw how often each resample contains each block.

    Parameters
    ----------
    blocks : int
        Number of blocks.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    ndarray, shape (RESAMPLES, blocks)
        Multiplicities; each row sums to `blocks`.
    """
    rng = np.random.default_rng(seed)
    return np.asarray(rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES))


def block_counts(
    executions: pd.DataFrame, window: Window, by: Sequence[str]
) -> list[tuple[tuple[Hashable, ...], BlockCounts]]:
    """Count the executions of each group by block of time and bucket of latency.

    Parameters
    ----------
    executions : DataFrame
        Counts: `time, bucket, count` and the columns of `by`.
    window : Window
        The window that is cut into `BLOCKS` equal blocks.
    by : sequence of str
        Columns that name a group.

    Returns
    -------
    list of (tuple, BlockCounts)
        The name of each group, as a tuple, and its counts.
    """
    width = max(window.duration / BLOCKS, timedelta.resolution)  # a log of one execution spans a microsecond
    block = ((executions["time"] - window.start) / width).astype(int).clip(0, BLOCKS - 1)
    return [(group, _table(rows)) for group, rows in executions.assign(block=block).groupby(list(by))]


def _table(rows: pd.DataFrame) -> BlockCounts:
    table = rows.pivot_table(index="block", columns="bucket", values="count", aggfunc="sum", fill_value=0)
    blocks = table.reindex(range(BLOCKS), fill_value=0).to_numpy(dtype=float)
    return BlockCounts(table.columns.to_numpy(), blocks)


def _quantiles(weights: Array, buckets: Array) -> Array:
    """The quantiles of each row of counts [ms]: the bucket in which the cumulative share reaches them."""
    cumulative = weights.cumsum(axis=1)
    targets = np.outer(cumulative[:, -1], QUANTILES)
    reached = cumulative[:, None, :] >= targets[:, :, None] - 1e-9
    values = histogram.middle(buckets)[reached.argmax(axis=2)]
    return np.where(cumulative[:, -1:] > 0, values, np.nan)


def percentile_interval(resampled: Array | None, confidence: float) -> Array:
    """Compute percentile bootstrap intervals.

    Parameters
    ----------
    resampled : ndarray of float, shape (RESAMPLES, n), or None
        Resampled estimates; None if there are too few blocks.
    confidence : float
        Coverage of the interval [0 to 1].

    Returns
    -------
    ndarray of float, shape (2, n)
        Lower and upper ends; NaN where there are too few blocks (n is then `len(QUANTILES)`).
    """
    if resampled is None:
        return np.full((2, len(QUANTILES)), np.nan)
    tails = [50 * (1 - confidence), 50 * (1 + confidence)]
    return np.asarray(np.nanpercentile(resampled, tails, axis=0))
