"""The set-up script: standard library only, and clear messages for unknown names."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

DEV = Path(__file__).parent.parent / "dev.py"


def test_it_needs_nothing_but_python():
    """Every import is of the standard library."""
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(DEV.read_text()))
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
        + ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
    }
    assert names <= sys.stdlib_module_names


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(DEV), *arguments], capture_output=True, text=True, check=False)


def test_an_unknown_chore_names_the_known_ones():
    """Exit code 2, and the list."""
    done = ran("teest")
    assert done.returncode == 2
    assert "demo" in done.stderr


def test_an_unknown_benchmark_names_the_known_ones(tmp_path):
    """Nothing runs before the names are checked."""
    done = ran("bench", "no_such")
    assert done.returncode == 2
    assert "slow_log" in done.stderr


def test_help_lists_every_chore():
    """One line each."""
    shown = ran("--help").stdout
    assert all(
        chore in shown
        for chore in ("demo", "test", "lint", "notebooks", "bench", "calibrate", "clean", "docs", "snapshot")
    )


SET_UP = """
import dev, pathlib, time

def made():
    with open("made", "a") as file:
        file.write("begun ")
        file.flush()
        time.sleep(0.3)
        dev.VENV.mkdir()
        file.write("ended ")
    return True

dev.with_uv, dev.run = made, lambda *arguments: 0
dev.set_up()
"""
"""Set up with an environment that takes a while to make, and that cannot be made twice."""


def test_two_at_once_set_up_one_after_the_other(tmp_path):
    """The second waits, and finds the environment made."""
    for name in ("dev.py", "requirements.lock", "pyproject.toml", "hatch_build.py"):
        shutil.copy(DEV.parent / name, tmp_path)
    command = [sys.executable, "-c", SET_UP]
    both = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) for _ in range(2)]
    assert [(one.communicate()[1].count(b"Setting up"), one.returncode) for one in both] in (
        [(1, 0), (0, 0)],
        [(0, 0), (1, 0)],
    )
    assert (tmp_path / "made").read_text() == "begun ended "
