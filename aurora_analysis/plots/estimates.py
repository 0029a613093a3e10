"""Draw estimates with their intervals, one per row: a figure that several topics share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from aurora_analysis.plots.notes import labelled
from aurora_analysis.plots.style import INK, MUTED, SHADE, mark_if_empty, new_axes, nth_colour

FURTHEST_PCT = 200.0
"""Right end of an interval figure [%]; an arrow marks larger values, so that the rest stays readable."""


def intervals(
    estimates: pd.DataFrame,
    labels: Sequence[str],
    *,
    columns: tuple[str, str, str],
    materiality_pct: float = 5.0,
    xlabel: str = "effect [%]",
    ax: Axes | None = None,
) -> Axes:
    """Draw estimates with their intervals, one per row; the band within ± materiality is shaded.

    Parameters
    ----------
    estimates : DataFrame
        One row per estimate.
    labels : sequence of str
        Label of each row.
    columns : tuple of str
        The columns of `estimates` with the estimate, the lower and the upper end of its interval [%].
    materiality_pct : float
        Half the width of the shaded band [%].
    xlabel : str
        Label of the horizontal axis.
    ax : Axes, optional

    Returns
    -------
    Axes
        The axes drawn on.
    """
    ax = ax or new_axes(height=0.9 + 0.3 * max(len(estimates), 1))
    ax.axvspan(-materiality_pct, materiality_pct, color=SHADE, zorder=0)
    ax.axvline(0, color=MUTED, linewidth=0.8)
    for n, (label, row) in enumerate(zip(labels, estimates.to_dict("records"))):
        _draw_interval(ax, n, label, *(row[name] for name in columns))
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.margins(y=0.2)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"{xlabel}; grey: within ±{materiality_pct:g} %")
    return mark_if_empty(ax, estimates)


def _draw_interval(ax: Axes, n: int, label: str, estimate: float, low: float, high: float) -> None:
    """Draw one estimate with its interval, or an arrow if either leaves the figure."""
    colour = nth_colour(0)
    ends = np.clip([low, high], -100, FURTHEST_PCT)
    drawn = ax.plot(ends, [n, n], color=colour, linewidth=2)
    if estimate > FURTHEST_PCT or high > FURTHEST_PCT:
        drawn += ax.plot(FURTHEST_PCT, n, marker=">", color=colour, markersize=7)
    if estimate <= FURTHEST_PCT:
        drawn += ax.plot(estimate, n, marker="o", color=colour, markersize=6)
    else:
        value = f"{estimate:+,.0f} %  "
        ax.text(FURTHEST_PCT, n, value, ha="right", va="bottom", fontsize=8, color=INK)
    for line in drawn:
        labelled(line, f"{label}: {estimate:+,.1f} % ({low:+,.1f} to {high:+,.1f} %)")
