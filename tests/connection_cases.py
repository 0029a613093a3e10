"""A week of one instance's connections, for tests of the topic."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from aurora_analysis.window import Window

WEEK = Window("2026-11-09", "2026-11-16")
MINUTES = pd.date_range(WEEK.start, WEEK.end, freq="min", inclusive="left", unit="us")
STORM = pd.Timedelta("10min")
NO_EVENTS = pd.DataFrame({"time": MINUTES[:0], "category": pd.Series(dtype=object)})
NO_LOAD = pd.DataFrame({"time": MINUTES[:0], "instance": "", "member": "", "active_sessions": 0.0})


def attempts(
    level: float = 2.0,
    storm: Mapping[str, float] = {},
    lull: Mapping[str, float] = {},
    nightly: float | None = None,
) -> pd.DataFrame:
    """Attempts per second of every minute: a level, ten minutes of each storm, one minute of each lull, and 03:00 to 03:59."""
    values = pd.Series(level, index=MINUTES)
    if nightly is not None:
        values[MINUTES.hour == 3] = nightly
    for start, value in storm.items():
        begun = pd.Timestamp(start, tz="UTC")
        values[begun : begun + STORM - pd.Timedelta("1s")] = value
    for moment, value in lull.items():
        values[pd.Timestamp(moment, tz="UTC")] = value
    return pd.DataFrame({"time": MINUTES, "period_s": 60.0, "instance": "db-1", "value": values.to_numpy()})


def metrics(rows: pd.DataFrame, **others: float | np.ndarray) -> pd.DataFrame:
    """Rows of the table `metrics`: the attempts, and other metrics with one value or one per minute."""
    named = {"connection_attempts": rows["value"].to_numpy(), **others}
    frames = [rows.assign(name=name, value=value, statistic="average") for name, value in named.items()]
    return pd.concat(frames, ignore_index=True)
