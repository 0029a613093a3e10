"""Sparklines: each role's measures over a window, with the same hours of earlier windows.

Like a verdict, a sparkline is stored as JSON in the executed notebook, and the report's first page draws it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Array
from aurora_analysis.analysis.verdict import SPARKLINE
from aurora_analysis.window import Window

POINTS = 84
"""Points of a sparkline: in a week one per two hours. More would be finer than the figure can show."""

POINTS_NEEDED = 8
"""Minimum number of points that are not missing."""


@dataclass(frozen=True)
class Sparkline:
    """The course of one measure of one role over a window.

    Parameters
    ----------
    topic : str
        Name of the notebook.
    role : str
        "writer", or the instance name of a reader.
    measure : str
        Name of the measure.
    unit : str
        Its unit.
    course : sequence of float or None
        Means over `POINTS` equal parts of the window; None where nothing was observed.
    low, high : sequence of float or None
        Smallest and largest mean of the same parts in the earlier windows; empty if none has data.
    limit : float, optional
        The value that the measure is compared with, such as the number of vCPUs.
    mean : float, optional
        Mean of the course.
    change_pct : float, optional
        Difference from the previous window, over the parts that both windows have [%].
    """

    topic: str
    role: str
    measure: str
    unit: str
    course: Sequence[float | None]
    low: Sequence[float | None] = field(default_factory=list)
    high: Sequence[float | None] = field(default_factory=list)
    limit: float | None = None
    mean: float | None = None
    change_pct: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Convert the sparkline to plain data, ready for JSON.

        Returns
        -------
        dict
            One entry per field. A course is one text, so that a diff shows it as one line; "-" is a gap.
        """
        courses = {name: _text(getattr(self, name)) for name in ("course", "low", "high")}
        return asdict(self) | courses

    def __str__(self) -> str:
        change = "" if self.change_pct is None else f", {self.change_pct:+.0f} % against the previous window"
        limit = "" if self.limit is None else f", limit {self.limit:g}"
        return f"{self.role} {self.measure}: {self.mean:,.3g} {self.unit} on average{change}{limit}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {SPARKLINE: self.to_dict(), "text/plain": str(self)}


def sparklines(
    topic: str,
    values: pd.DataFrame,
    units: Mapping[str, str],
    window: Window,
    earlier: Sequence[Window] = (),
    *,
    limits: Mapping[Hashable, float] | None = None,
) -> list[Sparkline]:
    """Draw one sparkline per role and measure; series with too few points are omitted.

    Parameters
    ----------
    topic : str
        Name of the notebook.
    values : DataFrame
        `time, role, measure, value`, in the window and the earlier windows.
    units : mapping of str to str
        Measure → unit.
    window : Window
        The window to draw.
    earlier : sequence of Window
        The windows to compare with, newest first.
    limits : mapping of str to float, optional
        Role → limit.

    Returns
    -------
    list of Sparkline
        The writer's first, the readers' by name.
    """
    groups = values.groupby(["role", "measure"], sort=False)
    drawn = [
        _sparkline(
            (topic, str(role), str(measure), units[str(measure)]), rows, [window, *earlier], limits or {}
        )
        for (role, measure), rows in sorted(groups, key=lambda group: group[0][0] != "writer")
    ]
    return [one for one in drawn if sum(value is not None for value in one.course) >= POINTS_NEEDED]


def _sparkline(
    labels: tuple[str, str, str, str],
    rows: pd.DataFrame,
    windows: Sequence[Window],
    limits: Mapping[Hashable, float],
) -> Sparkline:
    """The sparkline of one role and measure; `labels` are its topic, role, measure and unit."""
    now, *earlier = (_part_means(rows, window) for window in windows)
    observed = np.array([one for one in earlier if np.isfinite(one).any()])
    return Sparkline(
        *labels,
        course=_rounded(now),
        low=_rounded(_smallest(observed)) if len(observed) else [],
        high=_rounded(-_smallest(-observed)) if len(observed) else [],
        limit=limits.get(labels[1]),
        mean=_rounded(np.array([_mean(now)]))[0],
        change_pct=_change(now, earlier[0]) if earlier else None,
    )


def _part_means(rows: pd.DataFrame, window: Window) -> Array:
    """The mean of each part of a window; NaN where nothing was observed."""
    inside = rows[(rows["time"] >= window.start) & (rows["time"] < window.end) & rows["value"].notna()]
    part = ((inside["time"] - window.start) / window.duration * POINTS).astype(int).to_numpy()
    totals = np.bincount(part, inside["value"].to_numpy(), POINTS)
    counts = np.bincount(part, minlength=POINTS)
    return np.asarray(np.divide(totals, counts, out=np.full(POINTS, np.nan), where=counts > 0))


def _smallest(courses: Array) -> Array:
    """The smallest value of each part; NaN where no course has one."""
    smallest = np.where(np.isfinite(courses), courses, np.inf).min(axis=0)
    return np.asarray(np.where(np.isfinite(smallest), smallest, np.nan))


def _mean(parts: Array) -> float:
    observed = parts[np.isfinite(parts)]
    return float(observed.mean()) if len(observed) else np.nan


def _change(now: Array, before: Array) -> float | None:
    both = np.isfinite(now) & np.isfinite(before)
    if both.sum() < POINTS_NEEDED or before[both].mean() <= 0:
        return None
    return round(float(100 * (now[both].mean() / before[both].mean() - 1)), 1)


def _text(course: Sequence[float | None]) -> str:
    return " ".join("-" if value is None else f"{value:g}" for value in course)


def _rounded(values: Array) -> list[float | None]:
    return [rounded(value) for value in values]


def rounded(value: float) -> float | None:
    """Value with three significant digits, the precision of the figure; None if missing.

    Parameters
    ----------
    value : float
        The value.

    Returns
    -------
    float or None
        The rounded value.
    """
    return None if np.isnan(value) else float(f"{value:.3g}")
