"""Name the session that held the oldest read view, sample by sample, and how sure that is.

Two sources of evidence are combined. The log shows which statements were open, and the oldest of them is the usual
holder. The history list length implies when the oldest view must have begun (`implied_start`), and whether purge stood
still. A hidden Markov model joins them: its states are `no old view`, `a view in no log`, and one state per statement
that may be open. A statement holds its view from start to end or not at all, so the model's transitions are few: a
holder ends, and the next-oldest statement that holds a view succeeds it. How often a digest's statements hold views is
learned from the window (expectation maximisation): a digest that never holds alone loses ties. Users, texts and
names play no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import GAP, Array, Integers, Mask
from aurora_analysis.analysis.undo_log import chain
from aurora_analysis.analysis.undo_log.implied_start import samples
from aurora_analysis.analysis.undo_log.samples import NONE, UNKNOWN, Samples

# Lengths of time are in sampling periods.
SHORTEST_RUN = 1.0
"""Shorter runs leave no trace in the samples [periods]."""
OUTLIVES = 1.8
"""Longest time that a transaction may stay open after its statement, in median runs."""
TOLERANCE, TOLERANCE_OF_AGE = 0.8, 0.17
"""Tolerance of the implied start [periods], and its increase per period of the view's age."""
RESOLUTION = 0.75
"""Starts that differ by less from the implied start fit alike: samples do not show it more exactly [periods]."""
TOLERANCE_OF_PURGE = 0.3
"""Tolerance of the purged share."""
TRAILING = 0.8
"""A trailing purge removes at least this share of what is written."""

# Costs are negative log likelihoods, in units of the tolerances.
LARGEST_COST = 4.0
"""Limit of one deviation's cost, so that no single sample decides."""
UNLOGGED_COST = 0.6
"""Cost of a view in no log: any implied start suits it, so a logged statement that fits must win."""
TRAILING_COST = 0.3
"""Cost of a purge that trails: it fits any earlier implied start."""
IDLE_COST = 0.2
"""Cost of a trailing purge after a statement's end: nothing then shows that its transaction is still open."""
ALIKE = 40.0
"""Age of a view at which a slow purge halves the weight of an implied start that is too early [periods].

The slow purge then still works off what an earlier view left, so the starts of all samples are too early alike.
"""
WEIGHT = 0.6
"""Weight of one sample's evidence: the errors of neighbouring samples are alike."""

# Prior counts; the window's own counts are added to them.
HELD, NOT_HELD = 0.6, 0.4
"""A digest's runs that held a view and that did not."""
TIED = 0.02
"""Weight of a run that began together with a run of another digest and did not outlast it: either may hold the view."""
NEIGHBOURS = 5
"""Number of neighbours, by start, with which a statement is compared."""
OUTLASTS = 3.0
"""A statement outlasts another if it ends so much later [periods]."""
UNLOGGED, UNLOGGED_SAMPLES, VIEWS = 0.5, 100.0, 10.0
"""Views that no log shows, in so many samples with an old view, and among so many views."""
LEAST = 0.01
"""Smallest probability that is kept."""
ROUNDS = 3
"""Rounds of learning how often each digest holds a view."""


