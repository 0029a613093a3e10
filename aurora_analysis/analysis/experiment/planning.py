"""Plan a trial: the smallest effect that it will find."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from aurora_analysis.analysis.experiment.blocks import FOURS

RUNS_NEEDED = 4
"""Fewest run lengths in the baseline from which the variance of run means can be estimated."""

SURE = 0.8
"""Power of the detectable effect, and confidence of the upper bound of the noise."""


def detectable_pct(latency: Sequence[float], *, blocks: int, run_s: float, period_s: float = 1.0) -> float:
    """Smallest effect that a trial finds with at least 80 % power [%].

    Answers: is the trial long enough?

    Parameters
    ----------
    latency : sequence of float
        Latencies of a calm stretch before the trial, in order [ms]; values of 0 or less are left out.
    blocks : int
        Number of blocks of the trial.
    run_s : float
        Length of a block's run [s].
    period_s : float
        Time between two latencies [s].

    Returns
    -------
    float
        NaN if the stretch holds fewer than `RUNS_NEEDED` run lengths or never varies.

    Notes
    -----
    Blocks are compared within fours, so the noise of a run's mean decides. The stretch is cut into runs. Their means
    are few and correlated, so their variance is taken at its one-sided 80 % upper bound. What the stretch does not
    contain, such as a rare burst, is not foreseen. `dev.py calibrate trials` measures whether the power is reached.
    """
    logs = np.log([value for value in latency if value > 0])
    run = max(1, round(run_s / period_s))
    runs = len(logs) // run
    if runs < RUNS_NEEDED or np.ptp(logs) == 0:
        return float("nan")
    means = logs[: runs * run].reshape(runs, run).mean(axis=1)
    bound = means.var(ddof=1) * (runs - 1) / special.chdtri(runs - 1, SURE)
    degrees = blocks - blocks / FOURS - 1
    significant, found = (float(special.stdtrit(degrees, q)) for q in (0.975, SURE))
    return float(100 * np.expm1((significant + found) * np.sqrt(4 / blocks * bound)))
