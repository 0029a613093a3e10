"""A notebook that is run twice in one environment is the same file, figures included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

QUICK = ("latency", "undo_log")
"""Notebooks that run in seconds and draw every kind of figure: time series, distributions, intervals."""


def refreshed(folder: Path) -> dict[str, bytes]:
    """Return the quick notebooks as `dev.py notebooks` would write them."""
    convert = ["nbconvert", "--to", "notebook", "--execute", "--log-level=ERROR", f"--output-dir={folder}"]
    options = ["--ExecutePreprocessor.record_timing=False"]
    paths = [str(NOTEBOOKS / f"{stem}.ipynb") for stem in QUICK]
    subprocess.run(
        [sys.executable, "-m", "jupyter", *convert, *options, *paths],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore:No store is named:UserWarning"},
    )
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.ipynb"))}


def test_two_refreshes_are_byte_identical(tmp_path):
    """So a diff of a committed notebook is a change of the package or of the sample, and of nothing else."""
    first, second = refreshed(tmp_path / "first"), refreshed(tmp_path / "second")
    assert first.keys() == {f"{stem}.ipynb" for stem in QUICK}
    assert [name for name in first if first[name] != second[name]] == []
