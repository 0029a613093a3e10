"""Estimate the writer's slowdown at each history list length, or refuse with the reason.

A longer version chain costs time in proportion, so latency is modelled as 1 + b(excess), where b is linear with one
bend. Everything else that moves latency (time of day, load, the writer's jobs, drift) is removed as in `reader_impact`,
whose refusals also hold here: a hold that always coincides with something else has no effect of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from aurora_analysis.analysis.limits.recorded import Recorded
from aurora_analysis.analysis.reader_impact import model, refusals
from aurora_analysis.analysis.reader_impact.groups import EstimationGroup, estimation_groups
from aurora_analysis.analysis.series import Array

ITERATIONS = 4
"""Steps of the Gauss-Newton iteration; three suffice for effects up to a doubling."""

BENDS = (0.5,)
"""Quantiles of the excess at which the slope may change."""

SMALLEST_FACTOR = 0.5
"""The fitted latency never falls below this multiple during the iteration."""


@dataclass(frozen=True)
class Curve:
    """Latency over the history list's excess, for one metric.

    Attributes
    ----------
    metric : str
        The latency.
    bends : numpy.ndarray, shape (bends,)
        Excess at which the slope may change [transactions], ascending.
    slopes : numpy.ndarray, shape (bends + 1,)
        Increase of relative latency per transaction, and its change beyond each bend.
    covariance : numpy.ndarray, shape (bends + 1, bends + 1)
        Covariance of the slopes, by day blocks.
    df : float
        Degrees of freedom.
    """

    metric: str
    bends: Array
    slopes: Array
    covariance: Array
    df: float

    def slowdown_pct(self, excess: Array, slopes: Array | None = None) -> Array:
        """Increase of latency at an excess [%].

        Parameters
        ----------
        excess : numpy.ndarray
            History list above its base [transactions].
        slopes : numpy.ndarray, shape (..., bends + 1), optional
            Other slopes, such as `draws`. Default: the fitted ones.

        Returns
        -------
        numpy.ndarray
            Broadcast of `excess` and the slopes [%].
        """
        chosen = self.slopes if slopes is None else slopes
        return np.asarray(100 * (_basis(np.asarray(excess), self.bends) * chosen).sum(axis=-1))

    def excess_at(self, slowdown_pct: float, slopes: Array) -> Array:
        """Smallest excess at which latency is this much higher [transactions]; infinite if it never is.

        Parameters
        ----------
        slowdown_pct : float
            Increase of latency [%], above 0.
        slopes : numpy.ndarray, shape (n, bends + 1)
            Slopes, such as `draws`.

        Returns
        -------
        numpy.ndarray, shape (n,)
            The excess.
        """
        wanted, found = slowdown_pct / 100, np.full(len(slopes), np.inf)
        edges = [0.0, *self.bends.tolist(), np.inf]
        height = np.zeros(len(slopes))
        for n, (low, high) in enumerate(zip(edges, edges[1:])):
            slope = slopes[:, : n + 1].sum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                at = np.where(slope > 0, low + (wanted - height) / slope, np.inf)
            found = np.where(np.isinf(found) & (at <= high), at, found)
            height = height + slope * (high - low) if np.isfinite(high) else height
        return found

    def draws(self, rng: np.random.Generator, count: int) -> Array:
        """Slopes drawn from their joint t distribution.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of random numbers.
        count : int
            Number of draws.

        Returns
        -------
        numpy.ndarray, shape (count, bends + 1)
            The slopes.
        """
        normal = rng.multivariate_normal(np.zeros(len(self.slopes)), self.covariance, count, method="eigh")
        return np.asarray(self.slopes + normal * np.sqrt(self.df / rng.chisquare(self.df, count))[:, None])


@dataclass(frozen=True)
class Refusal:
    """Why the effect of a hold on one metric is not known, and what would settle it."""

    metric: str
    reason: str
    settled_by: str
    level: str = "cannot tell"


AT_ONCE_ALPHA = 0.01
"""Limits are refused if latency rises as soon as a view is held, with a p-value below this."""

AT_ONCE = (
    "latency rises as soon as a view is held, before the history list has grown, so that the list is not what "
    "slows the writer"
)
APART = "look at each workload's own effect (reader_impact), or run a randomised trial (aurora-analysis experiment)"


def effect_curves(recorded: Recorded) -> list[Curve | Refusal]:
    """Fit latency over the history list's excess for each of the writer's latencies, or refuse.

    Parameters
    ----------
    recorded : Recorded
        The holds of a window.

    Returns
    -------
    list of Curve or Refusal
        One per metric with values, in the order of the design.
    """
    return [one for group in estimation_groups(recorded.design) for one in _of_group(recorded, group)]


def _of_group(recorded: Recorded, group: EstimationGroup) -> Iterator[Curve | Refusal]:
    lacking = refusals.not_assessed(group, 0)
    if lacking:
        yield from (replace(_refusal(metric, lacking), level="unknown") for metric in group.metrics)
        return
    confounded = refusals.not_identifiable(group, 0)
    [(_, fitted)] = group.models([0])
    before = refusals.pre_trends(fitted.pre_trend())
    for m, metric in enumerate(group.metrics):
        reasons = confounded | before[m]
        yield _refusal(metric, reasons) if reasons else _curve(recorded, group, m)


HOLDER = "the holder of the views"
"""Subject of a refusal: all sessions that hold views."""


def _refusal(metric: str, reasons: Mapping[str, str]) -> Refusal:
    """Word a refusal of `reader_impact`, whose sentences have a workload as their subject."""
    reason = next(iter(reasons.values()))
    worded = f"{HOLDER} {reason[3:]}" if reason.startswith("it ") else reason.replace("its runs", "the holds")
    return Refusal(metric, worded, refusals.settling_step(reasons, HOLDER))


def _curve(recorded: Recorded, group: EstimationGroup, m: int) -> Curve | Refusal:
    """Fit the bent line by least squares on log latency, with the controls removed from each step's columns."""
    excess = recorded.excess[group.valid]
    scale = float(excess.max())
    bends = np.quantile(excess[excess > 0], BENDS)
    basis = _basis(excess, bends) / scale
    size = basis.shape[1]
    y = recorded.design.logs[group.metrics[m]].to_numpy()[group.valid]
    slopes = np.zeros(size)
    for _ in range(ITERATIONS):
        factor = np.maximum(1 + basis @ slopes, SMALLEST_FACTOR)
        columns = group.projection.residuals(basis / factor[:, None])
        noise = group.projection.residuals((y - np.log(factor))[:, None]).values
        limit = 4 * 1.4826 * np.median(np.abs(noise - np.median(noise)))
        target = np.clip(noise[:, 0], -limit, limit) + basis @ slopes / factor
        outcome = group.projection.residuals(target[:, None])
        products = model.day_products([columns], outcome, group.projection.edges)
        slopes = products.coefficients(np.arange(size))[:, 0]
    held = group.projection.residuals(recorded.design.exposed[group.valid])
    at_once = model.day_products([columns, held], outcome, group.projection.edges).fit(
        np.arange(3), np.eye(3)[2]
    )
    if at_once.effect[0] > 0 and at_once.p()[0] < AT_ONCE_ALPHA:
        return Refusal(group.metrics[m], AT_ONCE, APART)
    covariance, df = _covariance(products, size)
    return Curve(group.metrics[m], bends, slopes / scale, covariance / scale**2, df)


def _basis(excess: Array, bends: Array) -> Array:
    """Excess, and how far it lies beyond each bend, along a new last axis."""
    return np.stack([excess, *(np.maximum(excess - bend, 0) for bend in bends)], axis=-1)


def _covariance(products: model.DayProducts, size: int) -> tuple[Array, float]:
    """Covariance of the coefficients by day blocks, and its degrees of freedom.

    The squared error of a weighted sum is a quadratic form in the weights, so that sums of two weights give the rest.
    """
    unit, kept = np.eye(size), np.arange(size)
    pairs = [[products.fit(kept, unit[i] + unit[j] * (i != j)) for j in range(size)] for i in range(size)]
    squares = np.array([[float(one.error[0] ** 2) for one in row] for row in pairs])
    own = np.diag(squares)
    covariance = np.where(np.eye(size) > 0, squares, (squares - own[:, None] - own) / 2)
    return covariance, max(min(float(pairs[i][i].df) for i in range(size)), 2.0)
