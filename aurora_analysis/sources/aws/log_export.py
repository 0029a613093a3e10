"""The slow logs of a cluster's instances: from CloudWatch Logs where they are exported, else from RDS's files.

RDS keeps files for a day, in hourly pieces. What its portions are known to do is undone here: they overlap,
they cut lines, they refuse binary bytes, and the current file is rotated away while it is read.
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DownloadDBLogFilePortion.html
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from typing import IO, Any, NamedTuple

import pandas as pd
from botocore.exceptions import ClientError

from aurora_analysis.engines.mysql import slow_log
from aurora_analysis.engines.mysql.slow_log import Account
from aurora_analysis.errors import NotEnabled
from aurora_analysis.fetch.chunks import LATE_LOGS, Chunk, Clients, Part, by_day, missing
from aurora_analysis.sources.aws.enhanced_monitoring import events
from aurora_analysis.sources.aws.rds import Instance, Topology
from aurora_analysis.window import Window

SOURCE = "slow log"

FILES_KEPT = timedelta(hours=24)
"""How long RDS keeps slow-log files, if local storage lets it."""

LINES = 10_000
"""The most lines of a portion; a portion whose lines are cut is read again with fewer."""

SEAM_BYTES = 2**17
"""How much of a portion is compared with the next."""

SEAM_LEAST = 32
"""A shorter repetition is chance, not an overlap [bytes]."""

IN_MEMORY_BYTES = 2**24

BINARY = "contains binary data"


def group(cluster: str) -> str:
    """The log group of a cluster's exported slow logs; a stream is an instance."""
    return f"/aws/rds/cluster/{cluster}/slowquery"


def streams(logs: Any, cluster: str) -> list[str] | None:
    """The instances whose slow logs are in CloudWatch Logs; None where the group does not exist."""
    try:
        pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group(cluster))
        return [row["logStreamName"] for page in pages for row in page["logStreams"]]
    except ClientError as problem:
        if problem.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise


# The plan


def chunks(
    topology: Topology,
    exported: Sequence[str],
    coverage: pd.DataFrame,
    window: Window,
    now: datetime,
    *,
    examples: bool = False,
) -> list[Chunk]:
    """A chunk for each instance and day of exported logs, or for each instance's files."""
    return [
        chunk
        for each in topology.instances
        for gap in missing(coverage, SOURCE, each.name, window)
        for chunk in _chunks(each, topology.cluster, exported, gap, now, examples)
    ]


def _chunks(
    instance: Instance,
    cluster: str,
    exported: Sequence[str],
    window: Window,
    now: datetime,
    examples: bool,
) -> list[Chunk]:
    if instance.name in exported:
        return [_exported(instance.name, cluster, day, examples) for day in by_day([window])]
    if said := _unavailable(instance):
        return [_saying(instance.name, window, said)]
    since = now - FILES_KEPT
    planned = []
    if window.start < since:
        planned.append(_gone(instance.name, Window(window.start, min(since, window.end))))
    if window.end > since:
        planned.append(_files(instance.name, Window(max(window.start, since), window.end), examples))
    return planned


def _unavailable(instance: Instance) -> str:
    if instance.gone:
        return f"{instance.name} is no longer in the cluster, and its slow log was not exported"
    if instance.parameters.get("slow_query_log", "").lower() in {"0", "off"}:
        return f"The slow log is off for {instance.name}: set slow_query_log = 1 in its parameter group"
    output = instance.parameters.get("log_output", "FILE").upper()
    if output != "FILE":
        return (
            f"The slow log of {instance.name} goes to {output}: set log_output = FILE in its parameter group"
        )
    return ""


def _saying(instance: str, window: Window, said: str) -> Chunk:
    def bring(clients: Clients) -> Sequence[Part]:
        raise NotEnabled(f"{said}.")

    return Chunk(SOURCE, "logs", instance, window, 0, bring, tables=("slow_queries",), late=LATE_LOGS)


def _gone(instance: str, window: Window) -> Chunk:
    note = "nothing of it is in CloudWatch Logs, and RDS keeps slow-log files for 24 hours"
    part = Part("slow_queries", None, math.nan, 0, unit="bytes", note=note, instance=instance)
    return Chunk(SOURCE, "logs", instance, window, 0, lambda clients: [part], tables=("slow_queries",))


