"""A second, plain implementation of the estimator, and the frozen table that it produced.

It shares no code with the package: loops where the package has arrays, one least-squares fit on everything where
the package removes the controls first. `python tests/analysis/reader_impact/reader_impact_plain.py` prints the table.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import scipy

CASES = 20
START = datetime(2026, 10, 19, 5, 30, tzinfo=UTC)


def case(seed: int) -> dict:
    """A small writer: 8 to 14 days, 1 to 3 workloads; some cases have jobs, gaps, a time zone or a failover."""
    rng = np.random.default_rng(seed)
    days = int(rng.integers(8, 15))
    count = days * 1440 - int(rng.integers(0, 400))
    minute = np.arange(count)
    load = 200 * np.exp(0.4 * np.sin(2 * np.pi * minute / 1440) + 0.2 * rng.normal(size=count))
    shares = {f"w{k}": _runs(rng, count) for k in range(int(rng.integers(1, 4)))}
    jobs = {"batch": [(d * 1440 + 60.5, d * 1440 + 95.25) for d in range(days - 1)]} if seed % 2 else {}
    log = (
        1 + 0.3 * np.log(load / 200) + 0.1 * np.sin(2 * np.pi * minute / 720) + 0.08 * rng.normal(size=count)
    )
    for k, runs in enumerate(shares.values()):
        for start, end in runs:
            log[math.floor(start) : math.ceil(end)] += 0.04 * k * (seed % 3)
    log[rng.integers(0, count, 5)] += 2
    latency = np.exp(log)
    latency[rng.random(count) < 0.01 * (seed % 4)] = np.nan
    return {
        "latency": latency,
        "load": load,
        "exposures": shares,
        "jobs": jobs,
        "failover": count // 2 if seed % 5 == 0 else None,
        "timezone": ["UTC", "Europe/Berlin", "America/New_York"][seed % 3],
    }


def _runs(rng: np.random.Generator, count: int) -> list[tuple[float, float]]:
    starts = np.sort(rng.uniform(0, count - 200, int(rng.integers(15, 45))))
    longest = [20, 60, 180][int(rng.integers(0, 3))]
    return [(float(start), float(start + rng.uniform(2, longest))) for start in starts]


def frames(inputs: dict) -> tuple[tuple, dict]:
    """The case as arguments of `Inputs`."""
    times = pd.date_range(START, periods=len(inputs["load"]), freq="min")

    def runs(spans: dict) -> pd.DataFrame:
        rows = [
            (name, times[0] + pd.Timedelta(minutes=a), times[0] + pd.Timedelta(minutes=b))
            for name, pairs in spans.items()
            for a, b in pairs
        ]
        return pd.DataFrame(rows, columns=["workload", "start", "end"])

    writers = None
    if inputs["failover"]:
        spans = [times[0], times[inputs["failover"]], times[-1]]
        writers = pd.DataFrame({"start": spans[:2], "end": spans[1:], "writer": ["one", "two"]})
    latency = pd.DataFrame({"commit_latency": inputs["latency"]}, index=times)
    options = {
        "writer_jobs": runs(inputs["jobs"]) if inputs["jobs"] else None,
        "writers": writers,
        "timezone": inputs["timezone"],
    }
    return (latency, pd.Series(inputs["load"], times), runs(inputs["exposures"])), options


def plain(inputs: dict) -> dict[str, tuple[float, float, float, float]]:
    """Effect, interval [%] and p of each workload of a case."""
    count = len(inputs["load"])
    moments = [START + timedelta(minutes=t) for t in range(count)]
    local = [moment.astimezone(ZoneInfo(inputs["timezone"])) for moment in moments]
    by_hour = [
        np.mean([load for load, at in zip(inputs["load"], local) if at.hour == hour]) for hour in range(24)
    ]
    cut = int(np.argmin(by_hour))
    dates = [(at.replace(tzinfo=None) - timedelta(hours=cut)).date() for at in local]
    day = np.array([(date - dates[0]).days for date in dates])
    open_ = {name: _share(runs, count) for name, runs in inputs["exposures"].items()}
    known = ~np.isnan(inputs["latency"])
    if inputs["failover"]:
        known[inputs["failover"] - 5 : inputs["failover"] + 15] = False
    return {
        name: _effect(inputs, local, day, open_, name, known, _drift_hours(open_[name])) for name in open_
    }


def _share(runs: list[tuple[float, float]], count: int) -> np.ndarray:
    """Minute by minute, the length of the union of the runs' parts in it."""
    share = np.zeros(count)
    for t in range(count):
        parts = sorted((max(a, t), min(b, t + 1)) for a, b in runs if a < t + 1 and b > t)
        reached = float(t)
        for a, b in parts:
            share[t] += max(0.0, b - max(a, reached))
            reached = max(reached, b)
    return share


