"""Regressors of a reader workload: its exposure by minute, and how that may act on the writer.

A run holds a read view. Undo that purge cannot clean up accumulates while the run lasts (the dose) and is worked
off after it (the carry-over). Purge stops at the oldest view: what was committed before that view it still cleans up.
The minutes before a start cannot show an effect; if they do, the cause is another one (the pre-trend: two leads, placebo
regressors in the sense of the event-study literature). The readers' log and the writer's metrics have different clocks:
distributed leads and lags of a minute or two find an effect that is stamped differently.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from aurora_analysis.analysis.reader_impact.controls import Grid
from aurora_analysis.analysis.reader_impact.projection import Floats
from aurora_analysis.analysis.series import Array, Integers, Mask, minutes_since

PURGE_SPEED = 2.5
"""Assumed purge speed when nothing blocks purge [mean write rates]; used if no history list length shows it."""

SLOWEST_PURGE, FASTEST_PURGE = 1.2, 20.0
"""Limits of the purge speed [mean write rates]: purge that only equals the mean write rate never works off a hold."""

CARRYOVER_MINUTES = 30
"""Longest carry-over: minutes after a run in which the writer may still be slow."""

CARRYOVER_LEAST = 10
"""Shortest carry-over of a workload whose runs are far enough apart [min]."""

PRE_TREND_MINUTES = (35, 5)
"""First and last minute before a start in which a run cannot have had an effect yet; fewer if runs are close together,
so that most unexposed minutes are no pre-trend. The third that is nearest to the start is a lead of its own: a cause that
launches the run soon after it begins would be lost in the mean of all these minutes."""

COLUMNS = 3
"""Regressors per workload that are kept for all workloads."""

EFFECT = [EXPOSED, DOSE, CARRYOVER] = list(range(COLUMNS))
"""Order of a workload's columns, which make up its effect in the models of other workloads."""

CLOCK = [EARLIER, LATER] = [COLUMNS, COLUMNS + 1]
"""Two more columns in a workload's own model: its exposure, as if its minutes were stamped earlier or later."""

LEADS = [COLUMNS + 2, COLUMNS + 3]
"""Two placebos in a workload's own model: the minutes shortly before its starts, and those longer before."""

OWN_COLUMNS = COLUMNS + len(CLOCK) + len(LEADS)

OWN_EFFECT = [*EFFECT, *CLOCK]
"""The columns of a workload's own model whose fitted value over exposed minutes is the effect."""

CLOCK_MINUTES = 2
"""How far the clocks of a reader's log and of the writer's metrics may differ [min]. CloudWatch stamps a minute by its
start, RDS publishes with some delay, and hosts differ by seconds."""


def exposed_share(runs: pd.DataFrame, grid: Grid) -> Array:
    """Share of each minute in which at least one run is in progress [0 to 1].

    Parameters
    ----------
    runs : pandas.DataFrame
        One row per run with `start` and `end` (UTC).
    grid : Grid
        The minutes.

    Returns
    -------
    numpy.ndarray, shape (minutes,)
        Overlapping runs count once.
    """
    ordered = runs.sort_values("start")
    starts, ends = grid.minutes(ordered["start"]), grid.minutes(ordered["end"])
    reached = np.maximum.accumulate(ends)
    starts = np.maximum(starts, np.concatenate([[-np.inf], reached[:-1]]))
    ends = np.maximum(starts, ends)
    covered = np.concatenate([[0.0], np.cumsum(ends - starts)])
    edges = np.column_stack([starts, ends]).ravel()
    totals = np.column_stack([covered[:-1], covered[1:]]).ravel()
    return np.diff(np.interp(np.arange(len(grid.times) + 1), edges, totals))


def oldest_run_age(runs: pd.DataFrame, grid: Grid) -> Array:
    """Age of the oldest run in progress at the end of each minute [min].

    Parameters
    ----------
    runs : pandas.DataFrame
        One row per run with `start` and `end` (UTC).
    grid : Grid
        The minutes.

    Returns
    -------
    numpy.ndarray, shape (minutes,)
        A run counts to the end of its last minute; 0 where no run is in progress.
    """
    ordered = runs.sort_values(["start", "end"])
    starts, ends = grid.minutes(ordered["start"]), grid.minutes(ordered["end"])
    # A run that ends before an older one is never the oldest; the others end in the order of their starts.
    outlasts = ends > np.maximum.accumulate(np.concatenate([[-np.inf], ends[:-1]]))
    starts, ends = np.append(starts[outlasts], np.inf), ends[outlasts]
    minute = np.arange(len(grid.times))
    return np.maximum(minute + 1 - starts[np.searchsorted(ends, minute, side="right")], 0.0)


