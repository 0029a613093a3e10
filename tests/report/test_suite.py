"""Which notebooks there are, what they ask for, and what a wrong parameter costs: one line, before anything runs."""

from __future__ import annotations

import pytest

from aurora_analysis.errors import Error
from aurora_analysis.report import suite


@pytest.fixture
def small_suite(tmp_path, monkeypatch, notebook):
    """A suite of two notebooks."""
    notebook("load")
    notebook("locks")
    monkeypatch.setattr(suite, "folder", lambda: tmp_path)
    return tmp_path


def test_no_name_is_the_whole_suite(small_suite):
    """In the order of the names."""
    assert [path.stem for path in suite.notebooks()] == ["load", "locks"]


def test_a_notebook_of_the_analysts_own(small_suite, notebook, tmp_path):
    """A file is as good as a name, and may be asked for twice."""
    own = notebook("own")
    assert suite.notebooks(["load", str(own), "load"]) == [tmp_path / "load.ipynb", own]


def test_a_misspelt_notebook_is_told_its_name(small_suite):
    """The next step is in the message."""
    with pytest.raises(Error, match=r"no notebook 'lod' \(did you mean load\?\): name one of load, locks"):
        suite.notebooks(["lod"])


def test_parameters_are_read_from_the_cell(notebook):
    """Name, type, default and meaning: the cell is the interface."""
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
        ({"limt": "3"}, r"No notebook has a parameter 'limt' \(did you mean limit\?\): there are limit"),
        (
            {"limit": "abc"},
            r"limit=abc does not fit load.ipynb: give a value of type float \(act above this\)",
        ),
        ({"limit": "nan"}, "limit=nan does not fit"),
        ({"start": "2026-11-01"}, "start has an option of its own"),
    ],
)
def test_a_wrong_parameter_is_refused(notebook, given, says):
    """A name that none declares, a value of another type, and what has an option of its own."""
    with pytest.raises(Error, match=says):
        suite.checked([notebook("load")], given)


def test_a_notebook_must_take_the_window(notebook):
    """A notebook that could not be told its cluster would silently show another."""
    lacking = STANDARD_CELL.replace("cluster: str", "cluster: int")
    with pytest.raises(Error, match="no text parameter cluster: write"):
        suite.checked([notebook("load", parameters=lacking)], {})


def test_a_file_that_is_no_notebook(tmp_path):
    """One line, no traceback."""
    path = tmp_path / "notes.ipynb"
    path.write_text("hello")
    with pytest.raises(Error, match="Cannot read the notebook"):
        suite.parameters(path)


def test_copying_keeps_what_was_changed(small_suite, tmp_path):
    """Twice is fine; a notebook that the analyst changed is overwritten only by force."""
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
