"""Merge rows into a Delta table by identity: the rows of logs that overlap are stored once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import arro3.core as arrow
from arro3.core.types import ArrowStreamExportable
from deltalake import DeltaTable, write_deltalake
from deltalake.table import TableMerger

from aurora_analysis.store import delta
from aurora_analysis.store.delta import ALONE, commit, moment, plain_values, quoted, tuples, week
from aurora_analysis.store.joined import Row, one_row
from aurora_analysis.tables import Table


def merge(location: str, spec: Table, content: ArrowStreamExportable) -> int | None:
    """Add rows whose identity is new, and join the others with the rows of the same identity (`joined.one_row`).

    If the identity includes the time, only files of the rows' weeks and times are read, and rows outside the times that
    the table has there are appended: a merge costs four times as much. If it does not (statements), new rows are appended, and a
    merge touches only the files of rows that change: delta-rs holds everything that a merge might touch in memory, and there may be
    a million statements.

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
    batch = whole.combine_chunks().to_batches()[0]
    missing = [name for name in spec.identity if name not in spec.nullable and batch[name].null_count]
    if missing:
        raise ValueError(f"rows of {spec.name} lack {', '.join(missing)}, which is part of their identity")
    cluster = plain_values(batch, "cluster")[0]
    if spec.time in spec.identity:
        distinct = _distinct(batch, spec)
        return commit(location, spec, cluster, lambda table: _added(table, spec, distinct))
    joined = _by_identity(spec, _rows(batch, spec))
    return commit(location, spec, cluster, lambda table: _joined(table, spec, joined))


def rename(location: str, spec: Table, cluster: str, column: str, names: Mapping[str, str]) -> int | None:
    """Replace values of a column wherever they occur, in one commit.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    spec : Table
    cluster : str
    column : str
        A column of texts.
    names : mapping of str to str
        New value by old value. Rows whose identity is then the same become one.

    Returns
    -------
    int or None
        The table's new version; None if the table has none of the old values.

    Raises
    ------
    Error
        If the table cannot be written.
    """

    def replace(table: DeltaTable) -> bool:
        where = f"{column} IN ({', '.join(map(quoted, names))})"
        if not any(there.num_rows for there in table.scan(columns=[column], predicate=where)):
            return False
        if spec.identity:
            where = f"{column} IN ({', '.join(map(quoted, {*names, *names.values()}))})"
            found = _rows(table.scan(predicate=where).read_all(), spec)
            renamed = ({**row, column: names.get(row[column], row[column])} for row in found)
            rows = _built(_by_identity(spec, renamed).values(), spec)
            write_deltalake(table, rows, mode="overwrite", predicate=where, commit_properties=ALONE)
        else:
            cases = " ".join(f"WHEN {quoted(old)} THEN {quoted(new)}" for old, new in names.items())
            table.update({column: f"CASE {column} {cases} END"}, predicate=where, commit_properties=ALONE)
        return True

    return commit(location, spec, cluster, replace)


def _rows(rows: arrow.Table | arrow.RecordBatch, spec: Table) -> Iterator[Row]:
    names = spec.column_names()
    return (dict(zip(names, row)) for row in tuples(rows, names))


def _built(rows: Iterable[Row], spec: Table) -> arrow.Table:
    found = list(rows)
    columns = {name: [row[name] for row in found] for name in spec.column_names()}
    columns["week"] = [week(us) for us in columns[spec.time]]
    return delta.rows(spec, columns, cluster=found[0]["cluster"], source="")


