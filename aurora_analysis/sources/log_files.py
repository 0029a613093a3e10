"""Read logs from local files and standard input, in whatever form they come; write them into a store."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from aurora_analysis import engines
from aurora_analysis.engines.log_events import Account
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.errors import Error
from aurora_analysis.sources import compression, encodings
from aurora_analysis.sources.inputs import S3Object, Source, label

if TYPE_CHECKING:
    from aurora_analysis.engines.log_tables import Batch, Columns

CHUNK = 120 * 2**10
"""Size of a chunk [bytes]: small enough for a processor's cache, and for memory that malloc does not give back."""

BATCH = 20_000
"""Executions written into the store at once: the merge holds several copies of them."""

HEAD_BYTES = 2**16
"""Size of a log's start that determines its engine [bytes]."""


def recognised(chunks: Iterable[bytes]) -> tuple[str, Iterator[bytes]]:
    """Return the engine that wrote a log, and all its chunks again."""
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
    is_document = head.startswith((b"@", b'"', b"{", b"["))
    return not is_document and counts[0][0] > 0 and all(whole == at_start for whole, at_start in counts)


def stdin() -> BinaryIO:
    """Return standard input as bytes."""
    if sys.stdin is None:
        raise Error("Standard input is closed: name a file, or send it the log through a pipe.")
    return sys.stdin.buffer


MOSTLY_CUT, FEWEST = 0.9, 3
"""A log with at least `FEWEST` entries, of which this share ends early, is not as the server wrote it."""


def check(account: Account, *names: Source) -> None:
    """Raise an error if the files have text but no entry of a slow log, or hardly one that is whole."""
    files = ", ".join(map(str, names[:3])) + f" and {len(names) - 3} more" * (len(names) > 3)
    if account.unknown and not account.events:
        raise Error(
            f"No entry of {files} can be read: the lines after '# User@Host: ' are not those that MySQL, Percona Server, "
            "MariaDB and Aurora write, or their Query_time is impossible. Other servers, such as TiDB, are not supported."
        )
    if account.lost and not account.events:
        raise Error(
            f"No entry of a slow log in {files}: no line begins with '# User@Host: '. Is this a slow log?"
        )
    if account.events >= FEWEST and account.unmarked >= MOSTLY_CUT * account.events:
        raise Error(
            f"{account.unmarked:,} of {account.events:,} entries of {files} end within their statement: this is not a "
            "slow log as the server wrote it. Get the log again, without what another tool added or removed."
        )


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
    if isinstance(name, S3Object) or name == "-" or not Path(name).is_file():
        return None
    try:
        with open(name, "rb") as log:
            head = log.read(WRAPPED_BYTES)
    except OSError:
        return None
    if compression.is_compressed(head) or encodings.is_recoded(head):
        return None
    if not is_bare(head):
        from aurora_analysis.sources import envelopes

        if envelopes.is_wrapped(head):
            return None
    return Path(name).stat().st_size


def ranges(name: str, count: int) -> list[tuple[int, int]]:
    """Cut a plain file into about equal parts, each beginning at an entry."""
    total = size(name)
    if total is None or count < 2:
        return [(0, total)] if total is not None else []
    engine, _ = recognised(chunks(name, 0, HEAD_BYTES))
    boundaries = engines.module(engine, "slow_log").BOUNDARIES
    cuts = {0, total, *(_boundary(name, total * n // count, total, boundaries) for n in range(1, count))}
    return list(zip(sorted(cuts), sorted(cuts)[1:]))


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


def ingest(
    name: Source,
    location: str,
    *,
    cluster: str,
    instance: str,
    mode: SqlMode = DEFAULT_MODE,
    batch: int = BATCH,
) -> Account:
    """Write a log's executions into the store, and then its coverage, which marks the log as complete.

    Executions that the store already has are not written again. Ingesting a log twice, or logs that overlap, gives the
    same table as ingesting each execution once.

    Parameters
    ----------
    name : str or S3Object
        A file; `-` is standard input. Compression, encoding and envelope are recognised by the content.
    location : str
        The store's folder or s3:// prefix.
    cluster, instance : str
        Names in the store: the cluster, and the instance that wrote the log.
    mode : SqlMode
        The server's sql_mode.
    batch : int
        Executions written at once.
    """
    account = Account()
    span: list[int] = []
    engine, text = recognised(chunks(name))
    slow_log = engines.module(engine, "slow_log")

    def write(tables: Batch) -> None:
        check(account, name)
        _merge(location, "statements", tables.statements, cluster)
        _merge(location, "slow_queries", tables.slow_queries, cluster)
        ended = tables.slow_queries["ended_at"]
        span[:] = [min([*ended, *span[:1]]), max([*ended, *span[1:]])]

    if slow_log.library(mode) is None:
        from aurora_analysis.engines.log_tables import Layout

        entries = slow_log.entries(text, account, mode)
        for tables in slow_log.batches(entries, account, Layout(instance, batch), mode=mode):
            write(tables)
    else:
        slow_log.write_batches(text, account, write, instance=instance, batch=batch, mode=mode)
    check(account, name)
    if span:
        _cover(location, label(name), account, span, cluster=cluster, instance=instance)
    return account


SOURCE = "slow_log"


def _merge(location: str, table: str, columns: Columns, cluster: str) -> None:
    from aurora_analysis.store import delta, merging
    from aurora_analysis.tables import TABLES

    rows = delta.rows(TABLES[table], columns, cluster=cluster, source=SOURCE)
    merging.merge(location, TABLES[table], rows)


def _cover(
    location: str, name: str, account: Account, span: list[int], *, cluster: str, instance: str
) -> None:
    from aurora_analysis.store import delta
    from aurora_analysis.tables import TABLES
    from aurora_analysis.window import Window

    first, end = span[0], span[1] + 1
    row: Columns = {
        "time": [first],
        "end": [end],
        "instance": [instance],
        "table": ["slow_queries"],
        "expected": [float(account.bytes)],
        "received": [float(account.bytes - account.lost_bytes)],
        "lost": [float(account.lost_bytes)],
        "unit": ["bytes"],
        "note": [str(account)],
    }
    source = f"{SOURCE} {name}"
    window = Window(delta.moment(first), delta.moment(end))
    rows = delta.rows(TABLES["coverage"], row, cluster=cluster, source=source)
    delta.replace(location, TABLES["coverage"], rows, delta.Slice(window, cluster, source, instance))
