"""Group workloads and metrics so that each group's controls are factorised once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from aurora_analysis.analysis.reader_impact import controls, distribution, model, projection, regressors
from aurora_analysis.analysis.reader_impact.design import Design
from aurora_analysis.analysis.reader_impact.exposure_columns import (
    ExposureColumns,
    chunks,
    exposure_columns,
    own_columns,
)
from aurora_analysis.analysis.reader_impact.model import WorkloadModel
from aurora_analysis.analysis.reader_impact.projection import (
    Floats,
    Projection,
    Residuals,
    residual_maker,
)
from aurora_analysis.analysis.series import Array, Integers, Mask

WINSORISE = 4.0
"""Residuals beyond this many robust standard deviations are pulled in: failovers and stalls are not the question."""

DRIFT_HOURS = (12, 24, 48)
"""Slower drift than this is removed. A run must be short by comparison, so long runs get a longer period."""

RUN_LENGTHS_OF_DRIFT = 6
"""The drift period is at least this many times the 90th percentile of run lengths."""

CO_EXPOSURES = 10
"""Most other workloads that are controls in a workload's model; those that overlap most are chosen."""

RELATED = 0.15
"""Correlation above which two workloads coincide by more than chance (some 400 run lengths in a fortnight)."""

COLLINEAR = 0.80
"""Squared correlation of exposures above which two workloads are inseparable."""


@dataclass(frozen=True)
class Neighbours:
    """The other workloads that matter for each workload's model.

    Attributes
    ----------
    co_exposures : dict of int to list of int
        Workloads that are controls in each workload's model.
    collinear_with : dict of int to str
        Name of the workload from which a workload is inseparable.
    """

    co_exposures: dict[int, list[int]]
    collinear_with: dict[int, str]


@dataclass(frozen=True)
class EstimationGroup:
    """Workloads and metrics that share valid minutes and controls, so that these are factorised once.

    Attributes
    ----------
    design : Design
        The whole design.
    metrics : list of str
        Metrics of the group.
    members : list of int
        Workloads that are estimated in this group.
    neighbours : Neighbours
        Co-exposures and collinear workloads.
    valid : numpy.ndarray, shape (minutes,)
        The minutes that are rows of the regression.
    drift_hours : float
        Shortest period of slow drift that is removed [h].
    projection : Projection
        Removes the controls.
    columns : ExposureColumns
        Regressors of all workloads that the group needs.
    first_column : dict of int to int
        First column of each of these workloads.
    y : Residuals
        Log latency with the controls removed, one column per metric.
    relative : numpy.ndarray, shape (rows, 2 · metrics)
        Latency relative to what the controls predict, then whether a minute is bad (`distribution.outcomes`).
    outcomes : Residuals
        `y` and `relative`, with the controls removed.
    """

    design: Design
    metrics: list[str]
    members: list[int]
    neighbours: Neighbours
    valid: Mask
    drift_hours: float
    projection: Projection
    columns: ExposureColumns
    first_column: dict[int, int]
    y: Residuals
    relative: Array
    outcomes: Residuals

    def exposed(self, i: int) -> Array:
        """Share of each minute in which a workload was running, over all minutes.

        Parameters
        ----------
        i : int
            The workload.

        Returns
        -------
        numpy.ndarray, shape (minutes,)
            Share of each minute [0 to 1].
        """
        return np.asarray(self.design.exposed[:, i])

    def own(self, members: Sequence[int]) -> ExposureColumns:
        """Columns of the workloads' own models, with those that allow for other clocks and the leads.

        Parameters
        ----------
        members : sequence of int
            The workloads.

        Returns
        -------
        ExposureColumns
            `regressors.OWN_COLUMNS` columns for each workload.
        """
        first = np.array([self.first_column[i] for i in members], dtype=int)
        kept = (first[:, None] + np.arange(regressors.COLUMNS)).ravel()
        more = own_columns(self.design.exposed, members, self.valid, self.projection)
        return self.columns.select(kept).beside(more, len(members))

    def co_exposure_columns(self, i: int) -> Integers:
        """Indices of the effect columns of a workload's co-exposures.

        Parameters
        ----------
        i : int
            The workload.

        Returns
        -------
        numpy.ndarray
            Indices into `columns`; columns that do not vary are left out.
        """
        return self.columns.effect_columns([self.first_column[j] for j in self.neighbours.co_exposures[i]])

    def models(self, members: Sequence[int]) -> Iterator[tuple[int, WorkloadModel]]:
        """Models of several workloads; the products of many together are few large ones, which use all cores.

        Parameters
        ----------
        members : sequence of int
            The workloads.

        Yields
        ------
        tuple of int and WorkloadModel
            Each workload with its model.
        """
        for chunk in chunks(members, len(self.y.values)):
            own = self.own(chunk)
            others = [self.co_exposure_columns(i) for i in chunk]
            union = np.unique(np.concatenate(others))
            products = model.day_products(
                [own.residuals, self.columns.residuals.select(union)], self.outcomes, self.projection.edges
            )
            for n, i in enumerate(chunk):
                mine = regressors.OWN_COLUMNS * n + np.arange(regressors.OWN_COLUMNS)
                beside = len(own.means) + np.searchsorted(union, others[n])
                selected = products.select(np.concatenate([mine, beside]))
                yield i, WorkloadModel(selected, own.means[mine], own.varies()[mine], len(self.metrics))

    def model_of(self, i: int, columns: ExposureColumns, y: Residuals) -> WorkloadModel:
        """Model of a workload with other columns of its own, or another outcome.

        Parameters
        ----------
        i : int
            The workload.
        columns : ExposureColumns
            Columns that replace the workload's own ones.
        y : Residuals
            The outcome, with the controls removed.

        Returns
        -------
        WorkloadModel
            The model, with the co-exposures of the workload.
        """
        co_exposures = self.columns.residuals.select(self.co_exposure_columns(i))
        products = model.day_products([columns.residuals, co_exposures], y, self.projection.edges)
        return WorkloadModel(products, columns.means, columns.varies(), y.values.shape[1])


