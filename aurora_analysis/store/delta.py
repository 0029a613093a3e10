"""One Delta table of a store: opened or made, merged into, replaced in part; each change is one atomic commit.

It needs neither pandas nor pyarrow: rows are Arrow's, by the small library that delta-rs itself brings, so that
`ingest` runs in little memory. `store.py` reads, and writes what comes as frames.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import arro3.core as arrow
from arro3.core.types import ArrowStreamExportable
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from aurora_analysis.errors import Error
from aurora_analysis.tables import SCHEMA_VERSION, Table, Type
from aurora_analysis.window import Window

KEEP_DAYS = 400
"""How long Delta keeps old versions [days]: a report can be run again on what it read for so long."""

ATTEMPTS = 30
"""How often a commit is tried again when another writer was faster."""

FULL_OR_GONE = (OSError, DeltaError)
"""A disk that is full is either, depending on who notices."""

ALONE = CommitProperties(max_commit_retries=0)
"""A commit that fails where anybody has committed since the table was opened: what was looked up still holds."""

TYPES: dict[Type, arrow.DataType] = {
    "timestamp": arrow.DataType.timestamp("us", tz="UTC"),
    "text": arrow.DataType.string(),
    "real": arrow.DataType.float64(),
    "integer": arrow.DataType.int64(),
    "boolean": arrow.DataType.bool(),
}

Columns = Mapping[str, Sequence[Any]]
"""Rows as plain values, column by column; times in microseconds since 1970 (UTC)."""


def rows(spec: Table, columns: Columns, *, cluster: str, source: str) -> arrow.Table:
    """Plain columns as rows of a table; a column that is not there is null."""
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
    """The rows of some columns as plain values."""
    return zip(*(_plain(rows, column) for column in columns))


def _plain(rows: arrow.Table | arrow.RecordBatch, column: str) -> list[Any]:
    """A column's values; times in microseconds since 1970 (UTC)."""
    values = rows[column]
    is_time = values.type == TYPES["timestamp"]
    return list((values.cast(arrow.DataType.int64()) if is_time else values).to_pylist())


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(us: int) -> datetime:
    """A time in microseconds since 1970 as a datetime."""
    return _EPOCH + timedelta(microseconds=us)


