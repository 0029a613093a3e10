"""Who held purge: the read view that the history list implies, matched with the statements known.

While a view is open, an identity ties the history list to the view's start:

    history − base = transactions committed since the view's start × history entries per transaction

so that each sample of the history list implies when the view that holds purge began. That time stands still
while one view holds purge, and jumps to the next-oldest when it ends. It is matched with the starts of the
statements known, sample after sample, along the cheapest path (Viterbi). What fits none is `unknown`: a session
that no log tells of. The matching sees times, and which runs are of one digest; no user, text or name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis.analysis.series import GAP, Array, Integers, Mask, period_s, seconds, stretches

NONE, UNKNOWN = -1, -2
"""What a sample may be but held by a known run: by nobody for long, or by somebody unknown."""

# Lengths of time are in sampling periods, so that samples of a second and of a minute are read alike.
TOLERANCE = 1.5
"""By how much the implied start may miss a run's start [periods]."""
TOLERANCE_OF_AGE = 0.15
"""… and in addition for each period of the view's age when it was told: the entries per transaction drift."""
JUMP = 3.0
"""From which step on the implied start has jumped; below, one view goes on holding [periods]."""
YOUNG = 10
"""How many samples at the start of a hold tell the view's start: the entries per transaction had no time to drift."""
SHORTEST_RUN = 5
"""Shorter runs leave too few samples to be told apart [periods]."""
OUTLIVES = 1.8
"""How long a transaction may stay open after its statement, in median runs."""

# Costs are in tolerances missed.
UNKNOWN_COST = 1.5
"""A run that misses by more is a worse explanation than nobody known."""
ENDED_COST = 0.6
"""A statement that has ended explains less well: its transaction would have to be open and idle."""
UNLIKELY_COST = 1.0
"""A statement whose other runs hold no view is not the likelier holder of two that began together."""
FALLING_COST = 0.75
"""Where the history list falls, purge is at work and no view holds it there."""
SWITCH_COST = 6.0
"""Holders do not change with every sample."""


def committed(throughput: pd.Series) -> pd.Series:
    """Transactions committed since the first sample, from commits a second; a gap counts at the rates around it."""
    rates, time = throughput.to_numpy(dtype=float), seconds(throughput.index)
    steps = np.diff(time) * (rates[1:] + rates[:-1]) / 2
    counts = np.concatenate([[0.0], np.cumsum(steps)])[: len(rates)]
    return pd.Series(counts, index=throughput.index, name="committed")


def read_view_start(
    history: pd.Series, transactions: pd.Series, *, per_transaction: float | None = None
) -> pd.Series:
    """The implied start of the oldest read view (UTC) at each sample of the history list.

    Answers: since when is purge held? It stands still while one view holds purge, and follows the clock while
    none does. `transactions` is a running count of the writer's transactions, on any scale: `committed(…)`, or
    the server's own counter. `per_transaction` are the history entries for one of them; by default the most
    common growth.
    """
    samples = _samples(history, transactions)
    if samples is None:
        none = pd.DatetimeIndex([], dtype="datetime64[us, UTC]")
        return pd.Series(none, index=history.index[:0], name="since")
    start = samples.view_start(per_transaction or samples.per_transaction())
    return pd.Series(samples.clock(start), index=samples.times, name="since")


def holders(
    history: pd.Series,
    transactions: pd.Series,
    runs: pd.DataFrame,
    *,
    per_transaction: float | None = None,
) -> pd.DataFrame:
    """Who held purge at each sample of the history list. Answers: whose read view was the oldest?

    `runs` are the statements known, of readers and writer: any frame with `start` and `end` (UTC), such as
    `workloads.exposures(…)`. One row a sample: `state` is `none`, `unknown` or `held`; `run` the row's label in
    `runs`, missing unless held; `since` the implied start of the view; `length` the history list, and `growth` what
    it grew by while it was held so [transactions].
    """
    samples = _samples(history, transactions)
    if samples is None:
        return _told(
            history[:0], np.array([], dtype=int), runs.index, pd.DatetimeIndex([], tz="UTC"), np.array([])
        )
    known = _runs(runs, samples)
    start = samples.view_start(per_transaction or samples.per_transaction())
    who = _attributed(samples, start, known)
    who = _attributed(samples, start, known.judged(who))
    length = pd.Series(samples.history, samples.times)
    return _told(length, who, known.labels, samples.clock(start), samples.growth(who))


