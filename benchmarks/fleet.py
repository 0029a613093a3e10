"""Measure what a commit and a read cost in a store of a hundred clusters and eight weeks.

One cluster's eight weeks are written for real and copied a hundred times; the same commits and reads are then done in
that store and in one that holds this cluster only, in turns. CPU is of this process, all threads.

Then two workers of a Dask cluster on loopback are compared with two local processes, in turns: ingest of one log, and
reports. Run this part on a machine that does nothing else: its ratios are of elapsed time.

    python benchmarks/fleet.py [store|dask] [--clusters 100] [--mb 512] [--reports 12] [--rounds 3]

Prints the figures; exits with 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median

import pandas as pd
from deltalake import DeltaTable

from aurora_analysis import Store, Window
from aurora_analysis.tables import TABLES

WEEKS = 8
WRITTEN = ("instances", "metrics", "db_load", "statement_metrics", "slow_queries", "events", "coverage")
"""Tables that a fetch writes."""
FLUSHES = 8
"""Commits of each table that a fetch of one week makes."""
COMMITS = 40
DEARER, CPU_MS, FILES, LOG_FILES = 1.3, 30.0, 20_000, 30
"""Targets: a commit against one in a store of its own, its CPU, live files of the store, files of a table's log."""

BEGIN = Window("2026-09-07", "2026-09-14").start


def window(number: int) -> Window:
    """The window of a fetch's commit: the weeks are cut into `FLUSHES` parts."""
    part = timedelta(weeks=1) / FLUSHES
    return Window(BEGIN + number * part, BEGIN + (number + 1) * part)


def frame(table: str, span: Window) -> pd.DataFrame:
    """Some rows of a table: one a minute for the dense ones, else one."""
    spec = TABLES[table]
    dense = table in ("metrics", "db_load", "statement_metrics")
    times = pd.date_range(span.start, span.end, freq="1min" if dense else "7D", inclusive="left", unit="us")
    rows = pd.DataFrame({spec.time: times, "instance": "db-1"})
    for column in spec.columns:
        if column.type == "real":
            rows[column.name] = range(len(rows))
    return rows


def commit(store: Store, cluster: str, table: str, number: int) -> None:
    """Write one window of a table."""
    store.write(table, frame(table, window(number)), window(number), cluster=cluster, source="test")


def cost(act: Callable[[], object]) -> float:
    """CPU of one call [ms]."""
    began = time.process_time()
    act()
    return (time.process_time() - began) * 1e3


def grown(folder: Path, clusters: int) -> tuple[Store, Store]:
    """Return a store of one cluster and one of many, at the same history."""
    alone = Store(folder / "alone")
    for number in range(WEEKS * FLUSHES):
        for table in WRITTEN:
            commit(alone, "c000", table, number)
    for place in (folder / "alone").glob("*/cluster=c000"):
        for n in range(clusters):
            shutil.copytree(place, folder / "fleet" / place.parent.name / f"cluster=c{n:03}")
    return alone, Store(folder / "fleet")


def live(store: Store) -> tuple[int, int]:
    """Number of live files of the store, and the most files in a table's log."""
    logs = list(Path(store.location).glob("*/*/_delta_log"))
    files = sum(len(DeltaTable(log.parent).file_uris()) for log in logs)
    return files, max(len(list(log.iterdir())) for log in logs)


def read_bytes(store: Store) -> int:
    """Bytes of the files that a read of one cluster's week opens: its log and its data."""
    total = 0
    for table in WRITTEN:
        place = Path(store.location) / table / "cluster=c000"
        used = DeltaTable(place).file_uris(file_pruning_predicate=[("week", "=", "2026-W43")])
        entries = list((place / "_delta_log").iterdir())
        total += sum(Path(one).stat().st_size for one in [*used, *entries])
    return total


def main() -> int:
    """Run the studies, and return 1 if one misses its target."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("studies", nargs="*", metavar="store|dask")
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--mb", type=int, default=512, help="dask: size of the log [default: 512]")
    parser.add_argument("--reports", type=int, default=12, help="dask: clusters of the report [default: 12]")
    parser.add_argument("--rounds", type=int, default=3, help="dask: runs of each [default: 3]")
    chosen = parser.parse_args()
    studies = chosen.studies or ["store", "dask"]
    is_met = "store" not in studies or growth(chosen.clusters)
    if "dask" in studies:
        import _fleet_dask

        with tempfile.TemporaryDirectory() as folder:
            is_met &= _fleet_dask.study(Path(folder), chosen.mb, chosen.reports, chosen.rounds)
    return int(not is_met)


def growth(clusters: int) -> bool:
    """Print what commits and reads cost in a fleet's store, and return whether the targets are met."""
    with tempfile.TemporaryDirectory() as folder:
        alone, fleet = grown(Path(folder), clusters)
        commits: dict[str, list[float]] = {"alone": [], "fleet": []}
        for number in range(WEEKS * FLUSHES, WEEKS * FLUSHES + COMMITS):
            for name, store in (("alone", alone), ("fleet", fleet)):
                commits[name].append(cost(lambda: commit(store, "c000", "metrics", number)))  # noqa: B023
        own, theirs = (sum(each) / COMMITS for each in commits.values())
        reads = [read_bytes(store) for store in (alone, fleet)]
        files, log = live(fleet)
        listing = median(cost(fleet.clusters) for _ in range(3))
    print(f"{clusters} clusters, {WEEKS} weeks, {len(WRITTEN)} tables")
    print(
        f"a commit: {own:.1f} ms of CPU alone, {theirs:.1f} ms in the fleet, {theirs / own:.2f} x (target {DEARER})"
    )
    print(f"a read of one cluster's week: {reads[1] / reads[0]:.2f} x the bytes (target 1.2)")
    print(f"live files {files:,} (target {FILES:,}); log of a table at most {log} files (target {LOG_FILES})")
    print(f"clusters(): {listing:.0f} ms of CPU")
    met = theirs <= DEARER * own and theirs <= CPU_MS and reads[1] <= 1.2 * reads[0]
    return met and files <= FILES and log <= LOG_FILES


if __name__ == "__main__":
    sys.exit(main())
