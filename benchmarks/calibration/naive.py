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


def newey_west(data: Fortnight, lags: int = 60) -> float:
    """p of the exposure in a regression on load, hour and weekend, with errors of Newey & West (1987)."""
    times, exposure = data.latency.index, _exposure(data)
    load = np.log(np.maximum(data.load.to_numpy(), 1e-9))
    others = np.column_stack(
        [np.eye(24)[times.hour], (times.dayofweek >= 5).astype(float), np.nan_to_num(load - np.nanmean(load))]
    )
    latency = _latency(data)
    known = np.isfinite(latency)
    both = np.column_stack([exposure, latency])[known]
    left = both - others[known] @ np.linalg.lstsq(others[known], both)[0]
    x, y = left.T
    effect = x @ y / (x @ x)
    scores = x * (y - effect * x)
    weights = 1 - np.arange(lags + 1) / (lags + 1)
    products = [scores[lag:] @ scores[: len(scores) - lag] for lag in range(lags + 1)]
    variance = (2 * weights @ products - products[0]) / (x @ x) ** 2
    return float(2 * stats.norm.sf(abs(effect) / np.sqrt(max(variance, 1e-30))))


def event_study(data: Fortnight, minutes: int = 30) -> float:
    """p of a t-test over runs: the mean of the minutes after a start against the mean of those before it."""
    latency, starts = _latency(data), np.flatnonzero(np.diff(_exposure(data), prepend=0) > 0)
    inside = starts[(starts >= minutes) & (starts + minutes <= len(latency))]
    steps = [
        np.nanmean(latency[start : start + minutes]) - np.nanmean(latency[start - minutes : start])
        for start in inside
    ]
    return float(stats.ttest_1samp(steps, 0).pvalue)


RIVALS = {
    "Pearson correlation": pearson,
    "OLS with Newey-West errors": newey_west,
    "event study, 30 min around a start": event_study,
}
"""Methods of the literature and of dashboards, for comparison on the same data."""
