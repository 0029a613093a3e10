"""Notes for hover values in a figure's SVG: what each axis measures, and what each mark is.

The page's script reads values from the drawing's own coordinates, so that a figure carries no second copy of its data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib.dates
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter

from aurora_analysis import hover
from aurora_analysis.plots.fonts import warn_of_missing

mdates: Any = matplotlib.dates
"""matplotlib.dates has no type hints."""

MOST_MARKS = 2_000
"""A series with more dots or areas becomes a picture inside the SVG."""


class Notes(Artist):
    """An invisible artist that gives the axes and their series their notes.

    It is drawn first: earlier, matplotlib does not know where everything will stand; later, the series are drawn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_zorder(-1000)
        self.set_in_layout(False)

    def draw(self, renderer: Any) -> None:
        """Write the note of the axes, and name the series that have no note yet.

        Parameters
        ----------
        renderer : RendererBase
            Where matplotlib draws; only the one for SVG writes notes.
        """
        ax = self.axes
        if isinstance(ax, Axes) and ax.axison:
            for artist, kind in _series(ax):
                _name(artist, kind)
            renderer.open_group(
                "notes", gid=hover.note("axes", **_axes(ax, getattr(renderer, "height", 0.0)))
            )
            renderer.close_group("notes")
        if isinstance(ax, Axes) and isinstance(ax.figure, Figure) and ax is ax.figure.axes[0]:
            warn_of_missing(ax.figure)


def labelled(artist: Any, text: str) -> None:
    """Give one mark a text, which the page shows when the mark is pointed at.

    Parameters
    ----------
    artist : Artist
        A line, bar or dot.
    text : str
        One line with the mark's name and value.
    """
    artist.set_gid(hover.note("label", text=text))


def stacked(artist: Any, name: str) -> None:
    """Name an area of a stack, whose value is its height.

    Parameters
    ----------
    artist : PolyCollection
        The area.
    name : str
        Name of its series.
    """
    artist.set_gid(hover.note("area", name=name))


def _series(ax: Axes) -> Iterator[tuple[Any, str]]:
    """Yield the series of an axes that are drawn over both of its scales, and the kind of each."""
    for line in ax.lines:
        if line.get_transform() == ax.transData:
            yield line, "line" if line.get_linestyle() not in ("None", "", " ") else "points"
    for collection in ax.collections:
        if collection.get_transform() != ax.transData and not isinstance(collection, PathCollection):
            continue
        if isinstance(collection, FillBetweenPolyCollection):
            yield collection, "band"
        elif isinstance(collection, PolyCollection):
            yield collection, "spans"
        elif isinstance(collection, PathCollection):
            yield collection, "points"


def _name(artist: Any, kind: str) -> None:
    """Name a series by its legend's label; without one, lines have the name of their axis, and all others none."""
    label = str(artist.get_label())
    is_named = not label.startswith("_")
    if artist.get_gid() is None and (is_named or kind == "line"):
        artist.set_gid(hover.note(kind, name=label if is_named else ""))
    marks = len(artist.get_xdata()) if kind == "points" and hasattr(artist, "get_xdata") else 0
    artist.set_rasterized(marks > MOST_MARKS)


def _axes(ax: Axes, height: float) -> dict[str, Any]:
    """Describe both axes: two places in the drawing [pt], from its upper left corner, and their values."""
    corners = ax.transData.transform(list(zip(ax.get_xlim(), ax.get_ylim())))
    titles = (ax.get_title(loc=place) for place in ("left", "center", "right"))
    title = " ".join(" ".join(titles).split())
    return {"title": title, "x": _axis(ax, "x", corners[:, 0]), "y": _axis(ax, "y", height - corners[:, 1])}


def _axis(ax: Axes, direction: str, places: Any) -> dict[str, Any]:
    axis, limits = getattr(ax, f"{direction}axis"), getattr(ax, f"get_{direction}lim")()
    zone = getattr(axis.get_major_locator(), "zone", "")
    values = [mdates.num2date(value).timestamp() * 1000 for value in limits] if zone else limits
    is_named = isinstance(axis.get_major_formatter(), FixedFormatter)
    shared = getattr(ax.figure, f"get_sup{direction}label")()
    return {
        "at": [round(float(place), 3) for place in places],
        "is": [float(f"{value:.15g}") for value in values],
        "scale": "time" if zone else "category" if is_named else str(axis.get_scale()),
        "name": " ".join((axis.label.get_text() or shared).split()),
        "zone": zone,
    }
