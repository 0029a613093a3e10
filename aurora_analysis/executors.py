"""Executors: where per-notebook, per-cluster and per-file work runs.

The interface is `concurrent.futures.Executor`. Submit module-level functions with picklable arguments and results, and
let a worker write nothing: the caller writes what comes back. Then the same work also runs on another machine, for
example through the `get_executor()` of a Dask client.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def processes(jobs: int) -> Iterator[Executor]:
    """Run work in local processes, at most `jobs` at a time.

    If the block raises, also by SIGTERM or Ctrl-C, running workers are terminated and queued work is dropped. The
    workers' temporary files live in one folder, which disappears with the pool even if a worker could not clean up.

    Parameters
    ----------
    jobs
        Number of processes.

    Yields
    ------
    Executor
        A pool of spawned processes: forking would copy threads of Delta and Arrow in an unknown state.
    """
    with tempfile.TemporaryDirectory(prefix="aurora-analysis-") as scratch:
        pool = ProcessPoolExecutor(
            jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_use_scratch,
            initargs=(scratch,),
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


@contextmanager
def threads(workers: Mapping[str, int]) -> Iterator[dict[str, Executor]]:
    """Run work in local threads: one pool for each service. If the block raises, queued work is dropped.

    Parameters
    ----------
    workers
        Service → number of threads.

    Yields
    ------
    dict of str to Executor
        Service → its pool.
    """
    pools = {name: ThreadPoolExecutor(number, name) for name, number in workers.items()}
    try:
        yield dict(pools)
    finally:
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)


def _use_scratch(folder: str) -> None:
    """Create the temporary files of this process and of the programs that it starts in a folder."""
    tempfile.tempdir = os.environ["TMPDIR"] = folder