def _by_identity(spec: Table, rows: Iterable[Row]) -> dict[tuple[Any, ...], Row]:
    """Return one row for each identity."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in spec.identity)].append(row)
    return {identity: one_row(spec.name, group) for identity, group in groups.items()}


def _distinct(batch: arrow.RecordBatch, spec: Table) -> arrow.RecordBatch:
    """Return one row for each identity. Only rows whose time is not theirs alone are compared, because there may be many."""
    places = _repeated_times(batch, spec)
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, identity in zip(places, tuples(_taken(batch, places), spec.identity)):
        groups[identity].append(place)
    superfluous: set[int] = set()
    for group in groups.values():
        if len(group) > 1:
            numbered = [{**row, "place": n} for n, row in zip(group, _rows(_taken(batch, group), spec))]
            superfluous |= {*group} - {one_row(spec.name, numbered)["place"]}
    if not superfluous:
        return batch
    return _taken(batch, (n for n in range(batch.num_rows) if n not in superfluous))


def _repeated_times(batch: arrow.RecordBatch, spec: Table) -> list[int]:
    """Return the positions of the rows whose time is not theirs alone."""
    counts = Counter(times := plain_values(batch, spec.time))
    return [place for place, us in enumerate(times) if counts[us] > 1]


def _taken(batch: arrow.RecordBatch, places: Iterable[int]) -> arrow.RecordBatch:
    return batch.take(arrow.Array(list(places), arrow.DataType.uint64()))


def _joined(table: DeltaTable, spec: Table, rows: Mapping[tuple[Any, ...], Row]) -> bool:
    """Add rows whose identity does not include the time, and return whether that changed anything."""
    known = _known(table, spec, rows)
    fresh = [row for identity, row in rows.items() if identity not in known]
    changed = [
        (joined, old)
        for identity, old in known.items()
        if (joined := one_row(spec.name, (old, rows[identity]))) != old
    ]
    if fresh:
        write_deltalake(table, _built(fresh, spec), mode="append", commit_properties=ALONE)
    if changed:
        merger = _merger(
            table, spec, _built((row for row, _ in changed), spec), (old[spec.time] for _, old in changed)
        )
        merger.when_matched_update_all().execute()
    return bool(fresh or changed)


def _known(table: DeltaTable, spec: Table, rows: Mapping[tuple[Any, ...], Row]) -> dict[tuple[Any, ...], Row]:
    """Return the table's rows of these identities: looked for in narrow columns, then read in the files that have them."""
    times = {
        us
        for there in table.scan(columns=[*spec.identity, spec.time])
        for identity, us in zip(tuples(there, spec.identity), plain_values(there, spec.time))
        if identity in rows
    }
    if not times:
        return {}
    found = (
        (tuple(row[name] for name in spec.identity), row)
        for there in table.scan(predicate=" AND ".join(_near(spec, times)))
        for row in _rows(there, spec)
    )
    return {identity: row for identity, row in found if identity in rows}


def _added(table: DeltaTable, spec: Table, batch: arrow.RecordBatch) -> bool:
    """Add rows whose identity includes the time, and return whether that changed anything."""
    times = plain_values(batch, spec.time)
    where = " AND ".join(_near(spec, times))
    parts = [plain_values(there, spec.time) for there in table.scan(columns=[spec.time], predicate=where)]
    first = min(map(min, filter(None, parts)), default=1)
    last = max(map(max, filter(None, parts)), default=0)
    shared = [place for place, us in enumerate(times) if first <= us <= last]
    changed = bool(shared) and _merged(table, spec, _taken(batch, shared), [times[place] for place in shared])
    if len(shared) < batch.num_rows:
        fresh = set(range(batch.num_rows)).difference(shared)
        rows = _taken(batch, sorted(fresh)) if shared else batch
        write_deltalake(table, rows, mode="append", commit_properties=ALONE)
    return changed or len(shared) < batch.num_rows


def _merged(table: DeltaTable, spec: Table, batch: arrow.RecordBatch, times: Iterable[int]) -> bool:
    """Merge rows with the table's rows of these times, and return whether that changed anything."""
    merger = _merger(table, spec, batch, times)
    if spec.name == "slow_queries":
        merger = merger.when_matched_update(_DATABASE, _KNOWS_DATABASE)
    done = merger.when_not_matched_insert_all().execute()
    return bool(done["num_target_rows_inserted"] or done["num_target_rows_updated"])


def _merger(
    table: DeltaTable, spec: Table, rows: arrow.RecordBatch | arrow.Table, times: Iterable[int]
) -> TableMerger:
    same = [
        f"(old.{name} IS NOT DISTINCT FROM new.{name})"
        if name in spec.nullable
        else f"old.{name} = new.{name}"
        for name in spec.identity
    ]
    where = " AND ".join([*same, *_near(spec, times, "old.")])
    return table.merge(rows, where, source_alias="new", target_alias="old", commit_properties=ALONE)


def _near(spec: Table, times: Iterable[int], of: str = "") -> list[str]:
    """Return predicates that the rows of these times share, so that delta-rs skips other files; `of` precedes columns."""
    times = set(times)
    weeks = ", ".join(map(quoted, sorted({week(us) for us in times})))
    first, last = (moment(us).isoformat() for us in (min(times), max(times)))
    return [f"{of}week IN ({weeks})", f"{of}{spec.time} >= '{first}' AND {of}{spec.time} <= '{last}'"]


# A log that starts in the middle of another lacks the database that the other named earlier.
_DATABASE = {"database": "new.database", "database_is_inferred": "new.database_is_inferred"}
_KNOWS_DATABASE = (
    "new.database IS NOT NULL AND (old.database IS NULL "
    "OR (old.database_is_inferred IS NULL AND new.database_is_inferred IS NOT NULL) "
    "OR (old.database_is_inferred AND NOT new.database_is_inferred))"
)
