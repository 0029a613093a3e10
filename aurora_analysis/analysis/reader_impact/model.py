"""The error of an effect, from how far it moves when one day after another is left out.

Minutes hang together and runs are few: a day is what may be taken as drawn anew. A day's part in the error is
halfway between what its residuals say (CR0: too little, for the fit follows them) and how far the effect moves when
all is fitted again without the day, the nuisance too (CR3: too much). That corrects at least as much as CR2, their
geometric mean, which is right where minutes are independent (Bell & McCaffrey 2002; Pustejovsky & Tipton 2018). How
evenly the days share the estimate gives it its degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from aurora_analysis.analysis.reader_impact.controls import Array, Integers, Left, side_by_side

RIDGE = 1e-9
"""Of a column's own square: far below what the data resolve, and enough where two columns are the same one."""


@dataclass(frozen=True)
class Fit:
    """An effect on the log of each metric, its standard error and its degrees of freedom."""

    effect: Array
    error: Array
    df: float

    def p(self) -> Array:
        """The probability of such an effect, up or down, where there is none."""
        return np.asarray(2 * stats.t.sf(np.abs(self.effect) / self.error, self.df))


def no_fit(metrics: int) -> Fit:
    """Where the nuisance explains the exposure there is nothing to fit."""
    nothing = np.full(metrics, np.nan)
    return Fit(nothing, nothing, np.nan)


@dataclass(frozen=True)
class Days:
    """Inner products of columns, day by day: with each other (`grams`) and with each metric (`moments`).

    They are all that a fit needs; columns and metrics have the nuisance removed. `anew` is what fitting the
    nuisance again, without the day, takes from the products of all other days.
    """

    grams: Array
    moments: Array
    anew: tuple[Array, Array]

    def of(self, columns: Integers) -> Days:
        """Those of some of the columns."""
        pairs = columns[:, None], columns
        anew = self.anew[0][:, *pairs], self.anew[1][:, columns]
        return Days(self.grams[:, *pairs], self.moments[:, columns], anew)

    def coefficients(self, kept: Integers) -> Array:
        """The coefficient of each kept column, by metric: what least squares over all days gives."""
        gram, moment = self.grams[:, kept[:, None], kept].sum(axis=0), self.moments[:, kept].sum(axis=0)
        return np.asarray(np.linalg.solve(gram + _ridge(gram), moment))

    def fit(self, kept: Integers, weights: Array) -> Fit:
        """The weighted sum of the coefficients of the kept columns."""
        pairs = kept[:, None], kept
        grams, moments = self.grams[:, *pairs], self.moments[:, kept]
        gram, moment = grams.sum(axis=0), moments.sum(axis=0)
        ridge = _ridge(gram)
        solved = np.linalg.solve(gram + ridge, np.column_stack([moment, weights]))
        coefficients, direction = solved[:, :-1], solved[:, -1]
        # A column that only one day has is nothing without that day: the ridge lets it be.
        without = np.linalg.solve(
            gram - grams - self.anew[0][:, *pairs] + ridge, moment - moments - self.anew[1][:, kept]
        )
        own, moved = direction @ (moments - grams @ coefficients), weights @ (coefficients - without)
        error = np.sqrt((((own + moved) / 2) ** 2).sum(axis=0))
        share = grams @ direction @ direction
        share = share / share.sum()
        # A latency that never changes has no error: far below what could ever matter, but not zero.
        return Fit(weights @ coefficients, np.maximum(error, 1e-9), max(2.0, 1 / (share**2).sum() - 1))


def days(columns: Sequence[Left], y: Left, edges: Integers) -> Days:
    """The inner products of columns, side by side, over the days that begin at `edges`."""
    both = side_by_side([*columns, y])
    count = both.rest.shape[1] - y.rest.shape[1]
    products = np.stack([day[:count] @ day.T for day in np.split(both.rest.T, edges[1:], axis=1)])
    anew = both.taken[:, :, :count].swapaxes(1, 2) @ both.taken
    return Days(products[:, :, :count], products[:, :, count:], (anew[:, :, :count], anew[:, :, count:]))


def _ridge(gram: Array) -> Array:
    return RIDGE * np.diag(np.diag(gram))
