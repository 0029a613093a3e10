"""The inputs that a command line names: files, folders, globs, objects and prefixes on S3, standard input."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aurora_analysis.errors import Error, Unfinished

CHUNK = 2 * 2**20
"""Size of a chunk of an object [bytes]."""

IGNORED = "aws-logs-write-test"
"""The object that an export of CloudWatch Logs writes to check its permission."""

_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class S3Object:
    """An object on S3, and what makes boto3's client; its text is its address.

    Its size [bytes] and its ETag are known if it was listed.
    """

    bucket: str
    key: str
    client: Callable[[], Any]
    size: int | None = field(default=None, compare=False)
    etag: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def chunks(self) -> Iterator[bytes]:
        """Stream the object in chunks; it is never held as a whole.

        Raises
        ------
        Error
            If it cannot be read.
        """
        with _one_line(str(self)):
            yield from self.client().get_object(Bucket=self.bucket, Key=self.key)["Body"].iter_chunks(CHUNK)


Source = str | S3Object
"""A file's name, `-` for standard input, or an object on S3."""


def label(source: Source) -> str:
    """Return the name under which the store's coverage lists a source: a file's base name, an object's address."""
    return os.path.basename(source) if isinstance(source, str) else str(source)


def identity(source: Source) -> str | None:
    """Return the mark of a file's content, which distinguishes it from an earlier one of the same name: ETag or time of change, and size.

    Parameters
    ----------
    source : str or S3Object

    Returns
    -------
    str or None
        None for a pipe, which nothing identifies.

    Raises
    ------
    Error
        If an object cannot be read.
    """
    if isinstance(source, S3Object):
        etag, size = source.etag, source.size
        if not etag:
            with _one_line(str(source)):
                head = source.client().head_object(Bucket=source.bucket, Key=source.key)
            etag, size = head["ETag"], head["ContentLength"]
        return f"{etag.strip(chr(34))}, {size} bytes"
    if not os.path.isfile(source):
        return None
    there = os.stat(source)
    return f"changed at {there.st_mtime_ns} ns, {there.st_size} bytes"


def found(names: Sequence[str], client: Callable[[], Any]) -> list[Source]:
    """List the inputs that the names stand for, each once.

    Parameters
    ----------
    names : sequence of str
        Files; globs such as `logs/*.gz` or `s3://bucket/2026-*/**/*.gz`, where `**` also matches folders; objects and
        prefixes (`s3://bucket/prefix/`); folders, for the files in them and below; `-`. A file that has a glob's characters in its name is that file.
    client : callable
        Makes boto3's client of S3; called only if a name is on S3.

    Raises
    ------
    Error
        If nothing matches a name, or S3 cannot be listed.
    """
    sources: dict[Source, None] = {}
    for name in names:
        matches = list(_expanded(name, client))
        if not matches:
            raise Error(
                f"Nothing matches {name}: check the spelling, and quote a pattern so that it stays one."
            )
        sources.update(dict.fromkeys(matches))
    return list(sources)


def _expanded(name: str, client: Callable[[], Any]) -> Iterator[Source]:
    if name.startswith("s3://"):
        bucket, _, key = name.removeprefix("s3://").partition("/")
        if not bucket:
            raise Error(f"{name} names no bucket: write s3://bucket/prefix/.")
        if key and not key.endswith("/") and not _GLOB.search(key):
            yield S3Object(bucket, key, client)
        else:
            yield from _listed(bucket, key, client)
    elif os.path.isdir(name):
        yield from _below(name)
    elif _GLOB.search(name) and not os.path.exists(name):
        yield from sorted(each for each in glob.glob(name, recursive=True) if os.path.isfile(each))
    else:
        yield name


def _below(folder: str) -> Iterator[str]:
    """Yield the files of a folder and of those below it, in the order of their paths; hidden and empty ones are left out."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        paths = (os.path.join(place, name) for name in sorted(files) if not name.startswith("."))
        yield from (path for path in paths if os.path.getsize(path))


def _listed(bucket: str, key: str, client: Callable[[], Any]) -> Iterator[S3Object]:
    """Yield the objects below a prefix, or those that match a glob, in the order of their keys; empty ones are left out."""
    first_wildcard = _GLOB.search(key)
    prefix = key[: first_wildcard.start()] if first_wildcard else key
    pattern = re.compile(_translated(key) if first_wildcard else re.escape(key) + ".*", re.DOTALL)
    with _one_line(f"s3://{bucket}/{key}"):
        for page in client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for one in page.get("Contents", []):
                name = one["Key"]
                if one["Size"] and pattern.fullmatch(name) and name.rpartition("/")[2] != IGNORED:
                    yield S3Object(bucket, name, client, one["Size"], one.get("ETag", ""))


def _translated(pattern: str) -> str:
    """Return a glob as a regular expression; `*` stays within a folder, `**/` matches any number of folders."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]]*\])", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", "": ""}
    return "".join(
        known[part]
        if part in known
        else part.replace("[!", "[^", 1)
        if part.startswith("[")
        else re.escape(part)
        for part in parts
    )


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """Turn boto3's errors, and those of a broken download, into one line that names the input."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    from aurora_analysis.sources.aws import errors

    try:
        yield
    except (BotoCoreError, ClientError, HTTPError) as problem:
        missing = {"NoSuchBucket": "there is no such bucket", "NoSuchKey": "there is no such object"}
        if errors.code(problem) in missing:
            raise Error(f"Cannot read {name}: {missing[errors.code(problem)]}.") from None
        if errors.code(problem) in errors.DENIED:
            raise Unfinished(
                f"Cannot read {name}: allow s3:ListBucket and s3:GetObject for it, then rerun the command."
            ) from None
        kind = Unfinished if errors.is_outside(problem) else Error
        raise kind(f"Cannot read {name}: {errors.explained(problem)}") from None
