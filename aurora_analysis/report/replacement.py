"""Replace a report's folder at once.

A report is built in a hidden folder beside its destination and moved there at the end, so that a reader sees the
earlier report or the new one, never half of one. A process that is killed leaves its hidden folder behind; the next
report to the same place removes it. A lock that the system releases with its process distinguishes the folders of running
reports from those of killed ones.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from aurora_analysis.errors import Error
from aurora_analysis.report import index

if sys.platform != "win32":
    import fcntl

ATTEMPTS = 20
"""Number of attempts to move a report into place while other runs write the same folder."""

LOCK = "lock"
CONTENT = re.compile(rf"{LOCK}|new|old-\d+")
"""Names in a hidden folder. A folder with any other content is not ours, and stays."""
HIDDEN = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}")
"""Names of hidden folders, as `tempfile.mkdtemp` makes them."""


def own_folder(output: Path) -> Path:
    """Return the report's folder: new, empty, or an earlier report's; refuse to replace anything else."""
    output = output.resolve()
    if output.is_dir() and any(output.iterdir()):
        try:
            index.recorded(output)
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
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(output.parent, "" if archived else output.name)
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


def remove_abandoned(parent: Path, name: str = "") -> None:
    """Remove hidden folders of killed reports, and put back an earlier report that one of them had moved away.

    Parameters
    ----------
    parent
        The folder in which reports are written.
    name
        Only those of the report of this name; empty takes all.
    """
    for beside in sorted(parent.glob(".*")):
        found = HIDDEN.fullmatch(beside.name)
        if found and name in ("", found["name"]) and beside.is_dir() and not beside.is_symlink():
            with suppress(OSError):
                _remove_abandoned(beside, parent / found["name"])


def _remove_abandoned(beside: Path, output: Path) -> None:
    names = os.listdir(beside)
    lock = _locked(beside) if all(map(CONTENT.fullmatch, names)) else None
    if lock is None:
        return
    with lock:
        for old in sorted(beside.glob("old-*")):
            if not output.exists():
                old.rename(output)
        shutil.rmtree(beside, ignore_errors=True)


def _hidden(output: Path) -> tuple[Path, IO[bytes]]:
    """Return a new hidden folder next to `output`, and its lock."""
    while True:
        beside = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
        with suppress(FileNotFoundError):  # another run took the folder for abandoned before it was locked
            lock = _locked(beside)
            if lock is not None:
                return beside, lock


def _locked(beside: Path) -> IO[bytes] | None:
    """Return the lock of a hidden folder, or None if a running report has it."""
    lock = (beside / LOCK).open("ab")
    try:
        if sys.platform != "win32":  # Windows itself refuses to delete an open file
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock.fileno()), (beside / LOCK).stat()):
            return lock
    except BlockingIOError:
        pass
    except BaseException:
        lock.close()
        raise
    lock.close()
    return None


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
