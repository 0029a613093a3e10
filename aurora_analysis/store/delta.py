"""Open, create, merge into and partly replace one Delta table of a store; each change is one atomic commit.

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
from arro3.core.types import ArrowStreamExportable
from deltalake import CommitProperties, DeltaTable, Schema, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

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
"""Rows as lists of plain values, one per column; times in microseconds since 1970 (UTC)."""


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
    days = [_day(us) for us in columns[spec.time]]
    whole = {"cluster": [cluster] * count, "day": days, "source": [source] * count, **columns}
    arrays = [_array(whole.get(column.name, [None] * count), column.type) for column in spec.columns]
    return arrow.Table.from_arrays(arrays, schema=_schema(spec))


def _array(values: Sequence[Any], kind: Type) -> arrow.Array:
    if kind == "timestamp":
        return arrow.Array(values, arrow.DataType.int64()).cast(TYPES[kind])
    return arrow.Array(values, TYPES[kind])


def _schema(spec: Table) -> arrow.Schema:
    return arrow.Schema([arrow.Field(column.name, TYPES[column.type]) for column in spec.columns])


def _values(rows: arrow.Table | arrow.RecordBatch, columns: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    """Return rows as tuples of plain values."""
    return zip(*(_plain(rows, column) for column in columns))


def _plain(rows: arrow.Table | arrow.RecordBatch, column: str) -> list[Any]:
    """Return a column's values; times in microseconds since 1970 (UTC)."""
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


def _day(us: int) -> str:
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
        if sorted(_values(found, names), key=repr) == sorted(_values(content, names), key=repr):
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


def merge(location: str, spec: Table, content: ArrowStreamExportable) -> int | None:
    """Add rows whose identity is new, and update rows of a known identity (`_UPDATES`).

    If the identity includes the time, only files of the rows' days and times are read. If it does not (statements),
    new rows are appended, and a merge touches only the files of known rows: delta-rs holds everything that a merge
    might touch in memory, and there may be a million statements.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    spec : Table
        A table with an identity.
    content : Arrow stream
        The rows, in the table's columns.

    Returns
    -------
    int or None
        The table's new version; None if nothing was new.

    Raises
    ------
    Error
        If the table cannot be written.
    ValueError
        If a row lacks a column of the identity.
    """
    whole = arrow.Table.from_arrow(content)
    if whole.num_rows == 0:
        return None
    batch = _first_of_each(whole.combine_chunks().to_batches()[0], spec)

    def add(table: DeltaTable) -> bool:
        if spec.time in spec.identity:
            return _merged(table, spec, batch, _plain(batch, spec.time))
        known = _known(table, spec, batch)
        fresh = [place for place in range(batch.num_rows) if place not in known]
        if fresh:
            write_deltalake(table, _taken(batch, fresh), mode="append", commit_properties=ALONE)
        may_update = bool(known) and spec.name in _UPDATES
        updated = may_update and _merged(table, spec, _taken(batch, known), known.values())
        return bool(fresh) or updated

    return commit(location, spec, add)


def _first_of_each(batch: arrow.RecordBatch, spec: Table) -> arrow.RecordBatch:
    """Return the rows without duplicates: the first row of each identity."""
    missing = [name for name in spec.identity if batch[name].null_count]
    if missing:
        raise ValueError(f"rows of {spec.name} lack {', '.join(missing)}, which is part of their identity")
    firsts: dict[tuple[Any, ...], int] = {}
    for place, identity in enumerate(_values(batch, spec.identity)):
        firsts.setdefault(identity, place)
    return batch if len(firsts) == batch.num_rows else _taken(batch, firsts.values())


def _taken(batch: arrow.RecordBatch, places: Iterable[int]) -> arrow.RecordBatch:
    return batch.take(arrow.Array(list(places), arrow.DataType.uint64()))


def _known(table: DeltaTable, spec: Table, batch: arrow.RecordBatch) -> dict[int, int]:
    """Return the rows that the table already has: position in the batch → the time in the table [µs]."""
    wanted = {identity: place for place, identity in enumerate(_values(batch, spec.identity))}
    mine = f"cluster = {quoted(_plain(batch, 'cluster')[0])}"
    return {
        wanted[identity]: us
        for there in table.scan(columns=[*spec.identity, spec.time], predicate=mine)
        for identity, us in zip(_values(there, spec.identity), _plain(there, spec.time))
        if identity in wanted
    }


def _merged(table: DeltaTable, spec: Table, batch: arrow.RecordBatch, times: Iterable[int]) -> bool:
    """Merge rows with the table's rows of these times, and return whether that changed anything."""
    same = [f"old.{name} = new.{name}" for name in spec.identity]
    merger = table.merge(
        batch, " AND ".join([*same, *_near(spec, times)]), source_alias="new", target_alias="old"
    )
    if spec.name in _UPDATES:
        merger = merger.when_matched_update(*_UPDATES[spec.name])
    done = merger.when_not_matched_insert_all().execute()
    return bool(done["num_target_rows_inserted"] or done["num_target_rows_updated"])


def _near(spec: Table, times: Iterable[int]) -> list[str]:
    """Return predicates that the rows of these times share, so that delta-rs skips other files."""
    times = sorted(times)
    days = ", ".join(map(quoted, sorted({_day(us) for us in times})))
    first, last = (moment(us).isoformat() for us in (times[0], times[-1]))
    return [f"old.day IN ({days})", f"old.{spec.time} >= '{first}' AND old.{spec.time} <= '{last}'"]


_WIDER = {
    "first_seen": "CASE WHEN new.first_seen < old.first_seen THEN new.first_seen ELSE old.first_seen END",
    "last_seen": "CASE WHEN new.last_seen > old.last_seen THEN new.last_seen ELSE old.last_seen END",
    "day": "CASE WHEN new.first_seen < old.first_seen THEN new.day ELSE old.day END",
    "pi_id": "COALESCE(old.pi_id, new.pi_id)",
    "server_digest": "COALESCE(old.server_digest, new.server_digest)",
    "join_key": "COALESCE(old.join_key, new.join_key)",
}
_IS_WIDER = (
    "new.first_seen < old.first_seen OR new.last_seen > old.last_seen "
    "OR (old.pi_id IS NULL AND new.pi_id IS NOT NULL) "
    "OR (old.server_digest IS NULL AND new.server_digest IS NOT NULL)"
)

_KNOWS_DATABASE = (
    "new.database IS NOT NULL AND (old.database IS NULL "
    "OR (old.database_is_inferred IS NULL AND new.database_is_inferred IS NOT NULL) "
    "OR (old.database_is_inferred AND NOT new.database_is_inferred))"
)
_UPDATES = {
    "statements": (_WIDER, _IS_WIDER),
    # A log that starts in the middle of another lacks the database that the other named earlier.
    "slow_queries": (
        {"database": "new.database", "database_is_inferred": "new.database_is_inferred"},
        _KNOWS_DATABASE,
    ),
}
"""Update of a row by a new one of the same identity: table → (columns, condition)."""


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
