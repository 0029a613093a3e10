"""Fit an effect and its day-block jackknife error.

Minutes are correlated and runs are few, so a day is the unit that may be treated as independent. Each day's share
of the variance lies halfway between what its residuals give (CR0: too small, because the fit follows them) and how
far the effect moves when everything, the controls included, is refitted without the day (CR3: too large). The
result corrects at least as much as CR2, their geometric mean, which is right if minutes are independent (Bell &
McCaffrey 2002; Pustejovsky & Tipton 2018). How evenly the days share the estimate determines its degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aurora_analysis.analysis.reader_impact import regressors
from aurora_analysis.analysis.reader_impact.projection import Residuals
from aurora_analysis.analysis.series import Array, Integers, Mask
from aurora_analysis.analysis.statistics import block_df, t_p, t_reach

RIDGE = 1e-9
"""Ridge as a share of a column's own square: far below what the data resolve, enough if two columns are equal."""

ERROR_LEAST = 1e-9
"""Smallest standard error of a log effect: a latency that never changes has none, but p needs one above zero."""


@dataclass(frozen=True)
class Fit:
    """An effect on the log of each metric, with its standard error and degrees of freedom.

    Attributes
    ----------
    effect : numpy.ndarray, shape (metrics,)
        Effect on log latency.
    error : numpy.ndarray, shape (metrics,)
        Standard error of the effect.
    df : float
        Degrees of freedom of the error.
    """

    effect: Array
    error: Array
    df: float

    def p(self) -> Array:
        """Two-sided p-value of the effect of each metric, from the t distribution.

        Returns
        -------
        numpy.ndarray, shape (metrics,)
            p-values [0 to 1].
        """
        return t_p(self.effect / self.error, self.df)

    def of(self, metrics: slice) -> Fit:
        """Fit of some metrics.

        Parameters
        ----------
        metrics : slice
            Which metrics.

        Returns
        -------
        Fit
            The same fit with these metrics only.
        """
        return Fit(self.effect[metrics], self.error[metrics], self.df)

    def factor(self, metric: int) -> float:
        """Factor by which the workload changes one metric.

        Parameters
        ----------
        metric : int
            Index of the metric.

        Returns
        -------
        float
            1 for no effect.
        """
        return float(np.exp(self.effect[metric]))

    def percent(self, metric: int, alpha: float) -> tuple[float, float, float, float]:
        """Effect, lower and upper limit of the (1 - alpha) interval [%], and p of one metric.

        Parameters
        ----------
        metric : int
            Index of the metric.
        alpha : float
            The interval covers 1 - alpha.

        Returns
        -------
        tuple of float
            Effect, lower limit, upper limit [%], p.
        """
        reach = t_reach(self.df, alpha) * self.error[metric]
        effect = self.effect[metric]
        low, high = (float(100 * np.expm1(value)) for value in (effect - reach, effect + reach))
        return self.effect_pct(metric), low, high, float(self.p()[metric])

    def effect_pct(self, metric: int) -> float:
        """Effect of one metric [%].

        Parameters
        ----------
        metric : int
            Index of the metric.

        Returns
        -------
        float
        """
        return float(100 * np.expm1(self.effect[metric]))


def no_fit(metrics: int) -> Fit:
    """Fit without numbers, for an exposure that the controls explain entirely.

    Parameters
    ----------
    metrics : int
        Number of metrics.

    Returns
    -------
    Fit
        NaN throughout.
    """
    nothing = np.full(metrics, np.nan)
    return Fit(nothing, nothing, np.nan)


@dataclass(frozen=True)
class DayProducts:
    """Inner products of residualised columns, day by day; a fit needs nothing else.

    Attributes
    ----------
    grams : numpy.ndarray, shape (days, columns, columns)
        Products of the columns with each other.
    moments : numpy.ndarray, shape (days, columns, metrics)
        Products of the columns with each metric.
    day_deleted : tuple of numpy.ndarray
        What refitting the controls without the day removes from the grams and the moments of all other days.
    """

    grams: Array
    moments: Array
    day_deleted: tuple[Array, Array]

    def select(self, columns: Integers) -> DayProducts:
        """Products of some of the columns.

        Parameters
        ----------
        columns : numpy.ndarray
            Indices of the columns.

        Returns
        -------
        DayProducts
            Products of the chosen columns, in that order.
        """
        pairs = columns[:, None], columns
        day_deleted = self.day_deleted[0][:, *pairs], self.day_deleted[1][:, columns]
        return DayProducts(self.grams[:, *pairs], self.moments[:, columns], day_deleted)

    def coefficients(self, kept: Integers) -> Array:
        """Least-squares coefficient of each kept column, by metric.

        Parameters
        ----------
        kept : numpy.ndarray
            Indices of the columns in the regression.

        Returns
        -------
        numpy.ndarray, shape (kept, metrics)
            The coefficients.
        """
        gram, moment = self.grams[:, kept[:, None], kept].sum(axis=0), self.moments[:, kept].sum(axis=0)
        return np.asarray(np.linalg.solve(gram + _ridge(gram), moment))

    def fit(self, kept: Integers, weights: Array) -> Fit:
        """Fit the weighted sum of the coefficients of the kept columns.

        Parameters
        ----------
        kept : numpy.ndarray
            Indices of the columns in the regression.
        weights : numpy.ndarray, shape (kept,)
            Weight of each kept column in the effect.

        Returns
        -------
        Fit
            The effect on each metric, with its error by day blocks.

        Notes
        -----
        The error is a cluster-robust sandwich with a correction for leverage, not the delete-one-block jackknife
        variance of `statistics.jackknife_se`, and deliberately so. That one has the factor (g - 1) / g and deviations
        from the replicates' mean, which suits the mean of exchangeable blocks. Here days differ in leverage: a day
        with most of the exposure moves a refitted effect too far (CR3 rejects too rarely), while its residuals are
        too small because the fit follows them (CR0 rejects too often). Averaging each day's two scores keeps the
        error rate at its nominal level in `dev.py calibrate`, which gates this very estimator. The degrees of freedom
        are Satterthwaite's (`statistics.block_df`), because days do not count alike.
        """
        pairs = kept[:, None], kept
        grams, moments = self.grams[:, *pairs], self.moments[:, kept]
        gram, moment = grams.sum(axis=0), moments.sum(axis=0)
        ridge = _ridge(gram)
        solved = np.linalg.solve(gram + ridge, np.column_stack([moment, weights]))
        coefficients, direction = solved[:, :-1], solved[:, -1]
        # A column with data on one day only vanishes without that day; the ridge keeps the system solvable.
        without = np.linalg.solve(
            gram - grams - self.day_deleted[0][:, *pairs] + ridge,
            moment - moments - self.day_deleted[1][:, kept],
        )
        score, moved = direction @ (moments - grams @ coefficients), weights @ (coefficients - without)
        error = np.sqrt((((score + moved) / 2) ** 2).sum(axis=0))
        share = grams @ direction @ direction
        df = float(block_df(share))
        return Fit(weights @ coefficients, np.maximum(error, ERROR_LEAST), df)


