"""Simulate the workloads that real fleets run every day, and the ways in which they slow a writer.

`simulator` varies the writer beside a workload of four runs a day. This module varies the workload: frequent short
queries, business hours, a report behind a writer's job; effects that begin late, grow, lag or sit in the tail; clients
that wait for their answers; clocks that differ. (scenario, seed) determine every value but the effect.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from calibration import simulator
from calibration.simulator import DAY, Array, Fortnight, Runs, Writer

DAYS = 14
COUNT = DAYS * DAY

PERCENTS = (0, 5, 10, 25)
"""Planted effects over the exposed minutes [%]; `Fortnight.truth` has what they are on the typical and the average one."""

SKEWS = {
    "skew_75s": pd.Timedelta("75s"),
    "skew_30s": pd.Timedelta("30s"),
    "skew_minus_75s": pd.Timedelta("-75s"),
    "short_skew_75s": pd.Timedelta("75s"),
}
"""How far the reader's clock is ahead of the metrics, with runs of 8 and (short) of 4 minutes."""

KINDS = ["late", "growing", "delayed", "tail", "closed_loop", "skew_75s"]
"""A few runs a day, whose effect comes about in another way."""

TIMES = ["frequent_short", "short_jobs", "business_hours", "often_open", "long_query_time_10"]
"""Workloads at other times and of other lengths."""

PIPELINES = ["pipeline_some", "pipeline_more"]
"""A report follows some ends of a writer's job, or also runs at other times: the job's after-effect can be separated."""

CONFOUNDED = ["pipeline"]
"""A report follows every end of a writer's job and runs at no other time."""

OTHER_SKEWS = [name for name in SKEWS if name not in KINDS]

SCENARIOS = [*KINDS, *TIMES, *PIPELINES, *CONFOUNDED, *OTHER_SKEWS]
"""All scenarios; their order is part of their seeds."""

ELASTICITY = 1.0
"""Fall of log throughput per unit of log latency of clients that wait for their answers; 1: they never pause."""

AFTERMATH = 25
"""Time constant with which the effect of a writer's job fades after its end [min]."""


def fortnight(scenario: str, seed: int, percent: int) -> Fortnight:
    """One fortnight of a scenario with one latency, `latency`, and one true effect [%]."""
    rng = np.random.default_rng([seed, 500 + SCENARIOS.index(scenario)])
    writer = simulator.simulated_writer(rng, "uniform", DAYS)
    job = _load_job(rng) if "pipeline" in scenario else Runs(np.zeros(0), np.zeros(0))
    runs = _runs(rng, scenario, job)
    logged = _logged(scenario, runs)
    history = simulator.history_list(np.exp(writer.log_load), runs)
    shape = _shape(rng, scenario, runs.open_share(COUNT), history)
    exposed = logged.open_share(COUNT) > 0
    effect = _scaled(scenario, shape, exposed, percent)
    plain = writer.log_latency + _aftermath(job)
    log_load, log_latency = writer.log_load, plain + effect
    if scenario == "closed_loop":
        log_load, log_latency = _closed_loop(writer, effect)
    seen = replace(writer, log_load=log_load)
    data = simulator.observed(rng, seen, {"latency": log_latency}, logged, {}, history)
    jobs = pd.concat([data.writer_jobs, job.frame("load_job")]) if len(job.start) else data.writer_jobs
    shift = SKEWS.get(scenario, pd.Timedelta(0))
    moved = data.exposures.assign(start=data.exposures["start"] + shift, end=data.exposures["end"] + shift)
    return replace(
        data, exposures=moved, writer_jobs=jobs, truth={"latency": simulator.Truth.of(effect, exposed)}
    )


