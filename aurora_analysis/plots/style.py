"""What all figures share: colours, axes, gaps and empty data.

The colours are those of the colour-blind-safe cycle of Petroff (2021, arXiv 2107.02270). No colour carries meaning alone: a
line style, a marker, a label or a position repeats it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import matplotlib.dates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from aurora_analysis import statement_labels

mdates: Any = matplotlib.dates
"""matplotlib.dates has no type hints."""

COLOURS = ("#5790fc", "#f89c20", "#e42536", "#964a8b", "#9c9ca1", "#7a21dd")


LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


MARKERS = ("o", "s", "^", "D", "v", "P")


INK, MUTED, SHADE = "#222222", "#767676", "#e6e6e6"


def mark_if_empty(ax: Axes, data: pd.DataFrame | pd.Series) -> Axes:
    """Replace an empty figure by a small one with the text "no data"."""
    if data.empty:
        ax.clear()
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no data", transform=ax.transAxes, ha="center", va="center", color=MUTED)
        ax.figure.set_figheight(0.6)  # type: ignore[union-attr]  # its axes are in a figure, not in a part of one
    return ax


def legend(ax: Axes, **where: Any) -> None:
    """Add a legend without a frame, if any artist has a label."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, **where)


def new_axes(width: float = 8.6, height: float = 2.6) -> Axes:
    """Create the axes of a new figure."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return calm(ax)


def new_panels(count: int, *, height: float) -> list[Axes]:
    """Create axes below each other that share the axes of time and value."""
    size = (8.6, 0.5 + height * count)
    _, panels = plt.subplots(
        count, figsize=size, layout="constrained", squeeze=False, sharex=True, sharey=True
    )
    return [calm(ax) for ax in panels[:, 0]]


def calm(ax: Axes) -> Axes:
    """Keep two spines, and draw a light grid behind the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.grid(color=SHADE, linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def looks_of(names: pd.Series) -> dict[Hashable, dict[str, Any]]:
    """Colour and line style of each name; a digest keeps its colour everywhere, and styles separate equal colours."""
    looks: dict[Hashable, dict[str, Any]] = {}
    for n, name in enumerate(sorted(set(names))):
        is_digest = statement_labels.DIGEST.fullmatch(str(name))
        colour = (
            statement_labels.COLOURS[statement_labels.colour_index(str(name))] if is_digest else nth_colour(n)
        )
        like = sum(look["color"] == colour for look in looks.values())
        looks[name] = {"color": colour, "linestyle": line_style(like if is_digest else n)}
    return looks


def nth_colour(n: int) -> str:
    """Return the colour of the n-th series."""
    return COLOURS[n % len(COLOURS)]


def line_style(n: int) -> str | tuple[int, tuple[int, int]]:
    """Return the line style of the n-th series."""
    return LINE_STYLES[n % len(LINE_STYLES)]


def dates(times: pd.Index) -> np.ndarray:
    """Convert times to matplotlib's numbers, a hundred times as fast as matplotlib does it one by one."""
    values = pd.DatetimeIndex(times)
    utc = values.tz_convert(None) if len(values) else values  # a column without rows has no time zone
    return np.asarray(mdates.date2num(utc.to_numpy()))


def with_gaps(series: pd.Series) -> pd.Series:
    """Break the line after a gap of three periods, so that it does not bridge missing samples."""
    steps = series.index.to_series().diff()
    return series.mask(steps > 3 * steps.median())


def count_axis(ax: Axes) -> None:
    """Format the y axis for counts: thousands separators and at most five ticks."""
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5))


def plain_number(value: float, _: object) -> str:
    """Format a tick without an exponent."""
    return f"{value:,.10g}"


def time_axis(ax: Axes, timezone: str) -> None:
    """Format the x axis for times in a time zone, and name the zone."""
    locator = mdates.AutoDateLocator(tz=timezone, minticks=4, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator, tz=timezone))
    ax.set_xlabel(f"time [{timezone}]")