def _told(
    length: pd.Series, who: Integers, labels: pd.Index, since: pd.DatetimeIndex, growth: Array
) -> pd.DataFrame:
    run = pd.Series(pd.NA, index=length.index, dtype="Int64")
    run[who >= 0] = labels.to_numpy()[who[who >= 0]]
    state = np.select([who >= 0, who == UNKNOWN], ["held", "unknown"], "none").astype(object)
    columns = {"state": state, "run": run, "since": since, "length": length, "growth": growth}
    return pd.DataFrame(columns, index=length.index)


@dataclass(frozen=True)
class _Samples:
    """The history list and the transactions at the same samples; `x` is their time in periods since the first."""

    times: pd.DatetimeIndex
    x: Array
    history: Array
    committed: Array
    period_s: float

    @property
    def base(self) -> float:
        """The history list of a purge that keeps up."""
        return float(np.quantile(self.history, 0.1))

    def periods(self, times: pd.Series) -> Array:
        return (seconds(times) - seconds(self.times[:1])) / self.period_s

    def clock(self, periods: Array) -> pd.DatetimeIndex:
        offsets = pd.to_timedelta(np.round(periods * self.period_s * 1e6), unit="us")
        return (self.times[0] + offsets).as_unit("us")

    def view_start(self, per_transaction: float) -> Array:
        """The implied start of the oldest view at each sample; before the first sample at the mean rate."""
        counted = self.committed - np.clip(self.history - self.base, 0, None) / per_transaction
        rate = (self.committed[-1] - self.committed[0]) / max(self.x[-1], 1)
        before = (counted - self.committed[0]) / max(rate, 1e-9)
        return np.where(before < 0, before, np.interp(counted, self.committed, self.x))

    def per_transaction(self) -> float:
        """The most common growth per transaction, over five samples whose noise lets it be told."""
        before, after = self.history[:-SHORTEST_RUN], self.history[SHORTEST_RUN:]
        grown, counted = after - before, self.committed[SHORTEST_RUN:] - self.committed[:-SHORTEST_RUN]
        together = (self.x[SHORTEST_RUN:] - self.x[:-SHORTEST_RUN]) < GAP * SHORTEST_RUN
        told = together & (counted > 0) & (grown > 5 * self.noise() * np.hypot(before, after))
        told &= after > 10 * self.base
        return float(np.exp(_mode(np.log(grown[told] / counted[told])))) if told.any() else 1.0

    def noise(self) -> float:
        """The relative noise of a long history list, from how far samples are off the line of their neighbours."""
        middle, around = self.history[1:-1], (self.history[:-2] + self.history[2:]) / 2
        long = middle > 10 * self.base
        if not long.any():
            return 0.0
        return float(np.median(np.abs(middle - around)[long] / middle[long])) / (0.6745 * np.sqrt(1.5))

    def jump(self) -> Array:
        """From which step on the implied start has jumped, at each sample: more where noise makes it waver."""
        rate = np.median(np.diff(self.committed) / np.diff(self.x)) * self.per_transaction()
        return JUMP + 2 * self.noise() * self.history / max(rate, 1e-9)

    def falling(self) -> Mask:
        """Where purge removes entries: by the median slope over five samples."""
        slopes = pd.Series(np.gradient(self.history, self.x)).rolling(5, center=True, min_periods=1).median()
        return (slopes < -0.1 * np.quantile(np.abs(slopes), 0.9)).to_numpy()

    def growth(self, who: Integers) -> Array:
        """What the history list rose by in each span of one holder, spread over it by transactions."""
        growth = np.zeros(len(who))
        counted = np.diff(self.committed, prepend=self.committed[0]) + 1e-9
        for first, last in stretches(who):
            if who[first] != NONE:
                lengths = self.history[max(first - 1, 0) : last]
                rise = lengths[lengths.argmin() :].max() - lengths.min()
                growth[first:last] = rise * counted[first:last] / counted[first:last].sum()
        return growth


def _samples(history: pd.Series, transactions: pd.Series) -> _Samples | None:
    """None where there is too little to infer from."""
    history, transactions = history.dropna().sort_index(), transactions.dropna().sort_index()
    if min(len(history), len(transactions)) < 2 * SHORTEST_RUN:
        return None
    times = pd.DatetimeIndex(history.index)
    x, period = seconds(times), period_s(times)
    counted = np.interp(x, seconds(transactions.index), transactions.to_numpy(dtype=float))
    return _Samples(times, (x - x[0]) / period, history.to_numpy(dtype=float), counted, period)


