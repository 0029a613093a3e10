"""Run a recording's sessions in two processes: the writer's load in one, the readers' runs in the other.

Two processes, so that neither waits for the other's interpreter lock. What they do is passed in, see `running`.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from queue import Empty
from threading import BrokenBarrierError
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import psycopg
import pymysql

from aurora_analysis.errors import Error
from aurora_analysis.lab.processes import die_with_parent
from aurora_analysis.lab.workload import Pace, Run, RunTimes, Timing, planned_runs

Result = TypeVar("Result")

Act = Callable[[Any, list[Run], Event, "Queue[Any]"], None]
"""Work of a process: takes the load, the planned runs, the event that stops it, and the queue for its results."""

READY_S = 60.0
"""Time limit for a process to be ready, and for its next message."""

CONNECT_S = 0.25
"""A run's session connects this long before the run: on a busy machine that takes 0.1 s."""

LATE_S = 1.0
"""A statement that is late by more is skipped: the planned load has moved on."""

REPORT_EVERY_S = 0.25
"""Interval at which the writer's process reports its executions."""


class TimingBatch(NamedTuple):
    """Executions of the writer's clients; all that ended before `until` [s since 1970] have been reported."""

    until: float
    timings: list[tuple[Any, ...]]


class Failed(NamedTuple):
    """A session that could not go on."""

    message: str


class Sessions:
    """The processes; `runs` has the runs that have ended so far."""

    def __init__(self, acts: Sequence[Act]) -> None:
        context = multiprocessing.get_context("spawn")
        self._results: Queue[Any] = context.Queue()
        self._orders = [context.Queue() for _ in acts]
        self._stopping, self._ready = context.Event(), context.Barrier(1 + len(acts))
        self._processes = [
            context.Process(
                target=_process, args=(act, orders, self._ready, self._stopping, self._results), daemon=True
            )
            for act, orders in zip(acts, self._orders)
        ]
        self._reported_to = 0.0
        self.runs: list[RunTimes] = []

    def start(self) -> None:
        """Start the processes and wait until both are ready.

        Raises
        ------
        Error
            If that takes longer than 60 s.
        """
        for process in self._processes:
            process.start()
        try:
            self._ready.wait(READY_S)
        except BrokenBarrierError:
            raise Error(
                f"The lab's sessions did not start within {READY_S:g} s: try again on a less busy machine."
            ) from None

    def begin(self, load: Pace, plan: pd.DataFrame) -> None:
        """Hand out the load and the plan; each starts at its own time."""
        for orders in self._orders:
            orders.put((load, planned_runs(plan, load)))

    def timings(self, until: float) -> list[Timing]:
        """Return executions since the previous call, complete up to `until` [s since 1970].

        Waits until they are reported, because a busy machine reports late. Also collects the runs that ended.

        Raises
        ------
        Error
            If a session failed, or nothing is reported for 60 s.
        """
        found: list[Timing] = []
        while self._reported_to < until:
            found += self._receive()
        return found

    def _receive(self) -> list[Timing]:
        try:
            one = self._results.get(timeout=READY_S)
        except Empty:
            raise Error(
                f"The lab's sessions were silent for {READY_S:g} s: is the machine overloaded?"
            ) from None
        if isinstance(one, Failed):
            raise Error(f"A session of the lab failed: {one.message}")
        if isinstance(one, RunTimes):
            self.runs.append(one)
            return []
        self._reported_to = one.until
        return [Timing(*timing) for timing in one.timings]

    def stop(self) -> None:
        """Stop the processes, and kill them if they do not stop within 2 s."""
        self._stopping.set()
        for process in (one for one in self._processes if one.pid is not None):
            process.join(2)
            process.kill()
            process.join()
        for channel in (self._results, *self._orders):
            channel.close()
            channel.cancel_join_thread()


@contextmanager
def running(*acts: Act) -> Iterator[Sessions]:
    """Yield processes, one for each act, once they are ready; they stop with the block."""
    sessions = Sessions(acts)
    try:
        sessions.start()
        yield sessions
    finally:
        sessions.stop()