def _exported(instance: str, cluster: str, window: Window, examples: bool) -> Chunk:
    bring = partial(fetch_exported, cluster=cluster, instance=instance, window=window, examples=examples)
    return Chunk(SOURCE, "logs", instance, window, 1, bring, tables=("slow_queries",), late=LATE_LOGS)


def _files(instance: str, window: Window, examples: bool) -> Chunk:
    calls = 2 + 2 * len(range(math.ceil(window.duration / timedelta(hours=1))))
    bring = partial(fetch_files, instance=instance, window=window, examples=examples)
    return Chunk(SOURCE, "rds", instance, window, calls, bring, tables=("slow_queries",), late=LATE_LOGS)


# From CloudWatch Logs


def fetch_exported(
    clients: Clients, *, cluster: str, instance: str, window: Window, examples: bool = False
) -> Iterator[Part]:
    """A day of an instance's exported slow log; an event is an entry, or a banner.

    It is read from the beginning of the hour, where the file was rotated: the default database is the log's state,
    and is said only where it changes.
    """
    account = Account()
    hour = window.start.replace(minute=0, second=0, microsecond=0)
    found = events(clients["logs"], group(cluster), instance, Window(hour, window.end))
    lines = (_line(event["message"]) for event in found)
    yield from _parts(lines, account, instance, window, examples)
    yield _counted(account, instance, 0, f"from CloudWatch Logs: {account}")


def _line(message: str) -> bytes:
    return message.encode("utf-8", "surrogatepass") + (b"" if message.endswith("\n") else b"\n")


def _parts(
    chunks: Iterable[bytes], account: Account, instance: str, window: Window, examples: bool
) -> Iterator[Part]:
    """The log's executions that ended in the window, and their statements, batch by batch."""
    for batch in slow_log.read_slow_log(
        chunks, slow_log.Layout(instance, examples=examples), account=account
    ):
        ended = batch.slow_queries["ended_at"]
        inside = batch.slow_queries[(ended >= window.start) & (ended < window.end)]
        told = batch.statements[batch.statements["digest"].isin(inside["digest"])]
        yield Part("statements", told, unit="")
        yield Part("slow_queries", inside, unit="")
        if examples:
            yield Part("examples", batch.examples[batch.examples["digest"].isin(inside["digest"])], unit="")


def _counted(account: Account, instance: str, withheld: int, note: str) -> Part:
    """What the log's coverage is, in bytes."""
    whole, lost = account.bytes + withheld, account.lost_bytes + withheld
    return Part("slow_queries", None, whole, whole - lost, lost, "bytes", note, instance)


# From RDS's files


class LogFile(NamedTuple):
    """A log file as RDS lists it; `written` is when last, `size` its bytes."""

    name: str
    written: datetime
    size: int

    @property
    def is_current(self) -> bool:
        """Whether the server still writes to it: a rotated file bears its hour."""
        return not re.search(r"\.\d{4}-\d\d-\d\d\.\d\d$|\.\d+$", self.name)


HEAD = b"# Time: "
"""An entry of Aurora's log begins with such a line."""


class Download:
    """What RDS gave of a file: its bytes, and where in them each portion begins."""

    def __init__(self) -> None:
        self._content: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (closed by `close`)
        self._starts: list[int] = []

    def close(self) -> None:
        """Let go of the bytes."""
        self._content.close()

    def add(self, portion: bytes) -> None:
        """Take the next portion."""
        self._starts.append(self._content.tell())
        self._content.write(portion)

    def chunks(self, size: int) -> Iterator[bytes]:
        """The content of a file of that size, portion by portion.

        Where RDS gave less, lines may be missing before and after a portion, and what looks like one entry be two:
        what comes before a portion's first entry is left out, and its last.
        """
        length = self._content.seek(0, os.SEEK_END)
        for start, end in zip(self._starts, [*self._starts[1:], length]):
            self._content.seek(start)
            portion = self._content.read(end - start)
            yield portion if length >= size else _inner(portion)


def _inner(portion: bytes) -> bytes:
    """The entries of a portion that begin in it and are followed by another."""
    text = b"\n" + portion
    first, last = text.find(b"\n" + HEAD), text.rfind(b"\n" + HEAD)
    return text[first + 1 : last + 1]