def _runs(rng: np.random.Generator, scenario: str, job: Runs) -> Runs:
    start = np.sort(_starts(rng, scenario, job))
    median = {
        "frequent_short": 1.5,
        "short_jobs": 4,
        "business_hours": 6,
        "long_query_time_10": 0.25,
        "short_skew_75s": 4,
    } | {name: 8 for name in SKEWS if name.startswith("skew")}
    spread = {"late": 0.8, "growing": 0.8, "long_query_time_10": 1.0}.get(scenario, 0.5)
    length = median.get(scenario, 25) * np.exp(rng.normal(0, spread, len(start)))
    if scenario == "often_open":
        length = np.diff(start, append=COUNT) - rng.uniform(10, 40, len(start))
    return Runs(start, np.minimum(start + length, COUNT))


def _starts(rng: np.random.Generator, scenario: str, job: Runs) -> Array:
    anytime = rng.uniform(0, COUNT - 60, 4 * DAYS)
    after = job.end + rng.uniform(1, 10, len(job.end))
    weekdays = DAY * np.flatnonzero(np.arange(DAYS) % 7 < 5)
    if scenario == "often_open":
        starts = np.cumsum(rng.uniform(60, 150, 400))
        return np.asarray(starts[starts < COUNT - 60])
    if scenario == "business_hours":
        return np.repeat(weekdays, 24) + rng.uniform(8 * 60, 18 * 60, 24 * len(weekdays))
    if scenario == "pipeline":
        return after
    if scenario == "pipeline_some":
        return np.asarray(after[rng.random(len(after)) < 0.5])
    if scenario == "pipeline_more":
        return np.concatenate([after[rng.random(len(after)) < 0.5], anytime[::2]])
    each_day = {"frequent_short": 72, "short_jobs": 24, "long_query_time_10": 200, "short_skew_75s": 24}
    usual = 12 if scenario in SKEWS else 4
    return rng.uniform(0, COUNT - 60, each_day.get(scenario, usual) * DAYS)


def _load_job(rng: np.random.Generator) -> Runs:
    """A load job of some 20 minutes, four times a day, at times that vary by an hour or two."""
    planned = (DAY * np.arange(DAYS)[:, None] + [120, 480, 780, 1200]).ravel()
    start = planned + rng.uniform(-90, 90, len(planned))
    return Runs(start, start + 20 * np.exp(rng.normal(0, 0.3, len(start))))


def _aftermath(job: Runs) -> Array:
    """What a load job adds to log latency: 0.15 while it runs, and ever less after its end."""
    added = 0.15 * job.open_share(COUNT)
    for minute in range(1, COUNT):
        added[minute] = max(added[minute], added[minute - 1] * np.exp(-1 / AFTERMATH))
    return added


def _logged(scenario: str, runs: Runs) -> Runs:
    """The runs that the reader's log shows."""
    shown = runs.end - runs.start >= (10 / 60 if scenario == "long_query_time_10" else 0)
    return Runs(runs.start[shown], runs.end[shown])


def _shape(rng: np.random.Generator, scenario: str, share: Array, history: Array) -> Array:
    """The course of the effect, on any scale."""
    if scenario == "late":
        return np.maximum(history - 30, 0)
    if scenario == "growing":
        return history**2
    if scenario == "delayed":
        return np.concatenate([np.zeros(15), share[:-15]])
    if scenario == "tail":
        return np.asarray((share > 0) * (rng.random(COUNT) < 0.1), dtype=float)
    return share


def _scaled(scenario: str, shape: Array, exposed: Array, percent: int) -> Array:
    """The effect on log latency: its mean over the exposed minutes is `percent`; in `tail`, that of latency itself."""
    if scenario == "tail":
        return shape * np.log1p(percent / 100 / shape[exposed].mean())
    return np.log1p(percent / 100) * shape / shape[exposed].mean()


def _closed_loop(writer: Writer, effect: Array) -> tuple[Array, Array]:
    """Log load and log latency when clients wait for their answers; the total effect is the true one."""
    damped = (
        1 + 0.25 * ELASTICITY
    )  # latency takes a quarter of log load, so slower clients relieve the writer
    disturbance = writer.noise + damped * effect
    log_load = writer.log_load - ELASTICITY * disturbance / damped
    return log_load, writer.log_latency + damped * effect + 0.25 * (log_load - writer.log_load)
