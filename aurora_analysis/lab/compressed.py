"""Record days of the lab in minutes: all that a real InnoDB does in one is told as a day.

A day is cut into slots of four hours. In each slot a reader's workload runs or not, drawn from the seed with a
probability that depends on the hour, and its run's place inside the slot is drawn whether it is on or off. So its
effect is identified by the draw (a randomisation test over the table `trials`, each hour of the day a trial of its
own), while whoever looks at the days without the draw sees what he would see of a cluster: workloads that come more
often at some hours, under a load that has a day and a weekend.

- `extract`   holds a read view: the culprit
- `calendar`  as long and as often, over no InnoDB table: harmless
- `tied`      an extract that always runs with the writer's nightly job: nobody can tell the two apart

Times, durations and rates are stretched, and the source of every row says `compressed`; latencies are what the
clients timed, in real milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis.errors import Error
from aurora_analysis.lab import record, server, workload
from aurora_analysis.lab.simulate import wander
from aurora_analysis.lab.workload import Clock, Load
from aurora_analysis.store import Store
from aurora_analysis.window import Window

Array = npt.NDArray[np.float64]

SOURCE = "compressed"
USERS = {"application": "app", "extract": "snowflake", "calendar": "bi", "tied": "finance"}
"""Role → the user it connects as."""

HOLDS_VIEW = {"extract": True, "calendar": False}

DAY_S = 86_400
MINUTES = 1440
SLOT_H = 4
ON_SHARE = (0.36, 0.43, 0.57, 0.64, 0.57, 0.43)
"""How likely each of the day's slots has a run: more often by day."""

RUN_MIN = (110.0, 170.0)
"""How long a run is."""

APART_MIN = 40.0
"""What is left of a slot after its last run may end: purge has caught up when the next begins."""

JOB_AT_MIN, JOB_MIN = 120.0, 35.0
"""The writer's nightly job begins at about 02:00 and takes about so long."""

RATE = 30.0
"""Orders, batches produced and batches consumed a real second, in the mean."""

BATCH = 12
"""Rows of the queue at a time: so many that a run slows its consumer by some ten per cent, not to a multiple."""

ROWS_A_SECOND = 160.0

LONG_MIN = 3.0
"""What takes longer is logged: the runs, and none of the writer's short statements."""

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
    """Record so many days, each in `day_length_s`; returns the window told. Ctrl-C ends it early, and keeps what was seen."""
    _check(days, day_length_s)
    step_s = day_length_s / MINUTES
    options = {**record.OPTIONS, "long_query_time": LONG_MIN * step_s}
    with server.running(options) as ours, workload.running() as sessions:
        workload.prepare(ours, USERS)
        record.log_slow_queries(ours)
        began = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=record.LEAD_S)
        window = told(began, days)
        clock = Clock(began.timestamp(), window.start.timestamp(), DAY_S / day_length_s)
        load = Load(
            server=ours,
            users=USERS,
            start=clock.began,
            planned_rate=planned_rate(window, seed),
            seed=seed,
            step_s=step_s,
            batch=BATCH,
            rows_a_second=ROWS_A_SECOND,
            clock=clock,
        )
        plan = draw(window, seed)
        said = f"time compressed {clock.factor:g} times: a day is {day_length_s:g} s of a real server"
        recording = record.Recording(store, cluster, window, load, plan, SOURCE, said)
        return recording.run(sessions, _days(window), progress)


def _check(days: int, day_length_s: float) -> None:
    if days < 2:
        raise Error(f"{days} day holds no trial: record at least 2 days, 14 to estimate from.")
    if day_length_s < SHORTEST_DAY_S:
        raise Error(f"A day of {day_length_s:g} s is too short: give it at least {SHORTEST_DAY_S:g} s.")


def told(began: datetime, days: int) -> Window:
    """The days that are told of what began then: the last whole ones before it."""
    end = datetime.combine(began.date(), time(), UTC)
    return Window(end - timedelta(days=days), end)


def _days(window: Window) -> list[Window]:
    starts = pd.date_range(window.start, window.end, freq="D")
    return [Window(*ends) for ends in zip(starts.to_pydatetime(), starts[1:].to_pydatetime())]


def draw(window: Window, seed: int) -> pd.DataFrame:
    """The plan as rows of the table `trials`; nothing has begun yet.

    The slots of one hour of the day are a trial, in which so many days are on as the hour's share says. The nightly
    job and what is tied to it are on every day, and no trial.
    """
    rng = np.random.default_rng([seed, 0])
    days = _days(window)
    rows = [
        _row(
            f"at {SLOT_H * slot:02d}:00",
            number,
            role,
            bool(on[number]),
            on.mean(),
            day,
            SLOT_H * 60 * slot + run,
        )
        for slot, share in enumerate(ON_SHARE)
        for role in HOLDS_VIEW
        for on in [_on(rng, share, len(days))]
        for number, (day, run) in enumerate(zip(days, _runs(rng, len(days))))
    ]
    for number, (day, run) in enumerate(zip(days, _nights(rng, len(days)))):
        rows += [_row("nightly", number, role, True, 1.0, day, run) for role in ("application", "tied")]
    unknown = pd.Series(pd.NaT, index=range(len(rows)), dtype="datetime64[us, UTC]")
    return (
        pd.DataFrame(rows).sort_values("time", ignore_index=True).assign(started_at=unknown, ended_at=unknown)
    )


def _on(rng: np.random.Generator, share: float, days: int) -> npt.NDArray[np.bool_]:
    """On which days the slot is on: a fixed number of them, any of them."""
    count = int(np.clip(round(share * days), 1, days - 1))
    return rng.permutation(np.arange(days) < count)


def _runs(rng: np.random.Generator, days: int) -> Array:
    """From when to when each day's run lies in its slot, whether or not it will be on [min]."""
    lengths = rng.uniform(*RUN_MIN, size=days)
    starts = rng.uniform(0, 1, size=days) * (60 * SLOT_H - APART_MIN - lengths)
    return np.column_stack([starts, starts + lengths])


def _nights(rng: np.random.Generator, days: int) -> Array:
    """From when to when the nightly job runs [min of the day]."""
    starts = JOB_AT_MIN + rng.uniform(-4, 4, size=days)
    return np.column_stack([starts, starts + JOB_MIN + rng.normal(0, 2, size=days)])


def _row(
    trial: str, block: int, role: str, assigned: bool, on_share: float, day: Window, run: Array
) -> dict[str, object]:
    begin, end = (pd.Timestamp(day.start + timedelta(minutes=float(at))).as_unit("us") for at in run)
    return {
        "time": begin,
        "end": end,
        "trial": trial,
        "block": block,
        "workload": USERS[role],
        "assigned": assigned,
        "on_share": float(on_share),
        "holds_view": HOLDS_VIEW.get(role, True),
    }


def planned_rate(window: Window, seed: int) -> Array:
    """The load asked for in each minute [1 a real second]: a day, a weekend, and drift."""
    rng = np.random.default_rng([seed, 1])
    times = pd.date_range(window.start, window.end, freq="min", inclusive="left")
    hour = np.arange(len(times)) / 60 % 24
    day = 0.35 * np.sin(2 * np.pi * (hour - 9) / 24) + 0.12 * np.sin(4 * np.pi * (hour - 7) / 24)
    drift = wander(rng, len(times), 360, 0.08) + wander(rng, len(times), 5, 0.05)
    return np.asarray(RATE * np.exp(day - 0.25 * (times.day_of_week >= 5) + drift))
