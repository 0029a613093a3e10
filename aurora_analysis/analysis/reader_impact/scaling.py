"""State how the capacity of a serverless writer moved with a workload.

Capacity follows load, so it may grow because of the workload. It is then a part of the effect: held constant, it would leave
too little of the exposure to judge by (benchmarks/calibration/CAPACITY.md). It stands beside the effect instead, so that an effect which is small because
capacity grew is not read as free.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from aurora_analysis.analysis import workloads
from aurora_analysis.analysis.verdict import dates, three_digits
from aurora_analysis.window import Window

CAPACITY, UTILISATION = "serverless_capacity", "acu_utilization"
CLASS = "db.serverless"

AT_MAXIMUM = 95.0
"""Utilisation from which capacity counts as at its maximum [%]."""

MINUTES_NEEDED = 30
"""Fewest samples with the workload, and without it, from which their means are compared."""


@dataclass(frozen=True)
class Scaling:
    """Capacity of a writer that was serverless in the window.

    Parameters
    ----------
    capacity : Series
        Capacity over time [ACU] (CloudWatch: ServerlessDatabaseCapacity); empty if the store has none.
    utilisation : Series
        Share of the maximum in use [%] (CloudWatch: ACUUtilization); empty if the store has none.
    window : Window
        The window of both.
    timezone : str
        Time zone of the dates in sentences.
    """

    capacity: pd.Series
    utilisation: pd.Series
    window: Window
    timezone: str = "UTC"

    def remark(self, workload: str, runs: pd.DataFrame) -> str:
        """State the capacity while a workload ran, beside that at the same hours of the day without it.

        Parameters
        ----------
        workload : str
        runs : DataFrame
            Runs of all workloads: `workload`, `start`, `end` (UTC).

        Returns
        -------
        str
            One or two sentences.
        """
        mine = runs[runs["workload"] == workload]
        during, without = _by_presence(self.capacity, mine)
        remains = "so the effect is what remains after the writer has scaled"
        if min(len(during), len(without)) < MINUTES_NEEDED:
            return f"The writer is serverless and its capacity beside these runs is not known: capacity may grow with load, {remains}."
        hour = pd.DatetimeIndex(during.index).hour
        usual = (
            without.groupby(pd.DatetimeIndex(without.index).hour).mean().reindex(hour).fillna(without.mean())
        )
        return (
            f"The writer is serverless: its capacity averaged {three_digits(during.mean())} ACU while it ran and "
            f"{three_digits(float(usual.mean()))} ACU at the same hours without it ({dates(self.window, self.timezone)}). Capacity grows with "
            f"load and is not held constant, {remains}{self._at_maximum(mine)}."
        )

    def _at_maximum(self, mine: pd.DataFrame) -> str:
        during, _ = _by_presence(self.utilisation, mine)
        if len(during) < MINUTES_NEEDED:
            return ""
        share = 100 * (during >= AT_MAXIMUM).mean()
        return f"; for {share:.0f} % of that time it was at its maximum and could not grow"


def _by_presence(values: pd.Series, runs: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Values while any of the runs was open, and all others."""
    if values.empty or runs.empty:
        return values[:0], values
    shares = workloads.exposure_share(runs.assign(workload="one"), pd.DatetimeIndex(values.index), 60)
    open_ = pd.Series(shares.to_numpy().any(axis=1), values.index)
    return values[open_], values[~open_]
