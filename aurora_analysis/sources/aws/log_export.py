"""Slow logs of a cluster's instances: from CloudWatch Logs if they are exported, otherwise from RDS's log files.

RDS keeps log files for a day or a few, one an hour, and returns them in portions with known faults, which this module
repairs: portions overlap, lines are cut, binary bytes are refused, and the current file is rotated while it is read.
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DownloadDBLogFilePortion.html
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import IO, Any, NamedTuple

import pandas as pd
from botocore.exceptions import ClientError

from aurora_analysis import engines
from aurora_analysis.engines.log_events import MARKER, Account
from aurora_analysis.engines.log_tables import Layout
from aurora_analysis.engines.sql_mode import SqlMode
from aurora_analysis.fetch.chunks import (
    LOG_SETTLING_TIME,
    Chunk,
    Context,
    Have,
    NoLongerKept,
    Part,
    Unavailable,
    by_day,
)
from aurora_analysis.sources import envelopes
from aurora_analysis.sources.aws import clusters, errors
from aurora_analysis.sources.aws.answers import pages
from aurora_analysis.sources.aws.enhanced_monitoring import events
from aurora_analysis.sources.aws.frames import inside
from aurora_analysis.sources.aws.rds import Instance, Topology, stream_instance
from aurora_analysis.window import Window

SOURCE = "slow log"

LINES = 10_000
"""Maximum number of lines of a portion. A portion with cut lines is read again with fewer."""

SEAM_BYTES = 2**17
"""Size of a portion's end that is compared with the start of the next [bytes]."""

SEAM_LEAST = 32
"""A shorter repetition is coincidence, not an overlap [bytes]."""

IN_MEMORY_BYTES = 2**24
"""A log file larger than this [bytes] is kept on disk while it is read."""

YEAR = b"20"
"""Start of an entry on RDS, where the engine's own log has no fixed start: RDS's prefixes begin with the time."""

BINARY = "contains binary data"
"""Part of the message by which RDS refuses a portion that is not text."""


@dataclass(frozen=True)
class ExportedLog:
    """The exported slow log of one instance, in CloudWatch Logs."""

    cluster: str
    engine: str
    streams: tuple[str, ...]
    log_timezone: str = ""


@dataclass(frozen=True)
class LogFiles:
    """The slow-log files of one instance that RDS still keeps."""

    engine: str
    log_timezone: str = ""


def log_type(engine: str) -> str:
    """Return RDS's name of the log that has an engine's slow statements; it is part of its files' names too."""
    return str(engines.module(engine, "settings").LOG_TYPE)


def is_exported(topology: Topology) -> bool:
    """Return whether the cluster exports its slow log to CloudWatch Logs."""
    return log_type(topology.engine) in topology.log_exports


def group(cluster: str, engine: str) -> str:
    """Return the log group of a cluster's exported slow logs. Each stream is of one instance."""
    kind = "cluster" if clusters.is_aurora(engine) else "instance"
    return f"/aws/rds/{kind}/{cluster}/{log_type(engine)}"


def streams(logs: Any, cluster: str, engine: str) -> list[str] | None:
    """List the streams of the slow logs in CloudWatch Logs; None if the group does not exist."""
    try:
        found = pages(logs.describe_log_streams, "nextToken", logGroupName=group(cluster, engine))
        return sorted({row["logStreamName"] for page in found for row in page["logStreams"]})
    except ClientError as problem:
        if errors.code(problem) == "ResourceNotFoundException":
            return None
        raise


# Plan


def chunks(topology: Topology, have: Have, window: Window, now: datetime) -> list[Chunk]:
    """Plan a chunk for each instance and day of exported logs, or one for the files of each instance."""
    return [
        chunk
        for each in topology.instances
        for gap in have.missing(SOURCE, each.name, window)
        for chunk in _chunks(each, topology, gap, now)
    ]


