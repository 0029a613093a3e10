"""Figures of trials: outcomes by block, and the randomisation distribution."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from aurora_analysis.plots.style import (
    COLOURS,
    INK,
    MARKERS,
    calm,
    count_axis,
    legend,
    mark_if_empty,
    new_axes,
)


def blocks(outcomes: pd.DataFrame, *, unit: str = "ms") -> list[Axes]:
    """Draw each block of a trial as a dot, on-blocks next to off-blocks, one panel per metric; a bar is the median.

    Parameters
    ----------
    outcomes : DataFrame
        Result of `experiment.outcomes`: one row per block and metric with `workload, assigned` (whether the workload
        was on), `metric` and `value`.
    unit : str, default "ms"
        Unit of `value`.

    Returns
    -------
    list of Axes
        One per metric.
    """
    metrics = list(dict.fromkeys(outcomes["metric"])) or [""]
    figure, panels = plt.subplots(1, len(metrics), figsize=(8.6, 2.8), layout="constrained", squeeze=False)
    for ax, metric in zip(panels[0], metrics):
        calm(ax)
        _block_panel(ax, outcomes[outcomes["metric"] == metric])
        ax.set_title(metric.replace("_", " "), fontsize="medium")
        mark_if_empty(ax, outcomes)
    panels[0][0].set_ylabel(f"mean per block [{unit}]")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles[:2], labels[:2], loc="outside upper left", ncols=2, frameon=False)
    figure.align_ylabels()
    return list(panels[0])


def _block_panel(ax: Axes, outcomes: pd.DataFrame) -> None:
    workloads = sorted(outcomes["workload"].unique())
    for n, workload in enumerate(workloads):
        for state, shift in ((False, -0.18), (True, 0.18)):
            mine = outcomes[(outcomes["workload"] == workload) & (outcomes["assigned"] == state)]["value"]
            spread = np.linspace(-0.12, 0.12, len(mine)) if len(mine) > 1 else np.zeros(len(mine))
            look: dict[str, Any] = {
                "marker": MARKERS[state],
                "color": COLOURS[state],
                "label": "on" if state else "off",
            }
            ax.scatter(n + shift + spread, mine, s=14, alpha=0.8, **look)
            ax.hlines(mine.median(), n + shift - 0.15, n + shift + 0.15, color=INK, linewidth=1.4)
    ax.set_xticks(range(len(workloads)), workloads)
    ax.grid(axis="x", visible=False)
    ax.set_ylim(bottom=0)


def by_chance(draws: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the effects under other random draws of the trial [%], and the observed effect.

    Parameters
    ----------
    draws : DataFrame
        One row per draw with `effect_pct` [%] and `happened` (whether it is the observed draw); `workload` and `metric`
        label the axis.
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    ax = ax or new_axes()
    ax.hist(
        draws.loc[~draws["happened"].astype(bool), "effect_pct"],
        bins=40,
        color=COLOURS[4],
        label="other draws",
    )
    for row in draws[draws["happened"].astype(bool)].to_dict("records"):
        ax.axvline(row["effect_pct"], color=COLOURS[2], linewidth=1.6, label="observed")
        ax.set_xlabel(f"on-blocks against off-blocks, {row['workload']} → {row['metric']} [%]")
    ax.set_ylabel("draws")
    count_axis(ax)
    legend(ax, loc="best")
    return mark_if_empty(ax, draws)
