"""Sparklines as small multiples in inline SVG: one row per role, each with its earlier weeks and a link to its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT = 168, 40
"""Size of the drawing [px]; the page stretches it to the available width."""

Course = Sequence[float | None]


def rows(sparklines: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the tiles of each role, the writer first; a tile is a sparkline with its drawing, numbers and text."""
    named = {one["role"] for one in sparklines}
    roles = sorted(named, key=lambda role: (role != "writer", role))
    return [(role, [_tile(one) for one in sparklines if one["role"] == role]) for role in roles]


def _tile(one: Mapping[str, Any]) -> dict[str, Any]:
    one = {**one, **{name: _course(one[name]) for name in ("course", "low", "high")}}
    change = "" if one["change_pct"] is None else f"{one['change_pct']:+.0f} %"
    number = f"{figure(one['mean'])} {one['unit']}"
    against = f", {change} from the previous window" if change else ""
    spoken = f"{one['role']}, {one['measure']}: {number} on average{against}. Open the page."
    return {**one, "svg": drawn(one), "number": number, "change": change, "spoken": spoken}


def _course(text: str) -> list[float | None]:
    return [None if part == "-" else float(part) for part in text.split()]


def figure(value: float | None) -> str:
    """Format a number with three significant digits."""
    return "unknown" if value is None else f"{float(f'{value:.3g}'):,.10g}"


def drawn(one: Mapping[str, Any]) -> Markup:
    """Draw a sparkline from zero up, over the band of earlier weeks, with the limit if it is near the values."""
    known = [value for course in (one["course"], one["high"]) for value in course if value is not None]
    limit = one["limit"] if one["limit"] and one["limit"] <= 2.5 * max(known, default=0) else None
    top = max([*known, limit or 0.0]) or 1.0
    parts = [
        *(_path("band", _area(low, high, top)) for low, high in _stretches(one["low"], one["high"])),
        *([_path("limit", f"M0 {_y(limit, top)}H{WIDTH}")] if limit else []),
        _path("line", "".join(_line(course, top) for (course,) in _stretches(one["course"]))),
    ]
    return Markup('<svg viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}</svg>').format(
        WIDTH, HEIGHT, Markup("").join(parts)
    )


def _path(name: str, commands: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(name, commands)


Point = tuple[float, float]


def _stretches(*courses: Course) -> Iterator[list[list[Point]]]:
    """Yield the spans in which all courses have values, as points of each; missing values stay a gap."""
    step = WIDTH / max(len(courses[0]) - 1, 1)
    whole = [(n * step, values) for n, values in enumerate(zip(*courses))]
    for is_known, span in groupby(whole, key=lambda point: None not in point[1]):
        points = list(span)
        if is_known:
            yield [[(x, values[n]) for x, values in points] for n in range(len(courses))]


def _line(points: Sequence[Point], top: float) -> str:
    """Return the path of a line; a lone point becomes a dash as wide as its part."""
    if len(points) == 1:
        return f"M{points[0][0] - 1:.0f} {_y(points[0][1], top)}h2"
    return "M" + "L".join(f"{x:.0f} {_y(value, top)}" for x, value in points)


def _area(low: Sequence[Point], high: Sequence[Point], top: float) -> str:
    return _line(high, top) + "".join(f"L{x:.0f} {_y(value, top)}" for x, value in reversed(low)) + "Z"


def _y(value: float, top: float) -> str:
    return f"{HEIGHT - 1 - (HEIGHT - 3) * value / top:.1f}"
