"""A notebook that is run twice in one environment is the same file, figures included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def refreshed(folder: Path) -> dict[str, bytes]:
    """Every notebook as `dev.py notebooks` would write it."""
    convert = ["nbconvert", "--to", "notebook", "--execute", "--log-level=ERROR", f"--output-dir={folder}"]
    options = ["--ExecutePreprocessor.record_timing=False"]
    paths = sorted(map(str, NOTEBOOKS.glob("*.ipynb")))
    subprocess.run(
        [sys.executable, "-m", "jupyter", *convert, *options, *paths], check=True, capture_output=True
    )
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.ipynb"))}


def test_two_refreshes_are_byte_identical(tmp_path):
    """So a diff of a committed notebook is a change of the package or of the sample, and of nothing else."""
    first, second = refreshed(tmp_path / "first"), refreshed(tmp_path / "second")
    assert first.keys() == {path.name for path in NOTEBOOKS.glob("*.ipynb")}
    assert [name for name in first if first[name] != second[name]] == []
