"""Two workers of a Dask cluster against two local processes: the part of `dev.py bench fleet` that needs a quiet machine.

CPU is that of all processes that take part: the command's, the workers', the kernels' and the scheduler's. It depends less on
what else the machine does than the elapsed time.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil

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


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """CPU of processes and of those that they started, ended ones included [s]."""
    total = 0.0
    for process in processes:
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                total += sum(each.cpu_times()[:4])
    return total


def measured(act: Callable[[], float], apart: Iterable[psutil.Process]) -> tuple[float, float]:
    """Time of an act, and the CPU of this process and those that it started, `apart` left out [s]."""
    ours = [psutil.Process()]
    before = cpu_s(ours) - cpu_s(apart)
    elapsed = act()
    return elapsed, cpu_s(ours) - cpu_s(apart) - before


def study(folder: Path, mb: int, clusters: int, rounds: int) -> bool:
    """Measure both in turns, print the ratios, and return whether they meet the target."""
    log, names = write_log(folder / "slow.log", mb), write_store(folder / "store", clusters)
    small = write_log(folder / "small.log", 2)
    taken: dict[str, dict[str, list[tuple[float, float]]]] = {"ingest": {}, "report": {}}
    with dask_cluster.running(folder) as cluster, local() as ours, executors.dask(cluster.address) as theirs:
        pools = {"local": ours, "dask": theirs}
        idle = {"local": [psutil.Process(each.pid) for each in cluster.processes()], "dask": []}
        for pool in pools.values():
            ingest_s(pool, small, folder / "warm")
            # Two notebooks for each worker: the second one starts the process that all further kernels are forked from.
            report_s(pool, folder / "store", names[:2], folder / "warm-report")
        tasks = {name: overhead_ms(pool.executor) for name, pool in pools.items()}
        for _ in range(rounds):
            for name, pool in pools.items():
                acts = {
                    "ingest": partial(ingest_s, pool, log, folder / name),
                    "report": partial(report_s, pool, folder / "store", names, folder / f"report-{name}"),
                }
                for what, act in acts.items():
                    taken[what].setdefault(name, []).append(measured(act, idle[name]))
    print(
        f"a task that does nothing: {tasks['dask']:.1f} ms on Dask, {tasks['local']:.1f} ms in a local pool"
    )
    is_met = True
    for what, size in (("ingest", f"{mb} MB"), ("report", f"{clusters} clusters, {', '.join(NOTEBOOKS)}")):
        (here, here_cpu), (there, there_cpu) = (
            (statistics.median(each) for each in zip(*taken[what][name])) for name in ("local", "dask")
        )
        print(
            f"{what} of {size}: {here:.1f} s with two processes, {there:.1f} s with two Dask workers: "
            f"{here / there:.2f} x the throughput (target {LEAST}; load {os.getloadavg()[0]:.1f}); "
            f"{here_cpu:.1f} and {there_cpu:.1f} s of CPU"
        )
        is_met &= here / there >= LEAST
    return is_met
