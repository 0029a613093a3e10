"""Regressors of many exposures side by side, with the controls removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from aurora_analysis.analysis.reader_impact import regressors
from aurora_analysis.analysis.reader_impact.design import Design
from aurora_analysis.analysis.reader_impact.projection import Floats, Projection, Residuals
from aurora_analysis.analysis.series import Array, Integers, Mask

VARIES_LEAST = 1e-3
"""Smallest share of a column's variance that the controls must leave; other columns are left out."""

CHUNK, CHUNK_MINUTES = 25, 40_320
"""Workloads whose columns are built at once in a window of four weeks; fewer in a longer one, for they are wide."""


@dataclass(frozen=True)
class ExposureColumns:
    """Regressors of several exposures side by side, equally many of each, with the controls removed.

    Attributes
    ----------
    residuals : Residuals
        The columns with the controls removed.
    means : numpy.ndarray
        Mean of each column over its workload's exposed minutes.
    explained : numpy.ndarray
        Share of each column's variance that the controls explain [0 to 1].
    """

    residuals: Residuals
    means: Array
    explained: Array

    def varies(self) -> Mask:
        """Mask of the columns with enough variance left for an estimate.

        Returns
        -------
        numpy.ndarray, shape (columns,)
            False for a column that the controls explain entirely.
        """
        return np.asarray(self.explained < 1 - VARIES_LEAST)

    def effect_columns(self, first_columns: Sequence[int]) -> Integers:
        """Columns that make up the effects of the workloads that begin at `first_columns`, and vary.

        Parameters
        ----------
        first_columns : sequence of int
            First column of each workload.

        Returns
        -------
        numpy.ndarray
            Indices of the columns.
        """
        chosen = np.array([first + n for first in first_columns for n in regressors.EFFECT], dtype=int)
        return np.asarray(chosen[self.varies()[chosen]])

    def beside(self, other: ExposureColumns, count: int) -> ExposureColumns:
        """The columns of `count` exposures here, each followed by its columns in `other`.

        Parameters
        ----------
        other : ExposureColumns
            Other columns of the same exposures.
        count : int
            Number of exposures.

        Returns
        -------
        ExposureColumns
            The columns of the first exposure, then of the next one.
        """
        here, there = np.arange(len(self.means)), len(self.means) + np.arange(len(other.means))
        order = np.concatenate([here.reshape(count, -1), there.reshape(count, -1)], axis=1).ravel()
        both = ExposureColumns(
            self.residuals.beside(other.residuals),
            np.concatenate([self.means, other.means]),
            np.concatenate([self.explained, other.explained]),
        )
        return both.select(order)

    def select(self, chosen: Integers) -> ExposureColumns:
        """Some of the columns.

        Parameters
        ----------
        chosen : numpy.ndarray
            Indices of the columns.

        Returns
        -------
        ExposureColumns
            The chosen columns, in that order.
        """
        return ExposureColumns(self.residuals.select(chosen), self.means[chosen], self.explained[chosen])


def exposure_columns(
    design: Design,
    exposed: Array,
    view_age: Floats,
    needed: Sequence[int],
    valid: Mask,
    projection: Projection,
) -> ExposureColumns:
    """Residualised regressors of some exposures, built in chunks because they are wide.

    Parameters
    ----------
    design : Design
        Gives load and purge speed.
    exposed : numpy.ndarray, shape (minutes, exposures)
        Share of each minute of each exposure [0 to 1].
    view_age : numpy.ndarray, shape (minutes, exposures)
        Age of each exposure's oldest run at the end of each minute [min].
    needed : sequence of int
        Which of the exposures.
    valid : numpy.ndarray, shape (minutes,)
        The minutes that are rows.
    projection : Projection
        Removes the controls.

    Returns
    -------
    ExposureColumns
        `regressors.COLUMNS` columns for each needed exposure.
    """

    def raw(chosen: Sequence[int]) -> tuple[Array, Array]:
        found = regressors.columns(
            exposed[:, chosen], view_age[:, chosen], design.load, design.purge_speed, valid
        )
        return found, regressors.means_while_exposed(found)

    return _residualised(raw, regressors.COLUMNS, needed, projection)


