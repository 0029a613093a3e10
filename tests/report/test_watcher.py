"""A report that is killed at any moment leaves no hidden folder and no process; a report that ends leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from lab_processes import ends, is_running

from aurora_analysis.report import replacement

CHILDREN = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
pytestmark = pytest.mark.skipif(not CHILDREN.exists(), reason="Linux lists the children of a process")

REPORT = """
import sys, time
from pathlib import Path
from aurora_analysis import executors
from aurora_analysis.report import replacement

def reached(stage):
    if stage == sys.argv[2]:
        print(stage, flush=True)
        time.sleep(600)

def rename(*places, move=Path.rename):
    move(*places)
    reached("while it moves")

if __name__ == "__main__":
    with replacement.built(Path(sys.argv[1])) as folder:
        (folder / "index.html").touch()
        reached("before the first worker")
        with executors.processes(1) as pool:
            pool.submit(abs, 0).result()
            reached("while workers run")
        reached("after the last worker")
        Path.rename = rename
"""
"""A report without notebooks, which prints the stage that it was asked for and waits there to be killed."""


@contextmanager
def report(folder: Path, stage: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Run a report over an earlier one up to a stage; yields it and the processes that it has started."""
    output = folder / "reports" / "out"
    if not output.exists():
        output.mkdir(parents=True)
        (output / "earlier").touch()
    (folder / "report.py").write_text(REPORT)
    words = [sys.executable, str(folder / "report.py"), str(output), stage]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{stage}\n"
            yield process, children(process.pid)
        finally:
            process.kill()


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def contents(folder: Path) -> list[str]:
    """The report in a folder and what else is there, by their names."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def until(holds: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.02)


@pytest.mark.parametrize(
    "stage", ["before the first worker", "while workers run", "after the last worker", "while it moves"]
)
def test_a_killed_report_leaves_nothing(tmp_path, stage):
    """SIGKILL at each stage: the hidden folder goes, the earlier report stays or comes back, and no process is left."""
    with report(tmp_path, stage) as (process, started):
        assert list((tmp_path / "reports").glob(".out.*/new"))
        assert (tmp_path / "reports" / "out").exists() == (stage != "while it moves")
        assert started
        process.kill()
    assert all(map(ends, started))
    assert contents(tmp_path / "reports") == ["out", "out/earlier"]


def test_a_killed_report_spares_one_that_runs(tmp_path):
    """Two reports to the same place: only the folder of the killed one goes."""
    with report(tmp_path, "before the first worker") as (process, [watcher]):
        with report(tmp_path, "before the first worker") as (other, [others]):
            other.kill()
            assert ends(others)
        assert len(list((tmp_path / "reports").glob(".out.*/new/index.html"))) == 1
        process.kill()
    assert ends(watcher)


def test_no_caller_waits_for_the_watcher(tmp_path):
    """It ignores the signals that end its group and its session, and holds no stream of the report's."""
    with report(tmp_path, "before the first worker") as (process, [watcher]):
        assert os.getsid(watcher) == watcher
        until(lambda: ignored(watcher) >= {signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
        os.kill(watcher, signal.SIGTERM)
        os.kill(watcher, signal.SIGSTOP)
        process.kill()
        process.communicate(timeout=30)  # returns at the end of the report's output, which nobody else holds
        assert is_running(watcher)
        os.kill(watcher, signal.SIGCONT)
    assert ends(watcher)
    assert contents(tmp_path / "reports") == ["out", "out/earlier"]


def ignored(pid: int) -> set[int]:
    """Signals that a process ignores."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


@pytest.mark.parametrize("problem", [None, RuntimeError, KeyboardInterrupt])
def test_a_report_that_ends_leaves_no_process(tmp_path, problem):
    """Also after an error and Ctrl-C: the process beside it has ended and was reaped."""
    before = children(os.getpid())
    with pytest.raises(problem) if problem else nullcontext(), replacement.built(tmp_path / "out"):
        [watcher] = set(children(os.getpid())) - set(before)
        if problem:
            raise problem
    assert not Path(f"/proc/{watcher}").exists()
    assert contents(tmp_path) == ([] if problem else ["out"])


def test_a_report_needs_no_watcher(tmp_path, monkeypatch):
    """At the limit of processes the report is written all the same."""

    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refused)
    with replacement.built(tmp_path / "out"):
        pass
    assert contents(tmp_path) == ["out"]
