"""Growth episodes of the history list and the state of purge."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aurora_analysis import Window
from aurora_analysis.analysis import undo_log

HOUR = Window("2026-11-09T10:00", "2026-11-09T12:00")


def minutes(values: list[float]) -> pd.Series:
    """One value a minute from 10:00."""
    index = pd.date_range(HOUR.start, periods=len(values), freq="min", unit="us")
    return pd.Series(values, index=index, dtype=float)


def clock(times: pd.Series) -> list[str]:
    return list(times.dt.strftime("%H:%M"))


CALM = [100.0] * 10
RISE = [2000.0, 4000.0, 6000.0, 8000.0]


def test_an_episode_has_a_start_a_peak_and_an_end():
    """It begins where the rise does and ends where a tenth of it is left; rates are a second's."""
    episodes = undo_log.growth_episodes(minutes([*CALM, *RISE, 4000, 100, *CALM]))
    assert clock(episodes["start"]) == ["10:09"]
    assert clock(episodes["peak_at"]) == ["10:13"]
    assert clock(episodes["end"]) == ["10:15"]
    assert episodes["growth_per_s"][0] == pytest.approx(7900 / 240)
    assert episodes["drain_per_s"][0] == pytest.approx(7900 / 120)
    assert episodes["complete"].all()


def test_a_partial_drain_does_not_end_an_episode():
    """Half of it is purged and it grows again: one view followed another."""
    episodes = undo_log.growth_episodes(minutes([*CALM, *RISE, 4000, *RISE[2:], 10_000, 100, *CALM]))
    assert clock(episodes["start"]) == ["10:09"]
    assert list(episodes["peak_length"]) == [10_000]


def test_an_episode_cut_by_the_window_is_not_complete():
    """One episode grows from the first sample on, the other up to the last."""
    episodes = undo_log.growth_episodes(minutes([*RISE, 100, *CALM, *RISE]))
    assert list(episodes["complete"]) == [False, False]
    assert np.isnan(episodes["drain_per_s"].iloc[-1])


def test_an_episode_ends_at_a_gap():
    """The history list between two distant samples is unknown."""
    history = minutes([*CALM, *RISE, *[9000.0] * 20, *CALM])
    seen = history.drop(history.index[14:30])
    episodes = undo_log.growth_episodes(seen)
    assert clock(episodes["end"]) == ["10:14"]
    assert not episodes["complete"].any()


def test_a_calm_history_list_has_no_episode():
    """It wavers by a few times its base."""
    wavering = 500 + 400 * np.sin(np.arange(120) / 5)
    assert undo_log.growth_episodes(minutes(list(wavering))).empty


def test_a_long_history_list_is_notable_whatever_its_base():
    """A view that has been open for weeks leaves no calm sample, and growth counts from 100,000."""
    episodes = undo_log.growth_episodes(minutes(list(np.linspace(5e6, 6e6, 120))))
    assert len(episodes) == 1


def test_purge_is_blocked_where_the_boundary_stands_still():
    """In the first episode it stands; in the second it moves and purge trails it."""
    history = minutes([*CALM, *RISE, 100, *CALM, *RISE, 100, *CALM])
    boundary = minutes(list(np.cumsum([0, *[500] * 9, 0, 0, 0, 0, 2500, *[500] * 25])))
    finished = boundary - [*[0] * 25, 2000, 4000, 6000, 8000, *[0] * 11]
    purge = undo_log.purge_state(boundary, finished, undo_log.growth_episodes(history))
    assert list(purge["state"]) == ["blocked", "outrun"]
    assert list(purge["backlog"]) == [0, 8000]
    assert purge["still_share"][0] == 1


def test_a_boundary_that_never_moves_is_blocked():
    """A view that is older than the window leaves no movement to compare with."""
    history = minutes([*CALM, *RISE])
    still = minutes([7000.0] * 14)
    purge = undo_log.purge_state(still, still - 10, undo_log.growth_episodes(history))
    assert list(purge["state"]) == ["blocked"]


def test_without_a_boundary_the_state_of_purge_is_unknown():
    """Older engine versions do not publish it."""
    history = minutes([*CALM, *RISE, 100, *CALM])
    purge = undo_log.purge_state(minutes([]), minutes([]), undo_log.growth_episodes(history))
    assert list(purge["state"]) == ["unknown"]