def with_dose(design: Design, i: int, dose: Array, valid: Mask, projection: Projection) -> ExposureColumns:
    """Residualised regressors of one workload, with another dose than the one that load and exposure imply.

    Parameters
    ----------
    design : Design
        Gives exposure, load and purge speed.
    i : int
        The workload.
    dose : numpy.ndarray, shape (minutes,)
        The dose by minute, in any unit.
    valid : numpy.ndarray, shape (minutes,)
        The minutes that are rows.
    projection : Projection
        Removes the controls.

    Returns
    -------
    ExposureColumns
        `regressors.COLUMNS` columns.
    """

    def raw(_: Sequence[int]) -> tuple[Array, Array]:
        found = design.columns([i], valid)
        found[:, regressors.DOSE] = dose[valid]
        return found, regressors.means_while_exposed(found)

    return _residualised(raw, regressors.COLUMNS, [i], projection)


def own_columns(
    exposed: Array, needed: Sequence[int], valid: Mask, projection: Projection
) -> ExposureColumns:
    """Residualised regressors that stand in a workload's own model only: exposure by other clocks, and leads.

    The means of the former are those of the exposure itself: an effect does not depend on how it is stamped.

    Parameters
    ----------
    exposed : numpy.ndarray, shape (minutes, exposures)
        Share of each minute of each exposure [0 to 1].
    needed : sequence of int
        Which of the exposures.
    valid : numpy.ndarray, shape (minutes,)
        The minutes that are rows.
    projection : Projection
        Removes the controls.

    Returns
    -------
    ExposureColumns
        The columns `regressors.CLOCK` and `regressors.LEADS` of each needed exposure.
    """

    def raw(chosen: Sequence[int]) -> tuple[Array, Array]:
        own = exposed[:, chosen]
        share = own[valid].sum(axis=0) / np.maximum((own[valid] > 0).sum(axis=0), 1)
        parts = [
            part[valid].reshape(-1, len(chosen), 2)
            for part in (regressors.shifted(own), regressors.leads(own))
        ]
        found = np.concatenate(parts, axis=2)
        means = np.outer(share, np.repeat([1.0, 0.0], [len(regressors.CLOCK), len(regressors.LEADS)]))
        return found.reshape(len(found), width * len(chosen)), means.ravel()

    width = regressors.OWN_COLUMNS - regressors.COLUMNS
    return _residualised(raw, width, needed, projection)


def _residualised(
    raw: Callable[[Sequence[int]], tuple[Array, Array]],
    width: int,
    needed: Sequence[int],
    projection: Projection,
) -> ExposureColumns:
    """Residualise `width` columns of each needed exposure; `raw` gives the columns of some of them, and their means."""
    count = width * len(needed)
    residuals = projection.allocate(count)
    means, explained = np.empty(count), np.empty(count)
    first = 0
    for chosen in chunks(needed, len(projection.columns)):
        columns, means_of_part = raw(chosen)
        here = slice(first, first := first + columns.shape[1])
        part = projection.residuals(columns)
        residuals.values[:, here], residuals.day_adjustment[:, :, here] = part.values, part.day_adjustment
        means[here] = means_of_part
        columns -= columns.sum(axis=0) / max(len(columns), 1)
        explained[here] = 1 - _share(_squares(part.values), _squares(columns))
    return ExposureColumns(residuals, means, explained)


def chunks(workloads: Sequence[int], minutes: int) -> Iterator[Sequence[int]]:
    """Workloads in pieces whose columns fit into memory at once.

    Parameters
    ----------
    workloads : sequence of int
        The workloads.
    minutes : int
        Number of rows.

    Yields
    ------
    sequence of int
        The next workloads.
    """
    size = max(1, min(CHUNK, CHUNK * CHUNK_MINUTES // max(minutes, 1)))
    for first in range(0, len(workloads), size):
        yield workloads[first : first + size]


def _squares(columns: Floats) -> Array:
    """Sum of squares of each column."""
    return np.asarray(np.einsum("ij,ij->j", columns, columns))


def _share(part: Array, whole: Array) -> Array:
    """Part over whole; 0 if the whole is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
