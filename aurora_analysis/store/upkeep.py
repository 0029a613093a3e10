"""Keep a store small: rewrite tables into few files, and delete old observations and old versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from aurora_analysis.store import tidy
from aurora_analysis.store.delta import commit
from aurora_analysis.store.layout import Place
from aurora_analysis.tables import TABLES, Table

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
    for place, delta in _tables(store, TABLES):
        tidy.compact(place, delta, grace_hours=0)
        tidy.shorten_log(place)


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
    deleted: Counter[str] = Counter()
    for place, delta in _tables(store, PRUNED):
        older = _older(store, TABLES[place.table], place.cluster, before)
        deleted[place.table] += _deleted(place, older)
        delta.update_incremental()
        tidy.delete_superfluous(place, delta, grace_hours=0)
    return dict(deleted)


def _deleted(place: Place, where: str) -> int:
    """Delete rows of a table in one commit, and return their number."""
    counts: list[int] = []

    def delete(delta: DeltaTable) -> bool:
        counts.append(int(delta.delete(where)["num_deleted_rows"]))
        return counts[-1] > 0

    commit(place.location, TABLES[place.table], place.cluster, delete)
    return counts[-1]


def _tables(store: Store, names: Iterable[str]) -> Iterator[tuple[Place, DeltaTable]]:
    for name in names:
        for cluster, delta in store.open_all(TABLES[name]).items():
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
