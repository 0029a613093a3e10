"""The command on real kernels: failures are reported, and an earlier report can be rerun."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from lab_processes import is_running

from aurora_analysis import Window
from aurora_analysis.bundled import bundled
from aurora_analysis.cli import main
from aurora_analysis.report import index

LOAD = """
from aurora_analysis import Store, Window
from aurora_analysis.analysis.verdict import Verdict
mean = float(Store(store).read("metrics", Window(start, end), cluster=cluster)["value"].mean())
Verdict("load", "the writer", "busy" if mean > limit else "calm", "act" if mean > limit else "ok",
        f"The mean was {mean:.1f}.", {"mean": mean})
"""


def report(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def record(folder: Path) -> dict:
    return json.loads((folder / "findings.json").read_text())


def findings(folder: Path) -> list[dict]:
    """Return the findings, which do not contain the id of their run."""
    return record(folder)["findings"]


def test_a_failing_notebook_is_flagged_and_the_others_still_run(store, notebook, tmp_path):
    """Exit code 1, a red box in the index, and what the failing and the other notebook found."""
    broken = notebook("broken", LOAD, "raise KeyError('db-7')", "print('never')")
    named = ["--notebook", broken, "--notebook", notebook("load", LOAD)]
    output = tmp_path / "out"
    ran = report("--store", store.location, "--cluster", "shop", *named, "--output", output)
    assert ran.exit_code == 1
    assert ran.stdout.splitlines() == [str(output / "index.html")]
    errors = {notebook["notebook"]: notebook["error"] for notebook in record(output)["notebooks"]}
    assert errors == {"broken": "cell [4] stopped: KeyError: 'db-7'", "load": ""}
    assert [finding["notebook"] for finding in findings(output)] == ["broken", "load"]
    assert "Is broken well? did not finish:</strong> cell [4]" in (output / "index.html").read_text()
    assert sorted(path.name for path in (output / "shop").iterdir()) == [
        "broken.html",
        "broken.ipynb",
        "load.html",
        "load.ipynb",
    ]
    assert list(tmp_path.glob(".out.*")) == [], "nothing is left beside the report"


def test_a_week_without_data_leads_in_red(store, notebook, tmp_path):
    """Exit code 1 and one line that says where the data end; the other cluster is reported as always."""
    output = tmp_path / "out"
    named = ["--store", store.location, "--notebook", notebook("load", LOAD), "--output", output]
    store.write("coverage", later_coverage(), LATER, cluster="toy", source="a server")
    ran = report(*named, "--week", "2026-W48", "--fail-on", "act")
    text = "No data for this week: the store's data of shop end at 2026-11-10 00:00 UTC"
    assert ran.exit_code == 1, ran.output
    assert text in ran.stderr.splitlines()
    assert {one["cluster"]: one["no_data"] for one in record(output)["clusters"]} == {"shop": text, "toy": ""}
    page = (output / "index.html").read_text()
    assert "No data for this week" in page.split("<main>")[1][:200]
    assert "Nothing needs action" not in page


LATER = Window("2026-11-23", "2026-11-30")


def later_coverage() -> pd.DataFrame:
    """A fetch that received one of many points."""
    counts = {"expected": 168.0, "received": 1.0, "lost": 0.0, "unit": "points", "table": "metrics"}
    times = {
        "time": [pd.Timestamp(LATER.start).as_unit("us")],
        "end": [pd.Timestamp(LATER.end).as_unit("us")],
    }
    return pd.DataFrame(times | counts)


@pytest.mark.parametrize(("severity", "code"), [("unknown", 3), ("ok", 0)])
def test_unknown_findings_raise_an_alarm_on_request(store, notebook, tmp_path, severity, code):
    """--fail-on unknown exits with 3 for an unknown finding, and with 0 if every finding is ok."""
    cell = (
        f'from aurora_analysis.analysis.verdict import Verdict\nVerdict("a", "b", "c", "{severity}", "So.")'
    )
    named = ["--store", store.location, "--cluster", "shop", "--notebook", notebook("load", cell)]
    assert report(*named, "--output", tmp_path / "out", "--fail-on", "unknown").exit_code == code


def test_an_earlier_report_runs_again_on_what_it_read(store, notebook, tmp_path, refill):
    """Data written in between do not change the findings of the repeated report."""
    first, repeated = tmp_path / "first", tmp_path / "repeated"
    load = notebook("load", LOAD)
    options = ["--store", store.location, "--cluster", "toy", "--notebook", load]
    options += ["-p", "limit=4", "--timezone", "Europe/Berlin", "--jobs", 1]
    assert report(*options, "--output", first).exit_code == 0
    refill(store, 3.0)
    assert set(store.read("metrics", cluster="toy")["value"]) == {3.0}
    again = ["--versions", first / "findings.json", "--jobs", 1, "--output", repeated]
    refused = report(*again)
    assert (refused.exit_code, repeated.exists()) == (2, False), "the file may not choose a notebook to run"
    assert f"names the notebook '{load}', which is not one of the suite's" in refused.stderr
    assert report(*again, "--notebook", load).exit_code == 0
    assert findings(repeated) == findings(first)
    assert [finding["numbers"]["mean"] for finding in findings(first)] == [20.0]
    run = record(first)["run"]
    for name in ("versions", "windows", "parameters", "timezone", "notebooks", "store"):
        assert record(repeated)["run"][name] == run[name]
    kept = nbformat.read(first / "toy" / "load.ipynb", as_version=4).metadata["aurora_analysis"]
    assert kept["run_id"] == run["id"]
    assert {"toy": kept["versions"]} == run["versions"] != store.versions()
    assert kept["parameters"]["limit"] == 4.0
    assert kept["simulated"] == "simulated, seed 1"
    assert "Simulated data" in (first / "toy" / "load.html").read_text()


@pytest.fixture
def fails_early(store, notebook, tmp_path):
    """Return a function that runs the command and asserts that it refused before the notebook ran."""
    mark = tmp_path / "ran"
    load = notebook("load", f"open({str(mark)!r}, 'w')")

    def ran(*arguments: object) -> str:
        done = report("--store", store.location, "--notebook", load, *arguments)
        assert done.exit_code == 2, done.output
        assert not mark.exists()
        assert len(done.stderr.splitlines()) == 1
        return done.stderr

    return ran


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-p", "limt=3"], r"load.ipynb has no parameter 'limt' \(did you mean limit\?\)"),
        (["-p", "limit=high"], "limit=high does not fit load.ipynb"),
        (["-p", "limit"], "write -p NAME=VALUE"),
        (["--notebook", "lod"], "No notebook is named 'lod'"),
        (["--cluster", "shoop"], r"no cluster 'shoop' \(it has: shop, toy\)"),
        (["--week", "2026-W46", "--last-week"], "Name one window"),
        (["--week", "2026-W99"], "'2026-W99' is not a week"),
        (["--start", "2026-11-09"], "A window has two ends"),
        (["--start", "2026-11-09", "--end", "2026-11-08"], "start must be before its end"),
        (["--timezone", "Mars/Olympus"], "no time zone 'Mars/Olympus'"),
        (["--versions", "nowhere.json"], "Cannot read nowhere.json"),
    ],
)
def test_wrong_input_costs_one_line(fails_early, tmp_path, arguments, says):
    """Exit code 2, before anything runs and before anything is written."""
    assert re.search(says, fails_early(*arguments, "--output", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_only_an_earlier_report_is_replaced(fails_early, tmp_path):
    """Another folder or a file stays unchanged."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").touch()
    assert "contains something other than a report" in fails_early("--output", photos)
    assert (photos / "cat.jpg").exists()
    assert "is a file" in fails_early("--output", photos / "cat.jpg")


