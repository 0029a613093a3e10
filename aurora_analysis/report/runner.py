"""Runs notebooks in a pool of processes: each with its own kernel, a time limit, and a manifest in its metadata.

A notebook that fails or hangs is an outcome like any other: what ran until then is kept.
"""

from __future__ import annotations

import copy
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from papermill.execute import remove_error_markers
from traitlets.config import Config

from aurora_analysis.analysis.verdict import MIME_TYPE, SPARKLINE, Verdict
from aurora_analysis.report import html

MANIFEST = "aurora_analysis"
"""Where the manifest stands in a notebook's metadata."""


@dataclass(frozen=True)
class Task:
    """One notebook for one cluster: where its page goes, and the manifest that says all else."""

    notebook: Path
    folder: Path
    manifest: Mapping[str, Any]
    timeout_s: float

    @property
    def place(self) -> str:
        """Where in the report its page is."""
        return place(self.manifest["cluster"], self.notebook.stem)


@dataclass(frozen=True)
class Outcome:
    """What came of a task. `error` is empty where it ran to its end; findings are verdicts as plain data."""

    cluster: str
    notebook: str
    title: str
    seconds: float
    error: str = ""
    findings: list[dict[str, Any]] = field(default_factory=list)
    sparklines: list[dict[str, Any]] = field(default_factory=list)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where in the report its page is."""
        return place(self.cluster, self.notebook)


def place(cluster: str, notebook: str) -> str:
    """The address of a page in its report, without suffix; a cluster's name cannot lead out of the folder."""
    folder = quote(cluster, safe="")
    return f"{folder.replace('.', '%2E') if not folder.strip('.') else folder}/{notebook}"


def run(
    tasks: Sequence[Task], *, jobs: int, environment: Mapping[str, str], done: Callable[[Outcome], None]
) -> list[Outcome]:
    """Run all tasks, at most `jobs` at a time, and tell of each as it is done; outcomes in the tasks' order."""
    with tempfile.TemporaryDirectory(prefix="aurora-analysis-") as scratch:
        pool = ProcessPoolExecutor(
            jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_settle,
            initargs=({**environment, "TMPDIR": scratch},),
        )
        try:
            return _run_in(pool, tasks, done)
        except BaseException:
            # An interrupted report does not wait for a cell; a kernel ends when its worker has.
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _run_in(
    pool: ProcessPoolExecutor, tasks: Sequence[Task], done: Callable[[Outcome], None]
) -> list[Outcome]:
    waiting = {pool.submit(execute, task): task for task in tasks}
    outcomes: dict[str, Outcome] = {}
    for future in as_completed(waiting):
        outcome = _outcome(waiting[future], future)
        outcomes[outcome.place] = outcome
        done(outcome)
    return [outcomes[task.place] for task in tasks]


def _settle(environment: Mapping[str, str]) -> None:
    """A worker's kernels see this environment; what goes wrong is told by outcomes, not by papermill's log."""
    os.environ.update({**THRIFTY, **environment})
    tempfile.tempdir = environment["TMPDIR"]
    logging.getLogger("papermill").setLevel(logging.CRITICAL)


THRIFTY = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
"""Kernels give back what they freed: a third less memory on millions of rows. The cores have a kernel each already."""


def execute(task: Task) -> Outcome:
    """Run one notebook; keep it with its page, whatever became of it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        notebook, error = _executed(task, Path(scratch))
    try:
        verdicts = findings(notebook)
    except (TypeError, ValueError) as problem:
        verdicts, error = [], error or f"a finding is not a verdict: {problem}"
    outcome = Outcome(
        cluster=task.manifest["cluster"],
        notebook=task.notebook.stem,
        title=html.title(notebook) or task.notebook.stem,
        seconds=round(time.monotonic() - began, 1),
        error=error,
        findings=[verdict.to_dict() for verdict in verdicts],
        sparklines=[dict(told) for told in _shown(notebook, SPARKLINE)],
        parameters=task.manifest["parameters"],
    )
    _keep(task, notebook, outcome)
    return outcome


def findings(notebook: nbformat.NotebookNode) -> list[Verdict]:
    """The verdicts that an executed notebook shows, in its order."""
    return [Verdict(**told) for told in _shown(notebook, MIME_TYPE)]


def _shown(notebook: nbformat.NotebookNode, kind: str) -> list[dict[str, Any]]:
    """What an executed notebook shows of a kind."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


