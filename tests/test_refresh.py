"""A notebook that is run twice in one environment is the same file, figures included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

QUICK = "drill"
"""The notebook that runs fastest; it draws a figure."""


def refreshed(folder: Path) -> bytes:
    """Return the quick notebook as `dev.py notebooks` would write it."""
    convert = ["nbconvert", "--to", "notebook", "--execute", "--log-level=ERROR", f"--output-dir={folder}"]
    options = ["--ExecutePreprocessor.record_timing=False"]
    subprocess.run(
        [sys.executable, "-m", "jupyter", *convert, *options, str(NOTEBOOKS / f"{QUICK}.ipynb")],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore:No store is named:UserWarning"},
    )
    return (folder / f"{QUICK}.ipynb").read_bytes()


def test_two_refreshes_are_byte_identical(tmp_path):
    """So a diff of a committed notebook is a change of the package or of the sample, and of nothing else."""
    assert refreshed(tmp_path / "first") == refreshed(tmp_path / "second")
