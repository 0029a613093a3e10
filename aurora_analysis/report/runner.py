"""Run notebooks on an executor: each with its own kernel, a time limit, and a manifest in its metadata.

A notebook that fails or hangs yields a page like any other: everything that ran before is on it. Workers write nothing
into the report's folder; pages come back as bytes.
"""

from __future__ import annotations

import copy
import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from papermill.execute import remove_error_markers

from aurora_analysis.analysis.verdict import MIME_TYPE, SPARKLINE, Verdict
from aurora_analysis.report import html, kernels

MANIFEST = "aurora_analysis"
"""Key of the manifest in a notebook's metadata."""


@dataclass(frozen=True)
class Task:
    """One notebook to run for one cluster; plain data, so that any process or machine can run it.

    Attributes
    ----------
    notebook
        The notebook's name, without suffix.
    source
        The notebook file's bytes.
    manifest
        What the page records about its run, the parameters included.
    timeout_s
        Time limit for one cell [s].
    environment
        Environment variables of the kernel, in addition to those of its worker.
    settings
        Content of the settings file, which a worker on another machine cannot open; empty if there is none.
    """

    notebook: str
    source: bytes
    manifest: Mapping[str, Any]
    timeout_s: float
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""


@dataclass(frozen=True)
class Outcome:
    """The result of a task.

    Attributes
    ----------
    cluster, notebook
        What ran.
    title
        The notebook's first heading.
    seconds
        Run time [s].
    error
        What stopped the notebook, in one line; empty if it ran to its end.
    findings
        Verdicts as plain data, in the notebook's order.
    sparklines
        Sparklines as plain data.
    parameters
        The parameters that the notebook got.
    """

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
        """The page's path in the report, without suffix."""
        return place(self.cluster, self.notebook)


@dataclass(frozen=True)
class Page:
    """A task's outcome with its files as bytes; both are empty if the worker itself ended early.

    Attributes
    ----------
    outcome
        The result of the task.
    html
        The page [UTF-8].
    notebook
        The executed notebook [UTF-8 JSON].
    """

    outcome: Outcome
    html: bytes = b""
    notebook: bytes = b""


def place(cluster: str, notebook: str) -> str:
    """Return the path of a page in its report, without suffix; no cluster name can lead out of the folder."""
    folder = quote(cluster, safe="")
    return f"{folder.replace('.', '%2E') if not folder.strip('.') else folder}/{notebook}"


def run(tasks: Sequence[Task], executor: Executor, keep: Callable[[Page], None]) -> list[Outcome]:
    """Run all tasks on an executor and hand each page to `keep` as soon as it is done.

    Parameters
    ----------
    tasks
        What to run; each pair of cluster and notebook at most once.
    executor
        Where to run it.
    keep
        Called in this process, in order of completion. Pages are not held in memory after the call.

    Returns
    -------
    list of Outcome
        In the order of `tasks`.
    """
    waiting = {executor.submit(execute, task): task for task in tasks}
    outcomes: dict[str, Outcome] = {}
    for future in as_completed(set(waiting)):
        page = _page(waiting.pop(future), future)
        outcomes[page.outcome.place] = page.outcome
        keep(page)
    return [outcomes[place(task.manifest["cluster"], task.notebook)] for task in tasks]


def execute(task: Task) -> Page:
    """Run one notebook and return its page, also if the notebook fails."""
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # the outcome reports what goes wrong
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        notebook, error = _executed(task, Path(scratch))
    try:
        verdicts = findings(notebook)
    except (TypeError, ValueError) as problem:
        verdicts, error = [], error or f"a finding is not a verdict: {problem}"
    outcome = Outcome(
        cluster=task.manifest["cluster"],
        notebook=task.notebook,
        title=html.title(notebook) or task.notebook,
        seconds=round(time.monotonic() - began, 1),
        error=error,
        findings=[verdict.to_dict() for verdict in verdicts],
        sparklines=[dict(shown) for shown in _shown(notebook, SPARKLINE)],
        parameters=task.manifest["parameters"],
    )
    notebook.metadata[MANIFEST]["error"] = error
    page = html.page(notebook, outcome.findings)
    return Page(outcome, page.encode(), f"{nbformat.writes(notebook)}\n".encode())


def findings(notebook: nbformat.NotebookNode) -> list[Verdict]:
    """Return the verdicts that an executed notebook shows, in its order."""
    return [Verdict(**shown) for shown in _shown(notebook, MIME_TYPE)]


def _shown(notebook: nbformat.NotebookNode, kind: str) -> list[dict[str, Any]]:
    """Return the outputs of one MIME type."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


def _executed(task: Task, scratch: Path) -> tuple[nbformat.NotebookNode, str]:
    """Return the notebook after its run, and in one line what stopped it."""
    given, ran = scratch / "given.ipynb", scratch / "ran.ipynb"
    notebook = nbformat.reads(task.source.decode("utf-8"), as_version=4)
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
            kernel_manager_class=kernels.Kernel,
            config=kernels.settings(scratch, _environment(task, scratch)),
            execution_timeout=task.timeout_s,
            progress_bar=False,
        )
    except Exception as problem:  # a notebook may fail in any way; the others still run
        error = _reason(problem, task.timeout_s)
    return _tidied(nbformat.read(ran if ran.exists() else given, as_version=4)), error


def _environment(task: Task, scratch: Path) -> Mapping[str, str]:
    """Return the kernel's additional environment, which leads to the settings that the task brings."""
    if not task.settings:
        return task.environment
    settings = scratch / "aurora-analysis.toml"
    settings.write_text(task.settings, encoding="utf-8")
    return {**task.environment, "AURORA_ANALYSIS_CONFIG": str(settings)}


def _without_outputs(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop saved outputs: a notebook that stops early must not show an earlier run's findings."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _tidied(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop papermill's own error cells and the paths of its scratch files."""
    notebook = remove_error_markers(notebook)
    for name in ("input_path", "output_path"):
        notebook.metadata.get("papermill", {}).pop(name, None)
    return notebook


def _reason(problem: Exception, timeout_s: float) -> str:
    """Return in one line why a notebook stopped."""
    if isinstance(problem, PapermillExecutionError):
        what = problem.evalue if problem.ename == "Error" else f"{problem.ename}: {problem.evalue}"
        return f"cell [{problem.exec_count}] stopped: {_first_line(what)}"
    if isinstance(problem, CellTimeoutError):
        return f"a cell ran longer than {timeout_s:g} s (raise the limit with --timeout)"
    if isinstance(problem, DeadKernelError):
        return "the kernel died, perhaps because the machine is short of memory (try --jobs 1)"
    return _first_line(f"{type(problem).__name__}: {problem}")


def _page(task: Task, future: Future[Page]) -> Page:
    """Return the page of a finished task; a worker that ended early yields an outcome without files."""
    problem = future.exception()
    if problem is None:
        return future.result()
    error = f"the worker process ended: {_first_line(f'{type(problem).__name__}: {problem}')}"
    return Page(Outcome(task.manifest["cluster"], task.notebook, task.notebook, 0.0, error))


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")