@dataclass(frozen=True)
class Attribution:
    """The run that held the oldest read view at each sample, and the probabilities behind it.

    Parameters
    ----------
    oldest_view : DataFrame
        One row per sample: `state` is `none`, `unknown` or `held`; `run` is the row's label in `runs`, missing unless
        held; `since` is the implied start of the view; `length` is the history list length; `growth` is its rise while
        this run blocked purge [transactions]; `confidence` is the probability of this state and run [0 to 1].
    probabilities : DataFrame
        Every explanation of a sample with a probability of at least 1 %: `time`, `state`, `run`, `probability`.
    holds : Series
        By digest: the share of its runs that held a view [0 to 1].
    """

    oldest_view: pd.DataFrame
    probabilities: pd.DataFrame
    holds: pd.Series


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
    history, transactions, runs, per_transaction
        As in `attribution`.

    Returns
    -------
    DataFrame
        `Attribution.oldest_view`.
    """
    return attribution(history, transactions, runs, per_transaction=per_transaction).oldest_view


def attribution(
    history: pd.Series,
    transactions: pd.Series,
    runs: pd.DataFrame,
    *,
    per_transaction: float | None = None,
) -> Attribution:
    """Attribute the oldest read view to a run, with the probability of each explanation.

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
        History entries per transaction. Default: estimated locally from steady rises.

    Returns
    -------
    Attribution
        Without enough samples all its frames are empty.
    """
    found = samples(history, transactions, runs, per_transaction=per_transaction)
    if found is None:
        nothing = pd.DatetimeIndex([], tz="UTC")
        empty = _by_sample(history[:0], np.array([], dtype=int), runs.index, nothing)
        return Attribution(
            empty.assign(growth=[], confidence=[]),
            _probabilities(nothing, [], runs.index),
            pd.Series(dtype=float),
        )
    known = _runs(runs, found)
    parts = [_Part.of(found, slice(*bounds), known) for bounds in found.busy()]
    chances, holds = _learned(parts, known, known.quiet(found, parts))
    label, confidence, rows = np.full(len(found.x), NONE), np.ones(len(found.x)), list[_Row]()
    for part in parts:
        for place, one in enumerate(part.named(chances), part.samples.start):
            label[place], confidence[place] = one[0][:2]
            rows.extend((place, *each) for each in one if each[0] != NONE)
    oldest_view = _by_sample(
        pd.Series(found.history, found.times), label, known.labels, found.clock(found.view_start)
    ).assign(growth=found.growth(label), confidence=confidence)
    return Attribution(oldest_view, _probabilities(found.times, rows, known.labels), holds)


_Row = tuple[int, int, float]
"""A sample's place, a run's position or UNKNOWN, and its probability."""


def _by_sample(length: pd.Series, label: Integers, labels: pd.Index, since: pd.DatetimeIndex) -> pd.DataFrame:
    columns = {**_named(label, labels), "since": since, "length": length}
    return pd.DataFrame(columns, index=length.index)


def _named(label: Integers, labels: pd.Index) -> dict[str, object]:
    """State and run of each label."""
    run = np.full(len(label), pd.NA, dtype=object)
    run[label >= 0] = labels.to_numpy()[label[label >= 0]]
    state = np.select([label >= 0, label == UNKNOWN], ["held", "unknown"], "none").astype(object)
    return {"state": state, "run": pd.array(run, dtype="Int64")}


def _probabilities(times: pd.DatetimeIndex, rows: Sequence[_Row], labels: pd.Index) -> pd.DataFrame:
    place = np.array([row[0] for row in rows], dtype=int)
    named = _named(np.array([row[1] for row in rows], dtype=int), labels)
    columns = {"time": times[place], **named, "probability": [row[2] for row in rows]}
    return pd.DataFrame(columns).astype({"probability": float})


@dataclass(frozen=True)
class _Runs:
    """Statements long enough to leave a trace, by start; times in periods since the first sample."""

    labels: pd.Index
    digest: Integers
    digests: pd.Index
    start: Array
    end: Array

    @property
    def outlived(self) -> Array:
        """Latest end of each statement's transaction."""
        return self.end + OUTLIVES * (np.median(self.end - self.start) if len(self.start) else 0)

    def tied(self) -> Mask:
        """Statements that began within a period of one of another digest, and did not outlast it."""
        tied = np.zeros(len(self.start), dtype=bool)
        for apart in range(1, min(NEIGHBOURS, len(tied) - 1) + 1):
            near = self.start[apart:] - self.start[:-apart] < 1
            near &= self.digest[apart:] != self.digest[:-apart]
            longer = self.end[apart:] - self.end[:-apart]
            tied[apart:] |= near & (longer < OUTLASTS)
            tied[:-apart] |= near & (longer > -OUTLASTS)
        return tied

    def quiet(self, found: Samples, parts: Sequence[_Part]) -> Mask:
        """Statements that held no view: purge kept up while they ran, and the writer wrote enough to show it."""
        busy = np.zeros(len(found.x), dtype=bool)
        for part in parts:
            busy[part.samples] = True
        last = np.minimum(np.searchsorted(found.x, self.start + chain.LATE), len(busy) - 1)
        near = (found.x[last] <= self.end) & (found.x[last] - self.start <= chain.LATE + 1)
        written = np.interp(self.start + chain.LATE, found.x, found.entries)
        written -= np.interp(self.start, found.x, found.entries)
        return np.asarray(near & ~busy[last] & (written > found.base))


def _runs(runs: pd.DataFrame, found: Samples) -> _Runs:
    """Runs in the periods of the samples. A sample that is stamped with its period's start stands for the middle."""
    start, end = found.periods(runs["start"]) - 0.5, found.periods(runs["end"]) - 0.5
    kept = np.flatnonzero((end - start >= SHORTEST_RUN) & (start < found.x[-1]) & (end > found.x[0]))
    kept = kept[np.lexsort((end[kept], start[kept]))]
    named = runs["digest"].iloc[kept] if "digest" in runs else pd.Series("", runs.index[kept])
    digest, digests = pd.factorize(named.astype(object).fillna(""))  # an idle session's run has no statement
    return _Runs(runs.index[kept], digest, pd.Index(digests), start[kept], end[kept])


