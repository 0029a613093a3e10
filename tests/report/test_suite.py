"""Notebooks and their parameters: wrong input is refused in one line, before anything runs."""

from __future__ import annotations

import pytest

from aurora_analysis.errors import Error
from aurora_analysis.report import suite


@pytest.fixture
def small_suite(tmp_path, monkeypatch, notebook):
    """A suite of two notebooks."""
    notebook("load")
    notebook("locks")
    monkeypatch.setattr(suite, "bundled", lambda name: tmp_path)
    return tmp_path


def test_no_name_is_the_whole_suite(small_suite):
    """Sorted by name."""
    assert [path.stem for path in suite.notebooks()] == ["load", "locks"]


def test_a_report_leaves_the_recipes_out_unless_they_are_named(small_suite, notebook):
    """They judge nothing, so that a weekly page would gain nothing."""
    notebook(suite.BENCH)
    assert [path.stem for path in suite.of_report()] == ["load", "locks"]
    assert [path.stem for path in suite.of_report(["explore", "load"])] == ["explore", "load"]
    assert suite.BENCH in [path.stem for path in suite.notebooks()]


def test_a_notebook_can_be_named_by_its_path(small_suite, notebook, tmp_path):
    """A path works like a name; repeated notebooks are chosen once."""
    own = notebook("own")
    assert suite.notebooks(["load", str(own), "load"]) == [tmp_path / "load.ipynb", own]


def test_a_misspelt_notebook_gets_a_suggestion(small_suite):
    """The message suggests the nearest name and lists all."""
    with pytest.raises(
        Error,
        match=r"No notebook is named 'lod' \(did you mean load\?\). Use one of load, locks, or the path",
    ):
        suite.notebooks(["lod"])


def test_parameters_are_read_from_the_cell(notebook):
    """Each parameter has a name, a type, a default and a meaning."""
    found = suite.parameters(notebook("load"))
    assert found["limit"] == suite.Parameter("limit", "float", "10.0", "act above this")
    assert list(found) == [*suite.STANDARD, "limit"]


def test_text_becomes_the_declared_type(notebook):
    """Each notebook gets the values that it declares, typed."""
    whole = 'hours: int = 1  # h\nstrict: bool = False  # s\nname: str = ""  # n\n'
    load, other = notebook("load"), notebook("other", parameters=STANDARD_CELL + whole)
    given = {"limit": "3", "hours": "24", "strict": "True", "name": "3"}
    values = suite.checked([load, other], given)
    assert values == {load: {"limit": 3.0}, other: {"hours": 24, "strict": True, "name": "3"}}
    assert isinstance(values[load]["limit"], float)


STANDARD_CELL = "".join(f'{name}: str = ""  # text\n' for name in suite.STANDARD)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"limt": "3"}, r"load.ipynb has no parameter 'limt' \(did you mean limit\?\); it has: limit\."),
        (
            {"limit": "abc"},
            r"limit=abc does not fit load.ipynb. It takes a value of type float, at least 0 \(act above this\)",
        ),
        ({"limit": "nan"}, "limit=nan does not fit"),
        ({"limit": "-5"}, "limit=-5 does not fit"),
        ({"start": "2026-11-01"}, "start has its own option: use --start"),
    ],
)
def test_a_wrong_parameter_is_refused(notebook, given, says):
    """An undeclared name, a value of another type, and a name with its own option."""
    with pytest.raises(Error, match=says):
        suite.checked([notebook("load")], given)


def test_a_parameter_that_no_notebook_has_names_all_notebooks(notebook):
    """One line with each notebook and its parameters."""
    load = notebook("load", parameters=STANDARD_CELL + "limit: int = 1\nstrict: bool = False\n")
    others = [
        notebook(name, parameters=STANDARD_CELL + cell) for name, cell in (("a", "n: int = 1"), ("b", ""))
    ]
    with pytest.raises(Error) as refused:
        suite.checked([load, *others], {"nosuch": "1"})
    expected = "No notebook has a parameter 'nosuch'. load.ipynb has: limit, strict; a.ipynb has: n; b.ipynb has: none."
    assert str(refused.value) == expected


def test_a_notebook_must_take_the_window(notebook):
    """A notebook without a parameter for its cluster would silently show another one."""
    lacking = STANDARD_CELL.replace("cluster: str", "cluster: int")
    with pytest.raises(Error, match="lacks the text parameter cluster. Add"):
        suite.checked([notebook("load", parameters=lacking)], {})


def test_a_file_that_is_no_notebook(tmp_path):
    """One line, no traceback."""
    path = tmp_path / "notes.ipynb"
    path.write_text("hello")
    with pytest.raises(Error, match="Cannot read the notebook"):
        suite.parameters(path)


def test_copying_keeps_changed_notebooks(small_suite, tmp_path):
    """Copying twice works; a notebook that the analyst changed is overwritten only with `force`."""
    folder = tmp_path / "mine"
    assert [path.name for path in suite.copy(folder)] == ["load.ipynb", "locks.ipynb"]
    suite.copy(folder)
    (folder / "locks.ipynb").write_text("changed")
    (small_suite / "load.ipynb").write_text("a newer release")
    with pytest.raises(Error, match="load.ipynb, locks.ipynb in .* would be overwritten"):
        suite.copy(folder)
    assert (folder / "locks.ipynb").read_text() == "changed"
    suite.copy(folder, force=True)
    assert (folder / "load.ipynb").read_text() == "a newer release"
