"""Statistics that several topics share: adjusted p-values, the block jackknife and its degrees of freedom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Array


def adjusted(p: Sequence[float] | pd.Series) -> Array:
    """Benjamini-Hochberg adjusted p-values, which control the false discovery rate.

    Parameters
    ----------
    p : sequence of float
        Unadjusted p-values [0 to 1]; NaN for a test that was not made.

    Returns
    -------
    numpy.ndarray
        The adjusted p-values in the same order. NaN stays NaN and does not count as a test.

    Notes
    -----
    Source: Benjamini & Hochberg 1995, Controlling the false discovery rate, J. R. Stat. Soc. B 57.

    Examples
    --------
    >>> adjusted([0.01, 0.04, float("nan")]).tolist()
    [0.02, 0.04, nan]
    """
    values = np.asarray(p, dtype=float)
    result = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known])]
    steps = values[order] * len(known) / np.arange(1, len(known) + 1)
    result[order] = np.minimum(1.0, np.minimum.accumulate(steps[::-1])[::-1])
    return result


def jackknife_se(replicates: Array) -> Array:
    """Delete-one-block jackknife standard error, along the first axis.

    Parameters
    ----------
    replicates : numpy.ndarray, shape (blocks, ...)
        The estimate with each block left out in turn; NaN for a block that holds no data of the estimate.

    Returns
    -------
    numpy.ndarray, shape (...)
        sqrt((g - 1) / g · Σ (replicate - mean of the replicates)²) over the g blocks that are not NaN.

    Notes
    -----
    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, equation 11.5. A block without data does not
    count in g: leaving it out changes nothing, so it is no observation. Deviations from the full estimate instead of
    the replicates' mean (CV3 instead of CV3J: MacKinnon, Nielsen & Webb 2023, Fast and reliable jackknife and
    bootstrap methods for cluster-robust inference, J. Applied Econometrics 38) change a ratio's coverage by 0.2 points
    at most in our simulations. What a ratio over few unequal blocks needs is fewer degrees of freedom: `block_df`. The
    weighted version for blocks of unequal
    size (Busing, Meijer & van der Leeden 1999, Delete-m jackknife for unequal m) is not used: it assumes that a
    block's variance falls with its size, whereas days differ by more than the noise of their minutes.
    """
    blocks = np.isfinite(replicates).sum(axis=0)
    mean = np.nansum(replicates, axis=0) / np.maximum(blocks, 1)
    squares = np.nansum((replicates - mean) ** 2, axis=0)
    return np.asarray(np.sqrt((blocks - 1) / np.maximum(blocks, 1) * squares))


DF_LEAST = 2.0
"""Fewest degrees of freedom: with fewer the t interval is too wide to inform, and the shares too few to count on."""


def block_df(weights: Array) -> Array:
    """Degrees of freedom of a block jackknife, along the first axis: effective number of blocks less one.

    Parameters
    ----------
    weights : numpy.ndarray, shape (blocks, ...)
        Weight of each block in the estimate, such as its hours of exposure in a ratio of sums; 0 for a block that
        holds no data of the estimate.

    Returns
    -------
    numpy.ndarray, shape (...)
        1 / Σ share² - 1, where a block's share is its weight over the sum of all weights; at least `DF_LEAST`.
        Blocks of equal weight give their number less one.

    Notes
    -----
    Source: Satterthwaite 1946, An approximate distribution of estimates of variance components, Biometrics 2; Bell &
    McCaffrey 2002, Bias reduction in standard errors for linear regression with multi-stage samples, Survey
    Methodology 28, apply it to clusters. 1 / Σ share² is Kish's effective sample size. If one day holds half of all
    exposure, that day's error decides the variance, so the number of blocks less one promises too much.

    Examples
    --------
    >>> round(float(block_df(np.array([1.0, 1.0, 1.0, 1.0, 0.0]))), 6)
    3.0
    >>> round(float(block_df(np.array([4.0, 1.0, 1.0, 1.0, 1.0]))), 6)
    2.2
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = weights / weights.sum(axis=0)
        effective = 1 / (shares**2).sum(axis=0)
    return np.asarray(np.fmax(DF_LEAST, effective - 1))
