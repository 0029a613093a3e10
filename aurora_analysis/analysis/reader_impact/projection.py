"""Remove controls from columns by least squares, with all days and without each one.

Some controls restart in every segment of a long window (`controls.Controls`). Their columns stand in the same places
in all segments, so that each minute has a row as short as its segment needs; the normal equations of the segments
meet only in the columns that hold throughout (block elimination: Golub & Van Loan, Matrix Computations, 4.5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from aurora_analysis.analysis.reader_impact.controls import Controls
from aurora_analysis.analysis.series import Array, Integers, Mask

RIDGE = 1e-12
"""Ridge that keeps the factorisation stable: seasons and drift overlap a little. Far below float resolution."""

LARGER_RIDGE = 1e-6
"""Ridge of windows in which rounding exceeds `DAY_RIDGE`; columns have unit length."""

DAY_RIDGE = 1e-8
"""Ridge of leave-one-day-out fits: the left-out day's own level, and a wave of that day alone, have no data left."""

Floats = npt.NDArray[np.floating[Any]]
"""Values in double or single precision."""


@dataclass(frozen=True)
class Residuals:
    """Columns with the controls removed, and the adjustment for refitting the controls without a day.

    Attributes
    ----------
    values : numpy.ndarray, shape (minutes, columns)
        What the controls do not explain; many columns are kept in single precision, because they fill the memory.
    day_adjustment : numpy.ndarray, shape (days, controls, columns)
        For each left-out day, coordinates whose inner products are those by which refitting the controls without
        that day changes the products of the columns.
    """

    values: Floats
    day_adjustment: Array

    def select(self, chosen: slice | Integers) -> Residuals:
        """Residuals of some of the columns.

        Parameters
        ----------
        chosen : slice or numpy.ndarray
            Indices of the columns.

        Returns
        -------
        Residuals
            The chosen columns, in that order.
        """
        return Residuals(self.values.T[chosen].T, self.day_adjustment[:, :, chosen])

    def beside(self, other: Residuals) -> Residuals:
        """These columns, then those of `other`.

        Parameters
        ----------
        other : Residuals
            Columns with the same rows and controls.

        Returns
        -------
        Residuals
            The columns side by side.
        """
        return Residuals(
            np.concatenate([self.values.T, other.values.T]).T,
            np.concatenate([self.day_adjustment, other.day_adjustment], axis=2),
        )


@dataclass(frozen=True)
class Projection:
    """Least-squares projection on control columns, with and without each day.

    Attributes
    ----------
    columns : numpy.ndarray, shape (minutes, controls)
        The controls, scaled to unit length.
    groups : dict of str to slice
        Columns of each control group.
    shared : int
        The first `shared` columns hold throughout; the others restart in each segment.
    edges : numpy.ndarray, shape (days,)
        First row of each day.
    segment : numpy.ndarray, shape (days,)
        Number of each day's segment, counted from 0 without a gap.
    grams : numpy.ndarray, shape (days, controls, controls)
        Inner products of the columns by day.
    eliminated : numpy.ndarray, shape (segments, restarting, shared)
        Coefficients of the shared columns on the restarting ones in each segment; empty if there is one segment.
    factors : numpy.ndarray, shape (segments + days, controls, controls)
        Cholesky factors of the inner products of each segment, other segments eliminated: first with all days, then
        without each day.
    """

    columns: Array
    groups: dict[str, slice]
    shared: int
    edges: Integers
    segment: Integers
    grams: Array
    eliminated: Array
    factors: Array

    def residuals(self, values: Array) -> Residuals:
        """Remove from each column of `values` what the controls explain.

        Parameters
        ----------
        values : numpy.ndarray, shape (minutes, columns)
            The columns.

        Returns
        -------
        Residuals
            The columns without the controls' part, and the adjustment for each left-out day.
        """
        moments = np.stack([day.T @ part for day, part in zip(self._days(self.columns), self._days(values))])
        totals = self._without_other_segments(_by_segment(moments, self.segment))
        coefficients = [
            linalg.cho_solve((factor, True), total) for factor, total in zip(self.factors, totals)
        ]
        first_rows = self.edges[np.searchsorted(self.segment, np.arange(1, len(totals)))]
        explained = np.empty_like(values)
        for rows, into, solution in zip(
            np.split(self.columns, first_rows), np.split(explained, first_rows), coefficients
        ):
            np.matmul(rows, solution, out=into)
        np.subtract(values, explained, out=explained)
        adjustment = [
            linalg.solve_triangular(factor, moment - gram @ coefficients[segment], lower=True)
            for factor, moment, gram, segment in zip(
                self.factors[len(totals) :], moments, self.grams, self.segment
            )
        ]
        return Residuals(explained, np.stack(adjustment))

    def explained_by(self, values: Array) -> dict[str, float]:
        """Share of the variance of one column that each control group explains alone.

        Parameters
        ----------
        values : numpy.ndarray, shape (minutes,)
            The column.

        Returns
        -------
        dict of str to float
            Share by group name [0 to 1].
        """
        centred = values - values.mean()
        sums = self._moments(np.ones(len(values)))
        moments = self._moments(centred)
        grams = _by_segment(self.grams, self.segment)
        found = {}
        for name, chosen in self.groups.items():
            parts = grams[:, chosen, chosen], sums[:, chosen], moments[:, chosen]
            gram, total, moment = _together(*parts, throughout=chosen.start < self.shared)
            within = gram - np.outer(total, total) / len(values)
            found[name] = float(moment @ np.linalg.lstsq(within, moment, rcond=RIDGE)[0])
        whole = float(centred @ centred)
        return {name: part / whole for name, part in found.items()}

    def allocate(self, count: int) -> Residuals:
        """Uninitialised residuals of `count` columns in single precision, to be filled in chunks.

        Parameters
        ----------
        count : int
            Number of columns.

        Returns
        -------
        Residuals
            Its arrays hold arbitrary values.
        """
        days, size, _ = self.grams.shape
        values = np.empty((len(self.columns), count), order="F", dtype=np.float32)
        return Residuals(values, np.empty((days, size, count)))

    def _days(self, values: Array) -> list[Array]:
        return np.split(values, self.edges[1:])

    def _moments(self, values: Array) -> Array:
        """Products of the controls with one column, by segment."""
        by_day = [day.T @ part for day, part in zip(self._days(self.columns), self._days(values))]
        return _by_segment(np.stack(by_day), self.segment)

    def _without_other_segments(self, moments: Array) -> Array:
        """Right-hand sides of each segment's normal equations once the other segments are eliminated."""
        if len(moments) == 1:
            return moments
        removed = self.eliminated.swapaxes(1, 2) @ moments[:, self.shared :]
        reduced = moments.copy()
        reduced[:, : self.shared] = _others(moments[:, : self.shared], removed)
        return reduced


