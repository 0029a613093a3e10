"""Run the estimator on many simulated fortnights in several processes; a stopped run resumes."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from aurora_analysis import executors
from aurora_analysis.analysis import reader_impact
from aurora_analysis.errors import Error
from calibration import naive, simulator

KEPT = ["metric", "level", "effect_pct", "ci_low_pct", "ci_high_pct", "p", "reason", "basis"]

THREADS = ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"]

Case = tuple[str, int]
Row = dict[str, Any]


def verdicts(case: Case) -> list[Row]:
    """Estimates for `extract` in one simulated fortnight, one row per planted effect."""
    return _verdicts(case, list(simulator.EFFECTS))


def null_verdicts(case: Case) -> list[Row]:
    """Estimates for `extract` without an effect."""
    return _verdicts(case, ["null"])


def smoke_verdicts(case: Case) -> list[Row]:
    """Estimates for `extract` without an effect and with one."""
    return _verdicts(case, ["null", "hll 10"])


def _verdicts(case: Case, effects: list[str]) -> list[Row]:
    scenario, seed = case
    data = simulator.fortnight(scenario, seed)
    table = reader_impact.effects(design(data, data.latency[effects]))
    rows = table[table["workload"] == "extract"][KEPT].to_dict("records")
    return [{"scenario": scenario, "seed": seed} | row for row in rows]


def design(data: simulator.Fortnight, latency: pd.DataFrame) -> reader_impact.Design:
    """Design for the given latencies of a simulated fortnight."""
    inputs = reader_impact.Inputs(
        latency,
        data.load,
        data.exposures,
        writer_jobs=data.writer_jobs,
        history_list_length=data.history_list_length,
        timezone=data.timezone,
    )
    return reader_impact.design(inputs)


def naive_p(case: Case) -> list[Row]:
    """p-values of correlation, t-test and cross-correlation in a fortnight without an effect."""
    scenario, seed = case
    data = simulator.fortnight(scenario, seed)
    return [
        {"scenario": scenario, "seed": seed, "method": name, "p": method(data)}
        for name, method in naive.METHODS.items()
    ]


def quantile_shifts(case: Case) -> list[Row]:
    """Estimated shifts of quantiles, without an effect and with a direct one, which shifts all quantiles alike."""
    scenario, seed = case
    data = simulator.fortnight(scenario, seed)
    table = reader_impact.quantile_effects(design(data, data.latency[["null", "direct 10"]]))
    rows = table[table["workload"] == "extract"].drop(columns="workload").to_dict("records")
    return [{"scenario": scenario, "seed": seed} | row for row in rows]


def discoveries(case: Case) -> list[Row]:
    """Counts of found and true effects among 200 digests; ten of the digests slow the writer."""
    scenario, seed = case
    data, culprits = simulator.many_digests(seed)
    table = reader_impact.effects(design(data, data.latency))
    found = table["p_adjusted"] <= 0.05
    true = table["workload"].isin(culprits)
    refused = table.loc[true, "level"].isin(["cannot tell", "unknown"])
    counts = {
        "found": int(found.sum()),
        "true_found": int((found & true).sum()),
        "true_refused": int(refused.sum()),
    }
    return [{"scenario": scenario, "seed": seed} | counts]


def run(
    work: Callable[[Case], list[Row]], cases: Iterable[Case], path: Path, *, processes: int = 2, log: TextIO
) -> pd.DataFrame:
    """Run the cases that the file `path` lacks, append their rows to it, and return the rows of all cases."""
    path.parent.mkdir(parents=True, exist_ok=True)
    requested = dict.fromkeys(cases)
    ready = done(path)
    waiting = [case for case in requested if case not in ready]
    with path.open("a") as file:
        for count, rows in enumerate(_results(work, waiting, processes), 1):
            file.writelines(json.dumps(row) + "\n" for row in rows)
            file.flush()
            if count % 50 == 0 or count == len(waiting):
                print(f"{path.stem}: {count} of {len(waiting)}", file=log, flush=True)
    return pd.DataFrame([row for row in _read(path) if (row["scenario"], row["seed"]) in requested])


def done(path: Path) -> set[Case]:
    """Cases whose rows are in a file."""
    return {(row["scenario"], row["seed"]) for row in _read(path)}


def _results(work: Callable[[Case], list[Row]], cases: list[Case], processes: int) -> Iterator[list[Row]]:
    """Yield each case's rows when they are ready, from one process per core without threads of linear algebra.

    If AURORA_ANALYSIS_DASK names a scheduler, the workers of that cluster simulate instead.
    """
    if scheduler := os.environ.get("AURORA_ANALYSIS_DASK"):
        yield from _on_dask(work, cases, scheduler)
        return
    if processes == 1 or len(cases) < 2:
        yield from map(work, cases)
        return
    with single_threaded(), multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(work, cases, chunksize=4)


def _on_dask(work: Callable[[Case], list[Row]], cases: list[Case], scheduler: str) -> Iterator[list[Row]]:
    """Yield each case's rows from the workers of a Dask cluster, which get this package as a file."""
    try:
        with executors.dask(scheduler) as pool, tempfile.TemporaryDirectory() as folder:
            from distributed import default_client

            package = shutil.make_archive(
                f"{folder}/calibration", "zip", Path(__file__).parents[1], "calibration"
            )
            default_client().upload_file(package)
            for done in as_completed([pool.executor.submit(work, case) for case in cases]):
                yield done.result()
    except Error as problem:
        raise SystemExit(f"calibrate: {problem}") from None


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limit linear algebra to one core in processes that start inside this context."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines if line.endswith("}")]


def cases(scenarios: Iterable[str], first_seed: int, count: int) -> list[Case]:
    """Cases ordered by seed, so that a stopped run has equally many of every scenario."""
    names = list(scenarios)
    return [(name, seed) for seed in islice(range(first_seed, first_seed + count), count) for name in names]


def published(
    name: str,
    work: Callable[[Case], list[Row]],
    scenarios: Iterable[str],
    page: Callable[[pd.DataFrame, str], tuple[str, bool]],
    *,
    first_seed: int,
) -> int:
    """Run a study by its command line, write its page, and return the exit code."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(
        description=(sys.modules[page.__module__].__doc__ or name).split("\n", 1)[0]
    )
    parser.add_argument("--seeds", type=int, default=20, help="fortnights per scenario and true effect")
    parser.add_argument("--first-seed", type=int, default=first_seed)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, default=here.parents[1] / ".cache" / "calibration")
    parser.add_argument("--results", type=Path, default=here / f"{name.upper()}.md")
    options = parser.parse_args()
    path = options.keep / f"{name}-{options.first_seed}.jsonl"
    rows = run(
        work,
        cases(scenarios, options.first_seed, options.seeds),
        path,
        processes=options.processes,
        log=sys.stderr,
    )
    command = f"python3 dev.py calibrate {name} --seeds {options.seeds} --first-seed {options.first_seed}"
    text, passed = page(rows, command)
    options.results.write_text(text, encoding="utf-8")
    print(text)
    return 0 if passed else 1