def day_products(columns: Sequence[Residuals], y: Residuals, edges: Integers) -> DayProducts:
    """Inner products of columns, side by side, over the days that begin at the rows `edges`.

    Parameters
    ----------
    columns : sequence of Residuals
        The regressors, with the controls removed.
    y : Residuals
        The outcomes, with the controls removed.
    edges : numpy.ndarray, shape (days,)
        First row of each day.

    Returns
    -------
    DayProducts
        All that a fit needs.
    """
    parts = [*columns, y]
    count = sum(part.values.shape[1] for part in columns)
    ends = [*edges[1:], len(y.values)]
    # Day by day, because all columns of a long window side by side are large; transposed, because they lie so.
    days = (
        np.concatenate([part.values.T[:, first:end] for part in parts], dtype=float)
        for first, end in zip(edges, ends)
    )
    products = np.stack([day[:count] @ day.T for day in days])
    adjustment = np.concatenate([part.day_adjustment for part in parts], axis=2)
    deleted = adjustment[:, :, :count].swapaxes(1, 2) @ adjustment
    return DayProducts(
        products[:, :, :count], products[:, :, count:], (deleted[:, :, :count], deleted[:, :, count:])
    )


def _ridge(gram: Array) -> Array:
    return np.asarray(RIDGE * np.diag(np.diag(gram)))


@dataclass(frozen=True)
class WorkloadModel:
    """Regression of one workload: its own exposure columns, then the columns of its co-exposures.

    Attributes
    ----------
    products : DayProducts
        Inner products of own columns (first) and co-exposures' columns.
    means : numpy.ndarray
        Mean of each own column over exposed minutes.
    varies : numpy.ndarray
        Whether the controls left enough variance of each own column.
    metrics : int
        The first so many outcomes are the log latencies.
    """

    products: DayProducts
    means: Array
    varies: Mask
    metrics: int

    def effect(self, own: Sequence[int] = regressors.OWN_EFFECT, alongside: Sequence[int] = ()) -> Fit:
        """Fit the mean effect on log latency over exposed minutes.

        Parameters
        ----------
        own : sequence of int
            Columns that make up the effect; the first is the exposure.
        alongside : sequence of int
            Own columns that are in the regression but not part of the effect.

        Returns
        -------
        Fit
            The effect; without numbers if the exposure does not vary.
        """
        return self.effect_on_all(own, alongside).of(slice(self.metrics))

    def effect_on_all(self, own: Sequence[int] = regressors.OWN_EFFECT, alongside: Sequence[int] = ()) -> Fit:
        """Fit the mean effect on every outcome over exposed minutes.

        Parameters
        ----------
        own : sequence of int
            Columns that make up the effect; the first is the exposure.
        alongside : sequence of int
            Own columns that are in the regression but not part of the effect.

        Returns
        -------
        Fit
            The effect; without numbers if the exposure does not vary.
        """
        if not self.varies[own[0]]:
            return self._no_fit()
        kept = self.kept([*own, *alongside])
        return self.products.fit(kept, np.where(np.isin(kept, own), self._weights()[kept], 0))

    def pre_trend(self) -> list[Fit]:
        """Fit the effect in the minutes before a start, next to the effect of the run itself.

        Returns
        -------
        list of Fit
            One for each of `regressors.LEADS`, the minutes nearest to the start first; without numbers for a lead of too
            few minutes.
        """
        kept = self.kept([*regressors.OWN_EFFECT, *regressors.LEADS])
        fits = (
            self.products.fit(kept, (kept == lead).astype(float)) if self.varies[lead] else self._no_fit()
            for lead in regressors.LEADS
        )
        return [fit.of(slice(self.metrics)) for fit in fits]

    def kept(self, own: Sequence[int] = regressors.OWN_EFFECT) -> Integers:
        """Columns in a regression: the own columns that vary, and all columns of co-exposures.

        Parameters
        ----------
        own : sequence of int
            Own columns that are wanted.

        Returns
        -------
        numpy.ndarray
            Indices into `products`.
        """
        co_exposures = np.arange(len(self.varies), self.products.grams.shape[1])
        return np.concatenate([[at for at in own if self.varies[at]], co_exposures]).astype(int)

    def _no_fit(self) -> Fit:
        return no_fit(self.products.moments.shape[2])

    def _weights(self) -> Array:
        return np.concatenate([self.means, np.zeros(self.products.grams.shape[1] - len(self.means))])
