"""Randomisation test of one workload's blocks, with its confidence interval.

The draw keeps the number of on-blocks fixed, and several trials are separate draws, so blocks are compared within
each. Under the hypothesis that a run multiplies latency by a given factor, every other draw was as likely as the
actual one. The share of draws whose statistic is at least as extreme is therefore an exact p-value, and the factors
that are not rejected form a confidence interval. The statistic is a regression coefficient over its robust standard
error, which keeps the error rate even if the effect differs between blocks (Zhao & Ding 2021, Covariate-adjusted
Fisher randomization tests for the average treatment effect, J. Econometrics 225).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Array

EQUAL = 1e-9
"""Relative difference below which two numbers count as equal: the rest is rounding."""

CANCELLED = 1e-5
"""Below this share a sum of squared residuals, as a difference, has lost digits: it is computed from the residuals."""

BLOCKS_NEEDED = 4
"""On-blocks and off-blocks needed: four of each have 70 draws, so that p can just reach .05."""

STEPS_OUTWARD, STEPS_OF_BISECTION = 20, 24
"""Steps of the search for a limit of the interval: doubling outwards, then halving."""

Statistic = Callable[[float], Array]
"""Statistic of the actual draw (first) and of all other draws, by shift."""


@dataclass(frozen=True)
class Comparison:
    """Blocks of one workload: outcome and state of each, and what is held constant.

    Attributes
    ----------
    y : numpy.ndarray, shape (blocks,)
        Outcome, such as log latency.
    on : numpy.ndarray, shape (blocks,)
        1 for an on-block, 0 for an off-block.
    trials : pandas.Series
        Name of each block's draw.
    scale : numpy.ndarray, shape (blocks,)
        Inverse-probability weights, which make every on-block count equally whatever the share of off-blocks in
        its trial.
    annihilator : numpy.ndarray, shape (blocks, blocks)
        Removes what is held constant, by least squares.
    """

    y: Array
    on: Array
    trials: pd.Series
    scale: Array
    annihilator: Array

    def coefficients(self, states: Array) -> Array:
        """Regression coefficient of each draw.

        Parameters
        ----------
        states : numpy.ndarray, shape (draws, blocks)
            State of each block in each draw.

        Returns
        -------
        numpy.ndarray, shape (draws,)
            In units of `y`.
        """
        z = (states * self.scale) @ self.annihilator
        return np.asarray((z @ self.y) / (z * states).sum(axis=1))

    def estimate(self) -> float:
        """Coefficient of the actual draw.

        Returns
        -------
        float
            The effect in units of `y`.
        """
        return float(self.coefficients(self.on[None])[0])

    def is_large_enough(self) -> bool:
        """Return whether there are `BLOCKS_NEEDED` on-blocks and off-blocks.

        Returns
        -------
        bool
            False if no test is possible.
        """
        return bool(min(self.on.sum(), len(self.on) - self.on.sum()) >= BLOCKS_NEEDED)

    def statistic(self, states: Array) -> Statistic:
        """Studentised coefficient of each draw, as a function of a shift of the on-blocks.

        Parameters
        ----------
        states : numpy.ndarray, shape (draws, blocks)
            State of each block in each draw.

        Returns
        -------
        callable
            Takes the hypothetical effect, which is removed from the on-blocks first.
        """
        x, z = states @ self.annihilator, (states * self.scale) @ self.annihilator
        squares = (x * z).sum(axis=1)
        y, on = self.annihilator @ self.y, self.annihilator @ self.on
        weights = z**2
        # The sum of squared residuals is quadratic in the shift: its parts are the same for every shift.
        of_y, of_both, of_on = weights @ y**2, weights @ (y * on), weights @ on**2
        with_y, with_on, of_x = (weights * x) @ y, (weights * x) @ on, (weights * x**2).sum(axis=1)
        z_y, z_on = z @ y, z @ on

        def t(shift: float) -> Array:
            with np.errstate(divide="ignore", invalid="ignore"):
                coefficients = (z_y - shift * z_on) / squares
                total = of_y - 2 * shift * of_both + shift**2 * of_on
                left = total - 2 * coefficients * (with_y - shift * with_on) + coefficients**2 * of_x
                lost = ~(left > CANCELLED * total)
                residuals = (y - shift * on) - coefficients[lost, None] * x[lost]
                left[lost] = ((z[lost] * residuals) ** 2).sum(axis=1)
                found = coefficients * squares / np.sqrt(left)
            all_alike = np.abs(coefficients) <= EQUAL * (1 + np.abs(self.y).max())
            found[all_alike] = 0.0
            return np.asarray(np.clip(np.nan_to_num(found, nan=np.inf), -1 / EQUAL, 1 / EQUAL))

        return t


def comparison(y: Array, blocks: pd.DataFrame, constant: Array) -> Comparison:
    """Build the comparison of one workload's blocks.

    Parameters
    ----------
    y : numpy.ndarray, shape (blocks,)
        Outcome of each block.
    blocks : pandas.DataFrame
        The same blocks: `trial` and `assigned`.
    constant : numpy.ndarray, shape (blocks, columns)
        What is held constant (`held_constant`).

    Returns
    -------
    Comparison
        Outcome, states and weights of the blocks.
    """
    on = blocks["assigned"].to_numpy(dtype=float)
    annihilator = np.asarray(np.eye(len(constant)) - constant @ np.linalg.pinv(constant))
    return Comparison(y, on, blocks["trial"], _scale(on, blocks["trial"]), annihilator)


KEY = ["trial", "block"]
"""Columns that name a block of all workloads."""


def states(blocks: pd.DataFrame) -> pd.DataFrame:
    """State of each workload in each block; missing where the workload was not drawn.

    Parameters
    ----------
    blocks : pandas.DataFrame
        The blocks of all workloads.

    Returns
    -------
    pandas.DataFrame
        One column per workload, indexed by `KEY`.
    """
    return blocks.pivot_table(index=KEY, columns="workload", values="assigned", aggfunc="first")


def held_constant(
    usable: pd.DataFrame, drawn: pd.DataFrame, workload: str, covariates: list[pd.DataFrame]
) -> Array:
    """Columns held constant: each trial's level, the other workloads' states, the covariates.

    Parameters
    ----------
    usable : pandas.DataFrame
        The blocks of the workload that are compared.
    drawn : pandas.DataFrame
        The frame of `states`.
    workload : str
        The workload.
    covariates : list of pandas.DataFrame
        Covariates by block (`value`); their logarithm is used.

    Returns
    -------
    numpy.ndarray, shape (usable blocks, columns)
        A column with a missing value is left out.
    """
    mine = pd.MultiIndex.from_frame(usable[KEY])
    others = drawn.drop(columns=workload).reindex(mine).fillna(0)
    columns = [(usable["trial"] == name).to_numpy(dtype=float) for name in usable["trial"].unique()]
    columns += [others[name].to_numpy(dtype=float) for name in others]
    for covariate in covariates:
        steady = covariate[covariate["workload"] == workload].set_index(KEY)["value"]
        columns.append(np.log(steady.reindex(mine).to_numpy(dtype=float)))
    complete = [column for column in columns if np.isfinite(column).all()]
    return np.column_stack(complete) if complete else np.zeros((len(usable), 0))


def draw_again(compared: Comparison, draws: int, seed: int) -> Array:
    """States of the actual draw, then of others that were as likely.

    Parameters
    ----------
    compared : Comparison
        The blocks.
    draws : int
        Number of other draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    numpy.ndarray, shape (1 + draws, blocks)
        Each row has the same number of on-blocks in each trial.
    """
    rng = np.random.default_rng(seed)
    states = np.tile(compared.on, (draws + 1, 1))
    for name in compared.trials.unique():
        mine = (compared.trials == name).to_numpy()
        states[1:, mine] = rng.permuted(states[1:, mine], axis=1)
    return states


@dataclass(frozen=True)
class RandomisationTest:
    """Options of the randomisation test.

    Attributes
    ----------
    draws : int
        Number of other draws that the statistic is compared with.
    alpha : float
        The interval covers 1 - alpha.
    seed : int
        Seed of the draws.
    """

    draws: int
    alpha: float
    seed: int

    def result(self, compared: Comparison) -> tuple[float, float, float, float]:
        """Estimate, interval and exact p-value of one comparison.

        Parameters
        ----------
        compared : Comparison
            The blocks.

        Returns
        -------
        tuple of float
            Effect, lower and upper limit (in units of `y`; NaN for a limit that no draw can exclude), and p.
        """
        statistic = compared.statistic(draw_again(compared, self.draws, self.seed))
        low, high = _interval(compared, statistic, self.alpha)
        return compared.estimate(), low, high, _p(statistic, 0.0)


def _scale(on: Array, trials: pd.Series) -> Array:
    """Inverse-probability weight: 1 / (share of control blocks in the block's trial); 1 if it has none."""
    off = 1 - pd.Series(on, trials.index).groupby(trials).transform("mean").to_numpy(dtype=float)
    return 1 / np.where(off > 0, off, 1)


def _p(statistic: Statistic, shift: float) -> float:
    """Share of draws at least as extreme as the actual one, which is itself one of them."""
    t = np.abs(statistic(shift))
    return float((t >= t[0] * (1 - 1e-9)).mean())


def _interval(compared: Comparison, statistic: Statistic, alpha: float) -> tuple[float, float]:
    """Shifts that are not rejected, found by bisection on each side of the estimate."""
    centre = compared.estimate()
    step = float(np.std(compared.y)) + 1e-6
    return _edge(statistic, alpha, centre, -step), _edge(statistic, alpha, centre, step)


def _edge(statistic: Statistic, alpha: float, inside: float, step: float) -> float:
    """Limit of the interval in the direction of `step`; NaN if no shift is rejected."""
    outside = inside + step
    for _ in range(STEPS_OUTWARD):
        if _p(statistic, outside) <= alpha:
            break
        inside, outside = outside, outside + step
        step *= 2
    else:
        return float("nan")
    for _ in range(STEPS_OF_BISECTION):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if _p(statistic, middle) <= alpha else (middle, outside)
    return outside
