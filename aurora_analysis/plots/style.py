"""Colours, axes, gaps and empty data of all figures.

The colours are those of the colour-blind-safe cycle of Petroff (2021, arXiv 2107.02270). No colour carries meaning alone: a
line style, a marker, a label or a position repeats it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import matplotlib.dates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from aurora_analysis import statement_labels
from aurora_analysis.plots.notes import Notes

mdates: Any = matplotlib.dates
"""matplotlib.dates has no type hints."""

COLOURS = ("#5790fc", "#f89c20", "#e42536", "#964a8b", "#9c9ca1", "#7a21dd")
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, MUTED, SHADE = "#222222", "#767676", "#e6e6e6"

ON_LIGHT, HALF_LIGHT = "#111111", 0.47
"""Ink on a light cell of a heat map, which a dark page must not change, and the share of the scale from which cells are light."""


def mark_if_empty(ax: Axes, data: pd.DataFrame | pd.Series) -> Axes:
    """Replace an empty figure by a small one with the text "no data".

    Parameters
    ----------
    ax : Axes
        The axes drawn on.
    data : DataFrame or Series
        The rows of the figure.

    Returns
    -------
    Axes
        The same axes.
    """
    if data.empty:
        ax.clear()
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no data", transform=ax.transAxes, ha="center", va="center", color=MUTED)
        ax.figure.set_figheight(0.6)  # type: ignore[union-attr]  # its axes are in a figure, not in a part of one
    return ax


def legend(ax: Axes, **where: Any) -> None:
    """Add a legend without a frame, if any artist has a label.

    Parameters
    ----------
    ax : Axes
        The axes drawn on.
    **where
        Keywords of `Axes.legend`.
    """
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, **where)


def new_axes(width: float = 8.6, height: float = 2.6) -> Axes:
    """Create the axes of a new figure.

    Parameters
    ----------
    width, height : float
        Size of the figure [in].

    Returns
    -------
    Axes
    """
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return calm(ax)


def new_panels(count: int, *, height: float) -> list[Axes]:
    """Create axes below each other that share the axes of time and value.

    Parameters
    ----------
    count : int
        Number of axes.
    height : float
        Height of each [in].

    Returns
    -------
    list of Axes
        From top to bottom.
    """
    size = (8.6, 0.5 + height * count)
    _, panels = plt.subplots(
        count, figsize=size, layout="constrained", squeeze=False, sharex=True, sharey=True
    )
    return [calm(ax) for ax in panels[:, 0]]


WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def week_heat(ax: Axes, table: pd.DataFrame, highest: float, text: Callable[[float], str]) -> None:
    """Draw a value by weekday and hour: colour and number agree; missing hours stay empty.

    Parameters
    ----------
    ax : Axes
        The axes drawn on.
    table : DataFrame
        Weekdays (0 is Monday) by hours.
    highest : float
        Value of the lightest colour.
    text : callable
        Formats a value.
    """
    table = table.reindex(index=range(7), columns=range(24))
    ax.imshow(table.clip(upper=highest), aspect="auto", cmap="cividis", vmin=0, vmax=highest)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        if not np.isnan(value):
            ink = "white" if value < HALF_LIGHT * highest else ON_LIGHT
            ax.text(column, row, text(value), ha="center", va="center", fontsize=6, color=ink)
    ax.set_yticks(range(7), WEEKDAYS)
    ax.set_xticks(range(0, 24, 2))
    ax.grid(visible=False)


def calm(ax: Axes) -> Axes:
    """Keep two spines, and draw a light grid behind the data.

    Parameters
    ----------
    ax : Axes
        The axes to style.

    Returns
    -------
    Axes
        The same axes.
    """
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.grid(color=SHADE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.add_artist(Notes())
    return ax


def looks_of(names: pd.Series) -> dict[Hashable, dict[str, Any]]:
    """Colour and line style of each name.

    A digest has the same colour in every figure; the line style distinguishes digests of one colour.

    Parameters
    ----------
    names : Series of str
        Digests, instances or other names; repetitions count once.

    Returns
    -------
    dict of name to dict
        Keywords `color` and `linestyle` of `Axes.plot`.
    """
    looks: dict[Hashable, dict[str, Any]] = {}
    for n, name in enumerate(sorted(set(names))):
        is_digest = statement_labels.DIGEST.fullmatch(str(name))
        colour = (
            statement_labels.COLOURS[statement_labels.colour_index(str(name))] if is_digest else nth_colour(n)
        )
        like = sum(look["color"] == colour for look in looks.values())
        looks[name] = {"color": colour, "linestyle": line_style(like if is_digest else n)}
    return looks


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """Colour of each workload: the same in every figure, on every page and in every week.

    The colour follows from the name. A workload whose colour another one has already, in alphabetical order and writer's jobs
    last, takes the next free one. A writer's job has the colour of its name; what is unknown is grey.

    Parameters
    ----------
    names : iterable of str
        Workloads; repetitions count once.

    Returns
    -------
    dict of str to str
    """
    palette = statement_labels.COLOURS
    names = [str(name) for name in names]
    of_readers = {name for name in names if name == _plain_name(name)}
    plain = sorted(
        {_plain_name(name) for name in names} - UNNAMED, key=lambda name: (name not in of_readers, name)
    )
    taken: dict[str, int] = {}
    for name in plain:
        first = zlib.crc32(name.encode()) % len(palette)
        free = [(first + n) % len(palette) for n in range(len(palette))]
        taken[name] = next((n for n in free if n not in taken.values()), first)
    return {
        name: MUTED if _plain_name(name) in UNNAMED else palette[taken[_plain_name(name)]] for name in names
    }


def _plain_name(name: str) -> str:
    return str(name).removeprefix("(writer) ")


UNNAMED = {"(unknown)", "unknown", "short views only"}
"""Names that stand for no workload."""


def nth_colour(n: int) -> str:
    """Return the colour of the n-th series.

    Parameters
    ----------
    n : int
        Number of the series, from 0; colours repeat.

    Returns
    -------
    str
    """
    return COLOURS[n % len(COLOURS)]


def line_style(n: int) -> str | tuple[int, tuple[int, int]]:
    """Return the line style of the n-th series.

    Parameters
    ----------
    n : int
        Number of the series, from 0; styles repeat.

    Returns
    -------
    str or tuple
        A line style of matplotlib.
    """
    return LINE_STYLES[n % len(LINE_STYLES)]


def dates(times: pd.Index) -> np.ndarray:
    """Convert times to matplotlib's numbers in one step, which is faster than matplotlib's conversion one by one.

    Parameters
    ----------
    times : Index
        Times (UTC).

    Returns
    -------
    numpy.ndarray
        Days since matplotlib's epoch.
    """
    values = pd.DatetimeIndex(times)
    utc = values.tz_convert(None) if len(values) else values  # a column without rows has no time zone
    return np.asarray(mdates.date2num(utc.to_numpy()))


def with_gaps(series: pd.Series) -> pd.Series:
    """Break the line after a gap of three periods, so that it does not bridge missing samples.

    Parameters
    ----------
    series : Series
        Values over time.

    Returns
    -------
    Series
        The series with the first value after each gap missing.
    """
    steps = series.index.to_series().diff()
    return series.mask(steps > 3 * steps.median())


def count_axis(ax: Axes) -> None:
    """Format the y axis for counts: thousands separators and at most five ticks.

    Parameters
    ----------
    ax : Axes
        The axes to format.
    """
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5))


def plain_number(value: float, _: object) -> str:
    """Format a tick without an exponent.

    Parameters
    ----------
    value : float
        The tick's value.
    _ : object
        The tick's position, which matplotlib passes.

    Returns
    -------
    str
    """
    return f"{value:,.10g}"


def time_axis(ax: Axes, timezone: str) -> None:
    """Format the x axis for times in a time zone, and name the zone.

    Parameters
    ----------
    ax : Axes
        The axes to format.
    timezone : str
        IANA name of the time zone.
    """
    locator = mdates.AutoDateLocator(tz=timezone, minticks=4, maxticks=9)
    locator.zone = timezone  # `Notes` reads the name, which the locator does not keep
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator, tz=timezone))
    ax.set_xlabel(f"time [{timezone}]")


CLEANUP_LABELS = {
    "xmin_horizon_age": "age of the\nxmin horizon",
    "xmin_horizon": "xmin horizon",
    "next_transaction_id": "next transaction id",
}
"""Labels of PostgreSQL's series about cleanup, by our metric's name."""


def cleanup_label(series: pd.Series, default: str) -> str:
    """Label a series about cleanup by its name.

    Parameters
    ----------
    series : Series
        With our metric's name.
    default : str
        The label on InnoDB.

    Returns
    -------
    str
        The label, without a unit.
    """
    return CLEANUP_LABELS.get(str(series.name), default)
