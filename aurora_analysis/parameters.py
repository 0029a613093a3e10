"""Check the parameters of a notebook, so that a wrong one is one line that names it and not an error from the depths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from aurora_analysis.errors import Error
from aurora_analysis.window import zone

EXPECTED = {
    str: 'text: put it into quotes, such as "2026-11-09"',
    float: "a number of at least 0: write it without quotes, such as 5.0",
    int: "a whole number of at least 0: write it without quotes, such as 3",
    bool: "True or False",
}
"""Type of a parameter → what an error says of it."""


def check(names: Mapping[str, Any]) -> None:
    """Refuse a notebook's parameter whose value does not have the type that its cell declares.

    Parameters
    ----------
    names : mapping of str to value
        The notebook's `globals()`: `__annotations__` holds the declared types, as in `start: str = "2026-11-09"`.

    Raises
    ------
    Error
        With the parameter's name, its value and what is expected.
    """
    for name, declared in _declared(names).items():
        kind = TYPES.get(str(declared), declared)
        if name in names and kind in EXPECTED and not _fits(names[name], kind):
            raise Error(f"{name} = {names[name]!r} in the notebook's first cell is not {EXPECTED[kind]}.")
    if names.get("timezone"):
        zone(names["timezone"])


TYPES = {each.__name__: each for each in EXPECTED}
"""Name of a type → the type: code that imports annotations from __future__ keeps their text."""


def is_sensible(number: float) -> bool:
    """Return whether a notebook can use a number: each is a share, a length or a count, so never negative.

    Parameters
    ----------
    number : float

    Returns
    -------
    bool
    """
    return math.isfinite(number) and number >= 0


def _declared(names: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the annotations of a namespace; from Python 3.14 on (PEP 649) a function returns them."""
    annotate = names.get("__annotate__")
    found: Mapping[str, Any] = names.get("__annotations__") or (annotate(1) if annotate else {})
    return found


def _fits(value: object, kind: type) -> bool:
    """Return whether a value may stand for a type; a whole number is a float, too, and no truth value is a number."""
    if kind in (float, int):
        numbers = Real if kind is float else Integral
        return isinstance(value, numbers) and not isinstance(value, bool) and is_sensible(float(value))
    return isinstance(value, kind)
