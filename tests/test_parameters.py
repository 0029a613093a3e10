"""A notebook's parameter of the wrong type is one line that names it."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import numpy as np
import pytest

from aurora_analysis import parameters
from aurora_analysis.errors import Error

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
CELL = 'start: str = "2026-11-09"\nhours: float = 3.0\nplacebos: int = 200\nstrict: bool = False\ntimezone: str = "UTC"\n'


def cell(**values: object) -> dict[str, object]:
    """The names of a notebook after its first cell, with some values replaced as papermill or an analyst would."""
    names: dict[str, object] = {}
    exec(compile(CELL, "cell", "exec"), names)
    return names | values


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"hours": "3"},
            "hours = '3' in the notebook's first cell is not a number of at least 0: write it without quotes",
        ),
        ({"hours": True}, "hours = True"),
        ({"hours": float("nan")}, "hours = nan"),
        ({"hours": -0.5}, "hours = -0.5 in the notebook's first cell is not a number of at least 0"),
        ({"placebos": -1}, "placebos = -1"),
        ({"hours": None}, "hours = None"),
        (
            {"placebos": 1.5},
            "placebos = 1.5 in the notebook's first cell is not a whole number of at least 0",
        ),
        ({"strict": "no"}, "strict = 'no' in the notebook's first cell is not True or False"),
        (
            {"start": 20261109},
            "start = 20261109 in the notebook's first cell is not text: put it into quotes",
        ),
        ({"timezone": "Mars/Crater"}, "There is no time zone 'Mars/Crater'"),
    ],
)
def test_a_wrong_value_is_named(values, says):
    """Not a TypeError about timedelta, and not an ArrowInvalid."""
    with pytest.raises(Error) as refused:
        parameters.check(cell(**values))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("values", [{}, {"hours": 3}, {"hours": np.float64(3)}, {"placebos": np.int64(3)}])
def test_a_value_of_its_type_passes(values):
    """A whole number is a float, too."""
    parameters.check(cell(**values))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_checks_its_parameters_first(path):
    """Before it opens the store or computes anything with them."""
    setup = next(
        each.source
        for each in nbformat.read(path, 4).cells
        if each.cell_type == "code" and each.metadata.get("tags") != ["parameters"]
    )
    done = [node for node in ast.parse(setup).body if not isinstance(node, ast.Import | ast.ImportFrom)]
    assert ast.unparse(done[0]) == "parameters.check(globals())"
