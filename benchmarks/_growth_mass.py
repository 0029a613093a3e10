"""The earlier rule, which `benchmarks/attribution.py` compares with: match the implied start of the view with starts of runs.

It assumes one number of history entries per transaction for the whole window, and does not prefer older statements.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis.analysis.series import GAP, Array, Integers, Mask, period_s, seconds, stretches

NONE, UNKNOWN = -1, -2
"""Labels of a sample without an identified run: only short views are open, or an unidentified session holds purge."""

# Lengths of time are in sampling periods, so that one-second and one-minute samples are treated alike.
TOLERANCE = 1.5
"""Largest plain difference between the implied start and a run's start [periods]."""
TOLERANCE_OF_AGE = 0.15
"""Additional difference per period of the view's age at the estimate: the entries per transaction drift."""
JUMP = 3.0
"""A step of the implied start from which another view holds purge; below, the same view continues [periods]."""
YOUNG = 10
"""Number of first samples of a hold that estimate the view's start, before the entries per transaction drift."""
SHORTEST_RUN = 5
"""Shorter runs span too few samples to be distinguished [periods]."""
OUTLIVES = 1.8
"""How long a transaction may stay open after its statement, in median runs."""

# Costs are in units of the tolerance.
UNKNOWN_COST = 1.5
"""A run whose start differs by more is a worse explanation than an unidentified session."""
ENDED_COST = 0.6
"""A statement that has ended explains less well: its transaction would have to be open and idle."""
UNLIKELY_COST = 1.0
"""Handicap of a statement whose other runs held no view, if two runs began together."""
FALLING_COST = 0.75
"""Upper limit of the cost of no holder while the history list falls: purge is working, so no view holds it."""
SWITCH_COST = 6.0
"""Cost of a change of holder, because holders do not change with every sample."""


def labels(history: pd.Series, transactions: pd.Series, runs: pd.DataFrame) -> Integers:
    """Holder of each sample: a row of `runs`, NONE or UNKNOWN."""
    samples = _samples(history, transactions)
    candidates = _runs(runs, samples)
    start = samples.view_start(samples.per_transaction())
    label = _attributed(samples, start, candidates)
    label = _attributed(samples, start, candidates.reweighted(label))
    return np.where(label >= 0, candidates.labels.to_numpy(dtype=int)[label], label)


@dataclass(frozen=True)
class _Samples:
    """History list and transactions at the same samples; `x` is the time in periods since the first sample."""

    times: pd.DatetimeIndex
    x: Array
    history: Array
    committed: Array
    period_s: float

    @property
    def base(self) -> float:
        """History list while purge keeps up [transactions]."""
        return float(np.quantile(self.history, 0.1))

    def periods(self, times: pd.Series) -> Array:
        return (seconds(times) - seconds(self.times[:1])) / self.period_s

    def view_start(self, per_transaction: float) -> Array:
        """Implied start of the oldest view at each sample; the mean rate applies before the first sample."""
        counted = self.committed - np.clip(self.history - self.base, 0, None) / per_transaction
        rate = (self.committed[-1] - self.committed[0]) / max(self.x[-1], 1)
        before = (counted - self.committed[0]) / max(rate, 1e-9)
        return np.where(before < 0, before, np.interp(counted, self.committed, self.x))

    def per_transaction(self) -> float:
        """Most common growth per transaction, from five-sample steps that exceed the noise."""
        before, after = self.history[:-SHORTEST_RUN], self.history[SHORTEST_RUN:]
        grown, counted = after - before, self.committed[SHORTEST_RUN:] - self.committed[:-SHORTEST_RUN]
        together = (self.x[SHORTEST_RUN:] - self.x[:-SHORTEST_RUN]) < GAP * SHORTEST_RUN
        usable = together & (counted > 0) & (grown > 5 * self.noise() * np.hypot(before, after))
        usable &= after > 10 * self.base
        return float(np.exp(_mode(np.log(grown[usable] / counted[usable])))) if usable.any() else 1.0

    def noise(self) -> float:
        """Relative noise of a long history list: how far samples lie off the line between their neighbours."""
        middle, around = self.history[1:-1], (self.history[:-2] + self.history[2:]) / 2
        long = middle > 10 * self.base
        if not long.any():
            return 0.0
        return float(np.median(np.abs(middle - around)[long] / middle[long]) / (0.6745 * np.sqrt(1.5)))

    def jump(self) -> Array:
        """Smallest step that counts as a jump of the implied start, at each sample; noise raises it."""
        rate = np.median(np.diff(self.committed) / np.diff(self.x)) * self.per_transaction()
        return JUMP + 2 * self.noise() * self.history / max(rate, 1e-9)

    def falling(self) -> Mask:
        """Flag samples at which purge removes entries, by the median slope over five samples."""
        slopes = pd.Series(np.gradient(self.history, self.x)).rolling(5, center=True, min_periods=1).median()
        return np.asarray(slopes < -0.1 * np.quantile(np.abs(slopes), 0.9))


