"""Simulate the cluster `shop`: a writer and two readers, minute by minute for two weeks. Nothing in it was measured.

Planted, so that notebooks can be checked against it:

- `snowflake`   extracts at random times that hold a read view and so slow the writer through the undo log
- `tableau`     runs as often and as long without effect: its sessions set `aurora_read_replica_read_committed`, which
                renews a reader's view while a statement runs, so that it holds no long view
- `finance`     an export that always runs with the writer's nightly batch: their effects cannot be separated
- `idle session`  a transaction that has read and then sleeps: it holds a view, and no log shows it
- `deploy`      a long UPDATE on the writer, in one transaction
- `release`     at 10:00 of the day after half-time the application starts a new statement on a reader
- a failover and a gap in the monitoring, both in the second half

The model: the logarithm of the write rate is a sum of daily and weekly cycle, slow and fast drift, and the batch. The
history list is what was committed since the purge cursor, which follows the start of the oldest open view. The
logarithm of the latency is a sum of load, queueing, daily cycle, drift, noise and log(1 + k · excess history), with k
solved so that `snowflake`'s runs slow the writer by EFFECT on average.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy

from aurora_analysis.window import Window

Array = npt.NDArray[np.float64]

FORTNIGHT = Window("2026-11-02", "2026-11-16")
EARLIER = Window("2026-10-05", "2026-11-02")
"""Four ordinary weeks before the fortnight: no release, no failover, no gap."""

EFFECT = 0.12
"""Mean slow-down of the writer while a `snowflake` extract runs."""

COMMITS_PER_MINUTE = 7200.0
PURGE_SPEED = 3.0
"""Maximum speed of purge, in units of the mean write rate."""

STEPS_PER_MINUTE = 6


@dataclass(frozen=True)
class Plan:
    """The planted events. Times are minutes since the window's start.

    `runs` has one row per run: `workload`, `role`, `thread_id`, `start` and `end` of its statement, `view_end` (later
    if the transaction outlives the statement), `holds_view`, and `logged`, whether the slow log has it. Roles are
    `writer`, and `other` and `analytics` for the two readers.
    """

    window: Window
    seed: int
    batches: Array
    runs: pd.DataFrame
    failover: float
    gap: tuple[float, float]
    release: float
    """Time at which the application starts its new statement."""

    @property
    def minutes(self) -> int:
        """Length of the window [min]."""
        return round(self.window.duration.total_seconds() / 60)

    def rng(self, stream: int) -> np.random.Generator:
        """Random numbers of one stream; streams are independent."""
        return np.random.default_rng([self.seed, stream])

    def times(self, minutes: npt.ArrayLike) -> pd.DatetimeIndex:
        """Convert minutes since the start to times, to the millisecond."""
        offsets = np.round(np.asarray(minutes, dtype=float) * 60_000).astype("timedelta64[ms]")
        return (pd.Timestamp(self.window.start) + pd.to_timedelta(offsets)).as_unit("us")

    def instances(self, role: str, minutes: npt.ArrayLike) -> npt.NDArray[np.object_]:
        """Instance that has a role at each time: shop-1 and shop-2 swap roles at the failover."""
        if role == "analytics":
            return np.full(np.shape(minutes), "shop-3", dtype=object)
        before, after = ("shop-1", "shop-2") if role == "writer" else ("shop-2", "shop-1")
        return np.where(np.asarray(minutes) < self.failover, before, after).astype(object)

    def observed(self, minutes: npt.NDArray[np.number]) -> npt.NDArray[np.bool_]:
        """Return whether each minute was monitored: all but those of the gap and of the failover."""
        in_gap = (minutes >= self.gap[0]) & (minutes < self.gap[1])
        return np.asarray(~in_gap & (minutes != np.floor(self.failover)), dtype=np.bool_)


def plan(seed: int, window: Window = FORTNIGHT) -> Plan:
    """Draw the planted events from the seed alone."""
    rng = np.random.default_rng([seed, 0])
    days = window.duration.total_seconds() / 86_400
    failover = 1440 * (np.floor(0.7 * days) + rng.uniform(0.4, 0.6))
    gap_start = np.floor(1440 * (np.floor(0.85 * days) + rng.uniform(0.3, 0.6)))
    batches = _batches(rng, days)
    runs = pd.concat(
        [
            _at_random(rng, "snowflake", "analytics", 4.5 * days, days, failover),
            _at_random(rng, "tableau", "other", 4.5 * days, days, failover),
            _with_batches(rng, batches),
            _at_random(rng, "idle session", "analytics", 0.3 * days, days, failover).assign(logged=False),
            _at_random(rng, "deploy", "writer", 0.15 * days, days, failover),
        ],
        ignore_index=True,
    )
    runs = runs.assign(thread_id=np.sort(rng.choice(900_000, len(runs), replace=False)) + 100_000)
    release = float(1440 * (np.floor(0.5 * days) + 1) + 600)
    return Plan(window, seed, batches, runs, failover, (gap_start, gap_start + 300), release)


def ordinary(seed: int, window: Window = EARLIER) -> Plan:
    """Draw weeks in which nothing but the usual workloads happens; not the draws of `plan` with this seed."""
    return replace(plan(seed + 1, window), failover=np.inf, gap=(np.inf, np.inf), release=np.inf)


def _batches(rng: np.random.Generator, days: float) -> Array:
    """Draw the nightly batch, about 35 minutes from about 02:00 on: one row (start, end) per night."""
    nights = np.arange(np.ceil(days))
    starts = nights * 1440 + 120 + rng.uniform(-4, 4, len(nights))
    batches = np.column_stack([starts, starts + rng.normal(35, 2, len(nights))])
    return batches[batches[:, 1] < days * 1440]


def _at_random(
    rng: np.random.Generator, workload: str, role: str, count: float, days: float, failover: float
) -> pd.DataFrame:
    """Draw runs of 25 to 90 minutes at random times, without overlap, none across the failover."""
    spans: list[tuple[float, float]] = []
    while len(spans) < max(1, round(count)):
        length = np.clip(rng.lognormal(np.log(45), 0.4), 25, 90)
        start = rng.uniform(0, days * 1440 - length - 20)
        taken = [*spans, (failover, failover + 5)]
        if all(start > end + 25 or start + length + 25 < begin for begin, end in taken):
            spans.append((start, start + length))
    return _runs(workload, role, np.array(sorted(spans)), holds_view=workload != "tableau").pipe(
        _outlive, rng
    )


def _outlive(runs: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Let one in ten extracts leave its transaction open for 5 to 15 more minutes."""
    idle = (rng.random(len(runs)) < 0.1) & (runs["workload"] == "snowflake")
    return runs.assign(view_end=runs["end"] + np.where(idle, rng.uniform(5, 15, len(runs)), 0))


