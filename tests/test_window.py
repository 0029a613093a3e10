"""Windows: half-open, UTC, and named the way people name weeks."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from aurora_analysis.errors import Error
from aurora_analysis.window import Window, last_week, week


def test_text_without_a_zone_is_utc():
    """A window is UTC whatever zone its ends were given in."""
    assert Window("2026-11-09", "2026-11-10T01:00+01:00") == Window(
        datetime(2026, 11, 9, tzinfo=UTC), datetime(2026, 11, 10, tzinfo=UTC)
    )


def test_the_end_is_outside():
    """The start belongs to the window, the end to the next."""
    day = Window("2026-11-09", "2026-11-10")
    assert day.start in day
    assert day.end not in day


def test_a_week_is_seven_days_of_its_people():
    """The week of Berlin begins at 23:00 UTC on Sunday."""
    assert week("2026-W46", "Europe/Berlin") == Window("2026-11-08T23:00", "2026-11-15T23:00")


def test_a_week_with_a_clock_change_is_longer():
    """In the last week of October Berlin has 169 hours."""
    assert week("2026-W43", "Europe/Berlin").duration == timedelta(hours=169)


def test_last_week_ended_on_monday():
    """On a Monday the last week is the one that ended this midnight."""
    assert last_week(now=datetime(2026, 11, 23, 8, tzinfo=UTC)) == week("2026-W47")


def test_previous_touches():
    """The previous window ends where this one starts."""
    assert week("2026-W46").previous() == week("2026-W45")


def test_days_leave_the_end_out():
    """A day's window touches one day."""
    assert len(Window("2026-11-09", "2026-11-10").days()) == 1


def test_coverage_is_the_share_that_was_there():
    """Fifteen of sixty minutes are a quarter, and a minute observed twice counts once."""
    hour = Window("2026-11-09T00:00", "2026-11-09T01:00")
    minutes = pd.date_range("2026-11-09", periods=15, freq="min", tz="UTC")
    assert hour.coverage(minutes.append(minutes), period_s=60) == 0.25


def test_coverage_of_nothing_is_nothing():
    """Fewer than two observations have no period and cover nothing."""
    hour = Window("2026-11-09T00:00", "2026-11-09T01:00")
    minutes = pd.date_range("2026-11-09", periods=30, freq="min", tz="UTC")
    assert hour.coverage(minutes[:0]) == 0
    assert hour.coverage(minutes[:1]) == 0
    assert hour.coverage(minutes) == 0.5


def test_a_window_is_at_least_so_long():
    """A week looks back a fortnight; a month stays a month."""
    assert week("2026-W46").at_least(14) == Window("2026-11-02", "2026-11-16")
    assert week("2026-W46").at_least(3) == week("2026-W46")


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("2026-11-10", "2026-11-09", "must be before"),
        ("yesterday", "2026-11-09", "'yesterday' is not a time"),
        (20261109, "2026-11-10", "20261109 is not a time"),
        ("0001-01-01", "2026-11-09", "0001-01-01 is not between 1700 and 2250: is the year mistyped"),
        ("2026-11-09", "9999-12-31T23:59-05:00", "9999-12-31 is not between"),
    ],
)
def test_a_wrong_window_says_what_is_wrong(start, end, says):
    """Bad input gives one line that names the culprit."""
    with pytest.raises(Error, match=says):
        Window(start, end)


@pytest.mark.parametrize("name", ["0001-W01", "9999-W52"])
def test_a_week_of_a_mistyped_year_is_refused(name):
    """Such a week would end after the last day that a date has."""
    with pytest.raises(Error, match="is the year mistyped"):
        week(name)


@pytest.mark.parametrize("name", ["2026-W54", "46", "last", "2026-W00"])
def test_a_week_that_is_none(name):
    """A week is named as in 2026-W46."""
    with pytest.raises(Error, match="name an ISO week"):
        week(name)


def test_a_zone_that_is_none():
    """A zone is named as in Europe/Berlin."""
    with pytest.raises(Error, match="no time zone 'Mars/Base'"):
        week("2026-W46", "Mars/Base")