def _samples(history: pd.Series, transactions: pd.Series) -> _Samples:
    history, transactions = history.dropna().sort_index(), transactions.dropna().sort_index()
    times = pd.DatetimeIndex(history.index)
    x, period = seconds(times), period_s(times)
    counted = np.interp(x, seconds(transactions.index), transactions.to_numpy(dtype=float))
    return _Samples(times, (x - x[0]) / period, history.to_numpy(dtype=float), counted, period)


@dataclass(frozen=True)
class _Runs:
    """Statements long enough to be distinguished; times in periods since the first sample."""

    labels: pd.Index
    digests: npt.NDArray[np.object_]
    start: Array
    end: Array
    unlikely: Array = field(repr=False)

    @property
    def outlived(self) -> Array:
        """Latest end of each statement's transaction."""
        return self.end + OUTLIVES * (np.median(self.end - self.start) if len(self.start) else 0)

    def reweighted(self, label: Integers) -> _Runs:
        """Raise the cost of runs whose statement's other runs rarely blocked purge in the first pass."""
        held = pd.Series(np.bincount(label[label >= 0], minlength=len(self.start)) >= SHORTEST_RUN)
        by_digest = held.groupby(self.digests)
        share = (by_digest.transform("sum") + 1) / (by_digest.transform("size") + 2)
        return replace(self, unlikely=UNLIKELY_COST * (share.max() - share).to_numpy(dtype=float))

    def near(self, first: float, last: float) -> Integers:
        return np.flatnonzero((self.start <= last + 1) & (self.outlived >= first))


def _runs(runs: pd.DataFrame, samples: _Samples) -> _Runs:
    start, end = samples.periods(runs["start"]), samples.periods(runs["end"])
    kept = (end - start >= SHORTEST_RUN) & (start < samples.x[-1]) & (end > samples.x[0])
    digests = runs["digest"].to_numpy(dtype=object) if "digest" in runs else np.full(len(runs), "")
    return _Runs(runs.index[kept], digests[kept], start[kept], end[kept], np.zeros(kept.sum()))


def _attributed(samples: _Samples, view_start: Array, runs: _Runs) -> Integers:
    """Cheapest explanation of each sample: a run's position, NONE or UNKNOWN."""
    label = np.full(len(view_start), NONE)
    falling, jump = samples.falling(), samples.jump()
    for first, last in _busy(samples, view_start):
        part = slice(first, last)
        x, start = samples.x[part], view_start[part]
        candidates = runs.near(x[0], x[-1])
        costs = np.column_stack(
            [
                _cost_of_no_holder(x, start, falling[part]),
                np.full(last - first, UNKNOWN_COST),
                _costs_of_runs(x, *_early_estimates(x, start, jump[part]), runs, candidates),
            ]
        )
        label[part] = np.concatenate([[NONE, UNKNOWN], candidates])[_cheapest_path(costs)]
    return label


