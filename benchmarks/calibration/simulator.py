"""Simulate fortnights of a writer that a workload slows by a known amount, or not at all.

The simulator shares no code with the estimator. The logarithm of the write rate is the sum of a time of day, a weekend,
a slow and a fast noise, and a nightly batch. The logarithm of latency is the sum of a quarter of that, a knee at high
load, a daily shape, the batch, noise with and without autocorrelation, and rare failovers. The history list holds the
writes since the purge cursor, and the oldest open read view stops the cursor. (scenario, seed) determine every value.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy

Array = npt.NDArray[np.float64]

START = pd.Timestamp("2026-10-19", tz="UTC")  # a Monday, the week before clocks change in Berlin
DAY = 1440

PURGE_SPEED = 3.0
"""Largest speed of the purge cursor [mean minutes of writes per minute]."""

MOST = 10.0
"""The average minute's effect counts a single minute as at most so many times slower."""

EFFECTS = {"null": 0, "hll 5": 5, "hll 10": 10, "hll 25": 25, "direct 10": 10, "lagged 10": 10}
"""Mean effect over the exposed minutes [%] of each simulated latency; its name starts with the mechanism."""

ANYTIME = ["uniform", "office", "peak", "load", "night"]
WITH_A_JOB = ["batch_partial", "batch_somedays", "hourly_job"]
BY_DAY = ["fixed_jitter", "alt_days", "busy_day", "few", "long_runs", "week"]
DISTURBED = ["accomplice", "longmem", "rough", "regime", "reverse", "hiccup"]
UNIDENTIFIABLE = ["batch_exact", "fixed_daily", "trigger", "mostly_open"]
BUSINESS_HOURS = ["dashboard"]
ODD_WRITERS = ["daylight_saving", "idle_nights", "shifting_peak", "loud_nights", "heavy_tails", "deploys"]
ODD_DATA = ["hidden_batch", "missing_hours"]
ODD_RUNS = ["bursts", "late_effect", "subset", "superset", "weekly"]
MAIN = ANYTIME + WITH_A_JOB + BY_DAY + DISTURBED + UNIDENTIFIABLE + BUSINESS_HOURS
ODD = ODD_WRITERS + ODD_DATA + ODD_RUNS
SCENARIOS = MAIN + ODD


@dataclass(frozen=True)
class Truth:
    """True effect over the exposed minutes [%]: `typical` on the geometric mean of latency, `average` on the arithmetic.

    They differ where the effect differs from minute to minute: each printed effect is judged by the truth of its basis. The
    average counts a minute as at most `MOST` times slower, as the printed one does.
    """

    typical: float
    average: float

    @classmethod
    def of(cls, log_effect: Array, exposed: npt.NDArray[np.bool_]) -> Truth:
        while_exposed = log_effect[exposed]
        average = np.minimum(np.exp(while_exposed), MOST).mean() - 1
        return cls(100 * np.expm1(while_exposed.mean()), 100 * average)


@dataclass(frozen=True)
class Fortnight:
    """An analyst's data for two weeks, and `truth`: the planted effects of workload `extract` by latency."""

    latency: pd.DataFrame
    load: pd.Series
    exposures: pd.DataFrame
    writer_jobs: pd.DataFrame
    history_list_length: pd.Series
    timezone: str = "UTC"
    truth: dict[str, Truth] = field(default_factory=dict)


@dataclass(frozen=True)
class Runs:
    """Start and end of each run [minutes since the fortnight's start, with fractions]."""

    start: Array
    end: Array

    def open_share(self, minutes: int) -> Array:
        """The share of each minute in which at least one run is open."""
        fine = np.zeros(minutes * 10 + 1)
        for start, end in zip(self.start, self.end):
            fine[round(start * 10) : max(round(end * 10), round(start * 10) + 1)] = 1
        return fine[:-1].reshape(minutes, 10).mean(axis=1)

    def frame(self, workload: str) -> pd.DataFrame:
        spans = {
            name: START + pd.to_timedelta(np.round(getattr(self, name), 1), unit="min")
            for name in ("start", "end")
        }
        return pd.DataFrame({"workload": workload, **spans})


@dataclass(frozen=True)
class Writer:
    """The writer without the workload: logarithms of write rate and latency, jobs, noise, and a hidden daily level."""

    log_load: Array
    log_latency: Array
    batch: Runs
    hourly: Runs | None
    noise: Array
    busy: Array


