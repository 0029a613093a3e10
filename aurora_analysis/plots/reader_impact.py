"""Figures of reader impact: exposure, growth, effects, and latency around the start and end of runs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import blended_transform_factory

from aurora_analysis.plots.estimates import intervals
from aurora_analysis.plots.notes import labelled
from aurora_analysis.plots.style import (
    COLOURS,
    INK,
    MUTED,
    SHADE,
    calm,
    cleanup_label,
    colours_of,
    count_axis,
    dates,
    mark_if_empty,
    new_axes,
    plain_number,
    time_axis,
    with_gaps,
)
from aurora_analysis.window import Window


def exposures(runs: pd.DataFrame, window: Window, *, timezone: str = "UTC", ax: Axes | None = None) -> Axes:
    """Draw the runs of each workload over time: one row per workload, one bar per run.

    Parameters
    ----------
    runs : DataFrame
        `workload, start, end` (UTC).
    window : Window
        Limits of the time axis.
    timezone : str, default "UTC"
        Time zone of the axis.
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    workloads = list(runs["workload"].unique())
    colours = colours_of(workloads)
    ax = ax or new_axes(height=0.7 + 0.32 * max(len(workloads), 1))
    for n, workload in enumerate(workloads):
        mine = runs[runs["workload"] == workload]
        starts = dates(pd.DatetimeIndex(mine["start"]))
        spans = list(zip(starts, dates(pd.DatetimeIndex(mine["end"])) - starts))
        ax.broken_barh(spans, (n - 0.3, 0.6), color=colours[workload], label=workload)
    ax.set_yticks(range(len(workloads)), workloads)
    ax.set_xlim(*dates(pd.DatetimeIndex([window.start, window.end])))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    time_axis(ax, timezone)
    return mark_if_empty(ax, runs)


