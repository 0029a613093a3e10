"""Is the verdict right? Run the gates B1 to B12 on fresh seeds and write RESULTS.md; exit 1 if one fails.

`python dev.py calibrate` runs everything; `--seeds 50` runs fewer fortnights. A stopped run resumes. Seeds below 10,000
are for tuning. Results come from seeds that were not used for tuning; those from 100,000 and 200,000 on are used up.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from aurora_analysis.analysis import reader_impact  # noqa: E402
from calibration import gates, simulator, study  # noqa: E402

NAIVE = ["uniform", "office", "load"]
QUANTILES = ["office", "batch_partial"]


def main() -> int:
    options = _options()
    if options.speed_only:
        return _speed()
    seeds, first = options.seeds, options.first_seed
    planted = min(seeds, options.effect_seeds)

    def run(work, scenarios, count, name, begin=first):
        path = options.keep / f"{name}-{first}.jsonl"
        cases = study.cases(scenarios, begin, count)
        return study.run(work, cases, path, processes=options.processes, log=sys.stderr)

    told = [
        run(study.verdicts, simulator.MAIN, planted, "verdicts"),
        run(study.verdicts, simulator.ODD, (planted + 1) // 2, "odd"),
    ]
    quantiles = run(study.quantile_shifts, QUANTILES, planted, "quantiles")
    many = run(study.discoveries, ["many"], max(3, planted // 10), "many")
    naive_p = run(study.naive_p, NAIVE, min(planted, 100), "naive")
    told.append(run(study.null_verdicts, simulator.MAIN, seeds - planted, "nulls", first + planted))
    verdicts = pd.concat(told, ignore_index=True)
    found = [
        *gates.estimator(verdicts),
        *gates.discoveries(many, simulator.CULPRITS),
        *gates.attribution(_attribution_holds()),
        *gates.quantiles(quantiles),
        *gates.speed(*(options.speed or _measured_speed())),
        *gates.teeth(naive_p),
    ]
    text = gates.page(
        found, gates.short(verdicts, naive_p), gates.by_scenario(verdicts), _about(options, planted)
    )
    options.results.write_text(text, encoding="utf-8")
    print(text)
    return 0 if all(gate.passed for gate in found) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="calibrate", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=400, help="fortnights for each scenario")
    parser.add_argument("--effect-seeds", type=int, default=200, help="those of them with planted effects")
    parser.add_argument("--first-seed", type=int, default=200_000, help="below 10,000 only for tuning")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--keep",
        type=Path,
        default=HERE.parents[1] / ".cache" / "calibration",
        help="where a stopped run resumes from",
    )
    parser.add_argument("--results", type=Path, default=HERE / "RESULTS.md")
    parser.add_argument("--speed-only", action="store_true", help="only gate B11, in this process")
    parser.add_argument(
        "--speed",
        type=float,
        nargs=2,
        metavar=("SECONDS", "GIB"),
        help="gate B11 as --speed-only printed it at a quieter time",
    )
    return parser.parse_args()


def _about(options: argparse.Namespace, planted: int) -> list[str]:
    seeds, first = options.seeds, options.first_seed
    timed = "timed apart by `--speed-only`" if options.speed else f"beside a load of {os.getloadavg()[0]:.0f}"
    when = pd.Timestamp.now(tz="UTC").strftime("%Y-%m-%d")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}"
    return [
        f"Made by `python dev.py calibrate --seeds {seeds} --effect-seeds {planted} --first-seed {first}` on {when}",
        f"({machine}; B11 {timed}).",
        "",
        f"Simulated fortnights whose truth is planted (`simulator.py`), seeds {first} to {first + seeds - 1} of each",
        f"scenario, which no setting was chosen by; the first {planted} carry the same writer with five planted effects",
        f"besides, and the odd scenarios, from {simulator.ODD[0]} on, are {(planted + 1) // 2} fortnights each. Rates",
        "are per cent of verdicts that were not refused: *false positives* at a nominal 5 %, *finds* the power, *holds*",
        "the share of 95 % intervals that hold the truth, *refused* of all nulls. Simulator and estimator share their",
        "idea of a writer (sums of logs, smooth seasons): on real ones expect worse, and read the placebos of your own",
        "data. B1 and B10 allow two standard errors of their number of fortnights on top; the other limits stand as",
        "they are, however few fortnights there were.",
    ]


def _attribution_holds() -> bool:
    """Whether the history list's growth is attributed precisely enough, by the tests on seeds 1000 to 1003."""
    tests = HERE.parents[1] / "tests" / "analysis" / "undo_log" / "test_holders.py"
    command = [sys.executable, "-m", "pytest", "-q", str(tests), "-k", "random_views"]
    return subprocess.run(command, cwd=HERE.parents[1], capture_output=True, check=False).returncode == 0


def _measured_speed() -> tuple[float, float]:
    """Seconds and GiB of gate B11, in a process of its own, with all cores."""
    environment = {name: text for name, text in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-m", "calibration", "--speed-only"]
    told = subprocess.run(
        command, cwd=HERE.parent, env=environment, capture_output=True, text=True, check=True
    )
    seconds, gib = told.stdout.split()
    return float(seconds), float(gib)


def _speed() -> int:
    """Print the seconds for 500 digests and three metrics over 14 days, and this process's peak memory [GiB]."""
    rng = np.random.default_rng(0)
    data, _ = simulator.many_digests(0, digests=500)
    names = ["commit_latency", "dml_latency", "select_latency"]
    noise = np.exp(0.05 * rng.normal(size=(len(data.latency), 3)))
    latency = pd.DataFrame(data.latency.to_numpy() * noise, index=data.latency.index, columns=names)
    start = time.perf_counter()
    table = reader_impact.effects(study.design(data, latency))
    assert len(table) == 3 * 500
    print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
