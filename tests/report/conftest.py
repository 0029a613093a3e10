"""A small store and small notebooks, so that tests of the report need neither the suite nor the sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from aurora_analysis import Store, Window

DAY = Window("2026-11-09", "2026-11-10")
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}

PARAMETERS = """
store: str = ""              # folder or s3:// prefix
cluster: str = "shop"        # the cluster
start: str = "2026-11-09"    # UTC, inclusive
end: str = "2026-11-10"      # UTC, exclusive
timezone: str = "UTC"        # time zone for readers
limit: float = 10.0          # act above this
"""


@pytest.fixture(autouse=True)
def _quick_pages(pages_inline: None) -> None:
    """Tests of workers and of kills start the command or a pool of their own."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Clusters `shop` and `toy` with one value per hour for a day; `toy` is simulated."""
    opened = Store(tmp_path / "store")
    fill(opened, "shop", "a server", 5.0)
    fill(opened, "toy", "simulated, seed 1", 20.0)
    return opened


def fill(store: Store, cluster: str, source: str, value: float) -> None:
    """Write one value per hour for a day, and its coverage."""
    times = pd.date_range(DAY.start, DAY.end, freq="h", inclusive="left", unit="us")
    hours = pd.DataFrame(
        {"time": times, "period_s": 3600.0, "instance": f"{cluster}-1", "name": "dml_latency", "value": value}
    )
    got = {"time": times[:1], "end": [pd.Timestamp(DAY.end)], "table": "metrics", "instance": f"{cluster}-1"}
    counts = {"expected": 24.0, "received": 24.0, "lost": 0.0, "unit": "points"}
    store.write("metrics", hours, DAY, cluster=cluster, source=source)
    store.write("coverage", pd.DataFrame(got | counts), DAY, cluster=cluster, source=source)


@pytest.fixture
def refill() -> Callable[[Store, float], None]:
    """Return a function that rewrites the day of cluster `toy` with another value."""
    return lambda store, value: fill(store, "toy", "simulated, seed 1", value)


@pytest.fixture
def notebook(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a notebook; cells that begin with # become markdown, all others code."""

    def write(name: str, *cells: str, parameters: str = PARAMETERS) -> Path:
        new = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
        declared = nbformat.v4.new_code_cell(parameters.strip(), metadata={"tags": ["parameters"]})
        new.cells = [nbformat.v4.new_markdown_cell(f"# Is {name} well?"), declared, *map(_cell, cells)]
        for n, cell in enumerate(new.cells):
            cell["id"] = f"cell-{n}"
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(new, path)
        return path

    return write


def _cell(text: str) -> nbformat.NotebookNode:
    if text.lstrip().startswith("#"):
        return nbformat.v4.new_markdown_cell(text.strip())
    return nbformat.v4.new_code_cell(text.strip())
