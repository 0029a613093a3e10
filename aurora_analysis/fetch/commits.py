"""Commit fetched chunks in groups: one commit for each table of a group, then one for the coverage of its chunks.

A group is written when it has `GROUPED` chunks or has waited `WAIT_S`. A fetch that is killed loses at most one group,
which has no coverage and is fetched again.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

import pandas as pd

from aurora_analysis.errors import Lost
from aurora_analysis.fetch.chunks import Chunk, Part, coverage_rows
from aurora_analysis.fetch.work import Fetched, Packed, failed, is_full_disk
from aurora_analysis.store import Store
from aurora_analysis.store.store import Write
from aurora_analysis.tables import TABLES

GROUPED = 16
"""Chunks that one group of commits writes: a cluster-week of five instances has 119."""

WAIT_S = 10.0
"""A group that is not full is written after this time [s]."""

MERGED_BYTES = 2**22
"""Compressed rows of logs that are merged in one commit [bytes]."""


@dataclass(frozen=True)
class Outcome:
    """A finished chunk: the parts that its coverage records, one line if it failed, and its calls under a lease."""

    chunk: Chunk
    parts: tuple[Part, ...] = ()
    failure: str = ""
    calls: int = 0


@dataclass(frozen=True)
class Target:
    """The store to which the chunks of a run are committed.

    Attributes
    ----------
    store : Store
        The store to write into.
    cluster : str
        The cluster's name in the store.
    now : datetime
        The present: data younger than a chunk's settling time are not marked complete.
    """

    store: Store
    cluster: str
    now: datetime


@dataclass
class Group:
    """Fetched chunks that wait for their commit.

    Attributes
    ----------
    target : Target
        Where they are committed.
    """

    target: Target
    waiting: list[tuple[Chunk, Fetched]] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    def add(self, chunk: Chunk, fetched: Fetched) -> list[Outcome]:
        """Add a chunk, and commit the group if it is full or has waited long; return the outcomes of what was committed."""
        self.waiting.append((chunk, fetched))
        is_due = len(self.waiting) >= GROUPED or time.monotonic() - self.since > WAIT_S
        return self.commit() if is_due else []

    def commit(self) -> list[Outcome]:
        """Commit what waits, and return the outcomes, in the order in which the chunks were added."""
        waiting, self.waiting, self.since = self.waiting, [], time.monotonic()
        outcomes = _together(waiting, self.target)
        _write_coverage(outcomes, self.target)
        return outcomes


def _together(waiting: list[tuple[Chunk, Fetched]], target: Target) -> list[Outcome]:
    """Commit chunks together; one by one if that fails, so that what one cannot write does not stop the others."""
    try:
        return _committed(waiting, target)
    except Exception as problem:
        if is_full_disk(problem) or isinstance(problem, Lost):
            raise
        if len(waiting) > 1:
            return [outcome for one in waiting for outcome in _together([one], target)]
        return [_failed(waiting[0][0], failed(problem).failure)]


def _committed(waiting: list[tuple[Chunk, Fetched]], target: Target) -> list[Outcome]:
    outcomes, writes = [], defaultdict(list)
    logs: list[tuple[Chunk, Part | Packed]] = []
    for chunk, fetched in waiting:
        if fetched.failure:
            outcomes.append(replace(_failed(chunk, fetched.failure), calls=fetched.calls))
            continue
        for part in fetched.parts:
            if TABLES[_bare(part).table].identity:
                logs.append((chunk, part))
            elif (rows := _unpacked(part).frame) is not None:
                instance = _bare(part).instance or chunk.instance
                writes[_bare(part).table].append(Write(rows, chunk.window, chunk.source, instance))
        parts = tuple(replace(_bare(part), frame=None) for part in fetched.parts)
        outcomes.append(Outcome(chunk, parts, calls=fetched.calls))
    for (table, source), frame in _merged(logs):
        target.store.merge(table, frame, cluster=target.cluster, source=source)
    for table, slices in writes.items():
        target.store.write_all(table, slices, cluster=target.cluster)
    return outcomes


def _merged(logs: Iterable[tuple[Chunk, Part | Packed]]) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Yield the rows to merge, by table and source, in frames of a bounded size."""
    by_table: dict[tuple[str, str], list[Part | Packed]] = defaultdict(list)
    for chunk, part in logs:
        by_table[(_bare(part).table, chunk.source)].append(part)
    for key, parts in by_table.items():
        together: list[pd.DataFrame] = []
        size = 0
        for part in parts:
            frame = _unpacked(part).frame
            if frame is not None:
                together.append(frame)
                size += len(part.frame) if isinstance(part, Packed) else MERGED_BYTES
            if size >= MERGED_BYTES:
                yield key, pd.concat(together, ignore_index=True)
                together, size = [], 0
        if together:
            yield key, pd.concat(together, ignore_index=True)


def _bare(part: Part | Packed) -> Part:
    return part.part if isinstance(part, Packed) else part


def _unpacked(part: Part | Packed) -> Part:
    return part.unpacked() if isinstance(part, Packed) else part


def _failed(chunk: Chunk, line: str) -> Outcome:
    parts = (Part(table, received=None, note=line, instance=chunk.instance) for table in chunk.tables)
    return Outcome(chunk, tuple(parts), line)


def _write_coverage(outcomes: list[Outcome], target: Target) -> None:
    """Write the coverage of chunks, which marks them as done."""
    rows = [
        Write(
            coverage_rows(outcome.parts, outcome.chunk.window, target.now - outcome.chunk.settling_time),
            outcome.chunk.window,
            outcome.chunk.source,
            outcome.chunk.instance,
        )
        for outcome in outcomes
    ]
    target.store.write_all("coverage", rows, cluster=target.cluster)