def _with_batches(rng: np.random.Generator, batches: Array) -> pd.DataFrame:
    """Draw the export that starts and ends with each batch."""
    return _runs("finance", "other", batches + rng.uniform(0.05, 0.6, batches.shape), holds_view=True)


def _runs(workload: str, role: str, spans: Array, *, holds_view: bool) -> pd.DataFrame:
    ends = {"start": spans[:, 0], "end": spans[:, 1], "view_end": spans[:, 1]}
    return pd.DataFrame(
        {"workload": workload, "role": role, **ends, "holds_view": holds_view, "logged": True}
    )


@dataclass(frozen=True)
class Course:
    """The writer, minute by minute, as it follows from a plan.

    `commits` are write transactions per minute; history and purge are counted in transactions since the window's start.
    `slowdown` is the factor on the latency, `undo_effect` the undo log's part of its logarithm.
    """

    commits: Array
    history: Array
    purge_boundary: Array
    purge_finished: Array
    undo_effect: Array
    slowdown: Array


def course(plan: Plan) -> Course:
    """Compute the writer's commits, history list and latency from a plan."""
    commits = _commits(plan)
    history, boundary, finished = _history(plan, commits)
    undo_effect = _undo_effect(plan, history)
    slowdown = np.exp(_log_latency(plan, commits) + undo_effect)
    return Course(commits, history, boundary, finished, undo_effect, slowdown)


