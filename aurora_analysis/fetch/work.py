"""The work of one chunk: a function that any executor can run. It fetches, writes nothing, and returns what it fetched.

The caller commits. A worker is a thread, another process or another machine: what travels is plain data. A process
makes its own clients, which must keep to its share of each service's rate: see `rates`.
"""

from __future__ import annotations

import errno
import pickle
import threading
import uuid
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

import pandas as pd

from aurora_analysis.engines.digests import Digests
from aurora_analysis.errors import NotEnabled
from aurora_analysis.fetch.chunks import Chunk, Clients, Context, NoLongerKept, Part, Unavailable
from aurora_analysis.fetch.plan import SOURCES
from aurora_analysis.fetch.rates import Leases
from aurora_analysis.sources.aws import errors


@dataclass(frozen=True)
class Access:
    """The workers' way to the services, and the parts of the store that they need. Can be pickled if `connect` can.

    Attributes
    ----------
    connect : callable
        Returns the clients. Called once in each process.
    digests : Digests
        Digests of the statements that the store knows.
    examples : bool
        Whether to keep one execution of each statement with its literals.
    leases : Leases, optional
        The account's rates, if the workers are those of a Dask cluster.
    key : str
        Identifies the run, whose chunks share clients and digests within a process.
    """

    connect: Callable[[], Clients]
    digests: Digests = field(default_factory=Digests)
    examples: bool = False
    leases: Leases | None = None
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class Packed:
    """A part whose frame is compressed: a chunk's frames wait in a worker and on their way until all are fetched."""

    part: Part
    frame: bytes

    def unpacked(self) -> Part:
        """Return the part with its frame."""
        frame: pd.DataFrame = pickle.loads(zlib.decompress(self.frame))
        return replace(self.part, frame=frame)


@dataclass(frozen=True)
class Fetched:
    """Result of a chunk's work.

    Attributes
    ----------
    parts : tuple of Part or Packed
        The parts; empty if the work failed.
    failure : str
        One line if it failed.
    refusal : str
        "all" if any other chunk would fail in the same way, "chunk" if another one of the same source and instance
        would, else empty.
    calls : int
        Calls made under a lease; those of local workers are counted by the clients' own buckets.
    """

    parts: tuple[Part | Packed, ...] = ()
    failure: str = ""
    refusal: Literal["", "chunk", "all"] = ""
    calls: int = 0


def work(chunk: Chunk, access: Access) -> Fetched:
    """Fetch a chunk. Whatever fails is returned as one line, because it must not stop the other chunks.

    Raises
    ------
    OSError
        If a disk is full, which stops the fetch.
    """
    if access.leases is None:
        return _fetched(chunk, access)
    with access.leases.held(chunk.service) as rate:
        fetched = _fetched(chunk, access)
    return replace(fetched, calls=rate.taken)


def _fetched(chunk: Chunk, access: Access) -> Fetched:
    try:
        return Fetched(tuple(_packed(part) for part in fetch_chunk(chunk, _context(access))))
    except Exception as problem:  # of any source, and of whatever a service answers
        if is_full_disk(problem):
            raise
        return failed(problem)


def is_full_disk(problem: BaseException | None) -> bool:
    """Return whether an error says that no space is left on a disk."""
    return isinstance(problem, OSError) and problem.errno == errno.ENOSPC


def failed(problem: BaseException) -> Fetched:
    """Return what a failure means for the chunk, and for those that would fail in the same way."""
    line = errors.explained(problem)
    if errors.is_credentials(problem):
        return Fetched(failure=line, refusal="all")
    is_refused = errors.code(problem) in errors.DENIED or isinstance(problem, NotEnabled)
    return Fetched(failure=line, refusal="chunk" if is_refused else "")


def fetch_chunk(chunk: Chunk, context: Context) -> Iterable[Part]:
    """Fetch the parts of one chunk from its source.

    Raises
    ------
    NotEnabled
        If the chunk is known to be unavailable.
    """
    match chunk.arguments:
        case Unavailable(reason):
            raise NotEnabled(reason)
        case NoLongerKept(parts):
            return parts
        case _:
            return SOURCES[chunk.source].fetch(chunk, context)


def _packed(part: Part) -> Part | Packed:
    """Compress a partial batch: a day's slow log has many, a tenth of the size when compressed."""
    if part.frame is None or part.unit:
        return part
    return Packed(replace(part, frame=None), zlib.compress(pickle.dumps(part.frame), 1))


_contexts: dict[str, Context] = {}
_connecting = threading.Lock()


def _context(access: Access) -> Context:
    """Return the context of a run in this process; that of an earlier run is dropped."""
    with _connecting:
        if access.key not in _contexts:
            context = Context(access.connect(), access.digests, access.examples)
            _contexts.clear()
            _contexts[access.key] = context
        return _contexts[access.key]
