"""Read logs from local files and standard input, in whatever form they come; write them into a store."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from aurora_analysis import engines
from aurora_analysis.engines.log_events import Account
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.errors import Error
from aurora_analysis.sources import compression, encodings, inputs, unread
from aurora_analysis.sources.inputs import S3Object, Source, label

if TYPE_CHECKING:
    import arro3.core as arrow
    from arro3.core.types import ArrowStreamExportable

    from aurora_analysis.engines.log_tables import Batch

CHUNK = 240 * 2**10
"""Size of a chunk [bytes]: three of them fit into a processor's second cache, and malloc reuses their memory."""

BATCH = 20_000
"""Executions written into the store at once: the merge holds several copies of them."""

HEAD_BYTES = 2**16
"""Size of a log's start that determines its engine [bytes]."""


def recognised(chunks: Iterable[bytes]) -> tuple[str | None, Iterator[bytes]]:
    """Return the engine that wrote a log, None if that cannot be seen; and all its chunks again."""
    head, chunks = compression.peek(chunks, HEAD_BYTES)
    return engines.of_log(head), chunks


def chunks(name: Source, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Read a log in chunks.

    Parameters
    ----------
    name : str or S3Object
        A file; `-` is standard input. Compression, encoding and envelope are recognised by the content.
    start, end : int
        The part of a plain file to read [bytes].

    Raises
    ------
    Error
        If the file cannot be read, or its compressed data are damaged.
    """
    # glibc gives freed chunks back to the system, and takes each new one from it, until a larger block was freed.
    bytes(4 * CHUNK)
    try:
        if isinstance(name, S3Object):
            yield from _plain(name.chunks())
            return
        if name == "-":
            yield from _plain(_read(stdin(), None))
            return
        with open(name, "rb") as log:
            if start or end is not None:
                log.seek(start)
                yield from encodings.uniform(_read(log, None if end is None else end - start))
            else:
                yield from _plain(_read(log, None))
    except compression.Refused as problem:
        advice = str(problem).replace("{name}", "FILE" if name == "-" else str(name))
        raise Error(f"{name} {advice}.") from None
    except compression.Damaged as problem:
        raise Error(f"{name} is damaged ({problem}): unpack what can be rescued, and read that.") from None
    except OSError as problem:
        raise Error(
            f"Cannot read {name}: {problem.strerror or problem}. Name a slow log, or - for stdin."
        ) from None


def _plain(found: Iterator[bytes]) -> Iterator[bytes]:
    """Return a slow log as the server wrote it: unpacked, in UTF-8, without an envelope."""
    head, text = compression.peek(encodings.utf8(compression.decompressed(found)), WRAPPED_BYTES)
    if is_bare(head):
        return text
    from aurora_analysis.sources import envelopes  # most logs have none

    return envelopes.unwrapped(text)


WRAPPED_BYTES = 2**18
"""Size of a log's start that shows whether it has an envelope [bytes]."""


def is_bare(head: bytes) -> bool:
    """Return whether each header of a log's start begins its line, so that the log has no envelope for sure."""
    counts = [
        (head.count(header), head.count(b"\n" + header) + head.startswith(header))
        for header in (b"# User@Host: ", b"# Time: ", b"# Query_time: ")
    ]
    is_document = (
        head.startswith((b"@", b'"', b"{", b"["))
        or b"```" in head
        or b"~~~" in head
        or b"p=3D" in head
        or b"\x1b[" in head
    )
    return not is_document and counts[0][0] > 0 and all(whole == at_start for whole, at_start in counts)


def stdin() -> BinaryIO:
    """Return standard input as bytes."""
    if sys.stdin is None:
        raise Error("Standard input is closed: name a file, or send it the log through a pipe.")
    return sys.stdin.buffer


def _read(log: BinaryIO, size: int | None) -> Iterator[bytes]:
    while size is None or size > 0:
        chunk = log.read(CHUNK if size is None else min(CHUNK, size))
        if not chunk:
            return
        if size is not None:
            size -= len(chunk)
        yield chunk


def size(name: Source) -> int | None:
    """Return the size of a log that can be read in parts [bytes]; None for a pipe, S3, or a log in an envelope."""
    if isinstance(name, S3Object) or name == "-" or not os.path.isfile(name):
        return None
    there = os.stat(name)
    return there.st_size if _is_bare_file(name, there.st_size, there.st_mtime_ns) else None


@lru_cache
def _is_bare_file(name: str, *_: int) -> bool:
    """Return whether a file is plain text without an envelope. A command needs it several times."""
    try:
        with open(name, "rb") as log:
            head = log.read(WRAPPED_BYTES)
    except OSError:
        return False
    if compression.is_compressed(head) or encodings.is_recoded(head):
        return False
    if is_bare(head):
        return True
    from aurora_analysis.sources import envelopes

    return not envelopes.is_wrapped(head)


def whole_size(name: Source) -> int | None:
    """Return the size of a log that one process reads as a whole while others read others [bytes]; None if unknown.

    It is that of a compressed or wrapped file, or of an object on S3 that was listed.
    """
    if isinstance(name, S3Object):
        return name.size
    is_file = name != "-" and os.path.isfile(name)
    return os.path.getsize(name) if is_file and size(name) is None else None


def ranges(name: str, count: int) -> list[tuple[int, int]]:
    """Cut a plain file into about equal parts, each beginning at an entry; with its time, if the log has times."""
    total = size(name)
    if total is None or count < 2:
        return [(0, total)] if total is not None else []
    engine, start = recognised(chunks(name, 0, HEAD_BYTES))
    slow_log, head = engines.module(engine or engines.DEFAULT, "slow_log"), b"".join(start)
    boundaries = [each for each in slow_log.BOUNDARIES if each in head][:1] or slow_log.BOUNDARIES
    if not boundaries:
        return [(0, total)]

    def cut(at: int) -> int:
        """Return the first place from `at` on where an entry ends and the next begins, and not a text that looks so."""
        while (at := _boundary(name, at, total, boundaries)) < total:
            before = (CHECKED // 2 * n for n in (1, 2, 3))
            starts = {_boundary(name, at - size, total, boundaries) if size < at else 0 for size in before}
            end = min(total, at + CHECKED)
            behind = account(at, end)
            if all(start >= at or account(start, at) + behind == account(start, end) for start in starts):
                break
        return at

    def account(start: int, end: int) -> Account:
        found: Account = slow_log.account_of(chunks(name, start, end))
        return found

    cuts = {0, total, *(cut(total * n // count) for n in range(1, count))}
    return list(zip(sorted(cuts), sorted(cuts)[1:]))


CHECKED = 2**16
"""Bytes about a cut that are read to see whether it separates two entries. They are read from three places on, because a
place may itself be in a text that looks like entries."""


def _boundary(name: str, at: int, total: int, boundaries: Sequence[bytes]) -> int:
    """Return where the first entry after `at` begins."""
    before = b""
    for chunk in chunks(name, at):
        text = before + chunk
        found = [text.find(boundary) for boundary in boundaries]
        if max(found) >= 0:
            return at - len(before) + min(place for place in found if place >= 0) + 2
        at, before = at + len(chunk), text[-max(map(len, boundaries)) :]
    return total


@dataclass(frozen=True)
class Target:
    """The store's place for a log's executions.

    Attributes
    ----------
    location : str
        The store's folder or s3:// prefix.
    cluster, instance : str
        Names in the store: the cluster, and the instance that wrote the log.
    mode : SqlMode
        The server's sql_mode.
    """

    location: str
    cluster: str
    instance: str
    mode: SqlMode = DEFAULT_MODE

    def identity(self, name: Source) -> str | None:
        """Return what identifies a file as this target reads it; None for a pipe."""
        found = inputs.identity(name)
        mode = f", {self.mode}" if self.mode != DEFAULT_MODE else ""
        return None if found is None else f"{found}{mode}"


def ingest(target: Target, name: Source, batch: int = BATCH) -> Account:
    """Write a log's executions into the store, and then its coverage, which marks the log as complete.

    Executions that the store already has are not written again. Ingesting a log twice, or logs that overlap, gives the
    same table as ingesting each execution once.

    Parameters
    ----------
    target : Target
        Where the executions belong.
    name : str or S3Object
        A file; `-` is standard input. Compression, encoding and envelope are recognised by the content.
    batch : int
        Executions written at once.

    Returns
    -------
    Account
    """
    account, identity = Account(), target.identity(name)
    span: list[int] = []

    def write(tables: Batch) -> None:
        for table, rows in arrow_rows(tables, target).items():
            merge(target, table, rows)
        ended = [*tables.slow_queries["ended_at"], *tables.vacuums.get("time", ()), *span]
        span[:] = [min(ended), max(ended)] if ended else []

    engine = read_batches(name, account, write, instance=target.instance, mode=target.mode, batch=batch)
    cover(name, target, Covered(engine, account, tuple(span), identity))
    return account


def read_batches(
    name: Source,
    account: Account,
    write: Callable[[Batch], None],
    *,
    instance: str | None = None,
    mode: SqlMode = DEFAULT_MODE,
    batch: int = BATCH,
) -> str:
    """Read a log's executions in batches of the store's tables, and return the engine that wrote the log.

    Parameters
    ----------
    name : str or S3Object
        A file; `-` is standard input.
    account : Account
        Filled while the log is read, complete at the end.
    write : callable
        Takes a batch.
    instance : str, optional
        Value of the column `instance`; without one, the column is left out.
    mode : SqlMode
        The server's sql_mode.
    batch : int
        Executions of a batch.

    Raises
    ------
    Error
        If the log cannot be read, or is no slow log.
    """
    found, text = recognised(chunks(name))
    engine = found or engines.DEFAULT

    def checked(tables: Batch) -> None:
        unread.check(engine, account, name)
        write(tables)

    read_text(engine, text, account, checked, (instance, batch, mode))
    unread.check(engine, account, name)
    return engine


def read_text(
    engine: str,
    text: Iterable[bytes],
    account: Account,
    write: Callable[[Batch], None],
    layout: tuple[str | None, int, SqlMode],
) -> None:
    """Read executions in batches of the store's tables.

    Parameters
    ----------
    engine : str
        The engine that wrote the log.
    text : iterable of bytes
        The log or a part of it, in chunks.
    account : Account
        Filled while the log is read, complete at the end.
    write : callable
        Takes a batch.
    layout : tuple
        Value of the column `instance` or None, executions of a batch, and the server's sql_mode.
    """
    slow_log = engines.module(engine, "slow_log")
    instance, batch, mode = layout
    if slow_log.library(mode) is None:
        from aurora_analysis.engines.log_tables import Layout

        logged = slow_log.logged(text, account, mode)
        for tables in slow_log.batches(logged, account, Layout(instance, batch), mode=mode):
            write(tables)
    else:
        slow_log.write_batches(text, account, write, instance=instance, batch=batch, mode=mode)


SOURCE = "slow_log"


def arrow_rows(tables: Batch, target: Target) -> dict[str, arrow.Table]:
    """Return the rows of each table that a batch has rows of.

    Parameters
    ----------
    tables : Batch
    target : Target

    Returns
    -------
    dict of str to arro3.core.Table
    """
    from aurora_analysis.store import delta
    from aurora_analysis.tables import TABLES

    columns = {name: getattr(tables, name) for name in ("statements", "slow_queries", "vacuums", "events")}
    return {
        name: delta.rows(TABLES[name], each, cluster=target.cluster, source=SOURCE)
        for name, each in columns.items()
        if each.get(TABLES[name].time)
    }


def merge(target: Target, table: str, rows: ArrowStreamExportable) -> None:
    """Merge rows into a table of the store.

    Parameters
    ----------
    target : Target
    table : str
    rows : Arrow stream
        In the table's columns.
    """
    from aurora_analysis.store import merging
    from aurora_analysis.tables import TABLES

    spec = TABLES[table]
    if table == "events":  # those of logs may overlap, and are merged; those of AWS replace a window
        spec = dataclasses.replace(
            spec, identity=("cluster", "source", "instance", "time", "category", "message")
        )
    merging.merge(target.location, spec, rows)


class Covered(NamedTuple):
    """Result of reading a log: its engine, account, the first and last time [us since 1970], and the file's identity."""

    engine: str
    account: Account
    span: tuple[int, ...]
    identity: str | None


def cover(name: Source, target: Target, covered: Covered) -> None:
    """Write the coverage of a log, a row for each table that it fills; none if it has no time.

    Parameters
    ----------
    name : str or S3Object
    target : Target
    covered : Covered
    """
    from aurora_analysis.store import delta
    from aurora_analysis.tables import TABLES
    from aurora_analysis.window import Window

    if not covered.span:
        return
    account, source = covered.account, source_of(name)
    window = Window(delta.moment(covered.span[0]), delta.moment(covered.span[1] + 1))
    row = {
        "time": covered.span[0],
        "end": covered.span[1] + 1,
        "instance": target.instance,
        "expected": float(account.bytes),
        "received": float(account.bytes - account.lost_bytes),
        "lost": float(account.lost_bytes),
        "unit": "bytes",
        "note": str(account),
        "identity": covered.identity,
    }
    tables = engines.module(covered.engine, "slow_log").COVERED
    columns = {key: [value] * len(tables) for key, value in row.items()} | {"table": tables}
    rows = delta.rows(TABLES["coverage"], columns, cluster=target.cluster, source=source)
    replaced = delta.Slice(window, target.cluster, source, target.instance)
    delta.replace(target.location, TABLES["coverage"], rows, replaced)


def source_of(name: Source) -> str:
    """Return the source under which coverage lists a log."""
    return f"{SOURCE} {label(name)}"


def is_stored(name: Source, target: Target) -> bool:
    """Return whether the store has this very file completely: its coverage has the file's identity.

    Parameters
    ----------
    name : str or S3Object
    target : Target
    """
    from aurora_analysis.store import delta, opening
    from aurora_analysis.store.causes import one_line
    from aurora_analysis.tables import TABLES

    identity = target.identity(name)
    table = opening.opened(target.location, TABLES["coverage"], target.cluster)
    if identity is None or table is None or "identity" not in {each.name for each in table.schema().fields}:
        return False
    wanted = {"source": source_of(name), "instance": target.instance, "identity": identity}
    where = " AND ".join(f"{column} = {delta.quoted(value)}" for column, value in wanted.items())
    with one_line("read coverage in", target.location):
        return any(batch.num_rows for batch in table.scan(columns=["source"], predicate=where))