def _chunks(instance: Instance, topology: Topology, window: Window, now: datetime) -> list[Chunk]:
    zone = instance.parameters.get("log_timezone", "")
    own = tuple(name for name in topology.streams if stream_instance(name) == instance.name)
    planned = partial(_chunk, instance.name, topology.engine)
    if own:
        where = ExportedLog(topology.cluster, topology.engine, own, zone)
        return [planned(day, "logs", where, calls=1) for day in by_day([window])]
    if reason := _unavailable(instance, topology.engine):
        return [planned(window, "logs", Unavailable(f"{reason}."))]
    kept = engines.module(topology.engine, "settings").files_kept(instance.parameters)
    since = now - kept
    chunks_of = []
    if window.start < since:
        gone = _no_longer_kept(instance.name, kept, topology.engine)
        chunks_of.append(planned(Window(window.start, min(since, window.end)), "logs", gone))
    if window.end > since:
        rest = Window(max(window.start, since), window.end)
        calls = 2 + 2 * len(range(math.ceil(rest.duration / timedelta(hours=1))))
        chunks_of.append(planned(rest, "rds", LogFiles(topology.engine, zone), calls=calls))
    return chunks_of


def _unavailable(instance: Instance, engine: str) -> str:
    if instance.gone:
        return f"{instance.name} is no longer in the cluster, and its slow log was not exported"
    if obstacle := engines.module(engine, "settings").slow_log_obstacle(instance.parameters):
        problem, remedy = obstacle
        return f"The slow log of {instance.name} {problem}: set {remedy} in its parameter group"
    return ""


def _chunk(
    instance: str, engine: str, window: Window, service: str, arguments: object, *, calls: int = 0
) -> Chunk:
    return Chunk(
        SOURCE,
        service,
        instance,
        window,
        arguments,
        calls,
        tables=engines.module(engine, "slow_log").COVERED,
        settling_time=LOG_SETTLING_TIME,
    )


def _no_longer_kept(instance: str, kept: timedelta, engine: str) -> NoLongerKept:
    note = f"CloudWatch Logs has none of it, and RDS keeps slow-log files for {kept.total_seconds() / 3600:g} hours"
    part = partial(Part, received=0, expected=math.nan, unit="bytes", note=note, instance=instance)
    return NoLongerKept(tuple(part(table) for table in engines.module(engine, "slow_log").COVERED))


# Fetch


def fetch(chunk: Chunk, context: Context) -> Iterator[Part]:
    """Fetch an instance's slow log: from CloudWatch Logs, or from its files."""
    assert chunk.instance is not None
    match chunk.arguments:
        case ExportedLog(cluster, engine, streams, zone):
            log = Log(chunk.instance, chunk.window, engine, context.examples, zone)
            return fetch_exported(context.clients["logs"], group(cluster, engine), streams, log)
        case LogFiles(engine, zone):
            log = Log(chunk.instance, chunk.window, engine, context.examples, zone)
            return fetch_files(context.clients["rds"], log)
        case other:
            raise TypeError(f"{SOURCE} has no chunk of {other!r}")


@dataclass(frozen=True)
class Log:
    """Instance, window and engine of a slow log to read, whether to keep a text of each statement, and its time zone."""

    instance: str
    window: Window
    engine: str
    examples: bool = False
    timezone: str = ""


# From CloudWatch Logs


def fetch_exported(logs: Any, log_group: str, streams: Sequence[str], log: Log) -> Iterator[Part]:
    """Read a window of an instance's exported slow log. An event is an entry, or a banner of the server.

    Reading begins at the start of the hour, where the file was rotated: the default database is state of the log,
    and an entry names it only if it changes.
    """
    account, aside = Account(), list[pd.DataFrame]()
    hour = log.window.start.replace(minute=0, second=0, microsecond=0)
    found = events(logs, log_group, streams, Window(hour, log.window.end))
    yield from _parts((_line(one["message"]) for one in found), account, log, aside)
    yield from _events(aside)
    yield from _counted(account, log, 0, f"from CloudWatch Logs: {account}")


def _line(message: str) -> bytes:
    return envelopes.event(message.encode("utf-8", "surrogatepass"))


