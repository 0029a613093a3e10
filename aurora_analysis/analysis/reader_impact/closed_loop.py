"""Effects that include the fall of throughput, for clients that wait for their answers.

Where clients wait, a slower writer receives fewer statements: throughput falls because latency rose. Load is then
partly a consequence of the effect, and holding it constant hides a part of the effect. The total effect does not hold
load constant. It is the right one only where throughput falls with the workload: where load rises with a workload that
is launched by load, it would blame the workload for that load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aurora_analysis.analysis.reader_impact import refusals
from aurora_analysis.analysis.reader_impact.design import Design
from aurora_analysis.analysis.reader_impact.findings import SIGN_ALPHA, Finding
from aurora_analysis.analysis.reader_impact.groups import Neighbours, estimation_groups
from aurora_analysis.analysis.reader_impact.model import Fit
from aurora_analysis.analysis.series import Array

THROUGHPUT = "\0throughput"
"""Name of the outcome; a metric's cannot begin with NUL."""

FALLS_ALPHA = 0.01
"""Throughput falls if p of its effect is at most this: chance alone must seldom change what is estimated."""

ALL_UP_TO = 60
"""Among more workloads, only those with an effect at equal load of p below `SIGN_ALPHA` get a total effect."""


@dataclass(frozen=True)
class Total:
    """Effect of a workload without holding load constant.

    Attributes
    ----------
    throughput : Fit
        Effect on the writer's write throughput [log].
    latency : dict of str to Fit
        Effect on each metric [log].
    """

    throughput: Fit
    latency: dict[str, Fit]

    def applies(self, metric: str, at_equal_load: Fit) -> bool:
        """Return whether the total effect is the answer: throughput falls, and holding it constant hides a part.

        Parameters
        ----------
        metric : str
            The latency.
        at_equal_load : Fit
            Its effect with load held constant.

        Returns
        -------
        bool
            False if throughput does not clearly fall.
        """
        falls = bool(self.throughput.effect[0] < 0 and self.throughput.p()[0] <= FALLS_ALPHA)
        return (
            falls
            and metric in self.latency
            and bool(self.latency[metric].effect[0] > at_equal_load.effect[0])
        )


def totals(design: Design, found: Sequence[Finding], beside: Neighbours) -> dict[int, Total]:
    """Total effect of each workload that has an effect at equal load, or of all if they are few.

    Parameters
    ----------
    design : Design
        The whole design.
    found : sequence of Finding
        The effects at equal load.
    beside : Neighbours
        Result of `groups.neighbours`.

    Returns
    -------
    dict of int to Total
        By workload; refused workloads are absent.
    """
    wanted = {one.workload for one in found if one.fit is not None and _may_matter(design, one.fit)}
    if not wanted:
        return {}
    known = ~np.isnan(design.logs).all(axis=1)
    logs = design.logs.assign(**{THROUGHPUT: np.where(known, _log_load(design.load), np.nan)})
    throughput: dict[int, Fit] = {}
    latency: dict[int, dict[str, Fit]] = {i: {} for i in wanted}
    for group in estimation_groups(replace(design, logs=logs, load_held=False), beside, among=wanted):
        for i, model in group.models(refusals.identifiable(group)):
            fit = model.effect()
            for m, metric in enumerate(group.metrics):
                if metric == THROUGHPUT:
                    throughput[i] = fit.of(slice(m, m + 1))
                else:
                    latency[i][metric] = fit.of(slice(m, m + 1))
    return {i: Total(fit, latency[i]) for i, fit in throughput.items()}


def _may_matter(design: Design, fit: Fit) -> bool:
    return design.real <= ALL_UP_TO or bool((fit.p() < SIGN_ALPHA).any())


def _log_load(load: Array) -> Array:
    """Log of the load; nearly no load counts as a hundredth of the mean."""
    return np.asarray(np.log(np.maximum(load, 0.01 * np.nanmean(load))))
