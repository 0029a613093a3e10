"""The examples of deploy/ for a schedule: their commands are ours, and systemd understands its units."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from aurora_analysis.cli import main

DEPLOY = Path(__file__).parent.parent / "deploy"
TEXTS = [
    DEPLOY / "README.md",
    DEPLOY / "systemd" / "aurora-analysis.service",
    DEPLOY / "airflow" / "aurora_weekly.py",
]
FILLED = {"WEEK": "--start 2026-11-09 --end 2026-11-16", "ARCHIVE": "s3://bucket/reports", "name": "shop"}
"""Placeholders of the DAG."""


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_example_fits_the_command(path):
    """Every command parses with its options, and both the fetch and the report are there."""
    examples = re.findall(r"aurora-analysis ((?:fetch|report|store compact)\b[^\n\"`;]*)", path.read_text())
    for example in examples:
        words = shlex.split(re.sub(r"{(\w+)}", lambda placeholder: FILLED[placeholder[1]], example))
        command: click.Command | None = main
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, example
        command.make_parser(click.Context(command)).parse_args(words)
    assert {example.split()[0] for example in examples} >= {"fetch", "report"}


def test_a_schedule_fetches_before_it_reports():
    """In the unit, fetch and compaction may fail, and the report, which is last, may not."""
    unit = (DEPLOY / "systemd" / "aurora-analysis.service").read_text()
    started = re.findall(r"^ExecStart=(-?)/usr/bin/env aurora-analysis (\w+)", unit, re.MULTILINE)
    assert started == [("-", "fetch"), ("-", "store"), ("", "report")]


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
