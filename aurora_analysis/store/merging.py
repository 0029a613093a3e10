"""Merge rows into a Delta table by identity: the rows of logs that overlap are stored once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import arro3.core as arrow
from arro3.core.types import ArrowStreamExportable
from deltalake import DeltaTable, write_deltalake

from aurora_analysis.store.delta import ALONE, commit, moment, plain_values, quoted, tuples, week
from aurora_analysis.tables import Table


def merge(location: str, spec: Table, content: ArrowStreamExportable) -> int | None:
    """Add rows whose identity is new, and update rows of a known identity (`_UPDATES`).

    If the identity includes the time, only files of the rows' weeks and times are read, and rows outside the times that
    the table has there are appended: a merge costs four times as much. If it does not (statements), new rows are appended, and a merge touches only the files of known rows: delta-rs holds everything that a merge
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
            return _added(table, spec, batch)
        known = _known(table, spec, batch)
        fresh = [place for place in range(batch.num_rows) if place not in known]
        if fresh:
            write_deltalake(table, _taken(batch, fresh), mode="append", commit_properties=ALONE)
        may_update = bool(known) and spec.name in _UPDATES
        updated = may_update and _merged(table, spec, _taken(batch, known), known.values())
        return bool(fresh) or updated

    return commit(location, spec, plain_values(batch, "cluster")[0], add)


def _first_of_each(batch: arrow.RecordBatch, spec: Table) -> arrow.RecordBatch:
    """Return the rows without duplicates: the first row of each identity."""
    missing = [name for name in spec.identity if name not in spec.nullable and batch[name].null_count]
    if missing:
        raise ValueError(f"rows of {spec.name} lack {', '.join(missing)}, which is part of their identity")
    places = _repeated_times(batch, spec) if spec.time in spec.identity else range(batch.num_rows)
    seen: set[tuple[Any, ...]] = set()
    repeated: set[int] = set()
    for place, identity in zip(places, tuples(_taken(batch, places), spec.identity)):
        if identity in seen:
            repeated.add(place)
        seen.add(identity)
    return _taken(batch, (n for n in range(batch.num_rows) if n not in repeated)) if repeated else batch


def _repeated_times(batch: arrow.RecordBatch, spec: Table) -> list[int]:
    """Return the positions of the rows whose time is not theirs alone."""
    counts = Counter(times := plain_values(batch, spec.time))
    return [place for place, us in enumerate(times) if counts[us] > 1]


def _taken(batch: arrow.RecordBatch, places: Iterable[int]) -> arrow.RecordBatch:
    return batch.take(arrow.Array(list(places), arrow.DataType.uint64()))


def _known(table: DeltaTable, spec: Table, batch: arrow.RecordBatch) -> dict[int, int]:
    """Return the rows that the table already has: position in the batch → the time in the table [µs]."""
    wanted = {identity: place for place, identity in enumerate(tuples(batch, spec.identity))}
    return {
        wanted[identity]: us
        for there in table.scan(columns=[*spec.identity, spec.time])
        for identity, us in zip(tuples(there, spec.identity), plain_values(there, spec.time))
        if identity in wanted
    }


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
    same = [
        f"(old.{name} IS NOT DISTINCT FROM new.{name})"
        if name in spec.nullable
        else f"old.{name} = new.{name}"
        for name in spec.identity
    ]
    merger = table.merge(
        batch, " AND ".join([*same, *_near(spec, times, "old.")]), source_alias="new", target_alias="old"
    )
    if spec.name in _UPDATES:
        merger = merger.when_matched_update(*_UPDATES[spec.name])
    done = merger.when_not_matched_insert_all().execute()
    return bool(done["num_target_rows_inserted"] or done["num_target_rows_updated"])


def _near(spec: Table, times: Iterable[int], of: str = "") -> list[str]:
    """Return predicates that the rows of these times share, so that delta-rs skips other files; `of` precedes columns."""
    times = set(times)
    weeks = ", ".join(map(quoted, sorted({week(us) for us in times})))
    first, last = (moment(us).isoformat() for us in (min(times), max(times)))
    return [f"{of}week IN ({weeks})", f"{of}{spec.time} >= '{first}' AND {of}{spec.time} <= '{last}'"]


_WIDER = {
    "first_seen": "CASE WHEN new.first_seen < old.first_seen THEN new.first_seen ELSE old.first_seen END",
    "last_seen": "CASE WHEN new.last_seen > old.last_seen THEN new.last_seen ELSE old.last_seen END",
    "week": "CASE WHEN new.first_seen < old.first_seen THEN new.week ELSE old.week END",
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
