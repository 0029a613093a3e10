"""Measure how often the verdict is wrong: count p-values by gates B1 to B12 on fresh seeds and write P_VALUES.md; exit 1 if one fails.

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
    with_effects = min(seeds, options.effect_seeds)

    def run(work, scenarios, count, name, begin=first):
        path = options.keep / f"{name}-{first}.jsonl"
        cases = study.cases(scenarios, begin, count)
        return study.run(work, cases, path, processes=options.processes, log=sys.stderr)

    parts = [
        run(study.verdicts, simulator.MAIN, with_effects, "verdicts"),
        run(study.verdicts, simulator.ODD, (with_effects + 1) // 2, "odd"),
        run(study.null_verdicts, simulator.MAIN, seeds - with_effects, "nulls", first + with_effects),
    ]
    quantiles = run(study.quantile_shifts, QUANTILES, with_effects, "quantiles")
    many = run(study.discoveries, ["many"], max(3, with_effects // 10), "many")
    naive_p = run(study.naive_p, NAIVE, min(with_effects, 100), "naive")
    verdicts = pd.concat(parts, ignore_index=True)
    results = [
        *gates.estimator(verdicts),
        *gates.discoveries(many, simulator.CULPRITS),
        *gates.attribution(_attribution_holds()),
        *gates.quantiles(quantiles),
        *gates.speed(*(options.speed or _measured_speed())),
        *gates.naive_methods(naive_p),
    ]
    text = gates.page(
        results, gates.summary(verdicts, naive_p), gates.by_scenario(verdicts), _about(options, with_effects)
    )
    options.results.write_text(text, encoding="utf-8")
    print(text)
    return 0 if all(gate.passed for gate in results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="calibrate", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=400, help="fortnights per scenario")
    parser.add_argument(
        "--effect-seeds", type=int, default=200, help="fortnights per scenario with planted effects"
    )
    parser.add_argument(
        "--first-seed", type=int, default=200_000, help="first seed; seeds below 10,000 are for tuning"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--keep",
        type=Path,
        default=HERE.parents[1] / ".cache" / "calibration",
        help="folder for verdicts, from which a stopped run resumes",
    )
    parser.add_argument("--results", type=Path, default=HERE / "P_VALUES.md")
    parser.add_argument("--speed-only", action="store_true", help="measure gate B11 only, in this process")
    parser.add_argument(
        "--speed",
        type=float,
        nargs=2,
        metavar=("SECONDS", "GIB"),
        help="values for gate B11 that --speed-only printed earlier, on a less busy machine",
    )
    return parser.parse_args()


def _about(options: argparse.Namespace, with_effects: int) -> list[str]:
    """Paragraphs that describe how the results were made and how to read them."""
    seeds, first = options.seeds, options.first_seed
    load = f"B11 timed at a load average of {os.getloadavg()[0]:.0f}"
    timed = "B11 timed separately by `--speed-only`" if options.speed else load
    when = pd.Timestamp.now(tz="UTC").strftime("%Y-%m-%d")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}"
    return [
        f"Made by `python dev.py calibrate --seeds {seeds} --effect-seeds {with_effects} --first-seed {first}` on {when}",
        f"({machine}; {timed}).",
        "",
        f"Each scenario is simulated (`simulator.py`) with seeds {first} to {first + seeds - 1}, which were not used for",
        f"tuning. The first {with_effects} fortnights of a scenario are also simulated with five planted effects. The odd",
        f"scenarios, from `{simulator.ODD[0]}` on, have {(with_effects + 1) // 2} fortnights each. *Fortnights* counts",
        "simulated fortnights; the other columns are in per cent, the bias in log points. *False positives* (nominal 5 %),",
        "*power* and *coverage* (the share of 95 % intervals that contain the planted effect) exclude refused verdicts.",
        "*Refused* is the share of fortnights without an effect that were refused. Simulator and estimator share one idea",
        "of a writer (sums of logarithms, smooth seasons): expect larger errors on real writers, and check the placebos",
        "of your own data. Gates B1 and B10 allow two standard errors above their limit for the number of fortnights;",
        "the other gates have no such allowance.",
    ]


def _attribution_holds() -> bool:
    """Whether the tests of the history list's attribution pass on seeds 1000 to 1003."""
    tests = HERE.parents[1] / "tests" / "analysis" / "undo_log" / "test_holders.py"
    command = [sys.executable, "-m", "pytest", "-q", str(tests), "-k", "random_views"]
    return subprocess.run(command, cwd=HERE.parents[1], capture_output=True, check=False).returncode == 0


def _measured_speed() -> tuple[float, float]:
    """Seconds and GiB of gate B11, measured in a separate process with all cores."""
    environment = {name: text for name, text in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-m", "calibration", "--speed-only"]
    finished = subprocess.run(
        command, cwd=HERE.parent, env=environment, capture_output=True, text=True, check=True
    )
    seconds, gib = finished.stdout.split()
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