def fortnight(scenario: str, seed: int) -> Fortnight:
    """Simulate the fortnight (in `week`: one week) of a scenario and seed."""
    rng = np.random.default_rng([seed, SCENARIOS.index(scenario)])
    days = 7 if scenario == "week" else 14
    writer = simulated_writer(rng, scenario, days)
    runs = _runs(rng, scenario, days, writer)
    disturbed, runs, others = _disturbed(rng, scenario, days, writer, runs)
    open_ = runs.open_share(days * DAY)
    history = history_list(np.exp(writer.log_load), runs)
    late = scenario == "late_effect"
    effects = {name: _effect(name, open_, history, late) for name in EFFECTS}
    latency = {name: disturbed + effect for name, effect in effects.items()}
    truth = {name: Truth.of(effect, open_ > 0) for name, effect in effects.items()}
    data = replace(observed(rng, writer, latency, runs, others, history), truth=truth)
    if scenario == "missing_hours":
        data = _with_missing_hours(rng, data)
    if scenario == "hidden_batch":
        data = replace(data, writer_jobs=data.writer_jobs[:0])
    return replace(data, timezone="Europe/Berlin") if scenario == "daylight_saving" else data


def _with_missing_hours(rng: np.random.Generator, data: Fortnight) -> Fortnight:
    """Remove one hour in four, at random."""
    hours = data.latency.index.floor("h")
    missing = rng.random(24 * 14) < 0.25
    kept = ~missing[((hours - START) // pd.Timedelta("1h")).to_numpy()]
    return replace(data, latency=data.latency[kept], load=data.load[kept])


def ar(rng: np.random.Generator, count: int, tau: float, sd: float) -> Array:
    """Autoregressive noise with a correlation time of `tau` minutes."""
    keep = np.exp(-1 / tau)
    shocks = rng.normal(0, sd * np.sqrt(1 - keep**2), count)
    shocks[0] = rng.normal(0, sd)
    return scipy.signal.lfilter([1.0], [1.0, -keep], shocks)


def simulated_writer(rng: np.random.Generator, scenario: str, days: int) -> Writer:
    count = days * DAY
    minute = np.arange(count)
    local = minute + (_ahead(minute) if scenario == "daylight_saving" else 0)
    clock, weekend = local % DAY, (local // DAY) % 7 >= 5
    busy = np.repeat(rng.normal(0, 0.2 if scenario == "busy_day" else 0, days), DAY)
    batch = _batch(rng, days, 45 if scenario == "hidden_batch" else 4)
    if scenario == "daylight_saving":
        batch = Runs(*(np.maximum(moments - _ahead(moments), 0) for moments in (batch.start, batch.end)))
    in_batch = batch.open_share(count)
    late = 15 * (minute // DAY) if scenario == "shifting_peak" else 0
    peak = np.cos(2 * np.pi * (clock - 14 * 60 - late) / DAY)
    log_load = 0.5 * peak - 0.3 * weekend * (1 + 0.5 * peak) + busy + in_batch * np.log(2.5)
    log_load += ar(rng, count, 360, 0.12) + ar(rng, count, 5, 0.08)
    if scenario == "idle_nights":
        log_load = np.where(clock < 5 * 60, -8.0, log_load)
    hourly = _hourly(rng, days) if scenario == "hourly_job" else None
    in_hourly = hourly.open_share(count) if hourly else 0.0
    log_load = log_load + 0.4 * in_hourly
    knee = 0.5 * np.maximum(log_load - 0.7, 0) ** 2
    shape = 0.05 * np.cos(2 * np.pi * (clock - 4 * 60) / DAY) + 0.03 * np.sin(4 * np.pi * clock / DAY)
    noise = _noise(rng, scenario, count)
    if scenario == "loud_nights":
        noise = noise * np.where((clock < 7 * 60) | (clock > 21 * 60), 2.5, 1)
    if scenario == "deploys":
        noise = noise + sum(rng.normal(0, 0.08) * (minute > at) for at in rng.uniform(0, count, 5))
    log_latency = 0.25 * log_load + knee + shape + 0.25 * in_batch + 0.15 * in_hourly + 0.5 * busy + noise
    return Writer(log_load, log_latency + _failovers(rng, count), batch, hourly, noise, busy)


def _ahead(minute: Array) -> Array:
    """Offset of local time in Berlin from UTC [min]."""
    return np.where(minute < 6 * DAY + 60, 120, 60)


def _batch(rng: np.random.Generator, days: int, jitter: float) -> Runs:
    start = np.arange(days) * DAY + 120 + rng.uniform(-jitter, jitter, days)
    return Runs(start, start + 35 * np.exp(rng.normal(0, 0.15, days)))


def _hourly(rng: np.random.Generator, days: int) -> Runs:
    start = np.arange(days * 24) * 60 + rng.uniform(0, 1, days * 24)
    return Runs(start, start + rng.uniform(3, 6, days * 24))


def _noise(rng: np.random.Generator, scenario: str, count: int) -> Array:
    white = 0.06 * rng.standard_t(5, count) / np.sqrt(5 / 3)
    if scenario == "longmem":
        return white + sum(ar(rng, count, tau, 0.05) for tau in (3, 30, 300, 3000))
    if scenario == "heavy_tails":
        white = 0.06 * rng.standard_t(1.5, count)
    wild = 1.8 if scenario == "rough" else 1.0
    return wild * (white + ar(rng, count, 10, 0.08) + ar(rng, count, 360, 0.06))


def _failovers(rng: np.random.Generator, count: int) -> Array:
    """Add unreported failovers (1.5 on average): three minutes at three times the latency."""
    spikes = np.zeros(count)
    for at in rng.integers(0, count - 5, rng.poisson(1.5)):
        spikes[at : at + 3] = np.log(3)
    return spikes


def _runs(rng: np.random.Generator, scenario: str, days: int, writer: Writer) -> Runs:
    """Runs of the workload: four per day of about 25 minutes, unless the scenario differs."""
    start = np.sort(_starts(rng, scenario, days, writer))
    length = 25 * np.exp(rng.normal(0, 0.5, len(start)))
    if scenario == "long_runs":
        length = 240 * np.exp(rng.normal(0, 0.2, len(start)))
    if scenario in ("bursts", "dashboard"):
        length = length / 3
    if scenario == "mostly_open":
        length = np.diff(start, append=days * DAY) - rng.uniform(10, 30, len(start))
        start, length = start[length > 1], length[length > 1]
    if scenario == "reverse":
        length = length * np.exp(3 * _at(writer.noise, start))
    runs = Runs(start, start + length)
    if scenario in ("batch_exact", "batch_somedays"):
        runs = writer.batch
    if scenario == "batch_somedays":
        nights = np.sort(rng.choice(days, days // 2, replace=False))
        runs = Runs(runs.start[nights], runs.end[nights])
    return Runs(runs.start, np.minimum(runs.end, days * DAY))


def _starts(rng: np.random.Generator, scenario: str, days: int, writer: Writer) -> Array:
    midnights = np.arange(days) * DAY
    weekdays = midnights[(np.arange(days) % 7) < 5]
    each = np.repeat(midnights, 4)
    if scenario == "office":
        return np.repeat(weekdays, 4) + rng.uniform(9 * 60, 18 * 60, 4 * len(weekdays))
    if scenario == "peak":
        return np.repeat(midnights, 3) + rng.uniform(11 * 60, 17 * 60, 3 * days)
    if scenario in ("night", "hidden_batch"):
        return each + rng.uniform(-2 * 60, 6 * 60, len(each)).clip(0)
    if scenario == "load":
        return _weighted(rng, np.exp(2 * writer.log_load), 4 * days)
    if scenario == "busy_day":
        return _weighted(rng, np.exp(5 * writer.busy), 4 * days)
    if scenario == "batch_partial":
        nights = np.flatnonzero(rng.random(days) < 0.5)
        return np.concatenate([_anytime(rng, days, 3 * days), writer.batch.start[nights]])
    if scenario == "hourly_job":
        some = rng.random(4 * days) < 0.5
        hours = _anytime(rng, days, 4 * days)
        return np.where(some, hours // 60 * 60 + rng.uniform(0, 3, len(hours)), hours)
    if scenario == "bursts":
        begin = rng.uniform(0, days * DAY - 90, 3 * days)
        return (begin[:, None] + np.array([0, 12, 25])).ravel()
    if scenario == "dashboard":
        hours = np.arange(8 * 60, 18 * 60, 20)
        return (weekdays[:, None] + hours + rng.uniform(0, 8, (len(weekdays), len(hours)))).ravel()
    if scenario == "weekly":
        return np.concatenate([midnights[[0, 3, 7, 10]] + 9 * 60, _anytime(rng, days, 8)])
    if scenario == "fixed_daily":
        return midnights + 10 * 60.0
    if scenario == "fixed_jitter":
        chosen = rng.choice(midnights, min(10, days), replace=False)
        return chosen + 10 * 60 + rng.uniform(-120, 120, len(chosen))
    if scenario == "alt_days":
        chosen = rng.choice(midnights, days // 2, replace=False)
        return (chosen[:, None] + 60.0 * np.array([4, 10, 15, 20])).ravel()
    if scenario == "few":
        return _anytime(rng, days, 6)
    if scenario == "long_runs":
        return _anytime(rng, days, days)
    if scenario == "regime":
        return DAY * 5 + _anytime(rng, days - 5, 4 * (days - 5))
    return _anytime(rng, days, 4 * days)


def _anytime(rng: np.random.Generator, days: int, count: int) -> Array:
    return rng.uniform(0, days * DAY - 60, count)


def _weighted(rng: np.random.Generator, weight: Array, count: int) -> Array:
    chosen = rng.choice(len(weight) - 60, count, p=weight[:-60] / weight[:-60].sum())
    return chosen + rng.random(count)


def _at(values: Array, moments: Array) -> Array:
    return values[moments.astype(int)]


def _disturbed(
    rng: np.random.Generator, scenario: str, days: int, writer: Writer, runs: Runs
) -> tuple[Array, Runs, dict[str, Runs]]:
    """Add the scenario's disturbances: log latency, the runs after the disturbances, and other workloads' runs."""
    latency = writer.log_latency.copy()
    if scenario == "accomplice":
        near = runs.start[rng.random(len(runs.start)) < 0.6] + rng.uniform(-20, 20)
        near = np.concatenate([near.clip(0), _anytime(rng, days, days)])
        other = Runs(near, np.minimum(near + 25 * np.exp(rng.normal(0, 0.5, len(near))), days * DAY))
        return latency + np.log(1.15) * other.open_share(days * DAY), runs, {"accomplice": other}
    if scenario == "subset":
        other = _around(rng, days, runs)
        return latency + np.log(1.15) * other.open_share(days * DAY), runs, {"whole": other}
    if scenario == "superset":
        some = rng.random(len(runs.start)) < 0.5
        end = runs.start + 0.7 * (runs.end - runs.start)
        return latency, runs, {"part": Runs(runs.start[some], end[some])}
    if scenario == "regime":
        latency[int(rng.uniform(4, 10) * DAY) :] += 0.1
    if scenario == "hiccup":
        latency, runs = _hiccups(rng, days, latency, runs)
    if scenario == "trigger":
        latency, runs = _triggered(rng, days, latency, runs)
    return latency, runs, {}


def _around(rng: np.random.Generator, days: int, runs: Runs) -> Runs:
    """Runs of another workload that cover every one of these runs, and as many other moments."""
    more = np.sort(_anytime(rng, days, len(runs.start)))
    start = np.concatenate([runs.start, more]) - rng.uniform(0, 15, 2 * len(more))
    end = np.concatenate([runs.end, more + 25]) + rng.uniform(0, 15, 2 * len(more))
    return Runs(start.clip(0), end.clip(0, days * DAY))


def _hiccups(rng: np.random.Generator, days: int, latency: Array, runs: Runs) -> tuple[Array, Runs]:
    """Add storage pauses, which slow the writer and prolong the runs that are open."""
    end = runs.end.copy()
    for at in _anytime(rng, days, days):
        pause = rng.uniform(4, 15)
        latency[int(at) : int(at + pause)] += 0.4
        end[(runs.start <= at) & (end > at)] += pause
    return latency, Runs(runs.start, np.minimum(end, days * DAY))


def _triggered(rng: np.random.Generator, days: int, latency: Array, runs: Runs) -> tuple[Array, Runs]:
    """Add hidden events that slow the writer for an hour; each run starts about twenty minutes after its event."""
    for start in runs.start:
        begin = int(start - rng.uniform(12, 28))
        latency[max(begin, 0) : begin + int(rng.uniform(45, 75))] += 0.12
    return latency, runs


def history_list(write_rate: Array, runs: Runs) -> Array:
    """History list at the end of each minute [mean minutes of writes]."""
    committed = np.cumsum(write_rate / write_rate.mean())
    limit = committed.copy()
    for start, end in sorted(zip(runs.start, runs.end), reverse=True):
        limit[int(start) : int(end) + 1] = committed[int(start)]
    minute = np.arange(len(committed))
    # The cursor moves at PURGE_SPEED unless the oldest view stops it: a running minimum.
    cursor = PURGE_SPEED * minute + np.minimum.accumulate(limit - PURGE_SPEED * minute)
    return committed - cursor


def _effect(name: str, open_: Array, history: Array, late: bool) -> Array:
    """The workload's effect on log latency; its mean over the exposed minutes is the planted one."""
    kind = name.split()[0]
    truth = np.log1p(EFFECTS[name] / 100)
    exposed = open_ > 0
    if kind == "null":
        return np.zeros(len(open_))
    if kind == "hll" and late:
        shape = np.maximum(history - 20, 0)
        return truth * shape / shape[exposed].mean()
    if kind == "hll":
        return np.log1p(strength(history[exposed], truth) * history)
    shape = (
        open_
        if kind == "direct"
        else scipy.signal.lfilter([1 - np.exp(-1 / 15)], [1.0, -np.exp(-1 / 15)], open_)
    )
    return truth * shape / shape[exposed].mean()


def strength(history: Array, truth: float) -> float:
    """Find k by bisection so that the mean of log(1 + k history) is `truth`."""
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.log1p(middle * history).mean() < truth else (low, middle)
    return low


def observed(
    rng: np.random.Generator,
    writer: Writer,
    log_latency: dict[str, Array],
    runs: Runs,
    others: dict[str, Runs],
    history: Array,
) -> Fortnight:
    """The data that monitoring would record: single minutes and two hours missing, and a noisy history list."""
    count = len(history)
    times = pd.date_range(START, periods=count, freq="min")
    recorded = rng.random(count) > 0.002
    gap = int(rng.integers(0, count - 120))
    recorded[gap : gap + 120] = False
    latency = pd.DataFrame({name: 4 * np.exp(values) for name, values in log_latency.items()}, index=times)
    jobs = [writer.batch.frame("nightly_batch")]
    jobs += [writer.hourly.frame("hourly_job")] if writer.hourly else []
    length = (500 + 3000 * history) * np.exp(rng.normal(0, 0.02, count))
    return Fortnight(
        latency=latency[recorded],
        load=pd.Series(1000 * np.exp(writer.log_load), times)[recorded],
        exposures=pd.concat([runs.frame("extract"), *(each.frame(name) for name, each in others.items())]),
        writer_jobs=pd.concat(jobs),
        history_list_length=pd.Series(length, times)[recorded],
    )


DIGESTS, CULPRITS = 200, 10


def many_digests(seed: int, digests: int = DIGESTS) -> tuple[Fortnight, set[str]]:
    """Simulate many digests on the readers, and return the names of the ten that slow the writer by 10 to 25 %."""
    rng = np.random.default_rng([seed, 1000])
    days, count = 14, 14 * DAY
    writer = simulated_writer(rng, "uniform", days)
    latency, frames = writer.log_latency.copy(), []
    for n in range(digests):
        start = np.sort(_starts(rng, str(rng.choice(["uniform", "office", "peak", "night"])), days, writer))
        start = start[rng.random(len(start)) < rng.uniform(0.3, 1)]
        runs = Runs(start, np.minimum(start + 20 * np.exp(rng.normal(0, 0.5, len(start))), count))
        latency += np.log1p(rng.uniform(0.10, 0.25) if n < CULPRITS else 0) * runs.open_share(count)
        frames.append(runs.frame(f"digest {n}"))
    idle = Runs(np.zeros(0), np.zeros(0))
    data = observed(rng, writer, {"latency": latency}, idle, {}, np.zeros(count))
    exposures = pd.concat(frames)
    return Fortnight(data.latency, data.load, exposures, data.writer_jobs, data.history_list_length), {
        f"digest {n}" for n in range(CULPRITS)
    }
