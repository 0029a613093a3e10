"""The kernels that run a report's notebooks: forked from a process that has already imported what every page needs.

Importing pandas, matplotlib, SciPy and the package costs a kernel about 3 s of CPU, more than most pages compute. A worker's first
kernel is a new Python all the same, because a worker of a short report starts no other one. Where kernels cannot be forked (Windows,
macOS, workers that may not have children), each kernel is a new Python.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, spawn
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from traitlets import Dict as DictTrait
from traitlets.config import Config

from aurora_analysis import executors

THRIFTY = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "OPENBLAS_NUM_THREADS": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
"""Environment of every kernel. Kernels then return freed memory: a third less on millions of rows. One thread of linear
algebra is enough, because each core already has a kernel."""

FIGURES = (
    "--InlineBackend.figure_formats={'svg'}",
    "--InlineBackend.print_figure_kwargs={'bbox_inches': 'tight', 'dpi': 150, 'metadata': {'Date': None}}",
    "--InlineBackend.rc={'svg.hashsalt': 'aurora-analysis', 'svg.fonttype': 'none'}",
)
"""Options of every kernel: figures are SVG with text as text, and a second run gives the same bytes. This is the one place that
chooses the format of the report's figures; `dpi` is that of pictures inside the SVG."""

TOPICS = (
    "connections",
    "db_load",
    "experiment",
    "explore",
    "latency",
    "limits",
    "reader_impact",
    "undo_log",
    "workload_change",
    "workloads",
)
IMPORTED = (
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "matplotlib.dates",
    "matplotlib.pyplot",
    "sqlalchemy",
    "aurora_analysis.config",
    "aurora_analysis.plots",
    "aurora_analysis.engines.mysql.cleanup",
    "aurora_analysis.engines.postgresql.cleanup",
    *(f"aurora_analysis.analysis.{topic}" for topic in TOPICS),
)
"""Modules that every kernel has from its start. None of them may start a thread or open a file: a fork keeps no thread and shares
open files."""

STARTED = itertools.count()
"""Number of kernels that this process has started."""

LONGEST_ADDRESS = 90
"""Longest socket path [characters]: 104 bytes on macOS and 108 on Linux, minus the number that each channel appends."""


class Kernel(AsyncKernelManager):  # type: ignore[misc,unused-ignore]  # jupyter_client has no types
    """A kernel of the running Python, whatever kernelspecs are installed; its own log stays out of the report's."""

    environment = DictTrait(help="Environment variables in addition to this process's.").tag(config=True)

    @property
    def kernel_spec(self) -> KernelSpec:
        """The command that starts the kernel."""
        launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", *FIGURES]
        return KernelSpec(argv=launch, display_name="Python 3", language="python")

    async def start_kernel(self, **options: Any) -> None:
        """Start the kernel with its environment."""
        environment = {**os.environ, **THRIFTY, **self.environment}
        if self.provisioner is None and next(STARTED) > 0 and _can_fork():  # type: ignore[has-type,unused-ignore]
            self.provisioner = Forked(kernel_spec=self.kernel_spec, parent=self)
        await super().start_kernel(**options | {"env": environment}, stderr=subprocess.DEVNULL)


def settings(scratch: Path, environment: Mapping[str, str]) -> Config:
    """Return the kernel's environment, and sockets in a folder that only this user may enter.

    Loopback TCP would be open to every user of the machine.
    """
    kernel = {"Kernel": {"environment": dict(environment)}}
    address = str(scratch / "kernel")
    if os.name == "nt" or len(address) > LONGEST_ADDRESS:
        return Config(kernel)
    return Config(kernel | {"KernelManager": {"transport": "ipc", "ip": address}})


def _can_fork() -> bool:
    """Only Linux forks safely after matplotlib is imported; a daemon, such as a worker of Dask, may not have children.

    multiprocessing puts a socket 33 characters below the folder of temporary files.
    """
    has_room = len(tempfile.gettempdir()) + 33 <= LONGEST_ADDRESS
    return sys.platform == "linux" and has_room and not executors.is_childless()


class Forked(LocalProvisioner):  # type: ignore[misc,unused-ignore]
    """A kernel as a fork of the process that has the imports."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
        """Fork the kernel; `cmd` is the command that would start it as a new Python."""
        self.process = Process(cmd[cmd.index("-f") :], options["env"], options.get("cwd"))
        self.pid = self.pgid = self.process.pid  # the kernel leads a process group of its own
        self.cwd = options.get("cwd") or Path.cwd()
        return self.connection_info


class Process:
    """A forked kernel with the methods of `subprocess.Popen` that jupyter_client calls."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], folder: str | None) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*IMPORTED])
        self._process = context.Process(target=_run, args=(list(arguments), dict(environment), folder))
        with _as_kernels_start():
            self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Exit code, or None while the kernel runs."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """Exit code, once the kernel has ended."""
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal to a kernel that still runs."""
        if self.pid is not None and self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the kernel to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the kernel."""
        self.send_signal(signal.SIGKILL)


STARTING = threading.Lock()
"""Held while a kernel starts: it starts from this process's own state."""


@contextmanager
def _as_kernels_start() -> Iterator[None]:
    """Let the fork server inherit `THRIFTY`, and the kernel not import the program that this process runs.

    MALLOC_ARENA_MAX counts only when a process starts. The program of a Dask worker takes a second of CPU to import.
    """

    def without_main(name: str) -> dict[str, Any]:
        return {key: value for key, value in prepare(name).items() if not key.startswith("init_main")}

    with STARTING:
        before, prepare = dict(os.environ), spawn.get_preparation_data
        os.environ.update(THRIFTY)
        spawn.get_preparation_data = without_main
        try:
            yield
        finally:
            spawn.get_preparation_data = prepare
            os.environ.clear()
            os.environ.update(before)


def _run(arguments: list[str], environment: Mapping[str, str], folder: str | None) -> None:
    """Be the kernel. It ends when the process that it was forked from ends, and that ends with the report's worker."""
    os.setsid()
    server: Any = forkserver._forkserver  # type: ignore[attr-defined,unused-ignore]
    if server._forkserver_alive_fd is not None:  # the server ends when the last holder of this pipe has ended
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.environ.clear()
    os.environ.update(environment)
    if folder:
        os.chdir(folder)
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance(argv=[*arguments, f"--IPKernelApp.parent_handle={os.getppid()}"])
