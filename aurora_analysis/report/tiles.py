"""Small multiples: each seat's measures as inline SVG, beside the weeks before, with a link to the page that tells more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT = 168, 40
"""Of a figure [px], which then takes the room that there is."""

Course = Sequence[float | None]


def rows(told: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The tiles of each seat, the writer first; a tile is a sparkline with its figure, its numbers and its words."""
    seats = list(
        dict.fromkeys(sorted((one["seat"] for one in told), key=lambda seat: (seat != "writer", seat)))
    )
    return [(seat, [_tile(one) for one in told if one["seat"] == seat]) for seat in seats]


def _tile(one: Mapping[str, Any]) -> dict[str, Any]:
    one = {**one, **{name: _course(one[name]) for name in ("course", "low", "high")}}
    change = "" if one["change_pct"] is None else f"{one['change_pct']:+.0f} %"
    number = f"{figure(one['mean'])} {one['unit']}"
    against = f", {change} against the window before" if change else ""
    spoken = f"{one['seat']}, {one['measure']}: {number} on average{against}. Open the page."
    return {**one, "svg": drawn(one), "number": number, "change": change, "spoken": spoken}


def _course(text: str) -> list[float | None]:
    return [None if part == "-" else float(part) for part in text.split()]


def figure(value: float | None) -> str:
    """A number in three digits, as people write it."""
    return "unknown" if value is None else f"{float(f'{value:.3g}'):,.10g}"


def drawn(one: Mapping[str, Any]) -> Markup:
    """The line of a sparkline, the band of the weeks before behind it, and the limit where it is near; from zero up."""
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


def _path(name: str, told: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(name, told)


Point = tuple[float, float]


def _stretches(*courses: Course) -> Iterator[list[list[Point]]]:
    """The spans in which all courses are known, as points of each: what is missing is a gap."""
    step = WIDTH / max(len(courses[0]) - 1, 1)
    whole = [(n * step, values) for n, values in enumerate(zip(*courses))]
    for is_known, span in groupby(whole, key=lambda point: None not in point[1]):
        points = list(span)
        if is_known:
            yield [[(x, values[n]) for x, values in points] for n in range(len(courses))]


def _line(points: Sequence[Point], top: float) -> str:
    """A lone point is a dash as wide as its part."""
    if len(points) == 1:
        return f"M{points[0][0] - 1:.0f} {_y(points[0][1], top)}h2"
    return "M" + "L".join(f"{x:.0f} {_y(value, top)}" for x, value in points)


def _area(low: Sequence[Point], high: Sequence[Point], top: float) -> str:
    return _line(high, top) + "".join(f"L{x:.0f} {_y(value, top)}" for x, value in reversed(low)) + "Z"


def _y(value: float, top: float) -> str:
    return f"{HEIGHT - 1 - (HEIGHT - 3) * value / top:.1f}"
