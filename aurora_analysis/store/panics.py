"""Keep delta-rs from printing a Rust backtrace before its error, if S3 refuses a data file (deltalake 1.6.6)."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

PANIC = re.compile(
    rb"\n?thread '[^\n]* panicked at [^\n]*\n[^\n]*\n(stack backtrace:\n( [^\n]*\n)*)?(note: [^\n]*\n)?"
)
"""What Rust prints for a panic; its error comes back as an exception, too."""


class _Aside:
    """Standard error's file while blocks run, and how many run."""

    lock, blocks = threading.Lock(), 0
    kept: IO[bytes] | None = None
    own = -1


@contextmanager
def without_panics(location: str) -> Iterator[None]:
    """Hold back what is printed on standard error within the block, then print it without Rust's panics.

    Rust prints them from threads of its own. A folder is left alone, because its writes do not panic.

    Parameters
    ----------
    location : str
        The store's folder or s3:// prefix.

    Returns
    -------
    context manager
    """
    if not location.startswith("s3://"):
        yield
        return
    with _Aside.lock:
        _Aside.blocks += 1
        if _Aside.blocks == 1:
            _Aside.kept, _Aside.own = tempfile.TemporaryFile(), os.dup(2)  # noqa: SIM115
            os.dup2(_Aside.kept.fileno(), 2)
    try:
        yield
    finally:
        with _Aside.lock:
            _Aside.blocks -= 1
            if not _Aside.blocks and _Aside.kept is not None:
                os.dup2(_Aside.own, 2)
                os.close(_Aside.own)
                with _Aside.kept as kept:
                    kept.seek(0)
                    os.write(2, PANIC.sub(b"", kept.read()))
