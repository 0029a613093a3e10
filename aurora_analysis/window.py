"""Windows of time: half-open, in UTC, with ISO weeks by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aurora_analysis.errors import Error

if TYPE_CHECKING:
    import pandas as pd

EARLIEST, LATEST = datetime(1700, 1, 1, tzinfo=UTC), datetime(2250, 1, 1, tzinfo=UTC)
"""Bounds of every window: pandas counts nanoseconds, which end in 1677 and 2262."""


@dataclass(frozen=True)
class Window:
    """A span of time from `start` (inclusive) to `end` (exclusive), both UTC.

    Parameters
    ----------
    start, end : datetime or str
        A datetime or ISO 8601 text; without a time zone they are UTC.

    Raises
    ------
    Error
        If a time cannot be read, its year is out of bounds, or `start` is not before `end`.

    Examples
    --------
    >>> Window("2026-11-09", "2026-11-16")
    Window('2026-11-09T00:00:00Z', '2026-11-16T00:00:00Z')
    """

    start: datetime
    end: datetime

    def __init__(self, start: datetime | str, end: datetime | str) -> None:
        object.__setattr__(self, "start", _utc(start))
        object.__setattr__(self, "end", _utc(end))
        if self.start >= self.end:
            raise Error(
                f"The window starts at {_iso(self.start)} and ends at {_iso(self.end)}: its start must be before its end."
            )

    @property
    def duration(self) -> timedelta:
        """Length of the window."""
        return self.end - self.start

    def previous(self) -> Window:
        """Return the window of the same length that ends where this one starts."""
        return Window(self.start - self.duration, self.start)

    def at_least(self, days: int) -> Window:
        """Return this window, extended backwards to at least `days` before its end.

        Parameters
        ----------
        days : int
            Minimum length [d].

        Returns
        -------
        Window
        """
        return Window(min(self.start, self.end - timedelta(days=days)), self.end)

    def days(self) -> list[date]:
        """Return the UTC days that the window touches, in order."""
        last = (self.end - timedelta(microseconds=1)).date()
        count = (last - self.start.date()).days + 1
        return [self.start.date() + timedelta(days=n) for n in range(count)]

    def weeks(self) -> list[str]:
        """Return the ISO weeks that the window touches, such as 2026-W46, in order."""
        return list(dict.fromkeys(f"{day:%G-W%V}" for day in self.days()))

    def by_day(self) -> list[Window]:
        """Return the part of the window on each of its UTC days."""
        midnights = [datetime.combine(day, time(), UTC) for day in self.days()[1:]]
        return [Window(*bounds) for bounds in zip([self.start, *midnights], [*midnights, self.end])]

    def intersection(self, other: Window) -> Window | None:
        """Return the span that both windows cover, or None.

        Parameters
        ----------
        other : Window

        Returns
        -------
        Window or None
        """
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Window(start, end) if start < end else None

    def coverage(self, index: pd.DatetimeIndex, period_s: float | None = None) -> float:
        """Return the share of the window's periods that have an observation [0 to 1].

        Parameters
        ----------
        index : pandas.DatetimeIndex
            Starts of the observed periods (UTC).
        period_s : float, optional
            Length of a period [s]. Default: the median step of `index`.

        Returns
        -------
        float
            0 if the window has no observation or the step is unknown.
        """
        inside = index.sort_values()[slice(*index.sort_values().searchsorted([self.start, self.end]))]
        step = period_s or index.to_series().diff().median().total_seconds()
        if inside.empty or not step > 0:
            return 0.0
        expected = self.duration.total_seconds() / step
        return min(1.0, inside.floor(f"{round(step * 1e6)}us").nunique() / expected)

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def text(self, timezone: str = "UTC") -> str:
        """Word the window on the reader's clock, with the zone's name.

        Parameters
        ----------
        timezone : str, default "UTC"
            Name of the time zone.

        Returns
        -------
        str

        Examples
        --------
        >>> week("2026-W46", "Europe/Berlin").text("Europe/Berlin")
        '2026-11-09 00:00 to 2026-11-16 00:00 Europe/Berlin'
        """
        start, end = (moment.astimezone(zone(timezone)) for moment in (self.start, self.end))
        return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {timezone}"

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"Window({_iso(self.start)!r}, {_iso(self.end)!r})"


def week(name: str, timezone: str = "UTC") -> Window:
    """Return an ISO week, from Monday 00:00 to Monday 00:00 in a time zone (ISO 8601).

    Parameters
    ----------
    name : str
        The week, such as 2026-W46.
    timezone : str, default "UTC"
        Name of the time zone, such as Europe/Berlin.

    Returns
    -------
    Window

    Raises
    ------
    Error
        If there is no such week or time zone.

    Examples
    --------
    >>> week("2026-W46")
    Window('2026-11-09T00:00:00Z', '2026-11-16T00:00:00Z')
    """
    found = re.fullmatch(r"(\d{4})-?W(\d{1,2})", name.strip())
    try:
        monday = date.fromisocalendar(int(found[1]), int(found[2]), 1) if found else None
    except ValueError:
        monday = None
    if monday is None:
        raise Error(f"{name!r} is not a week: name an ISO week such as 2026-W46.")
    _check_year(monday)
    return _week_from(monday, timezone)


def last_week(timezone: str = "UTC", *, now: datetime | None = None) -> Window:
    """Return the last complete ISO week before `now`.

    Parameters
    ----------
    timezone : str, default "UTC"
        Name of the time zone in which weeks begin.
    now : datetime, optional
        Default: the clock's time.

    Returns
    -------
    Window

    Raises
    ------
    Error
        If there is no such time zone.
    """
    today = (now or datetime.now(UTC)).astimezone(zone(timezone)).date()
    return _week_from(today - timedelta(days=today.weekday() + 7), timezone)


def _week_from(monday: date, timezone: str) -> Window:
    local = zone(timezone)
    return Window(
        datetime.combine(monday, time(), local),
        datetime.combine(monday + timedelta(days=7), time(), local),
    )


def zone(name: str) -> ZoneInfo:
    """Return the time zone of a name.

    Parameters
    ----------
    name : str
        Name in the IANA database, such as Europe/Berlin.

    Returns
    -------
    zoneinfo.ZoneInfo

    Raises
    ------
    Error
        If there is no such time zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise Error(f"There is no time zone {name!r}: use a name such as Europe/Berlin or UTC.") from None


def _utc(moment: datetime | str) -> datetime:
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.strip())
        except ValueError:
            raise Error(
                f"{moment!r} is not a time: write it as 2026-11-09 or 2026-11-09T13:30 (UTC)."
            ) from None
    elif not isinstance(moment, datetime):
        raise Error(f"{moment!r} is not a time: pass a datetime, or text such as 2026-11-09T13:30 (UTC).")
    _check_year(moment)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return datetime(*moment.timetuple()[:6], moment.microsecond, tzinfo=UTC)


def _check_year(day: date) -> None:
    if not EARLIEST.year <= day.year <= LATEST.year:
        raise Error(
            f"{day.isoformat()[:10]} is not between {EARLIEST.year} and {LATEST.year}: is the year mistyped?"
        )


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
