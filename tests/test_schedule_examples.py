"""The examples of deploy/ for a schedule: their commands are ours, and systemd understands its units."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from aurora_analysis.cli.report import report

DEPLOY = Path(__file__).parent.parent / "deploy"
TEXTS = [DEPLOY / "README.md", DEPLOY / "systemd" / "aurora-analysis.service"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_example_fits_the_command(path):
    """Each option that an example names is one of `aurora-analysis report`."""
    examples = re.findall(r"aurora-analysis report (--[^\n\"`]+)", path.read_text())
    assert examples
    known = {option for parameter in report.params for option in parameter.opts}
    for example in examples:
        named = {
            word for word in shlex.split(example.replace("{", "").replace("}", "")) if word.startswith("--")
        }
        assert named <= known, example


def test_systemd_understands_the_units():
    """Whatever systemd-analyze complains of, but for programs that this machine lacks."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    units = sorted(map(str, (DEPLOY / "systemd").iterdir()))
    checked = subprocess.run(
        ["systemd-analyze", "verify", *units], check=False, capture_output=True, text=True
    )
    complaints = [
        line for line in checked.stderr.splitlines() if "aurora" in line and "not executable" not in line
    ]
    assert complaints == []