def _busy(samples: _Samples, view_start: Array) -> Iterator[tuple[int, int]]:
    """Yield stretches with a view old enough to have a holder, with a margin; gaps separate stretches."""
    old = samples.x - view_start > TOLERANCE * UNKNOWN_COST
    around = np.convolve(old, np.ones(2 * SHORTEST_RUN + 1), mode="same") > 0
    parts = np.cumsum(np.diff(samples.x, prepend=samples.x[0]) > GAP)
    yield from ((a, b) for a, b in stretches(np.where(around, parts, -1)) if around[a])


def _cost_of_no_holder(x: Array, view_start: Array, falling: Mask) -> Array:
    """Cost of no holder: it implies a view that has just begun, so an older view costs more."""
    cost = np.clip(x - view_start, 0, None) / TOLERANCE
    return np.where(falling, np.minimum(cost, FALLING_COST), cost)


def _costs_of_runs(x: Array, since: Array, age: Array, runs: _Runs, candidates: Integers) -> Array:
    """Cost of each candidate at each sample; infinite before its start and long after its end."""
    start, end, outlived = (values[candidates] for values in (runs.start, runs.end, runs.outlived))
    missed = np.abs(since[:, None] - start) / (TOLERANCE + TOLERANCE_OF_AGE * age)[:, None]
    costs = missed + ENDED_COST * (x[:, None] > end + 1) + runs.unlikely[candidates]
    possible = (x[:, None] >= start - 1) & (x[:, None] <= outlived)
    return np.where(possible, costs, np.inf)


def _early_estimates(x: Array, view_start: Array, jump: Array) -> tuple[Array, Array]:
    """Implied start estimated from each hold's first samples, and the view's age at those [periods].

    The implied start drifts the longer a view is held; one view holds for as long as the start does not jump.
    """
    since, age = view_start.copy(), np.clip(x - view_start, 0, None)
    steady = _steady(view_start, jump)
    for first, last in stretches(steady):
        if steady[first]:
            hold, young = slice(first, last), slice(first, min(first + YOUNG, last))
            start, at = np.median(view_start[young]), np.median(age[young])
            near = np.abs(view_start[hold] - start) <= jump[hold] + TOLERANCE_OF_AGE * age[hold]
            since[hold] = np.where(near, start, since[hold])
            age[hold] = np.where(near, at, age[hold])
    return since, age


def _steady(view_start: Array, jump: Array) -> Mask:
    """Flag samples whose four predecessors and four successors have medians that differ by less than a jump."""
    around = pd.Series(view_start)
    after = around[::-1].rolling(4, min_periods=1).median()[::-1]
    before = around.shift(1).rolling(4, min_periods=1).median().fillna(after)
    return np.asarray((after - before).abs() < jump)


def _cheapest_path(costs: Array) -> Integers:
    """Column of each row on the cheapest path, including the cost of changing columns (Viterbi 1967)."""
    came_from = np.empty(costs.shape, dtype=int)
    total = costs[0]
    for n in range(1, len(costs)):
        best = total.argmin()
        stays = total <= total[best] + SWITCH_COST
        came_from[n] = np.where(stays, np.arange(len(total)), best)
        total = np.where(stays, total, total[best] + SWITCH_COST) + costs[n]
    path = np.empty(len(costs), dtype=int)
    path[-1] = total.argmin()
    for n in range(len(costs) - 1, 0, -1):
        path[n - 1] = came_from[n, path[n]]
    return path


def _mode(values: Array) -> float:
    """Half-sample mode: the middle of the densest part (Bickel & Frühwirth 2006)."""
    values = np.sort(values)
    while len(values) > 3:
        half = (len(values) + 1) // 2
        narrowest = int((values[half - 1 :] - values[: len(values) - half + 1]).argmin())
        values = values[narrowest : narrowest + half]
    return float(np.median(values))