def _commits(plan: Plan) -> Array:
    """Write transactions per minute."""
    rng, minute = plan.rng(1), np.arange(plan.minutes)
    hour = minute / 60 % 24
    weekend = np.isin((plan.window.start.weekday() + minute // 1440) % 7, (5, 6))
    day = 0.35 * np.sin(2 * np.pi * (hour - 9) / 24) + 0.12 * np.sin(4 * np.pi * (hour - 7) / 24)
    drift = wander(rng, plan.minutes, 360, 0.08) + wander(rng, plan.minutes, 5, 0.05)
    batch = np.log(2.5) * share(plan, plan.batches)
    return np.asarray(COMMITS_PER_MINUTE * np.exp(day - 0.25 * weekend + drift + batch))


def _history(plan: Plan, commits: Array) -> tuple[Array, Array, Array]:
    """History list, purge boundary and purge progress in the middle of each minute [transactions]."""
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
    """Start of the oldest open view; short statements always hold one that is some seconds old."""
    oldest = step - plan.rng(3).uniform(0.05, 0.4, len(step))
    for start, end in plan.runs.loc[plan.runs["holds_view"], ["start", "view_end"]].to_numpy():
        first, last = np.searchsorted(step, [start, end])
        oldest[first:last] = np.minimum(oldest[first:last], start)
    return np.maximum(oldest, 0)


def _purged(limit: Array, speed: float) -> Array:
    """Let purge follow the limit, never backwards and never faster than `speed`."""
    purged, at = np.empty_like(limit), float(limit[0])
    for n, allowed in enumerate(limit):
        at = max(at, min(float(allowed), at + speed))
        purged[n] = at
    return purged


def _log_latency(plan: Plan, commits: Array) -> Array:
    """Logarithm of the latency without the undo log: load, queueing, daily cycle, batch, drift, noise, failover."""
    rng, minute = plan.rng(4), np.arange(plan.minutes)
    load = commits / COMMITS_PER_MINUTE
    day = 0.05 * np.sin(2 * np.pi * (minute / 60 - 15) / 24)
    batch = 0.25 * share(plan, plan.batches)
    drift = wander(rng, plan.minutes, 10, 0.08) + wander(rng, plan.minutes, 360, 0.06)
    noise = 0.06 * rng.standard_t(5, plan.minutes)
    since = minute - plan.failover
    cold = np.log(3) * np.exp(-np.clip(since, 0, None) / 6) * (since >= 0)
    queueing = 0.3 * np.clip(load - 1.6, 0, None)
    return np.asarray(0.25 * np.log(load) + queueing + day + batch + drift + noise + cold)


def _undo_effect(plan: Plan, history: Array) -> Array:
    """log(1 + k · excess), with k such that its mean is log(1 + EFFECT) while `snowflake` runs."""
    excess = np.clip(history - COMMITS_PER_MINUTE, 0, None)
    exposed = share(plan, plan.runs.loc[plan.runs["workload"] == "snowflake", ["start", "end"]]) > 0
    per_transaction = scipy.optimize.brentq(
        lambda k: np.log1p(k * excess[exposed]).mean() - np.log1p(EFFECT), 0, 1 / COMMITS_PER_MINUTE
    )
    return np.log1p(per_transaction * excess)


def wander(rng: np.random.Generator, count: int, minutes: float, deviation: float) -> Array:
    """First-order autoregressive noise with a correlation time of `minutes` and a standard deviation."""
    keep = np.exp(-1 / minutes)
    noise = rng.normal(0, deviation * np.sqrt(1 - keep**2), count)
    noise[0] = rng.normal(0, deviation)
    return np.asarray(scipy.signal.lfilter([1], [1, -keep], noise))


def share(plan: Plan, spans: pd.DataFrame | Array, period: int = 1) -> Array:
    """Share of each period [min] that the spans fill; overlapping spans add up."""
    edges = np.arange(0, plan.minutes + 1, period)
    filled = sum(np.clip(edges, start, end) for start, end in np.asarray(spans))
    return np.diff(filled + np.zeros(len(edges))) / period
