"""Storms: times in which far more clients connect than in the instance's ordinary minutes of that hour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

STORMS = ["instance", "start", "end", "peak_per_s", "ordinary_per_s", "ratio", "extra"]
"""Columns of `storms`."""


@dataclass(frozen=True)
class StormRules:
    """Limits beyond which attempts to connect are a storm.

    Parameters
    ----------
    ratio : float
        A storm has at least this many times the ordinary attempts of the hour.
    excess_per_s : float
        A storm has at least this many attempts more than ordinary [1/s]: a login costs about a millisecond of CPU.
    pause : Timedelta
        Storm minutes that are at most this far apart belong to one storm.
    days_needed : int
        The ordinary attempts of an hour of the day need data of this many days; with fewer, those of the whole day count.
    periods_needed : int
        With fewer observed periods in all, ordinary attempts are unknown.
    """

    ratio: float = 5.0
    excess_per_s: float = 1.0
    pause: pd.Timedelta = pd.Timedelta("5min")
    days_needed: int = 3
    periods_needed: int = 360


def with_ordinary(attempts: pd.DataFrame, rules: StormRules = StormRules()) -> pd.DataFrame:
    """Add each instance's ordinary attempts of the hour of the day: the median, which a storm does not move.

    Parameters
    ----------
    attempts : DataFrame
        `time` (UTC), `instance` and `value` (attempts to connect [1/s]), of as many days as there are.
    rules : StormRules
        How many data an ordinary level needs.

    Returns
    -------
    DataFrame
        `attempts` without missing values, with `ordinary_per_s`; NaN where too little was observed.
    """
    known = attempts[attempts["value"].notna()].astype({"instance": str}).sort_values("time", kind="stable")
    known = known.reset_index(drop=True)
    hour = known["time"].dt.hour.rename("hour")
    by_hour = known.groupby(["instance", hour])
    days = known["time"].dt.floor("D").groupby([known["instance"], hour]).transform("nunique")
    by_instance = known.groupby("instance")["value"]
    ordinary = (
        by_hour["value"].transform("median").where(days >= rules.days_needed, by_instance.transform("median"))
    )
    enough = by_instance.transform("size") >= rules.periods_needed
    return known.assign(ordinary_per_s=ordinary.where(enough).astype(float))


def storms(attempts: pd.DataFrame, rules: StormRules = StormRules()) -> pd.DataFrame:
    """Find the storms of each instance.

    Parameters
    ----------
    attempts : DataFrame
        The result of `with_ordinary`, with `period_s`.
    rules : StormRules
        When attempts are a storm.

    Returns
    -------
    DataFrame
        `instance, start, end` (UTC), `peak_per_s` and `ordinary_per_s` [1/s], `ratio` of the two at the peak (infinite if none
        are ordinary), and `extra`: attempts beyond the ordinary ones. The largest first.
    """
    excess = attempts["value"] - attempts["ordinary_per_s"]
    many = attempts["value"] >= rules.ratio * attempts["ordinary_per_s"]
    stormy = attempts[many & (excess >= rules.excess_per_s)].assign(
        excess=excess * attempts["period_s"],
        end=attempts["time"] + pd.to_timedelta(attempts["period_s"], unit="s"),
    )
    found = [row for _, rows in stormy.groupby("instance") for row in _of_instance(rows, rules.pause)]
    times = dict.fromkeys(("start", "end"), "datetime64[us, UTC]")
    reals = dict.fromkeys(("peak_per_s", "ordinary_per_s", "ratio", "extra"), "float64")
    frame = pd.DataFrame(found, columns=STORMS).astype({"instance": str, **times, **reals})
    return frame.sort_values("extra", ascending=False, ignore_index=True, kind="stable")


def _of_instance(stormy: pd.DataFrame, pause: pd.Timedelta) -> Iterator[list[object]]:
    """Yield one row per storm of an instance; `stormy` has its periods in order of time."""
    number = (stormy["time"] - stormy["end"].shift() > pause).cumsum()
    for _, rows in stormy.groupby(number):
        peak, ordinary = max(zip(rows["value"], rows["ordinary_per_s"]))
        yield [
            str(rows["instance"].iloc[0]),
            rows["time"].iloc[0],
            rows["end"].iloc[-1],
            peak,
            ordinary,
            peak / ordinary if ordinary else np.inf,
            rows["excess"].sum(),
        ]
