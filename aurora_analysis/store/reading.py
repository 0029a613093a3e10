"""Read rows from Delta tables: open only the files that may hold them, and filter inside those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from aurora_analysis.store.delta import Slice
from aurora_analysis.store.frames import ARROW_TYPES, equal
from aurora_analysis.tables import Table
from aurora_analysis.window import Window

Value = str | float | list[str]


@dataclass(frozen=True)
class Query:
    """The rows to read from a table; see `Store.read` for each parameter."""

    cluster: str
    window: Window | None = None
    instance: str | None = None
    overlapping: bool = False
    where: Mapping[str, Value] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)


def rows(
    delta: DeltaTable, spec: Table, query: Query, columns: list[str] | None, categories: Iterable[str] = ()
) -> pa.Table:
    """Return the rows of a query, in the files' order.

    Parameters
    ----------
    delta : DeltaTable
    spec : Table
    query : Query
    columns : list of str or None
        Columns to read; None for all.
    categories : iterable of str
        Text columns to read as dictionaries, which take a small part of the memory.

    Returns
    -------
    pyarrow.Table
    """
    pruned = None if query.overlapping else query.window
    found = _files(delta, pruned, categories)
    # Reading ahead one fragment takes less memory, and no more time.
    names = None if columns is None else [name for name in columns if name in found.schema.names]
    there = found.to_table(filter=_filter(spec, query), columns=names, fragment_readahead=1)
    return _with_all(there, spec, columns)


def _with_all(found: pa.Table, spec: Table, columns: list[str] | None) -> pa.Table:
    """Add columns that the table lacks because an older version of the package made it; their values are null."""
    wanted = spec.column_names() if columns is None else columns
    missing = [column for column in spec.columns if column.name in set(wanted) - set(found.column_names)]
    for column in missing:
        found = found.append_column(column.name, pa.nulls(found.num_rows, ARROW_TYPES[column.type]))
    return found.select(wanted) if missing else found


def holds(delta: DeltaTable, spec: Table, content: pa.Table, replaced: Slice) -> bool:
    """Return whether a slice of the table already has exactly this content.

    Parameters
    ----------
    delta : DeltaTable
    spec : Table
    content : pyarrow.Table
    replaced : Slice

    Returns
    -------
    bool
    """
    query = Query(replaced.cluster, replaced.window, replaced.instance, where={"source": replaced.source})
    wanted, files = _filter(spec, query), _files(delta, replaced.window)
    if files.count_rows(filter=wanted) != content.num_rows:
        return False
    found = files.to_table(filter=wanted).select(content.column_names).cast(content.schema)
    return equal(found, content)


def _filter(spec: Table, query: Query) -> ds.Expression:
    wanted = ds.scalar(True)
    if query.instance is not None:
        wanted &= ds.field("instance") == query.instance
    if query.window is not None:
        wanted &= _inside(spec, query.window, query.overlapping)
    for column, value in query.where.items():
        wanted &= ds.field(column).isin(value if isinstance(value, list) else [value])
    for column, least in query.at_least.items():
        wanted &= ds.field(column) >= least
    return wanted


def _inside(spec: Table, window: Window, overlapping: bool) -> ds.Expression:
    """Filter by time: rows of the window, or (overlapping) executions that ran in it."""
    start, end = (pa.scalar(moment, ARROW_TYPES["timestamp"]) for moment in (window.start, window.end))
    if overlapping:
        return (ds.field(spec.time) >= start) & (ds.field("started_at") < end)
    return (ds.field(spec.time) >= start) & (ds.field(spec.time) < end)


def _files(delta: DeltaTable, window: Window | None, categories: Iterable[str] = ()) -> ds.Dataset:
    """Return the files that may hold rows of a window, so that the others are not opened."""
    weeks = None if window is None else [("week", "in", window.weeks())]
    options = ds.ParquetReadOptions(dictionary_columns=set(categories))
    return delta.to_pyarrow_dataset(file_pruning_predicate=weeks, parquet_read_options=options)
