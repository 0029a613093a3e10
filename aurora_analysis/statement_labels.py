"""How a statement is known by sight: its short id and its colour, the same in every figure, on every page, in every week.

Both follow from the digest alone, so nobody has to hand them on. A colour is never alone: the short id stands with it.
"""

from __future__ import annotations

import re

COLOURS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadb",
)
"""The colour-blind-safe cycle of ten of Petroff (2021, arXiv 2107.02270)."""

DIGEST = re.compile(r"\b(?=\d*[a-f])[0-9a-f]{16}\b")
"""A digest in a text. One without a letter, a digest in 1,800, is taken for a number."""


def short(digest: str) -> str:
    """The digest's first eight digits: among a thousand statements two share them once in 9,000 times.

    >>> short("0c5ae9b67c750a82")
    '0c5ae9b6'
    """
    return digest[:8]


def colour(digest: str) -> int:
    """Which of the colours is the digest's."""
    return int(short(digest), 16) % len(COLOURS)
