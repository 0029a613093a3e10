"""When a workload was open on the readers, minute by minute, and what that may do to the writer.

A run holds a read view: undo that purge cannot clean up piles up while it is open (the dose) and is worked off
after it (the tail). The minutes before a start can show no effect; if they do, it is not the workload's (the lead).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.analysis.reader_impact.controls import Array, Grid, Integers, Mask

DRAIN = 2.5
"""How fast purge cleans up when nothing holds it, in mean write rates: assumed where no history list shows it."""

TAIL_MINUTES = 30
"""After a run the writer may still be slow: these minutes are no comparison."""

LEAD_MINUTES = (35, 5)
"""The minutes before a start in which a run cannot have had an effect yet."""


def open_share(runs: pd.DataFrame, grid: Grid) -> Array:
    """The share of each minute in which at least one of the runs `start, end` is open [0 to 1]."""
    ordered = runs.sort_values("start")
    starts, ends = grid.minutes(ordered["start"]), grid.minutes(ordered["end"])
    reached = np.maximum.accumulate(ends)
    starts = np.maximum(starts, np.concatenate([[-np.inf], reached[:-1]]))
    ends = np.maximum(starts, ends)
    covered = np.concatenate([[0.0], np.cumsum(ends - starts)])
    edges = np.column_stack([starts, ends]).ravel()
    totals = np.column_stack([covered[:-1], covered[1:]]).ravel()
    return np.diff(np.interp(np.arange(len(grid.times) + 1), edges, totals))


def _dose(open_: Array, load: Array, drain: float) -> Array:
    """What purge could not clean up, in mean minutes of writes: it grows while a run is open, then drains."""
    writes = np.nan_to_num(load / np.nanmean(load), nan=1.0)
    steps = open_ * writes[:, None] - (1 - open_) * drain
    walk = np.cumsum(steps, axis=0)
    return walk - np.minimum(np.minimum.accumulate(walk, axis=0), 0)


def tail(open_: Array) -> Array:
    """1 in the half hour after a run, where none is open."""
    minute = np.arange(len(open_))[:, None]
    last = np.maximum.accumulate(np.where(open_ > 0, minute, -TAIL_MINUTES - 1), axis=0)
    return ((open_ == 0) & (minute - last <= TAIL_MINUTES)).astype(float)


def _lead(open_: Array, after: Array) -> Array:
    """1 in the minutes shortly before a run in which neither it nor the one before can act."""
    far, near = LEAD_MINUTES
    starts = starts_of(open_).astype(float)
    ahead = np.vstack([np.cumsum(starts, axis=0), np.repeat(starts.sum(axis=0)[None], far, axis=0)])
    coming = ahead[far:] - ahead[near : len(starts) + near]
    return ((coming > 0) & (open_ == 0) & (after == 0)).astype(float)


def starts_of(open_: Array) -> Mask:
    """The minutes in which a run begins, by workload."""
    return (open_ > 0) & (np.vstack([np.zeros((1, open_.shape[1])), open_[:-1]]) == 0)


COLUMNS = 4
OPEN, DOSE, TAIL, LEAD = range(COLUMNS)
"""A workload's columns, in this order: the first three are its effect, the fourth is its placebo."""


def columns(open_: Array, load: Array, drain: float, known: Mask) -> Array:
    """The columns of each workload, side by side; rows are the known minutes."""
    after = tail(open_)
    found = np.empty((np.count_nonzero(known), open_.shape[1], COLUMNS))
    found[:, :, OPEN] = open_[known]
    found[:, :, DOSE] = _dose(open_, load, drain)[known]
    found[:, :, TAIL] = after[known]
    found[:, :, LEAD] = _lead(open_, after)[known]
    return found.reshape(len(found), COLUMNS * open_.shape[1])


def means_while_open(columns: Array) -> Array:
    """The mean of each column over the minutes in which its workload is open; 0 where it never is."""
    own = columns.reshape(len(columns), columns.shape[1] // COLUMNS, COLUMNS)
    exposed = (own[:, :, OPEN] > 0).astype(float)
    sums = np.einsum("tw,twc->wc", exposed, own)
    return np.asarray(sums / np.maximum(exposed.sum(axis=0), 1)[:, None]).ravel()


def run_lengths(open_: Array) -> Integers:
    """How long each run is [min]; runs that follow each other without a free minute are one."""
    edges = np.diff(np.concatenate([[0], (open_ > 0).astype(int), [0]]))
    return np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)


def of_median_length(open_: Array) -> Array:
    """The exposure if every run had lasted as long as the median one."""
    length = int(np.median(run_lengths(open_)))
    within = np.convolve(starts_of(open_[:, None])[:, 0], np.ones(length))[: len(open_)] > 0
    return within * open_[open_ > 0].mean()


STEP_MINUTES = 5
"""The history list's growth and fall are read over so many minutes: a single one is mostly noise."""

RISEN = 5.0
"""It tells of purge where it rose above its usual length by so many of its usual steps."""


def drain(history: pd.Series | None, load: pd.Series) -> float:
    """How fast purge shortens the history list, in what a mean minute of writes adds to it.

    How fast it falls over how fast it grows, where most of the movement is: a list at rest wobbles in many minutes,
    and says nothing of purge. Without a history list that rose, the default stands.
    """
    if history is None:
        return DRAIN
    known = history.reindex(load.index)
    step = known.diff(STEP_MINUTES)
    if not known.max() - known.median() > RISEN * step.abs().median():
        return DRAIN
    writes = (load / load.mean()).rolling(STEP_MINUTES).mean()
    fall, growth = _typical(-step, -step), _typical(step / writes, step)
    return float(np.clip(fall / growth, 0.2, 20.0))


def _typical(steps: pd.Series, moved: pd.Series) -> float:
    """The step at which half of all that moved has moved, the small steps first."""
    known = pd.DataFrame({"step": steps, "moved": moved}).dropna().query("moved > 0").sort_values("step")
    reached = known["moved"].cumsum()
    return float(known["step"].iloc[int(reached.searchsorted(reached.iloc[-1] / 2))])
