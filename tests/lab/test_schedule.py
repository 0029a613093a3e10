"""The plan of a recording: balanced, with time to drain, and the same for the same seed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from aurora_analysis.errors import Error
from aurora_analysis.lab import schedule

START = datetime(2026, 11, 23, 11, tzinfo=UTC)


def plan(seed: int = 1, minutes: float = 42, block_s: float = 75, **others) -> pd.DataFrame:
    return schedule.draw(START, minutes * 60, seed=seed, block_s=block_s, **others)


def trial(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["trial"] == "lab"]


def test_each_workload_is_on_in_exactly_half_of_the_blocks():
    """Complete randomisation: the number of blocks is fixed, the choice is random."""
    shares = trial(plan()).groupby("workload")["assigned"].agg(["mean", "size"])
    assert shares["mean"].to_dict() == {"bi": 0.5, "snowflake": 0.5}
    assert shares["size"].to_dict() == {"bi": 32, "snowflake": 32}


def test_the_two_workloads_are_drawn_independently():
    """Over many seeds they are on together in half of the blocks."""
    together = []
    for seed in range(60):
        on = trial(plan(seed)).pivot(index="block", columns="workload", values="assigned")
        together.append((on["bi"] == on["snowflake"]).mean())
    assert abs(np.mean(together) - 0.5) < 3 * np.std(together) / np.sqrt(60) + 1e-9


def test_runs_stay_inside_their_block_and_leave_time_to_drain():
    """40 to 50 s long, done 10 s before the block ends, and never starting together."""
    rows = trial(plan())
    blocks = START + timedelta(seconds=18.75) + pd.to_timedelta(rows["block"] * 75, unit="s")
    assert (rows["time"] >= blocks).all()
    assert (rows["end"] <= blocks + pd.Timedelta(seconds=65)).all()
    assert (rows["end"] - rows["time"]).dt.total_seconds().between(40, 50).all()
    starts = rows.pivot(index="block", columns="workload", values="time")
    assert ((starts["bi"] - starts["snowflake"]).abs() >= pd.Timedelta(seconds=3)).all()


def test_off_blocks_have_planned_runs_like_on_blocks():
    """Blocks with and without a run are compared over the same kind of window."""
    rows = trial(plan())
    length = (rows["end"] - rows["time"]).dt.total_seconds()
    means = length.groupby(rows["assigned"]).mean()
    assert abs(means[True] - means[False]) < 2
    assert rows["time"].notna().all()


def test_the_idle_session_comes_after_the_trial_and_holds_a_view():
    """One row of its own, always on."""
    rows = plan()
    idle = rows[rows["trial"] == "idle"].iloc[0]
    assert (idle["workload"], idle["assigned"], idle["holds_view"], idle["on_share"]) == (
        "airflow",
        True,
        True,
        1.0,
    )
    assert idle["time"] > trial(rows)["end"].max()
    assert idle["end"] < START + timedelta(minutes=42)


def test_the_same_seed_gives_the_same_plan_and_another_another():
    """Plans are deterministic."""
    pd.testing.assert_frame_equal(plan(7), plan(7))
    assert not plan(7)["time"].equals(plan(8)["time"])


def test_swapped_names_change_nothing_but_the_names():
    """The truth follows the role, not the name."""
    swapped = {**schedule.USERS, "extract": "bi", "control": "snowflake"}
    ours, other = plan(3), plan(3, users=swapped)
    assert ours.drop(columns="workload").equals(other.drop(columns="workload"))
    assert set(other[other["holds_view"]]["workload"]) == {"bi", "airflow"}


@pytest.mark.parametrize(
    ("minutes", "block_s", "message"), [(2, 75, "at least 4.1 minutes"), (42, 5, "at least 15 s")]
)
def test_a_plan_that_does_not_fit_is_rejected(minutes, block_s, message):
    """The recording is too short, or the block is."""
    with pytest.raises(Error, match=message):
        plan(minutes=minutes, block_s=block_s)


def test_the_load_varies_around_its_mean_and_follows_the_seed():
    """A wave and noise, never zero."""
    rate = schedule.planned_rate(2520, seed=1, mean=40)
    assert 30 < rate.mean() < 55
    assert rate.min() > 10
    assert rate.std() > 4
    assert np.array_equal(rate, schedule.planned_rate(2520, seed=1, mean=40))


def test_arrivals_follow_the_rate():
    """Twice the rate, twice the statements; ordered in time."""
    rate = np.repeat([10.0, 20.0], 500)
    due = schedule.arrivals(rate, np.random.default_rng(1))
    assert (np.diff(due) >= 0).all()
    assert 1.8 < (due >= 500).sum() / (due < 500).sum() < 2.2
