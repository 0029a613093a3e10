"""Plan a recording: when the reader's sessions run, and how much load the writer gets.

A recording is a warm-up, then the blocks of a randomised trial, then one block in which an idle session holds a read
view. In each block of the trial the extract and the control are on or off independently of each other, and each is on in
exactly half of the blocks (complete randomisation). The position of a run inside its block is drawn whether it is on or
off, so that blocks with and without it are compared over the same kind of window. Everything is drawn before anything
starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis.errors import Error

USERS = {
    "application": "app",
    "extract": "snowflake",
    "control": "bi",
    "dashboard": "dashboard",
    "idle": "airflow",
}
"""Role → user. Other names for the same roles give the same lab."""

HOLDS_VIEW = {"extract": True, "control": False, "idle": True}
"""Whether a run of the role holds a read view: the planted truth."""

RUN_SHARE = (0.54, 0.66)
"""Shortest and longest run, as a share of its block: 40 to 50 s of 75 s."""

DRAIN_SHARE = 0.14
"""Share of a block after its runs, in which purge catches up before the next block: 10 s of 75 s."""

APART_S = 3.0
"""Minimum difference between the starts of extract and control in a block: three samples."""

SHORTEST_BLOCK_S = 15.0
WARM_UP_SHARE = 0.25

WAVE_S = 420.0
"""Period of the load's slow wave: not a multiple of a block."""


def draw(
    start: datetime, duration_s: float, *, seed: int, block_s: float, users: Mapping[str, str] = USERS
) -> pd.DataFrame:
    """Draw the plan of a recording as rows of `trials`, before anything begins.

    It has as many blocks as fit, rounded down to an even number, then the idle session's block.

    Raises
    ------
    Error
        If a block is too short for runs that can be distinguished, or the duration for a trial.
    """
    first = start + timedelta(seconds=WARM_UP_SHARE * block_s)
    count = int((start + timedelta(seconds=duration_s) - first).total_seconds() // block_s - 1) // 2 * 2
    _check(block_s, count, duration_s)
    rng = np.random.default_rng([seed, 0])
    halves = np.repeat([True, False], count // 2)
    on = {role: rng.permutation(halves) for role in ("extract", "control")}
    rows = [
        row(Assignment("lab", block, users[role], bool(on[role][block]), 0.5, HOLDS_VIEW[role]), run)
        for block in range(count)
        for role, run in _runs(rng, first + timedelta(seconds=block * block_s), block_s).items()
    ]
    idle = _runs(rng, first + timedelta(seconds=count * block_s), block_s)["extract"]
    rows.append(row(Assignment("idle", 0, users["idle"], True, 1.0, HOLDS_VIEW["idle"]), idle))
    return unstarted(rows)


def _check(block_s: float, count: int, duration_s: float) -> None:
    if block_s < SHORTEST_BLOCK_S:
        raise Error(
            f"Blocks of {block_s:g} s are too short to distinguish runs: use at least {SHORTEST_BLOCK_S:g} s."
        )
    if count < 2:
        needed = (3 + WARM_UP_SHARE) * block_s / 60
        raise Error(
            f"{duration_s / 60:g} minutes are too short for a trial with blocks of {block_s:g} s: "
            f"record at least {np.ceil(needed * 10) / 10:g} minutes, or use shorter blocks."
        )


def _runs(rng: np.random.Generator, block: datetime, block_s: float) -> dict[str, tuple[datetime, datetime]]:
    """Draw start and end of the runs of a block, whether or not they take place."""
    while True:
        lengths = rng.uniform(*RUN_SHARE, size=2) * block_s
        starts = rng.uniform(0, 1, size=2) * (block_s * (1 - DRAIN_SHARE) - lengths)
        if abs(starts[1] - starts[0]) >= APART_S:
            break
    moments = [block + timedelta(milliseconds=round(1000 * s)) for s in (*starts, *(starts + lengths))]
    return {"extract": (moments[0], moments[2]), "control": (moments[1], moments[3])}


class Assignment(NamedTuple):
    """A block of a trial, and whether it was assigned a run of the workload."""

    trial: str
    block: int
    workload: str
    assigned: bool
    on_share: float
    holds_view: bool


def row(one: Assignment, run: tuple[datetime, datetime]) -> dict[str, object]:
    """Return a row of `trials` without the times at which the run really started and ended."""
    start, end = (pd.Timestamp(moment).as_unit("us") for moment in run)
    return {"time": start, "end": end, **one._asdict()}


def unstarted(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Return the plan as a frame; no run has started yet."""
    unknown = pd.Series(pd.NaT, index=range(len(rows)), dtype="datetime64[us, UTC]")
    return pd.DataFrame(rows).assign(started_at=unknown, ended_at=unknown)


def planned_rate(seconds: int, *, seed: int, mean: float) -> npt.NDArray[np.float64]:
    """Planned load of each second [1/s]: a slow wave, and noise that changes every ten seconds."""
    rng = np.random.default_rng([seed, 1])
    steps = rng.normal(0, 0.06, size=seconds // 10 + 1)
    noise = np.zeros(len(steps))
    for n in range(1, len(steps)):
        noise[n] = 0.8 * noise[n - 1] + steps[n]
    wave = 0.25 * np.sin(2 * np.pi * (np.arange(seconds) / WAVE_S + rng.uniform()))
    return mean * np.exp(wave + np.repeat(noise, 10)[:seconds])


def arrivals(rate: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw when the statements of one session are due [s since the start]: a Poisson process.

    `rate` is their rate in each second [1/s]. Arrivals are an open loop, independent of whether the previous statement
    has finished, so that a slow server does not lower its own load.
    """
    counts = rng.poisson(rate)
    return np.sort(np.repeat(np.arange(len(rate)), counts) + rng.uniform(size=counts.sum()))
