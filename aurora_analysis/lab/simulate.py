"""The simulated cluster `shop`: a fortnight, minute by minute, of a writer and two readers. Nothing in it was measured.

What is planted, and may be asked of the notebooks:

- `snowflake`   extracts at random times that hold a read view and so slow the writer, through the undo log
- `tableau`     as often and as long, without effect: its sessions set `aurora_read_replica_read_committed`, under
                which a reader renews its view while a statement runs, so that no long view is held
- `finance`     an export that runs exactly with the writer's nightly batch: its effect cannot be told from the batch's
- `idle session`  a transaction that has read and then sleeps: it holds a view, and no log tells of it
- `deploy`      a long UPDATE of the writer's own, in one transaction
- `release`     at 10:00 of the day after half-time the application brings a new statement to a reader
- a failover and a gap in the monitoring, both in the second half

The model: the log of the write rate is a sum of day, weekend, slow and fast drift, and the batch. The history list is
what was committed since the purge cursor, which chases the start of the oldest open view. The log of the latency is a
sum of load, queueing, day, drift, noise and log(1 + k · excess history), with k solved so that `snowflake`'s runs
slow the writer by EFFECT on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.signal import lfilter

from aurora_analysis.window import Window

Array = npt.NDArray[np.float64]

FORTNIGHT = Window("2026-11-02", "2026-11-16")

EFFECT = 0.12
"""The mean slow-down of the writer while `snowflake` has an extract open."""

COMMITS_PER_MINUTE = 7200.0
PURGE_SPEED = 3.0
"""How fast purge can go, in units of the mean write rate."""

STEPS_PER_MINUTE = 6


@dataclass(frozen=True)
class Plan:
    """What is planted. Times are minutes since the window's start.

    `runs` has one row a run: `workload, seat, thread_id, start, end` of its statement, `view_end` (where the
    transaction outlives it), `holds_view`, and `logged`: whether the slow log tells of it.
    """

    window: Window
    seed: int
    batches: Array
    runs: pd.DataFrame
    failover: float
    gap: tuple[float, float]

    @property
    def minutes(self) -> int:
        return round(self.window.duration.total_seconds() / 60)

    @property
    def release(self) -> float:
        """When the application brings its new statement: 10:00 of the day after half-time."""
        days = self.window.duration.total_seconds() / 86_400
        return 1440 * (np.floor(0.5 * days) + 1) + 600

    def rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream])

    def times(self, minutes: npt.ArrayLike) -> pd.DatetimeIndex:
        """Minutes since the start as times, to the millisecond."""
        offsets = np.round(np.asarray(minutes, dtype=float) * 60_000).astype("timedelta64[ms]")
        return (pd.Timestamp(self.window.start) + pd.to_timedelta(offsets)).as_unit("us")

    def instances(self, seat: str, minutes: npt.ArrayLike) -> npt.NDArray[np.object_]:
        """Who sits in a seat: shop-1 and shop-2 change seats at the failover."""
        if seat == "analytics":
            return np.full(np.shape(minutes), "shop-3", dtype=object)
        before, after = ("shop-1", "shop-2") if seat == "writer" else ("shop-2", "shop-1")
        return np.where(np.asarray(minutes) < self.failover, before, after).astype(object)

    def observed(self, minutes: npt.NDArray[np.number]) -> npt.NDArray[np.bool_]:
        """Which minutes were monitored: not those of the gap, nor the one of the failover."""
        in_gap = (minutes >= self.gap[0]) & (minutes < self.gap[1])
        return ~in_gap & (minutes != np.floor(self.failover))


def plan(seed: int, window: Window = FORTNIGHT) -> Plan:
    """What happens when: drawn from the seed alone."""
    rng = np.random.default_rng([seed, 0])
    days = window.duration.total_seconds() / 86_400
    failover = 1440 * (np.floor(0.7 * days) + rng.uniform(0.4, 0.6))
    gap_start = np.floor(1440 * (np.floor(0.85 * days) + rng.uniform(0.3, 0.6)))
    batches = _batches(rng, days)
    runs = pd.concat(
        [
            _spread(rng, "snowflake", "analytics", 4.5 * days, days, failover),
            _spread(rng, "tableau", "other", 4.5 * days, days, failover),
            _beside(rng, batches),
            _spread(rng, "idle session", "analytics", 0.3 * days, days, failover).assign(logged=False),
            _spread(rng, "deploy", "writer", 0.15 * days, days, failover),
        ],
        ignore_index=True,
    )
    runs = runs.assign(thread_id=np.sort(rng.choice(900_000, len(runs), replace=False)) + 100_000)
    return Plan(window, seed, batches, runs, failover, (gap_start, gap_start + 300))


def _batches(rng: np.random.Generator, days: float) -> Array:
    """The nightly batch at about 02:00, some 35 minutes long: one row (start, end) a night."""
    nights = np.arange(np.ceil(days))
    starts = nights * 1440 + 120 + rng.uniform(-4, 4, len(nights))
    batches = np.column_stack([starts, starts + rng.normal(35, 2, len(nights))])
    return batches[batches[:, 1] < days * 1440]


def _spread(
    rng: np.random.Generator, workload: str, seat: str, count: float, days: float, failover: float
) -> pd.DataFrame:
    """Runs of 25 to 90 minutes at random times, one after another, none across the failover."""
    spans: list[tuple[float, float]] = []
    while len(spans) < max(1, round(count)):
        length = np.clip(rng.lognormal(np.log(45), 0.4), 25, 90)
        start = rng.uniform(0, days * 1440 - length - 20)
        taken = [*spans, (failover, failover + 5)]
        if all(start > end + 25 or start + length + 25 < begin for begin, end in taken):
            spans.append((start, start + length))
    return _runs(workload, seat, np.array(sorted(spans)), holds_view=workload != "tableau").pipe(
        _outlive, rng
    )


def _outlive(runs: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Of the extracts one in ten leaves its transaction open for some minutes more."""
    idle = (rng.random(len(runs)) < 0.1) & (runs["workload"] == "snowflake")
    return runs.assign(view_end=runs["end"] + np.where(idle, rng.uniform(5, 15, len(runs)), 0))


