"""Statistics that several topics share: p-values adjusted for multiple testing, and the block jackknife."""

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
    count in g: leaving it out changes nothing, so it is no observation. The weighted version for blocks of unequal
    size (Busing, Meijer & van der Leeden 1999, Delete-m jackknife for unequal m) is not used: it assumes that a
    block's variance falls with its size, whereas days differ by more than the noise of their minutes.
    """
    blocks = np.isfinite(replicates).sum(axis=0)
    mean = np.nansum(replicates, axis=0) / np.maximum(blocks, 1)
    squares = np.nansum((replicates - mean) ** 2, axis=0)
    return np.asarray(np.sqrt((blocks - 1) / np.maximum(blocks, 1) * squares))
