"""Processes of the lab's servers: they end with us, on ports that nobody else uses."""

from __future__ import annotations

import ctypes
import functools
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that folders are removed too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return a function for the child that lets Linux send it this signal when we end, even by SIGKILL.

    It must run after the child's change of user, which clears the signal; `subprocess` runs it last.
    See prctl(2), PR_SET_PDEATHSIG.
    """
    if not sys.platform.startswith("linux"):
        return None
    return functools.partial(ctypes.CDLL(None).prctl, 1, number)


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def last_line(text: str) -> str:
    """Return the last line of a program's output."""
    return next(reversed(text.strip().splitlines()), "it printed nothing")
