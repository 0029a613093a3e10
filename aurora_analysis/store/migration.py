"""Convert a store from the earlier layout, one Delta table for all clusters, to today's, one for each cluster.

The new store is written next to the old one and takes its place at the end, when the two folders swap names. The old folder
is kept, so nothing is lost however the migration ends; repeat a killed migration from the start.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake

from aurora_analysis.errors import Error
from aurora_analysis.store import delta, frames, layout, opening
from aurora_analysis.store.uri import storage_options, table_uri
from aurora_analysis.tables import TABLES, Table

AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Parameters of renameat2 in linux/fs.h."""

ORDER = sorted(TABLES, key=lambda name: name == "coverage")
"""The tables, `coverage` last: it marks observations as complete."""


def migrate(location: str, to: str = "") -> dict[str, int]:
    """Convert a store to today's layout.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    to : str, optional
        Write the new store to this folder or prefix, and leave the old one as it is. Default: replace the folder; the old
        store stays beside it.

    Returns
    -------
    dict of str to int
        Rows by table; empty if the store has today's layout.

    Raises
    ------
    Error
        If an s3:// prefix would have to be replaced, the target holds data, or a writer was faster.
    """
    old = [name for name in ORDER if layout.is_earlier(location, name)]
    if to:
        if layout.clusters(to, "coverage"):
            raise Error(f"{to} already holds a store: name an empty folder or prefix with --to.")
        return {name: _copied(location, to, TABLES[name]) for name in old}
    if "://" in location:
        raise Error("A prefix of S3 cannot be replaced at once: name a new one with --to s3://BUCKET/PREFIX.")
    place = Path(location).resolve()
    new, kept = beside(place)
    if not old:
        _put_aside(new, kept)
        return {}
    if kept.exists():
        raise Error(f"{kept} exists, from an earlier migration: move it away first.")
    shutil.rmtree(new, ignore_errors=True)
    versions = _versions(location, old)
    rows = {name: _copied(location, str(new), TABLES[name]) for name in old}
    for other in place.iterdir():
        if other.is_file():
            shutil.copy2(other, new)
    if _versions(location, old) != versions:
        raise Error(
            f"A writer changed {location} during the migration. End fetch and watch, and migrate again."
        )
    _exchange(new, place)
    _put_aside(new, kept)
    return rows


def beside(place: Path) -> tuple[Path, Path]:
    """Return two folders next to a store: the new store is built in one, and the old store is kept in the other.

    Parameters
    ----------
    place : pathlib.Path

    Returns
    -------
    tuple of pathlib.Path
    """
    return place.with_name(f"{place.name}.migrating"), place.with_name(f"{place.name}.before-migration")


def _put_aside(new: Path, kept: Path) -> None:
    """Give the old store its final name, if it still has the one from the exchange."""
    if layout.is_earlier(str(new), "coverage") and not kept.exists():
        new.rename(kept)


def _versions(location: str, tables: list[str]) -> dict[str, int]:
    return {name: _old(location, name).version() for name in tables}


def _old(location: str, table: str) -> DeltaTable:
    return DeltaTable(table_uri(location, table), storage_options=storage_options(location, table))


def _copied(location: str, to: str, spec: Table) -> int:
    """Write each cluster's table in one commit, and return the number of rows; stream, so that memory stays small."""
    old = _old(location, spec.name)
    count = 0
    for cluster in sorted({str(one["cluster"]) for one in old.partitions() if one["cluster"]}):
        files = old.to_pyarrow_dataset(file_pruning_predicate=[("cluster", "=", cluster)])
        mine = ds.field("cluster") == cluster

        def put(table: DeltaTable, files: ds.Dataset = files, mine: ds.Expression = mine) -> bool:
            batches = _batches(files, mine, spec)
            reader = pa.RecordBatchReader.from_batches(frames.schema(spec), batches)
            write_deltalake(table, reader, mode="overwrite")
            return True

        delta.commit(to, spec, cluster, put)
        expected, table = files.count_rows(filter=mine), opening.opened(to, spec, cluster)
        found = 0 if table is None else table.to_pyarrow_dataset().count_rows()
        if found != expected:
            raise Error(f"{spec.name} of {cluster} has {found} rows instead of {expected}: migrate again.")
        count += found
    return count


def _batches(files: ds.Dataset, mine: ds.Expression, spec: Table) -> Iterator[pa.RecordBatch]:
    """Yield the rows in today's columns: with the week, without the day; a column that is missing is null."""
    schema = frames.schema(spec)
    names = [name for name in schema.names if name in files.schema.names]
    for batch in files.to_batches(filter=mine, columns=names):
        columns = {name: batch.column(name).cast(schema.field(name).type) for name in names}
        columns["week"] = pc.strftime(batch.column(spec.time), "%G-W%V")
        empty = {name: pa.nulls(batch.num_rows, schema.field(name).type) for name in schema.names}
        yield pa.RecordBatch.from_arrays(list((empty | columns).values()), schema=schema)


def _exchange(new: Path, place: Path) -> None:
    """Swap the names of two folders in one step, or in two steps where the system cannot do it in one."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    names = (os.fsencode(new), os.fsencode(place))
    if rename is None or rename(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) != 0:
        aside = place.with_name(f"{place.name}.exchanged")
        place.rename(aside)
        new.rename(place)
        aside.rename(new)
