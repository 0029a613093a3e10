"""Keep a cluster's table small after each commit: few files, a short log, and the versions that reports read.

Every tenth commit writes a checkpoint, and the log before the last ten commits is removed. Every 24th commit merges
small files. A version that a report keeps has its own checkpoint, and a marker with the time until which it is
kept: an empty file `_kept/VERSION-TIME` next to the log.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from arro3.core import DataType, RecordBatch, RecordBatchReader, Schema
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from aurora_analysis.errors import Error
from aurora_analysis.store import layout
from aurora_analysis.store.layout import Place
from aurora_analysis.store.panics import without_panics
from aurora_analysis.tables import TABLES

CHECKPOINT_EVERY = 10
"""Commits from one checkpoint to the next: opening a table reads the last checkpoint and the commits after it."""

LOG_KEPT = 10
"""Least number of commits before the newest that stay in the log, for readers and writers still at work."""

COMPACT_EVERY = 24
"""Commits from one merge of small files to the next."""

FILE_BYTES = 2**23
"""Smaller files are merged [bytes]; a cluster-week of a minute's metrics takes about 12 MB."""

ATTEMPTS = 5
"""Most attempts at one merge of small files; an attempt fails if another writer commits first."""

ROWS_TOGETHER = 2**17
"""Rows of a group in a merged file: a reader of one day skips the other groups."""

GRACE_HOURS = 1
"""Files that no version needs any more are kept this long [h], for readers that opened an earlier version."""

KEPT = "_kept"
MOMENT = "%Y%m%dT%H%M%SZ"

CONFIGURATION = {
    "delta.checkpointInterval": str(CHECKPOINT_EVERY),
    "delta.deletedFileRetentionDuration": f"interval {GRACE_HOURS} hours",
    "delta.enableExpiredLogCleanup": "false",
}
"""Properties of each table. Log cleanup by delta-rs is off, because it does not know the versions that reports keep."""


def after_commit(place: Place, table: DeltaTable, before: int) -> None:
    """Merge small files and shorten the log if a commit made that due; after a failure, the next commit tries again.

    Parameters
    ----------
    place : Place
    table : DeltaTable
        The table after the commit.
    before : int
        Its version before the commit.
    """
    with suppress(Error, DeltaError, OSError):
        if before // COMPACT_EVERY != table.version() // COMPACT_EVERY:
            compact(place, table)
        if (before + 1) // CHECKPOINT_EVERY != (table.version() + 1) // CHECKPOINT_EVERY:
            shorten_log(place)


def compact(place: Place, table: DeltaTable, grace_hours: int = GRACE_HOURS) -> None:
    """Merge a table's small files, and delete the files that no version needs.

    Parameters
    ----------
    place : Place
    table : DeltaTable
    grace_hours : int, default GRACE_HOURS
        Files that became superfluous later than this stay [h].
    """
    for _ in range(ATTEMPTS):
        try:
            with without_panics(place.location):
                for where in _small_files(place, table):
                    _rewrite(table, where)
            break
        except CommitFailedError:
            table.update_incremental()
    delete_superfluous(place, table, grace_hours)


def _rewrite(table: DeltaTable, where: str) -> None:
    """Rewrite some rows into few files, in one commit that fails if anyone has committed since the table was opened.

    `optimize` of delta-rs ignores what others have committed meanwhile: two merges at the same time leave every row twice
    (deltalake 1.6.6).
    """
    write_deltalake(
        table,
        _plain(table.scan(predicate=where), table),
        mode="overwrite",
        predicate=where,
        target_file_size=FILE_BYTES,
        writer_properties=WriterProperties(compression="SNAPPY", max_row_group_size=ROWS_TOGETHER),
        commit_properties=CommitProperties(max_commit_retries=0),
    )


def _plain(rows: RecordBatchReader, table: DeltaTable) -> RecordBatchReader:
    """Return rows in the table's own types: a scan has views of strings, which pyarrow cannot filter."""
    schema = Schema.from_arrow(table.schema())
    types = {name: schema.field(name).type for name in schema.names}
    return RecordBatchReader.from_batches(
        schema,
        (
            RecordBatch.from_arrays([batch[name].cast(kind) for name, kind in types.items()], schema=schema)
            for batch in rows.read_all().to_batches()  # not one by one: that would hold the interpreter
        ),
    )


