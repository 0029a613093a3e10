"""Executors: where per-notebook, per-cluster and per-file work runs.

The interface is `concurrent.futures.Executor`. Submit module-level functions with picklable arguments and results, and
let a worker write nothing: the caller writes what comes back. Then the same work also runs on the workers of a Dask
cluster, which `dask` connects to.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.metadata import version
from typing import Any, NamedTuple

from aurora_analysis.errors import Error, Lost, NotEnabled, first_line


@contextmanager
def processes(jobs: int) -> Iterator[Executor]:
    """Run work in local processes, at most `jobs` at a time.

    If the block raises, also by SIGTERM or Ctrl-C, running workers are terminated and queued work is dropped. The
    workers' temporary files live in one folder, which disappears with the pool even if a worker could not clean up.
    If this process is killed (SIGKILL, as by the OOM killer), the workers end themselves and remove that folder.

    Parameters
    ----------
    jobs
        Number of processes.

    Yields
    ------
    Executor
        A pool of spawned processes: forking would copy threads of Delta and Arrow in an unknown state. In a process
        that may not have children, as a Dask worker below its nanny, a pool of threads.
    """
    if is_childless():
        with threads({"work": jobs}) as pools:
            yield pools["work"].executor
        return
    with tempfile.TemporaryDirectory(prefix="aurora-analysis-") as scratch:
        pool = ProcessPoolExecutor(
            jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
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


def is_childless() -> bool:
    """Return whether Python forbids this process to start others: the process is a daemon, as Dask's workers are."""
    return multiprocessing.current_process().daemon


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


def _start_worker(scratch: str) -> None:
    """Create the temporary files of this process and of the programs that it starts in a folder; end with the parent."""
    tempfile.tempdir = os.environ["TMPDIR"] = scratch
    threading.Thread(target=_end_with_parent, args=(scratch,), daemon=True).start()


def _end_with_parent(scratch: str) -> None:
    """End this worker as soon as its parent has ended; a worker would otherwise wait for work forever.

    The parent holds the other end of a pipe, which the system closes however the parent ends.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        try:
            shutil.rmtree(scratch, ignore_errors=True)
        finally:
            os._exit(1)


# A Dask cluster

CONNECT_S = 5.0
"""Time in which a scheduler must answer [s], and in which a lost connection must come back."""

WORKERS_S = 10.0
"""Time in which a cluster must have its first worker [s]."""


@contextmanager
def dask(address: str) -> Iterator[Pool]:
    """Run work on the workers of a Dask cluster. If the block raises, what is queued there is cancelled.

    If a worker ends early, Dask runs its work again on another one. Results come back to this process.

    Parameters
    ----------
    address
        The scheduler, as tcp://host:8786 or tls://host:8786.

    Yields
    ------
    Pool
        Its executor, and how many pieces of work the cluster runs at once. Work that was killed together with four
        workers raises `distributed.KilledWorker`.

    Raises
    ------
    NotEnabled
        If Dask is not installed here.
    Lost
        If the scheduler does not answer, has no workers, or is lost while the block runs.
    Error
        If a worker runs another version of this package, or does not have it.
    """
    client = _connected(address)
    try:
        _check_workers(client, address)
        yield Pool(client.get_executor(pure=False), sum(client.nthreads().values()))
    except Exception as problem:
        if isinstance(problem, CancelledError) or client.status != "running":
            raise Lost(
                f"The Dask scheduler {address} was lost: start it and its workers again, then rerun the command, which "
                "does what is missing."
            ) from None
        if type(problem).__name__ == "KilledWorker":
            raise Lost(
                f"Four workers of {address} ended one after the other at the same work, perhaps for lack of memory: give "
                "them more, then rerun the command, which does what is missing."
            ) from None
        raise
    finally:
        # A scheduler that was lost takes no leave; what is queued goes with the client.
        with suppress(Exception):
            client.close(timeout=CONNECT_S)


def _connected(address: str) -> Any:
    """Return a client of a scheduler."""
    try:
        import distributed
    except ImportError:
        raise NotEnabled("--dask needs Dask: pip install 'aurora-analysis[dask]'.") from None
    from dask import config

    for name in [*logging.root.manager.loggerDict]:  # one line of ours says what goes wrong
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    config.set({"distributed.comm.timeouts.connect": f"{CONNECT_S:g}s"})
    try:
        return distributed.Client(address, timeout=CONNECT_S, direct_to_workers=True)
    except (ValueError, TypeError) as problem:
        raise Error(
            f"--dask {address} is not a scheduler's address ({problem}): write tcp://host:8786."
        ) from None
    except (OSError, RuntimeError) as problem:
        reason = first_line(problem)
        raise Lost(
            f"The Dask scheduler {address} does not answer ({reason}): check --dask or AURORA_ANALYSIS_DASK, as in "
            "tcp://host:8786, and that the scheduler runs."
        ) from None


def _check_workers(client: Any, address: str) -> None:
    """Refuse a cluster without workers, and workers that run another version: their results would differ."""
    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
    except TimeoutError:
        raise Lost(
            f"The Dask scheduler {address} has no workers: start one with `dask worker {address}`."
        ) from None
    ours = installed_version()
    try:
        found = client.run(installed_version)
    except ImportError:
        raise Error(
            f"A worker of {address} does not have this package: pip install 'aurora-analysis[dask]=={ours}' there."
        ) from None
    if other := next((each for each in found.values() if each != ours), None):
        raise Error(
            f"A worker of {address} runs aurora-analysis {other}, this machine {ours}: install the same version."
        )


def installed_version() -> str:
    """Return the version of this package in the process that calls."""
    return version("aurora-analysis")


def lease(name: str, leases: int) -> AbstractContextManager[object]:
    """Return a context that at most `leases` holders enter at once, on all workers of a Dask cluster together.

    Parameters
    ----------
    name
        Holders that name the same thing share its leases.
    leases
        Number of leases.

    Returns
    -------
    context manager
        It can be pickled, and is entered on a worker. The lease of a killed worker is free again after 30 s.
    """
    from distributed import Semaphore

    held: AbstractContextManager[object] = Semaphore(leases, name)
    return held
