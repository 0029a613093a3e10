"""Estimate when the oldest read view began, from the history list length and the writer's transactions alone.

The estimate needs the history entries per transaction. They are measured on steady rises of the history list, because
they change with the mix of statements. A rise has few entries per transaction for one of two reasons: the writer mostly
inserts, or purge is at work meanwhile. The first is believed only while a known statement is open since before purge
stopped; otherwise purge that writes outran would look like a view.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import GAP, Array, Mask, period_s, seconds
from aurora_analysis.analysis.undo_log.samples import Samples

FEWEST = 10
"""Fewer samples imply nothing."""

# Lengths of time are in sampling periods.
RISES = (3, 5, 10, 20)
"""Lengths of the rises that estimate the entries per transaction [periods]."""
STEADY = 0.1
"""Largest deviation of a step from its rise's mean step; noise adds to it, up to half a step."""
PRECISE = 0.1
"""Largest standard error of a rise's entries per transaction that noise may cause, relative."""
ROUGH = 0.03
"""Part of a rise's relative error that noise does not cause."""
BIN = 5
"""Rises this close together count as one [periods]."""
NEAR = 120.0
"""Rises within so many periods support each other."""
NOISE = 1.5
"""A rise's level may be off by so many of its errors."""
NEIGHBOURHOOD = 1441
"""Rises around which a low one stands out [periods]."""
LOW = 0.85
"""A rise with fewer entries per transaction than this share of its neighbourhood's upper decile needs a reason."""
LOWEST = 0.1
"""A rise with a smaller share than this is the ordinary wave of short views."""
CAUGHT_UP, CAUGHT_UP_OF_AGE = 1.5, 0.15
"""Tolerance of an implied start that has reached a statement's start [periods], and its increase with age."""


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
        History entries per transaction. Default: estimated locally from steady rises.

    Returns
    -------
    Series
        Implied start (UTC) by time of the sample; empty if there are too few samples.
    """
    found = samples(history, transactions, per_transaction=per_transaction)
    if found is None:
        none = pd.DatetimeIndex([], dtype="datetime64[us, UTC]")
        return pd.Series(none, index=history.index[:0], name="since")
    return pd.Series(found.clock(found.view_start), index=found.times, name="since")


def samples(
    history: pd.Series,
    transactions: pd.Series,
    runs: pd.DataFrame | None = None,
    *,
    per_transaction: float | None = None,
) -> Samples | None:
    """Align the history list with the count of transactions, and estimate the entries per transaction.

    Parameters
    ----------
    history, transactions, per_transaction
        As in `read_view_start`.
    runs : DataFrame, optional
        Known statements, with `start` and `end` (UTC).

    Returns
    -------
    Samples or None
        None if there are too few samples.
    """
    history, transactions = history.dropna().sort_index(), transactions.dropna().sort_index()
    if min(len(history), len(transactions)) < FEWEST:
        return None
    times = pd.DatetimeIndex(history.index)
    x, period = seconds(times), period_s(times)
    counted = np.interp(x, seconds(transactions.index), transactions.to_numpy(dtype=float))
    given = np.full(len(x), per_transaction or 1.0)
    found = Samples(times, (x - x[0]) / period, history.to_numpy(dtype=float), counted, period, given)
    return found if per_transaction else _with_local_rate(found, runs)


def _with_local_rate(found: Samples, runs: pd.DataFrame | None) -> Samples:
    rises = pd.concat([_rises(found, length) for length in RISES], ignore_index=True).sort_values("middle")
    if rises.empty:
        return found
    place = pd.to_timedelta(rises["middle"], unit="s").to_numpy()
    level = pd.Series(rises["level"].to_numpy(), place)
    usual = level.rolling(f"{NEIGHBOURHOOD}s", center=True).quantile(0.9)
    low = rises["level"].to_numpy() + 2 * rises["error"].to_numpy() < usual.to_numpy() + np.log(LOW)
    certain = _interpolated(found, rises[~low])
    believable = rises["level"].to_numpy() > usual.to_numpy() + np.log(LOWEST)
    if runs is None or not low.any():
        return certain
    return _interpolated(found, rises[~low | believable & _under_a_statement(certain, rises, runs)])


def _rises(found: Samples, length: int) -> pd.DataFrame:
    """Steady rises of so many periods: `first`, `last`, `middle`, the log `level` of entries per transaction, its `error`."""
    if len(found.x) <= length:
        return pd.DataFrame({"first": [], "last": [], "middle": [], "level": [], "error": []})
    history, counted, x = (
        np.lib.stride_tricks.sliding_window_view(one, length + 1)
        for one in (found.history, found.committed, found.x)
    )
    grown, written = history[:, -1] - history[:, 0], counted[:, -1] - counted[:, 0]
    ratio = grown / np.maximum(written, 1e-9)
    steady = _is_steady(history - ratio[:, None] * counted, grown / length, found.noise * history[:, -1])
    clear = (written > 0) & (grown > 3 * found.base)
    error = found.noise * np.hypot(history[:, 0], history[:, -1]) / np.maximum(grown, 1e-9)
    clear &= error < PRECISE
    first = np.flatnonzero(steady & clear & (x[:, -1] - x[:, 0] < GAP * length))
    places = {"first": first, "last": first + length, "middle": found.x[first] + length / 2}
    return pd.DataFrame({**places, "level": np.log(ratio[first]), "error": error[first]})


def _is_steady(off_line: Array, step: Array, noise: Array) -> Mask:
    """Return whether a rise goes on alike in its parts: in its steps if it is short, else in its halves, first and last step.

    `off_line` is the rise without its mean trend; noise may add to a part's deviation, up to half of a step.
    """
    length = off_line.shape[1] - 1
    if length < 2 * RISES[1]:
        steps = np.abs(np.diff(off_line)).max(axis=1)
        return np.asarray((steps <= STEADY * step + 3 * noise) & (3 * noise <= step / 2))
    half = length // 2
    halves = np.abs(off_line[:, half] - (off_line[:, 0] + off_line[:, -1]) / 2) / half
    ends = np.abs(np.diff(off_line)[:, [0, -1]]).max(axis=1)
    alike = halves <= STEADY * step + np.minimum(3 * noise / half, step / 4)
    return np.asarray(alike & (ends <= step / 2 + 3 * noise))


def _interpolated(found: Samples, rises: pd.DataFrame) -> Samples:
    weight = 1 / (ROUGH + rises["error"]) ** 2
    sums = pd.DataFrame({"weight": weight, "level": weight * rises["level"], "at": weight * rises["middle"]})
    sums = sums.groupby(rises["middle"] // BIN).sum()
    level, at = (sums[name] / sums["weight"] for name in ("level", "at"))
    error = rises["error"].groupby(rises["middle"] // BIN).min() + ROUGH
    return replace(found, per_transaction=np.exp(np.interp(found.x, at, _steadied(level, at, error))))


def _steadied(level: pd.Series, at: pd.Series, error: pd.Series) -> Array:
    """Levels without what noise may explain: each moves towards its neighbours' mean by at most `NOISE` errors."""
    levels, places, errors = (one.to_numpy(dtype=float) for one in (level, at, error))
    weights = np.concatenate([[0.0], np.cumsum(1 / errors**2)])
    sums = np.concatenate([[0.0], np.cumsum(levels / errors**2)])
    first = np.searchsorted(places, places - NEAR)
    last = np.searchsorted(places, places + NEAR, side="right")
    mean = (sums[last] - sums[first]) / (weights[last] - weights[first])
    off = levels - mean
    return np.asarray(mean + np.sign(off) * np.clip(np.abs(off) - NOISE * errors, 0, None))


def _under_a_statement(found: Samples, rises: pd.DataFrame, runs: pd.DataFrame) -> Mask:
    """Return whether purge had reached the start of a statement that was open throughout a rise."""
    first, last = (rises[name].to_numpy(dtype=int) for name in ("first", "last"))
    since = _oldest_open(found, runs)[last]
    reached = found.view_start + CAUGHT_UP + CAUGHT_UP_OF_AGE * found.age
    return np.asarray(since <= np.minimum(found.x[first], reached[first]))


def _oldest_open(found: Samples, runs: pd.DataFrame) -> Array:
    """Start of the oldest statement that is open at each sample [periods]; infinite without one."""
    start, end = (found.periods(runs[name]) for name in ("start", "end"))
    oldest = np.full(len(found.x), np.inf)
    for n in np.argsort(-start, kind="stable"):
        oldest[np.searchsorted(found.x, start[n]) : np.searchsorted(found.x, end[n], side="right")] = start[n]
    return oldest
