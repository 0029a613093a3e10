"""Measure the CPU cost of the weekly report beyond its analyses, and its peak memory.

A simulated week of a cluster with five instances: values per minute, 2 million slow queries. Costs are CPU seconds of
whole process trees, because other work on the machine disturbs them less than it disturbs wall-clock time:

- the *report*: the command, with two jobs;
- the *analyses*: every cell of every notebook in one process without kernels, figures included;
- the *kernels*: the same command with the same number of empty notebooks.

Targets: the report takes at most 1.5 times the CPU of its analyses and kernels together. Reading inside the analyses
takes at most ten times the CPU of one DuckDB scan of the same tables (every column of every row, once). Peak memory is the
proportional set size (PSS) of all processes; the sum of their resident set sizes (RSS) is printed as well.

    python benchmarks/report.py                  prints one line per result; exits with 1 if a target is missed
    python benchmarks/report.py --store FOLDER   keeps the store there, or uses an existing one
    python benchmarks/report.py --only analyses  measures one part: analyses, kernels, report or scan
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd

from aurora_analysis import Store, Window
from aurora_analysis.lab import shop
from aurora_analysis.report import suite

WEEK = Window("2026-11-09", "2026-11-16")
QUERIES = 2_000_000
COPIES = {"shop-4": "shop-3", "shop-5": "shop-3"}
"""Instances that the simulation lacks → the instance that each copies."""
REPLACEMENTS = {"sql": 8, "slow": 100}
"""Number of statements that replace each simulated one: in the db load, and in the slow log."""

MOST_CPU, MOST_READING, MOST_MIB = 1.5, 10.0, 1536.0


def main() -> int:
    """Measure and print; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, help="Folder of the store; created if missing")
    parser.add_argument("--only", choices=[*PARTS], help="Measure only this part")
    parser.add_argument("--in-process", choices=["analyses", "scan"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_process:
        print(json.dumps(IN_PROCESS[options.in_process](options.store)))
        return 0
    with _folder(options.store) as store:
        if not (store / "coverage").exists():
            prepare(store)
        found = {name: part(store) for name, part in PARTS.items() if options.only in (None, name)}
    for name, numbers in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value:,.1f}" for key, value in numbers.items()))
    return 0 if options.only else judged(found)


def judged(found: dict[str, dict[str, float]]) -> int:
    """Print the three results with their targets; return 1 if one is missed."""
    bare = found["analyses"]["cpu_s"] + found["kernels"]["cpu_s"]
    ratios = {
        "CPU of the report / (analyses + kernels)": (found["report"]["cpu_s"] / bare, MOST_CPU),
        "CPU of the analyses' reading / one DuckDB scan": (
            found["analyses"]["reading_cpu_s"] / found["scan"]["cpu_s"],
            MOST_READING,
        ),
        "peak memory with two jobs [MiB]": (found["report"]["peak_pss_mib"], MOST_MIB),
    }
    for name, (value, most) in ratios.items():
        print(f"{name}: {value:,.2f} (target {most:,g}){' MISSED' if value > most else ''}")
    return int(any(value > most for value, most in ratios.values()))


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept:
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "store"


def prepare(location: Path) -> None:
    """Write the simulated week into a store."""
    shop.LOAD_PERIOD_MIN = 1
    store = Store(location)
    rng = np.random.default_rng(1)
    tables = {name: _with_copies(frame) for name, frame in shop.tables(1, WEEK).items()}
    tables["db_load"] = _among_replacements(
        tables["db_load"], "member", tables["db_load"]["dimension"] == "sql"
    )
    tables["statement_metrics"] = _by_minute(_among_replacements(tables["statement_metrics"], "digest"))
    tables["slow_queries"] = _multiplied(tables["slow_queries"], rng)
    tables["statements"] = _all_replacements(tables["statements"])
    for name, frame in tables.items():
        store.write(name, frame, WEEK, cluster=shop.CLUSTER, source=shop.SOURCE)
        print(f"{name}: {len(frame):,} rows", file=sys.stderr)


def _with_copies(frame: pd.DataFrame) -> pd.DataFrame:
    if "instance" not in frame:
        return frame
    more = [frame[frame["instance"] == like].assign(instance=name) for name, like in COPIES.items()]
    return pd.concat([frame, *more], ignore_index=True)


def _among_replacements(frame: pd.DataFrame, column: str, chosen: pd.Series | bool = True) -> pd.DataFrame:
    """Split each digest's rows among the statements that replace it."""
    split = frame[chosen] if isinstance(chosen, pd.Series) else frame
    others = frame.drop(split.index)
    amount = "active_sessions" if "active_sessions" in frame else "calls"
    parts = [
        split.assign(**{column: _replacements(split[column], n), amount: split[amount] / REPLACEMENTS["sql"]})
        for n in range(REPLACEMENTS["sql"])
    ]
    return pd.concat([others, *parts], ignore_index=True)


def _replacements(digests: pd.Series, number: int) -> pd.Series:
    """Return the digests of the n-th replacement of each statement; number 0 keeps the simulated digest."""
    if not number:
        return digests
    names = {
        digest: hashlib.sha256(f"{digest}{number}".encode()).hexdigest()[:16] for digest in digests.unique()
    }
    return digests.map(names)


def _by_minute(hours: pd.DataFrame) -> pd.DataFrame:
    parts = round(hours["period_s"].iloc[0] / 60)
    minutes = hours.loc[hours.index.repeat(parts)]
    minute = pd.to_timedelta(60 * np.tile(np.arange(parts), len(hours)), unit="s").as_unit("us")
    return minutes.assign(time=minutes["time"] + minute, period_s=60.0, calls=minutes["calls"] / parts)


def _multiplied(queries: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Resample short queries at other moments of the same hour and for other statements."""
    short = queries[queries["query_time_s"] < 60]
    drawn = short.iloc[rng.integers(len(short), size=QUERIES - len(queries))]
    shifted = drawn["ended_at"].dt.floor("h") + pd.to_timedelta(
        rng.integers(1, 3_600_000_000, len(drawn)), unit="us"
    )
    lasted = drawn["ended_at"] - drawn["started_at"]
    number = rng.integers(REPLACEMENTS["slow"], size=len(drawn))
    digest = drawn["digest"].astype(object).to_numpy(copy=True)
    for n in range(1, REPLACEMENTS["slow"]):
        digest[number == n] = _replacements(drawn["digest"][number == n], n)
    more = drawn.assign(
        ended_at=shifted.dt.as_unit("us"), started_at=(shifted - lasted).dt.as_unit("us"), digest=digest
    )
    return pd.concat([queries, more], ignore_index=True)


def _all_replacements(statements: pd.DataFrame) -> pd.DataFrame:
    parts = [
        statements.assign(digest=_replacements(statements["digest"], n)) for n in range(REPLACEMENTS["slow"])
    ]
    return pd.concat(parts, ignore_index=True)


def report(store: Path, *notebooks: Path) -> dict[str, float]:
    """Measure the command on a store, with two jobs."""
    with tempfile.TemporaryDirectory() as output:
        chosen = [part for notebook in notebooks for part in ("--notebook", str(notebook))]
        window = ["--start", f"{WEEK.start:%F}", "--end", f"{WEEK.end:%F}"]
        where = ["--store", str(store), "--cluster", shop.CLUSTER, "--output", f"{output}/report"]
        return _measured(
            [sys.executable, "-m", "aurora_analysis", "report", *where, *window, *chosen, "--jobs", "2"]
        )


def kernels(store: Path) -> dict[str, float]:
    """Measure the command with empty notebooks: the cost of starting kernels."""
    with tempfile.TemporaryDirectory() as folder:
        empty = []
        for notebook in _concerned(store):
            opened = nbformat.read(notebook, as_version=4)
            opened.cells = [cell for cell in opened.cells if "parameters" in cell.metadata.get("tags", [])]
            empty.append(Path(folder) / f"empty_{notebook.name}")
            nbformat.write(opened, empty[-1])
        return report(store, *empty)


def _concerned(store: Path) -> list[Path]:
    """Return the notebooks that the report runs."""
    return [path for path in suite.of_report() if suite.concerns(path, Store(store), shop.CLUSTER, WEEK)]


def _measured(command: list[str]) -> dict[str, float]:
    """Return wall-clock and CPU time [s] of a process tree, and its peak memory [MiB]."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        run = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        peak = _Peak(run.pid)
        peak.start()
        _, status, usage = os.wait4(run.pid, 0)
        peak.over.set()
        run.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if run.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read()}")
    peak.join()
    return {
        "wall_s": time.monotonic() - began,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_rss_mib": peak.rss_mib,
        "peak_pss_mib": peak.pss_mib,
    }


class _Peak(threading.Thread):
    """Sample the memory of a process and its descendants four times a second, and keep the peak.

    RSS counts a shared page once per process; PSS counts it once in total.
    """

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.over = root, threading.Event()
        self.rss_mib = self.pss_mib = 0.0

    def run(self) -> None:
        while not self.over.wait(0.25):
            sizes = [_sizes(pid) for pid in _descendants(self.root)]
            self.rss_mib = max(self.rss_mib, sum(rss for rss, _ in sizes) / 1024)
            self.pss_mib = max(self.pss_mib, sum(pss for _, pss in sizes) / 1024)


def _descendants(root: int) -> list[int]:
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def _sizes(pid: int) -> tuple[float, float]:
    """Return RSS and PSS [KiB]; zero for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0.0, 0.0
    values = {line.split(":")[0]: float(line.split()[1]) for line in lines}
    return values["Rss"], values["Pss"]


def alone(part: str) -> Callable[[Path], dict[str, float]]:
    """Return a part that is measured in its own process."""

    def measured(store: Path) -> dict[str, float]:
        command = [sys.executable, __file__, "--in-process", part, "--store", str(store)]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])

    return measured


def analyses_here(store: Path) -> dict[str, float]:
    """Run every cell of every notebook in this process."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    reading = _Reading()
    numbers: dict[str, float] = {}
    for notebook in _concerned(store):
        began = time.process_time()
        _run(nbformat.read(notebook, as_version=4), store)
        for number in plt.get_fignums():
            plt.figure(number).savefig(io.BytesIO(), bbox_inches="tight")
        plt.close("all")
        numbers[notebook.stem] = time.process_time() - began
    used = time.process_time()
    return {"cpu_s": used, "reading_cpu_s": reading.cpu_s, "rows_read": reading.rows} | numbers


def _run(notebook: nbformat.NotebookNode, store: Path) -> None:
    names: dict[str, Any] = {"display": lambda *shown: None}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source, names)  # our own notebooks
        if "parameters" in cell.metadata.get("tags", []):
            names |= {"store": str(store), "cluster": shop.CLUSTER}
            names |= {"start": WEEK.start.isoformat(), "end": WEEK.end.isoformat()}