def unbroken_age(exposed: Array) -> Array:
    """Age of the oldest run if exposed minutes in a row are one run [min].

    Parameters
    ----------
    exposed : numpy.ndarray, shape (minutes, exposures)
        Share of each minute of each exposure [0 to 1].

    Returns
    -------
    numpy.ndarray, shape (minutes, exposures)
        At the end of each minute; 0 where nothing is exposed.
    """
    started = starts_of(exposed)
    first = np.maximum.accumulate(np.where(started, np.arange(len(exposed))[:, None], 0), axis=0)
    share = np.take_along_axis(exposed, first, axis=0)
    return np.where(exposed > 0, np.arange(len(exposed))[:, None] - first + share, 0.0)


def carryover_minutes(exposed: Array) -> tuple[int, bool]:
    """Length of a workload's carry-over [min], and whether its runs leave too little room for it.

    Parameters
    ----------
    exposed : numpy.ndarray, shape (minutes,)
        Share of each minute in which the workload is running [0 to 1].

    Returns
    -------
    tuple of int and bool
        The 90th percentile of run lengths, from `CARRYOVER_LEAST` to `CARRYOVER_MINUTES`: purge works off the undo of
        a short run soon after it. At most `_half_gap`, so that minutes remain for comparison. True if that is less
        than half of the runs' own length: an effect that lasts longer counts as none, unless the dose explains it.
    """
    lengths, room = _lengths_and_room(exposed)
    if not lengths:
        return CARRYOVER_MINUTES, False
    length = min(np.ceil(lengths), CARRYOVER_MINUTES)
    return int(min(max(length, CARRYOVER_LEAST), room)), bool(room < length / 2)


def _half_gap(exposed: Array) -> int:
    """Half of the upper quartile of the gaps between runs [min], at least 1; very much with fewer than two runs."""
    return _lengths_and_room(exposed)[1]


def _lengths_and_room(exposed: Array) -> tuple[float, int]:
    """The 90th percentile of run lengths, 0 without a run, and half of the usual gap [min]."""
    running = exposed > 0
    return _of_bits(np.packbits(running).tobytes(), len(running))


@lru_cache(maxsize=4096)
def _of_bits(running: bytes, count: int) -> tuple[float, int]:
    """`_lengths_and_room` of packed minutes; remembered, because every model of a workload needs it."""
    exposed = np.unpackbits(np.frombuffer(running, dtype=np.uint8), count=count).astype(bool)
    lengths, gaps = run_lengths(exposed), run_lengths(~exposed)
    within = gaps[int(not exposed[0]) : len(gaps) - int(not exposed[-1])]
    room = max(1, int(np.quantile(within, 0.75) / 2)) if len(within) else count
    return float(np.quantile(lengths, 0.9)) if len(lengths) else 0.0, room


def carryover(exposed: Array) -> Array:
    """Indicator of the minutes after a run, up to `carryover_minutes`, in which no run is in progress.

    Parameters
    ----------
    exposed : numpy.ndarray, shape (minutes, workloads)
        Share of each minute in which each workload is running [0 to 1].

    Returns
    -------
    numpy.ndarray, shape (minutes, workloads)
        1 in such a minute, else 0.
    """
    reach = np.array([carryover_minutes(column)[0] for column in exposed.T], dtype=int)
    since = minutes_since(exposed > 0)
    return np.asarray((since > 0) & (since <= reach), dtype=float)


def starts_of(exposed: Array) -> Mask:
    """Mask of the minutes in which a run begins, by workload.

    Parameters
    ----------
    exposed : numpy.ndarray, shape (minutes, workloads)
        Share of each minute in which each workload is running [0 to 1].

    Returns
    -------
    numpy.ndarray, shape (minutes, workloads)
        True in the first minute of each run.
    """
    before = np.vstack([np.zeros((1, exposed.shape[1])), exposed[:-1]])
    return np.asarray((exposed > 0) & (before == 0))