class Kernel(AsyncKernelManager):
    """A kernel of this very Python, whatever kernelspecs are installed; its own log is not the report's."""

    @property
    def kernel_spec(self) -> KernelSpec:
        launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=launch, display_name="Python 3", language="python")

    async def start_kernel(self, **options: Any) -> None:
        await super().start_kernel(**options, stderr=subprocess.DEVNULL)


def _executed(task: Task, scratch: Path) -> tuple[nbformat.NotebookNode, str]:
    """The notebook after its run, and in one line what stopped it."""
    given, ran = scratch / "given.ipynb", scratch / "ran.ipynb"
    notebook = nbformat.read(task.notebook, as_version=4)
    notebook.metadata[MANIFEST] = dict(task.manifest)
    nbformat.write(_without_outputs(notebook), given)
    error = ""
    try:
        papermill.execute_notebook(
            given,
            ran,
            parameters=dict(task.manifest["parameters"]),
            kernel_name="python3",
            language="python",
            kernel_manager_class=Kernel,
            config=_private_sockets(scratch),
            execution_timeout=task.timeout_s,
            progress_bar=False,
        )
    except Exception as problem:  # a notebook may fail in any way; the others still run
        error = _told(problem, task.timeout_s)
    return _tidied(nbformat.read(ran if ran.exists() else given, as_version=4)), error


def _private_sockets(scratch: Path) -> Config:
    """Sockets in a folder that only this user may enter; loopback TCP is open to every user of the machine."""
    address = str(scratch / "kernel")
    if os.name == "nt" or len(address) > LONGEST_ADDRESS:
        return Config()
    return Config({"KernelManager": {"transport": "ipc", "ip": address}})


LONGEST_ADDRESS = 90
"""A socket's address must fit 104 bytes on macOS, 108 on Linux, with the number that each channel appends."""


def _without_outputs(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook that stops early must not show what an earlier run had found."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _tidied(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without papermill's own error cells and the addresses of its scratch files."""
    notebook = remove_error_markers(notebook)
    for name in ("input_path", "output_path"):
        notebook.metadata.get("papermill", {}).pop(name, None)
    return notebook


def _told(problem: Exception, timeout_s: float) -> str:
    if isinstance(problem, PapermillExecutionError):
        what = problem.evalue if problem.ename == "Error" else f"{problem.ename}: {problem.evalue}"
        return f"cell [{problem.exec_count}] stopped: {_first_line(what)}"
    if isinstance(problem, CellTimeoutError):
        return f"a cell ran longer than {timeout_s:g} s: see --timeout"
    if isinstance(problem, DeadKernelError):
        return "its kernel died; perhaps the machine is short of memory: try --jobs 1"
    return _first_line(f"{type(problem).__name__}: {problem}")


def _outcome(task: Task, future: Future[Outcome]) -> Outcome:
    """What a worker returned, or that it could not."""
    problem = future.exception()
    if problem is None:
        return future.result()
    error = f"its process ended: {_first_line(f'{type(problem).__name__}: {problem}')}"
    return Outcome(task.manifest["cluster"], task.notebook.stem, task.notebook.stem, 0.0, error)


def _keep(task: Task, notebook: nbformat.NotebookNode, outcome: Outcome) -> None:
    notebook.metadata[MANIFEST]["error"] = outcome.error
    kept = task.folder / f"{task.place}.ipynb"
    kept.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, kept)
    page = html.page(notebook, outcome.findings)
    (task.folder / f"{task.place}.html").write_text(page, encoding="utf-8")


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")
