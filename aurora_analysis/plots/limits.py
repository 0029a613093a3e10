"""Figures of limits: how long a read view may be held at each hour of the week."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from aurora_analysis.plots.style import mark_if_empty, new_panels, week_heat


def longest_holds(holds: pd.DataFrame, *, timezone: str = "UTC") -> list[Axes]:
    """Draw the longest allowed hold by weekday and hour [min], one panel per slowdown of the writer.

    Parameters
    ----------
    holds : DataFrame
        `slowdown_pct, weekday` (0 is Monday), `hour` (0 to 23, local) and `minutes`; infinite minutes lie beyond what the
        recorded holds show.
    timezone : str, default "UTC"
        Time zone of `weekday` and `hour`, for the label.

    Returns
    -------
    list of Axes
        One per slowdown, the smallest first.
    """
    slowdowns = sorted(holds["slowdown_pct"].unique())
    panels = new_panels(max(len(slowdowns), 1), height=1.9)
    finite = holds["minutes"][np.isfinite(holds["minutes"].astype(float))]
    highest = float(finite.max()) if len(finite) else 1.0
    for ax, slowdown in zip(panels, slowdowns):
        mine = holds[holds["slowdown_pct"] == slowdown]
        table = mine.pivot(index="weekday", columns="hour", values="minutes")
        week_heat(ax, table, highest, _minutes)
        ax.set_title(
            f"longest allowed hold: after it latency is {slowdown:g} % higher [min]", fontsize="medium"
        )
    panels[-1].set_xlabel(f"hour [{timezone}]")
    return [mark_if_empty(ax, holds) for ax in panels]


def _minutes(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value:.0f}"
