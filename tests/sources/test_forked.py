"""Work shared among forked processes: results in order, and nothing lost if a worker fails, is killed or never starts."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import closing

import pytest

from aurora_analysis.sources import forked

HERE = os.getpid()


def in_order(work, count=8, processes=3):
    with closing(forked.in_order(work, range(count), processes)) as found:
        return list(found)


def patient(number):
    """Leave the other processes time to take an item."""
    time.sleep(0.002)
    return number, os.getpid()


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_results_are_in_the_order_of_the_items(count):
    """Whichever process made them; one item needs no worker."""
    found = in_order(patient, count)
    assert [number for number, _ in found] == list(range(count))
    assert len({process for _, process in found}) <= min(3, count)
    assert count != 40 or len({process for _, process in found}) == 3


def test_items_of_a_killed_worker_are_done_here():
    """Also the one that it was at."""

    def work(number):
        time.sleep(0.002)
        if os.getpid() != HERE:
            os.kill(os.getpid(), signal.SIGKILL)
        return number, os.getpid()

    assert in_order(work) == [(number, HERE) for number in range(8)]


def test_an_error_of_a_worker_is_raised_here():
    """After the results before it; a result that cannot be pickled is made here."""

    def work(number):
        time.sleep(0.002)
        if number == 5:
            raise ValueError(f"item {number}")
        return lambda: number

    seen = []
    with (
        pytest.raises(ValueError, match="item 5"),
        closing(forked.in_order(work, range(8), 3)) as found,
    ):
        seen.extend(each() for each in found)
    assert seen == list(range(5))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_without_workers_everything_is_done_here(monkeypatch):
    """The system may allow no more processes, or have no fork."""

    def refuse():
        raise BlockingIOError("fork: retry: Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    assert in_order(patient) == [(number, HERE) for number in range(8)]
    monkeypatch.delattr(os, "fork")
    assert in_order(patient) == [(number, HERE) for number in range(8)]


def test_a_worker_ends_with_its_parent():
    """A parent that is killed leaves no worker that waits for someone to read its results."""
    reading, writing = os.pipe()  # the worker holds its other end
    parent = os.fork()
    if parent == 0:
        try:
            list(forked.in_order(lambda _: os.write(writing, b".") and bytes(1_000_000), range(10_000), 2))
        finally:
            os._exit(0)
    os.close(writing)
    os.read(reading, 1)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    with os.fdopen(reading, "rb", buffering=0) as worker:
        while select.select([worker], [], [], 5)[0]:
            if not worker.read(1000):
                return
    pytest.fail("the worker still runs")
