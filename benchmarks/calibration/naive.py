"""Naive methods in common use, which must report false effects on the simulated fortnights.

If they did not, the simulated fortnights would be too easy to prove anything about the estimator.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from calibration.simulator import Fortnight

Array = npt.NDArray[np.float64]

LAGS = 30


def pearson(data: Fortnight) -> float:
    """p-value of the correlation of exposure and latency."""
    return float(stats.pearsonr(_exposure(data), _latency(data)).pvalue)


def welch(data: Fortnight) -> float:
    """p-value of a t-test of exposed against unexposed minutes."""
    exposed = _exposure(data) > 0
    latency = _latency(data)
    return float(stats.ttest_ind(latency[exposed], latency[~exposed], equal_var=False).pvalue)


def cross_correlation(data: Fortnight) -> float:
    """p-value of the largest correlation over lags of up to half an hour, with Bonferroni's correction."""
    exposure, latency = _exposure(data), _latency(data)
    tests = [stats.pearsonr(np.roll(exposure, lag), latency).pvalue for lag in range(-LAGS, LAGS + 1)]
    return float(min(1.0, min(tests) * len(tests)))


METHODS = {
    "Pearson correlation": pearson,
    "Welch t-test": welch,
    "largest cross-correlation": cross_correlation,
}


def _exposure(data: Fortnight) -> Array:
    """Exposure by minute: 1 while the workload runs, else 0."""
    index = data.latency.index
    exposed = pd.Series(0.0, index)
    for run in data.exposures.query("workload == 'extract'").itertuples():
        exposed[run.start.floor("min") : run.end] = 1
    return exposed.to_numpy()


def _latency(data: Fortnight) -> Array:
    return np.log(data.latency["null"].to_numpy())
