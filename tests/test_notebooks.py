"""The notebooks ask, the package answers: thin cells, typed parameters, true outputs."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COMMON = {
    "store": "str",
    "cluster": "str",
    "start": "str",
    "end": "str",
    "timezone": "str",
}


def notebook(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook(path).cells if cell.cell_type == "code"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


def test_the_suite_is_whole():
    """The three notebooks of the first release are there."""
    assert {"undo_log", "reader_impact", "latency"} <= {path.stem for path in NOTEBOOKS}


def test_one_topic_has_one_name(path):
    """notebooks/x.ipynb, analysis/x.py or analysis/x/, and tests/analysis/test_x.py or tests/analysis/x/ belong together."""
    topic, tests = path.stem, ROOT / "tests" / "analysis"
    module = f"aurora_analysis.analysis.{topic}"
    assert importlib.util.find_spec(module), f"notebooks/{path.name} needs a module or package {module}"
    assert (tests / f"test_{topic}.py").is_file() or (tests / topic).is_dir(), (
        f"notebooks/{path.name} needs tests/analysis/test_{topic}.py or a folder tests/analysis/{topic}/"
    )


LISTED = {
    "README.md": "| `{}` |",
    "mkdocs.yml": "notebooks/{}.ipynb",
    "docs/reference/api.md": "::: aurora_analysis.analysis.{}\n",
}
"""Pages that list every topic → the text by which they do."""


@pytest.mark.parametrize("page", LISTED)
def test_every_topic_is_listed(path, page):
    """A notebook that no page names is not found by its readers."""
    entry = LISTED[page].format(path.stem)
    assert entry in (ROOT / page).read_text(encoding="utf-8"), f"{page} must contain {entry.strip()!r}"


def test_it_opens_with_its_question(path):
    """The first cell is the question, in words."""
    first = notebook(path).cells[0]
    assert first.cell_type == "markdown"
    title = first.source.splitlines()[0]
    assert re.fullmatch(r"# .*\?", title), f"{title!r} must be a title that asks a question: '# …?'"


def test_it_says_on_which_cluster_it_opens(path):
    """The default shows the topic best; the reader must not take the sample for their own cluster."""
    default = re.search(r'^cluster: str = "(\w+)"', code(path)[0].source, re.MULTILINE)
    opening = " ".join(" ".join(cell.source for cell in notebook(path).cells[:2]).split())
    assert default
    assert f"opens on the sample's cluster `{default[1]}`" in opening


def test_every_parameter_is_typed_and_documented(path):
    """papermill turns the type and the comment into help, and the report checks them."""
    cell = code(path)[0]
    assert cell.metadata.tags == ["parameters"]
    found = {}
    for node, line in zip(ast.parse(cell.source).body, cell.source.splitlines(), strict=True):
        assert isinstance(node, ast.AnnAssign), line
        assert isinstance(node.annotation, ast.Name), line
        assert "  # " in line, (
            f"{line!r} needs a comment, which is the parameter's help: '  # meaning [unit]'"
        )
        found[node.target.id] = node.annotation.id
    assert found.items() >= COMMON.items()
    assert set(found.values()) <= {"str", "int", "float", "bool"}


def test_cells_are_thin(path):
    """One thought a cell: at most eight lines, no definitions, no loops, no branches."""
    for cell in code(path)[1:]:
        assert len(cell.source.splitlines()) <= 8, cell.source
        banned = ast.FunctionDef | ast.ClassDef | ast.For | ast.While | ast.If | ast.Try | ast.Lambda
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, banned)], (
            cell.source
        )


def test_a_recipe_takes_at_most_five_lines():
    """A question in five lines of public API: what takes more belongs into the package."""
    recipes = code(ROOT / "notebooks" / "explore.ipynb")[2:]
    assert len(recipes) >= 7
    assert [cell.source for cell in recipes if len(cell.source.splitlines()) > 5] == []


def test_prose_stands_above_every_section(path):
    """Every section has a heading and describes the result to expect if the answer is yes."""
    prose = [cell for cell in notebook(path).cells if cell.cell_type == "markdown"]
    sections = [cell.source for cell in prose if cell.metadata.get("tags") != ["notebook-only"]]
    assert len(sections) >= 4
    assert [section for section in sections if not section.startswith("#")] == []
    short = [section for section in sections if len(section.split()) < 12]
    assert short == [], "these sections need at least 12 words: what the reader sees if the answer is yes"


def test_outputs_are_committed_and_clean(path):
    """Without outputs nbval would check nothing; outputs hold no path, no error and no warning."""
    cells = code(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), (
        "run python3 dev.py notebooks, and commit the outputs"
    )
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("application/vnd.aurora-analysis.finding+json" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type in {"error", "stream"}]
    text = "".join(str(output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert str(ROOT) not in text
    assert not re.search(r"\bat 0x[0-9a-f]+", text)


def test_a_notebook_contains_nothing_personal(path):
    """The file contains no timing, no machine's kernel and no widget state."""
    kept = notebook(path)
    assert set(kept.metadata) <= {"kernelspec", "language_info"}
    assert kept.metadata.kernelspec.name == "python3"
    assert all(set(cell.metadata) <= {"tags"} for cell in kept.cells)
