"""A writer's undo history whose holders are planted, for `benchmarks/attribution.py`.

It shares no code with the estimator. Time advances in steps of ten seconds. Each transaction adds its undo to the
history list unless it only inserts. Purge removes undo up to the start of the oldest open read view, at a finite
rate. The monitoring has one value a minute: the value at the minute's middle, or the minute's mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter

Array = npt.NDArray[np.float64]

START = pd.Timestamp("2026-10-19", tz="UTC")
DAYS = 4
STEPS = 6
"""Steps per minute."""
COMMITS = 6000.0
"""Mean write transactions per minute."""


@dataclass(frozen=True)
class Workload:
    """Runs of one digest: how many a day, how long [min, median], and the share of its transactions that hold a view.

    `every` starts its runs at full multiples of so many minutes, within `jitter` minutes; otherwise runs start at random
    times. `logged` is False for sessions that no log shows; `outlives` is the share of runs whose view outlives the statement.
    `by_draw` draws once for each fortnight whether all of its transactions hold a view or none does, with the chance `holds`.
    """

    name: str
    a_day: float = 5.0
    median: float = 25.0
    spread: float = 0.5
    shortest: float = 2.0
    longest: float = 180.0
    holds: float = 1.0
    logged: bool = True
    outlives: float = 0.0
    every: float = 0.0
    jitter: float = 20 / 60
    by_draw: bool = False


@dataclass(frozen=True)
class Setting:
    """One difficulty: the workloads, the mix of writes, the speed of purge and the noise of the monitoring.

    `mix` is `steady`, `day_night` (at night only a third of the transactions leave undo), `insert_phases` (phases of one
    to three hours in which a quarter does) or `drift`. `purge` is in mean write rates; `mean` selects minute means.
    """

    name: str
    workloads: tuple[Workload, ...]
    mix: str = "steady"
    purge: float = 3.0
    noise: float = 0.01
    mean: bool = False

    def sampled(self, how: str) -> Setting:
        """Return the same setting with `point` or `mean` samples."""
        return replace(self, mean=how == "mean")


@dataclass(frozen=True)
class Course:
    """What the monitoring shows, and the truth.

    `history` and `throughput` [1/s] are by minute; `runs` are the logged statements (`workload`, `digest`, `start`, `end`).
    `holder` is the row of `runs` that holds the oldest view at each minute, -1 without a view, -2 if the view is in no
    log; `since` is the start of that view, NaT without one. `oldest_transaction` is the start of the oldest transaction of all readers.
    """

    history: pd.Series
    throughput: pd.Series
    runs: pd.DataFrame
    holder: npt.NDArray[np.int64]
    since: pd.DatetimeIndex


def course(setting: Setting, seed: int) -> Course:
    """Simulate one setting from its name and the seed alone."""
    rng = np.random.default_rng([seed, *setting.name.encode()])
    minutes = DAYS * 1440
    runs = pd.concat([_runs(one, rng) for one in setting.workloads], ignore_index=True)
    commits = _commits(rng, minutes)
    per_step = np.repeat(commits / STEPS, STEPS)
    undo = np.concatenate([[0.0], np.cumsum(per_step * _undo_share(setting, rng, minutes))])
    step = np.arange(minutes * STEPS) / STEPS
    views = runs[runs["holds"]].sort_values("start")
    oldest, whose = _oldest(views, step)
    short = np.minimum(oldest, step - rng.uniform(0.02, 0.2, len(step)))
    limit = np.interp(np.maximum(short, 0), np.arange(len(undo)) / STEPS, undo)
    speed = setting.purge * (undo[-1] / len(step))
    history = undo[:-1] - _purged(limit, speed) + 20
    history = history * (
        1 + rng.normal(0, setting.noise / (np.sqrt(STEPS) if setting.mean else 1), len(history))
    )
    middle = slice(STEPS // 2, None, STEPS)
    values = history.reshape(-1, STEPS).mean(axis=1) if setting.mean else history[middle]
    times = START + pd.to_timedelta(np.arange(minutes), unit="min")
    logged = runs[runs["logged"]]
    place = np.full(len(runs) + 1, -2)
    place[logged.index] = np.arange(len(logged))
    place[-1] = -1
    since = np.where(whose[middle] >= 0, oldest[middle], np.nan)
    frame = logged.reset_index(drop=True).assign(
        digest=logged["workload"].to_numpy(), **{name: clock(logged[name]) for name in ("start", "end")}
    )
    return Course(
        pd.Series(np.round(values), times),
        pd.Series(commits / 60, times),
        frame[["workload", "digest", "start", "end"]],
        place[whose[middle]],
        clock(since),
    )


def clock(minutes: npt.ArrayLike) -> pd.DatetimeIndex:
    """Convert minutes since the start to times."""
    return (START + pd.to_timedelta(np.asarray(minutes, dtype=float), unit="min")).as_unit("us")


def _runs(one: Workload, rng: np.random.Generator) -> pd.DataFrame:
    if one.every:
        start = np.arange(one.every, DAYS * 1440 - one.every, one.every)
        start = start + rng.uniform(0, one.jitter, len(start))
    else:
        start = np.sort(rng.uniform(0, DAYS * 1440 - 60, rng.poisson(one.a_day * DAYS)))
    length = np.clip(rng.lognormal(np.log(one.median), one.spread, len(start)), one.shortest, one.longest)
    idle = np.where(rng.random(len(start)) < one.outlives, rng.uniform(5, 40, len(start)), 0)
    spans = {"start": start, "end": start + length, "view_end": start + length + idle}
    drawn = rng.random(len(start))
    holds = (drawn[:1] if one.by_draw else drawn) < one.holds
    columns = {"holds": np.resize(holds, len(start)), "logged": one.logged}
    return pd.DataFrame({"workload": one.name, **spans, **columns})


def _wander(rng: np.random.Generator, count: int, minutes: float, deviation: float) -> Array:
    keep = np.exp(-1 / minutes)
    noise = rng.normal(0, deviation * np.sqrt(1 - keep**2), count)
    noise[0] = rng.normal(0, deviation)
    return np.asarray(lfilter([1], [1, -keep], noise))


def _commits(rng: np.random.Generator, minutes: int) -> Array:
    hour = np.arange(minutes) / 60 % 24
    daily = 0.3 * np.sin(2 * np.pi * (hour - 9) / 24)
    return np.asarray(
        COMMITS * np.exp(daily + _wander(rng, minutes, 360, 0.08) + _wander(rng, minutes, 5, 0.06))
    )


def _undo_share(setting: Setting, rng: np.random.Generator, minutes: int) -> Array:
    """Undo entries per transaction, at each step."""
    minute, share = np.arange(minutes), np.ones(minutes)
    if setting.mix == "day_night":
        share = np.where((minute / 60 % 24 >= 7) & (minute / 60 % 24 < 21), 1.0, 0.33)
    elif setting.mix == "insert_phases":
        for start in rng.uniform(0, minutes, 3 * DAYS):
            share[int(start) : int(start + rng.uniform(60, 180))] = 0.25
    elif setting.mix == "drift":
        share = np.exp(_wander(rng, minutes, 240, 0.2))
    return np.repeat(0.8 * share, STEPS)


def _oldest(views: pd.DataFrame, step: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    """Start of the oldest open view and the run's row at each step; the step itself and -1 without one."""
    oldest, whose = step.copy(), np.full(len(step), -1)
    for row, start, end in views[["start", "view_end"]].itertuples():
        first, last = np.searchsorted(step, [start, end])
        older = oldest[first:last] > start
        oldest[first:last] = np.where(older, start, oldest[first:last])
        whose[first:last] = np.where(older, row, whose[first:last])
    return oldest, whose


