"""Attribute purge delay to sessions by matching the implied start of the oldest read view with logged statements.

While a view is open, an identity ties the history list length to the view's start:

    history − base = transactions committed since the view's start × history entries per transaction

Each sample of the history list therefore implies when the view that holds purge began. That time stands still while
one view holds purge, and jumps to the next-oldest view when it ends. The module matches it with the starts of logged
and sampled statements, sample by sample, along the cheapest path (Viterbi). A view that fits no statement is
`unknown`: a session that appears in no log. The matching uses only times, and which runs share a digest; it ignores
user, text and name.
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
"""Longest time that a transaction may stay open after its statement, in median runs."""

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


def committed(throughput: pd.Series) -> pd.Series:
    """Integrate commit throughput to transactions committed since the first sample.

    Parameters
    ----------
    throughput : Series
        Commits per second over time (CloudWatch: CommitThroughput) [1/s].

    Returns
    -------
    Series
        Running count of transactions, same index. Across a gap the rates at its edges apply.
    """
    rates, time = throughput.to_numpy(dtype=float), seconds(throughput.index)
    steps = np.diff(time) * (rates[1:] + rates[:-1]) / 2
    counts = np.concatenate([[0.0], np.cumsum(steps)])[: len(rates)]
    return pd.Series(counts, index=throughput.index, name="committed")


def read_view_start(
    history: pd.Series, transactions: pd.Series, *, per_transaction: float | None = None
) -> pd.Series:
    """Infer the start of the oldest read view at each sample of the history list.

    It stands still while one view holds purge, and follows the clock while no view does.

    Parameters
    ----------
    history : Series
        History list length over time (UTC) [transactions].
    transactions : Series
        Running count of the writer's transactions, with any origin: `committed(…)` or the server's own counter.
    per_transaction : float, optional
        History entries per transaction. Default: the most common growth.

    Returns
    -------
    Series
        Implied start (UTC) by time of the sample; empty if there are too few samples.
    """
    samples = _samples(history, transactions)
    if samples is None:
        none = pd.DatetimeIndex([], dtype="datetime64[us, UTC]")
        return pd.Series(none, index=history.index[:0], name="since")
    start = samples.view_start(per_transaction or samples.per_transaction())
    return pd.Series(samples.clock(start), index=samples.times, name="since")


def attribute_oldest_view(
    history: pd.Series,
    transactions: pd.Series,
    runs: pd.DataFrame,
    *,
    per_transaction: float | None = None,
) -> pd.DataFrame:
    """Attribute the oldest read view to a run, at each sample of the history list.

    Parameters
    ----------
    history : Series
        History list length over time (UTC) [transactions].
    transactions : Series
        Running count of the writer's transactions, with any origin: `committed(…)` or the server's own counter.
    runs : DataFrame
        Logged or sampled statements of readers and writer, with `start` and `end` (UTC) and optionally `digest`, such
        as `workloads.exposures(…)`.
    per_transaction : float, optional
        History entries per transaction. Default: the most common growth.

    Returns
    -------
    DataFrame
        One row per sample: `state` is `none`, `unknown` or `held`; `run` is the row's label in `runs`, missing unless
        held; `since` is the implied start of the view; `length` is the history list length, and `growth` its rise
        while this run blocked purge [transactions].
    """
    samples = _samples(history, transactions)
    if samples is None:
        no_times, no_labels = pd.DatetimeIndex([], tz="UTC"), np.array([], dtype=int)
        return _by_sample(history[:0], no_labels, runs.index, no_times, np.array([]))
    candidates = _runs(runs, samples)
    start = samples.view_start(per_transaction or samples.per_transaction())
    label = _attributed(samples, start, candidates)
    label = _attributed(samples, start, candidates.reweighted(label))
    length = pd.Series(samples.history, samples.times)
    return _by_sample(length, label, candidates.labels, samples.clock(start), samples.growth(label))


def _by_sample(
    length: pd.Series, label: Integers, labels: pd.Index, since: pd.DatetimeIndex, growth: Array
) -> pd.DataFrame:
    run = pd.Series(pd.NA, index=length.index, dtype="Int64")
    run[label >= 0] = labels.to_numpy()[label[label >= 0]]
    state = np.select([label >= 0, label == UNKNOWN], ["held", "unknown"], "none").astype(object)
    columns = {"state": state, "run": run, "since": since, "length": length, "growth": growth}
    return pd.DataFrame(columns, index=length.index)


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

    def clock(self, periods: Array) -> pd.DatetimeIndex:
        offsets = pd.to_timedelta(np.round(periods * self.period_s * 1e6), unit="us")
        return (self.times[0] + offsets).as_unit("us")

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

    def growth(self, label: Integers) -> Array:
        """Rise of the history list in each span of one holder, distributed over its samples by transactions."""
        growth = np.zeros(len(label))
        counted = np.diff(self.committed, prepend=self.committed[0]) + 1e-9
        for first, last in stretches(label):
            if label[first] != NONE:
                lengths = self.history[max(first - 1, 0) : last]
                rise = lengths[lengths.argmin() :].max() - lengths.min()
                growth[first:last] = rise * counted[first:last] / counted[first:last].sum()
        return growth


def _samples(history: pd.Series, transactions: pd.Series) -> _Samples | None:
    """Align the two series; None if there are too few samples."""
    history, transactions = history.dropna().sort_index(), transactions.dropna().sort_index()
    if min(len(history), len(transactions)) < 2 * SHORTEST_RUN:
        return None
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
