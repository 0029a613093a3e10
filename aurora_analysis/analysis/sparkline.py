"""Sparklines: how each role's measures went over a window, in few points, against the same hours of the weeks before.

A sparkline travels inside the executed notebook as a verdict does, and the report's first page draws it.
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
"""Of a line: two hours each in a week. More would be finer than the figure."""

POINTS_NEEDED = 8


@dataclass(frozen=True)
class Sparkline:
    """What a measure of a role did in a window.

    `course` are means over equal parts of the window, null where nothing was observed; `low` and `high` the least and
    the most of the same parts in the weeks before, empty where none is known. `limit` is what the measure is held
    against, `mean` its mean, `change_pct` how it differs from the window before over the parts that both have [%].
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
        """The sparkline as plain data, ready for JSON: a course is text, one line in a diff; a dash is a gap."""
        courses = {name: _text(getattr(self, name)) for name in ("course", "low", "high")}
        return asdict(self) | courses

    def __str__(self) -> str:
        change = "" if self.change_pct is None else f", {self.change_pct:+.0f} % against the window before"
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
    """One a role and measure of `values` (`time, role, measure, value`), the writer first; too few points are none.

    Answers: how did it go, at a glance? `earlier` are the windows to compare with, newest first; `limits` are by role.
    """
    groups = values.groupby(["role", "measure"], sort=False)
    told = [
        _sparkline(
            (topic, str(role), str(measure), units[str(measure)]), rows, [window, *earlier], limits or {}
        )
        for (role, measure), rows in sorted(groups, key=lambda group: group[0][0] != "writer")
    ]
    return [one for one in told if sum(value is not None for value in one.course) >= POINTS_NEEDED]


def _sparkline(
    named: tuple[str, str, str, str],
    rows: pd.DataFrame,
    windows: Sequence[Window],
    limits: Mapping[Hashable, float],
) -> Sparkline:
    now, *others = (_parts(rows, window) for window in windows)
    known = np.array([one for one in others if np.isfinite(one).any()])
    return Sparkline(
        *named,
        course=_rounded(now),
        low=_rounded(_lowest(known)) if len(known) else [],
        high=_rounded(-_lowest(-known)) if len(known) else [],
        limit=limits.get(named[1]),
        mean=_rounded(np.array([_mean(now)]))[0],
        change_pct=_change(now, others[0]) if others else None,
    )


def _parts(rows: pd.DataFrame, window: Window) -> Array:
    """The mean of each part of a window; missing where nothing was observed."""
    inside = rows[(rows["time"] >= window.start) & (rows["time"] < window.end) & rows["value"].notna()]
    part = ((inside["time"] - window.start) / window.duration * POINTS).astype(int).to_numpy()
    totals = np.bincount(part, inside["value"].to_numpy(), POINTS)
    counts = np.bincount(part, minlength=POINTS)
    return np.divide(totals, counts, out=np.full(POINTS, np.nan), where=counts > 0)


def _lowest(courses: Array) -> Array:
    """The least of each part; missing where no course has any."""
    least = np.where(np.isfinite(courses), courses, np.inf).min(axis=0)
    return np.where(np.isfinite(least), least, np.nan)


def _mean(parts: Array) -> float:
    known = parts[np.isfinite(parts)]
    return float(known.mean()) if len(known) else np.nan


def _change(now: Array, before: Array) -> float | None:
    both = np.isfinite(now) & np.isfinite(before)
    if both.sum() < POINTS_NEEDED or before[both].mean() <= 0:
        return None
    return round(float(100 * (now[both].mean() / before[both].mean() - 1)), 1)


def _text(course: Sequence[float | None]) -> str:
    return " ".join("-" if value is None else f"{value:g}" for value in course)


def _rounded(values: Array) -> list[float | None]:
    """Three digits are more than a figure shows."""
    return [None if np.isnan(value) else float(f"{value:.3g}") for value in values]
