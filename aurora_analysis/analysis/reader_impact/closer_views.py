"""Look closer at an effect: under other assumptions, by quantile, and around starts and ends.

The models are those of `effects`, with the same controls; a workload whose effect was refused has no rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from aurora_analysis.analysis.reader_impact import event_study, regressors
from aurora_analysis.analysis.reader_impact.design import Design
from aurora_analysis.analysis.reader_impact.findings import BEFORE_START, variants, with_leading_effects
from aurora_analysis.analysis.reader_impact.groups import EstimationGroup, neighbours
from aurora_analysis.analysis.reader_impact.model import Fit, WorkloadModel
from aurora_analysis.analysis.reader_impact.projection import Floats
from aurora_analysis.analysis.reader_impact.refusals import identifiable
from aurora_analysis.analysis.series import Array
from aurora_analysis.errors import Error

SENSITIVITY_COLUMNS = ["workload", "metric", "variant", "effect_pct", "ci_low_pct", "ci_high_pct", "p"]
"""Columns of `sensitivity`."""


def sensitivity(design: Design, *, alpha: float = 0.05) -> pd.DataFrame:
    """Effects under other assumptions [%].

    Answers: is the result sensitive to our assumptions? The variants: ignoring run length (without the dose); as if
    the log and the metrics had one clock; only runs outside the writer's jobs; all runs of median length (slow storage can make a run long); and the pre-trend
    shortly and longer before the start, where there can be no effect.

    Parameters
    ----------
    design : Design
        The inputs on one grid of minutes.
    alpha : float
        The intervals cover 1 - alpha.

    Returns
    -------
    pandas.DataFrame
        One row per workload, metric and variant with `SENSITIVITY_COLUMNS`; refused workloads have none.
    """
    rows = [
        (design.workloads[i], metric, name, *fit.percent(m, alpha))
        for group, i, model in _models(design)
        for name, fit in (variants(group, i, model) | dict(zip(BEFORE_START, model.pre_trend()))).items()
        for m, metric in enumerate(group.metrics)
    ]
    return pd.DataFrame(rows, columns=SENSITIVITY_COLUMNS)


QUANTILE_COLUMNS = ["workload", "metric", "quantile", "effect_pct", "ci_low_pct", "ci_high_pct", "p"]
"""Columns of `quantile_effects`."""


def quantile_effects(
    design: Design, *, quantiles: Sequence[float] = (0.5, 0.95, 0.99), alpha: float = 0.05
) -> pd.DataFrame:
    """Shift of quantiles of the minute means while a workload runs, everything else held constant [%].

    Answers: did the bad minutes get worse? CloudWatch reports the mean of each minute, so this is the p95 of minute
    means, not of statements.

    Parameters
    ----------
    design : Design
        The inputs on one grid of minutes.
    quantiles : sequence of float
        Between 0 and 1.
    alpha : float
        The intervals cover 1 - alpha.

    Returns
    -------
    pandas.DataFrame
        One row per workload, metric and quantile with `QUANTILE_COLUMNS`; refused workloads have none.

    Raises
    ------
    Error
        If a quantile is not between 0 and 1.

    Notes
    -----
    The estimate is the difference between exposed and unexposed minutes. Its error comes from the recentred
    influence function (Firpo, Fortin & Lemieux 2009, Unconditional quantile regressions, Econometrica 77) with the
    day blocks of `effects`.
    """
    if not len(quantiles) or not all(0 < q < 1 for q in quantiles):
        raise Error(f"quantiles are {list(quantiles)}: each must be between 0 and 1, such as 0.95.")
    rows = [
        (design.workloads[i], metric, q, *fit.percent(0, alpha))
        for group, i, model in _models(design)
        for (metric, q), fit in _quantile_fits(group, i, model, quantiles).items()
    ]
    return pd.DataFrame(rows, columns=QUANTILE_COLUMNS)


ALIGNED_COLUMNS = ["workload", "metric", *event_study.COLUMNS]
"""Columns of `event_aligned`."""


def event_aligned(design: Design, *, alpha: float = 0.05) -> pd.DataFrame:
    """Latency around each workload's starts and ends, everything else held constant [%].

    Answers: does latency rise with the workload and fall after it?

    Parameters
    ----------
    design : Design
        The inputs on one grid of minutes.
    alpha : float
        The intervals cover 1 - alpha.

    Returns
    -------
    pandas.DataFrame
        `event_study.aligned` for each workload and metric, with `ALIGNED_COLUMNS`; refused workloads have no rows.
    """
    frames = [
        frame.assign(workload=design.workloads[i])
        for group, i, model in _models(design)
        for frame in _aligned(group, i, model, alpha)
    ]
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=ALIGNED_COLUMNS)
    return found[ALIGNED_COLUMNS]


def _models(design: Design) -> Iterator[tuple[EstimationGroup, int, WorkloadModel]]:
    """Models of the workloads that are not refused, with the same controls as in `effects`."""
    _, groups = with_leading_effects(design, neighbours(design))
    for group in groups:
        for i, model in group.models(identifiable(group)):
            yield group, i, model


def _quantile_fits(
    group: EstimationGroup, i: int, model: WorkloadModel, quantiles: Sequence[float]
) -> dict[tuple[str, float], Fit]:
    """Shifts of quantiles of log latency, with the error of their recentred influence function.

    The influence is taken at the quantile that exposed and unexposed minutes share once the shift is removed: with
    the shift in it, it would not be local.
    """
    raw = _raw_columns(group, i)
    exposed = raw[:, regressors.EXPOSED] > 0
    free = (raw[:, regressors.EXPOSED] == 0) & (raw[:, regressors.CARRYOVER] == 0)
    # Outliers are pulled in for means only: a quantile bears them, and they are what its tail shows.
    logs = group.design.logs[group.metrics].to_numpy()[group.valid]
    alone = _workload_alone(group, i, model, raw, group.projection.residuals(logs).values)
    cells = [(m, q) for m in range(len(group.metrics)) for q in quantiles]
    shifts = [np.quantile(alone[exposed, m], q) - np.quantile(alone[free, m], q) for m, q in cells]
    influence = [_influence(alone[:, m] - shift * exposed, q) for (m, q), shift in zip(cells, shifts)]
    outcome = group.projection.residuals(np.column_stack(influence))
    fit = group.model_of(i, group.own([i]), outcome).effect()
    return {
        (group.metrics[m], q): Fit(np.array([shift]), fit.error[[n]], fit.df)
        for n, ((m, q), shift) in enumerate(zip(cells, shifts))
    }


def _aligned(group: EstimationGroup, i: int, model: WorkloadModel, alpha: float) -> Iterator[pd.DataFrame]:
    """Effect of the workload alone on each metric, around its starts and ends."""
    exposed, day = group.exposed(i), group.design.grid.day
    alone = np.full((len(exposed), len(group.metrics)), np.nan)
    alone[group.valid] = _workload_alone(group, i, model, _raw_columns(group, i), group.y.values)
    for metric, logs in zip(group.metrics, alone.T):
        yield event_study.aligned(logs, exposed, day, alpha=alpha).assign(metric=metric)


def _raw_columns(group: EstimationGroup, i: int) -> Array:
    """A workload's own columns on the valid minutes, controls not removed."""
    clock = regressors.shifted(group.design.exposed[:, [i]])[group.valid]
    return np.column_stack([group.design.columns([i], group.valid), clock])