def _beside(rng: np.random.Generator, batches: Array) -> pd.DataFrame:
    """The export that the scheduler starts with the batch, and that ends with it."""
    return _runs("finance", "other", batches + rng.uniform(0.05, 0.6, batches.shape), holds_view=True)


def _runs(workload: str, seat: str, spans: Array, *, holds_view: bool) -> pd.DataFrame:
    ends = {"start": spans[:, 0], "end": spans[:, 1], "view_end": spans[:, 1]}
    return pd.DataFrame(
        {"workload": workload, "seat": seat, **ends, "holds_view": holds_view, "logged": True}
    )


@dataclass(frozen=True)
class Course:
    """How the writer fared, minute by minute: what was planned, played through.

    `commits` are write transactions; history and purge are counted in them too, from the window's start.
    `slowdown` is the factor on the latency, `undo_effect` the undo log's part of its logarithm.
    """

    commits: Array
    history: Array
    purge_boundary: Array
    purge_finished: Array
    undo_effect: Array
    slowdown: Array


def course(plan: Plan) -> Course:
    """The writer's commits, history list and latency that follow from a plan."""
    commits = _commits(plan)
    history, boundary, finished = _history(plan, commits)
    undo_effect = _undo_effect(plan, history)
    slowdown = np.exp(_log_latency(plan, commits) + undo_effect)
    return Course(commits, history, boundary, finished, undo_effect, slowdown)


