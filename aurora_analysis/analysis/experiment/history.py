"""Growth of the history list, or of the horizon's age, during a trial: does the workload hold up cleanup?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.analysis.experiment.blocks import by_draw, during
from aurora_analysis.analysis.experiment.randomisation import (
    RandomisationTest,
    comparison,
    held_constant,
    states,
)

GROWTH_COLUMNS = ["workload", "on_per_hour", "off_per_hour", "difference", "ci_low", "ci_high", "p"]
"""Columns of `history_growth`."""

SAMPLES_MOST = 300
"""Longer spans are thinned to at most this many samples, because every pair of samples is compared."""


def history_growth(
    history: pd.Series, trials: pd.DataFrame, *, draws: int = 4999, alpha: float = 0.05, seed: int = 0
) -> pd.DataFrame:
    """Growth of the history list with and without each workload [transactions/hour].

    Answers: does the query hold up purge?

    Parameters
    ----------
    history : pandas.Series
        History list length over time (index UTC; CloudWatch: RollbackSegmentHistoryListLength) [transactions]; on
        PostgreSQL the age of the xmin horizon [transactions].
    trials : pandas.DataFrame
        The blocks that were drawn (`randomised`).
    draws : int
        Number of other draws that the statistic is compared with.
    alpha : float
        The interval of the difference covers 1 - alpha.
    seed : int
        Seed of the draws.

    Returns
    -------
    pandas.DataFrame
        One row per workload with `GROWTH_COLUMNS`; NaN with too few blocks. Other workloads that were switched at
        the same time are held constant in the difference.

    Notes
    -----
    Growth is the median slope between the samples of a planned run (Theil 1950; Sen 1968). Undo that existed when
    the run began is purged in its first moments, and a late sample may fall into the next drain, but few pairs of
    samples are affected.
    """
    trials = by_draw(trials)
    drawn = states(trials)
    test = RandomisationTest(draws, alpha, seed)
    rows = [(workload, *_growth(history, mine, drawn, test)) for workload, mine in trials.groupby("workload")]
    return pd.DataFrame(rows, columns=GROWTH_COLUMNS)


def _growth(
    history: pd.Series, mine: pd.DataFrame, drawn: pd.DataFrame, test: RandomisationTest
) -> tuple[float, ...]:
    """Growth in a workload's on- and off-blocks, their difference with interval, and p."""
    rates = np.array([_per_hour(span) for span in during(history, mine)])
    known = ~np.isnan(rates)
    usable = mine[known]
    workload = mine["workload"].iloc[0]
    compared = comparison(rates[known], usable, held_constant(usable, drawn, workload, []))
    if not compared.is_large_enough():
        return (np.nan,) * 6
    means = compared.y[compared.on == 1].mean(), compared.y[compared.on == 0].mean()
    return (*means, *test.result(compared))


def _per_hour(span: pd.Series) -> float:
    """Median slope of a span, thinned to `SAMPLES_MOST` samples; NaN with fewer than two."""
    some = span.iloc[:: len(span) // SAMPLES_MOST + 1]
    if len(some) < 2:
        return np.nan
    hours = ((some.index - some.index[0]).total_seconds() / 3600).to_numpy()
    values = some.to_numpy(dtype=float)
    passed = hours[:, None] - hours
    rise = values[:, None] - values
    is_later = passed > 0
    return float(np.median(rise[is_later] / passed[is_later])) if is_later.any() else np.nan
