"""Executors: where per-notebook, per-cluster and per-file work runs.

The interface is `concurrent.futures.Executor`. Submit module-level functions with picklable arguments and results, and
let a worker write nothing: the caller writes what comes back. Then the same work also runs on another machine, for
example through the `get_executor()` of a Dask client.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple


@contextmanager
def processes(jobs: int, orphaned: Callable[[], None] | None = None) -> Iterator[Executor]:
    """Run work in local processes, at most `jobs` at a time.

    If the block raises, also by SIGTERM or Ctrl-C, running workers are terminated and queued work is dropped. The
    workers' temporary files live in one folder, which disappears with the pool even if a worker could not clean up.
    If this process is killed (SIGKILL, as by the OOM killer), the workers end themselves and remove that folder.

    Parameters
    ----------
    jobs
        Number of processes.
    orphaned
        Called in each worker if this process was killed; picklable.

    Yields
    ------
    Executor
        A pool of spawned processes: forking would copy threads of Delta and Arrow in an unknown state.
    """
    with tempfile.TemporaryDirectory(prefix="aurora-analysis-") as scratch:
        pool = ProcessPoolExecutor(
            jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(scratch, orphaned),
        )
        try:
            yield pool
        except BaseException:
            # An interrupted report does not wait for a running cell; a kernel ends when its worker has ended.
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


class Pool(NamedTuple):
    """An executor, and how many of its workers run at once."""

    executor: Executor
    workers: int


@contextmanager
def threads(workers: Mapping[str, int]) -> Iterator[dict[str, Pool]]:
    """Run work in local threads: one pool for each service. If the block raises, queued work is dropped.

    Parameters
    ----------
    workers
        Service → number of threads.

    Yields
    ------
    dict of str to Pool
        Service → its pool.
    """
    pools = {name: Pool(ThreadPoolExecutor(number, name), number) for name, number in workers.items()}
    try:
        yield pools
    finally:
        for pool in pools.values():
            pool.executor.shutdown(cancel_futures=True)


def _start_worker(scratch: str, orphaned: Callable[[], None] | None) -> None:
    """Create the temporary files of this process and of the programs that it starts in a folder; end with the parent."""
    tempfile.tempdir = os.environ["TMPDIR"] = scratch
    threading.Thread(target=_end_with_parent, args=(scratch, orphaned), daemon=True).start()


def _end_with_parent(scratch: str, orphaned: Callable[[], None] | None) -> None:
    """End this worker as soon as its parent has ended; a worker would otherwise wait for work forever.

    The parent holds the other end of a pipe, which the system closes however the parent ends.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        try:
            shutil.rmtree(scratch, ignore_errors=True)
            if orphaned:
                orphaned()
        finally:
            os._exit(1)
