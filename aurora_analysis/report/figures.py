"""Turn a figure's SVG into inline SVG that runs nothing, requests nothing, and carries the notes for hover values.

The SVG is parsed, and written again from lists of allowed elements, attributes and values; everything else is dropped. Ids
are new, so that figures of one page do not meet. An SVG that does not parse is not shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from markupsafe import Markup, escape

from aurora_analysis import hover

LARGEST = 1_000_000
"""Largest figure of a page [characters]; a page is to stay below 2 MB."""
LARGEST_GIVEN, DEEPEST = 8_000_000, 60
"""Largest SVG that is read [characters], and its deepest nesting."""

SMALLEST_HEIGHT = 72.0
"""A lower figure has no data: `plots.mark_if_empty` leaves one line of text [pt]."""


class Unusable(ValueError):
    """An SVG that cannot be shown; the text says why."""


ELEMENTS = {"svg", "g", "defs", "path", "use", "rect", "circle", "ellipse", "line", "polyline", "polygon", "image", "text",
            "tspan", "clipPath", "pattern"}  # fmt: skip

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
NUMBERS = rf"\s*{NUMBER}(?:[\s,]+{NUMBER})*\s*"
LENGTH, COLOUR, WORD = rf"{NUMBER}(?:px|pt|%)?", r"none|currentColor|#[0-9a-fA-F]{3,8}", r"[a-z][a-zA-Z-]*"

VALUES: dict[str, str] = {
    **dict.fromkeys(("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "dx", "dy"), LENGTH),
    **dict.fromkeys(("width", "height", "font-size", "stroke-width", "stroke-dashoffset"), LENGTH),
    **dict.fromkeys(("opacity", "fill-opacity", "stroke-opacity", "stroke-miterlimit"), NUMBER),
    **dict.fromkeys(("points", "viewBox", "stroke-dasharray"), rf"{NUMBERS}|none"),
    **dict.fromkeys(("fill", "stroke"), COLOUR),
    **dict.fromkeys(("stroke-linecap", "stroke-linejoin", "fill-rule", "clip-rule", "text-anchor"), WORD),
    **dict.fromkeys(("patternUnits", "clipPathUnits", "preserveAspectRatio", "font-style", "font-weight"), rf"{WORD}|\d+"),
    "d": r"[MmLlHhVvCcSsQqTtAaZz\d\s.,+eE-]*",
    "transform": rf"\s*(?:(?:matrix|translate|scale|rotate|skewX|skewY)\({NUMBERS}\)\s*)*",
}  # fmt: skip
"""Allowed attributes, and what the whole value of each must match. A declaration of a style counts as an attribute."""

REFERENCES = {"fill": "pattern", "clip-path": "clipPath"}
"""Attributes that may refer to an element of the same figure, and the element."""

PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=\s]+")
REFERENCE = re.compile(r"url\(\s*#([^\s)'\"]+)\s*\)")
FONT = re.compile(rf"(?:({WORD})\s+)?(?:(\d{{3}}|bold)\s+)?({NUMBER}px)\s.*", re.DOTALL)
"""matplotlib's shorthand of a font: style, weight and size; the family is the page's."""
PART = re.compile(r"matplotlib\.axis_(\d{1,4})|legend_\d{1,4}")
"""matplotlib's ids of axes and legends, which do not move when the page zooms; odd numbers are horizontal axes."""
PLACES = re.compile(r"-?\d+\.\d{3,}")
SVG, XLINK = "http://www.w3.org/2000/svg ", "http://www.w3.org/1999/xlink href"


def inline(svg: str, prefix: str) -> Markup:
    """Return a figure as inline SVG; empty if it has no data.

    Parameters
    ----------
    svg
        An SVG document, such as matplotlib writes.
    prefix
        Beginning of the figure's ids; each figure of a page needs its own.

    Raises
    ------
    Unusable
        If the SVG does not parse, defines entities, is nested too deeply, or is too large for a page.
    """
    if len(svg) > LARGEST_GIVEN:
        raise Unusable(_too_large(len(svg)))
    writer = _Writer(prefix)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = writer.start
    parser.EndElementHandler = writer.end
    parser.CharacterDataHandler = writer.text
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(svg, True)
    except expat.ExpatError as problem:
        raise Unusable(f"the figure is not valid SVG: {problem}") from None
    shown = "".join(writer.parts)
    if len(shown) > LARGEST:
        raise Unusable(_too_large(len(shown)))
    return Markup(shown)


def _too_large(size: int) -> str:
    return f"the figure takes {size / 1e6:.1f} MB; draw fewer points, or pass rasterized=True"


def _refuse_entity(*_: object) -> None:
    raise Unusable("the figure defines entities")


