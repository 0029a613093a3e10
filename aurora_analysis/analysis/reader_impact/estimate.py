"""Estimate whether a reader workload slowed the writer, by how much, and with what certainty.

The writer's log latency of each minute is regressed on what moves it anyway (`controls`) and on the workload's
exposure, its dose (undo that purge could not clean up during the run) and its carry-over (the half hour after it).
The effect is the mean fitted effect over exposed minutes (the average treatment effect on the treated), at the load
that the writer had. Its standard error comes from leaving out one day after another (`model`): minutes are correlated
and runs are few, which is why correlation and t-tests see effects that do not exist.

Before any yes or no the data must be able to answer (`refusals`). A workload that always runs with the nightly batch,
at the same minute, or right after the writer became slow is refused, and the refusal names the reason. Anything that
always starts together with the workload and leaves no trace in the data cannot be separated from it by statistics;
only moving the workload on random days can (`aurora-analysis experiment`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis.analysis.effect_level import LEVELS, SLOWER, effect_level
from aurora_analysis.analysis.reader_impact import (
    closed_loop,
    dose_response,
    hidden_cause,
    placebo,
    regressors,
    sentences,
)
from aurora_analysis.analysis.reader_impact.design import Design
from aurora_analysis.analysis.reader_impact.findings import Finding, findings, with_leading_effects
from aurora_analysis.analysis.reader_impact.groups import neighbours
from aurora_analysis.analysis.reader_impact.model import Fit
from aurora_analysis.analysis.reader_impact.sentences import EffectRow
from aurora_analysis.analysis.series import Array
from aurora_analysis.analysis.statistics import adjusted, detectable, false_coverage_alpha
from aurora_analysis.errors import Error

POOLED = ["log_effect", "log_error", "average_log_effect", "average_log_error", "df"]
"""Columns of `effects` that `trend` pools over weeks: no adjustment for the number of tests, no choice of basis."""

COLUMNS = [
    "workload",
    "metric",
    "level",
    "effect_pct",
    "ci_low_pct",
    "ci_high_pct",
    "alone_low_pct",
    "alone_high_pct",
    "p",
    "p_adjusted",
    "runs",
    "exposed_minutes",
    "days",
    "average_effect_pct",
    "average_low_pct",
    "average_high_pct",
    "bad_minutes",
    "throughput_pct",
    "at_equal_load_pct",
    "tests",
    "smallest_detectable_pct",
    "placebo_reject_pct",
    "reason",
    "sentence",
    "action",
    "hidden_cause",
    "basis",
    "incomplete",
    *dose_response.COLUMNS,
    *POOLED,
]
"""Columns of `effects`."""

IN_TAIL = 1.5
"""An effect is in the tail if that on the average minute is at least this many times that on the typical one."""

LIMITS = ["ci_low_pct", "ci_high_pct", "alone_low_pct", "alone_high_pct"]

AVERAGE = ["average_effect_pct", "average_low_pct", "average_high_pct"]

NUMBERS = [
    "effect_pct",
    *LIMITS,
    *AVERAGE,
    "bad_minutes",
    "throughput_pct",
    "at_equal_load_pct",
    "p",
    "p_adjusted",
    "smallest_detectable_pct",
    *dose_response.COLUMNS,
    *POOLED,
]


def effects(
    design: Design,
    *,
    materiality_pct: float = 5.0,
    alpha: float = 0.05,
    placebos: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Effect of each workload on each of the writer's latencies while it runs [%], or why there is none.

    Answers: did this reader workload slow the writer?

    Parameters
    ----------
    design : Design
        The inputs on one grid of minutes.
    materiality_pct : float
        Smallest effect that matters [%].
    alpha : float
        Level of the tests; intervals cover 1 - alpha.
    placebos : int
        Number of real exposures that are moved to other days to measure how often the method is wrong.
    seed : int
        Seed of the placebos.

    Returns
    -------
    pandas.DataFrame
        One row per workload and metric with `COLUMNS`: the level (`effect_level`), the effect with its printed interval
        and that of this effect by itself [%], p and p adjusted by Benjamini & Hochberg over the rows that were not
        refused, runs, exposed minutes, days with runs, the effect on the arithmetic mean with its interval [%], how
        many times as frequent bad minutes are, the fall of throughput and the effect at equal load if clients seem to
        wait for their answers [%], how many tests the interval is adjusted for, the smallest effect that is found with 80 % power [%], the
        share of placebos with p below alpha [%], the reason, the sentence and the action that follow from them, how
        strong a hidden cause would have to be, which minute the effect is on (`typical` or `average`), why a part of
        the effect may have counted as none, how much of the effect grows with the history held and how much does not (`dose_response`), and both effects
        with their standard errors [log] and degrees of freedom, unadjusted. A refused row has no numbers, because they would be read.

    Raises
    ------
    Error
        If an option is out of range.

    Notes
    -----
    An interval agrees with the adjusted p-value beside it (`statistics.false_coverage_alpha`). The interval of
    `no material effect` is that of this effect by itself, because the level is judged by it. The effect is that on the
    typical minute (mean of log latency) at equal load; that on the arithmetic mean (`distribution`) where it blames the
    workload more; that without holding load constant (`closed_loop`) where throughput falls.
    """
    _check_options(alpha, materiality_pct, placebos)
    estimated = list(
        _estimated(design, alpha, placebo.rejected_pct(design, alpha=alpha, placebos=placebos, seed=seed))
    )
    return _table(_together(design, estimated, materiality_pct, alpha))


