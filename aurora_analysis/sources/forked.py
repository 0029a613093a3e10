"""Share work among forked processes. This process works too, because a wait would leave a core idle.

A fork takes a millisecond and has every module imported. The pool of `concurrent.futures` takes 25 ms to import and to
start, which is 4 % of the time that two processes take for half a gigabyte.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from threading import Condition, Thread
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

SIZE = 8
"""Bytes of a result's size between the processes."""


def in_order(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int
) -> Generator[Result, None, None]:
    """Yield the result of each item, in the order of the items.

    This process does an item itself if its worker failed or was killed. So errors are raised here, and nothing is lost.

    Parameters
    ----------
    work : callable
        Turns an item into a result that can be pickled.
    items : sequence
        A process takes the next item when it has finished one.
    processes : int
        Number of processes, including this one; fewer if the system refuses to start them.

    Yields
    ------
    result
    """
    with open(__file__, "rb") as opened:
        turns, count = opened.fileno(), len(items)
        workers = _Workers(turns)
        try:
            workers.start(work, items, min(processes, count) - 1)
            for number in range(count):
                while number not in workers.done and (taken := _next(turns)) < count:
                    workers.done[taken] = [work(items[taken])]
                found = workers.awaited(number)
                yield found[0] if found else work(items[number])
        finally:
            workers.end()


def _next(turns: int) -> int:
    """Take the next number. It is the position of an open file, which forked processes share."""
    return os.lseek(turns, 1, os.SEEK_CUR) - 1


class _Workers:
    """The forked processes, and a list of each finished item's result by its number; it is empty if the worker failed."""

    def __init__(self, turns: int) -> None:
        self.done: dict[int, list[Any]] = {}
        self._turns = turns
        self._pids: list[int] = []
        self._readers: list[Thread] = []
        self._changed = Condition()
        self._working = 0

    def start(self, work: Callable[[Any], Any], items: Sequence[Any], count: int) -> None:
        """Fork all workers, and then start the threads that read their results: a fork copies no thread."""
        pipes = []
        for _ in range(count if hasattr(os, "fork") else 0):
            reading, writing = os.pipe()
            try:
                pid = os.fork()
            except OSError:  # the system allows no more processes
                os.close(reading)
                os.close(writing)
                break
            pipes.append(reading)
            if pid == 0:
                _work(work, items, self._turns, writing, pipes)
            os.close(writing)
            self._pids.append(pid)
        self._working = len(pipes)
        self._readers = [Thread(target=self._read, args=(reading,), daemon=True) for reading in pipes]
        for reader in self._readers:
            reader.start()

    def awaited(self, number: int) -> list[Any]:
        """Return the item's result in a list, as soon as it is there; an empty list if no worker is left that could send it."""
        with self._changed:
            self._changed.wait_for(lambda: number in self.done or not self._working)
        return self.done.pop(number, [])

    def end(self) -> None:
        """End the workers, which have nothing left to do unless an error ends this process."""
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for reader in self._readers:
            reader.join()

    def _read(self, pipe: int) -> None:
        """Keep the results of one worker until it ends."""
        import pickle

        with os.fdopen(pipe, "rb") as results:
            while len(size := results.read(SIZE)) == SIZE:
                text = results.read(int.from_bytes(size, "big"))
                if len(text) < int.from_bytes(size, "big"):
                    break  # the worker was killed
                number, *result = pickle.loads(text)
                with self._changed:
                    self.done[number] = result
                    self._changed.notify()
        with self._changed:
            self._working -= 1
            self._changed.notify()


def _work(
    work: Callable[[Any], Any], items: Sequence[Any], turns: int, pipe: int, of_parent: Sequence[int]
) -> None:
    """Do items until none is left, and end this worker. The parent repeats an item that fails, and meets the error."""
    try:
        import pickle

        gc.freeze()  # a search for garbage would copy the memory that is shared with the parent
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: the parent reports it
        for other in of_parent:
            os.close(other)  # so that this worker ends if its parent is killed
        with os.fdopen(pipe, "wb") as results:
            while (number := _next(turns)) < len(items):
                try:
                    text = pickle.dumps((number, work(items[number])), pickle.HIGHEST_PROTOCOL)
                except Exception:
                    text = pickle.dumps((number,))
                results.write(len(text).to_bytes(SIZE, "big"))
                results.write(text)
                results.flush()
    finally:
        os._exit(0)