@dataclass
class _Writer:
    """Write the allowed part of a parsed SVG."""

    prefix: str
    parts: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    """Names of the open elements; empty for a group that is not written, because it has no attribute."""
    dropped: int = 0
    """Number of open elements that are dropped."""
    ids: dict[str, str] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    """Ids of the paths so far. Only they can be used again: uses of uses could grow without limit."""

    def start(self, qualified: str, given: dict[str, str]) -> None:
        if len(self.opened) + self.dropped >= DEEPEST:
            raise Unusable("the figure is nested too deeply")
        name = qualified.removeprefix(SVG)
        if (
            self.dropped
            or not qualified.startswith(SVG)
            or name not in ELEMENTS
            or (name == "svg") == bool(self.opened)
        ):
            self.dropped += 1
        elif name == "svg":
            self._root(given)
        else:
            self._element(name, given)

    def end(self, _: str) -> None:
        if self.dropped:
            self.dropped -= 1
        elif name := self.opened.pop():
            self.parts.append(f"</{name}>")

    def text(self, data: str) -> None:
        if not self.dropped and self.opened and self.opened[-1] in ("text", "tspan"):
            self.parts.append(escape(data))

    def _root(self, given: Mapping[str, str]) -> None:
        """Write the root with its size in pixels; a figure without data is dropped as a whole."""
        box = re.fullmatch(rf"\s*0\s+0\s+({NUMBER})\s+({NUMBER})\s*", given.get("viewBox", ""))
        if box is None:
            raise Unusable("the figure has no viewBox that begins at 0 0")
        width, height = float(box[1]), float(box[2])
        if height < SMALLEST_HEIGHT:
            self.dropped = 1
            return
        self.opened.append("svg")
        size = f'width="{width * 4 / 3:.0f}" height="{height * 4 / 3:.0f}"'
        self.parts.append(f'<svg aria-hidden="true" viewBox="0 0 {width:.2f} {height:.2f}" {size}>')

    def _element(self, name: str, given: Mapping[str, str]) -> None:
        known = hover.read(given.get("id", "")) if name == "g" else None
        attributes = self._attributes(name, given)
        part = PART.fullmatch(given.get("id", "")) if name == "g" else None
        if part:
            attributes["class"] = "legend" if part[1] is None else "axis-x" if int(part[1]) % 2 else "axis-y"
        if known and known["kind"] == "label":
            attributes["class"] = "mark"
        elif known:
            attributes["data-note"] = json.dumps(known, ensure_ascii=False)
        is_written = name != "g" or bool(attributes)
        self.opened.append(name if is_written else "")
        if is_written:
            shown = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
            self.parts.append(f"<{name}{shown}>")
        if known and known["kind"] == "label":
            self.parts.append(f"<title>{escape(known['text'])}</title>")

    def _attributes(self, name: str, given: Mapping[str, str]) -> dict[str, str]:
        wanted = {**given, **_declarations(given.get("style", ""))}
        inside = {"pattern", "clipPath"} & set(self.opened)
        found = {key: _shortened(key, value) for key, value in wanted.items() if _is_allowed(key, value)}
        for key, element in REFERENCES.items():
            reference = REFERENCE.fullmatch(wanted.get(key, ""))
            if reference and not inside:
                found[key] = f"url(#{self._renamed(element, reference[1])})"
        if name in ("path", "pattern", "clipPath") and "id" in given:
            found["id"] = self._renamed(name, given["id"])
            self.paths |= {given["id"]} if name == "path" else set()
        address = given.get(XLINK, given.get("href", ""))
        if name == "use" and address.startswith("#") and address[1:] in self.paths:
            found["href"] = f"#{self._renamed('path', address[1:])}"
        if name == "image" and PICTURE.fullmatch(address):
            found["href"] = "".join(address.split())
        return found

    def _renamed(self, element: str, given: str) -> str:
        return self.ids.setdefault(f"{element} {given}", f"{self.prefix}-{len(self.ids)}")


def _is_allowed(key: str, value: str) -> bool:
    return key in VALUES and bool(re.fullmatch(VALUES[key], value))


def _declarations(style: str) -> dict[str, str]:
    """Split a style into its declarations; the shorthand of a font becomes the size, weight and style in it."""
    pairs = (one.partition(":") for one in style.split(";"))
    found = {name.strip(): value.strip() for name, _, value in pairs}
    font = FONT.fullmatch(found.pop("font", ""))
    if font:
        parts = zip(("font-style", "font-weight", "font-size"), font.groups())
        found |= {name: value for name, value in parts if value}
    return found


def _shortened(key: str, value: str) -> str:
    """Round places in the drawing to hundredths of a point, which is finer than any screen."""
    if key not in ("d", "x", "y", "points"):
        return value
    return PLACES.sub(lambda number: f"{float(number[0]):.2f}", " ".join(value.split()))
