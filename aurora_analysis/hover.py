"""Notes that a figure's SVG carries for the page's hover values: written by plots, read by the report.

matplotlib writes an artist's `gid` as the id of its SVG group. A note is such a gid: the axes' scales, the name of a series,
or a text for one mark. In a PNG, notes have no effect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MARK = "hover:"
"""Beginning of a gid that is a note."""

KINDS = {
    "axes": {"title", "x", "y"},
    "line": {"name"},
    "area": {"name"},
    "band": {"name"},
    "spans": {"name"},
    "points": {"name"},
    "label": {"text"},
}
"""Kind of a note → its fields.

`axes` holds its `title` and, for each direction, two places in the drawing (`at`), their values (`is`), the `scale` (linear, log, time or
category), the axis' `name` and its time `zone`. All others but `label` name a series whose values follow from its
coordinates: an `area` is worth its height, a `band` lies from its lower to its upper edge, `spans` have a start and an end.
`label` holds the text of one mark.
"""


def note(kind: str, **fields: Any) -> str:
    """Write a note.

    >>> note("label", text="etl: +10 %")
    'hover:{"kind": "label", "text": "etl: +10 %"}'
    """
    return MARK + json.dumps({"kind": kind, **fields}, ensure_ascii=False)


def read(gid: str) -> dict[str, Any] | None:
    """Read a note; None for any other id, for damaged notes and for unknown fields.

    >>> read('hover:{"kind": "label", "text": "etl: +10 %"}')
    {'kind': 'label', 'text': 'etl: +10 %'}
    """
    if not gid.startswith(MARK):
        return None
    try:
        found = json.loads(gid.removeprefix(MARK))
    except (ValueError, RecursionError):
        return None
    kind = found.get("kind") if isinstance(found, dict) else None
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None or set(found) != known | {"kind"}:
        return None
    if kind == "axes":
        has_axes = _is_axis(found["x"]) and _is_axis(found["y"])
        return found if has_axes and isinstance(found["title"], str) else None
    return found if isinstance(found["text" if kind == "label" else "name"], str) else None


def _is_axis(axis: Any) -> bool:
    return (
        isinstance(axis, Mapping)
        and set(axis) == {"at", "is", "scale", "name", "zone"}
        and all(_are_numbers(axis[field]) for field in ("at", "is"))
        and all(isinstance(axis[field], str) for field in ("scale", "name", "zone"))
    )


def _are_numbers(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(type(one) in (int, float) for one in pair)
