"""Query times, in microseconds: in memory, and beyond a limit as sorted runs in a temporary file."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO

from aurora_analysis.engines.compiled import library

HELD = 2_000_000
"""Maximum number of query times in memory, 8 bytes each; the same again when those on disk are read back."""


def write_run(times: array[int], file: IO[bytes]) -> tuple[int, int]:
    """Write the times, sorted, to the end of the file; return where they begin [bytes] and how many they are."""
    start = file.tell()
    sort(times)
    times.tofile(file)
    return start, len(times)


def at_ranks(
    times: array[int], runs: Sequence[int], ranks: Sequence[int], file: IO[bytes] | None
) -> list[int]:
    """Return the query times at these ranks of `times` and the runs together; rank 0 is the smallest."""
    spans = list(zip(runs[::2], runs[1::2]))
    if file is None or not spans:
        everything = array("q", times)
    elif len(times) + sum(runs[1::2]) > HELD:
        return _merged(times, spans, ranks, file)
    else:
        everything = array("q", times)
        for start, count in spans:
            file.seek(start)
            everything.fromfile(file, count)
    sort(everything)
    return [everything[rank] for rank in ranks]


def _merged(
    times: array[int], spans: Sequence[tuple[int, int]], ranks: Sequence[int], file: IO[bytes]
) -> list[int]:
    """Merge the runs, without having all of them in memory."""
    sort(times)
    merged = heapq.merge(*(_run(file, *span) for span in spans), times)
    found, done = [], 0
    for rank in ranks:
        if rank >= done:
            found.append(next(islice(merged, rank - done, None)))
            done = rank + 1
        else:
            found.append(found[-1])
    return found


def _run(file: IO[bytes], start: int, count: int, block: int = 8192) -> Iterator[int]:
    """Read a sorted run of the file, a block at a time."""
    for done in range(0, count, block):
        file.seek(start + 8 * done)
        times = array("q")
        times.fromfile(file, min(block, count - done))
        yield from times


def sort(times: array[int]) -> None:
    """Sort in place; a million times as Python numbers would take 36 MB."""
    compiled = library()
    if compiled is not None:
        compiled.sort(times)
    elif len(times) < 200_000:
        times[:] = array("q", sorted(times))
    else:
        import numpy as np

        np.frombuffer(times, dtype=np.int64).sort()
