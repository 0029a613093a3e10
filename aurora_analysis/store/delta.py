"""Open, create and partly replace one Delta table of a store; each change is one atomic commit.

This module imports neither pandas nor pyarrow: it builds Arrow rows with arro3, the small library that delta-rs
depends on, so that `ingest` needs little memory. `store.py` reads tables, and writes pandas frames.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import arro3.core as arrow
from deltalake import CommitProperties, DeltaTable, Schema, write_deltalake
from deltalake.exceptions import CommitFailedError

from aurora_analysis.engines.log_tables import Coded
from aurora_analysis.errors import Error, Gone, Unfinished
from aurora_analysis.store import layout, tidy
from aurora_analysis.store.causes import failed, is_of_storage
from aurora_analysis.store.layout import Place
from aurora_analysis.store.names import check_not_empty
from aurora_analysis.store.opening import check_layout, opened
from aurora_analysis.store.panics import without_panics
from aurora_analysis.store.uri import storage_options, table_uri
from aurora_analysis.tables import SCHEMA_VERSION, Table, Type
from aurora_analysis.window import Window

ATTEMPTS = 30
"""Most tries of one commit; a try fails if another writer commits first."""

LEAST_ROOM_BYTES = 2**23
"""A commit needs this much room on the disk [bytes]: a day of one source takes a few MiB."""

ALONE = CommitProperties(max_commit_retries=0)
"""A commit that fails if anyone has committed since the table was opened, so that what we looked up still holds."""


@dataclass(frozen=True)
class Slice:
    """The rows that one write replaces: those of a source, cluster and window.

    Parameters
    ----------
    window : Window
        Half-open span of the table's time column (UTC).
    cluster : str
    source : str
        The value of the column `source`.
    instance : str, optional
        Replace this instance's rows only. Default: the rows of all instances, and of the cluster.
    """

    window: Window
    cluster: str
    source: str
    instance: str | None = None


TYPES: dict[Type, arrow.DataType] = {
    "timestamp": arrow.DataType.timestamp("us", tz="UTC"),
    "text": arrow.DataType.string(),
    "real": arrow.DataType.float64(),
    "integer": arrow.DataType.int64(),
    "boolean": arrow.DataType.bool(),
}

Columns = Mapping[str, Sequence[Any]]
"""Rows as one sequence of plain values per column: lists, numbers in a memoryview, or `Coded` values; times in
microseconds since 1970 (UTC)."""


def rows(spec: Table, columns: Columns, *, cluster: str, source: str) -> arrow.Table:
    """Return Arrow rows of a table, built from plain columns; missing columns become null.

    Parameters
    ----------
    spec : Table
    columns : mapping of str to sequence
        Plain values by column; times in microseconds since 1970 (UTC).
    cluster, source : str
        Values of the columns of these names.

    Returns
    -------
    arro3.core.Table

    Raises
    ------
    Error
        If the cluster's name, or a value of `instance`, is empty.
    """
    check_not_empty(cluster)
    for name in set(columns.get("instance", ())):
        check_not_empty(cluster, name)
    count = len(columns[spec.time])
    weeks = [week(us) for us in columns[spec.time]]
    whole = {"cluster": [cluster] * count, "week": weeks, "source": [source] * count, **columns}
    arrays = [_array(whole.get(column.name, [None] * count), column.type) for column in spec.columns]
    return arrow.Table.from_arrays(arrays, schema=_schema(spec))


def _array(values: Sequence[Any], kind: Type) -> arrow.Array:
    if isinstance(values, Coded):
        return arrow.Array(values.values, TYPES[kind]).take(arrow.Array.from_buffer(values.codes))
    if isinstance(values, memoryview):
        return arrow.Array.from_buffer(values).cast(TYPES[kind])
    if kind == "timestamp":
        return arrow.Array(values, arrow.DataType.int64()).cast(TYPES[kind])
    return arrow.Array(values, TYPES[kind])


def _schema(spec: Table) -> arrow.Schema:
    return arrow.Schema([arrow.Field(column.name, TYPES[column.type]) for column in spec.columns])


def tuples(rows: arrow.Table | arrow.RecordBatch, columns: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    """Return rows as tuples of plain values.

    Parameters
    ----------
    rows : arro3.core.Table or arro3.core.RecordBatch
    columns : sequence of str

    Returns
    -------
    iterable of tuple
    """
    return zip(*(plain_values(rows, column) for column in columns))


def plain_values(rows: arrow.Table | arrow.RecordBatch, column: str) -> list[Any]:
    """Return a column's values; times in microseconds since 1970 (UTC).

    Parameters
    ----------
    rows : arro3.core.Table or arro3.core.RecordBatch
    column : str

    Returns
    -------
    list
    """
    values = rows[column]
    is_time = values.type == TYPES["timestamp"]
    return list((values.cast(arrow.DataType.int64()) if is_time else values).to_pylist())


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000


def moment(us: int) -> datetime:
    """Return the datetime (UTC) of a time in microseconds since 1970.

    Parameters
    ----------
    us : int
        Microseconds since 1970.

    Returns
    -------
    datetime
    """
    return _EPOCH + timedelta(microseconds=us)


def week(us: int) -> str:
    """Return the ISO week of a time (UTC), as the partition `week` has it.

    Parameters
    ----------
    us : int
        Microseconds since 1970.

    Returns
    -------
    str

    >>> week(0)
    '1970-W01'
    """
    return _week_of_day(us // DAY_US)


@lru_cache(maxsize=4096)
def _week_of_day(number: int) -> str:
    return f"{_EPOCH + timedelta(days=number):%G-W%V}"


def commit(location: str, spec: Table, cluster: str, change: Callable[[DeltaTable], bool]) -> int | None:
    """Change a cluster's table and return its new version; create the table first if it does not exist.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    spec : Table
    cluster : str
    change : callable
        Takes the table, and returns whether it committed anything. If another writer commits first, it is
        called again with the table as it is then.

    Returns
    -------
    int or None
        None if `change` committed nothing.

    Raises
    ------
    Error
        If the table cannot be written, or other writers were faster `ATTEMPTS` times.
    OSError
        If the disk is full (ENOSPC).
    """
    _check_room(location)
    place, before = Place(location, spec.name, cluster), -1
    for attempt in range(ATTEMPTS):
        try:
            with without_panics(location):
                table = opened(location, spec, cluster) or _create(location, spec, cluster)
                _add_columns(table, spec)
                before = table.version()
                if not change(table):
                    return None
                version = int(table.version())
                tidy.after_commit(place, table, before)
                return version
        except Exception as problem:
            if not is_of_storage(problem):
                raise
            if os.strerror(errno.ENOSPC) in str(problem):
                raise _full(location) from None
            if not isinstance(problem, CommitFailedError):
                refusal = failed(f"Cannot write {spec.name} into {location}", problem, location)
                is_late = isinstance(refusal, Gone) and layout.newest_version(place) != before
                if isinstance(refusal, Unfinished) or not (is_late or _is_behind(place, before)):
                    raise refusal from None
            time.sleep(random.uniform(0, 0.02 * 2 ** min(attempt, 6)))
    raise Error(
        f"Could not write {spec.name} in {location}: other writers committed first {ATTEMPTS} times. Try again."
    )


def _is_behind(place: Place, version: int) -> bool:
    """Return whether others have committed so often that the log no longer reaches back to a version."""
    commits = {layout.version(entry) for entry in layout.log_entries(place) if entry.endswith(".json")}
    return version + 1 < max(commits, default=0) and version + 1 not in commits


def _check_room(location: str) -> None:
    """Refuse a commit to a disk that is almost full or read-only: delta-rs would print a Rust backtrace first."""
    if "://" in location:
        return
    place = Path(location).absolute()
    existing = next(each for each in (place, *place.parents) if each.exists())
    if shutil.disk_usage(existing).free < LEAST_ROOM_BYTES:
        raise _full(location)
    if not os.access(existing, os.W_OK):
        raise Error(f"Cannot write into {location}: {existing} is read-only for this user.")


def _full(location: str) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), location)


def _add_columns(table: DeltaTable, spec: Table) -> None:
    """Add the columns that a table lacks because an older version of the package made it."""
    known = {field.name for field in table.schema().fields}
    missing = [field for field in Schema.from_arrow(_schema(spec)).fields if field.name not in known]
    if missing:
        table.alter.add_columns(missing)


def _create(location: str, spec: Table, cluster: str) -> DeltaTable:
    check_layout(location, "coverage")  # the table that every writer writes
    _make_folder(location)
    folder = Place(location, spec.name, cluster).folder
    return DeltaTable.create(
        table_uri(location, folder),
        _schema(spec),
        mode="ignore",
        partition_by=["week"],
        name=spec.name,
        description=f"schema {SCHEMA_VERSION}: one row is {spec.row}",
        configuration=tidy.CONFIGURATION,
        storage_options=storage_options(location, folder),
    )


def replace(location: str, spec: Table, content: arrow.Table, replaced: Slice) -> int | None:
    """Replace a slice of a table by a few rows; commit nothing if the slice already holds exactly those.

    For few rows, compared in plain Python. `Store.write` takes many.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    spec : Table
    content : arro3.core.Table
        The new rows, as from `rows`.
    replaced : Slice

    Returns
    -------
    int or None
        The table's new version; None without a commit.

    Raises
    ------
    Error
        If the cluster's or the instance's name is empty, or the table cannot be written.
    """
    check_not_empty(replaced.cluster, replaced.instance)
    names = spec.column_names()
    where = predicate(spec, replaced)

    def put(table: DeltaTable) -> bool:
        found = table.scan(predicate=where).read_all()
        if sorted(tuples(found, names), key=repr) == sorted(tuples(content, names), key=repr):
            return False
        write_deltalake(table, content, mode="overwrite", predicate=where)
        return True

    return commit(location, spec, replaced.cluster, put)


def predicate(spec: Table, rows: Slice) -> str:
    """Return the SQL predicate of a slice's rows; it names the weeks, so that other files are not opened.

    Parameters
    ----------
    spec : Table
    rows : Slice
        The cluster, instance, source and window.

    Returns
    -------
    str
        SQL of the WHERE clause, for delta-rs.
    """
    weeks = ", ".join(map(quoted, rows.window.weeks()))
    parts = [f"week IN ({weeks})", f"source = {quoted(rows.source)}"]
    if rows.instance is not None:
        parts.append(f"instance = {quoted(rows.instance)}")
    start, end = rows.window.start.isoformat(), rows.window.end.isoformat()
    return " AND ".join([*parts, f"{spec.time} >= '{start}'", f"{spec.time} < '{end}'"])


def quoted(text: str) -> str:
    """Return a text as an SQL literal.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    return "'" + text.replace("'", "''") + "'"


def _make_folder(location: str) -> None:
    if "://" in location:
        return
    try:
        Path(location).mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Error(
            f"Cannot create the store {location}: {problem.strerror}. Name a folder that you may write to."
        ) from None
