"""Statistics that several topics share: adjusted p-values and intervals, power, the block jackknife."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
import scipy
from scipy import special

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


def false_coverage_alpha(p: Sequence[float] | pd.Series, alpha: float = 0.05) -> float:
    """Level of each interval of a family that agrees with Benjamini & Hochberg's decisions.

    Parameters
    ----------
    p : sequence of float
        Unadjusted p-values [0 to 1]; NaN for a test that was not made.
    alpha : float
        False discovery rate.

    Returns
    -------
    float
        R · alpha / m of m tests with R discoveries (at least one): an interval at this level excludes 0 exactly if
        the adjusted p-value is at most alpha. `alpha` if there is no test.

    Notes
    -----
    Source: Benjamini & Yekutieli 2005, False discovery rate-adjusted multiple confidence intervals for selected
    parameters, J. Am. Stat. Assoc. 100.

    Examples
    --------
    >>> false_coverage_alpha([0.001, 0.2, 0.4, float("nan"), 0.9])
    0.0125
    """
    p_adjusted = adjusted(p)
    tests, found = np.count_nonzero(~np.isnan(p_adjusted)), np.count_nonzero(p_adjusted <= alpha)
    return alpha * max(int(found), 1) / int(tests) if tests else alpha


def detectable(error: float, df: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest effect that a two-sided t-test finds with a given power, in the unit of its error.

    Parameters
    ----------
    error : float
        Standard error of the effect.
    df : float
        Degrees of freedom of the error.
    alpha : float
        Level of the test, after any correction for the number of tests.
    power : float
        Probability that the effect is found.

    Returns
    -------
    float
        The effect; NaN if the error is.

    Notes
    -----
    Source: Cohen 1988, Statistical Power Analysis, chapter 2: the noncentral t distribution. With few degrees of
    freedom the usual 2.8 standard errors (normal quantiles at 5 % and 80 %) promise too much: with 4, the power is
    56 %.

    Examples
    --------
    >>> round(detectable(1.0, 1e6), 2), round(detectable(1.0, 4), 2)
    (2.8, 3.75)
    """
    return float("nan") if np.isnan(error) else error * _noncentrality(df, alpha, power)


def t_reach(df: float, alpha: float = 0.05) -> float:
    """Half-width of a two-sided (1 - alpha) interval of Student's t, in standard errors.

    Parameters
    ----------
    df : float
        Degrees of freedom.
    alpha : float
        The interval covers 1 - alpha.

    Returns
    -------
    float
        The quantile at 1 - alpha / 2.

    Notes
    -----
    `scipy.stats.t.ppf` gives the same and takes a hundred times as long for one number: with hundreds of workloads the
    checks of its arguments are a tenth of the cost of all effects.

    Examples
    --------
    >>> round(t_reach(4.0), 3)
    2.776
    """
    return float(special.stdtrit(df, 1 - alpha / 2))


def t_p(statistic: Array, df: float | Array) -> Array:
    """Two-sided p-value of Student's t.

    Parameters
    ----------
    statistic : numpy.ndarray
        Effects over their standard errors.
    df : float or numpy.ndarray
        Degrees of freedom.

    Returns
    -------
    numpy.ndarray
        p-values [0 to 1], without the overhead of `scipy.stats.t.sf`.

    Examples
    --------
    >>> t_p(np.array([0.0, 2.776]), 4.0).round(3).tolist()
    [1.0, 0.05]
    """
    return np.asarray(2 * special.stdtr(df, -np.abs(statistic)))


@lru_cache(maxsize=4096)
def _noncentrality(df: float, alpha: float, power: float) -> float:
    """Effect in standard errors that a two-sided t-test finds with this power."""
    critical = t_reach(df, alpha)
    guess = critical + special.stdtrit(
        df, power
    )  # exact for many degrees of freedom, up to 30 % too small for 2
    missing = lambda shift: 1 - special.nctdtr(df, shift, critical) - power  # noqa: E731
    return float(scipy.optimize.brentq(missing, 0.9 * guess, 1.5 * guess, xtol=1e-3 * guess))


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
