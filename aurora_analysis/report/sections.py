"""Leave out the sections of a page that have nothing to show in its window, and name them in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

Cell = dict[str, Any]


class Heading(NamedTuple):
    """A heading below the page's title: its level, its anchor and its text."""

    level: int
    anchor: str
    text: str


class Shown(NamedTuple):
    """The cells and headings that a page shows, and the headings of the sections that it leaves out."""

    cells: list[Cell]
    contents: list[Heading]
    empty: list[str]


def with_content(cells: Sequence[Cell], contents: Sequence[Heading]) -> Shown:
    """Drop each section all of whose outputs are empty; a section without outputs, such as one of terms, stays.

    Parameters
    ----------
    cells
        The page's cells in order; `headings` are the headings that a cell adds.
    contents
        All headings.

    Returns
    -------
    Shown
    """
    kept: list[Cell] = []
    dropped: list[Heading] = []
    for section in _sections(cells):
        outputs = [output for cell in section for output in cell["outputs"]]
        is_empty = bool(outputs) and all(output.get("empty", not output["content"]) for output in outputs)
        if is_empty and _starts(section[0]):
            dropped += [one for cell in section for one in cell["headings"]]
        else:
            kept += section
    gone = {one.anchor for one in dropped}
    left = [one for one in contents if one.anchor not in gone]
    return Shown(kept, left, [one.text for one in dropped if one.level == SECTION])


SECTION = 2
"""Level of the headings that begin a section."""


def _sections(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    section: list[Cell] = []
    for cell in cells:
        if _starts(cell) and section:
            yield section
            section = []
        section.append(cell)
    if section:
        yield section


def _starts(cell: Cell) -> bool:
    return any(one.level == SECTION for one in cell["headings"])
