"""Estimate the causal effect of a workload on the writer from a randomised on/off trial.

`randomisation` describes the test. The carry-over of a run falls equally on the on- and off-blocks that follow: it
widens the interval and hardly moves the estimate (`python dev.py bench trials` measures it), and `blocks.following`
shows it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.analysis.experiment.blocks import by_draw, outcomes_of_metric
from aurora_analysis.analysis.experiment.randomisation import (
    Comparison,
    RandomisationTest,
    comparison,
    draw_again,
    held_constant,
    states,
)

COVERAGE_NEEDED = 0.8
"""A block with a smaller share of its samples is left out."""

EFFECT_COLUMNS = [
    "workload",
    "metric",
    "effect_pct",
    "ci_low_pct",
    "ci_high_pct",
    "p",
    "blocks_on",
    "blocks_off",
]
"""Columns of `effects`."""

CHANCE_COLUMNS = ["workload", "metric", "effect_pct", "happened"]
"""Columns of `by_chance`."""

CHANCE_DRAWS = 999
"""Other draws that `by_chance` shows."""


def effects(
    latency: pd.DataFrame,
    trials: pd.DataFrame,
    *,
    covariate: pd.Series | pd.DataFrame | None = None,
    draws: int = 4999,
    alpha: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """Effect of each workload's runs on each metric [%], with interval and exact p-value.

    Answers: by how much does switching the workload on change the writer's latency during the run?

    Parameters
    ----------
    latency : pandas.DataFrame
        One column per metric over time (index UTC, values above 0).
    trials : pandas.DataFrame
        The blocks that were drawn (`randomised`).
    covariate : pandas.Series or pandas.DataFrame, optional
        Series that the draw cannot have changed, such as the planned load; they sharpen the estimate.
    draws : int
        Number of other draws that the statistic is compared with.
    alpha : float
        The intervals cover 1 - alpha.
    seed : int
        Seed of the draws.

    Returns
    -------
    pandas.DataFrame
        One row per workload and metric with `EFFECT_COLUMNS`; NaN with too few blocks. Other workloads that were
        switched at the same time are held constant.
    """
    trials = by_draw(trials)
    covariates, drawn = _by_block(covariate, trials), states(trials)
    test = RandomisationTest(draws, alpha, seed)
    rows = [
        (workload, str(metric), *_effect(_compared(mine, drawn, covariates), test))
        for metric in latency
        for workload, mine in outcomes_of_metric(latency[metric], trials).groupby("workload")
    ]
    return pd.DataFrame(rows, columns=EFFECT_COLUMNS)


def by_chance(
    latency: pd.DataFrame,
    trials: pd.DataFrame,
    found: pd.DataFrame,
    *,
    covariate: pd.Series | pd.DataFrame | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimates that other draws would have given if the workload had no effect [%].

    Answers: could chance have done this?

    Parameters
    ----------
    latency : pandas.DataFrame
        One column per metric over time (index UTC, values above 0).
    trials : pandas.DataFrame
        The blocks that were drawn (`randomised`).
    found : pandas.DataFrame
        The frame of `effects`; the workload and metric with the smallest p are shown.
    covariate : pandas.Series or pandas.DataFrame, optional
        The covariate of `effects`.
    seed : int
        Seed of the draws.

    Returns
    -------
    pandas.DataFrame
        One row per draw with `CHANCE_COLUMNS`, the actual draw first; no rows if no effect is known.
    """
    known = found.dropna().sort_values("p")
    if known.empty:
        return pd.DataFrame(columns=CHANCE_COLUMNS)
    workload, metric = known["workload"].iloc[0], known["metric"].iloc[0]
    blocks = by_draw(trials)
    mine = outcomes_of_metric(latency[metric], blocks[blocks["workload"] == workload])
    compared = _compared(mine, states(blocks), _by_block(covariate, blocks))
    redrawn = draw_again(compared, CHANCE_DRAWS, seed)
    effect_pct = 100 * np.expm1(compared.coefficients(redrawn))
    happened = np.arange(len(redrawn)) == 0
    return pd.DataFrame(
        {"workload": workload, "metric": metric, "effect_pct": effect_pct, "happened": happened}
    )


def _by_block(covariate: pd.Series | pd.DataFrame | None, blocks: pd.DataFrame) -> list[pd.DataFrame]:
    """Mean of each covariate over each block; a covariate without values is left out."""
    known = pd.DataFrame(covariate).dropna(axis=1, how="all")
    return [outcomes_of_metric(known[name], blocks) for name in known]


def _compared(mine: pd.DataFrame, drawn: pd.DataFrame, covariates: list[pd.DataFrame]) -> Comparison:
    """Compare one workload's blocks that have enough samples, by log latency."""
    usable = mine[(mine["coverage"] >= COVERAGE_NEEDED) & mine["value"].notna()]
    y = np.log(usable["value"].to_numpy(dtype=float))
    return comparison(y, usable, held_constant(usable, drawn, mine["workload"].iloc[0], covariates))


def _effect(compared: Comparison, test: RandomisationTest) -> tuple[float, float, float, float, int, int]:
    """Effect and interval [%], p, and the numbers of on- and off-blocks."""
    count_on = int(compared.on.sum())
    counts = count_on, len(compared.on) - count_on
    if not compared.is_large_enough():
        return (np.nan, np.nan, np.nan, np.nan, *counts)
    *logs, p = test.result(compared)
    effect, low, high = (100 * float(np.expm1(value)) for value in logs)
    return (effect, low, high, p, *counts)
