"""Remove the hidden folders of killed reports.

A lock that the system releases with its process distinguishes the folders of running reports from those of killed ones.
This module imports nothing of the package, because `watcher` runs it where the package is not found.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path

if sys.platform != "win32":
    import fcntl

LOCK = "lock"
CONTENT = re.compile(rf"{LOCK}|new|old-\d+")
"""Names in a hidden folder. A folder with any other content is not ours, and stays."""
HIDDEN = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}")
"""Names of hidden folders, as `tempfile.mkdtemp` makes them."""


def remove(parent: Path, name: str = "") -> None:
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
                _remove(beside, parent / found["name"])


def _remove(beside: Path, output: Path) -> None:
    names = os.listdir(beside)
    lock = locked(beside) if all(map(CONTENT.fullmatch, names)) else None
    if lock is None:
        return
    with lock:
        for old in sorted(beside.glob("old-*")):
            if not output.exists():
                old.rename(output)
        shutil.rmtree(beside, ignore_errors=True)


def locked(beside: Path) -> BufferedWriter | None:
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
