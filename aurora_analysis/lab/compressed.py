"""Record days of the lab in minutes: a few minutes of a real InnoDB are stored as one day.

A day is cut into slots of four hours. In each slot a reader's workload runs or not, drawn from the seed with a
probability that depends on the hour; the position of its run inside the slot is drawn in both cases. The draw identifies
the effect (a randomisation test over the table `trials`, each hour of the day a trial of its own). Without the draw, the
recording looks like a real cluster: workloads run more often at some hours, under a load with a daily and weekly cycle.

- `extract`   holds a read view: the culprit
- `calendar`  runs as long and as often without any InnoDB table: harmless
- `tied`      an extract that always runs with the writer's nightly job: their effects cannot be separated

Times, durations and rates are stretched, and the source of every row is `compressed`; latencies stay in real
milliseconds, as the clients timed them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis.errors import Error
from aurora_analysis.lab import record, server, session_processes, sessions, workload
from aurora_analysis.lab.simulate import wander
from aurora_analysis.lab.workload import Clock, Load
from aurora_analysis.store import Store
from aurora_analysis.window import Window

Array = npt.NDArray[np.float64]

SOURCE = "compressed"
USERS = {"application": "app", "extract": "snowflake", "calendar": "bi", "tied": "finance"}
"""Role → user."""

HOLDS_VIEW = {"extract": True, "calendar": False}

DAY_S = 86_400
MINUTES = 1440
SLOT_H = 4
ON_SHARE = (0.36, 0.43, 0.57, 0.64, 0.57, 0.43)
"""Probability of a run in each slot of the day: higher by day."""

RUN_MIN = (110.0, 170.0)
"""Shortest and longest run."""

APART_MIN = 40.0
"""Time between the latest end of a run and the end of its slot: purge catches up before the next slot."""

JOB_AT_MIN, JOB_MIN = 120.0, 35.0
"""Start (about 02:00) and duration of the writer's nightly job."""

RATE = 30.0
"""Mean orders, batches produced, and batches consumed per real second."""

BATCH = 12
"""Rows of the queue at a time: few enough that a run slows the consumer by about 10 %, not to a multiple."""

ROWS_PER_SECOND = 160.0

LONG_MIN = 3.0
"""Threshold of the slow log: it has the runs, and none of the writer's short statements."""

SHORTEST_DAY_S = 4.0


def run(
    store: Store,
    *,
    days: int,
    day_length_s: float,
    seed: int,
    cluster: str = "lab",
    progress: Callable[[str], None] = lambda line: None,
) -> Window:
    """Record days, each compressed into `day_length_s` real seconds; Ctrl-C stops early and keeps the rest.

    Returns
    -------
    Window
        The recorded days: the last whole days before today.

    Raises
    ------
    Error
        If there are fewer than 2 days, or a day is shorter than 4 s.
    """
    _check(days, day_length_s)
    window = recorded_window(datetime.now(UTC), days)
    planned = Compressed(window, draw(window, seed), day_length_s, seed, USERS)
    return record_plan(store, planned, cluster=cluster, progress=progress)


@dataclass(frozen=True)
class Compressed:
    """Options of a compressed recording.

    Attributes
    ----------
    window : Window
        The days under which it is stored.
    plan : DataFrame
        Rows of `trials`: which workload runs when.
    day_length_s : float
        Real length of a day [s].
    seed : int
        Seed of the load.
    users : mapping of str to str
        Role → user.
    """

    window: Window
    plan: pd.DataFrame
    day_length_s: float
    seed: int
    users: Mapping[str, str]


def record_plan(
    store: Store,
    one: Compressed,
    *,
    cluster: str = "lab",
    progress: Callable[[str], None] = lambda line: None,
) -> Window:
    """Carry out a plan on a private server and record it in compressed time; Ctrl-C keeps what was recorded.

    Returns
    -------
    Window
        The recorded days.
    """
    step_s = one.day_length_s / MINUTES
    options = {**record.OPTIONS, "long_query_time": LONG_MIN * step_s}
    with (
        server.running(options) as ours,
        session_processes.running(sessions.write, sessions.read) as processes,
    ):
        workload.prepare(ours, one.users)
        record.log_slow_queries(ours)
        began = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=record.LEAD_S)
        clock = Clock(began.timestamp(), one.window.start.timestamp(), DAY_S / one.day_length_s)
        load = Load(
            server=ours,
            users=dict(one.users),
            start=clock.real_start,
            planned_rate=planned_rate(one.window, one.seed),
            seed=one.seed,
            step_s=step_s,
            batch=BATCH,
            rows_per_second=ROWS_PER_SECOND,
            clock=clock,
        )
        compressed = (
            f"time compressed {clock.factor:g} times: a day is {one.day_length_s:g} s of a real server"
        )
        recording = record.Recording(store, cluster, one.window, load, one.plan, SOURCE, compressed)
        return recording.run(processes, _days(one.window), progress)