def _small_files(place: Place, table: DeltaTable) -> list[str]:
    """Return a predicate for each week that has several small files: their rows, by the span of their times."""
    time, files = TABLES[place.table].time, table.get_add_actions(flatten=True)
    columns = [files[name].to_pylist() for name in ("partition.week", "size_bytes")]
    spans = [
        files[f"{end}.{time}"].cast(DataType.int64()).to_pylist()
        if f"{end}.{time}" in files.schema.names
        else [None] * len(columns[0])
        for end in ("min", "max")
    ]
    weeks: dict[str, list[tuple[int | None, int | None]]] = {}
    for week, size, first, last in zip(*columns, *spans):
        if size < FILE_BYTES:
            weeks.setdefault(week, []).append((first, last))
    return [
        f"week = '{week}'" + _between(time, [us for span in small for us in span])
        for week, small in weeks.items()
        if len(small) > 1
    ]


def _between(time: str, times: list[int | None]) -> str:
    """Return a predicate for these times [µs]; none if a file does not state its times, which may end in milliseconds."""
    known = [us for us in times if us is not None]
    if len(known) < len(times):
        return ""
    first, last = (datetime.fromtimestamp(us / 1e6 // 1, UTC) for us in (min(known), max(known)))
    return f" AND {time} >= '{first.isoformat()}' AND {time} < '{(last + timedelta(seconds=2)).isoformat()}'"


def delete_superfluous(place: Place, table: DeltaTable, grace_hours: int = GRACE_HOURS) -> None:
    """Delete the files that neither the newest nor a kept version needs, including those of killed writers.

    Others may commit meanwhile; after `ATTEMPTS` such conflicts the files are left to the next time.

    Parameters
    ----------
    place : Place
    table : DeltaTable
    grace_hours : int, default GRACE_HOURS
        Files that became superfluous later than this stay [h].
    """
    for _ in range(ATTEMPTS):
        spared = sorted(kept(place) & layout.checkpoints(place)) or None
        remove = partial(table.vacuum, grace_hours, enforce_retention_duration=False, keep_versions=spared)
        try:
            if remove(dry_run=True, full=grace_hours > 0):
                remove(dry_run=False, full=grace_hours > 0)  # two more commits
            return
        except CommitFailedError:
            table.update_incremental()


def shorten_log(place: Place) -> None:
    """Remove the log's entries before the last checkpoint that is `LOG_KEPT` commits old, except for kept versions.

    Parameters
    ----------
    place : Place
    """
    entries, spared = layout.log_entries(place), kept(place)
    newest = max(map(layout.version, entries))
    first = max((one for one in layout.checkpoints(place) if one <= newest - LOG_KEPT), default=0)
    superfluous = [
        entry
        for entry in entries
        if (version := layout.version(entry)) < first
        and not (version in spared and entry.endswith(".parquet"))
    ]
    layout.remove(place.location, place.log, superfluous)


# Kept versions


def keep(place: Place, table: DeltaTable, duration: timedelta) -> None:
    """Keep the version at which a table is open readable for some time from now.

    Parameters
    ----------
    place : Place
    table : DeltaTable
    duration : timedelta
    """
    until = datetime.now(UTC) + duration
    layout.mark(place.location, f"{place.folder}/{KEPT}", f"{table.version()}-{until:{MOMENT}}")
    if table.version() not in layout.checkpoints(place):
        table.create_checkpoint()


def kept(place: Place) -> set[int]:
    """Return a table's versions that are still kept, and remove expired markers.

    Parameters
    ----------
    place : Place

    Returns
    -------
    set of int
    """
    inside, now = f"{place.folder}/{KEPT}", f"{datetime.now(UTC):{MOMENT}}"
    markers = [marker.partition("-") for marker in layout.names(place.location, inside)]
    layout.remove(place.location, inside, ["".join(marker) for marker in markers if marker[2] < now])
    return {int(version) for version, _, until in markers if until >= now}
