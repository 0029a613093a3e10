"""Replay the growth model over a planned series of holds: history list, latency and drain, draw by draw.

Purge follows the start of the oldest open view, never faster than its own speed. Each draw is one possible hold: a day's
commit rate, the entries per transaction, the purge speed, and the latency curve, each from its own distribution.
Quantiles over the draws are the intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aurora_analysis.analysis.limits.effect_curve import Curve
from aurora_analysis.analysis.limits.growth import Growth
from aurora_analysis.analysis.series import Array

DRAWS = 1000
COVERAGE = 0.95
"""Coverage of the intervals [0 to 1]."""

DRAINED = 0.1
"""A hold has drained when this share of its peak is left, as for recorded episodes."""

DRAIN_MOST_MIN = 24 * 60
"""The replay follows the drain for a day at most [min]."""


@dataclass(frozen=True)
class Interval:
    """A predicted value and its prediction interval; infinite ends mean "longer than was replayed"."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcome:
    """The predicted effect of a plan on the writer.

    Attributes
    ----------
    length : Interval
        Longest history list [transactions].
    slowdown_pct : Interval
        Highest slowdown of the writer [%].
    mean_slowdown_pct : Interval
        Mean slowdown from the first start to the last end [%].
    minutes_over : Interval
        Minutes with a slowdown above the objective, drain included [min].
    drain_min : Interval
        Time from the last end until nine tenths of the peak are gone [min].
    """

    length: Interval
    slowdown_pct: Interval
    mean_slowdown_pct: Interval
    minutes_over: Interval
    drain_min: Interval


@dataclass(frozen=True)
class Plan:
    """Views that are held one after another.

    Attributes
    ----------
    start_min : float
        Local minute of the week of the first start; 0 is Monday 00:00.
    holds : tuple of tuple of float
        Start and end of each view [min after `start_min`], in order.
    """

    start_min: float
    holds: tuple[tuple[float, float], ...]

    @property
    def minutes(self) -> float:
        """Time from the first start to the last end [min]."""
        return self.holds[-1][1]


def one_hold(start_min: float, minutes: float) -> Plan:
    """Plan a single view.

    Parameters
    ----------
    start_min : float
        Local minute of the week.
    minutes : float
        How long it is held [min].

    Returns
    -------
    Plan
        The plan.
    """
    return Plan(start_min, ((0.0, minutes),))


def chunked(start_min: float, minutes: float, chunk_min: float, pause_min: float = 0.0) -> Plan:
    """Cut a hold into chunks, each with a view of its own.

    Parameters
    ----------
    start_min : float
        Local minute of the week.
    minutes : float
        Length of all chunks together [min].
    chunk_min, pause_min : float
        Length of a chunk, and the pause after it [min].

    Returns
    -------
    Plan
        The plan.
    """
    starts = np.arange(0, minutes - 1e-9, chunk_min)
    lengths = np.minimum(chunk_min, minutes - starts)
    begins = starts + pause_min * np.arange(len(starts))
    return Plan(start_min, tuple(zip(begins.tolist(), (begins + lengths).tolist())))


def replayed(growth: Growth, curve: Curve, plan: Plan, base: float, objective_pct: float) -> Outcome:
    """Predict what a plan does to the writer.

    Parameters
    ----------
    growth : Growth
        Commit rate, growth and purge.
    curve : Curve
        Latency over the history list.
    plan : Plan
        The views.
    base : float
        History list length while nothing holds purge [transactions].
    objective_pct : float
        Slowdown that is not to be exceeded [%].

    Returns
    -------
    Outcome
        Each figure with its interval; the drain is NaN if no recorded hold was seen to drain.
    """
    rng = np.random.default_rng([0, int(plan.start_min), int(plan.minutes)])
    after = DRAIN_MOST_MIN if growth.purge else 0
    step = max(
        1, int(plan.minutes // 720)
    )  # long plans in coarser steps; a step is below a hundredth of the plan
    count = int(np.ceil((plan.minutes + after) / step))
    at = step * np.arange(count + 1.0)
    committed = growth.rate.committed(plan.start_min, int(at[-1]))[at.astype(int)]
    factor = growth.entries.draws(rng, DRAWS) * rate_factor(growth, rng, plan.start_min, plan.minutes)
    speed = growth.purge.draws(rng, DRAWS) if growth.purge else np.full(DRAWS, np.inf)
    excess = _excess(committed, at, plan, factor, speed)
    at = at[: len(excess)]
    slopes = curve.draws(rng, DRAWS)
    slower = curve.slowdown_pct(excess, slopes)
    within = at <= plan.minutes
    peak = excess[within].max(axis=0)
    gone = (excess <= DRAINED * peak) & (at > plan.minutes)[:, None]
    drained = np.where(gone.any(axis=0), at[gone.argmax(axis=0)] - plan.minutes, np.inf)
    unknown = np.full(DRAWS, np.nan)
    return Outcome(
        length=interval(np.maximum(base + peak, growth.peaks(rng, DRAWS, plan.minutes))),
        slowdown_pct=interval(slower[within].max(axis=0)),
        mean_slowdown_pct=interval(slower[within].mean(axis=0)),
        minutes_over=interval(step * (slower > objective_pct).sum(axis=0)),
        drain_min=interval(drained if growth.purge else unknown),
    )


def rate_factor(growth: Growth, rng: np.random.Generator, start_min: float, minutes: float) -> Array:
    """Factors by which single days differ from the average week, over a span.

    Parameters
    ----------
    growth : Growth
        The commit rate.
    rng : numpy.random.Generator
        Source of random numbers.
    start_min, minutes : float
        The span [local minute of the week, min].

    Returns
    -------
    numpy.ndarray, shape (DRAWS,)
        The factors.
    """
    spread, df = growth.rate.spread(start_min, minutes)
    # With very few days t has no variance; beyond a factor of e⁵ nothing is known anyway.
    return np.asarray(np.exp(np.clip(spread * rng.standard_t(df, DRAWS), -5, 5)))


def _excess(committed: Array, at: Array, plan: Plan, factor: Array, speed: Array) -> Array:
    """History list above its base by step and draw, until all have drained: what was committed since the purge cursor."""
    limit = committed.copy()
    for start, end in plan.holds:
        held = (at > start) & (at <= end)  # the view bounds what purge does up to this step
        limit[held] = np.interp(start, at, committed)
    cursor, found = np.zeros(len(factor)), np.empty((len(at), len(factor)))
    for n, allowed in enumerate(limit):
        seconds = 60 * (at[n] - at[n - 1]) if n else 0
        cursor = (
            np.maximum(cursor, np.minimum(allowed * factor, cursor + speed * seconds)) if seconds else cursor
        )
        found[n] = committed[n] * factor - cursor
        if at[n] > plan.minutes and not found[n].any():
            return found[: n + 1]
    return found


def interval(values: Array) -> Interval:
    """Median and prediction interval of drawn values.

    Parameters
    ----------
    values : numpy.ndarray
        One value per draw; infinite ones count as very large.

    Returns
    -------
    Interval
        NaN if any value is NaN.
    """
    if np.isnan(values).any():
        return Interval(np.nan, np.nan, np.nan)
    ordered = np.sort(values)
    places = np.array([0.5, (1 - COVERAGE) / 2, (1 + COVERAGE) / 2]) * (len(ordered) - 1)
    return Interval(*(float(ordered[round(place)]) for place in places))