def _check(days: int, day_length_s: float) -> None:
    if days < 2:
        raise Error(
            f"{days} day is too short for a trial: record at least 2 days, or 14 to estimate effects."
        )
    if day_length_s < SHORTEST_DAY_S:
        raise Error(f"A --day-length of {day_length_s:g} s is too short: use at least {SHORTEST_DAY_S:g} s.")


def recorded_window(began: datetime, days: int) -> Window:
    """Days under which a recording is stored: the last whole ones before its start."""
    end = datetime.combine(began.date(), time(), UTC)
    return Window(end - timedelta(days=days), end)


def _days(window: Window) -> list[Window]:
    starts = pd.date_range(window.start, window.end, freq="D")
    return [Window(*ends) for ends in zip(starts.to_pydatetime(), starts[1:].to_pydatetime())]


def draw(window: Window, seed: int) -> pd.DataFrame:
    """Draw the plan as rows of `trials`, before anything begins.

    All slots that begin at the same hour form one trial, whose share of days with a run is ON_SHARE of that hour. The
    nightly job and the workload tied to it run every day and form no trial.
    """
    rng = np.random.default_rng([seed, 0])
    days = _days(window)
    rows = [
        _row(
            Assignment(f"at {SLOT_H * slot:02d}:00", number, role, bool(on[number]), float(on.mean())),
            day,
            SLOT_H * 60 * slot + run,
        )
        for slot, share in enumerate(ON_SHARE)
        for role in HOLDS_VIEW
        for on in [_on(rng, share, len(days))]
        for number, (day, run) in enumerate(zip(days, _runs(rng, len(days))))
    ]
    for number, (day, run) in enumerate(zip(days, _nights(rng, len(days)))):
        rows += [_row(Assignment("nightly", number, role), day, run) for role in ("application", "tied")]
    unknown = pd.Series(pd.NaT, index=range(len(rows)), dtype="datetime64[us, UTC]")
    return (
        pd.DataFrame(rows).sort_values("time", ignore_index=True).assign(started_at=unknown, ended_at=unknown)
    )


def _on(rng: np.random.Generator, share: float, days: int) -> npt.NDArray[np.bool_]:
    """Draw on which days the slot has a run; their number is fixed."""
    count = int(np.clip(round(share * days), 1, days - 1))
    return rng.permutation(np.arange(days) < count)


def _runs(rng: np.random.Generator, days: int) -> Array:
    """Draw start and end of each day's run inside its slot, whether or not it takes place [min]."""
    lengths = rng.uniform(*RUN_MIN, size=days)
    starts = rng.uniform(0, 1, size=days) * (60 * SLOT_H - APART_MIN - lengths)
    return np.column_stack([starts, starts + lengths])


def _nights(rng: np.random.Generator, days: int) -> Array:
    """Draw start and end of the nightly job [min of the day]."""
    starts = JOB_AT_MIN + rng.uniform(-4, 4, size=days)
    return np.column_stack([starts, starts + JOB_MIN + rng.normal(0, 2, size=days)])


class Assignment(NamedTuple):
    """A block of a trial, and whether it was assigned a run."""

    trial: str
    block: int
    role: str
    assigned: bool = True
    on_share: float = 1.0


def _row(one: Assignment, day: Window, run: Array) -> dict[str, object]:
    begin, end = (pd.Timestamp(day.start + timedelta(minutes=float(at))).as_unit("us") for at in run)
    return {
        "time": begin,
        "end": end,
        "trial": one.trial,
        "block": one.block,
        "workload": USERS[one.role],
        "assigned": one.assigned,
        "on_share": one.on_share,
        "holds_view": HOLDS_VIEW.get(one.role, True),
    }


def planned_rate(window: Window, seed: int) -> Array:
    """Planned load of each minute [1 / real s]: daily and weekly cycle, and drift."""
    rng = np.random.default_rng([seed, 1])
    times = pd.date_range(window.start, window.end, freq="min", inclusive="left")
    hour = np.arange(len(times)) / 60 % 24
    day = 0.35 * np.sin(2 * np.pi * (hour - 9) / 24) + 0.12 * np.sin(4 * np.pi * (hour - 7) / 24)
    drift = wander(rng, len(times), 360, 0.08) + wander(rng, len(times), 5, 0.05)
    return np.asarray(RATE * np.exp(day - 0.25 * (times.day_of_week >= 5) + drift))