@dataclass(frozen=True)
class _Part:
    """Workloads and metrics that share valid minutes and controls."""

    metrics: list[str]
    members: list[int]
    valid: Mask
    drift_hours: float


def estimation_groups(
    design: Design,
    beside: Neighbours | None = None,
    *,
    among: Collection[int] | None = None,
    like: EstimationGroup | None = None,
) -> Iterator[EstimationGroup]:
    """Cut the design into groups that share valid minutes and controls.

    Parameters
    ----------
    design : Design
        The whole design.
    beside : Neighbours, optional
        Result of `neighbours`, if it is known: it takes a while for many workloads.
    among : collection of int, optional
        Only these workloads are estimated. Default: all.
    like : EstimationGroup, optional
        A group of the same design with other leading effects. A group with the same minutes, controls and workloads
        uses its columns.

    Yields
    ------
    EstimationGroup
        Every workload and metric belongs to exactly one; none if the design has no workload.
    """
    if not design.workloads:
        return
    led = _with_leading_effects(beside or neighbours(design), design.leading_effects)
    for part in _parts(design, among):
        yield _group(design, part, led, like)


def _parts(design: Design, among: Collection[int] | None) -> Iterator[_Part]:
    drift = np.array([_drift_hours(column) for column in design.exposed.T])
    for metrics in _metrics_by_validity(design):
        valid = design.logs[metrics[0]].notna().to_numpy() & ~np.isnan(design.load)
        for unknown, members in _workloads_by_unknown(design):
            for hours in np.unique(drift[members]):
                mine = [i for i in members if drift[i] == hours and (among is None or i in among)]
                if mine:
                    yield _Part(metrics, mine, valid & ~unknown, float(hours))


def _group(design: Design, part: _Part, beside: Neighbours, like: EstimationGroup | None) -> EstimationGroup:
    metrics, members, valid = part.metrics, part.members, part.valid
    few = range(design.real) if design.real <= CO_EXPOSURES + 1 else ()
    needed = sorted({*members, *few, *(j for i in members for j in beside.co_exposures[i])})
    first_column = {i: regressors.COLUMNS * n for n, i in enumerate(needed)}
    if like and _has_columns(like, part, first_column):
        onto, columns = like.projection, like.columns
    else:
        onto = _projection(design, valid, part.drift_hours)
        columns = exposure_columns(design, design.exposed, design.view_age, needed, valid, onto)
    y = design.logs[metrics].to_numpy()[valid]
    strong = [first_column[i] for i in [*few, *design.leading_effects] if i in first_column]
    chosen = columns.effect_columns(strong)
    effects = columns.residuals.select(chosen).values.astype(float)
    unexplained = onto.residuals(y).values
    coefficients = _coefficients(effects, unexplained)
    noise = unexplained - effects @ coefficients
    # Relative latency keeps the whole effects, with the part that resembles the controls.
    relative = distribution.outcomes(noise + _raw_columns(design, needed, chosen, valid) @ coefficients)
    outcomes = onto.residuals(np.column_stack([_winsorised(y, noise), relative]))
    return EstimationGroup(
        design=design,
        metrics=metrics,
        members=members,
        neighbours=beside,
        valid=valid,
        drift_hours=part.drift_hours,
        projection=onto,
        columns=columns,
        first_column=first_column,
        y=outcomes.select(slice(len(metrics))),
        relative=relative,
        outcomes=outcomes,
    )


def _has_columns(group: EstimationGroup, part: _Part, first_column: dict[int, int]) -> bool:
    """Return whether a group of the same design has the columns that a part needs, with the same controls removed."""
    return (
        group.first_column == first_column
        and group.drift_hours == part.drift_hours
        and np.array_equal(group.valid, part.valid)
    )