def run_lengths(exposed: Array | Mask) -> Integers:
    """Length of each run [min]; runs that follow each other without a free minute count as one.

    Parameters
    ----------
    exposed : numpy.ndarray, shape (minutes,)
        Share of each minute in which the workload is running [0 to 1].

    Returns
    -------
    numpy.ndarray, shape (runs,)
        Lengths, in order of time.
    """
    edges = np.diff(np.concatenate([[0], (exposed > 0).astype(int), [0]]))
    return np.asarray(np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1))


def of_median_length(exposed: Array) -> tuple[Array, Array]:
    """Exposure cut off at the median run length, and the remainder of longer runs.

    Parameters
    ----------
    exposed : numpy.ndarray, shape (minutes,)
        Share of each minute in which the workload is running [0 to 1].

    Returns
    -------
    tuple of numpy.ndarray, shape (minutes,)
        Exposure of runs that start as observed and last as long as the median run; each minute has the mean observed
        share. Then the exposure beyond that: those minutes are neither exposed nor unexposed.
    """
    length = int(np.median(run_lengths(exposed)))
    within = np.convolve(starts_of(exposed[:, None])[:, 0], np.ones(length))[: len(exposed)] > 0
    return np.asarray(within * exposed[exposed > 0].mean()), np.where(within, 0.0, exposed)


def columns(exposed: Array, view_age: Floats, load: Array, purge_speed: float, valid: Mask) -> Array:
    """Regressors of each workload, side by side, on the valid minutes.

    Parameters
    ----------
    exposed : numpy.ndarray, shape (minutes, workloads)
        Share of each minute in which each workload is running [0 to 1].
    view_age : numpy.ndarray, shape (minutes, workloads)
        Age of each workload's oldest run at the end of each minute [min]; 0 without one.
    load : numpy.ndarray, shape (minutes,)
        The writer's write throughput [1/s].
    purge_speed : float
        Purge speed when nothing blocks purge [mean write rates].
    valid : numpy.ndarray, shape (minutes,)
        Which minutes are rows of the result.

    Returns
    -------
    numpy.ndarray, shape (valid minutes, COLUMNS · workloads)
        For each workload its exposure, dose and carry-over.
    """
    found = np.empty((np.count_nonzero(valid), exposed.shape[1], COLUMNS))
    found[:, :, EXPOSED] = exposed[valid]
    found[:, :, DOSE] = _dose(view_age, load, purge_speed)[valid]
    found[:, :, CARRYOVER] = carryover(exposed)[valid]
    return found.reshape(len(found), COLUMNS * exposed.shape[1])


def shifted(exposed: Array) -> Array:
    """Exposure of the next and of the previous `CLOCK_MINUTES` minutes: the columns `CLOCK` of each workload, side by side.

    Beside the exposure itself they are a distributed lag: the sum of the three coefficients is the effect of an exposed
    minute, wherever within these minutes it shows.

    Parameters
    ----------
    exposed : numpy.ndarray, shape (minutes, workloads)
        Share of each minute in which each workload is running [0 to 1].

    Returns
    -------
    numpy.ndarray, shape (minutes, 2 · workloads)
        Means over these minutes [0 to 1].
    """
    count, reach = len(exposed), CLOCK_MINUTES
    padded = np.pad(exposed, ((reach, reach), (0, 0)))
    steps = range(1, reach + 1)
    earlier = sum(padded[reach + step : reach + step + count] for step in steps) / reach
    later = sum(padded[reach - step : reach - step + count] for step in steps) / reach
    return np.stack([earlier, later], axis=2).reshape(count, len(CLOCK) * exposed.shape[1])