def _workload_alone(
    group: EstimationGroup, i: int, model: WorkloadModel, raw: Array, unexplained: Floats
) -> Array:
    """Log latency if only the workload and noise had moved it; `unexplained` is log latency with the controls removed.

    The part of the effect that the controls absorb because they resemble the exposure is added back.
    """
    kept = model.kept()
    coefficients = model.products.coefficients(kept)[:, : len(group.metrics)]
    own = kept[kept < regressors.OWN_COLUMNS]
    co_exposures = group.columns.residuals.select(group.co_exposure_columns(i))
    residuals = group.own([i]).residuals.select(own).beside(co_exposures).values
    return np.asarray(unexplained - residuals @ coefficients + raw[:, own] @ coefficients[: len(own)])


def _influence(y: Array, q: float) -> Array:
    """Recentred influence function of a quantile: quantile + (q - 1{y <= quantile}) / density there."""
    at = np.quantile(y, q)
    spread = min(y.std(), np.subtract(*np.quantile(y, [0.75, 0.25])) / 1.349)
    width = max(0.9 * spread * len(y) ** -0.2, 1e-9)
    density = np.exp(-(((y - at) / width) ** 2) / 2).mean() / (
        np.sqrt(2 * np.pi) * width
    )  # of a normal kernel
    return np.asarray(at + (q - (y <= at)) / density)