def growth(grown: pd.DataFrame, *, of: str = "history list", ax: Axes | None = None) -> Axes:
    """Draw the growth of what waits for cleanup while each workload's snapshot was the oldest [transactions].

    Parameters
    ----------
    grown : DataFrame
        Result of `reader_impact.growth`: `workload, growth` [transactions].
    of : str, default "history list"
        The engine's word for what grows while cleanup is blocked.
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    grown = grown.dropna(subset="growth")
    ax = ax or new_axes(height=0.8 + 0.32 * max(len(grown), 1))
    colours = colours_of(grown["workload"])
    bars = [colours[name] for name in grown["workload"]]
    drawn = ax.barh(range(len(grown)), grown["growth"], height=0.6, color=bars)
    for bar, workload, grew in zip(drawn, grown["workload"], grown["growth"]):
        labelled(bar, f"{workload}: {grew:,.0f} transactions")
    ax.set_yticks(range(len(grown)), grown["workload"])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.set_xlabel(
        f"growth of the {of} while its {'view' if of == 'history list' else 'snapshot'} was the oldest [transactions]"
    )
    return mark_if_empty(ax, grown)


def effects(
    frame: pd.DataFrame,
    *,
    of: Sequence[str] = ("workload", "metric"),
    materiality_pct: float = 5.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the effect of each workload on the writer's metrics [%], with intervals.

    Parameters
    ----------
    frame : DataFrame
        `effect_pct, ci_low_pct, ci_high_pct` [%] and the columns `of`.
    of : sequence of str, default ("workload", "metric")
        Columns that label a row.
    materiality_pct : float, default 5
        Half the width of the shaded band [%].
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    labels = [" → ".join(_worded(row, name) for name in of) for row in frame.to_dict("records")]
    columns = ("effect_pct", "ci_low_pct", "ci_high_pct")
    xlabel = "effect on the writer [%]"
    return intervals(frame, labels, columns=columns, materiality_pct=materiality_pct, xlabel=xlabel, ax=ax)


def _worded(row: Mapping[Hashable, Any], name: str) -> str:
    return str(row[name]).replace("_", " ") if name == "metric" else str(row[name])


def event_aligned(aligned: pd.DataFrame, *, most: int = 4) -> list[Axes]:
    """Draw the change of the writer's latency around starts (left) and ends (right) of runs [%].

    The band is the 95 % confidence interval; the grey area is the share of runs that are open.

    Parameters
    ----------
    aligned : DataFrame
        One metric of `reader_impact.event_aligned`: `workload, runs` (their number), `edge` ("start" or "end"), `minute`
        (from the edge), `effect_pct, low_pct, high_pct` [%] and `exposed_share` [0 to 1].
    most : int, default 4
        Number of workloads, in the order of the rows.

    Returns
    -------
    list of Axes
        Two per workload; one without data.
    """
    if aligned.empty:
        return [mark_if_empty(new_axes(), aligned)]
    workloads = list(dict.fromkeys(aligned["workload"]))[:most]
    rows = len(workloads)
    figure, panels = plt.subplots(
        rows,
        2,
        figsize=(8.6, 0.6 + 1.9 * rows),
        layout="constrained",
        squeeze=False,
        sharex="col",
        sharey=True,
    )
    for row, workload in zip(panels, workloads):
        mine = aligned[aligned["workload"] == workload]
        for ax, edge in zip(row, ("start", "end")):
            _around_edge(calm(ax), mine[mine["edge"] == edge])
        row[0].set_title(f"{workload}: {mine['runs'].iloc[0]} runs", fontsize="medium", loc="left")
    for ax, edge in zip(panels[-1], ("start", "end")):
        ax.set_xlabel(f"minutes from the {edge} of a run")
    figure.supylabel("change of latency [%]; grey: share of runs open", fontsize="medium")
    return list(panels.ravel())


def _around_edge(ax: Axes, mine: pd.DataFrame) -> None:
    place = blended_transform_factory(ax.transData, ax.transAxes)
    ax.fill_between(
        mine["minute"], 0, mine["exposed_share"], step="mid", color=SHADE, transform=place, zorder=0
    )
    look: dict[str, Any] = {"color": COLOURS[0], "marker": "o", "markersize": 2.5, "linewidth": 1.2}
    ax.plot(mine["minute"], mine["effect_pct"], label="change of latency", **look)
    band: dict[str, Any] = {"color": COLOURS[0], "alpha": 0.3, "linewidth": 0}
    ax.fill_between(mine["minute"], mine["low_pct"], mine["high_pct"], label="95 % interval", **band)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.axvline(0, color=INK, linestyle="--", linewidth=0.8)
    ax.margins(x=0)


def strip(
    runs: pd.DataFrame,
    history: pd.Series,
    boundary: pd.Series,
    latency: pd.Series,
    window: Window,
    *,
    timezone: str = "UTC",
) -> list[Axes]:
    """Draw runs, what waits for cleanup, its boundary and latency below each other, over one time axis.

    Parameters
    ----------
    runs : DataFrame
        `workload, start, end` (UTC).
    history : Series
        History list length, or age of the xmin horizon, over time [transactions]; its name is the label.
    boundary : Series
        Purge boundary, or xmin horizon, over time [transaction number], drawn from its first value on.
    latency : Series
        Latency over time [ms]; its name is the label.
    window : Window
        Limits of the time axis.
    timezone : str, default "UTC"
        Time zone of the axis.

    Returns
    -------
    list of Axes
        Four, from top to bottom; one without data.
    """
    if runs.empty and history.empty and latency.empty:
        return [mark_if_empty(new_axes(), runs)]
    heights = [0.25 + 0.28 * max(runs["workload"].nunique(), 1), 1.3, 1.3, 1.3]
    size = (8.6, 0.8 + sum(heights))
    figure, panels = plt.subplots(
        4, 1, figsize=size, layout="constrained", sharex=True, height_ratios=heights
    )
    runs_ax, grown, purged, slowed = (calm(ax) for ax in panels)
    exposures(runs, window, timezone=timezone, ax=runs_ax)
    figure.set_size_inches(*size)
    first = boundary.iloc[0] if len(boundary) else 0
    lines = [
        (grown, history, COLOURS[0]),
        (purged, boundary - first, COLOURS[3]),
        (slowed, latency, COLOURS[2]),
    ]
    labels = [
        f"{cleanup_label(history, 'history list')}\n[transactions]",
        f"{cleanup_label(boundary, 'purge boundary')}\n[since start]",
        f"{latency.name}\n[ms]".replace("_", " "),
    ]
    for (ax, series, colour), label in zip(lines, labels):
        ax.plot(series.index, with_gaps(series), color=colour, linewidth=1)
        ax.set_ylabel(label)
        ax.set_ylim(bottom=0)
        count_axis(ax)
        if series.dropna().empty:
            ax.set_yticks([])
            ax.text(0.5, 0.5, "no data", transform=ax.transAxes, ha="center", va="center", color=MUTED)
    slowed.yaxis.set_major_formatter(FuncFormatter(plain_number))
    runs_ax.set_xlabel("")
    slowed.set_xlim(*dates(pd.DatetimeIndex([window.start, window.end])))
    time_axis(slowed, timezone)
    return [runs_ax, grown, purged, slowed]
