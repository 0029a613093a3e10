"""A statement's short id and colour: the same in every figure, on every page, in every week.

Both follow from the digest alone, so they are not passed around. A colour never appears without its short id.
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
"""Ten colours that colour-blind people can distinguish (Petroff 2021, arXiv 2107.02270)."""

DIGEST = re.compile(r"\b(?=\d*[a-f])[0-9a-f]{16}\b")
"""Matches a digest in a text. One digest in 1,800 has no letter and counts as a number."""


def short_id(digest: str) -> str:
    """Return the first eight digits; two of a thousand statements share them in one of 9,000 cases.

    >>> short_id("0c5ae9b67c750a82")
    '0c5ae9b6'
    """
    return digest[:8]


def colour_index(digest: str) -> int:
    """Return the index of the digest's colour in `COLOURS`."""
    return int(short_id(digest), 16) % len(COLOURS)