def _day(us: int) -> str:
    return _day_since_1970(us // 86_400_000_000)


@lru_cache(maxsize=4096)
def _day_since_1970(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).date().isoformat()


def opened(location: str, spec: Table, version: int | None = None) -> DeltaTable | None:
    """The table at a version, or the newest; None where it was never made."""
    try:
        table = DeltaTable(_uri(location, spec), version=version, storage_options=_storage_options(location))
    except TableNotFoundError:
        return None
    except DeltaError as problem:
        at = "" if version is None else f" at version {version}"
        raise Error(f"Cannot open {spec.name}{at} in {location}: {_first_line(problem)}") from problem
    _check_schema(table, spec, location)
    return table


def commit(location: str, spec: Table, change: Callable[[DeltaTable], bool]) -> int | None:
    """Change the table, which is made where there is none, and return its new version.

    `change` says whether it has changed anything: None is returned where it has not. It is called again, with the
    table as it is then, where another writer was faster.
    """
    for attempt in range(ATTEMPTS):
        try:
            table = opened(location, spec) or _made(location, spec)
            return table.version() if change(table) else None
        except CommitFailedError:
            time.sleep(random.uniform(0, 0.02 * 2 ** min(attempt, 6)))
        except FULL_OR_GONE as problem:
            raise Error(f"Cannot write {spec.name} into {location}: {_last_line(problem)}") from None
    raise Error(
        f"Could not write {spec.name} in {location}: other writers were faster {ATTEMPTS} times. Try again."
    )


def _uri(location: str, spec: Table) -> str:
    return f"{location.rstrip('/')}/{spec.name}"


def _made(location: str, spec: Table) -> DeltaTable:
    _make_folder(location)
    return DeltaTable.create(
        _uri(location, spec),
        _schema(spec),
        mode="ignore",
        partition_by=["cluster", "day"],
        name=spec.name,
        description=f"schema {SCHEMA_VERSION}: one row is {spec.row}",
        configuration={
            "delta.logRetentionDuration": f"interval {KEEP_DAYS} days",
            "delta.deletedFileRetentionDuration": f"interval {KEEP_DAYS} days",
        },
        storage_options=_storage_options(location),
    )


def replace(
    location: str,
    spec: Table,
    content: arrow.Table,
    window: Window,
    *,
    cluster: str,
    source: str,
    instance: str,
) -> int | None:
    """Put a few rows in the place of what a source says of an instance in a window; None where it says just that.

    `Store.write` is for many.
    """
    names = spec.column_names()
    replaced = predicate(spec, cluster, source, instance, window)

    def put(table: DeltaTable) -> bool:
        there = table.scan(predicate=replaced).read_all()
        if sorted(_values(there, names), key=repr) == sorted(_values(content, names), key=repr):
            return False
        write_deltalake(table, content, mode="overwrite", predicate=replaced)
        return True

    return commit(location, spec, put)


def predicate(spec: Table, cluster: str, source: str, instance: str | None, window: Window) -> str:
    """What a source says of a cluster (or one instance) in a window, as SQL."""
    days = ", ".join(quoted(day.isoformat()) for day in window.days())
    parts = [f"cluster = {quoted(cluster)}", f"day IN ({days})", f"source = {quoted(source)}"]
    if instance is not None:
        parts.append(f"instance = {quoted(instance)}")
    parts += [f"{spec.time} >= '{window.start.isoformat()}'", f"{spec.time} < '{window.end.isoformat()}'"]
    return " AND ".join(parts)


def quoted(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def merge(location: str, spec: Table, content: ArrowStreamExportable) -> int | None:
    """Add the rows whose identity is not there yet; what is there learns. None where all was known.

    Where the identity fixes the time, only the files of the days and times at hand are read. Where it does not
    (statements), new rows are appended, and only the files of the known ones are merged: delta-rs holds all that
    a merge might touch in memory, and there may be a million statements.
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
        learns = bool(known) and spec.name in _LEARNT
        learnt = learns and _merged(table, spec, _taken(batch, known), known.values())
        return bool(fresh) or learnt

    return commit(location, spec, add)


def _first_of_each(batch: arrow.RecordBatch, spec: Table) -> arrow.RecordBatch:
    missing = [name for name in spec.identity if batch[name].null_count]
    if missing:
        raise ValueError(f"rows of {spec.name} lack {', '.join(missing)}, which tells them apart")
    firsts: dict[tuple[Any, ...], int] = {}
    for place, identity in enumerate(_values(batch, spec.identity)):
        firsts.setdefault(identity, place)
    return batch if len(firsts) == batch.num_rows else _taken(batch, firsts.values())


def _taken(batch: arrow.RecordBatch, places: Iterable[int]) -> arrow.RecordBatch:
    return batch.take(arrow.Array(list(places), arrow.DataType.uint64()))


def _known(table: DeltaTable, spec: Table, batch: arrow.RecordBatch) -> dict[int, int]:
    """Which of the rows the table has, by their place; and the time that it has for each."""
    wanted = {identity: place for place, identity in enumerate(_values(batch, spec.identity))}
    mine = f"cluster = {quoted(_plain(batch, 'cluster')[0])}"
    return {
        wanted[identity]: us
        for there in table.scan(columns=[*spec.identity, spec.time], predicate=mine)
        for identity, us in zip(_values(there, spec.identity), _plain(there, spec.time))
        if identity in wanted
    }


def _merged(table: DeltaTable, spec: Table, batch: arrow.RecordBatch, times: Iterable[int]) -> bool:
    """Merge the rows with those that the table has of these times; says whether anything came of it."""
    same = [f"old.{name} = new.{name}" for name in spec.identity]
    merger = table.merge(
        batch, " AND ".join([*same, *_near(spec, times)]), source_alias="new", target_alias="old"
    )
    if spec.name in _LEARNT:
        merger = merger.when_matched_update(*_LEARNT[spec.name])
    done = merger.when_not_matched_insert_all().execute()
    return bool(done["num_target_rows_inserted"] or done["num_target_rows_updated"])


def _near(spec: Table, times: Iterable[int]) -> list[str]:
    """What the rows of these times have in common, so that other files need not be looked at."""
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

_KNOWS_DATABASE = "old.database IS NULL AND new.database IS NOT NULL"
_LEARNT = {
    "statements": (_WIDER, _IS_WIDER),
    # A log that begins within another does not know the database that the other had named before.
    "slow_queries": ({"database": "new.database"}, _KNOWS_DATABASE),
}
"""What a row that is known learns from one of the same identity: table → (columns, when)."""


def _check_schema(delta: DeltaTable, spec: Table, location: str) -> None:
    found = re.match(r"schema (\d+)", delta.metadata().description or "")
    version = int(found[1]) if found else 0
    if version > SCHEMA_VERSION:
        raise Error(
            f"The table {spec.name} in {location} was written by a newer aurora-analysis (schema {version}, "
            f"this one reads up to {SCHEMA_VERSION}): upgrade aurora-analysis."
        )


def _storage_options(location: str) -> dict[str, str] | None:
    """Conditional puts make commits on S3 atomic without a lock table."""
    return {"aws_conditional_put": "etag"} if location.startswith("s3://") else None


def _make_folder(location: str) -> None:
    if "://" in location:
        return
    try:
        Path(location).mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Error(
            f"Cannot make the store {location}: {problem.strerror}. Name a folder that you may write."
        ) from None


def _first_line(problem: Exception) -> str:
    return next(iter(str(problem).splitlines()), type(problem).__name__)


def _last_line(problem: Exception) -> str:
    """The innermost cause, where an error is told as a tree of them."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(problem)).strip().split("\n")
    return lines[-1].strip(" ↳") or type(problem).__name__