class _Reading:
    """Count the CPU time and rows of all reads from the store."""

    def __init__(self) -> None:
        self.cpu_s, self.rows, self._inside = 0.0, 0.0, False
        for name in READERS:
            setattr(Store, name, self._counted(getattr(Store, name)))

    def _counted(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **how: Any) -> Any:
            if self._inside:
                return read(*args, **how)
            self._inside, began = True, time.process_time()
            try:
                found = read(*args, **how)
                self.rows += len(found)
                return found
            finally:
                self.cpu_s += time.process_time() - began
                self._inside = False

        return counting


READERS = ("read", "metric", "metrics")


def scan_here(store: Path) -> dict[str, float]:
    """Scan every column of every row of the tables that the analyses read, once, with DuckDB."""
    import duckdb

    rows, began = 0, time.process_time()
    for table in TABLES:
        files = f"{store}/{table}/*/*/*.parquet"
        rows += duckdb.sql(f"FROM read_parquet('{files}', hive_partitioning=true)").to_arrow_table().num_rows
    return {"cpu_s": time.process_time() - began, "rows": float(rows)}


TABLES = ("metrics", "db_load", "statement_metrics", "histograms", "slow_queries", "statements", "instances")

IN_PROCESS = {"analyses": analyses_here, "scan": scan_here}
PARTS: dict[str, Callable[[Path], dict[str, float]]] = {
    "analyses": alone("analyses"),
    "scan": alone("scan"),
    "kernels": kernels,
    "report": report,
}

if __name__ == "__main__":
    raise SystemExit(main())