def effects_of_each_metric_alone(
    design: Design, *, materiality_pct: float = 5.0, alpha: float = 0.05
) -> pd.DataFrame:
    """Effects as separate reports on each metric would state them, at the cost of one.

    Parameters
    ----------
    design : Design
        The inputs on one grid of minutes. Every metric must have values in the same minutes.
    materiality_pct : float
        Smallest effect that matters [%].
    alpha : float
        Level of the tests; intervals cover 1 - alpha.

    Returns
    -------
    pandas.DataFrame
        The frame of `effects`, with p-values adjusted over the workloads of one metric only.
    """
    _check_options(alpha, materiality_pct, 0)
    estimated = list(_estimated(design, alpha, {}))
    return _table(
        row
        for metric in design.logs
        for row in _together(
            design, [one for one in estimated if one.metric == metric], materiality_pct, alpha
        )
    )


def _estimated(design: Design, alpha: float, rejected: dict[str, float]) -> Iterator[EffectRow]:
    """Estimate of each workload and metric, before those that stand in one report are judged together."""
    beside = neighbours(design)
    led, groups = with_leading_effects(design, beside)
    found = [finding for group in groups for finding in findings(group)]
    with_load = closed_loop.totals(led, found, beside)
    for finding in found:
        for row in _rows(design, finding, rejected, alpha):
            yield _with_total(row, with_load.get(finding.workload))


def _together(
    design: Design, rows: list[EffectRow], materiality_pct: float, alpha: float
) -> Iterator[dict[str, Any]]:
    """Judge the rows of one report, as plain data."""
    averages = _adjusted([_average(row) for row in rows], alpha)
    for pair in zip(_adjusted(rows, alpha), averages):
        yield _judged(design, _weightier(*pair, materiality_pct), materiality_pct)


def _table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(NUMBERS, float))
    return table.sort_values(["workload", "metric"], ignore_index=True)


def _check_options(alpha: float, materiality_pct: float, placebos: int) -> None:
    if not 0 < alpha < 1:
        raise Error(f"alpha is {alpha}: it must be between 0 and 1, such as 0.05 for 95 % intervals.")
    if not materiality_pct > 0:
        raise Error(f"materiality_pct is {materiality_pct}: it must be above 0, such as 5 for 5 %.")
    if placebos < 0:
        raise Error(f"placebos is {placebos}: it must be a number of placebos, or 0 for none.")


def _rows(design: Design, finding: Finding, rejected: dict[str, float], alpha: float) -> Iterator[EffectRow]:
    """One row per metric."""
    exposed = design.exposed[:, finding.workload]
    row = EffectRow(
        workload=design.workloads[finding.workload],
        metric="",
        runs=len(regressors.run_lengths(exposed)),
        exposed_minutes=round(float(exposed.sum())),
        days=len(np.unique(design.grid.blocks()[exposed > 0])),
        window=design.grid.dates(),
        placebo_reject_pct=np.nan,
        not_assessed=finding.not_assessed,
        refused={},
        incomplete=_incomplete(exposed),
    )
    for m, metric in enumerate(finding.metrics):
        of_metric = replace(
            row,
            metric=metric,
            placebo_reject_pct=rejected.get(metric, np.nan),
            refused=_refused(finding, m, rejected.get(metric, 0.0), alpha),
        )
        yield _with_numbers(of_metric, finding, m, alpha)


def _incomplete(exposed: Array) -> str:
    """Why a part of the effect may have counted as none; empty if it cannot."""
    reach, cut_short = regressors.carryover_minutes(exposed)
    if not cut_short:
        return ""
    return (
        f"its runs are so close together that the part of an effect that lasts more than {reach} minutes after a run "
        "is not measured"
    )


def _refused(finding: Finding, m: int, placebo_reject_pct: float, alpha: float) -> dict[str, str]:
    """Why the effect on one metric is refused, with the data's placebo test."""
    refused = finding.refused[m] if finding.refused else {}
    if placebo_reject_pct <= placebo.REJECTED_MOST:
        return refused
    share, expected = f"{placebo_reject_pct:.0f} %", f"{100 * alpha:.0f} %"
    return refused | {
        "placebo": f"on these data {share} of placebo tests report an effect, where {expected} are expected"
    }


