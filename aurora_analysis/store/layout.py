"""Locate a store's tables: one Delta table for each cluster, at `TABLE/cluster=NAME`, with a folder for each week.

Each cluster's table has its own log, so that commits and reads neither wait for nor read another cluster's log. The
functions here list and remove entries in a folder or below an s3:// prefix; delta-rs reads and writes the tables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from aurora_analysis.errors import Error
from aurora_analysis.store.causes import one_line
from aurora_analysis.store.uri import attempts, storage_options

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

LOG = "_delta_log"
PREFIX = "cluster="
ENTRY = re.compile(r"(\d{20})\.(json|checkpoint\.parquet)")
"""A commit or a checkpoint of a table's log, which begins with its version."""


@dataclass(frozen=True)
class Place:
    """A cluster's table in a store.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    table, cluster : str
        Names of the table and the cluster.
    """

    location: str
    table: str
    cluster: str

    @property
    def folder(self) -> str:
        """The table's folder inside the store.

        >>> Place("store", "metrics", "shop-eu").folder
        'metrics/cluster=shop-eu'
        >>> Place("store", "metrics", "Shop/ö").folder
        'metrics/cluster=~53hop~2f~c3~b6'
        """
        # delta-rs decodes percent sequences once too often, and some disks do not distinguish upper from lower case.
        plain = quote(self.cluster, safe="").replace("~", "%7E")
        return f"{self.table}/{PREFIX}{re.sub('%(..)|([A-Z])', _escaped, plain)}"

    @property
    def log(self) -> str:
        """The folder of the table's log inside the store."""
        return f"{self.folder}/{LOG}"


def _escaped(found: re.Match[str]) -> str:
    return f"~{(found[1] or f'{ord(found[2]):x}').lower()}"


def clusters(location: str, table: str) -> list[str]:
    """Return the clusters that have a table, sorted.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    table : str

    Returns
    -------
    list of str
    """
    named = [name for name in names(location, table) if name.startswith(PREFIX)]
    return sorted(unquote(name.removeprefix(PREFIX).replace("~", "%")) for name in named)


def is_earlier(location: str, table: str) -> bool:
    """Return whether a table has the earlier layout: all clusters in one Delta table.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    table : str

    Returns
    -------
    bool
    """
    return bool(names(location, f"{table}/{LOG}"))


def newest_version(place: Place) -> int | None:
    """Return the newest version of a cluster's table; None if it has no table.

    Parameters
    ----------
    place : Place

    Returns
    -------
    int or None
    """
    return max(map(version, log_entries(place)), default=None)


def log_entries(place: Place) -> list[str]:
    """Return the names of the commits and checkpoints in a table's log, sorted.

    Parameters
    ----------
    place : Place

    Returns
    -------
    list of str
    """
    return sorted(filter(ENTRY.fullmatch, names(place.location, place.log)))


def checkpoints(place: Place) -> set[int]:
    """Return the versions of a table that have a checkpoint.

    Parameters
    ----------
    place : Place

    Returns
    -------
    set of int
    """
    return {version(entry) for entry in log_entries(place) if entry.endswith(".parquet")}


def version(entry: str) -> int:
    """Return the version of a log's entry.

    Parameters
    ----------
    entry : str

    Returns
    -------
    int
    """
    return int(entry[:20])


# Folders


def names(location: str, inside: str) -> list[str]:
    """Return the names in a folder of the store; empty if there is no such folder.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    inside : str
        The folder's path in the store.

    Returns
    -------
    list of str

    Raises
    ------
    Error
        If the bucket does not exist, or S3 does not list it.
    """
    if not location.startswith("s3://"):
        try:
            return os.listdir(Path(location) / inside)
        except (FileNotFoundError, NotADirectoryError):
            return []
    from pyarrow.fs import FileSelector

    with one_line(f"list {inside} in", location):
        found = _bucket(location).get_file_info(FileSelector(inside, allow_not_found=True))
    if not found:  # S3 answers alike for a bucket and for a prefix that do not exist
        _check_bucket(location, inside.partition("/")[0])
    return [one.base_name for one in found]


def remove(location: str, inside: str, entries: Iterable[str]) -> None:
    """Remove files from a folder of the store; a file that another process has already removed is not an error.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    inside : str
        The folder's path in the store.
    entries : iterable of str
        The names of the files.
    """
    for entry in entries:
        try:
            if location.startswith("s3://"):
                _bucket(location).delete_file(f"{inside}/{entry}")
            else:
                (Path(location) / inside / entry).unlink()
        except FileNotFoundError:
            continue


def mark(location: str, inside: str, name: str) -> None:
    """Put an empty file into a folder of the store.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.
    inside : str
        The folder's path in the store, made if it does not exist.
    name : str
        The name of the file.
    """
    if location.startswith("s3://"):
        with _bucket(location).open_output_stream(f"{inside}/{name}") as file:
            file.write(b"")
        return
    place = Path(location) / inside
    place.mkdir(exist_ok=True)
    (place / name).touch()


@lru_cache(maxsize=64)
def _check_bucket(location: str, table: str) -> None:
    """Raise an error if the bucket does not exist; raise none if the permission to look is missing."""
    from pyarrow.fs import FileType

    bucket = location.removeprefix("s3://").partition("/")[0]
    with suppress(OSError):
        if _s3(location).get_file_info(bucket).type == FileType.NotFound:
            raise Error(
                f"Cannot open {table} in {location}: there is no such bucket; create it, or check its name."
            )


def _bucket(location: str) -> FileSystem:
    """Return the prefix as pyarrow's file system: that of delta-rs holds the interpreter lock while it waits for S3."""
    from pyarrow.fs import SubTreeFileSystem

    return SubTreeFileSystem(location.removeprefix("s3://").rstrip("/"), _s3(location))


def _s3(location: str) -> FileSystem:
    scheme, _, host = (storage_options(location, "") or {}).get("aws_endpoint_url", "").partition("://")
    names = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_DEFAULT_REGION")
    return _connected(scheme, host, tuple(os.environ.get(name, "") for name in names))


@lru_cache(maxsize=8)
def _connected(scheme: str, host: str, environment: tuple[str, ...]) -> FileSystem:
    """Connect to S3 once for each endpoint, identity and region."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    region = next(filter(None, environment[2:]), None)
    patient = AwsStandardS3RetryStrategy(max_attempts=attempts())
    return S3FileSystem(
        region=region, endpoint_override=host or None, scheme=scheme or None, retry_strategy=patient
    )
