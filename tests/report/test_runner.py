"""One notebook with a real kernel: whatever becomes of it, its page is there and says so."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import pytest

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

FINDING = """
from IPython.display import display
display({"application/vnd.aurora-analysis.finding+json": {"topic": "load", "subject": "the writer", "level": "busy",
         "severity": "act", "sentence": f"The limit is {limit}, of {cluster}."}, "text/plain": "busy"}, raw=True)
"""


@pytest.fixture
def executed(notebook, tmp_path):
    """Runs cells as a notebook; returns the outcome, and the page and the notebook that were kept."""

    def run(*cells: str, timeout_s: float = 60.0) -> tuple[runner.Outcome, str, nbformat.NotebookNode]:
        task = runner.Task(notebook("tried", *cells), tmp_path / "out", MANIFEST, timeout_s)
        outcome = runner.execute(task)
        place = tmp_path / "out" / outcome.place
        kept = nbformat.read(place.with_suffix(".ipynb"), as_version=4)
        return outcome, place.with_suffix(".html").read_text(), kept

    return run


def test_parameters_reach_the_notebook_and_findings_come_back(executed):
    """And the manifest travels with it, without a scratch address of this machine."""
    outcome, page, kept = executed(FINDING)
    assert outcome.error == ""
    assert outcome.title == "Is tried well?"
    assert [finding["sentence"] for finding in outcome.findings] == ["The limit is 3.0, of shop."]
    assert '<a href="#finding-1">the writer: busy</a>' in page
    assert kept.metadata["aurora_analysis"] == MANIFEST | {"error": ""}
    assert "given.ipynb" not in json.dumps(kept)


def test_a_hanging_cell_is_stopped(executed):
    """Its kernel too; what was shown before stays."""
    tell = "import os; print('pid', os.getpid())"
    outcome, page, kept = executed(tell, "import time; time.sleep(600)", timeout_s=3)
    assert outcome.error == "a cell ran longer than 3 s: see --timeout"
    assert outcome.error in page
    pid = int(kept.cells[3].outputs[0].text.split()[1])
    assert f"pid {pid}" in page
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_killed_kernel_is_an_outcome(executed):
    """As when the machine runs out of memory."""
    outcome, page, _ = executed("print('hello')", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert outcome.error.startswith("its kernel died")
    assert "hello" in page


def test_an_error_of_ours_is_its_one_line(executed):
    """The words of an Error are for people; its class is not."""
    stop = "from aurora_analysis.errors import Error\nraise Error('Turn it on.')"
    outcome, page, _ = executed(FINDING, stop)
    assert outcome.error == "cell [4] stopped: Turn it on."
    assert len(outcome.findings) == 1
    assert 'id="stopped"' in page


def test_a_finding_that_is_no_verdict_is_a_failure(executed):
    """Half a finding is not shown as a finding."""
    outcome, _, _ = executed(FINDING.replace('"severity": "act", ', ""))
    assert outcome.findings == []
    assert outcome.error.startswith("a finding is not a verdict")


def test_an_earlier_runs_outputs_do_not_pass_for_this_ones(notebook, tmp_path):
    """A notebook that stops at once shows nothing of what was saved in it."""
    path = notebook("tried", "raise KeyError", "print('stale')")
    saved = nbformat.read(path, as_version=4)
    saved.cells[3].outputs = [nbformat.v4.new_output("stream", text="an old finding")]
    nbformat.write(saved, path)
    runner.execute(runner.Task(path, tmp_path / "out", MANIFEST, 60.0))
    assert "an old finding" not in (tmp_path / "out" / "shop" / "tried.html").read_text()


@pytest.mark.parametrize("cluster", ["..", ".", "a/b", "../../etc"])
def test_a_clusters_name_cannot_lead_out_of_the_report(cluster):
    """Names come from a store that others may write."""
    out = Path("/report")
    assert os.path.normpath(out / runner.place(cluster, "load")).startswith("/report/")
    assert len(Path(runner.place(cluster, "load")).parts) == 2
