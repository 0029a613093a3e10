"""Placebo test: move real exposures to other days and count how often the method reports an effect.

The share of placebos with p below alpha is the method's false-positive rate on exactly these data. It should be
alpha; a much larger share means that no verdict on these data can be trusted.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aurora_analysis.analysis.reader_impact import controls
from aurora_analysis.analysis.reader_impact.controls import Grid
from aurora_analysis.analysis.reader_impact.design import Design
from aurora_analysis.analysis.reader_impact.findings import Finding, findings
from aurora_analysis.analysis.reader_impact.groups import estimation_groups
from aurora_analysis.analysis.reader_impact.refusals import MINUTES_NEEDED
from aurora_analysis.analysis.series import Integers

REJECTED_MOST = 12.0
"""Share of rejected placebos above which every verdict on the data is refused [%]; 5 would be perfect."""

NAME = "\0placebo "
"""Prefix of a placebo's name: a real workload's cannot begin with NUL."""


def rejected_pct(design: Design, *, alpha: float, placebos: int, seed: int) -> dict[str, float]:
    """Share of placebos with p below alpha, by metric [%].

    Parameters
    ----------
    design : Design
        The design with the observed workloads, which stay controls of the placebos.
    alpha : float
        Level of the test.
    placebos : int
        How many placebos are made; 0 for none.
    seed : int
        Seed of the draw of workloads and days.

    Returns
    -------
    dict of str to float
        By metric; a metric whose placebos were all refused is absent.
    """
    if not placebos:
        return {}
    moved = with_placebos(design, placebos, seed)
    rejected: dict[str, list[bool]] = {str(name): [] for name in design.logs}
    for group in estimation_groups(moved):
        members = [i for i in group.members if moved.workloads[i].startswith(NAME)]
        for finding in findings(replace(group, members=members)):
            for metric, is_rejected in _rejections(finding, alpha):
                rejected[metric].append(is_rejected)
    return {metric: 100 * float(np.mean(found)) for metric, found in rejected.items() if found}


def _rejections(finding: Finding, alpha: float) -> list[tuple[str, bool]]:
    """Metric and rejection of each effect that was not refused."""
    if finding.fit is None:
        return []
    p = finding.fit.p()
    return [
        (metric, bool(p[m] < alpha)) for m, metric in enumerate(finding.metrics) if not finding.refused[m]
    ]


def with_placebos(design: Design, count: int, seed: int) -> Design:
    """Append placebos to a design: real exposures whose days are permuted within weekdays and weekends.

    Parameters
    ----------
    design : Design
        The design with the observed workloads.
    count : int
        Number of placebos.
    seed : int
        Seed of the draw of workloads and days.

    Returns
    -------
    Design
        The design with `count` more workloads; unchanged if no workload ran for long enough.
    """
    rng = np.random.default_rng(seed)
    enough = np.flatnonzero((design.exposed > 0).sum(axis=0) >= MINUTES_NEEDED)
    if not len(enough):
        return design
    sources = rng.choice(enough, count)
    moves = [swapped_days(design.grid, rng) for _ in sources]
    exposed, view_age, unknown = (
        np.column_stack([of, *(of[moved, i] for i, moved in zip(sources, moves))])
        for of in (design.exposed, design.view_age, design.unknown)
    )
    return replace(
        design,
        workloads=[*design.workloads, *(f"{NAME}{n}" for n in range(count))],
        exposed=exposed,
        view_age=view_age,
        unknown=unknown,
    )


def swapped_days(grid: Grid, rng: np.random.Generator) -> Integers:
    """Return for each minute the index of the same time on another day of its class; its own if that day lacks it.

    Parameters
    ----------
    grid : Grid
        The minutes.
    rng : numpy.random.Generator
        Source of the permutation.

    Returns
    -------
    numpy.ndarray, shape (minutes,)
        Index of a minute by minute. Weekdays are swapped with weekdays, and weekend days with weekend days.
    """
    clock = (grid.clock - grid.cut) % controls.DAY
    position = np.full((grid.day[-1] + 1, controls.DAY), -1)
    position[grid.day, clock] = np.arange(len(clock))
    weekend = np.bincount(grid.day, grid.weekend) > np.bincount(grid.day) / 2
    to = np.arange(len(weekend))
    for days in (np.flatnonzero(weekend), np.flatnonzero(~weekend)):
        to[days] = rng.permutation(days)
    found = position[to[grid.day], clock]
    return np.asarray(np.where(found >= 0, found, np.arange(len(clock))))