def _projection(design: Design, valid: Mask, drift_hours: float) -> Projection:
    """Factorised controls of the valid minutes."""
    load = design.load if design.load_held else None
    found = controls.control_groups(design.grid, load, design.companions(), design.writer_terms, drift_hours)
    return projection.projection(found, valid, design.grid.blocks())


def _coefficients(effects: Array, residuals: Floats) -> Array:
    """Least-squares coefficient of each effect column, by metric."""
    gram = effects.T @ effects
    ridge = model.RIDGE * np.diag(np.diag(gram))
    return np.asarray(np.linalg.solve(gram + ridge, effects.T @ residuals))


def _raw_columns(design: Design, needed: Sequence[int], chosen: Integers, valid: Mask) -> Array:
    """Some regressors of the needed workloads, with the controls not removed."""
    owners = np.unique(chosen // regressors.COLUMNS)
    raw = design.columns(np.array(needed)[owners], valid)
    within = regressors.COLUMNS * np.searchsorted(owners, chosen // regressors.COLUMNS)
    return np.asarray(raw[:, within + chosen % regressors.COLUMNS])


def _winsorised(y: Array, noise: Array) -> Array:
    """Pull in outliers of y, metric by metric, among what neither controls nor workloads explain.

    The workloads' effects are no part of the noise, so one that doubles the latency is not treated as an outlier.
    """
    if not len(noise):
        return y
    limit = WINSORISE * 1.4826 * np.median(np.abs(noise - np.median(noise, axis=0)), axis=0)
    return np.asarray(y - noise + np.clip(noise, -limit, limit))


def _metrics_by_validity(design: Design) -> list[list[str]]:
    """Metrics, grouped by the minutes in which they have values."""
    groups: dict[bytes, list[str]] = {}
    for name in design.logs:
        groups.setdefault(design.logs[name].notna().to_numpy().tobytes(), []).append(str(name))
    return list(groups.values())


def _workloads_by_unknown(design: Design) -> list[tuple[Mask, list[int]]]:
    """Sets of minutes in which exposure is unknown, with the workloads that share them."""
    groups: dict[bytes, list[int]] = {}
    for i, column in enumerate(design.unknown.T):
        groups.setdefault(np.packbits(column).tobytes(), []).append(i)
    return [(design.unknown[:, members[0]], members) for members in groups.values()]


def _drift_hours(exposed: Array) -> int:
    lengths = regressors.run_lengths(exposed)
    wanted = RUN_LENGTHS_OF_DRIFT * np.quantile(lengths, 0.9) / 60 if len(lengths) else 0
    return next((hours for hours in DRIFT_HOURS if hours >= wanted), DRIFT_HOURS[-1])


def neighbours(design: Design) -> Neighbours:
    """Find the workloads that overlap each one most, and the one from which it is inseparable.

    Among many workloads only those count that coincide more than their times of day imply: each costs precision.

    Parameters
    ----------
    design : Design
        The whole design; its leading effects, latency and load play no part.

    Returns
    -------
    Neighbours
        For every workload.
    """
    if not design.real:
        return Neighbours({}, {})
    footprint = ((design.exposed > 0) | (regressors.carryover(design.exposed) > 0)).astype(float)
    overlap = _products(footprint, design.real)
    if design.real > CO_EXPOSURES + 1:
        beyond_clock = residual_maker(controls.clock_controls(design.grid))(footprint)
        overlap = np.where(_correlations(beyond_clock, design.real) > RELATED, overlap, 0)
    r2 = _correlations(design.exposed, design.real) ** 2
    order = np.argsort(-overlap, axis=1, kind="stable")[:, :CO_EXPOSURES]
    return Neighbours(
        co_exposures={i: [int(j) for j in row if overlap[i, j] > 0] for i, row in enumerate(order)},
        collinear_with={
            i: design.workloads[row.argmax()] for i, row in enumerate(r2) if row.max() > COLLINEAR
        },
    )


def _with_leading_effects(beside: Neighbours, leading: Sequence[int]) -> Neighbours:
    """Neighbours with the leading effects as co-exposures of every other workload."""
    co_exposures = {
        i: near + [j for j in leading if j not in (i, *near)] for i, near in beside.co_exposures.items()
    }
    return replace(beside, co_exposures=co_exposures)


def _correlations(columns: Floats, count: int) -> npt.NDArray[np.float32]:
    """Correlation of each column with each of the first `count`; 0 with itself."""
    centred = columns - columns.mean(axis=0)
    return _products(centred / np.maximum(np.linalg.norm(centred, axis=0), 1e-12), count)


def _products(columns: Floats, count: int) -> npt.NDArray[np.float32]:
    """Inner product of each column with each of the first `count`; 0 with itself."""
    single = columns.astype(np.float32)
    products = single.T @ single[:, :count]
    np.fill_diagonal(products, 0)
    return np.asarray(products)
