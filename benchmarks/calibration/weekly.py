"""Does `workload_change` cry wolf? Simulated weeks without a change (A/A), and with changes of 20 % planted.

Each repetition draws the hourly statistics of statements over several weeks, and judges the last week by the whole path
of the notebook. Flagged in A/A weeks is false, whether as changed or as changed against its siblings; of the planted
changes as many as possible must be found, one digest in ten by 20 %, and then by what the notebook says is detectable:
of those at least four in five. A t-test of the hours of two weeks runs beside it: a study that did not fail it would
have no teeth.

    python3 dev.py calibrate weekly   # writes WEEKLY.md; exit 1 if a gate fails; seeds below 10,000 are for tuning

The model, in logarithms: calls = level + shape of the week + week (common) + week (own) + growth + day + wandering
hour, drawn as Poisson; latency = level + 0.2 × load + week (common) + week (own) + day + hour. One digest in six runs
only now and then. `spread` is the standard deviation of a digest's mean from week to week that these parts make; in
`unlike digests` it is that of the digest in the middle, and each digest has one of its own. In `two applications` each
half of the digests has weeks in common, and not those of the other half.
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
from aurora_analysis.analysis.statistics import adjusted
from aurora_analysis.window import Window

CHANGE = 1.2
MOST_FALSE, LEAST_FOUND = 5.0, 80.0
LAST = Window("2026-11-09", "2026-11-16")


@dataclass(frozen=True)
class Scenario:
    """How weeks vary when nothing changes: standard deviations of logarithms."""

    weeks: int = 8
    digests: int = 60
    applications: int = 1
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
    "all together, ten digests": replace(ORDINARY, own=0.005, common=0.04, digests=10),
    "two applications": replace(ORDINARY, own=0.005, common=0.04, applications=2),
    "growing 1 % a week": replace(ORDINARY, growth=0.01),
    "unlike digests": replace(ORDINARY, unlike=0.7),
    "heavy-tailed weeks": replace(ORDINARY, heavy_tailed=True),
    "a day of outage": replace(ORDINARY, outage=True),
    "five weeks": replace(ORDINARY, weeks=5),
    "four weeks": replace(ORDINARY, weeks=4),
}


def simulated(scenario: Scenario, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of the table statement_metrics, hour by hour; the last week is LAST."""
    digests, weeks, hours = scenario.digests, scenario.weeks, np.arange(168 * scenario.weeks)
    week, day = hours // 168, hours // 24
    shape = 0.5 * np.sin(2 * np.pi * (hours % 24 - 9) / 24) - 0.4 * np.isin(hours // 24 % 7, (5, 6))
    draw = (
        (lambda size: rng.standard_t(3, size) / np.sqrt(3)) if scenario.heavy_tailed else rng.standard_normal
    )

    def moved() -> np.ndarray:
        own = scenario.own * np.exp(scenario.unlike * rng.standard_normal((digests, 1)))
        common = scenario.common * rng.standard_normal((scenario.applications, weeks))
        of_weeks = own * draw((digests, weeks)) + common[np.arange(digests) * len(common) // digests]
        of_days = scenario.day * rng.standard_normal((digests, 7 * weeks))
        return of_weeks[:, week] + of_days[:, day]

    level = np.log(rng.lognormal(6, 1.5, digests))[:, None]
    load = shape + scenario.growth * week + moved()
    wandering = 0.1 * rng.standard_normal((digests, len(hours)))
    calls = rng.poisson(np.exp(level + load + wandering)).astype(float)
    calls[::6] = np.where(rng.random((len(calls[::6]), len(hours))) < 0.03, 1, 0)
    if scenario.outage:
        calls[:, -72:-48] = 0
    latency = rng.lognormal(1, 1, digests)[:, None] * np.exp(0.2 * shape + moved() + wandering)
    start = LAST.end - pd.Timedelta(weeks=weeks)
    return pd.DataFrame(
        {
            "time": np.tile(pd.date_range(start, periods=len(hours), freq="h", unit="us"), digests),
            "period_s": 3600.0,
            "instance": "db-1",
            "digest": np.repeat([f"{n:02d}" for n in range(digests)], len(hours)),
            "calls": calls.ravel(),
            "mean_latency_ms": latency.ravel(),
        }
    ).query("calls > 0")


def chosen(scenario: Scenario) -> list[tuple[str, str]]:
    """One steady digest in ten, its throughput or its latency."""
    steady = [n for n in range(scenario.digests) if n % 6][: scenario.digests // 10]
    return [(f"{n:02d}", ("throughput", "latency")[n % 2]) for n in steady]


def planted(rows: pd.DataFrame, subjects: list[tuple[str, str]], times: list[float]) -> pd.DataFrame:
    """The same weeks, with subjects up or down so many times in the last one."""
    column = {"throughput": "calls", "latency": "mean_latency_ms"}
    rows = rows.copy()
    for (digest, measure), change in zip(subjects, times):
        mine = (rows["digest"] == digest) & (rows["time"] >= LAST.start)
        rows.loc[mine, column[measure]] *= change if int(digest) % 4 < 2 else 1 / change
    return rows


def judged(rows: pd.DataFrame, weeks: int) -> pd.DataFrame:
    """Every statement of the last week, judged as the notebook does."""
    hours = workload_change.statement_hours(rows)
    by_role = workload_change.by_role(hours, pd.Series("writer", index=hours.index))
    earlier = workload_change.earlier(LAST, Window(rows["time"].min(), LAST.end))[: weeks - 1]
    return workload_change.changes(by_role, LAST, LAST.previous(), earlier)


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
    """Shares [%] of digests flagged though nothing changed, and of what was planted; by the naive test, too."""
    shares = [once(scenario, seed) for seed in range(first_seed, first_seed + repetitions)]
    return pd.DataFrame(shares).mean().to_dict()


def once(scenario: Scenario, seed: int) -> dict[str, float]:
    """The same of one cluster."""
    rows, subjects = simulated(scenario, np.random.default_rng(seed)), chosen(scenario)
    calm = judged(rows, scenario.weeks)
    detectable = calm.set_index(["digest", "measure"])["detectable_pct"].reindex(subjects)
    changed = judged(planted(rows, subjects, [CHANGE] * len(subjects)), scenario.weeks)
    larger = judged(planted(rows, subjects, [*(1 + detectable / 100)]), scenario.weeks)
    false = [_digests(calm[calm["level"] == "changed"]), _digests(calm[calm["apart"]])]
    return {
        "flagged as changed": 100 * len(false[0]) / scenario.digests,
        "against siblings": 100 * len(false[1]) / scenario.digests,
        "as either": 100 * len(false[0] | false[1]) / scenario.digests,
        "20 % found as changed": _found(changed[changed["level"] == "changed"], subjects),
        "20 % against siblings": _found(changed[changed["apart"]], subjects),
        "20 % as either": _found(changed[flagged(changed)], subjects),
        "detectable": float(detectable.median()),
        "of such found": _found(larger[flagged(larger)], subjects),
        "naive t-test flags": 100 * naive(rows),
    }


def flagged(found: pd.DataFrame) -> pd.Series:
    return (found["level"] == "changed") | found["apart"]


def _digests(rows: pd.DataFrame) -> set[str]:
    return set(rows["digest"])


def _found(rows: pd.DataFrame, subjects: list[tuple[str, str]]) -> float:
    return 100 * len(set(subjects) & set(zip(rows["digest"], rows["measure"]))) / len(subjects)


def page(found: dict[str, dict[str, float]], repetitions: int, first_seed: int) -> tuple[str, bool]:
    """The results as Markdown, and whether they pass."""
    names = list(found["ordinary"])
    lines = [
        "# Does `workload_change` cry wolf?",
        "",
        f"`python3 dev.py calibrate weekly --repetitions {repetitions} --first-seed {first_seed}`: shares of "
        "digests [%] flagged in A/A weeks, and of planted changes found. The spread is that of a digest's weeks when "
        "nothing changes; detectable is what the page says of the planted digests (the one in the middle).",
        "",
        f"| scenario | weeks | spread | {' | '.join(names)} |",
        f"|{'---|' * (3 + len(names))}",
    ]
    for name, shares in found.items():
        scenario, numbers = SCENARIOS[name], " | ".join(f"{value:.1f}" for value in shares.values())
        lines.append(f"| {name} | {scenario.weeks} | {scenario.spread_pct():.1f} % | {numbers} |")
    enough = {name: shares for name, shares in found.items() if SCENARIOS[name].weeks > 4}
    gates = {
        f"at most {MOST_FALSE:g} % flagged as either in every scenario": all(
            shares["as either"] <= MOST_FALSE for shares in found.values()
        ),
        f"at least {LEAST_FOUND:g} % of 20 % found wherever 20 % are detectable": all(
            shares["20 % as either"] >= LEAST_FOUND
            for shares in enough.values()
            if shares["detectable"] <= 20
        ),
        f"at least {LEAST_FOUND:g} % found of what is said to be detectable": all(
            shares["of such found"] >= LEAST_FOUND for shares in enough.values()
        ),
        "20 % are detectable in `ordinary`": found["ordinary"]["detectable"] <= 20,
        "four weeks flag nothing": found["four weeks"]["20 % as either"] == 0,
        "the naive test flags more than 5 % in `ordinary`": found["ordinary"]["naive t-test flags"] > 5,
    }
    lines += ["", *(f"- {gate}: {'passed' if passed else 'FAILED'}" for gate, passed in gates.items()), ""]
    return "\n".join(lines), all(gates.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=400_000)
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