def _with_numbers(row: EffectRow, finding: Finding, m: int, alpha: float) -> EffectRow:
    """The row with its numbers, unless it was refused: numbers of a refused row would be read."""
    if finding.fit is None or row.refused:
        return row
    here = slice(m, m + 1)
    return replace(
        _of_fit(row, finding.fit.of(here)),
        unstable=finding.unstable[m],
        average=finding.average.of(here) if finding.average else None,
        bad_minutes=finding.bad_minutes.factor(m) if finding.bad_minutes else np.nan,
        parts=finding.dose.percents(m, alpha) if finding.dose else {},
    )


def _of_fit(row: EffectRow, fit: Fit) -> EffectRow:
    """The row with the numbers of a fit."""
    return replace(row, fit=fit, effect_pct=fit.effect_pct(0), p=float(fit.p()[0]))


def _with_total(row: EffectRow, total: closed_loop.Total | None) -> EffectRow:
    """The row with the effect that includes the fall of throughput, where clients wait for their answers."""
    if row.fit is None or total is None or not total.applies(row.metric, row.fit):
        return row
    fell = replace(
        row,
        at_equal_load_pct=row.effect_pct,
        throughput_pct=total.throughput.effect_pct(0),
    )
    return _of_fit(fell, total.latency[row.metric])


def _average(row: EffectRow) -> EffectRow:
    """The row with the effect on the arithmetic mean; without numbers if there is none."""
    if row.fit is None or row.average is None or np.isnan(row.average.effect[0]):
        return replace(row, fit=None, p=np.nan, effect_pct=np.nan)
    averaged = _of_fit(row, row.average)
    return replace(averaged, fit=row.fit, basis="average")


def _weightier(typical: EffectRow, average: EffectRow, materiality_pct: float) -> EffectRow:
    """The effect on the average minute if it is in the tail and blames the workload no less; else on the typical one."""
    order = list(LEVELS)
    of_typical, of_average = (
        effect_level(row.effect(), materiality_pct=materiality_pct, alpha=row.alpha)
        for row in (typical, average)
    )
    in_tail = average.effect_pct >= IN_TAIL * typical.effect_pct
    if average.basis == "average" and of_average in SLOWER and in_tail and not average.unstable:
        return min((average, of_average), (typical, of_typical), key=lambda one: order.index(one[1]))[0]
    return typical


def _adjusted(rows: list[EffectRow], alpha: float) -> Iterator[EffectRow]:
    """The rows with what depends on all of them: adjusted p-values, intervals and power."""
    p = [row.p for row in rows]
    level, tests = false_coverage_alpha(p, alpha), int(np.count_nonzero(~np.isnan(p)))
    for row, p_adjusted in zip(rows, adjusted(p)):
        if row.fit is None:
            yield row
            continue
        fit = row.average if row.basis == "average" and row.average else row.fit
        least = detectable(float(fit.error[0]), fit.df, level)
        yield replace(
            row,
            alpha=alpha,
            tests=tests,
            p_adjusted=float(p_adjusted),
            interval=fit.percent(0, level)[1:3],
            interval_alone=fit.percent(0, alpha)[1:3],
            smallest_detectable_pct=float(100 * np.expm1(least)),
        )


def _judged(design: Design, row: EffectRow, materiality_pct: float) -> dict[str, Any]:
    """The row of `effects` as plain data, with level, reason and sentence."""
    level = effect_level(row.effect(), materiality_pct=materiality_pct, alpha=row.alpha)
    row = row.as_printed(level)
    average = row.average.percent(0, row.alpha)[:3] if row.average else [np.nan] * 3
    limits = dict(zip([*LIMITS, *AVERAGE], (*row.interval, *row.interval_alone, *average)))
    return (
        vars(row)
        | limits
        | dict(row.parts)
        | _pooled(row)
        | {
            "level": level,
            "reason": sentences.reason(row, level),
            "sentence": sentences.sentence(row, level, materiality_pct),
            "action": sentences.action(row, level),
            "hidden_cause": _hidden_cause(design, row) if level in SLOWER else "",
        }
    )


def _pooled(row: EffectRow) -> dict[str, float]:
    """Effects on the typical and on the average minute with their standard errors [log], as one week of many."""
    return {
        f"{prefix}log_{name}": float(getattr(fit, name)[0]) if fit else np.nan
        for prefix, fit in (("", row.fit), ("average_", row.average))
        for name in ("effect", "error")
    } | {"df": row.fit.df if row.fit else np.nan}


def _hidden_cause(design: Design, row: EffectRow) -> str:
    """Compute how strong a hidden event would have to be to explain the effect."""
    exposed = design.exposed[:, design.workloads.index(row.workload)]
    job = hidden_cause.strongest_job(design.writer_jobs, design.logs[row.metric].to_numpy(), exposed)
    return hidden_cause.sentence(row.interval[0], row.metric, job)
