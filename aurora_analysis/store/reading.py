"""Read rows from Delta tables: open only the files that may hold them, and filter inside those."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from aurora_analysis.store.delta import Slice, quoted
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
    found = _files(delta, _near(spec, query), categories)
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


def changed(
    delta: DeltaTable, spec: Table, contents: Sequence[tuple[pa.Table, Slice]]
) -> list[tuple[pa.Table, Slice]]:
    """Return the contents that their slices of the table do not have exactly.

    Parameters
    ----------
    delta : DeltaTable
    spec : Table
    contents : sequence of (pyarrow.Table, Slice)
        What each slice is to have.

    Returns
    -------
    list of (pyarrow.Table, Slice)
    """
    if not contents:
        return []
    wanted = [_filter(spec, _query(replaced)) for _, replaced in contents]
    windows = [replaced.window for _, replaced in contents]
    span = Window(min(each.start for each in windows), max(each.end for each in windows))
    files = _files(delta, _near(spec, Query("", span)))
    if len(contents) > 1 and not files.count_rows(filter=reduce(operator.or_, wanted)):
        return [
            each for each in contents if each[0].num_rows
        ]  # one look at the files instead of one for each slice
    return [each for each, rows in zip(contents, wanted) if not _has(files, each[0], rows)]


def _query(replaced: Slice) -> Query:
    return Query(replaced.cluster, replaced.window, replaced.instance, where={"source": replaced.source})


def _has(files: ds.Dataset, content: pa.Table, wanted: ds.Expression) -> bool:
    """Return whether the files have exactly this content where a filter holds."""
    if files.count_rows(filter=wanted) != content.num_rows:
        return False
    return equal(files.to_table(filter=wanted).select(content.column_names).cast(content.schema), content)


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


def _near(spec: Table, query: Query) -> str | None:
    """Return the SQL predicate of the files that may hold rows of a query, by their smallest and largest times."""
    if query.window is None:
        return None
    parts = [f"{spec.time} >= '{query.window.start.isoformat()}'"]
    if not query.overlapping:
        weeks = ", ".join(map(quoted, query.window.weeks()))
        parts += [f"{spec.time} < '{query.window.end.isoformat()}'", f"week IN ({weeks})"]
    return " AND ".join(parts)


def _files(delta: DeltaTable, where: str | None, categories: Iterable[str] = ()) -> ds.Dataset:
    """Return the files that may hold rows of a predicate, so that the others are not opened."""
    options = ds.ParquetReadOptions(dictionary_columns=set(categories))
    return delta.to_pyarrow_dataset(file_pruning_predicate=where, parquet_read_options=options)
