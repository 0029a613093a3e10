"""Kill workers, clients and schedulers of a Dask cluster in the middle of commands: a study of `dev.py bench faults`."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dask_cluster import DaskCluster

ROOT = Path(__file__).parent.parent
LOGS = 10
MOST_RUNS = 3
"""A fault may come after the end of a command; then the run is repeated, up to so many times the runs."""

LONGEST_S = 900.0
"""A command that has not ended by then hangs [s]: on a busy machine, a run takes some minutes."""

Content = Callable[[Path], object]


@dataclass
class Run:
    """A running command: what it has printed, and when it printed first."""

    process: subprocess.Popen[str]
    lines: list[str]
    is_begun: threading.Event

    def end(self) -> int:
        """Wait for the end, and return the exit code."""
        return self.process.wait(LONGEST_S)


@contextmanager
def running(words: list[str], variables: Mapping[str, str]) -> Iterator[Run]:
    """Run a command; whatever happens, it ends with the block."""
    program = [sys.executable, "-m", "aurora_analysis", *words]
    process = subprocess.Popen(
        program, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    run = Run(process, [], threading.Event())

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            run.lines.append(line.rstrip())
            run.is_begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield run
    finally:
        process.kill()
        process.wait()
        reader.join()


@dataclass(frozen=True)
class Command:
    """A command, what it leaves in a folder, and whether its first line comes before most of its work."""

    name: str
    words: Callable[[Path], list[str]]
    content: Content
    variables: Mapping[str, str]
    prints_early: bool = True


def logs(folder: Path) -> Path:
    """Write slow logs of a few hundred executions each."""
    folder.mkdir()
    text = (ROOT / "tests/slow_logs/aurora_mysql_3.log").read_bytes()
    for number in range(LOGS):
        dated = (text.replace(b"2026-", b"20%02d-" % (10 + (number + n) % 80)) for n in range(20))
        (folder / f"{number:02}.log").write_bytes(b"".join(dated))
    return folder


def pages(place: Path) -> object:
    """Return the pages of a report, and what stopped its notebooks."""
    document = json.loads((place / "findings.json").read_text())
    there = [(one["page"], one["error"], (place / one["page"]).exists()) for one in document["notebooks"]]
    hidden = [path.name for path in place.parent.iterdir() if path.name.startswith(".")]
    return sorted(there), hidden


def commands(folder: Path, now: str, variables: Mapping[str, str], tables: Content) -> list[Command]:
    """Return the three commands that are killed."""
    source, span = (
        logs(folder / "logs"),
        ["--start", "2026-11-09T00:00", "--end", "2026-11-10T00:00", "--now", now],
    )
    sample = [
        "--store",
        str(ROOT / "data/sample"),
        "--cluster",
        "lab",
        "--notebook",
        "latency",
    ]
    return [
        Command(
            "ingest",
            lambda place: ["ingest", str(source), "--cluster", "a", "--instance", "b", "--store", str(place)],
            tables,
            {},
        ),
        Command("fetch", lambda place: ["fetch", "--cluster", "shop", "--store", str(place), *span], tables, variables),
        Command("report", lambda place: ["report", *sample, "--output", str(place / "report")],
                lambda place: pages(place / "report"), {}, prints_early=False),
    ]  # fmt: skip


def kill_worker(cluster: DaskCluster, run: Run) -> None:
    """Kill one of the two workers, and start another one."""
    cluster.kill_worker()


def kill_client(cluster: DaskCluster, run: Run) -> None:
    """Kill the command."""
    run.process.kill()


def restart_scheduler(cluster: DaskCluster, run: Run) -> None:
    """Kill the scheduler and with it its workers, and start all of them again at once, on the same port."""
    cluster.kill_scheduler()
    cluster.start_scheduler()


FAULTS = {"worker": kill_worker, "client": kill_client, "scheduler": restart_scheduler}


def problems(code: int, fault: str, lines: list[str]) -> list[str]:
    """Return what is wrong with the end of a command that met a fault."""
    if "Traceback (most recent call last):" in lines:
        return ["a traceback"]
    is_told = code == 1 and any("was lost: start it" in line for line in lines[-1:])
    expected = {"worker": code == 0, "client": code in (-9, 0), "scheduler": code == 0 or is_told}[fault]
    return [] if expected else [f"exit code {code}: {lines[-1:]}"]


def study(
    cluster: DaskCluster,
    all_commands: list[Command],
    folder: Path,
    chosen: tuple[Sequence[str], int],
    rng: random.Random,
) -> bool:
    """Meet each command with each fault until so many runs have met it, print a line for each pair, and return whether all was well."""
    kinds, kills = chosen
    is_good, worker = True, {name: value for one in all_commands for name, value in one.variables.items()}
    for command in all_commands:
        wanted, lasts_s = _whole(command, cluster, folder / command.name)
        for fault in [one for one in FAULTS if one in kinds or not kinds]:
            act = FAULTS[fault]
            found: list[str] = []
            hit = number = 0
            while hit < kills and number < MOST_RUNS * kills:
                place = folder / f"{command.name}-{fault}-{number}"
                place.mkdir()
                with running([*command.words(place), "--dask", cluster.address], command.variables) as run:
                    if command.prints_early:
                        run.is_begun.wait(LONGEST_S)
                    time.sleep(rng.uniform(0 if command.prints_early else 0.3, 0.8) * lasts_s)
                    hit += run.process.poll() is None
                    act(cluster, run)
                    for _ in range(2 - len(cluster.workers)):
                        cluster.start_worker(worker, threads=2)
                    code = run.end()
                found += problems(code, fault, run.lines)
                if code != 0:
                    with running(
                        [*command.words(place), "--dask", cluster.address], command.variables
                    ) as run:
                        code = run.end()
                    found += [] if code == 0 else [f"the next run exits with {code}: {run.lines[-1:]}"]
                found += (
                    []
                    if code or command.content(place) == wanted
                    else ["other rows or pages than without a fault"]
                )
                shutil.rmtree(place)
                number += 1
                so_far(f"dask {command.name} {fault}", number, hit, found)
            is_good &= published(f"dask {command.name:7} {fault:10} {hit} of {number} in the middle", found)
    return is_good


def so_far(pair: str, runs: int, hits: int, problems: Sequence[str]) -> None:
    """Print how many runs of a command and a fault are done and have met it, on standard error."""
    text = f"    {pair}: {runs} runs so far, {hits} met the fault; problems {len(problems)}"
    print(text, *dict.fromkeys(problems), sep="\n      ", file=sys.stderr, flush=True)


def published(counts: str, problems: Sequence[str]) -> bool:
    """Print the counts of one fault and each problem once; return whether there was none."""
    print(f"{counts}; problems {len(problems)}", flush=True)
    for problem in dict.fromkeys(problems):
        print(f"    {problem}", flush=True)
    return not problems


def _whole(command: Command, cluster: DaskCluster, place: Path) -> tuple[object, float]:
    """Run a command without a fault; return what it leaves, and the time from its first line or its start to its end [s]."""
    for number in range(
        2
    ):  # workers import what they need in the first run, so the second one takes as long as those that follow
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        with running([*command.words(place), "--dask", cluster.address], command.variables) as run:
            if command.prints_early:
                run.is_begun.wait(LONGEST_S)
            began = time.monotonic()
            code = run.end()
        if code != 0:
            raise SystemExit(
                f"{command.name} without a fault exits with {code} in run {number}: {run.lines[-3:]}"
            )
    return command.content(place), time.monotonic() - began
