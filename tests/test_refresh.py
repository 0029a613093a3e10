"""A notebook that is run twice in one environment is the same file, figures included."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

QUICK = "drill"
"""The notebook that runs fastest; it draws a figure."""


def test_two_refreshes_are_byte_identical(tmp_path):
    """So a diff of a committed notebook is a change of the package or of the sample, and of nothing else."""
    twice = [tmp_path / "first.ipynb", tmp_path / "second.ipynb"]
    for copy in twice:
        shutil.copy(NOTEBOOKS / f"{QUICK}.ipynb", copy)
    convert = ["nbconvert", "--to", "notebook", "--execute", "--inplace", "--log-level=ERROR"]
    options = ["--ExecutePreprocessor.record_timing=False"]
    subprocess.run(
        [sys.executable, "-m", "jupyter", *convert, *options, *map(str, twice)],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore:No store is named:UserWarning"},
    )
    assert b"image/png" in twice[0].read_bytes()
    assert twice[0].read_bytes() == twice[1].read_bytes()
