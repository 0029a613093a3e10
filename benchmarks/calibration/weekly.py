"""Measure how often `workload_change` raises a false alarm or misses a change, on simulated weeks.

Each repetition draws the hourly statistics of statements over several weeks and judges the last week as the notebook
does. In weeks without a change (A/A), every digest that is flagged is a false alarm, whether it is flagged as changed or
as changed against its siblings. Then one digest in ten is changed by 20 %, and in another run by the size that the
notebook calls detectable; at least four in five of the detectable changes must be found. A t-test between the hours of
two weeks must raise many false alarms on the same data; otherwise the simulation would be too easy.

    python3 dev.py calibrate weekly   # writes WEEKLY.md; exit 1 if a gate fails; seeds below 10,000 are for tuning

The model, in logarithms: calls = level + shape of the week + week (common) + week (own) + growth + day + hour, drawn
as Poisson; latency = level + 0.2 × load + week (common) + week (own) + day + hour. One digest in six runs only rarely.
The week-to-week variation is the standard deviation of a digest's weekly mean that these parts cause; in
`unlike digests` each digest has a variation of its own, and the table shows the median digest's. In `two applications`
each half of the digests shares its weekly deviations, independently of the other half.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one process per core, each without further threads

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
    """Variation of weeks without a change: standard deviations of logarithms."""

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

    def variation_pct(self) -> float:
        """Week-to-week standard deviation of a digest's weekly mean [%]."""
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
    """Hourly rows of the table statement_metrics; the last week is LAST."""
    digests, weeks, hours = scenario.digests, scenario.weeks, np.arange(168 * scenario.weeks)
    week, day = hours // 168, hours // 24
    shape = 0.5 * np.sin(2 * np.pi * (hours % 24 - 9) / 24) - 0.4 * np.isin(hours // 24 % 7, (5, 6))
    draw = (
        (lambda size: rng.standard_t(3, size) / np.sqrt(3)) if scenario.heavy_tailed else rng.standard_normal
    )

    def deviations() -> np.ndarray:
        own = scenario.own * np.exp(scenario.unlike * rng.standard_normal((digests, 1)))
        common = scenario.common * rng.standard_normal((scenario.applications, weeks))
        by_week = own * draw((digests, weeks)) + common[np.arange(digests) * len(common) // digests]
        by_day = scenario.day * rng.standard_normal((digests, 7 * weeks))
        return by_week[:, week] + by_day[:, day]

    level = np.log(rng.lognormal(6, 1.5, digests))[:, None]
    load = shape + scenario.growth * week + deviations()
    by_hour = 0.1 * rng.standard_normal((digests, len(hours)))
    calls = rng.poisson(np.exp(level + load + by_hour)).astype(float)
    calls[::6] = np.where(rng.random((len(calls[::6]), len(hours))) < 0.03, 1, 0)
    if scenario.outage:
        calls[:, -72:-48] = 0
    latency = rng.lognormal(1, 1, digests)[:, None] * np.exp(0.2 * shape + deviations() + by_hour)
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


def changed_subjects(scenario: Scenario) -> list[tuple[str, str]]:
    """The digest and measure (throughput or latency) of each planted change: one digest in ten."""
    steady = [n for n in range(scenario.digests) if n % 6][: scenario.digests // 10]
    return [(f"{n:02d}", ("throughput", "latency")[n % 2]) for n in steady]


def with_changes(rows: pd.DataFrame, subjects: list[tuple[str, str]], factors: list[float]) -> pd.DataFrame:
    """Multiply or divide each subject's last week by its factor."""
    column = {"throughput": "calls", "latency": "mean_latency_ms"}
    rows = rows.copy()
    for (digest, measure), factor in zip(subjects, factors):
        last_week = (rows["digest"] == digest) & (rows["time"] >= LAST.start)
        rows.loc[last_week, column[measure]] *= factor if int(digest) % 4 < 2 else 1 / factor
    return rows


def judged(rows: pd.DataFrame, weeks: int) -> pd.DataFrame:
    """Changes of every statement in the last week, computed as in the notebook."""
    hours = workload_change.statement_hours(rows)
    by_role = workload_change.by_role(hours, pd.Series("writer", index=hours.index))
    earlier = workload_change.earlier(LAST, Window(rows["time"].min(), LAST.end))[: weeks - 1]
    return workload_change.changes(by_role, LAST, LAST.previous(), earlier)


def naive(rows: pd.DataFrame) -> float:
    """The share of digests whose latency a t-test between the hours of two weeks flags."""
    logs = rows.assign(log=np.log(rows["mean_latency_ms"])).pivot(
        index="digest", columns="time", values="log"
    )
    last, previous = (logs.loc[:, _inside(logs, week)] for week in (LAST, LAST.previous()))
    enough = (last.notna().sum(axis=1) > 2) & (previous.notna().sum(axis=1) > 2)
    p = stats.ttest_ind(last[enough], previous[enough], axis=1, equal_var=False, nan_policy="omit").pvalue
    return float((adjusted(np.asarray(p)) <= 0.05).mean())


def _inside(frame: pd.DataFrame, week: Window) -> np.ndarray:
    return (frame.columns >= week.start) & (frame.columns < week.end)


def rates(scenario: Scenario, repetitions: int, first_seed: int) -> dict[str, float]:
    """Shares of false alarms and of planted changes found [%], means of all repetitions."""
    shares = [once(scenario, seed) for seed in range(first_seed, first_seed + repetitions)]
    return pd.DataFrame(shares).mean().to_dict()


def once(scenario: Scenario, seed: int) -> dict[str, float]:
    """Shares of false alarms and of planted changes found [%] on one simulated cluster."""
    rows, subjects = simulated(scenario, np.random.default_rng(seed)), changed_subjects(scenario)
    unchanged = judged(rows, scenario.weeks)
    detectable = unchanged.set_index(["digest", "measure"])["detectable_pct"].reindex(subjects)
    changed = judged(with_changes(rows, subjects, [CHANGE] * len(subjects)), scenario.weeks)
    larger = judged(with_changes(rows, subjects, [*(1 + detectable / 100)]), scenario.weeks)
    false = [_digests(unchanged[unchanged["level"] == "changed"]), _digests(unchanged[unchanged["apart"]])]
    return {
        "false: changed": 100 * len(false[0]) / scenario.digests,
        "false: against siblings": 100 * len(false[1]) / scenario.digests,
        "false: either": 100 * len(false[0] | false[1]) / scenario.digests,
        "20 % found: changed": _found(changed[changed["level"] == "changed"], subjects),
        "20 % found: against siblings": _found(changed[changed["apart"]], subjects),
        "20 % found: either": _found(changed[flagged(changed)], subjects),
        "detectable": float(detectable.median()),
        "detectable found": _found(larger[flagged(larger)], subjects),
        "false: t-test": 100 * naive(rows),
    }


def flagged(found: pd.DataFrame) -> pd.Series:
    """Whether each row is flagged as changed or as changed against its siblings."""
    return (found["level"] == "changed") | found["apart"]


def _digests(rows: pd.DataFrame) -> set[str]:
    return set(rows["digest"])


def _found(rows: pd.DataFrame, subjects: list[tuple[str, str]]) -> float:
    return 100 * len(set(subjects) & set(zip(rows["digest"], rows["measure"]))) / len(subjects)


def page(found: dict[str, dict[str, float]], repetitions: int, first_seed: int) -> tuple[str, bool]:
    """The results as Markdown, and whether they pass."""
    names = list(found["ordinary"])
    lines = [
        "# How often does `workload_change` raise a false alarm?",
        "",
        f"Made by `python3 dev.py calibrate weekly --repetitions {repetitions} --first-seed {first_seed}`. *False* columns "
        "show the share of digests that are flagged in weeks without a change [%]; *found* columns show the share of "
        "planted changes that are flagged [%]. *Variation* is the week-to-week standard deviation of a digest without a "
        "change. *Detectable* is the size that the page calls detectable, the median of the changed digests [%].",
        "",
        f"| scenario | weeks | variation | {' | '.join(names)} |",
        f"|{'---|' * (3 + len(names))}",
    ]
    for name, shares in found.items():
        scenario, numbers = SCENARIOS[name], " | ".join(f"{value:.1f}" for value in shares.values())
        lines.append(f"| {name} | {scenario.weeks} | {scenario.variation_pct():.1f} % | {numbers} |")
    enough = {name: shares for name, shares in found.items() if SCENARIOS[name].weeks > 4}
    gates = {
        f"at most {MOST_FALSE:g} % false alarms in every scenario": all(
            shares["false: either"] <= MOST_FALSE for shares in found.values()
        ),
        f"at least {LEAST_FOUND:g} % of the 20 % changes found wherever 20 % is detectable": all(
            shares["20 % found: either"] >= LEAST_FOUND
            for shares in enough.values()
            if shares["detectable"] <= 20
        ),
        f"at least {LEAST_FOUND:g} % of the detectable changes found": all(
            shares["detectable found"] >= LEAST_FOUND for shares in enough.values()
        ),
        "20 % is detectable in `ordinary`": found["ordinary"]["detectable"] <= 20,
        "nothing is flagged in four weeks": found["four weeks"]["20 % found: either"] == 0,
        "the t-test flags more than 5 % in `ordinary`": found["ordinary"]["false: t-test"] > 5,
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