def _parts(text: Iterable[bytes], account: Account, log: Log, aside: list[pd.DataFrame]) -> Iterator[Part]:
    """Yield the executions that ended in the window, and what else the log holds of it, batch by batch.

    Events go to `aside`: the table `events` has no identity, so that a window of it is written in one piece.
    """
    slow_log = engines.module(log.engine, "slow_log")
    layout, mode = Layout(log.instance, examples=log.examples), SqlMode(log_timezone=log.timezone)
    for batch in slow_log.read_slow_log(text, layout, account=account, mode=mode):
        ended = inside(batch.slow_queries, log.window, "ended_at")
        statements = batch.statements[batch.statements["digest"].isin(ended["digest"])]
        yield Part("statements", statements, unit="")
        yield Part("slow_queries", ended, unit="")
        if len(batch.vacuums):
            yield Part("vacuums", inside(batch.vacuums, log.window), unit="")
        if len(batch.events):
            aside.append(inside(batch.events, log.window))
        if log.examples:
            yield Part("examples", batch.examples[batch.examples["digest"].isin(ended["digest"])], unit="")


def _events(aside: Sequence[pd.DataFrame]) -> Iterator[Part]:
    if aside:
        yield Part("events", pd.concat(aside, ignore_index=True).drop_duplicates(), unit="")


def _counted(account: Account, log: Log, withheld: int, note: str) -> Iterator[Part]:
    """Yield the coverage of the log [bytes]; `withheld` bytes were listed by RDS and not returned."""
    whole, lost = account.bytes + withheld, account.lost_bytes + withheld
    for table in engines.module(log.engine, "slow_log").COVERED:
        yield Part(table, None, whole, whole - lost, lost, "bytes", note, log.instance)


# From RDS's files


class LogFile(NamedTuple):
    """A log file as RDS lists it: when it was last written, and its size [bytes]."""

    name: str
    written: datetime
    size: int

    @property
    def is_current(self) -> bool:
        """Return whether the server renames the file when it rotates the log: the name of any other ends in its hour."""
        return not re.search(r"\.\d{4}-\d\d-\d\d([.-]\d{2,4})?$|\.\d+$", self.name)