def _purged(limit: Array, speed: float) -> Array:
    purged, at = np.empty_like(limit), float(limit[0])
    for n, allowed in enumerate(limit.tolist()):
        at = max(at, min(allowed, at + speed))
        purged[n] = at
    return purged


A, B, C = Workload("etl"), Workload("report"), Workload("export", median=35)
CRON = tuple(
    Workload(name, every=120, median=median, jitter=20 / 60)
    for name, median in (("etl", 40), ("report", 25), ("export", 15))
)
SETTINGS = {
    one.name: one
    for one in (
        Setting("separate runs", (A, B, C)),
        Setting("overlapping runs", tuple(replace(one, a_day=14) for one in (A, B, C))),
        Setting("cron, all within 20 s", CRON),
        Setting(
            "cron, one READ COMMITTED",
            (replace(CRON[0], holds=0.0), CRON[1], CRON[2], replace(A, name="etl", holds=0.0)),
        ),
        Setting(
            "cron, READ COMMITTED by draw",
            (CRON[0], *(replace(one, holds=0.5, by_draw=True) for one in CRON[1:])),
        ),
        Setting("day and night mix", (A, B, C), mix="day_night"),
        Setting("insert phases", (A, B, C), mix="insert_phases"),
        Setting("drifting mix", (A, B, C), mix="drift"),
        Setting("slow purge (1.3)", (A, B, C), purge=1.3),
        Setting("slow purge, many runs", tuple(replace(one, a_day=14) for one in (A, B, C)), purge=1.3),
        Setting(
            "short runs (2 to 8 min)", tuple(replace(one, a_day=12, median=4, longest=8) for one in (A, B, C))
        ),
        Setting(
            "READ COMMITTED readers",
            (A, B, Workload("dashboard", a_day=10, holds=0.0), Workload("search", a_day=10, holds=0.0)),
        ),
        Setting(
            "half of the sessions READ COMMITTED",
            tuple(replace(one, a_day=12, holds=0.5) for one in (A, B, C)),
            noise=0.03,
        ),
        Setting(
            "idle and unlogged holders",
            (replace(A, outlives=0.3), B, Workload("idle", a_day=3, median=40, logged=False)),
        ),
        Setting(
            "many statements",
            tuple(
                Workload(
                    f"statement {n}", a_day=12, median=6, spread=0.9, shortest=1.0, holds=float(n % 3 > 0)
                )
                for n in range(12)
            ),
        ),
        Setting(
            "noisy and unlogged",
            (
                replace(A, a_day=10, outlives=0.2),
                replace(B, a_day=10),
                Workload("idle", a_day=5, median=40, logged=False),
            ),
            noise=0.03,
        ),
    )
}