@dataclass(frozen=True)
class _Runs:
    """The statements long enough to be told apart, in periods since the first sample."""

    labels: pd.Index
    digests: npt.NDArray[np.object_]
    start: Array
    end: Array
    unlikely: Array = field(repr=False)

    @property
    def outlived(self) -> Array:
        """Until when each one's transaction may have stayed open."""
        return self.end + OUTLIVES * (np.median(self.end - self.start) if len(self.start) else 0)

    def judged(self, who: Integers) -> _Runs:
        """The same runs, each dearer the fewer of its statement's runs held purge at a first reading."""
        held = pd.Series(np.bincount(who[who >= 0], minlength=len(self.start)) >= SHORTEST_RUN)
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


def _attributed(samples: _Samples, view_start: Array, known: _Runs) -> Integers:
    """The cheapest explanation of each sample: a run's position, NONE or UNKNOWN."""
    who = np.full(len(view_start), NONE)
    falling, jump = samples.falling(), samples.jump()
    for first, last in _busy(samples, view_start):
        part = slice(first, last)
        x, start = samples.x[part], view_start[part]
        candidates = known.near(x[0], x[-1])
        costs = np.column_stack(
            [
                _cost_of_nobody(x, start, falling[part]),
                np.full(last - first, UNKNOWN_COST),
                _costs_of_runs(x, *_told_young(x, start, jump[part]), known, candidates),
            ]
        )
        who[part] = np.concatenate([[NONE, UNKNOWN], candidates])[_cheapest_path(costs)]
    return who


def _busy(samples: _Samples, view_start: Array) -> Iterator[tuple[int, int]]:
    """The stretches in which nobody is not the plain answer, with some samples around; gaps part them."""
    old = samples.x - view_start > TOLERANCE * UNKNOWN_COST
    around = np.convolve(old, np.ones(2 * SHORTEST_RUN + 1), mode="same") > 0
    parts = np.cumsum(np.diff(samples.x, prepend=samples.x[0]) > GAP)
    yield from ((a, b) for a, b in stretches(np.where(around, parts, -1)) if around[a])


def _cost_of_nobody(x: Array, view_start: Array, falling: Mask) -> Array:
    """Nobody is a view that has just begun: the older the implied one, the dearer."""
    cost = np.clip(x - view_start, 0, None) / TOLERANCE
    return np.where(falling, np.minimum(cost, FALLING_COST), cost)


def _costs_of_runs(x: Array, told: Array, age: Array, known: _Runs, candidates: Integers) -> Array:
    """What each candidate costs at each sample; infinite before it began and long after it ended."""
    start, end, outlived = (values[candidates] for values in (known.start, known.end, known.outlived))
    missed = np.abs(told[:, None] - start) / (TOLERANCE + TOLERANCE_OF_AGE * age)[:, None]
    costs = missed + ENDED_COST * (x[:, None] > end + 1) + known.unlikely[candidates]
    possible = (x[:, None] >= start - 1) & (x[:, None] <= outlived)
    return np.where(possible, costs, np.inf)


def _told_young(x: Array, view_start: Array, jump: Array) -> tuple[Array, Array]:
    """The implied start as each hold's first samples tell it, and the view's age at those [periods].

    The longer a view is held, the more its implied start drifts; as long as it does not jump, one view holds.
    """
    told, age = view_start.copy(), np.clip(x - view_start, 0, None)
    steady = _steady(view_start, jump)
    for first, last in stretches(steady):
        if steady[first]:
            hold, young = slice(first, last), slice(first, min(first + YOUNG, last))
            start, at = np.median(view_start[young]), np.median(age[young])
            near = np.abs(view_start[hold] - start) <= jump[hold] + TOLERANCE_OF_AGE * age[hold]
            told[hold] = np.where(near, start, told[hold])
            age[hold] = np.where(near, at, age[hold])
    return told, age


def _steady(view_start: Array, jump: Array) -> Mask:
    """Where the medians of the four samples before and of the four from here on do not differ by a jump."""
    around = pd.Series(view_start)
    after = around[::-1].rolling(4, min_periods=1).median()[::-1]
    before = around.shift(1).rolling(4, min_periods=1).median().fillna(after)
    return ((after - before).abs() < jump).to_numpy()


def _cheapest_path(costs: Array) -> Integers:
    """The column of each row on the path that costs least, changes of column included (Viterbi 1967)."""
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
    """The half-sample mode: the middle of the densest part (Bickel & Frühwirth 2006)."""
    values = np.sort(values)
    while len(values) > 3:
        half = (len(values) + 1) // 2
        narrowest = int((values[half - 1 :] - values[: len(values) - half + 1]).argmin())
        values = values[narrowest : narrowest + half]
    return float(np.median(values))
