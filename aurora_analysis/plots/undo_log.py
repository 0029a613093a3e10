"""Figures of cleanup: what waits for it, how far it may go, and the age of the oldest read view or snapshot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory

from aurora_analysis.plots.notes import labelled
from aurora_analysis.plots.style import (
    COLOURS,
    INK,
    LINE_STYLES,
    MARKERS,
    MUTED,
    SHADE,
    cleanup_label,
    colours_of,
    count_axis,
    dates,
    legend,
    mark_if_empty,
    new_axes,
    time_axis,
    with_gaps,
)


def history_list_length(
    history: pd.Series, episodes: pd.DataFrame | None = None, *, timezone: str = "UTC", ax: Axes | None = None
) -> Axes:
    """Draw what waits for cleanup over time [transactions], with growth episodes shaded and numbered.

    Parameters
    ----------
    history : Series
        History list length, or age of the xmin horizon, over time (UTC) [transactions]; its name is the label.
    episodes : DataFrame, optional
        With `start, end` (UTC) and, if known, `peak_length` [transactions].
    timezone : str, default "UTC"
        Time zone of the axis.
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    ax = ax or new_axes()
    ax.plot(dates(history.index), with_gaps(history), color=COLOURS[0], linewidth=1)
    if episodes is not None:
        _shade(ax, episodes)
    ax.set_ylim(bottom=0)
    ax.set_ylabel(f"{cleanup_label(history, 'history list length')}\n[transactions]")
    count_axis(ax)
    time_axis(ax, timezone)
    return mark_if_empty(ax, history)


CLOSEST = 0.026
"""Smallest distance of two episode numbers, as a share of the shown time; closer ones would overlap."""


def _shade(ax: Axes, episodes: pd.DataFrame) -> None:
    """Shade episodes; where numbers would overlap, the episode with the higher peak keeps its own."""
    place = blended_transform_factory(ax.transData, ax.transAxes)
    spans = list(zip(dates(pd.DatetimeIndex(episodes["start"])), dates(pd.DatetimeIndex(episodes["end"]))))
    peaks = episodes.get("peak_length", pd.Series(0.0, episodes.index)).to_numpy()
    for n, ((start, end), peak) in enumerate(zip(spans, peaks), start=1):
        text = f"episode {n}: peak of {peak:,.0f} transactions" if peak else f"{n}"
        labelled(ax.axvspan(start, end, color=SHADE, zorder=0), text)
    shown: list[float] = []
    closest = CLOSEST * np.ptp(ax.get_xlim())
    for n in np.argsort(-peaks, kind="stable"):
        start = spans[n][0]
        if all(abs(start - other) >= closest for other in shown):
            shown.append(start)
            ax.text(start, 1.0, f"{n + 1}", transform=place, fontsize=8, color=MUTED, va="bottom")


def purge(
    boundary: pd.Series,
    finished: pd.Series,
    episodes: pd.DataFrame,
    *,
    timezone: str = "UTC",
    ax: Axes | None = None,
) -> Axes:
    """Draw how far cleanup may go and how far it could, around the episode with the highest peak.

    Parameters
    ----------
    boundary : Series
        Transaction number up to which purge is allowed, or the xmin horizon, over time (UTC).
    finished : Series
        Transaction number up to which purge has finished, or the next transaction id, over time (UTC).
    episodes : DataFrame
        `start, end` (UTC) and `peak_length`; without rows, the whole series are drawn.
    timezone : str, default "UTC"
        Time zone of the axis.
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    ax = ax or new_axes()
    shown = _around_the_highest(boundary, episodes), _around_the_highest(finished, episodes)
    start = min((series.iloc[0] for series in shown if len(series)), default=0)
    labels = [
        cleanup_label(*pair) for pair in zip((boundary, finished), ("purge allowed up to", "purged up to"))
    ]
    for n, (series, label) in enumerate(zip(shown, labels)):
        line: dict[str, Any] = {"color": COLOURS[n], "linestyle": LINE_STYLES[n], "label": label}
        ax.plot(dates(series.index), with_gaps(series) - start, linewidth=1.4, **line)
    ax.set_ylabel("transaction number\nsince the start")
    legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    count_axis(ax)
    time_axis(ax, timezone)
    return mark_if_empty(ax, pd.concat(shown))


def _around_the_highest(series: pd.Series, episodes: pd.DataFrame) -> pd.Series:
    """Series around the episode with the highest peak, with half of its length on either side."""
    if episodes.empty:
        return series
    highest = episodes.nlargest(1, "peak_length").iloc[0]
    margin = (highest["end"] - highest["start"]) / 2
    return series[highest["start"] - margin : highest["end"] + margin]


UNNAMED_LOOKS: dict[str, dict[str, Any]] = {
    "unknown": {"color": INK, "marker": "*"},
    "short": {"color": MUTED, "marker": ""},
}
"""Looks of what stands for no workload, by the first word of its name: unlike the colours of workloads, which may be grey."""


def read_view_age(
    oldest_view: pd.DataFrame,
    runs: pd.DataFrame,
    *,
    view: str = "read view",
    timezone: str = "UTC",
    ax: Axes | None = None,
) -> Axes:
    """Draw the age of the oldest open snapshot over time [s or min], by the workload that held it.

    Parameters
    ----------
    oldest_view : DataFrame
        Result of `undo_log.attribute_oldest_view` over `runs`: by time (UTC), `since` (UTC), `run` (row of `runs`) and
        `state`.
    runs : DataFrame
        With `workload`.
    view : str, default "read view"
        The engine's word for what a session holds: "read view" or "snapshot".
    timezone : str, default "UTC"
        Time zone of the axis.
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    ax = ax or new_axes(height=2.8)
    age = (oldest_view.index.to_series() - oldest_view["since"]).dt.total_seconds()
    unit, seconds = ("min", 60) if age.max() > 600 else ("s", 1)
    workload = (
        runs["workload"].reindex(oldest_view["run"].astype("Float64").astype("float")).to_numpy(dtype=object)
    )
    holder = np.where(
        oldest_view["state"] == "held",
        workload,
        oldest_view["state"].replace("none", f"short {view.split()[-1]}s only"),
    )
    colours = colours_of(holder)
    known = with_gaps(age / seconds)
    for n, name in enumerate(sorted(set(holder))):
        mine = known.where(holder == name)
        is_alone = mine.notna() & mine.shift().isna() & mine.shift(-1).isna()
        look: dict[str, Any] = {"color": colours[name], "marker": MARKERS[n % len(MARKERS)]}
        look |= UNNAMED_LOOKS.get(name.split()[0], {}) | {"markersize": 2.5}
        ax.plot(dates(mine.index), mine, **{"markevery": 0.02, "linewidth": 1.2, "label": name, **look})
        ax.plot(dates(mine.index[is_alone]), mine[is_alone], linestyle="", **look)
    ax.set_ylim(bottom=0)
    ax.set_ylabel(f"age of the oldest\n{view} [{unit}]")
    legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, markerscale=2)
    time_axis(ax, timezone)
    return mark_if_empty(ax, oldest_view)
