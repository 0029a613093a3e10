"""Keep a store small: rewrite tables into few files, and delete old observations and old versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from aurora_analysis.errors import Error
from aurora_analysis.store import tidy
from aurora_analysis.store.delta import commit
from aurora_analysis.store.layout import Place
from aurora_analysis.tables import TABLES, Table

if TYPE_CHECKING:
    from aurora_analysis.store.store import Store

SCATTERED = 4
"""A table is due to be merged if it has so many files more than weeks."""

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


def compact(store: Store, cluster: str) -> None:
    """Rewrite a cluster's tables into few files; see `Store.compact`.

    Parameters
    ----------
    store : Store
    cluster : str
    """
    for place, delta in _tables(store, TABLES, cluster):
        tidy.compact(place, delta, grace_hours=0)
        tidy.shorten_log(place)


def tidy_up(store: Store, cluster: str) -> None:
    """Merge the small files of a cluster's tables where there are many; a failure is left to the next time.

    Parameters
    ----------
    store : Store
    cluster : str
    """
    for place, delta in _tables(store, TABLES, cluster):
        if len(delta.file_uris()) >= SCATTERED + len(delta.partitions()):
            with suppress(Error, DeltaError, OSError):
                tidy.compact(place, delta)
                tidy.shorten_log(place)


def prune(store: Store, before: date, cluster: str) -> dict[str, int]:
    """Delete a cluster's observations of earlier days; see `Store.prune`.

    Parameters
    ----------
    store : Store
    before : datetime.date
        The first day to keep (UTC).
    cluster : str

    Returns
    -------
    dict of str to int
        Rows deleted, by table.
    """
    deleted = {}
    for place, delta in _tables(store, PRUNED, cluster):
        older = _older(store, TABLES[place.table], place.cluster, before)
        deleted[place.table] = _deleted(place, older)
        delta.update_incremental()
        tidy.delete_superfluous(place, delta, grace_hours=0)
    return deleted


def _deleted(place: Place, where: str) -> int:
    """Delete rows of a table in one commit, and return their number."""
    counts: list[int] = []

    def delete(delta: DeltaTable) -> bool:
        counts.append(int(delta.delete(where)["num_deleted_rows"]))
        return counts[-1] > 0

    commit(place.location, TABLES[place.table], place.cluster, delete)
    return counts[-1]


def _tables(store: Store, names: Iterable[str], cluster: str) -> Iterator[tuple[Place, DeltaTable]]:
    for name in names:
        delta = store.open(TABLES[name], cluster)
        if delta is not None:
            yield Place(store.location, name, cluster), delta


def _older(store: Store, spec: Table, cluster: str, before: date) -> str:
    """Return the SQL predicate of a cluster's rows before a day that no baseline keeps."""
    older = [f"{spec.time} < '{before}T00:00:00Z'"]
    if spec.name == "coverage":
        older.append(f"\"end\" <= '{before}T00:00:00Z'")
    kept = store.read("baselines", cluster=cluster)
    for start, end in zip(kept["time"].dt.floor("D"), kept["end"].dt.ceil("D")):
        older.append(f"NOT ({spec.time} >= '{start.isoformat()}' AND {spec.time} < '{end.isoformat()}')")
    return " AND ".join(older)
