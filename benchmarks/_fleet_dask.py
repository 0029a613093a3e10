"""Two workers of a Dask cluster against two local processes: the part of `dev.py bench fleet` that needs a quiet machine."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import dask_cluster  # noqa: E402
import slow_log_generator as generator  # noqa: E402

from aurora_analysis import executors  # noqa: E402
from aurora_analysis.executors import Pool  # noqa: E402
from aurora_analysis.report import build  # noqa: E402
from aurora_analysis.sources import log_parts  # noqa: E402
from aurora_analysis.sources.log_files import Target  # noqa: E402

LEAST = 0.9
"""Target: throughput of two Dask workers as a multiple of that of two local processes."""

TASKS = 200
NOTEBOOKS = ("latency", "db_load")


def write_log(path: Path, mb: int) -> Path:
    """Write a slow log of 300 statement templates."""
    with path.open("wb") as out:
        out.writelines(generator.log(mb * 10**6, generator.Truth(), mix=False))
    return path


def write_store(place: Path, clusters: int) -> list[str]:
    """Copy the sample's cluster `lab` under as many names."""
    names = [f"c{number:02}" for number in range(clusters)]
    for source in (ROOT / "data" / "sample").glob("*/cluster=lab"):
        for name in names:
            shutil.copytree(source, place / source.parent.name / f"cluster={name}")
    return names


@contextmanager
def local() -> Iterator[Pool]:
    """Two local processes."""
    with executors.processes(2) as executor:
        yield Pool(executor, 2)


def overhead_ms(executor: Executor) -> float:
    """Time of a task that does nothing, beside others [ms]."""
    began = time.monotonic()
    for each in [executor.submit(os.getpid) for _ in range(TASKS)]:
        each.result()
    return (time.monotonic() - began) * 1e3 / TASKS


def ingest_s(pool: Pool, log: Path, place: Path) -> float:
    """Time of ingesting a log into a new store [s]."""
    shutil.rmtree(place, ignore_errors=True)
    began = time.monotonic()
    for _ in log_parts.ingest([str(log)], Target(str(place), "bench", "bench-1"), pool):
        pass
    return time.monotonic() - began


def report_s(pool: Pool, store: Path, clusters: list[str], place: Path) -> float:
    """Time of a report of the clusters [s]."""
    request = build.Request(store=str(store), clusters=clusters, notebooks=NOTEBOOKS)
    began = time.monotonic()
    document, _ = build.report(request, place, execution=build.Execution(executor=pool.executor))
    if any(one["error"] for one in document["notebooks"]):
        raise SystemExit(f"a notebook did not finish: {document['notebooks']}")
    return time.monotonic() - began


def study(folder: Path, mb: int, clusters: int, rounds: int) -> bool:
    """Measure both in turns, print the ratios, and return whether they meet the target."""
    log, names = write_log(folder / "slow.log", mb), write_store(folder / "store", clusters)
    small = write_log(folder / "small.log", 2)
    taken: dict[str, dict[str, list[float]]] = {"ingest": {}, "report": {}}
    with dask_cluster.running(folder) as cluster, local() as ours, executors.dask(cluster.address) as theirs:
        pools = {"local": ours, "dask": theirs}
        for pool in pools.values():
            ingest_s(pool, small, folder / "warm")
            report_s(pool, folder / "store", names[:1], folder / "warm-report")
        tasks = {name: overhead_ms(pool.executor) for name, pool in pools.items()}
        for _ in range(rounds):
            for name, pool in pools.items():
                taken["ingest"].setdefault(name, []).append(ingest_s(pool, log, folder / name))
                took = report_s(pool, folder / "store", names, folder / f"report-{name}")
                taken["report"].setdefault(name, []).append(took)
    print(
        f"a task that does nothing: {tasks['dask']:.1f} ms on Dask, {tasks['local']:.1f} ms in a local pool"
    )
    is_met = True
    for what, size in (("ingest", f"{mb} MB"), ("report", f"{clusters} clusters, {', '.join(NOTEBOOKS)}")):
        here, there = (statistics.median(taken[what][name]) for name in ("local", "dask"))
        print(
            f"{what} of {size}: {here:.1f} s with two processes, {there:.1f} s with two Dask workers: "
            f"{here / there:.2f} x the throughput (target {LEAST}; load {os.getloadavg()[0]:.1f})"
        )
        is_met &= here / there >= LEAST
    return is_met
