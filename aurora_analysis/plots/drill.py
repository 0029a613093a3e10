"""Figure of a drill: how long each client did not work."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from aurora_analysis.plots.style import COLOURS, INK, MARKERS, calm, legend, mark_if_empty

CLIENTS = ("plain", "pool", "topology")


def recovery(runs: pd.DataFrame) -> list[Axes]:
    """Draw the time of each run as a mark, one row per client and one panel per fault; a line is the objective.

    A hollow mark is a client that had not recovered when the observation ended.

    Parameters
    ----------
    runs : DataFrame
        Result of `drill.runs`: `fault, client, measured_s, objective_s, observed_s` [s].

    Returns
    -------
    list of Axes
        One per fault.
    """
    faults = list(dict.fromkeys(runs["fault"])) or [""]
    height = 0.8 + 1.1 * len(faults)
    figure, panels = plt.subplots(len(faults), 1, figsize=(8.6, height), layout="constrained", squeeze=False)
    for ax, fault in zip(panels[:, 0], faults):
        calm(ax)
        _panel(ax, runs[runs["fault"] == fault])
        ax.set_title(fault, fontsize="medium", loc="left")
        mark_if_empty(ax, runs)
    panels[-1, 0].set_xlabel("time from the fault until the client works (lag: age of the oldest read) [s]")
    figure.align_ylabels()
    return list(panels[:, 0])


def _panel(ax: Axes, runs: pd.DataFrame) -> None:
    for row, client in enumerate(CLIENTS):
        mine = runs[runs["client"] == client]
        look = {"marker": MARKERS[row], "edgecolors": COLOURS[row], "s": 36}
        done = mine["measured_s"].dropna()
        ax.scatter(done, [row] * len(done), color=COLOURS[row], **look)  # type: ignore[arg-type]
        open_ended = mine.loc[mine["measured_s"].isna(), "observed_s"]
        label = "not recovered when the observation ended" if len(open_ended) else ""
        ax.scatter(open_ended, [row] * len(open_ended), facecolors="none", label=label, **look)  # type: ignore[arg-type]
    for objective_s in runs["objective_s"].dropna().unique():
        ax.axvline(objective_s, color=INK, linestyle="--", linewidth=1, label=f"objective {objective_s:g} s")
    ax.set_yticks(range(len(CLIENTS)), CLIENTS)
    ax.set_ylim(len(CLIENTS) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    legend(ax, loc="lower right")
