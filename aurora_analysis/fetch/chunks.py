"""Chunks: the units of a fetch, as plain data that another thread, process or machine can run.

A chunk is one source's window of one instance, or of the whole cluster, and is committed as a whole. Its coverage is
written last: a killed fetch loses at most the chunks in flight, and the next fetch requests only what coverage does
not mark as done.

Every source module has the same two functions: `chunks(topology, have, window, now)` plans the chunks that are
missing, and `fetch(chunk, context)` requests the data of one chunk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import pandas as pd

from aurora_analysis.engines.digests import Digests
from aurora_analysis.window import Window

SETTLING_TIME = timedelta(minutes=15)
"""Metrics younger than this may still change: they are fetched, and never marked complete."""

LOG_SETTLING_TIME = timedelta(minutes=60)
"""Log events may arrive this late: younger ones are fetched, and never marked complete."""

Clients = Mapping[str, Any]
"""boto3 clients by service name: pi, cloudwatch, logs, rds."""

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """Rows that a chunk fetched for one table, and their coverage.

    Attributes
    ----------
    table : str
        The table that the rows belong to.
    frame : DataFrame, optional
        The rows; None where there are none to write.
    expected, received, lost : float
        Counts in `unit`. `received` is None if the request failed: the next fetch repeats it. Zero is an answer.
    unit : str
        Unit of the counts. An empty unit marks a partial batch; a separate part carries the table's totals.
    note : str
        A line for the coverage table.
    instance : str, optional
        The instance that the rows and counts belong to; None for the whole cluster.
    """

    table: str
    frame: pd.DataFrame | None = None
    expected: float = 0.0
    received: float | None = 0.0
    lost: float = 0.0
    unit: str = "points"
    note: str = ""
    instance: str | None = None


@dataclass(frozen=True)
class Unavailable:
    """Arguments of a chunk that cannot be fetched, with the line that explains why and what to do."""

    reason: str


@dataclass(frozen=True)
class NoLongerKept:
    """Arguments of a chunk whose data the service has deleted: its coverage is known without a request."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Chunk:
    """One source's window of one instance or of the cluster: what is fetched and committed as a whole.

    A chunk is data only, so that it can be pickled and run in another process.

    Attributes
    ----------
    source : str
        Name of the source, as the store records it.
    service : str
        boto3's name of the service whose rate the chunk's calls count against.
    instance : str or None
        The instance; None for the whole cluster.
    window : Window
        The time that the chunk covers.
    arguments : Unavailable, NoLongerKept, or a frozen dataclass of the source
        What to fetch. The type of the arguments is the chunk's kind.
    calls : int
        Calls of the service that the chunk will make at most, for the forecast.
    tables : tuple of str
        Tables whose coverage records a failure of the chunk.
    settling_time : timedelta
        Data younger than this are not marked complete.
    cost : float
        Billed units, for the forecast: CloudWatch metrics requested, Performance Insights calls.
    """

    source: str
    service: str
    instance: str | None
    window: Window
    arguments: object
    calls: int = 0
    tables: tuple[str, ...] = ("metrics",)
    settling_time: timedelta = SETTLING_TIME
    cost: float = 0.0


@dataclass
class Context:
    """State that the chunks of one run share within a process; its threads use it at once.

    Attributes
    ----------
    clients : mapping of str to boto3 client
        One client per service.
    digests : Digests
        Digests of the statements that Performance Insights knows by ids of its own; chunks add to them.
    examples : bool
        Whether to keep one execution of each statement with its literals.
    """

    clients: Clients
    digests: Digests = field(default_factory=Digests)
    examples: bool = False
    _answers: dict[str, object] = field(default_factory=dict, repr=False)
    _locks: dict[str, threading.Lock] = field(default_factory=dict, repr=False)

    def once(self, key: str, request: Callable[[], T]) -> T:
        """Return the answer to a request that only the first chunk to need it makes. A failure is not kept."""
        with self._locks.setdefault(key, threading.Lock()):
            if key not in self._answers:
                self._answers[key] = request()
            return cast("T", self._answers[key])


@dataclass(frozen=True, eq=False)
class Have:
    """Data of a cluster that the store already has.

    Attributes
    ----------
    coverage : DataFrame
        Table `coverage` of the cluster.
    """

    coverage: pd.DataFrame

    def missing(self, source: str, instance: str | None, window: Window) -> list[Window]:
        """Return the parts of a window that coverage does not mark as done for every table, in order."""
        rows = self.coverage[self.coverage["source"] == source]
        rows = rows[rows["instance"].isna() if instance is None else rows["instance"] == instance]
        failed = set(rows[rows["received"].isna()][["time", "end"]].itertuples(index=False, name=None))
        spans = sorted(set(rows[["time", "end"]].itertuples(index=False, name=None)) - failed)
        return _gaps([(start.to_pydatetime(), end.to_pydatetime()) for start, end in spans], window)


def _gaps(spans: Sequence[tuple[datetime, datetime]], window: Window) -> list[Window]:
    gaps, reached = [], window.start
    for start, end in spans:
        if start > reached:
            gaps.append((reached, min(start, window.end)))
        reached = max(reached, end)
        if reached >= window.end:
            break
    gaps.append((reached, window.end))
    return [Window(start, end) for start, end in gaps if start < end]


# Windows


def by_day(windows: Iterable[Window]) -> list[Window]:
    """Cut windows at each UTC midnight."""
    return [piece for window in windows for piece in split(window, timedelta(days=1))]


def split(window: Window, step: timedelta) -> list[Window]:
    """Cut a window into pieces of at most `step`, at whole steps since midnight."""
    midnight = window.start.replace(hour=0, minute=0, second=0, microsecond=0)
    cut = midnight + step * ((window.start - midnight) // step + 1)
    pieces, start = [], window.start
    while start < window.end:
        pieces.append(Window(start, min(cut, window.end)))
        start, cut = cut, cut + step
    return pieces


def united(windows: Iterable[Window]) -> list[Window]:
    """Merge windows that overlap or touch."""
    merged: list[Window] = []
    for window in sorted(windows, key=lambda each: each.start):
        if merged and window.start <= merged[-1].end:
            merged[-1] = Window(merged[-1].start, max(merged[-1].end, window.end))
        else:
            merged.append(window)
    return merged


# Coverage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COVERAGE = ["time", "end", "instance", "table", "expected", "received", "lost", "unit", "note"]


def coverage_rows(parts: Iterable[Part], window: Window, complete_until: datetime) -> pd.DataFrame:
    """Return the coverage rows of a window's parts; nothing after `complete_until` is marked complete.

    The end is rounded down to five minutes: the volume's metrics have that period, and are requested whole.
    """
    whole = complete_until - (complete_until - _EPOCH) % timedelta(minutes=5)
    start, end = window.start, min(window.end, whole)
    rows = [_coverage_row(part, start, end) for part in parts if part.unit] if start < end else []
    frame = pd.DataFrame(rows, columns=COVERAGE)
    kinds = dict.fromkeys(("time", "end"), "datetime64[us, UTC]") | dict.fromkeys(
        ("expected", "received", "lost"), "float64"
    )
    return frame.astype(kinds)


def _coverage_row(part: Part, start: datetime, end: datetime) -> list[object]:
    counts = [part.expected, part.received, None if part.received is None else part.lost]
    return [start, end, part.instance, part.table, *counts, part.unit, part.note]