@dataclass(frozen=True)
class _Part:
    """A stretch of samples with old views, as a chain of states."""

    samples: slice
    steps: list[chain.Step]

    @classmethod
    def of(cls, found: Samples, part: slice, runs: _Runs) -> _Part:
        x = found.x[part]
        first, last = np.searchsorted(x, runs.start), np.searchsorted(x, runs.outlived, side="right")
        count = np.maximum(last - first, 0)
        run = np.repeat(np.arange(len(count)), count)
        place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[run]
        order = np.lexsort((run, place))
        run, place = run[order], place[order]
        bounds = np.searchsorted(place, np.arange(len(x) + 1))
        costs = _Costs.of(found, part)
        general, own = (
            np.exp(-WEIGHT * costs.general()),
            np.exp(-WEIGHT * costs.of_runs(runs.start[run], runs.end[run], place)),
        )
        spans = [slice(*pair) for pair in zip(bounds[:-1], bounds[1:])]
        candidates = [run[span].tolist() for span in spans]
        likelihoods = [[*row, *own[span].tolist()] for row, span in zip(general.tolist(), spans)]
        began = part.start > 0 and found.x[part.start] - found.x[part.start - 1] <= GAP
        earlier = int((runs.start[candidates[0]] < x[0] - chain.LATE).sum()) if began else 0
        return cls(part, chain.steps(x.tolist(), candidates, runs.end.tolist(), likelihoods, earlier))

    def named(self, chances: chain.Chances) -> list[list[tuple[int, float]]]:
        """Explanations of each sample with their probabilities, the likeliest first; at least 1 % or the first."""
        states = chain.posterior(self.steps, chances).states
        found = []
        for step, one in zip(self.steps, states):
            none, unlogged = one[chain.KEEPS_UP] + one[chain.TRAILS], one[chain.UNLOGGED]
            all_ = [(NONE, none), (UNKNOWN, unlogged), *zip(step.candidates, one[chain.FIRST :])]
            ordered = sorted(all_, key=lambda each: -each[1])
            found.append([each for n, each in enumerate(ordered) if n == 0 or each[1] >= LEAST])
        return found


@dataclass(frozen=True)
class _Costs:
    """Misfit of each explanation at each sample."""

    x: Array
    start: Array
    tolerance: Array
    blocked: Array
    trailing: Array
    keeping_up: Array
    late: Array

    @classmethod
    def of(cls, found: Samples, part: slice) -> _Costs:
        share, error = (values[part] for values in found.purged_share)
        age = found.age[part]
        tolerance = TOLERANCE + TOLERANCE_OF_AGE * age + found.age_noise[part]
        error = TOLERANCE_OF_PURGE + error
        return cls(
            found.x[part],
            found.view_start[part],
            tolerance,
            _limited(np.abs(share) / error),
            _limited(np.clip(TRAILING - share, 0, None) / error) + TRAILING_COST,
            _limited(age / tolerance) + _limited(np.clip(np.abs(share - 1) / error - 1, 0, None)),
            1 - found.slowness * age / (ALIKE + age),
        )

    def general(self) -> Array:
        """Costs of `KEEPS_UP`, `TRAILS` and `UNLOGGED`."""
        unlogged = UNLOGGED_COST + np.minimum(self.blocked, self.trailing)
        return np.column_stack([self.keeping_up, self.trailing, unlogged])

    def of_runs(self, start: Array, end: Array, place: Integers) -> Array:
        """Cost of a view that began at `start`: purge stands still there, or, while the statement runs, trails it."""
        off = self.start[place] - start
        late = np.sign(off) * np.clip(np.abs(off) - RESOLUTION, 0, None) / self.tolerance[place]
        weight = np.where(off < 0, self.late[place], 1.0)
        blocked = weight * _limited(np.abs(late)) + self.blocked[place]
        trailing = weight * _limited(np.clip(late, 0, None)) + self.trailing[place]
        return np.minimum(blocked, trailing + IDLE_COST * (self.x[place] > end))


def _limited(cost: Array) -> Array:
    return np.minimum(cost, LARGEST_COST)


def _learned(parts: Sequence[_Part], runs: _Runs, quiet: Mask) -> tuple[chain.Chances, pd.Series]:
    """Chances of views in this window, and by digest the share of runs that held one (expectation maximisation)."""
    count, sampled = len(runs.digests), sum(len(part.steps) for part in parts)
    holds = np.full(count, HELD / (HELD + NOT_HELD))
    chances = chain.Chances(holds[runs.digest].tolist(), UNLOGGED / UNLOGGED_SAMPLES, UNLOGGED / VIEWS)
    for _ in range(ROUNDS):
        taken, passed_over, unlogged = np.zeros(len(runs.start)), np.zeros(len(runs.start)), UNLOGGED
        for part in parts:
            found = chain.posterior(part.steps, chances)
            unlogged += found.unlogged
            for total, one in ((taken, found.taken), (passed_over, found.passed_over)):
                total[[*one]] += [*one.values()]
        taken = np.minimum(taken, 1.0)
        weight = np.where(runs.tied(), TIED, 1.0)
        weights = taken * weight, np.where(quiet, 1.0, np.minimum(passed_over, 1 - taken) * weight)
        took, left = (np.bincount(runs.digest, one, count) for one in weights)
        holds = (HELD + took) / (HELD + NOT_HELD + took + left)
        chances = chain.Chances(
            holds[runs.digest].tolist(),
            unlogged / (UNLOGGED_SAMPLES + sampled),
            unlogged / (VIEWS + unlogged + taken.sum()),
        )
    return chances, pd.Series(holds, pd.Index(runs.digests), name="holds", dtype=float)