def fetch_files(clients: Clients, *, instance: str, window: Window, examples: bool = False) -> Iterator[Part]:
    """The slow-log files of an instance; each is a log of its own, and what two of them share merges.

    What RDS lists of a file and does not give is lost: lines that portions skip, and what follows binary bytes.
    """
    account, withheld = Account(), 0
    for file, content in _contents(clients["rds"], instance, window):
        with closing(content):
            one = Account()
            yield from _parts(content.chunks(file.size), one, instance, window, examples)
        account, withheld = account + one, withheld + max(0, file.size - one.bytes)
    note = f"from RDS's files, as CloudWatch Logs has none: {account}"
    yield _counted(
        account, instance, withheld, note + (f", {withheld:,} bytes not given" if withheld else "")
    )


def _contents(rds: Any, instance: str, window: Window) -> Iterator[tuple[LogFile, Download]]:
    """Every file and its content. Rotated files come first, the current one last.

    Where a rotation came between, what was read of the current file is dropped: it is read again under its
    new name, and the new current file after it.
    """
    done: set[str] = set()
    while True:
        listed = files(rds, instance, window)
        for file in (each for each in listed if not each.is_current and each.name not in done):
            done.add(file.name)
            yield file, _content(rds, instance, file)
        current = [(each, _content(rds, instance, each)) for each in listed if each.is_current]
        if {each.name for each in files(rds, instance, window) if not each.is_current} <= done:
            yield from current
            return
        for _, content in current:
            content.close()


def files(rds: Any, instance: str, window: Window) -> list[LogFile]:
    """The slow-log files that may hold entries of the window, oldest first."""
    pages = rds.get_paginator("describe_db_log_files").paginate(
        DBInstanceIdentifier=instance,
        FilenameContains="slowquery",
        FileLastWritten=int(window.start.timestamp() * 1000),
    )
    rows = [row for page in pages for row in page["DescribeDBLogFiles"]]
    listed = [
        LogFile(
            row["LogFileName"],
            datetime.fromtimestamp(row["LastWritten"] / 1000, window.start.tzinfo),
            row["Size"],
        )
        for row in rows
    ]
    return sorted(listed, key=lambda file: (file.written, file.name))


def _content(rds: Any, instance: str, file: LogFile) -> Download:
    """The file's content, as far as RDS gives it."""
    content = Download()
    try:
        for portion in portions(rds, instance, file.name):
            content.add(portion)
    except ClientError as problem:
        if not _is_withheld(problem):
            content.close()
            raise
    return content


def _is_withheld(problem: ClientError) -> bool:
    """Whether RDS refuses bytes that are not text, or the file is gone by now."""
    error = problem.response["Error"]
    return BINARY in error.get("Message", "") or error["Code"] in {
        "DBLogFileNotFoundFault",
        "DBLogFileNotFound",
    }


def portions(rds: Any, instance: str, name: str) -> Iterator[bytes]:
    """A file's text from its start, portion by portion, without what portions repeat at their seams."""
    marker, before, more = "0", b"", True
    while more:
        text, following, more = _portion(rds, instance, name, marker)
        yield text[overlap(before, text) :]
        before = (before + text)[-SEAM_BYTES:]
        more = more and following != marker
        marker = following


def _portion(rds: Any, instance: str, name: str, marker: str) -> tuple[bytes, str, bool]:
    """A portion from a marker on. Where a line of it was cut, it is asked for again with fewer lines."""
    lines = LINES
    while True:
        answer = rds.download_db_log_file_portion(
            DBInstanceIdentifier=instance, LogFileName=name, Marker=marker, NumberOfLines=lines
        )
        text = (answer.get("LogFileData") or "").encode("utf-8", "surrogatepass")
        if slow_log.MARKER not in text or lines == 1:
            return text, answer.get("Marker") or marker, bool(answer.get("AdditionalDataPending"))
        lines = max(1, lines // 4)


def overlap(before: bytes, text: bytes) -> int:
    """How many bytes at the text's start repeat the end of what came before: the longest such run.

    >>> overlap(b"one\\ntwo\\n" + 32 * b"-", 32 * b"-" + b"three")
    32
    """
    probe, at = text[:SEAM_LEAST], -1
    if len(probe) < SEAM_LEAST:
        return 0
    while (at := before.find(probe, at + 1)) >= 0:
        if text.startswith(before[at:]):
            return len(before) - at
    return 0
