"""Find when a reader existed whose statements no source shows.

Autoscaling adds readers and deletes them again. What ran there may slow the writer at the same hours as a known workload,
so their presence is a confounder that can be controlled for. CloudWatch publishes an instance's metrics only while
it exists; where the store has none of them, the instance exists from its first row of `instances` on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Mask, stretches

PUBLISHED: dict[str, Any] = {
    "columns": ["period_s", "instance"],
    "where": {"name": "cpu_utilization", "statistic": "average"},
}
"""Arguments with which to read the rows of `metrics` that show which instances existed: every instance publishes these."""

ALWAYS = 0.95
"""A reader that existed in a larger share of the time is no event: controls cannot use its presence [0 to 1]."""

TYPES = {"reader": "object", "start": "datetime64[us, UTC]", "end": "datetime64[us, UTC]"}
"""Columns of `changing`."""


def changing(
    readers: Sequence[str], published: pd.DataFrame, instances: pd.DataFrame, minutes: pd.DatetimeIndex
) -> pd.DataFrame:
    """Find the spans in which readers existed that did not exist all the time.

    Parameters
    ----------
    readers : sequence of str
        Names of readers that no source covers.
    published : DataFrame
        Rows of `metrics`, read with `PUBLISHED`, of all instances.
    instances : DataFrame
        Rows of `instances`.
    minutes : DatetimeIndex
        The minutes of the window.

    Returns
    -------
    DataFrame
        `reader`, `start` and `end` (UTC).
    """
    rows: list[tuple[str, pd.Timestamp, pd.Timestamp]] = []
    for name in readers:
        present = _present(name, published, instances, minutes)
        if 0 < present.mean() <= ALWAYS:
            rows += [
                (name, minutes[first], minutes[last - 1] + pd.Timedelta("1min"))
                for first, last in stretches(present)
                if present[first]
            ]
    return pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)


def _present(name: str, published: pd.DataFrame, instances: pd.DataFrame, minutes: pd.DatetimeIndex) -> Mask:
    """Minutes in which an instance existed; where no instance published, as at the last known minute."""
    mine = published[published["instance"] == name]
    if mine.empty:
        born = instances.loc[instances["instance"] == name, "time"].min()
        return np.asarray(minutes >= born)
    known, own = (_covered(rows, minutes) for rows in (published, mine))
    state = pd.Series(np.where(known, own.astype(float), np.nan))
    return state.ffill().bfill().to_numpy() > 0


def _covered(published: pd.DataFrame, minutes: pd.DatetimeIndex) -> Mask:
    """Minutes for which there is a value."""
    covered = np.zeros(len(minutes) + 1)
    starts = minutes.searchsorted(published["time"])
    ends = minutes.searchsorted(published["time"] + pd.to_timedelta(published["period_s"], unit="s"))
    np.add.at(covered, starts, 1)
    np.add.at(covered, ends, -1)
    return np.asarray(np.cumsum(covered[:-1]) > 0)
