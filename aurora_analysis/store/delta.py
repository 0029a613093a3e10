"""Open, create and partly replace one Delta table of a store; each change is one atomic commit.

This module imports neither pandas nor pyarrow: it builds Arrow rows with arro3, the small library that delta-rs
depends on, so that `ingest` needs little memory. `store.py` reads tables, and writes pandas frames.
"""

from __future__ import annotations

import errno
import os
import random
import re
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
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from aurora_analysis.engines.log_tables import Coded
from aurora_analysis.errors import Error
from aurora_analysis.store.causes import cause
from aurora_analysis.store.names import check_not_empty
from aurora_analysis.store.uri import storage_options, table_uri
from aurora_analysis.tables import SCHEMA_VERSION, Table, Type
from aurora_analysis.window import Window

KEEP_DAYS = 400
"""Time that Delta keeps old versions [days], in which a report can be rerun on the versions that it read."""

ATTEMPTS = 30
"""Most tries of one commit; a try fails if another writer commits first."""

FULL_OR_GONE = (OSError, DeltaError)
"""The errors of a full disk, depending on which library notices it."""

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
    days = [utc_day(us) for us in columns[spec.time]]
    whole = {"cluster": [cluster] * count, "day": days, "source": [source] * count, **columns}
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


def utc_day(us: int) -> str:
    """Return the UTC day of a time, as the partition `day` has it.

    Parameters
    ----------
    us : int
        Microseconds since 1970.

    Returns
    -------
    str
    """
    return _day_since_1970(us // 86_400_000_000)


@lru_cache(maxsize=4096)
def _day_since_1970(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).date().isoformat()


def opened(location: str, spec: Table, version: int | None = None) -> DeltaTable | None:
    """Open a table at a version (default: the newest).

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    spec : Table
    version : int, optional

    Returns
    -------
    DeltaTable or None
        None if the table was never created.

    Raises
    ------
    Error
        If it cannot be opened, or was written by a newer schema than this package reads.
    """
    _check_log(location, spec)
    try:
        table = DeltaTable(
            table_uri(location, spec.name), version=version, storage_options=storage_options(location)
        )
    except TableNotFoundError:
        return None
    except FULL_OR_GONE as problem:
        at = "" if version is None else f" at version {version}"
        raise Error(f"Cannot open {spec.name}{at} in {location}: {cause(problem, location)}.") from None
    _check_schema(table, spec, location)
    return table


NO_ACTION = '{"commitInfo":{}}'
"""An entry of a table's log that changes nothing."""


WRITTEN_WITHIN_S = 5.0
"""An empty entry of a table's log that is younger [s] is being written."""


def _check_log(location: str, spec: Table) -> None:
    """Raise an error if an entry of a table's log is empty, as after a power cut: delta-rs takes it for no change.

    Where an entry is not renamed into place (`uri`), another writer's entry is empty for a moment, which is waited for.
    On S3 an object is written whole or not at all.
    """
    folder = Path(location) / spec.name / "_delta_log"
    if location.startswith("s3://") or not folder.is_dir():
        return
    while empty := _empty_entry(folder):
        path, modified = empty
        if time.time() - modified > WRITTEN_WITHIN_S:
            raise Error(
                f"The log of {spec.name} has an empty entry, as after a power cut: {path}. What it recorded is lost. "
                f"Write {NO_ACTION} into that file, and fetch or ingest the time around "
                f"{datetime.fromtimestamp(modified, UTC):%Y-%m-%d %H:%M} UTC again."
            )
        time.sleep(0.02)


def _empty_entry(folder: Path) -> tuple[str, float] | None:
    """Path and time of change [s since 1970] of the first empty entry of a log; None if there is none."""
    with os.scandir(folder) as entries:
        found = [(one.path, one.stat()) for one in entries if one.name.endswith(".json")]
    return min(((path, about.st_mtime) for path, about in found if not about.st_size), default=None)


def commit(location: str, spec: Table, change: Callable[[DeltaTable], bool]) -> int | None:
    """Change a table and return its new version; create the table first if it does not exist.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    spec : Table
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
    for attempt in range(ATTEMPTS):
        try:
            table = opened(location, spec) or _create(location, spec)
            _add_columns(table, spec)
            return table.version() if change(table) else None
        except CommitFailedError:
            time.sleep(random.uniform(0, 0.02 * 2 ** min(attempt, 6)))
        except FULL_OR_GONE as problem:
            if os.strerror(errno.ENOSPC) in str(problem):
                raise _full(location) from None
            raise Error(f"Cannot write {spec.name} into {location}: {cause(problem, location)}.") from None
    raise Error(
        f"Could not write {spec.name} in {location}: other writers committed first {ATTEMPTS} times. Try again."
    )


def _check_room(location: str) -> None:
    """Refuse a commit to a disk that is almost full: delta-rs would print a Rust backtrace before its error."""
    if "://" in location:
        return
    place = Path(location).absolute()
    existing = next(each for each in (place, *place.parents) if each.exists())
    if shutil.disk_usage(existing).free < LEAST_ROOM_BYTES:
        raise _full(location)


def _full(location: str) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), location)


def _add_columns(table: DeltaTable, spec: Table) -> None:
    """Add the columns that a table lacks because an older version of the package made it."""
    known = {field.name for field in table.schema().fields}
    missing = [field for field in Schema.from_arrow(_schema(spec)).fields if field.name not in known]
    if missing:
        table.alter.add_columns(missing)


def _create(location: str, spec: Table) -> DeltaTable:
    _make_folder(location)
    return DeltaTable.create(
        table_uri(location, spec.name),
        _schema(spec),
        mode="ignore",
        partition_by=["cluster", "day"],
        name=spec.name,
        description=f"schema {SCHEMA_VERSION}: one row is {spec.row}",
        configuration={
            "delta.logRetentionDuration": f"interval {KEEP_DAYS} days",
            "delta.deletedFileRetentionDuration": f"interval {KEEP_DAYS} days",
        },
        storage_options=storage_options(location),
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

    return commit(location, spec, put)


def predicate(spec: Table, rows: Slice) -> str:
    """Return the SQL predicate of a slice's rows; it names the days, so that other files are not opened.

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
    days = ", ".join(quoted(day.isoformat()) for day in rows.window.days())
    parts = [f"cluster = {quoted(rows.cluster)}", f"day IN ({days})", f"source = {quoted(rows.source)}"]
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


def _check_schema(delta: DeltaTable, spec: Table, location: str) -> None:
    found = re.match(r"schema (\d+)", delta.metadata().description or "")
    version = int(found[1]) if found else 0
    if version > SCHEMA_VERSION:
        raise Error(
            f"The table {spec.name} in {location} was written by a newer aurora-analysis (schema {version}, "
            f"this one reads up to {SCHEMA_VERSION}): upgrade aurora-analysis."
        )


def _make_folder(location: str) -> None:
    if "://" in location:
        return
    try:
        Path(location).mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Error(
            f"Cannot create the store {location}: {problem.strerror}. Name a folder that you may write to."
        ) from None