def projection(controls: Controls, valid: Mask, days: Integers) -> Projection:
    """Factorise control columns over days.

    Parameters
    ----------
    controls : Controls
        The control columns of all minutes.
    valid : numpy.ndarray, shape (minutes,)
        Which minutes are rows.
    days : numpy.ndarray, shape (minutes,)
        Number of each minute's day.

    Returns
    -------
    Projection
        Least squares on the columns, with and without each day.
    """
    given = controls.throughout | controls.by_segment
    ends = np.cumsum([group.shape[1] for group in given.values()])
    groups = {name: slice(int(end) - given[name].shape[1], int(end)) for name, end in zip(given, ends)}
    shared = sum(group.shape[1] for group in controls.throughout.values())
    columns = np.empty((np.count_nonzero(valid), ends[-1]))
    for name, chosen in groups.items():  # a copy of all groups at once would be as large as the result
        columns[:, chosen] = given[name][valid]
    edges = np.flatnonzero(np.diff(days[valid], prepend=-1)) if valid.any() else np.zeros(1, dtype=np.int64)
    segment = np.unique(controls.segment[valid][edges] if valid.any() else edges, return_inverse=True)[1]
    _scale(columns, edges[np.searchsorted(segment, np.arange(1, segment[-1] + 1))], shared)
    grams = np.stack([day.T @ day for day in np.split(columns, edges[1:])])
    totals = _by_segment(grams, segment)
    eliminated = np.zeros((0, totals.shape[1] - shared, shared))
    if len(totals) > 1:
        own, both = totals[:, shared:, shared:], totals[:, shared:, :shared]
        eliminated = np.linalg.solve(own + RIDGE * np.eye(own.shape[1]), both)
        top = _others(totals[:, :shared, :shared], both.swapaxes(1, 2) @ eliminated)
        totals[:, :shared, :shared] = top
    identity = np.eye(totals.shape[1])
    regular = np.concatenate([totals + RIDGE * identity, totals[segment] - grams + DAY_RIDGE * identity])
    factors = _factors(regular)
    return Projection(columns, groups, shared, edges, segment, grams, eliminated, factors)


def _factors(regular: Array) -> Array:
    """Cholesky factors; a day that holds almost all of a column leaves a matrix that rounding makes indefinite."""
    try:
        return np.asarray(np.linalg.cholesky(regular))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.cholesky(regular + LARGER_RIDGE * np.eye(regular.shape[-1])))


def residual_maker(columns: Array) -> Callable[[Array], Floats]:
    """Function that removes from any columns what `columns` explain, by least squares.

    Parameters
    ----------
    columns : numpy.ndarray, shape (minutes, controls)
        The columns to remove.

    Returns
    -------
    callable
        Takes and returns an array of shape (minutes, columns).
    """
    once = np.zeros(len(columns), dtype=np.int64)
    onto = projection(Controls({"controls": columns}, {}, once), once == 0, once)
    return lambda values: onto.residuals(values).values


def _scale(columns: Array, first_rows: Integers, shared: int) -> None:
    """Scale columns to unit length in place, the restarting ones within each segment."""
    parts = np.split(columns, first_rows)
    squares = np.stack([np.einsum("ij,ij->j", part, part) for part in parts])
    squares[:, :shared] = squares[:, :shared].sum(axis=0)
    for part, length in zip(parts, np.sqrt(squares)):
        np.divide(part, np.where(length > 0, length, 1), out=part)


def _by_segment(daily: Array, segment: Integers) -> Array:
    """Sums of each segment's days."""
    return np.stack([daily[segment == one].sum(axis=0) for one in range(segment[-1] + 1)])


def _others(shared: Array, removed: Array) -> Array:
    """Return for each segment the part shared by all segments, without the other segments' share."""
    return np.asarray(shared.sum(axis=0) - (removed.sum(axis=0) - removed))


def _together(grams: Array, sums: Array, moments: Array, *, throughout: bool) -> tuple[Array, Array, Array]:
    """Normal equations of one group over all segments, whose coefficients are common or not."""
    if throughout:
        return grams.sum(axis=0), sums.sum(axis=0), moments.sum(axis=0)
    return linalg.block_diag(*grams), sums.ravel(), moments.ravel()