def test_an_empty_store_says_so(notebook, tmp_path):
    """Exit code 2 and the next step, not a report without findings."""
    done = report("--store", tmp_path / "empty", "--notebook", notebook("load"), "--output", tmp_path / "out")
    assert done.exit_code == 2
    assert "is empty. Run fetch, ingest or lab record first" in done.stderr


def test_the_suite_can_be_copied(tmp_path):
    """The copies are identical to the suite's notebooks."""
    folder = tmp_path / "mine"
    done = CliRunner().invoke(main, ["notebooks", str(folder)])
    assert done.exit_code == 0, done.output
    suite = sorted(bundled("notebooks").glob("*.ipynb"))
    assert sorted(done.stdout.splitlines()) == [str(folder / path.name) for path in suite]
    assert [(folder / path.name).read_bytes() for path in suite] == [path.read_bytes() for path in suite]


@pytest.fixture
def hanging_report(store, notebook, tmp_path):
    """A running report over an earlier one, and the process ids of its worker and its kernel, whose cell hangs."""
    mark, scratch = tmp_path / "pid", tmp_path / "scratch"
    scratch.mkdir()
    written = f"pathlib.Path({str(mark)!r}).write_text(f'{{os.getppid()}} {{os.getpid()}}')"
    hanging = notebook("hanging", f"import os, pathlib, time; {written}; time.sleep(600)")
    output = tmp_path / "reports" / "out"
    output.mkdir(parents=True)
    index.write(output, index.record(RUN, [], []))
    options = ["--store", store.location, "--cluster", "shop", "--notebook", hanging, "--output", output]
    command = [sys.executable, "-m", "aurora_analysis", "report", *map(str, options)]
    with subprocess.Popen(command, env=os.environ | {"TMPDIR": str(scratch)}) as running:
        until(lambda: mark.exists() and mark.read_text() or running.poll() is not None)
        yield running, [int(pid) for pid in mark.read_text().split()], output
        running.kill()


def test_an_interrupted_report_leaves_nothing(hanging_report, tmp_path):
    """SIGTERM while a cell hangs: the earlier report stays, the kernel ends, no folder is left behind."""
    running, pids, output = hanging_report
    running.terminate()
    assert running.wait() == 143
    until(lambda: not any(map(is_running, pids)))
    assert [path.name for path in output.parent.iterdir()] == ["out"]
    assert record(output)["run"] == RUN
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_killed_report_leaves_no_process(hanging_report, store, notebook, tmp_path):
    """SIGKILL of the main process: worker and kernel end, the hidden folder disappears, and the earlier report stays."""
    running, pids, output = hanging_report
    assert all(map(is_running, pids))
    running.kill()
    running.wait()
    until(lambda: not any(map(is_running, pids)))
    assert record(output)["run"] == RUN
    until(lambda: [path.name for path in output.parent.iterdir()] == ["out"])
    until(lambda: not list((tmp_path / "scratch").iterdir()))
    options = ["--store", store.location, "--cluster", "shop", "--notebook", notebook("load", LOAD)]
    assert report(*options, "--output", output).exit_code == 0
    assert [path.name for path in output.parent.iterdir()] == ["out"]


RUN = {
    "id": "earlier",
    "archived": False,
    "store": "",
    "versions": {},
    "timezone": "UTC",
    "parameters": {},
} | {
    "package_version": "0.1.0",
    "git_sha": "",
}


def until(holds: Callable[[], object], seconds: float = 120) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "the condition did not hold in time"
        time.sleep(0.1)
