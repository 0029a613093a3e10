"""Every page of the suite on a PostgreSQL cluster: it runs to its end, and says nothing in InnoDB's words."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nbformat
import pandas as pd
import pytest
from postgresql_window import DIGEST, HOUR, WRITER, Hold, busy, write

from aurora_analysis import Store
from aurora_analysis.report import html, suite

mpl.use("agg")

HOLDS = [Hold(10, 30, digest=DIGEST, logged=True), Hold(40, 50), Hold(1, 58, WRITER, "reporting", 7, "other")]
PAGES = [path for path in suite.notebooks() if path.stem != "experiment"]

INNODB = re.compile(
    r"innodb|\bpurge|history list|undo history|undo log\b|read view|mysql|mariadb|max_execution_time|long_query_time"
    r"|performance.schema|binlog|read_committed|RollbackSegment",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("postgresql")
    write(Store(folder), busy(HOLDS))
    return folder


def texts(cells: list[nbformat.NotebookNode], parameters: dict[str, str]) -> Iterator[str]:
    """Run the code cells in this process, and yield what the page shows beside the code."""
    import matplotlib.pyplot as plt

    shown: list[Any] = []
    names: dict[str, Any] = {"display": lambda *objects: shown.extend(objects)}
    plt.close("all")
    for n, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            yield cell.source
            continue
        tree = ast.parse(cell.source)
        last = (
            tree.body.pop() if isinstance(tree.body[-1], ast.Expr) and "display(" not in cell.source else None
        )
        exec(compile(tree, f"cell {n}", "exec"), names)
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), f"cell {n}", "eval"), names))
        names |= parameters if "parameters" in cell.metadata.get("tags", ()) else {}
        yield html.figure_text("", cell.source)
        for number in plt.get_fignums():
            yield from (text.get_text() for text in plt.figure(number).findobj(mpl.text.Text))
        plt.close("all")
    for one in shown:
        yield one.to_html(max_rows=None) if isinstance(one, pd.DataFrame) else str(one)


@pytest.fixture(scope="module")
def shown(store) -> Callable[[Path], list[str]]:
    """Return what a page shows; each page runs once."""
    others = {"digest": DIGEST, "placebos": 0}
    standard = {
        "store": str(store),
        "cluster": "ledger",
        "start": f"{HOUR.start:%FT%T}",
        "end": f"{HOUR.end:%FT%T}",
    }

    @functools.cache
    def run(page: Path) -> list[str]:
        notebook = nbformat.reads(suite.of_engine(page.read_bytes(), "vacuum").decode(), 4)
        return [*texts(notebook.cells, standard | others)]

    return run


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_speaks_of_vacuum(page, shown):
    """Prose, verdicts, tables, figures and their alternative texts name the xmin horizon, never purge."""
    found = [
        f"{match[0]!r} in {text[max(0, match.start() - 80) : match.end() + 40]!r}"
        for text in shown(page)
        for match in INNODB.finditer(text)
    ]
    assert found == []


def test_cells_of_the_other_engine_are_dropped():
    """A report for MySQL has no cell about vacuum, one for PostgreSQL none about purge; the rest is the same."""
    source = suite.notebooks(["undo_log"])[0].read_bytes()
    whole, purge, vacuum = (
        [cell.id for cell in nbformat.reads(text.decode(), 4).cells]
        for text in (source, suite.of_engine(source, "purge"), suite.of_engine(source, "vacuum"))
    )
    assert {"vacuum-2", "undo-l-18-vacuum"} <= set(whole) - set(purge)
    assert {"storage-2", "undo-l-18"} <= set(whole) - set(vacuum)
    assert set(purge) | set(vacuum) == set(whole)


def test_the_page_names_the_holder_and_not_the_trap(shown):
    """The oldest session of all, in another database of the writer, is nowhere on the page."""
    text = "\n".join(shown(suite.notebooks(["undo_log"])[0]))
    assert "`select * from facts` on ledger-2 blocked vacuum for 31 min" in text
    assert "Replay cancelled a query of snowflake on ledger-2" in text
    assert "public.queue" in text
    assert "reporting" not in text
