"""Publish a report to a folder or an S3 prefix, alone or in an archive of reports.

A folder appears at once. S3 has no such operation: there the pages are uploaded first and the front page last.
"""

from __future__ import annotations

import mimetypes
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.errors import Error
from aurora_analysis.report import build, history, index, record, records
from aurora_analysis.store import Store

DEFAULT = "report"

UNFINISHED = ".unfinished"
"""An object that exists while the first report of a prefix is being uploaded."""


@dataclass(frozen=True)
class Place:
    """Destination of a report.

    Attributes
    ----------
    address
        Folder or s3:// prefix.
    archived
        Whether it is an archive of many reports.
    client
        Creates boto3's S3 client; called only for an s3:// address.
    """

    address: str
    archived: bool
    client: Callable[[], Any]

    @property
    def in_bucket(self) -> bool:
        """Whether the address is on S3."""
        return self.address.startswith("s3://")


@dataclass(frozen=True)
class Published:
    """A published report.

    Attributes
    ----------
    document
        The content of findings.json.
    address
        Path or s3:// address of index.html.
    trends
        Verdicts over all reports of the archive on the workloads of this one; none outside an archive.
    """

    document: dict[str, Any]
    address: str
    trends: tuple[Verdict, ...] = ()


def place(output: str, archive: str, client: Callable[[], Any]) -> Place:
    """Return where the command's options put a report.

    Raises
    ------
    Error
        If both options are given.
    """
    if output and archive:
        raise Error("Use either --output (one report) or --archive (many reports), not both.")
    return Place((archive or output or DEFAULT).rstrip("/"), bool(archive), client)


def report(
    request: build.Request,
    where: Place,
    *,
    recorded: bool = False,
    execution: build.Execution | None = None,
) -> Published:
    """Build a report and publish it.

    Parameters
    ----------
    request
        What to report.
    where
        Where to publish it.
    recorded
        If True, write the findings into the store, too.
    execution
        How to run it.

    Returns
    -------
    Published
        The report, with the trends of its workloads.
    """
    if recorded:
        record.check(Store(request.store).location)
    publish = _to_bucket if where.in_bucket else _to_folder
    published = publish(request, where, execution or build.Execution())
    if recorded:
        record.write(Store(published.document["run"]["store"]), published.document)
    return published


def _to_folder(request: build.Request, where: Place, execution: build.Execution) -> Published:
    root = Path(where.address)
    document, folder = build.report(request, root, archived=where.archived, execution=execution)
    trends: tuple[Verdict, ...] = ()
    if where.archived:
        history.write(root)
        trends = history.trends_of(root, document)
    return Published(document, str(folder / index.PAGE), trends)


def _to_bucket(request: build.Request, where: Place, execution: build.Execution) -> Published:
    with tempfile.TemporaryDirectory(prefix="aurora-analysis-") as scratch:
        root = Path(scratch) / "report"
        bucket = Bucket.at(where)
        document, folder = build.report(request, root, archived=where.archived, execution=execution)
        trends: tuple[Verdict, ...] = ()
        name = f"{folder.name}/" if where.archived else ""
        bucket.replace(folder, name)
        if where.archived:
            bucket.fetch_records(root)
            bucket.put(history.write(root), index.PAGE)
            trends = history.trends_of(root, document)
        return Published(document, f"{where.address}/{name}{index.PAGE}", trends)


@dataclass(frozen=True)
class Bucket:
    """A prefix of an S3 bucket and the boto3 client to reach it."""

    client: Any
    bucket: str
    prefix: str

    @classmethod
    def at(cls, where: Place) -> Bucket:
        """Return the bucket and prefix of s3://bucket/prefix, once it has been listed.

        A bucket that cannot be listed fails here, before the notebooks run.
        """
        bucket, _, prefix = where.address.removeprefix("s3://").partition("/")
        found = cls(where.client(), bucket, f"{prefix}/" if prefix else "")
        next(found.names(""), None)
        return found

    def replace(self, folder: Path, name: str) -> None:
        """Upload a report and remove files of the earlier one; refuse to replace anything else.

        An upload that was interrupted leaves a marker, by which the next one recognises its own pages.
        """
        there, marker = set(self.names(name)), f"{name}{UNFINISHED}"
        if there and not {f"{name}{records.NAME}", marker} & there:
            raise Error(
                f"s3://{self.bucket}/{self.prefix}{name} contains something other than a report. Choose another prefix."
            )
        if not there:
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + marker)
            there = {marker}
        pages = [path for path in folder.rglob("*") if path.is_file()]
        files = {f"{name}{path.relative_to(folder).as_posix()}": path for path in pages}
        last = [f"{name}{records.NAME}", f"{name}{index.PAGE}"]
        for key in [*(key for key in sorted(files) if key not in last), *last]:
            self.put(files[key], key)
        for key in sorted(there - set(files)):
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def fetch_records(self, root: Path) -> None:
        """Download the findings.json of every report into folders of the same names."""
        for key in self.names(""):
            folder, _, name = key.partition("/")
            if name == records.NAME:
                (root / folder).mkdir(parents=True, exist_ok=True)
                self.client.download_file(self.bucket, self.prefix + key, str(root / key))

    def put(self, path: Path, name: str) -> None:
        """Upload a file with its content type."""
        kind = mimetypes.guess_type(path.name)[0] or "application/json"
        charset = "; charset=utf-8" if kind.startswith("text/") else ""
        content = {"ContentType": f"{kind}{charset}"}
        with path.open("rb") as body:  # boto3's upload_file hides the service's error behind its own
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=body, **content)

    def names(self, under: str) -> Iterator[str]:
        """Yield the names that begin with `under`."""
        pages = self.client.get_paginator("list_objects_v2")
        for found in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + under):
            for item in found.get("Contents", []):
                yield item["Key"].removeprefix(self.prefix)