def _commits(plan: Plan) -> Array:
    """Write transactions a minute."""
    rng, minute = plan.rng(1), np.arange(plan.minutes)
    hour = minute / 60 % 24
    weekend = np.isin((plan.window.start.weekday() + minute // 1440) % 7, (5, 6))
    day = 0.35 * np.sin(2 * np.pi * (hour - 9) / 24) + 0.12 * np.sin(4 * np.pi * (hour - 7) / 24)
    drift = wander(rng, plan.minutes, 360, 0.08) + wander(rng, plan.minutes, 5, 0.05)
    batch = np.log(2.5) * share(plan, plan.batches)
    return COMMITS_PER_MINUTE * np.exp(day - 0.25 * weekend + drift + batch)


def _history(plan: Plan, commits: Array) -> tuple[Array, Array, Array]:
    """The history list, the boundary and the end of purge, sampled in the middle of each minute [transactions]."""
    edges = np.concatenate([[0], np.cumsum(commits)])
    step = (np.arange(plan.minutes * STEPS_PER_MINUTE) + 0.5) / STEPS_PER_MINUTE
    committed = np.interp(step, np.arange(plan.minutes + 1), edges)
    oldest = np.interp(_oldest_view(plan, step), np.arange(plan.minutes + 1), edges)
    purged = _purged(oldest, PURGE_SPEED * COMMITS_PER_MINUTE / STEPS_PER_MINUTE)
    sampled = slice(STEPS_PER_MINUTE // 2, None, STEPS_PER_MINUTE)
    noise = plan.rng(2).normal(0, 0.01, plan.minutes)
    history = (committed - purged)[sampled] * (1 + noise)
    return history, oldest[sampled], purged[sampled]


def _oldest_view(plan: Plan, step: Array) -> Array:
    """When the oldest open view began; short statements always hold one of some seconds."""
    oldest = step - plan.rng(3).uniform(0.05, 0.4, len(step))
    for start, end in plan.runs.loc[plan.runs["holds_view"], ["start", "view_end"]].to_numpy():
        first, last = np.searchsorted(step, [start, end])
        oldest[first:last] = np.minimum(oldest[first:last], start)
    return np.maximum(oldest, 0)


def _purged(limit: Array, speed: float) -> Array:
    """Purge chases the limit, never back and never faster than it can."""
    purged, at = np.empty_like(limit), float(limit[0])
    for n, allowed in enumerate(limit):
        at = max(at, min(float(allowed), at + speed))
        purged[n] = at
    return purged


def _log_latency(plan: Plan, commits: Array) -> Array:
    """The latency but for the undo log: load, queueing, day, batch, drift, noise, failover."""
    rng, minute = plan.rng(4), np.arange(plan.minutes)
    load = commits / COMMITS_PER_MINUTE
    day = 0.05 * np.sin(2 * np.pi * (minute / 60 - 15) / 24)
    batch = 0.25 * share(plan, plan.batches)
    drift = wander(rng, plan.minutes, 10, 0.08) + wander(rng, plan.minutes, 360, 0.06)
    noise = 0.06 * rng.standard_t(5, plan.minutes)
    since = minute - plan.failover
    cold = np.log(3) * np.exp(-np.clip(since, 0, None) / 6) * (since >= 0)
    return 0.25 * np.log(load) + 0.3 * np.clip(load - 1.6, 0, None) + day + batch + drift + noise + cold


def _undo_effect(plan: Plan, history: Array) -> Array:
    """log(1 + k · excess), with k such that its mean is log(1 + EFFECT) while `snowflake` runs."""
    excess = np.clip(history - COMMITS_PER_MINUTE, 0, None)
    exposed = share(plan, plan.runs.loc[plan.runs["workload"] == "snowflake", ["start", "end"]]) > 0
    per_transaction = brentq(
        lambda k: np.log1p(k * excess[exposed]).mean() - np.log1p(EFFECT), 0, 1 / COMMITS_PER_MINUTE
    )
    return np.log1p(per_transaction * excess)


def wander(rng: np.random.Generator, count: int, minutes: float, deviation: float) -> Array:
    """A wandering that forgets itself in so many minutes, with the given standard deviation."""
    keep = np.exp(-1 / minutes)
    noise = rng.normal(0, deviation * np.sqrt(1 - keep**2), count)
    noise[0] = rng.normal(0, deviation)
    return lfilter([1], [1, -keep], noise)


def share(plan: Plan, spans: pd.DataFrame | Array, period: int = 1) -> Array:
    """How much of each period [minutes] the spans fill; two at once count double."""
    edges = np.arange(0, plan.minutes + 1, period)
    filled = sum(np.clip(edges, start, end) for start, end in np.asarray(spans))
    return np.diff(filled + np.zeros(len(edges))) / period
