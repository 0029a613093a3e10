"""Does `workload_change` cry wolf? Simulated weeks without a change (A/A), and with changes of 20 % planted.

Each repetition draws the hourly statistics of DIGESTS statements over several weeks, and judges the last week by
the whole path of the notebook. Flagged in A/A weeks is false; of the planted changes as many as possible must be
found. A t-test of the hours of two weeks runs beside it: a study that did not fail it would have no teeth.

    python benchmarks/calibration/weekly.py --repetitions 100   # writes WEEKLY.md; exit 1 if a gate fails

The model, in logarithms: calls = level + shape of the week + week (common) + week (own) + growth + day + wandering
hour, drawn as Poisson; latency = level + 0.2 × load + week (common) + week (own) + day + hour. One digest in six runs
only now and then. `spread` is the standard deviation of a digest's mean from week to week that these parts make; in
`unlike digests` it is that of the digest in the middle, and each digest has one of its own.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process a core, so no threads inside

import numpy as np
import pandas as pd
from scipy import stats

from aurora_analysis.analysis import workload_change
from aurora_analysis.analysis.experiment import adjusted
from aurora_analysis.window import Window

DIGESTS = 60
PLANTED = 6
CHANGE = 1.2
MOST_FALSE, LEAST_FOUND = 5.0, 80.0
LAST = Window("2026-11-09", "2026-11-16")


@dataclass(frozen=True)
class Scenario:
    """How weeks vary when nothing changes: standard deviations of logarithms."""

    weeks: int = 8
    own: float = 0.02
    common: float = 0.01
    day: float = 0.04
    growth: float = 0.0
    unlike: float = 0.0
    heavy_tailed: bool = False
    outage: bool = False

    def spread_pct(self) -> float:
        return 100 * float(np.sqrt(self.own**2 + self.common**2 + self.day**2 / 7))


ORDINARY = Scenario()
SCENARIOS = {
    "ordinary": ORDINARY,
    "quiet": replace(ORDINARY, own=0.01, common=0.005, day=0.03),
    "restless": replace(ORDINARY, own=0.04),
    "very restless": replace(ORDINARY, own=0.08),
    "all together": replace(ORDINARY, own=0.005, common=0.04),
    "growing 1 % a week": replace(ORDINARY, growth=0.01),
    "unlike digests": replace(ORDINARY, unlike=0.7),
    "heavy-tailed weeks": replace(ORDINARY, heavy_tailed=True),
    "a day of outage": replace(ORDINARY, outage=True),
    "five weeks": replace(ORDINARY, weeks=5),
    "four weeks": replace(ORDINARY, weeks=4),
}


def simulated(scenario: Scenario, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of the table statement_metrics, hour by hour; the last week is LAST."""
    weeks, hours = scenario.weeks, np.arange(168 * scenario.weeks)
    week, day = hours // 168, hours // 24
    shape = 0.5 * np.sin(2 * np.pi * (hours % 24 - 9) / 24) - 0.4 * np.isin(hours // 24 % 7, (5, 6))
    draw = (
        (lambda size: rng.standard_t(3, size) / np.sqrt(3)) if scenario.heavy_tailed else rng.standard_normal
    )

    def moved() -> np.ndarray:
        own = scenario.own * np.exp(scenario.unlike * rng.standard_normal((DIGESTS, 1)))
        of_weeks = own * draw((DIGESTS, weeks)) + scenario.common * rng.standard_normal(weeks)
        of_days = scenario.day * rng.standard_normal((DIGESTS, 7 * weeks))
        return of_weeks[:, week] + of_days[:, day]

    level = np.log(rng.lognormal(6, 1.5, DIGESTS))[:, None]
    load = shape + scenario.growth * week + moved()
    wandering = 0.1 * rng.standard_normal((DIGESTS, len(hours)))
    calls = rng.poisson(np.exp(level + load + wandering)).astype(float)
    calls[::6] = np.where(rng.random((len(calls[::6]), len(hours))) < 0.03, 1, 0)
    if scenario.outage:
        calls[:, -72:-48] = 0
    latency = rng.lognormal(1, 1, DIGESTS)[:, None] * np.exp(0.2 * shape + moved() + wandering)
    start = LAST.end - pd.Timedelta(weeks=weeks)
    return pd.DataFrame(
        {
            "time": np.tile(pd.date_range(start, periods=len(hours), freq="h", unit="us"), DIGESTS),
            "period_s": 3600.0,
            "instance": "db-1",
            "digest": np.repeat([f"{n:02d}" for n in range(DIGESTS)], len(hours)),
            "calls": calls.ravel(),
            "mean_latency_ms": latency.ravel(),
        }
    ).query("calls > 0")


def planted(rows: pd.DataFrame) -> tuple[pd.DataFrame, set[tuple[str, str]]]:
    """The same weeks, with calls or latency of PLANTED steady digests up or down by 20 % in the last one."""
    steady = [f"{n:02d}" for n in range(DIGESTS) if n % 6][:PLANTED]
    column = {"throughput": "calls", "latency": "mean_latency_ms"}
    truth = {(digest, ("throughput", "latency")[n % 2]) for n, digest in enumerate(steady)}
    rows = rows.copy()
    for digest, measure in sorted(truth):
        mine = (rows["digest"] == digest) & (rows["time"] >= LAST.start)
        rows.loc[mine, column[measure]] *= CHANGE if int(digest) % 4 < 2 else 1 / CHANGE
    return rows, truth


def judged(rows: pd.DataFrame, weeks: int) -> pd.DataFrame:
    """Every statement of the last week, judged as the notebook does."""
    hours = workload_change.statement_hours(rows)
    seats = workload_change.seated(hours, pd.Series("writer", index=hours.index))
    earlier = workload_change.earlier(LAST, Window(rows["time"].min(), LAST.end))[: weeks - 1]
    return workload_change.changes(seats, LAST, LAST.previous(), earlier)


def naive(rows: pd.DataFrame) -> float:
    """The share of digests that a t-test of the hours of two weeks would flag, by latency."""
    logs = rows.assign(log=np.log(rows["mean_latency_ms"])).pivot(
        index="digest", columns="time", values="log"
    )
    last, before = (logs.loc[:, _inside(logs, week)] for week in (LAST, LAST.previous()))
    enough = (last.notna().sum(axis=1) > 2) & (before.notna().sum(axis=1) > 2)
    p = stats.ttest_ind(last[enough], before[enough], axis=1, equal_var=False, nan_policy="omit").pvalue
    return float((adjusted(np.asarray(p)) <= 0.05).mean())


def _inside(frame: pd.DataFrame, week: Window) -> np.ndarray:
    return (frame.columns >= week.start) & (frame.columns < week.end)


def rates(scenario: Scenario, repetitions: int, first_seed: int) -> dict[str, float]:
    """Shares [%]: flagged though nothing changed, found of what was planted, flagged by the naive test."""
    false, found, wolf = [], [], []
    for seed in range(first_seed, first_seed + repetitions):
        rows = simulated(scenario, np.random.default_rng(seed))
        changed = judged(rows, scenario.weeks).query("level == 'changed'")
        false.append(changed["digest"].nunique() / DIGESTS)
        wolf.append(naive(rows))
        rows, truth = planted(rows)
        changed = judged(rows, scenario.weeks).query("level == 'changed'")
        found.append(len(truth & set(zip(changed["digest"], changed["measure"]))) / len(truth))
    return {
        "flagged, A/A": 100 * float(np.mean(false)),
        "20 % found": 100 * float(np.mean(found)),
        "naive t-test flags, A/A": 100 * float(np.mean(wolf)),
    }


def page(found: dict[str, dict[str, float]], repetitions: int, first_seed: int) -> tuple[str, bool]:
    """The results as Markdown, and whether they pass."""
    lines = [
        "# Does `workload_change` cry wolf?",
        "",
        f"`python benchmarks/calibration/weekly.py --repetitions {repetitions} --first-seed {first_seed}`: "
        f"{DIGESTS} digests, shares of them in %. The spread is that of a digest's weeks when nothing changes.",
        "",
        "| scenario | weeks | spread | flagged, A/A | 20 % found | naive t-test flags, A/A |",
        "|---|---|---|---|---|---|",
    ]
    for name, told in found.items():
        scenario, numbers = SCENARIOS[name], " | ".join(f"{value:.1f}" for value in told.values())
        lines.append(f"| {name} | {scenario.weeks} | {scenario.spread_pct():.1f} % | {numbers} |")
    gates = {
        f"at most {MOST_FALSE:g} % flagged in every scenario": all(
            told["flagged, A/A"] <= MOST_FALSE for told in found.values()
        ),
        f"at least {LEAST_FOUND:g} % found in `ordinary`": found["ordinary"]["20 % found"] >= LEAST_FOUND,
        "four weeks flag nothing": found["four weeks"]["20 % found"] == 0,
        "the naive test flags more than 5 % in `ordinary`": found["ordinary"]["naive t-test flags, A/A"] > 5,
    }
    lines += ["", *(f"- {gate}: {'passed' if passed else 'FAILED'}" for gate, passed in gates.items()), ""]
    return "\n".join(lines), all(gates.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("WEEKLY.md"))
    options = parser.parse_args()
    study = partial(rates, repetitions=options.repetitions, first_seed=options.first_seed)
    with ProcessPoolExecutor(options.processes) as pool:
        found = dict(zip(SCENARIOS, pool.map(study, SCENARIOS.values())))
    text, passed = page(found, options.repetitions, options.first_seed)
    options.results.write_text(text, encoding="utf-8")
    print(text)
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
