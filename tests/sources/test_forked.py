"""Work shared among forked processes: results in order, and nothing lost if a worker fails, is killed or never starts."""

from __future__ import annotations

import os
import select
import signal
from contextlib import closing

import pytest

from aurora_analysis.sources import forked


@pytest.fixture
def is_worker():
    """Return whether a worker calls; the parent gets its answer when the first worker has taken an item."""
    here, (reading, writing) = os.getpid(), os.pipe()

    def answer() -> bool:
        if os.getpid() == here:
            select.select([reading], [], [], 10)
            return False
        return os.write(writing, b".") == 1

    yield answer
    os.close(reading)
    os.close(writing)


def in_order(work, count=8, processes=3):
    with closing(forked.in_order(work, range(count), processes)) as found:
        return list(found)


@pytest.mark.parametrize("count", [2, 40])
def test_results_are_in_the_order_of_the_items(is_worker, count):
    """Whichever process made them."""
    found = in_order(lambda number: (number, is_worker()), count)
    assert [number for number, _ in found] == list(range(count))
    assert any(by_worker for _, by_worker in found)


@pytest.mark.parametrize("count", [0, 1])
def test_one_item_needs_no_worker(count, monkeypatch):
    """A fork would only cost time."""
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    assert in_order(str, count) == ["0"][:count]


def test_items_of_a_killed_worker_are_done_here(is_worker):
    """Also the one that it was at."""

    def work(number):
        if is_worker():
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert in_order(work) == list(range(8))


def test_an_error_of_a_worker_is_raised_here(is_worker, monkeypatch):
    """After the results before it; a result that cannot be pickled is made here; no worker remains."""
    fork, workers = os.fork, []

    def noted():
        workers.append(fork())
        return workers[-1]

    monkeypatch.setattr(os, "fork", noted)

    def work(number):
        is_worker()
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
    assert len(workers) == 2
    for worker in workers:
        with pytest.raises(ChildProcessError):
            os.waitpid(worker, os.WNOHANG)


def test_without_workers_everything_is_done_here(monkeypatch):
    """The system may allow no more processes, or have no fork."""

    def refuse():
        raise BlockingIOError("fork: retry: Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    assert in_order(lambda number: (number, os.getpid())) == [(number, os.getpid()) for number in range(8)]
    monkeypatch.delattr(os, "fork")
    assert in_order(str) == [str(number) for number in range(8)]


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
        while select.select([worker], [], [], 10)[0]:
            if not worker.read(1000):
                return
    pytest.fail("the worker still runs")
