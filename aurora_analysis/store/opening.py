"""Open a cluster's table of a store, at its newest or an earlier version, and refuse what cannot be read as it was written."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from aurora_analysis.errors import Error, Lost, Unfinished
from aurora_analysis.store import layout
from aurora_analysis.store.causes import failed
from aurora_analysis.store.layout import Place
from aurora_analysis.store.uri import storage_options, table_uri
from aurora_analysis.tables import SCHEMA_VERSION, Table

KEPT_WEEKS = 8
"""Time that a version stays readable after a recorded report read it [weeks]."""

FULL_OR_GONE = (OSError, DeltaError)
"""The errors of a full disk, depending on which library notices it."""


def opened(location: str, spec: Table, cluster: str, version: int | None = None) -> DeltaTable | None:
    """Open a cluster's table at a version (default: the newest).

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    spec : Table
    cluster : str
    version : int, optional

    Returns
    -------
    DeltaTable or None
        None if the newest version is wanted, and the cluster has no such table.

    Raises
    ------
    Error
        If it cannot be opened, has the version no longer, or was written by a newer schema than this package reads.
    """
    place = Place(location, spec.name, cluster)
    _check_log(place)
    try:
        table = _table(place, version)
    except TableNotFoundError:
        check_layout(location, spec.name)
        if version is None:
            return None
        raise Error(_no_longer_kept(place, version)) from None
    except FULL_OR_GONE as problem:
        at = "" if version is None else f" at version {version}"
        refusal = failed(f"Cannot open {spec.name}{at} in {location}", problem, location)
        is_of_s3 = isinstance(refusal, Lost | Unfinished)
        if version is not None and not is_of_s3 and version not in _whole_versions(place):
            raise Error(_no_longer_kept(place, version)) from None
        raise refusal from None
    _check_schema(table, spec, location)
    return table


def _table(place: Place, version: int | None) -> DeltaTable:
    """Open a table; again if another process removed the log's older part while this one was reading it.

    A request that S3 refuses or denies has been repeated by then.
    """
    uri, options = table_uri(place.location, place.folder), storage_options(place.location, place.folder)
    for _ in range(3):
        try:
            return DeltaTable(uri, version=version, storage_options=options)
        except FULL_OR_GONE as problem:
            if isinstance(failed("", problem, place.location), Lost | Unfinished):
                raise
    return DeltaTable(uri, version=version, storage_options=options)


def _whole_versions(place: Place) -> set[int]:
    """Versions that the log still describes: those with a checkpoint, and those that follow one without a gap."""
    entries, whole = layout.log_entries(place), layout.checkpoints(place)
    for one in sorted(layout.version(entry) for entry in entries if entry.endswith(".json")):
        if one == 0 or one - 1 in whole:
            whole.add(one)
    return whole


def _no_longer_kept(place: Place, version: int) -> str:
    return (
        f"The store {place.location} no longer has {place.table} of {place.cluster} at version {version}. A version that "
        f"a report read is kept for {KEPT_WEEKS} weeks if the report was made with --record. Report on the newest data."
    )


def check_layout(location: str, table: str) -> None:
    """Refuse a table of the earlier layout, which had all clusters in one Delta table.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    table : str

    Raises
    ------
    Error
        With the command that brings the store into today's layout.
    """
    if layout.is_earlier(location, table):
        raise Error(
            f"The store {location} was written by an earlier aurora-analysis, with all clusters in one table: run "
            f"`aurora-analysis store migrate --store {location}` once."
        )


NO_ACTION = '{"commitInfo":{}}'
"""An entry of a table's log that changes nothing."""


WRITTEN_WITHIN_S = 5.0
"""An empty entry of a table's log that is younger [s] is being written."""


def _check_log(place: Place) -> None:
    """Raise an error if an entry of a table's log is empty, as after a power cut: delta-rs takes it for no change.

    Only entries after the last checkpoint are looked at: no checkpoint was written on top of an empty one. Where an entry
    is not renamed into place (`uri`), another writer's entry is empty for a moment, which is waited for. On S3 an object
    is written whole or not at all.
    """
    if place.location.startswith("s3://"):
        return
    while empty := _empty_entry(place):
        path, modified = empty
        if time.time() - modified > WRITTEN_WITHIN_S:
            raise Error(
                f"The log of {place.table} has an empty entry, as after a power cut: {path}. What it recorded is lost. "
                f"Write {NO_ACTION} into that file, and fetch or ingest the time around "
                f"{datetime.fromtimestamp(modified, UTC):%Y-%m-%d %H:%M} UTC again."
            )
        time.sleep(0.02)


def _empty_entry(place: Place) -> tuple[str, float] | None:
    """Path and time of change [s since 1970] of the first empty entry after the last checkpoint; None if there is none."""
    folder, entries = Path(place.location) / place.log, layout.log_entries(place)
    last = max((layout.version(entry) for entry in entries if entry.endswith(".parquet")), default=-1)
    for entry in entries:
        if layout.version(entry) > last and entry.endswith(".json"):
            with suppress(FileNotFoundError):
                about = (folder / entry).stat()
                if not about.st_size:
                    return str(folder / entry), about.st_mtime
    return None


def _check_schema(delta: DeltaTable, spec: Table, location: str) -> None:
    found = re.match(r"schema (\d+)", delta.metadata().description or "")
    version = int(found[1]) if found else 0
    if version > SCHEMA_VERSION:
        raise Error(
            f"The table {spec.name} in {location} was written by a newer aurora-analysis (schema {version}, "
            f"this one reads up to {SCHEMA_VERSION}): upgrade aurora-analysis."
        )