class Download:
    """The bytes of a log file that RDS returned, and the start of each portion in them. An entry begins with `head`."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._content: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (closed by `close`)
        self._starts: list[int] = []

    def close(self) -> None:
        """Free the bytes."""
        self._content.close()

    def add(self, portion: bytes) -> None:
        """Append the next portion."""
        self._starts.append(self._content.tell())
        self._content.write(portion)

    def portions(self, size: int) -> Iterator[bytes]:
        """Yield the content of a file of `size` bytes, portion by portion.

        If RDS returned fewer bytes, lines may be missing around a portion, and two halves of different entries may
        look like one. Each portion then loses the text before its first entry, and its last entry.
        """
        length = self._content.seek(0, os.SEEK_END)
        for start, end in zip(self._starts, [*self._starts[1:], length]):
            self._content.seek(start)
            portion = self._content.read(end - start)
            yield portion if length >= size else _inner(portion, self._head)


def _inner(portion: bytes, head: bytes) -> bytes:
    """Return the entries of a portion that begin in it and are followed by another."""
    text = b"\n" + portion
    first, last = text.find(b"\n" + head), text.rfind(b"\n" + head)
    return text[first + 1 : last + 1]


def fetch_files(rds: Any, log: Log) -> Iterator[Part]:
    """Read the slow-log files of an instance. The store merges executions that two files share.

    Bytes that RDS lists and does not return are counted as lost: lines that portions skip, and everything after
    binary bytes.
    """
    account, withheld, aside = Account(), 0, list[pd.DataFrame]()
    for file, content in _contents(rds, log):
        with closing(content):
            one = Account()
            yield from _parts(content.portions(file.size), one, log, aside)
        account, withheld = account + one, withheld + max(0, file.size - one.bytes)
    note = f"from RDS's files, because CloudWatch Logs has none: {account}"
    if withheld:
        note += f", {withheld:,} bytes not returned"
    yield from _events(aside)
    yield from _counted(account, log, withheld, note)


def _contents(rds: Any, log: Log) -> Iterator[tuple[LogFile, Download]]:
    """Yield every file and its content: rotated files first, the current file last.

    If the server rotates the log meanwhile, the content of the current file is dropped; the file is read again under
    its new name, and then the new current file.
    """
    done: set[str] = set()
    while True:
        listed = files(rds, log)
        for file in (each for each in listed if not each.is_current and each.name not in done):
            done.add(file.name)
            yield file, _content(rds, log, file)
        current = [(each, _content(rds, log, each)) for each in listed if each.is_current]
        if {each.name for each in files(rds, log) if not each.is_current} <= done:
            yield from current
            return
        for _, content in current:
            content.close()


def files(rds: Any, log: Log) -> list[LogFile]:
    """List the slow-log files that may hold entries of the window, oldest first."""
    found = pages(
        rds.describe_db_log_files,
        "Marker",
        DBInstanceIdentifier=log.instance,
        FilenameContains=log_type(log.engine),
        FileLastWritten=int(log.window.start.timestamp() * 1000),
    )
    listed = {
        LogFile(
            row["LogFileName"],
            datetime.fromtimestamp(row["LastWritten"] / 1000, log.window.start.tzinfo),
            row["Size"],
        )
        for page in found
        for row in page["DescribeDBLogFiles"]
        if engines.module(log.engine, "settings").is_log_file(row["LogFileName"])
    }
    return sorted(listed, key=lambda file: (file.written, file.name))


def _content(rds: Any, log: Log, file: LogFile) -> Download:
    """Download a file's content, as far as RDS returns it."""
    content = Download(engines.module(log.engine, "slow_log").HEAD or YEAR)
    try:
        for portion in portions(rds, log.instance, file.name):
            content.add(portion)
    except ClientError as problem:
        if not _is_withheld(problem):
            content.close()
            raise
    return content


def _is_withheld(problem: ClientError) -> bool:
    """Return whether RDS refuses bytes that are not text, or the file has been deleted meanwhile."""
    message = problem.response["Error"].get("Message", "")
    return BINARY in message or errors.code(problem) in {
        "DBLogFileNotFoundFault",
        "DBLogFileNotFound",
    }


def portions(rds: Any, instance: str, name: str) -> Iterator[bytes]:
    """Yield a file's text from its start, portion by portion, without the bytes that a portion repeats."""
    marker, last, before, more, seen = "0", b"", b"", True, set[str]()
    while more:
        seen.add(marker)
        text, marker, more = _portion(rds, instance, name, marker)
        if text != last:
            yield text[overlap(before, text) :]
            before = (before + text)[-SEAM_BYTES:]
        last = text
        more = more and marker not in seen


def _portion(rds: Any, instance: str, name: str, marker: str) -> tuple[bytes, str, bool]:
    """Request the portion at a marker. If a line of it was cut, request it again with fewer lines."""
    lines = LINES
    while True:
        answer = rds.download_db_log_file_portion(
            DBInstanceIdentifier=instance, LogFileName=name, Marker=marker, NumberOfLines=lines
        )
        text = (answer.get("LogFileData") or "").encode("utf-8", "surrogatepass")
        if MARKER not in text or lines == 1:
            return text, answer.get("Marker") or marker, bool(answer.get("AdditionalDataPending"))
        lines = max(1, lines // 4)


def overlap(before: bytes, text: bytes) -> int:
    r"""Return how many bytes at the start of `text` repeat the end of `before`: the longest such run.

    >>> overlap(b"one\ntwo\n" + 32 * b"-", 32 * b"-" + b"three")
    32
    """
    probe, at = text[:SEAM_LEAST], -1
    if len(probe) < SEAM_LEAST:
        return 0
    while (at := before.find(probe, at + 1)) >= 0:
        if text.startswith(before[at:]):
            return len(before) - at
    return 0
