"""Keep a store small: rewrite tables into few files, and delete old observations and old versions."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from aurora_analysis.store.delta import quoted
from aurora_analysis.tables import TABLES, Table
from aurora_analysis.window import Window

if TYPE_CHECKING:
    from aurora_analysis.store.store import Store

PRUNED = (
    "metrics",
    "db_load",
    "statement_metrics",
    "histograms",
    "slow_queries",
    "examples",
    "open_transactions",
    "read_views",
    "coverage",
)
"""The tables that grow with time, and `coverage`, which counts their rows."""


def compact(store: Store) -> None:
    """Rewrite every table into few files; see `Store.compact`.

    Parameters
    ----------
    store : Store
    """
    for spec in TABLES.values():
        delta = store.open(spec)
        if delta is not None:
            delta.optimize.compact()
            _vacuum(store, delta, spec)


def prune(store: Store, before: date) -> dict[str, int]:
    """Delete the observations of earlier days; see `Store.prune`.

    Parameters
    ----------
    store : Store
    before : datetime.date
        The first day to keep (UTC).

    Returns
    -------
    dict of str to int
        Rows deleted, by table.
    """
    deleted = {}
    for name in PRUNED:
        delta = store.open(TABLES[name])
        if delta is not None:
            done = delta.delete(_older(store, name, before))
            deleted[name] = int(done["num_deleted_rows"])
            _vacuum(store, delta, TABLES[name], before)
    return deleted


def _older(store: Store, table: str, before: date) -> str:
    """Return the SQL predicate of a table's rows before a day that no baseline keeps."""
    older = [f"day < '{before}'"]
    if table == "coverage":
        older.append(f"\"end\" <= '{before}T00:00:00Z'")
    for cluster in store.clusters():
        kept = store.read("baselines", cluster=cluster)
        windows = [Window(start, end) for start, end in zip(kept["time"], kept["end"])]
        days = {f"'{day}'" for window in windows for day in window.days()}
        if days:
            older.append(f"NOT (cluster = {quoted(cluster)} AND day IN ({', '.join(sorted(days))}))")
    return " AND ".join(older)


def _vacuum(store: Store, delta: DeltaTable, spec: Table, before: date = date.min) -> None:
    """Delete the files that neither the newest version nor a version that a recorded report read needs."""
    named = {version for version in _recorded(store, spec, before) if version <= delta.version()}
    delta.vacuum(
        retention_hours=0,
        enforce_retention_duration=False,
        dry_run=False,
        keep_versions=sorted(named) or None,
    )


def _recorded(store: Store, spec: Table, before: date) -> set[int]:
    """Return the versions of a table that reports read whose window ends after a day."""
    delta = store.open(TABLES["runs"])
    if delta is None:
        return set()
    runs = delta.to_pyarrow_dataset().to_table(columns=["end", "versions"]).to_pylist()
    read = [json.loads(run["versions"]) for run in runs if run["end"].date() > before]
    return {versions[spec.name] for versions in read if spec.name in versions}
