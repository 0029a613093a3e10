"""Fit or refuse each workload of an estimation group, and fit the variants that test its assumptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from aurora_analysis.analysis.reader_impact import distribution, refusals, regressors
from aurora_analysis.analysis.reader_impact.design import Design, stack
from aurora_analysis.analysis.reader_impact.dose_response import DoseResponse, dose_response
from aurora_analysis.analysis.reader_impact.exposure_columns import exposure_columns, own_columns
from aurora_analysis.analysis.reader_impact.groups import (
    CO_EXPOSURES,
    EstimationGroup,
    Neighbours,
    estimation_groups,
)
from aurora_analysis.analysis.reader_impact.model import Fit, WorkloadModel
from aurora_analysis.analysis.series import Array
from aurora_analysis.analysis.statistics import adjusted

SIGN_ALPHA = 0.1
"""Variants are fitted where p is below this: the answer may become a yes. A variant whose own p is below this and whose
sign differs makes the effect unstable; a variant without a clear sign says nothing."""

LEADING_MOST = 20
"""Most workloads that seem to slow the writer and therefore are controls in every model."""

IGNORING_LENGTH = "ignoring run length"
EQUAL_CLOCKS = "as if all clocks agreed"
MEDIAN_LENGTH = "all runs of median length"
OUTSIDE_JOBS = "outside the writer's jobs"
BEFORE_START = ["shortly before the start", "longer before the start"]
"""The leads of the pre-trend test, listed with the variants: an effect before the start points to another cause."""


@dataclass(frozen=True)
class Finding:
    """Outcome of one workload in one estimation group: the fit, or why there is none.

    Attributes
    ----------
    workload : int
        The workload.
    metrics : list of str
        The metrics of the group.
    fit : Fit, optional
        The effect on each metric.
    not_assessed : dict of str to str
        Why there is too little data, by kind.
    refused : list of dict of str to str
        For each metric why the effect is not identifiable, by kind.
    unstable : list of str
        For each metric the variant that reverses the sign of the effect.
    average : Fit, optional
        The effect on the arithmetic mean of each metric [log].
    bad_minutes : Fit, optional
        The effect on how often a minute is bad, for each metric [log].
    dose : DoseResponse, optional
        How much of the effect grows with the history held, if an effect is likely and that history is known.
    """

    workload: int
    metrics: list[str]
    fit: Fit | None = None
    not_assessed: dict[str, str] = field(default_factory=dict)
    refused: list[dict[str, str]] = field(default_factory=list)
    unstable: list[str] = field(default_factory=list)
    average: Fit | None = None
    bad_minutes: Fit | None = None
    dose: DoseResponse | None = None


def findings(group: EstimationGroup) -> list[Finding]:
    """Fit or refuse each member of a group.

    Parameters
    ----------
    group : EstimationGroup
        Workloads and metrics that share valid minutes and controls.

    Returns
    -------
    list of Finding
        One per member.
    """
    lacking = {i: refusals.not_assessed(group, i) for i in group.members}
    refused = {i: refusals.not_identifiable(group, i) for i in group.members if not lacking[i]}
    fitted = [i for i in refused if not refused[i]]
    count = len(group.metrics)
    return [
        *(Finding(i, group.metrics, not_assessed=reason) for i, reason in lacking.items() if reason),
        *(Finding(i, group.metrics, refused=[refused[i]] * count) for i in refused if refused[i]),
        *(_finding(group, i, model) for i, model in group.models(fitted)),
    ]


def with_leading_effects(design: Design, beside: Neighbours) -> tuple[Design, Iterator[EstimationGroup]]:
    """Add the workloads that seem to move the writer as controls of all others, and cut the design into groups.

    Among many workloads the effects of the strongest are noise to all others, so a second fit controls
    for them. The first fit has only the co-exposures of each workload as controls.

    Parameters
    ----------
    design : Design
        The whole design.
    beside : Neighbours
        Result of `neighbours`.

    Returns
    -------
    tuple of Design and iterator of EstimationGroup
        The design with at most `LEADING_MOST` leading effects, strongest first; with none if every workload is a
        co-exposure of every other one anyway. Then its groups.
    """
    if design.real <= CO_EXPOSURES + 1:
        return design, estimation_groups(design, beside)
    p = np.ones(design.real)
    groups = 0
    for group in estimation_groups(design, beside):
        groups += 1
        for i, model in group.models(refusals.identifiable(group)):
            p[i] = min(p[i], np.nanmin(model.effect().p()))
    likely = adjusted(p.tolist()) <= SIGN_ALPHA
    led = replace(
        design,
        leading_effects=tuple(int(i) for i in np.argsort(p, kind="stable")[:LEADING_MOST] if likely[i]),
    )
    # The columns of one group are kept for the second fit; those of many would be too large together.
    return led, estimation_groups(led, beside, like=group if groups == 1 else None)


def variants(group: EstimationGroup, i: int, model: WorkloadModel) -> dict[str, Fit]:
    """Fits of the same effect under other assumptions, by the variant's name.

    Parameters
    ----------
    group : EstimationGroup
        The group that the workload belongs to.
    i : int
        The workload.
    model : WorkloadModel
        The workload's main model.

    Returns
    -------
    dict of str to Fit
        The variant outside the writer's jobs is absent if all or none of the exposure falls into a job.
    """
    exposed = group.exposed(i)
    in_job = _in_any_job(group.design.writer_jobs, exposed)
    beside_jobs = 0 < in_job.sum() < exposed.sum()
    by_job = [exposed - in_job, in_job] if beside_jobs else []
    shares = np.column_stack([*regressors.of_median_length(exposed), *by_job])
    each = range(shares.shape[1])
    columns = exposure_columns(
        group.design, shares, regressors.unbroken_age(shares), each, group.valid, group.projection
    ).beside(own_columns(shares, each, group.valid, group.projection), len(each))
    varied = group.model_of(i, columns, group.y)
    of_median, beyond, *of_jobs = (regressors.OWN_COLUMNS * n for n in each)
    exposure = [regressors.EXPOSED, *regressors.CLOCK]
    fits = {
        IGNORING_LENGTH: model.effect([*exposure, regressors.CARRYOVER]),
        EQUAL_CLOCKS: model.effect(regressors.EFFECT),
        MEDIAN_LENGTH: varied.effect(
            [of_median + n for n in regressors.OWN_EFFECT],
            alongside=[beyond + n for n in regressors.OWN_EFFECT],
        ),
    }
    if beside_jobs:
        outside, inside = of_jobs
        own = [outside + n for n in regressors.OWN_EFFECT]
        fits[OUTSIDE_JOBS] = varied.effect(own, alongside=[inside + n for n in exposure])
    return fits


def _finding(group: EstimationGroup, i: int, model: WorkloadModel) -> Finding:
    count = len(group.metrics)
    on_all = model.effect_on_all()
    fit = on_all.of(slice(count))
    exposed = group.relative[group.exposed(i)[group.valid] > 0].mean(axis=0, dtype=float)
    relative = distribution.relative_effect(on_all.of(slice(count, None)), exposed)
    return Finding(
        i,
        group.metrics,
        fit,
        refused=refusals.pre_trends(model.pre_trend()),
        unstable=_sign_changes(group, i, model, fit),
        average=relative.of(slice(count)),
        bad_minutes=relative.of(slice(count, None)),
        dose=dose_response(group, i) if (fit.p() < SIGN_ALPHA).any() else None,
    )


def _sign_changes(group: EstimationGroup, i: int, model: WorkloadModel, fit: Fit) -> list[str]:
    """Find for each metric the first variant that clearly reverses the sign of a significant effect."""
    significant = fit.p() < SIGN_ALPHA
    if not significant.any():
        return ["" for _ in group.metrics]
    reversing = {
        name: (other.effect * fit.effect < 0) & (other.p() < SIGN_ALPHA)
        for name, other in variants(group, i, model).items()
    }
    return [
        next((name for name, at in reversing.items() if clear and at[m]), "")
        for m, clear in enumerate(significant)
    ]


def _in_any_job(jobs: Mapping[str, Array], exposed: Array) -> Array:
    """Exposure that falls into any of the writer's jobs."""
    return np.asarray(exposed * np.any(stack(list(jobs.values()), len(exposed)) > 0, axis=1))
