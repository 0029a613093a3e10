"""One notebook on a real kernel: it yields a page however it ends."""

from __future__ import annotations

import dataclasses
import json
import os
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import nbformat
import pytest

from aurora_analysis import executors
from aurora_analysis.report import runner

MANIFEST = {
    "schema": 1,
    "run_id": "20261109T000000Z-abcdef",
    "notebook": "tried",
    "cluster": "shop",
    "simulated": "",
    "compressed": "",
    "parameters": {
        "store": "/nowhere",
        "cluster": "shop",
        "start": "2026-11-09",
        "end": "2026-11-10",
        "timezone": "UTC",
        "limit": 3.0,
    },
    "versions": {},
    "package_version": "0.1.0",
    "git_sha": "",
}


def task_of(notebook: Path, timeout_s: float = 60.0, **environment: str) -> runner.Task:
    return runner.Task(notebook.stem, notebook.read_bytes(), MANIFEST, timeout_s, environment)


FINDING = """
from IPython.display import display
display({"application/vnd.aurora-analysis.finding+json": {"topic": "load", "subject": "the writer", "level": "busy",
         "severity": "act", "sentence": f"The limit is {limit}, of {cluster}."}, "text/plain": "busy"}, raw=True)
"""


@pytest.fixture
def executed(notebook, tmp_path):
    """Run cells as a notebook; return the outcome, the page and the executed notebook."""

    def run(*cells: str, timeout_s: float = 60.0) -> tuple[runner.Outcome, str, nbformat.NotebookNode]:
        page = runner.execute(task_of(notebook("tried", *cells), timeout_s))
        kept = nbformat.reads(page.notebook.decode(), as_version=4)
        return page.outcome, page.html.decode(), kept

    return run


def test_parameters_reach_the_notebook_and_findings_come_back(executed):
    """The manifest is in the executed notebook, without a scratch path of this machine."""
    outcome, page, kept = executed(FINDING)
    assert outcome.error == ""
    assert outcome.title == "Is tried well?"
    assert [finding["sentence"] for finding in outcome.findings] == ["The limit is 3.0, of shop."]
    assert '<a href="#finding-1">Verdict for the writer: busy</a>' in page
    assert kept.metadata["aurora_analysis"] == MANIFEST | {"error": ""}
    assert "given.ipynb" not in json.dumps(kept)


def test_a_hanging_cell_is_stopped(executed):
    """The kernel ends as well; earlier output stays on the page."""
    print_pid = "import os; print('pid', os.getpid())"
    outcome, page, kept = executed(print_pid, "import time; time.sleep(600)", timeout_s=3)
    assert outcome.error == "a cell ran longer than 3 s (raise the limit with --timeout)"
    assert outcome.error in page
    pid = int(kept.cells[3].outputs[0].text.split()[1])
    assert f"pid {pid}" in page
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_killed_kernel_is_an_outcome(executed):
    """The kernel is killed, as by the OOM killer."""
    outcome, page, _ = executed("print('hello')", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert outcome.error.startswith("the kernel died")
    assert "hello" in page


def test_an_error_of_ours_is_its_one_line(executed):
    """An `Error` is shown by its message, without the name of its class."""
    stop = "from aurora_analysis.errors import Error\nraise Error('Turn it on.')"
    outcome, page, _ = executed(FINDING, stop)
    assert outcome.error == "cell [4] stopped: Turn it on."
    assert len(outcome.findings) == 1
    assert 'id="stopped"' in page


def test_a_finding_that_is_no_verdict_is_a_failure(executed):
    """An incomplete finding is not shown as a finding."""
    outcome, _, _ = executed(FINDING.replace('"severity": "act", ', ""))
    assert outcome.findings == []
    assert outcome.error.startswith("a finding is not a verdict")


def test_an_earlier_runs_outputs_do_not_pass_for_this_ones(notebook):
    """A notebook that stops at once shows none of its saved outputs."""
    path = notebook("tried", "raise KeyError", "print('stale')")
    saved = nbformat.read(path, as_version=4)
    saved.cells[3].outputs = [nbformat.v4.new_output("stream", text="an old finding")]
    nbformat.write(saved, path)
    assert b"an old finding" not in runner.execute(task_of(path)).html


@pytest.mark.parametrize("cluster", ["..", ".", "a/b", "../../etc"])
def test_a_clusters_name_cannot_lead_out_of_the_report(cluster):
    """Cluster names come from a store that other people can write to."""
    out = Path("/report")
    assert os.path.normpath(out / runner.place(cluster, "load")).startswith("/report/")
    assert len(Path(runner.place(cluster, "load")).parts) == 2


def test_a_spawned_worker_returns_pages_as_bytes(notebook, tmp_path):
    """Everything submitted is picklable, the kernel gets its environment, and nothing is written to this folder."""
    shown = notebook("tried", "import os", "print(os.environ['GREETING'])")
    tasks = [task_of(shown, GREETING="hello from the task"), other_cluster(task_of(shown, GREETING="again"))]
    before = sorted(tmp_path.rglob("*"))
    pages: list[runner.Page] = []
    with executors.processes(1) as executor:
        outcomes = runner.run(tasks, executor, pages.append)
    assert [outcome.error for outcome in outcomes] == ["", ""]
    assert [outcome.place for outcome in outcomes] == ["shop/tried", "toy/tried"]
    assert b"hello from the task" in pages[0].html
    assert nbformat.reads(pages[0].notebook.decode(), as_version=4).metadata["aurora_analysis"]["error"] == ""
    assert sorted(tmp_path.rglob("*")) == before


def other_cluster(task: runner.Task) -> runner.Task:
    return dataclasses.replace(task, manifest=MANIFEST | {"cluster": "toy"})


class Broken(Executor):
    """An executor whose workers die."""

    def submit(self, function, /, *arguments, **options):
        """Return a future that failed as a killed worker's does."""
        future: Future = Future()
        future.set_exception(BrokenProcessPool("terminated abruptly"))
        return future


def test_a_dead_worker_is_an_outcome_without_files(notebook):
    """Its task is reported as failed; there is no page to write."""
    pages: list[runner.Page] = []
    (outcome,) = runner.run([task_of(notebook("tried"))], Broken(), pages.append)
    assert outcome.error == "the worker process ended: BrokenProcessPool: terminated abruptly"
    assert (pages[0].html, pages[0].notebook) == (b"", b"")
