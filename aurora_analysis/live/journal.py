"""Keep samples on disk until the store has them, so that a watch that is killed loses only the sample in flight.

A commit of the store costs too much for every sample. Each sample's rows are therefore appended to a file of the run, in Arrow's
stream format, without any text of a query; the file is emptied once they are in the store. The next watch of the same cluster
and store writes what a killed one left.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pandas as pd
import pyarrow as pa

SUFFIX = ".samples"
HEAD = struct.Struct(">Qd?I")
"""Before the rows of a sample: the fields of `Entry`, and their length [bytes]."""

PART = struct.Struct(">II")
"""Before a table: the length of its name, and of its rows [bytes]."""


class Entry(NamedTuple):
    """One sample: its time [whole s since 1970], the interval [s], whether the writer answered, and its rows by table."""

    time: int
    every_s: float
    has_writer: bool
    tables: Mapping[str, pd.DataFrame]


class Journal:
    """The file of one run in a folder that all runs of a cluster share.

    Parameters
    ----------
    folder : pathlib.Path
        Created with the first sample, readable by its owner only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = self._path = folder
        self._file: BinaryIO | None = None

    def append(self, one: Entry) -> None:
        """Add a sample; raises `OSError` if the disk is full."""
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path = self._folder / f"{one.time}-{os.getpid()}{SUFFIX}"
            self._file = _opened(self._path)
        rows = b"".join(_part(name, frame) for name, frame in one.tables.items())
        self._file.write(HEAD.pack(one.time, one.every_s, one.has_writer, len(rows)) + rows)
        self._file.flush()

    def clear(self) -> None:
        """Forget the samples: the store has them."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.seek(0)

    def close(self) -> None:
        """Remove the file if it is empty."""
        if self._file is None:
            return
        if not self._file.tell():
            self._path.unlink(missing_ok=True)
            with suppress(OSError):
                self._folder.rmdir()
        self._file.close()
        self._file = None

    def left(self) -> Iterator[tuple[Path, list[Entry]]]:
        """Yield the files that killed runs left, with their samples, oldest first; those of running ones are locked."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                with _opened(path) as file:
                    file.seek(0)
                    yield path, list(_entries(file.read()))
            except OSError:
                continue


def _opened(path: Path) -> BinaryIO:
    """Open a file of samples with the lock that its run holds, where the system has such locks."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    if os.name == "posix":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise
    return file


def _part(name: str, frame: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    rows: bytes = sink.getvalue().to_pybytes()
    return PART.pack(len(name), len(rows)) + name.encode() + rows


def _entries(content: bytes) -> Iterator[Entry]:
    """The samples of a file; the last one is left out if it is cut short."""
    at = 0
    while at + HEAD.size <= len(content):
        time, every_s, has_writer, length = HEAD.unpack_from(content, at)
        at += HEAD.size
        if at + length > len(content):
            return
        yield Entry(time, every_s, has_writer, dict(_parts(content[at : at + length])))
        at += length


def _parts(content: bytes) -> Iterator[tuple[str, pd.DataFrame]]:
    at = 0
    while at < len(content):
        named, length = PART.unpack_from(content, at)
        at += PART.size
        name, rows = content[at : at + named].decode(), content[at + named : at + named + length]
        at += named + length
        yield name, pa.ipc.open_stream(rows).read_pandas()
