"""Serve the lab's places for drills: endpoints that follow a failover late, and faults of a server's processes."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import sqlalchemy

from aurora_analysis.live.drill.place import Address


class Endpoint:
    """A name that leads to an address; a move becomes visible after a delay."""

    def __init__(self, address: Address) -> None:
        self._moves = [(0.0, address)]
        self._lock = threading.Lock()

    def move(self, address: Address, after_s: float) -> None:
        """Lead to another address, from `after_s` on [s]."""
        with self._lock:
            self._moves.append((time.monotonic() + after_s, address))

    def __call__(self) -> Address:
        """Return where the endpoint leads now."""
        with self._lock:
            return [address for at, address in self._moves if at <= time.monotonic()][-1]


def pooled(url: sqlalchemy.URL, pool_s: float, **arguments: object) -> sqlalchemy.Engine:
    """Return an engine with a pool that checks connections and replaces old ones; without a pool if `pool_s` is 0 [s]."""
    if not pool_s:
        return sqlalchemy.create_engine(url, connect_args=arguments, poolclass=sqlalchemy.NullPool)
    return sqlalchemy.create_engine(
        url, connect_args=arguments, pool_size=20, pool_pre_ping=True, pool_recycle=round(pool_s)
    )


AGAIN_S = 0.05
"""A frozen server's new processes are stopped after at most this time [s]."""


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(text) for text in listed.stdout.split()]


def send(number: signal.Signals, pids: list[int]) -> None:
    """Send a signal to processes; those that have ended are left out."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_tree(pid: int) -> None:
    """Kill a server and its processes at once, as a failure of the machine would."""
    send(signal.SIGSTOP, [pid])  # it starts no process meanwhile
    send(signal.SIGKILL, [*children(pid), pid])
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)  # a server does not start while its predecessor is still listed


def later(stack: ExitStack, seconds: float, act: Callable[[], None]) -> None:
    """Act after some time in a thread; at the latest when the stack unwinds."""
    is_over = threading.Event()

    def wait() -> None:
        is_over.wait(seconds)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    stack.callback(thread.join, 5.0)
    stack.callback(is_over.set)


def freeze(stack: ExitStack, pid: int, seconds: float) -> None:
    """Stop a server of one process for some time."""
    send(signal.SIGSTOP, [pid])
    later(stack, seconds, lambda: send(signal.SIGCONT, [pid]))


def freeze_children(stack: ExitStack, pid: int, seconds: float) -> None:
    """Stop the processes of a server's sessions for some time, also those of new sessions.

    The server's first process goes on: it must be able to end with us.
    """
    until, is_over = time.monotonic() + seconds, threading.Event()

    def hold() -> None:
        while time.monotonic() < until and not is_over.wait(AGAIN_S):
            send(signal.SIGSTOP, children(pid))
        send(signal.SIGCONT, children(pid))

    send(signal.SIGSTOP, children(pid))
    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    stack.callback(thread.join, 5.0)
    stack.callback(is_over.set)
