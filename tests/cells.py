"""Run a notebook's cells in this process: faster than a kernel, and a test sees the exception itself."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nbformat

from aurora_analysis.analysis.verdict import Verdict

mpl.use("agg")

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def verdicts(topic: str, **parameters: Any) -> list[Verdict]:
    """Return the verdicts that a notebook of the suite displays with these parameters; cells behind the last verdict do not run."""
    import matplotlib.pyplot as plt

    shown: list[Any] = []
    names: dict[str, Any] = {"display": lambda *objects: shown.extend(objects)}
    cells = [
        cell for cell in nbformat.read(NOTEBOOKS / f"{topic}.ipynb", 4).cells if cell.cell_type == "code"
    ]
    last = max(n for n, cell in enumerate(cells) if ".verdicts" in cell.source)
    unknown = set(parameters) - {node.target.id for node in ast.parse(cells[0].source).body}
    assert not unknown, f"{topic} has no parameter {unknown}"
    for n, cell in enumerate(cells[: last + 1]):
        exec(compile(cell.source, f"{topic}[{n}]", "exec"), names)
        names |= parameters if n == 0 else {}
    plt.close("all")
    return [one for one in shown if isinstance(one, Verdict)]