def _process(
    act: Act,
    orders: Queue[Any],
    ready: Barrier,
    stopping: Event,
    results: Queue[Any],
) -> None:
    """Main function of a process: signal that it is ready, wait for the load and the plan, act."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    if end_with_parent := die_with_parent(signal.SIGKILL):
        end_with_parent()
    if (parent := multiprocessing.parent_process()) and not parent.is_alive():
        return  # the parent ended before this process was tied to it
    ready.wait(READY_S)
    while not stopping.is_set():
        with suppress(Empty):
            load, planned = orders.get(timeout=0.1)
            act(load, planned, stopping, results)
            return


class Stopwatch:
    """Records how long executions took."""

    def __init__(self, timings: list[Timing]) -> None:
        self._timings = timings

    def timed(self, name: str, kind: str, act: Callable[[], Result]) -> Result:
        """Call `act` and record its duration as one execution of that name and kind."""
        began = time.perf_counter()
        done = act()
        self._timings.append(Timing(time.time(), name, kind, 1000 * (time.perf_counter() - began)))
        return done


def report(
    threads: Sequence[threading.Thread], timings: list[Timing], load: Pace, results: Queue[Any]
) -> None:
    """Report executions while the threads that append them to `timings` live, then that there are no more."""
    while any(one.is_alive() for one in threads):
        until = time.time()
        time.sleep(REPORT_EVERY_S)
        ended = timings[:]
        del timings[: len(ended)]
        results.put(TimingBatch(until, [tuple(timing) for timing in ended]))
    results.put(TimingBatch(load.start + load.seconds, []))


def carry_out(
    planned: Iterable[Run],
    act: Callable[[Any, Run, Event], None],
    connect: Callable[[], AbstractContextManager[Any]],
    stopping: Event,
    results: Queue[Any],
) -> None:
    """Carry out the planned runs of a role, each in a session of its own, and report when each started and ended."""
    for one in planned:
        if not wait(one.start - CONNECT_S, stopping):
            return
        with connect() as connection:
            if not wait(one.start, stopping):
                return
            began = time.time()
            act(connection, one, stopping)
            results.put(RunTimes(one.row, began, time.time()))


def role_threads(
    acts: Mapping[str, Callable[[Any, Run, Event], None]],
    planned: Sequence[Run],
    connect: Callable[[str], AbstractContextManager[Any]],
    stopping: Event,
    results: Queue[Any],
) -> list[threading.Thread]:
    """Start a thread for each role, which carries out the role's planned runs."""

    def run(role: str) -> None:
        mine = [one for one in planned if one.role == role]
        carry_out(mine, acts[role], partial(connect, role), stopping, results)

    return [thread(run, results, role) for role in acts]


def await_all(threads: Sequence[threading.Thread], stopping: Event) -> None:
    """Wait until the threads have ended, or until stopped."""
    for one in threads:
        while one.is_alive() and not stopping.is_set():
            one.join(0.5)


def moments(due: npt.NDArray[np.float64], stopping: Event) -> Iterator[float]:
    """Yield each moment [s since 1970] when it arrives; those that are late by more than LATE_S are skipped."""
    for moment in due:
        if not wait(moment, stopping):
            return
        if time.time() - moment < LATE_S:
            yield float(moment)


def wait(until: float, stopping: Event) -> bool:
    """Wait until a moment [s since 1970]; returns False if stopped before."""
    while (left := until - time.time()) > 0 and not stopping.is_set():
        time.sleep(min(left, 0.5))
    return not stopping.is_set()


def thread(act: Callable[..., None], results: Queue[Any], *arguments: Any) -> threading.Thread:
    """Start a thread that calls `act` and reports a failure."""

    def run() -> None:
        try:
            act(*arguments)
        except (pymysql.Error, psycopg.Error) as problem:
            results.put(Failed(f"{act.__name__}: {problem}"))

    started = threading.Thread(target=run, daemon=True)
    started.start()
    return started
