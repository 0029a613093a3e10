"""Figure of connections: attempts to connect beside the ordinary ones."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from aurora_analysis.plots.style import (
    INK,
    SHADE,
    calm,
    dates,
    mark_if_empty,
    new_panels,
    nth_colour,
    time_axis,
)


def connection_attempts(attempts: pd.DataFrame, storms: pd.DataFrame, *, timezone: str = "UTC") -> list[Axes]:
    """Draw attempts to connect per second over time, one panel per instance; storms are shaded.

    A dashed line marks the ordinary attempts of each hour.

    Parameters
    ----------
    attempts : DataFrame
        `time` (UTC), `instance`, `value` and `ordinary_per_s` [1/s].
    storms : DataFrame
        `instance, start, end` (UTC).
    timezone : str, default "UTC"
        Time zone of the axis.

    Returns
    -------
    list of Axes
        One per instance.
    """
    names = sorted(set(attempts["instance"]))
    panels = new_panels(max(len(names), 1), height=1.5)
    for ax, name in zip(panels, names):
        mine = attempts[attempts["instance"] == name]
        for storm in storms[storms["instance"] == name].to_dict("records"):
            ax.axvspan(*dates(pd.DatetimeIndex([storm["start"], storm["end"]])), color=SHADE, linewidth=0)
        line = _with_gaps(mine)
        ax.plot(dates(line.index), line["value"], color=nth_colour(0), linewidth=0.8)
        ax.plot(dates(line.index), line["ordinary_per_s"], color=INK, linestyle="--", linewidth=0.8)
        ax.set_title(f"{name}: attempts to connect; ordinary: dashed, storms: shaded", fontsize="medium")
        ax.set_ylabel("attempts [1/s]")
        ax.set_ylim(bottom=0)
    time_axis(panels[-1], timezone)
    return [mark_if_empty(calm(ax), attempts) for ax in panels]


def _with_gaps(attempts: pd.DataFrame) -> pd.DataFrame:
    """The values by time, with an empty row where a period is missing, so that no line crosses a gap."""
    rows = attempts.set_index("time")[["value", "ordinary_per_s"]]
    return rows.resample(pd.Timedelta(seconds=float(attempts["period_s"].median()))).mean()
