"""Logs into the store by several processes: workers read parts of files, and this process writes them in order.

A part is a compressed file or an object, or some megabytes of a plain file that begin at an entry. Its rows come back as
bytes. They are merged in the order of the log: rows that follow those of the store are appended, which costs a quarter of a
merge, and what an entry takes over from the log before it is known by then.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from aurora_analysis import engines
from aurora_analysis.engines.log_events import Account
from aurora_analysis.sources import log_files, unread
from aurora_analysis.sources.inputs import S3Object, Source

if TYPE_CHECKING:
    import pyarrow
    from arro3.core.types import ArrowStreamExportable

    from aurora_analysis.engines.log_tables import Batch
    from aurora_analysis.executors import Pool
    from aurora_analysis.sources.log_files import Target

PART = 32 * 2**20
"""Size of a part of a plain file [bytes]."""

LARGEST_WHOLE = 256 * 2**20
"""Size up to which a worker reads a compressed file or an object [bytes]: its rows are held in memory."""

ROWS = 200_000
"""Executions that are written at once."""

HORIZON_US = 10_000_000
"""Executions that are equal in all else are numbered across parts within this time [us]."""


class Part(NamedTuple):
    """A log, and where a part of it begins and ends [bytes]; the end of a log that is read whole is None."""

    source: Source
    start: int = 0
    end: int | None = None


@dataclass(frozen=True)
class Parsed:
    """Result of a worker that read a part.

    Attributes
    ----------
    engine : str
        The engine that wrote the log.
    account : Account
        The account of the part's bytes.
    batches : tuple of dict
        Rows of each batch by table, as compressed Arrow streams.
    """

    engine: str
    account: Account
    batches: tuple[dict[str, bytes], ...]


def parts(source: Source) -> list[Part]:
    """Return the parts of a log that workers can read; none if this process has to read it.

    Parameters
    ----------
    source : str or S3Object

    Returns
    -------
    list of Part
    """
    if isinstance(source, S3Object):
        return [Part(source)] if (source.size or 0) <= LARGEST_WHOLE else []
    size, path = log_files.size(source), os.path.abspath(source)
    if size:
        ranges = log_files.ranges(source, math.ceil(size / PART))
        return [Part(path, start, end) for start, end in ranges]
    whole = log_files.whole_size(source)
    return [Part(path)] if whole and whole <= LARGEST_WHOLE else []


def parsed(part: Part, target: Target) -> Parsed:
    """Read a part of a log; what it takes over from the log before it is left open.

    Parameters
    ----------
    part : Part
    target : Target

    Returns
    -------
    Parsed
    """
    account, batches = Account(), list[dict[str, bytes]]()

    def keep(tables: Batch) -> None:
        rows = log_files.arrow_rows(tables, target)
        batches.append({name: _packed(each) for name, each in rows.items()})

    found, text = log_files.recognised(log_files.chunks(*part))
    engine, layout = found or engines.DEFAULT, (target.instance, ROWS, target.mode)
    if part.start:
        preface = [engines.module(engine, "slow_log").PREFACE]
        counted = Account()
        log_files.read_text(engine, preface, counted, lambda _: None, layout)
        account = Account(**{name: -count for name, count in vars(counted).items()})
        text = chain(preface, text)
    log_files.read_text(engine, text, account, keep, layout)
    return Parsed(engine, account, tuple(batches))


def ingest(sources: Iterable[Source], target: Target, pool: Pool) -> Iterator[tuple[Source, Account]]:
    """Write logs into the store, and yield each one's account once its coverage marks it as complete.

    Parameters
    ----------
    sources : iterable of str or S3Object
        The logs; standard input, and what is too large for a worker, are read by this process.
    target : Target
        Where the executions belong.
    pool : Pool
        Its workers read; this process writes.

    Yields
    ------
    source : str or S3Object
    account : Account
    """
    waiting: deque[tuple[_Log, Future[Parsed], bool]] = deque()
    for source in sources:
        cut = parts(source)
        if not cut:
            yield from _finished(waiting, target, 0)
            yield source, log_files.ingest(target, source)
            continue
        log = _Log(source, target.identity(source))
        for part in cut:
            waiting.append((log, pool.executor.submit(parsed, part, target), part is cut[-1]))
            yield from _finished(waiting, target, AHEAD * pool.workers)
    yield from _finished(waiting, target, 0)


AHEAD = 2
"""Parts that are read, or wait to be written, for each worker."""


def _finished(
    waiting: deque[tuple[_Log, Future[Parsed], bool]], target: Target, most: int
) -> Iterator[tuple[Source, Account]]:
    """Write the parts that wait, in their order, until at most so many are left; yield the logs that are complete."""
    while len(waiting) > most:
        log, part, is_last = waiting.popleft()
        log.write(part.result(), target)
        if is_last:
            unread.check(log.engine, log.account, log.source)
            covered = log_files.Covered(log.engine, log.account, log.span, log.identity)
            log_files.cover(log.source, target, covered)
            yield log.source, log.account


Execution = tuple[int, int, float, float, str]
"""Identity of executions, except for their number: end [us], session, two durations [s], digest."""


@dataclass
class _Log:
    """Rows of a log written so far, and the state that the next part takes over.

    Attributes
    ----------
    source, identity
        The log, and what identifies its file.
    engine, account, span
        The engine, the account of the parts, and the first and last time [us since 1970].
    database, named_by
        The latest database, and the session that named it.
    numbers
        Number of equal executions in the last `HORIZON_US`.
    """

    source: Source
    identity: str | None
    engine: str = engines.DEFAULT
    account: Account = field(default_factory=Account)
    span: tuple[int, ...] = ()
    database: str | None = None
    named_by: int | None = None
    numbers: dict[Execution, int] = field(default_factory=dict)

    def write(self, part: Parsed, target: Target) -> None:
        """Merge the rows of the next part into the store."""
        is_first = not self.account.bytes
        self.engine, self.account = part.engine, self.account + part.account
        numbers = dict(self.numbers)
        for packed in part.batches:
            for table, stream in packed.items():
                rows = _unpacked(stream)
                if table == "slow_queries":
                    rows = rows if is_first else self._numbered(self._with_database(rows), numbers)
                    self._follow(rows)
                if table != "statements":
                    times = _micros(rows["ended_at" if table == "slow_queries" else "time"])
                    self.span = min((*self.span, *times)), max((*self.span, *times))
                log_files.merge(target, table, rows)

    def _with_database(self, rows: pyarrow.Table) -> pyarrow.Table:
        """Name the database of executions that take it over from an earlier part."""
        import pyarrow
        import pyarrow.compute as pc

        name = engines.module(self.engine, "slow_log").INHERITED
        open_ = pc.fill_null(pc.equal(rows["database"], name), False)
        if not pc.any(open_).as_py():
            return rows
        database = pc.if_else(open_, pyarrow.scalar(self.database, pyarrow.string()), rows["database"])
        if self.database is None or self.named_by is None:
            is_inferred = pyarrow.scalar(self.database is not None)
        else:
            is_inferred = pc.not_equal(rows["thread_id"], self.named_by)
        is_inferred = pc.if_else(open_, is_inferred, rows["database_is_inferred"])
        return _with(_with(rows, "database", database), "database_is_inferred", is_inferred)

    def _numbered(self, rows: pyarrow.Table, numbers: dict[Execution, int]) -> pyarrow.Table:
        """Number executions on from equal ones of earlier parts."""
        import pyarrow

        last = max((ended for ended, *_ in numbers), default=0)
        early = [place for place, us in enumerate(_micros(rows["ended_at"])) if us <= last]
        if not early:
            return rows
        ordinals = rows["ordinal"].to_pylist()
        for place, execution in zip(early, _executions(rows.take(early))):
            ordinals[place] += numbers.get(execution, 0)
        return _with(rows, "ordinal", pyarrow.array(ordinals, pyarrow.int64()))

    def _follow(self, rows: pyarrow.Table) -> None:
        """Keep what the next part takes over."""
        ended = _micros(rows["ended_at"])
        since = max(ended) - HORIZON_US
        late = [place for place, us in enumerate(ended) if us >= since]
        kept = {execution: count for execution, count in self.numbers.items() if execution[0] >= since}
        tail = rows.take(late)
        for execution, ordinal in zip(_executions(tail), tail["ordinal"].to_pylist()):
            kept[execution] = max(kept.get(execution, 0), ordinal + 1)
        self.numbers = kept
        before, self.database = self.database, rows["database"][-1].as_py()
        named = [
            place for place, inferred in enumerate(rows["database_is_inferred"].to_pylist()) if not inferred
        ]
        if named and rows["database"][named[-1]].as_py() == self.database:
            self.named_by = rows["thread_id"][named[-1]].as_py() or None
        elif before != self.database:
            self.named_by = None


def _executions(rows: pyarrow.Table) -> Iterator[Execution]:
    columns = (rows[name].to_pylist() for name in ("thread_id", "query_time_s", "lock_time_s", "digest"))
    return zip(_micros(rows["ended_at"]), *columns)


def _micros(times: pyarrow.ChunkedArray) -> Sequence[int]:
    """Return times in microseconds since 1970."""
    values: list[int] = times.cast("int64").to_pylist()
    return values


def _with(rows: pyarrow.Table, name: str, values: pyarrow.ChunkedArray) -> pyarrow.Table:
    return rows.set_column(rows.column_names.index(name), rows.schema.field(name), values)


def _packed(rows: ArrowStreamExportable) -> bytes:
    """Return rows as a compressed Arrow stream: a tenth of the size, because names and digests repeat."""
    import pyarrow

    table, sink = pyarrow.table(rows), pyarrow.BufferOutputStream()
    options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
    with pyarrow.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _unpacked(stream: bytes) -> pyarrow.Table:
    import pyarrow

    return pyarrow.ipc.open_stream(stream).read_all()
