"""Rank clusters by the minutes over their objective that readers caused on each writer.

A minute counts as caused by readers if it was over the objective while their queries ran, and would have been within it
without their effect on latency. Estimates of small clusters are noisy, so that the largest of many is mostly noise: each is
shrunk towards the fleet's mean by its own error (empirical Bayes, normal model; the variance between clusters by Paule &
Mandel 1982, Journal of Research of the NBS 87:5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from aurora_analysis.analysis.series import Array

CLUSTERS_NEEDED = 3
"""Fewest clusters from which the variance between them is estimated; with fewer, nothing is shrunk."""

LEAST_ERROR_MIN = 1.0
"""Smallest standard error of a count of minutes [min]."""

DEFAULT_QUANTILE = 0.95
"""Without a stated objective, the limit is this quantile of the minutes in which no reader query ran."""


@dataclass(frozen=True)
class Effect:
    """One workload's effect on the writer's log latency.

    Parameters
    ----------
    effect, error : float
        Effect and its standard error [log].
    exposed : Series of bool
        Whether the workload ran, by minute (UTC).
    """

    effect: float
    error: float
    exposed: pd.Series


@dataclass(frozen=True)
class Caused:
    """Minutes over the objective that readers caused in one window.

    Parameters
    ----------
    minutes, error : float
        Estimate and its standard error [min].
    limit : float
        The objective [unit of the latency].
    is_stated : bool
        Whether the settings state the objective.
    """

    minutes: float
    error: float
    limit: float
    is_stated: bool


def caused(latency: pd.Series, effects: Iterable[Effect], limit: float | None = None) -> Caused | None:
    """Estimate the minutes over an objective that readers caused.

    Parameters
    ----------
    latency : Series
        The writer's latency, by minute (UTC).
    effects : iterable of Effect
        The reader workloads whose effect was estimated.
    limit : float, optional
        The objective. Default: `DEFAULT_QUANTILE` of the minutes without a reader query.

    Returns
    -------
    Caused or None
        None without latency, or without a minute that has no reader query if no objective is stated.
    """
    values = latency.dropna()
    columns = [(one, one.exposed.reindex(values.index, fill_value=False).to_numpy(bool)) for one in effects]
    quiet = values[~np.any([exposed for _, exposed in columns], axis=0)] if columns else values
    stated = limit is not None
    if values.empty or (not stated and quiet.empty):
        return None
    most = float(quiet.quantile(DEFAULT_QUANTILE)) if limit is None else limit
    observed = values.to_numpy(float)
    whole: Array = np.sum([one.effect * exposed for one, exposed in columns], axis=0) + np.zeros(len(values))
    spread = 0.0
    for one, exposed in columns:
        ends = [_over(observed, whole + sign * one.error * exposed, most) for sign in (-1, 1)]
        spread += ((ends[1] - ends[0]) / 2) ** 2
    error = max(float(np.sqrt(spread)), LEAST_ERROR_MIN)
    return Caused(float(_over(observed, whole, most)), error, most, stated)


def _over(latency: Array, effect: Array, limit: float) -> int:
    """Minutes over a limit less the minutes that would be over it without an effect [log]."""
    return int(np.sum(latency > limit)) - int(np.sum(latency / np.exp(effect) > limit))


@dataclass(frozen=True)
class Shrunk:
    """One cluster's estimate, shrunk towards the fleet's.

    Parameters
    ----------
    minutes, low, high : float
        Estimate with a 95 % interval [min].
    """

    minutes: float
    low: float
    high: float


def shrunk(estimates: Mapping[str, Caused]) -> dict[str, Shrunk]:
    """Shrink each cluster's minutes towards the fleet's mean by the cluster's own error.

    Parameters
    ----------
    estimates : mapping of str to Caused
        By cluster.

    Returns
    -------
    dict of str to Shrunk
        By cluster, most minutes first.
    """
    x = np.array([one.minutes for one in estimates.values()], float)
    error = np.array([one.error for one in estimates.values()], float)
    if len(x) >= CLUSTERS_NEEDED:
        between = _between(x, error)
        weights = 1 / (error**2 + between)
        mean = float(np.sum(weights * x) / np.sum(weights))
        kept = between / (between + error**2)
        x, error = mean + kept * (x - mean), np.sqrt(kept) * error
    found = {
        name: Shrunk(float(value), float(value - 1.96 * sd), float(value + 1.96 * sd))
        for name, value, sd in zip(estimates, x, error)
    }
    return dict(sorted(found.items(), key=lambda item: -item[1].minutes))


def _between(x: Array, error: Array) -> float:
    """Variance between clusters: the one at which the weighted squares have their expected sum; 0 if the errors explain all."""

    def excess(variance: float) -> float:
        weights = 1 / (error**2 + variance)
        mean = np.sum(weights * x) / np.sum(weights)
        return float(np.sum(weights * (x - mean) ** 2) - (len(x) - 1))

    if excess(0.0) <= 0:
        return 0.0
    most = float(np.ptp(x)) ** 2 * len(x) + 1.0
    return float(scipy.optimize.brentq(excess, 0.0, most))
