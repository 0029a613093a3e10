"""A Dask cluster on loopback: a scheduler and workers in processes of their own, which tests and benchmarks end by pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

GRACE_S = 10.0
"""A process that still runs so long after SIGTERM gets SIGKILL: workers without a nanny have survived SIGTERM."""

SETTINGS = {
    "DASK_DISTRIBUTED__ADMIN__LOG_LENGTH": "100",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}
"""As docs/how-to/fleet.md recommends, and a short log."""


@dataclass
class DaskCluster:
    """A running scheduler and its workers.

    Attributes
    ----------
    folder
        Where workers keep their files, and where each process writes its log.
    port
        The scheduler's port, the same after a restart.
    """

    folder: Path
    port: int
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The scheduler's address."""
        return f"tcp://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        """Start the scheduler; workers and clients wait for it."""
        self.scheduler = self._started("scheduler", "--port", str(self.port), "--host", "127.0.0.1")

    def start_worker(self, variables: Mapping[str, str] | None = None, threads: int = 1) -> None:
        """Start a worker with more environment variables."""
        options = ["--nthreads", str(threads), "--no-nanny", "--memory-limit", "0", "--host", "127.0.0.1"]
        options += ["--local-directory", str(self.folder)]
        self.workers.append(self._started("worker", self.address, *options, variables=variables))

    def kill_worker(self) -> None:
        """Kill the oldest worker with SIGKILL."""
        worker = self.workers.pop(0)
        worker.kill()
        worker.wait()

    def kill_scheduler(self) -> None:
        """Kill the scheduler with SIGKILL; workers that lose it end themselves, or are ended."""
        assert self.scheduler is not None
        self.scheduler.kill()
        self.scheduler.wait()
        self.end()

    def processes(self) -> list[subprocess.Popen[bytes]]:
        """Return the running workers and the scheduler."""
        return [*self.workers, *([self.scheduler] if self.scheduler else [])]

    def end(self) -> None:
        """End every process: SIGTERM, and SIGKILL after a grace period."""
        running = self.processes()
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.workers, self.scheduler = [], None

    def _started(
        self, kind: str, *options: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options, "--no-dashboard"]
        environment = {**os.environ, **(variables or {}), **SETTINGS}
        with (self.folder / f"{kind}.log").open("ab") as log:
            return subprocess.Popen(program, env=environment, stdout=log, stderr=log)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def running(
    folder: Path, workers: int = 2, variables: Mapping[str, str] | None = None, threads: int = 1
) -> Iterator[DaskCluster]:
    """Run a scheduler and workers; all of them end with the block."""
    cluster = DaskCluster(folder, free_port())
    try:
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.start_worker(variables, threads)
        yield cluster
    finally:
        cluster.end()
