"""Figures for ad-hoc questions: any series over time, with runs below it."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from aurora_analysis.glossary import METRICS
from aurora_analysis.plots.style import (
    COLOURS,
    MUTED,
    colours_of,
    dates,
    legend,
    mark_if_empty,
    new_axes,
    plain_number,
    time_axis,
    with_gaps,
)

LANE = 0.06
"""Height of a workload's lane [share of the axes]."""

MOST_LANES = 8
"""Most workloads that are drawn: those that ran longest."""


def timeline(
    series: pd.Series,
    runs: pd.DataFrame | None = None,
    *,
    label: str = "",
    timezone: str = "UTC",
    ax: Axes | None = None,
) -> Axes:
    """Draw a series over time, with one lane per workload above it that shows its runs.

    Parameters
    ----------
    series : Series
        Values over time (UTC).
    runs : DataFrame, optional
        `workload`, `start` and `end` (UTC), as from `workloads.exposures`; other columns are ignored. Runs outside the
        series are cut, and only the eight workloads that ran longest are drawn.
    label : str, optional
        Label of the y axis. Default: the series' name, with its unit if it is a metric of `tables.METRICS`.
    timezone : str, default "UTC"
        Time zone of the axis.
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    ax = ax or new_axes(height=3.0)
    ax.plot(dates(series.index), with_gaps(series), color=COLOURS[0], linewidth=1)
    ax.set_ylim(bottom=min(0.0, series.min()) if len(series) else 0.0)
    ax.set_ylabel(label or _label(series))
    ax.yaxis.set_major_formatter(FuncFormatter(plain_number))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5))
    time_axis(ax, timezone)
    if runs is not None and len(series):
        _draw_lanes(ax, runs)
    return mark_if_empty(ax, series)


def _label(series: pd.Series) -> str:
    name = str(series.name or "value")
    return f"{name.replace('_', ' ')}\n[{METRICS[name][0]}]" if name in METRICS else name.replace("_", " ")


def _draw_lanes(ax: Axes, runs: pd.DataFrame) -> None:
    """Draw each workload's runs as bars in a lane of its own, above the highest value."""
    lasted = (runs["end"] - runs["start"]).groupby(runs["workload"].astype(str)).sum()
    names = sorted(lasted.nlargest(MOST_LANES).index)
    if len(lasted) > len(names):
        ax.set_title(
            f"not drawn: {len(lasted) - len(names)} shorter workloads", loc="right", fontsize=8, color=MUTED
        )
    left, right = ax.get_xlim()
    low, high = ax.get_ylim()
    ax.set_ylim(low, low + (high - low) / (1 - LANE * (len(names) + 0.5)))
    colours = colours_of(names)
    for n, name in enumerate(names):
        mine = runs[runs["workload"] == name]
        starts, ends = (dates(pd.DatetimeIndex(mine[edge])) for edge in ("start", "end"))
        ax.broken_barh(
            list(zip(starts, ends - starts)),
            (1 - LANE * (n + 0.9), 0.8 * LANE),
            transform=ax.get_xaxis_transform(),
            color=colours[name],
            label=name,
        )
    ax.set_xlim(left, right)
    legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
