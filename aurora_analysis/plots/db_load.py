"""Figures of db load: active sessions by wait class and by hour of the week."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from aurora_analysis.plots.notes import stacked
from aurora_analysis.plots.style import (
    INK,
    dates,
    mark_if_empty,
    new_panels,
    nth_colour,
    time_axis,
    week_heat,
)


def active_sessions(
    classes: pd.DataFrame, profiles: pd.DataFrame, *, most: int = 5, timezone: str = "UTC"
) -> list[Axes]:
    """Draw average active sessions over time, stacked by wait class, one panel per instance.

    A dashed line marks the instance's vCPUs.

    Parameters
    ----------
    classes : DataFrame
        `time` (UTC), `instance, wait_class, active_sessions`.
    profiles : DataFrame
        `instance, role, vcpus`: one row per instance and panel.
    most : int, default 5
        Number of wait classes, by load, that are shown separately.
    timezone : str, default "UTC"
        Time zone of the axis.

    Returns
    -------
    list of Axes
        One per instance.
    """
    load = classes.groupby("wait_class")["active_sessions"].sum().sort_values(ascending=False)
    names = classes["wait_class"].where(classes["wait_class"].isin(load.index[:most]), "all others")
    order = [*load.index[:most], *["all others"] * (len(load) > most)]
    panels = new_panels(max(len(profiles), 1), height=1.7)
    for ax, row in zip(panels, profiles.to_dict("records")):
        mine = classes.assign(wait_class=names)[classes["instance"] == row["instance"]]
        stack = mine.groupby(["time", "wait_class"])["active_sessions"].sum().unstack()
        _stack(ax, stack.reindex(columns=order))
        ax.axhline(row["vcpus"], color=INK, linestyle="--", linewidth=1)
        ax.set_title(f"{row['instance']} ({row['role']}), {row['vcpus']:g} vCPUs: dashed", fontsize="medium")
        ax.set_ylabel("active sessions")
        ax.margins(x=0.01)
    time_axis(panels[-1], timezone)
    handles, labels = panels[0].get_legend_handles_labels()
    plt.gcf().legend(handles, labels, loc="outside upper left", ncols=len(labels) or 1, frameon=False)
    return [mark_if_empty(ax, classes) for ax in panels]


MOST_POINTS = 504
"""Largest number of points of an area; a week of minutes is drawn as means of 20 minutes and their highest minute."""

HATCHES = ("", "//", "..", "xx", "\\\\", "--")


def _stack(ax: Axes, stack: pd.DataFrame) -> None:
    """Stack areas, each with its colour and hatch; unobserved periods stay empty."""
    period = pd.Timedelta(stack.index.to_series().diff().median())
    grid = pd.date_range(stack.index[0], stack.index[-1], freq=period) if len(stack) > 1 else stack.index
    whole, size = stack.fillna(0).reindex(grid), -(-len(grid) // MOST_POINTS)
    parts = whole.groupby(np.arange(len(grid)) // size)
    times = dates(grid[::size])
    areas = ax.stackplot(times, parts.mean().T.to_numpy(), labels=stack.columns, linewidth=0)
    for n, (area, name) in enumerate(zip(areas, stack.columns)):
        area.set(facecolor=nth_colour(n), hatch=HATCHES[n % len(HATCHES)], edgecolor="white")
        stacked(area, name)
    if size > 1:
        highest = whole.sum(axis=1, min_count=1).groupby(np.arange(len(grid)) // size).max()
        label = f"highest in {size * period / pd.Timedelta(minutes=1):g} min"
        ax.plot(times, highest, color=INK, linewidth=0.6, label=label)
    ax.set_ylim(bottom=0)


def hours_of_week(load: pd.DataFrame, *, timezone: str = "UTC") -> list[Axes]:
    """Draw mean active sessions by weekday and hour, one panel per role.

    Parameters
    ----------
    load : DataFrame
        `role, weekday` (0 is Monday), `hour` (0 to 23, local) and `active_sessions` (mean).
    timezone : str, default "UTC"
        Time zone of `weekday` and `hour`, for the label.

    Returns
    -------
    list of Axes
        One per role, the writer first.
    """
    roles = sorted(load["role"].unique(), key=lambda role: (role != "writer", role))
    panels = new_panels(max(len(roles), 1), height=1.9)
    highest = load["active_sessions"].max()
    for ax, role in zip(panels, roles):
        table = load[load["role"] == role].pivot(index="weekday", columns="hour", values="active_sessions")
        week_heat(ax, table, highest, "{:.1f}".format)
        ax.set_title(f"{role}: active sessions", fontsize="medium")
    panels[-1].set_xlabel(f"hour [{timezone}]")
    return [mark_if_empty(ax, load) for ax in panels]