def _dose(view_age: Floats, load: Array, purge_speed: float) -> Array:
    """Undo that is there only because the oldest run stopped purge, in minutes of mean writes.

    Purge moves at its own speed, up to the latest commit or to the start of the oldest run. The dose is how much further
    it would be without the runs. Purge works off what one run left behind while the next one is already in progress,
    so that runs in close succession hold back no more than each of them by itself.
    """
    written = np.concatenate([[0.0], np.cumsum(np.nan_to_num(load / np.nanmean(load), nan=1.0))])
    minute = np.arange(len(written))
    reach = purge_speed * minute[1:, None]
    at_view = np.interp(np.maximum(minute[1:, None] - view_age, 0), minute, written)
    freely, held = (np.minimum.accumulate(limit - reach, axis=0) for limit in (written[1:, None], at_view))
    return np.asarray(freely - held)


def leads(exposed: Array) -> Array:
    """Indicators of the minutes before a start in which neither this run nor the previous one can act: the columns `LEADS`.

    Parameters
    ----------
    exposed : numpy.ndarray, shape (minutes, workloads)
        Share of each minute in which each workload is running [0 to 1].

    Returns
    -------
    numpy.ndarray, shape (minutes, 2 · workloads)
        For each workload the third of these minutes that is nearest to the start, and the others.
    """
    far = np.array([min(PRE_TREND_MINUTES[0], _half_gap(column)) for column in exposed.T], dtype=int)
    near = np.minimum(PRE_TREND_MINUTES[1], far // 2)
    middle = near + (far - near + 2) // 3
    until = minutes_since(starts_of(exposed)[::-1])[::-1]
    free = (exposed == 0) & (carryover(exposed) == 0)
    shortly, longer = (
        (until > first) & (until <= last) & free for first, last in ((near, middle), (middle, far))
    )
    return (
        np.stack([shortly, longer], axis=2).astype(float).reshape(len(exposed), len(LEADS) * exposed.shape[1])
    )


def means_while_exposed(columns: Array) -> Array:
    """Mean of each column over the exposed minutes of its workload; 0 if there are none.

    Parameters
    ----------
    columns : numpy.ndarray, shape (minutes, COLUMNS · workloads)
        The regressors (`columns`).

    Returns
    -------
    numpy.ndarray, shape (COLUMNS · workloads,)
        The means.
    """
    own = columns.reshape(len(columns), columns.shape[1] // COLUMNS, COLUMNS)
    exposed = (own[:, :, EXPOSED] > 0).astype(float)
    sums = np.einsum("tw,twc->wc", exposed, own)
    return np.asarray(sums / np.maximum(exposed.sum(axis=0), 1)[:, None]).ravel()


STEP_MINUTES = 5
"""Growth and fall of the history list are measured over this many minutes: a single one is mostly noise."""

RISEN = 5.0
"""The history list shows purge only if it rose above its median by this many of its median steps."""


def purge_speed(history_list_length: pd.Series | None, load: pd.Series) -> float:
    """Purge speed when nothing blocks purge, in mean write rates.

    Parameters
    ----------
    history_list_length : pandas.Series, optional
        History list length by minute (CloudWatch: RollbackSegmentHistoryListLength) [transactions].
    load : pandas.Series
        The writer's write throughput on the same minutes [1/s].

    Returns
    -------
    float
        How fast the list falls over how fast it grows, plus the writes meanwhile, which purge cleaned up as well; from
        `SLOWEST_PURGE` to `FASTEST_PURGE`. `PURGE_SPEED` if the list never rose.

    Notes
    -----
    Both rates are taken where most of the movement is: a list at rest fluctuates in many minutes and shows
    nothing about purge.
    """
    if history_list_length is None:
        return PURGE_SPEED
    known = history_list_length.reindex(load.index)
    step = known.diff(STEP_MINUTES)
    if not known.max() - known.median() > RISEN * step.abs().median():
        return PURGE_SPEED
    writes = (load / load.mean()).rolling(STEP_MINUTES).mean()
    growth = _typical(step / writes, step)
    cleaned = _typical(writes - step / growth, -step)
    return float(np.clip(cleaned, SLOWEST_PURGE, FASTEST_PURGE))


def _typical(steps: pd.Series, moved: pd.Series) -> float:
    """Median step weighted by the movement, over the steps that moved up."""
    known = pd.DataFrame({"step": steps, "moved": moved}).dropna().query("moved > 0").sort_values("step")
    reached = known["moved"].cumsum()
    return float(known["step"].iloc[int(reached.searchsorted(reached.iloc[-1] / 2))])
