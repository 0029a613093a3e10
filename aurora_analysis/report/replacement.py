"""Replace a report's folder at once.

A report is built in a hidden folder beside its destination and moved there at the end, so that a reader sees the
earlier report or the new one, never half of one. If the report is killed, a small process beside it removes the hidden
folder: see `watcher`. If that process is killed too, as in a container that ends, the next report to the same place
removes the folder: see `abandoned`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path

from aurora_analysis.errors import Error
from aurora_analysis.report import abandoned, records, watcher

ATTEMPTS = 20
"""Number of attempts to move a report into place while other runs write the same folder."""


def own_folder(output: Path) -> Path:
    """Return the report's folder: new, empty, or an earlier report's; refuse to replace anything else."""
    output = output.resolve()
    if output.is_dir() and any(output.iterdir()):
        try:
            records.recorded(output)
        except Error:
            raise Error(f"{output} contains something other than a report. Choose another folder.") from None
    elif output.exists() and not output.is_dir():
        raise Error(f"{output} is a file. Choose a folder.")
    return output


@contextmanager
def built(output: Path, *, archived: bool = False) -> Iterator[Path]:
    """Open a folder that replaces `output` on success and is removed on failure.

    Parameters
    ----------
    output
        The report's folder.
    archived
        Whether the folder above it is an archive: all hidden folders of killed reports there are removed then.
    """
    with _watched(output):
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            abandoned.remove(output.parent, "" if archived else output.name)
            beside, lock = _hidden(output)
        except OSError as problem:
            raise Error(
                f"Cannot write to {output.parent}: {problem.strerror}. Choose another --output."
            ) from None
        try:
            new = beside / "new"
            new.mkdir()
            yield new
            _put(new, output, beside)
        finally:
            with lock:
                shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def _watched(output: Path) -> Iterator[None]:
    """Keep a process that removes the hidden folder of `output` if this process is killed.

    It starts before the folder exists, in a session of its own that Ctrl-C does not reach, and holds none of this process's files.
    """
    place = [str(output.parent.resolve()), output.name]
    script = [sys.executable, "-I", "-S", watcher.__file__, *place, str(os.getpid())]
    nowhere = subprocess.DEVNULL
    watching = None
    with suppress(OSError):  # at the limit of processes, the next report removes what a killed one leaves
        watching = subprocess.Popen(
            script, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, cwd="/", start_new_session=True
        )
    try:
        yield
    finally:
        if watching is not None:
            watching.communicate(watcher.DONE)


def _hidden(output: Path) -> tuple[Path, BufferedWriter]:
    """Return a new hidden folder next to `output`, and its lock."""
    while True:
        beside = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
        with suppress(FileNotFoundError):  # another run took the folder for abandoned before it was locked
            lock = abandoned.locked(beside)
            if lock is not None:
                return beside, lock


def _put(new: Path, output: Path, beside: Path) -> None:
    """Move the earlier report out and the new one in; another run may do the same at the same moment."""
    for attempt in range(ATTEMPTS):
        old = beside / f"old-{attempt}"
        try:
            if output.exists():
                output.rename(old)
            new.rename(output)
            return
        except OSError:  # another run moved between our two moves: try again
            continue
        finally:
            if old.exists() and not output.exists():
                with suppress(OSError):
                    old.rename(output)
    raise Error(f"Other runs wrote {output} {ATTEMPTS} times in a row. Choose another --output.")
