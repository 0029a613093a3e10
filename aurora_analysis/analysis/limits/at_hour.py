"""The longest hold that begins at one time, as a limit for an alert or a person who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from aurora_analysis.analysis.limits.answer import Answer
from aurora_analysis.analysis.limits.longest_hold import BEYOND
from aurora_analysis.window import zone


@dataclass(frozen=True)
class HourLimit:
    """Longest hold that begins in one hour of the week, before the writer is slower by the objective.

    Attributes
    ----------
    metric : str
        The latency that rises.
    objective_pct : float
        The slowdown [%].
    weekday, hour : int
        Local hour of the week in which the hold begins; 0 is Monday.
    minutes, low_minutes, high_minutes : float
        Median and 95 % prediction interval [min]; infinite beyond `most_minutes`.
    most_minutes : float
        Longest time that the recorded holds say anything about [min].
    holds : int
        Number of recorded holds that this was learned from.
    """

    metric: str
    objective_pct: float
    weekday: int
    hour: int
    minutes: float
    low_minutes: float
    high_minutes: float
    most_minutes: float
    holds: int

    @property
    def alert_after_min(self) -> float:
        """Time of a hold at which to alert [min]: the interval's lower end; the latest limit where nothing is known."""
        return min(self.low_minutes, self.most_minutes)


def at_hour(answer: Answer, weekday: int, hour: int) -> HourLimit | None:
    """Look up the limit of a hold that begins in one hour of the week.

    Parameters
    ----------
    answer : Answer
        The limits of a cluster.
    weekday, hour : int
        Hour of the week in the answer's time zone; weekday 0 is Monday.

    Returns
    -------
    HourLimit or None
        None if the answer has no limits; `answer.reason` says why.
    """
    holds, objective = answer.holds, answer.options.objective_pct
    wanted = (holds["slowdown_pct"] == objective) & (holds["weekday"] == weekday) & (holds["hour"] == hour)
    rows = holds[wanted]
    if rows.empty or answer.recorded is None:
        return None
    row = rows.iloc[0]
    minutes, low, high = (float(row[name]) for name in ("minutes", "low_minutes", "high_minutes"))
    if np.isnan([minutes, low, high]).any():
        return None
    most = BEYOND * answer.recorded.longest_hold_s / 60
    count = len(answer.recorded.episodes)
    return HourLimit(str(row["metric"]), objective, weekday, hour, minutes, low, high, most, count)


def at_time(answer: Answer, moment: datetime) -> HourLimit | None:
    """Look up the limit of a hold that begins at a time.

    Parameters
    ----------
    answer : Answer
        The limits of a cluster.
    moment : datetime
        A time with a time zone.

    Returns
    -------
    HourLimit or None
        None if the answer has no limits.
    """
    local = moment.astimezone(zone(answer.options.timezone))
    return at_hour(answer, local.weekday(), local.hour)
