"""What reader impact's verdicts cost, and how often they are wrong beside common methods: `python3 dev.py bench verdicts`.

The cost is CPU time (user and system) and peak memory of a process of its own, for fortnights and for three months. The
false positives are those of the same simulated fortnights in which the workload has no effect: the level `slows` or
`slows a little`, and p < 5 % of a correlation, of OLS with Newey-West errors and of an event study. Exit code 1: a limit
was missed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads that wait for each other would count as CPU time

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from calibration import naive, simulator, study

from aurora_analysis.analysis import reader_impact

SCENARIOS = ("uniform", "office", "load", "batch_partial", "hourly_job", "trigger")
FIRST_SEED = 700_000
ALPHA = 0.05
FALSE_MOST_PCT = 7.0
LINEAR_MOST = 1.3
"""Largest exponent of cost over days that counts as linear: 1, and the noise of a shared machine."""


@dataclass(frozen=True)
class Case:
    """A window with three metrics, and the limits of its cost."""

    days: int
    workloads: int
    cpu_most_s: float = np.inf
    memory_most_mib: float = np.inf


CASES = (
    Case(14, 100),
    Case(14, 500, cpu_most_s=30.0),
    Case(28, 10),
    Case(90, 10),
    Case(90, 100, cpu_most_s=60.0, memory_most_mib=1024.0),
)


def main() -> int:
    """Run the named studies and return 1 if a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=10, help="Fortnights of each scenario [default: 10].")
    parser.add_argument("--one", nargs=2, type=int, metavar=("DAYS", "WORKLOADS"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(*_one(*chosen.one))
        return 0
    held = [_cost(), _false_positives(chosen.seeds)]
    return 0 if all(held) else 1


def _cost() -> bool:
    print("| days | workloads | CPU [s] | peak memory [MiB] | limits |\n|---|---|---|---|---|")
    cpu, held = {}, True
    for case in CASES:
        arguments = [sys.executable, __file__, "--one", str(case.days), str(case.workloads)]
        ran = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
        seconds, mib = map(float, ran.stdout.split())
        cpu[case.days, case.workloads] = seconds
        within = seconds <= case.cpu_most_s and mib <= case.memory_most_mib
        held &= within
        limits = [f"{case.cpu_most_s:g} s"] * bool(np.isfinite(case.cpu_most_s))
        limits += [f"{case.memory_most_mib:g} MiB"] * bool(np.isfinite(case.memory_most_mib))
        verdict = f"{', '.join(limits)}: {'held' if within else 'MISSED'}" if limits else ""
        print(f"| {case.days} | {case.workloads} | {seconds:.1f} | {mib:.0f} | {verdict} |", flush=True)
    exponent = float(np.log(cpu[90, 10] / cpu[28, 10]) / np.log(90 / 28))
    print(f"\nCPU time grows as days^{exponent:.2f} from 28 to 90 days (at most {LINEAR_MOST:g}).\n")
    return held and exponent <= LINEAR_MOST


def _one(days: int, workloads: int) -> tuple[float, float]:
    """CPU time [s] and peak memory [MiB] of all effects of one window."""
    inputs = _inputs(days, workloads)
    before = os.times()
    reader_impact.effects(reader_impact.design(inputs))
    after = os.times()
    peak = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return after.user + after.system - before.user - before.system, int(peak.split()[1]) / 1024


def _inputs(days: int, workloads: int) -> reader_impact.Inputs:
    """A writer with a daily rhythm, and workloads that each run three times a day for half an hour or so."""
    rng = np.random.default_rng(days)
    times = pd.date_range("2026-07-06", periods=days * 1440, freq="min", tz="UTC")
    load = np.exp(
        0.5 * np.sin(np.arange(len(times)) * 2 * np.pi / 1440) + 0.1 * rng.standard_normal(len(times))
    )
    noise = rng.standard_normal((len(times), 3))
    latency = np.exp(0.25 * np.log(load)[:, None] + 0.12 * noise)
    count = 3 * days * workloads
    starts = times[0] + pd.to_timedelta(rng.uniform(0, days * 1440 - 120, count), unit="min")
    runs = pd.DataFrame(
        {
            "workload": np.repeat([f"workload {n:03}" for n in range(workloads)], 3 * days),
            "start": starts,
            "end": starts + pd.to_timedelta(rng.gamma(4, 6, count) + 1, unit="min"),
        }
    )
    return reader_impact.Inputs(
        pd.DataFrame(latency, index=times, columns=["commit_latency", "dml_latency", "select_latency"]),
        pd.Series(100 * load, index=times),
        runs,
    )


def _false_positives(seeds: int) -> bool:
    names = ["reader_impact", *naive.RIVALS]
    print(f"False positives [%] of {seeds} fortnights of each scenario without an effect:\n")
    print(f"| scenario | {' | '.join(names)} | reader_impact gives no answer |\n|{'---|' * (len(names) + 2)}")
    rows = []
    for scenario in SCENARIOS:
        fortnights = [simulator.fortnight(scenario, FIRST_SEED + n) for n in range(seeds)]
        levels = [_level(data) for data in fortnights]
        false = [100 * np.mean([level.startswith("slows") for level in levels])]
        false += [
            100 * np.mean([rival(data) < ALPHA for data in fortnights]) for rival in naive.RIVALS.values()
        ]
        rows.append(false)
        refused = 100 * np.mean([level == "cannot tell" for level in levels])
        print(f"| {scenario} | {' | '.join(f'{share:.0f}' for share in [*false, refused])} |", flush=True)
    means = np.mean(rows, axis=0)
    print(f"| mean | {' | '.join(f'{share:.0f}' for share in means)} | |")
    return bool(means[0] <= FALSE_MOST_PCT)


def _level(data: simulator.Fortnight) -> str:
    """Level of the workload without an effect."""
    found = reader_impact.effects(study.design(data, data.latency[["null"]]))
    return str(found.set_index("workload").loc["extract", "level"])


if __name__ == "__main__":
    sys.exit(main())