def _lengths(share: np.ndarray) -> list[int]:
    lengths, length = [], 0
    for value in [*share, 0.0]:
        if value > 0:
            length += 1
        elif length:
            lengths.append(length)
            length = 0
    return lengths


def _drift_hours(share: np.ndarray) -> int:
    wanted = 6 * np.percentile(_lengths(share), 90) / 60
    return 12 if wanted <= 12 else 24 if wanted <= 24 else 48


def _tail_minutes(share: np.ndarray) -> int:
    """As long as nine runs in ten, 10 to 30 minutes, but at most half of most gaps."""
    wanted = min(30, max(10, math.ceil(np.percentile(_lengths(share), 90))))
    gaps = _lengths((share == 0).astype(float))
    inner = gaps[int(share[0] == 0) : len(gaps) - int(share[-1] == 0)]
    return int(min(wanted, max(1, np.percentile(inner, 75) // 2))) if inner else wanted


def _own(runs: list[tuple[float, float]], load: np.ndarray) -> list[np.ndarray]:
    """Exposure, dose and tail."""
    share = _share(runs, len(load))
    tail, since, reach = np.zeros(len(share)), 10**6, _tail_minutes(share)
    for t, value in enumerate(share):
        since = 0 if value > 0 else since + 1
        tail[t] = 1.0 if 0 < since <= reach else 0.0
    return [share, _dose(runs, load / load.mean()), tail]


def _dose(runs: list[tuple[float, float]], writes: np.ndarray) -> np.ndarray:
    """Two purges, minute by minute: one stops at the start of the oldest run, the other one only at the last commit."""
    dose = np.zeros(len(writes))
    committed = held = free = 0.0
    before = [0.0]
    for t, written in enumerate(writes):
        committed += float(written)
        before.append(committed)
        oldest = min((a for a, b in runs if a < t + 1 and b > t), default=t + 1.0)
        whole = min(math.floor(oldest), t)
        stop = before[whole] + (oldest - whole) * (before[whole + 1] - before[whole])
        held, free = (stop, committed) if t == 0 else (min(stop, held + 2.5), min(committed, free + 2.5))
        dose[t] = free - held
    return dose


def _other_clocks(share: np.ndarray) -> list[np.ndarray]:
    """Mean exposure of the next two minutes, and of the previous two."""
    count = len(share)
    at = {t: share[t] if 0 <= t < count else 0.0 for t in range(-2, count + 2)}
    return [np.array([(at[t + sign] + at[t + 2 * sign]) / 2 for t in range(count)]) for sign in (1, -1)]


def _nuisance(
    inputs: dict, local: list[datetime], day: np.ndarray, known: np.ndarray, hours: int
) -> np.ndarray:
    count, load = len(local), inputs["load"]
    clock = np.array([at.hour * 60 + at.minute for at in local])
    weekend = np.array([at.weekday() >= 5 for at in local], dtype=float)
    columns = []
    for point in range(72):
        distance = np.abs((clock / 20 - point + 36) % 72 - 36)
        columns.append(np.maximum(0, 1 - distance))
    if day[-1] > 7:
        columns.append(weekend)
        for k in range(1, 5):
            columns += [weekend * f(2 * np.pi * k * clock / 1440) for f in (np.cos, np.sin)]
    for k in range(1, 9):
        columns += [f(2 * np.pi * k * (clock % 60) / 60) for f in (np.cos, np.sin)]
    level = np.log(load)
    level = level - level.mean()
    recent = np.array([level[max(0, t - 9) : t + 1].mean() for t in range(count)])
    columns += [level, np.concatenate([level[:1], level[:-1]]), recent]
    columns += [np.maximum(0, level - np.quantile(level, q)) for q in (0.5, 0.75, 0.9, 0.97)]
    for runs in inputs["jobs"].values():
        job = _share(runs, count)
        columns += [job, np.concatenate([job[:1], job[:-1]]), *_fading(job)]
    if inputs["failover"]:
        columns.append((np.arange(count) >= inputs["failover"]).astype(float))
    columns += [(day == d).astype(float) for d in range(1, day[-1] + 1)]
    waves = int(2 * count / (60 * hours))
    columns += [np.cos(np.pi * k * (np.arange(count) + 0.5) / count) for k in range(1, waves + 1)]
    return np.column_stack(columns)[known]


def _fading(job: np.ndarray) -> list[np.ndarray]:
    """Straight lines between 1, 5, 15, 30, 60 and 90 minutes after a job's end, one minute at a time."""
    knots = [1, 5, 15, 30, 60, 90]
    columns = [np.zeros(len(job)) for _ in knots[:-1]]
    since = 10**6
    for t, value in enumerate(job):
        since = 0 if value > 0 else since + 1
        for n, (low, high) in enumerate(zip(knots, knots[1:])):
            if low <= since < high:
                columns[n][t] = (high - since) / (high - low)
                if n + 1 < len(columns):
                    columns[n + 1][t] = (since - low) / (high - low)
    return columns


def _without(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    return values - columns @ scipy.linalg.lstsq(columns, values, cond=1e-12, lapack_driver="gelsy")[0]


def _effect(inputs, local, day, open_, name, known, hours) -> tuple[float, float, float, float]:
    nuisance = _nuisance(inputs, local, day, known, hours)
    y = np.log(inputs["latency"][known])
    near = {other: _own(runs, inputs["load"]) for other, runs in inputs["exposures"].items()}
    effects = [column[known] for own in near.values() for column in own]
    rest = _without(np.column_stack([nuisance, *effects]), y)
    limit = 4 * 1.4826 * np.median(np.abs(rest - np.median(rest)))
    y = y - rest + np.clip(rest, -limit, limit)
    mine = [column[known] for column in [*near[name], *_other_clocks(open_[name])]]
    footprint = {other: (own[0] > 0) | (own[2] > 0) for other, own in near.items()}
    beside = [
        column[known]
        for other, own in near.items()
        if other != name and (footprint[other] & footprint[name]).any()
        for column in own
    ]
    weights = [column[mine[0] > 0].mean() for column in mine[:3]]
    weights += [weights[0]] * 2  # an effect does not depend on how its minutes are stamped
    rest_y = _without(nuisance, y)
    rest = _without(nuisance, np.column_stack([*mine, *beside]))
    weights += [0.0] * len(beside)
    effect = _sum(rest, rest_y, weights)
    blocks = _blocks(day)[known]
    # A triangle that has the same inner products as a day's rows, so that the fits without a day are small.
    together = np.column_stack([rest, nuisance, rest_y])
    triangles = {one: np.linalg.qr(together[blocks == one], mode="r") for one in np.unique(blocks)}
    pull = np.diag(np.sqrt(1e-8 * (nuisance**2).sum(axis=0)))
    without = [_sum_without(one, triangles, pull, weights) for one in triangles]
    # The weights of y in the estimate: a sum of what is left of each column.
    leverage = rest @ np.linalg.solve(rest.T @ rest, np.array(weights))
    unexplained = _without(rest, rest_y)
    sums = [(leverage * unexplained)[blocks == one].sum() for one in np.unique(blocks)]
    error = math.sqrt(sum(((own + effect - other) / 2) ** 2 for own, other in zip(sums, without)))
    return _answer(effect, error, leverage, blocks)


def _sum_without(left_out, triangles, pull, weights) -> float:
    """Fit again without one day; a small ridge penalty keeps control columns of this day alone at zero."""
    rows = np.vstack([triangle for one, triangle in triangles.items() if one != left_out])
    own = rows.shape[1] - 1 - len(pull)
    penalty = np.column_stack([np.zeros((len(pull), own)), pull, np.zeros(len(pull))])
    rows = np.vstack([rows, penalty])
    return _sum(rows[:, :-1], rows[:, -1], weights)


def _sum(columns: np.ndarray, y: np.ndarray, weights: list[float]) -> float:
    coefficients = scipy.linalg.lstsq(columns, y, cond=1e-12, lapack_driver="gelsy")[0]
    return sum(float(weight * one) for weight, one in zip(weights, coefficients))


def _blocks(day: np.ndarray) -> np.ndarray:
    """A first or last day of less than half its minutes joins its neighbour."""
    blocks = day.copy()
    if (day == 0).sum() < 720:
        blocks[day == 0] = 1
    if (day == day[-1]).sum() < 720:
        blocks[day == day[-1]] = day[-1] - 1
    return blocks


def _answer(effect, error, leverage, blocks) -> tuple[float, float, float, float]:
    squares = [(leverage[blocks == block] ** 2).sum() for block in np.unique(blocks)]
    df = max(2.0, 1 / sum((square / sum(squares)) ** 2 for square in squares) - 1)
    reach = scipy.stats.t.ppf(0.975, df) * error
    percent = [100 * math.expm1(value) for value in (effect, effect - reach, effect + reach)]
    return (*percent, float(2 * scipy.stats.t.sf(abs(effect) / error, df)))


if __name__ == "__main__":
    print(json.dumps([plain(case(seed)) for seed in range(CASES)], indent=1))  # noqa: T201
