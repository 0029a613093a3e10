"""Outcomes beside the typical minute: the arithmetic mean of latency, and how often a minute is bad.

The mean of log latency, with outliers pulled in, is the typical minute. A workload that doubles one minute in ten hardly
moves the typical minute. It moves the mean latency and the bad minutes, about which users complain.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.analysis.reader_impact.model import Fit
from aurora_analysis.analysis.reader_impact.projection import Floats
from aurora_analysis.analysis.series import Array
from aurora_analysis.analysis.verdict import signed

MOST = 10.0
"""A minute counts as at most this many times the predicted latency, so that no single stall is the mean."""

BAD = 0.9
"""A minute is bad if its latency, as far as the controls do not explain it, is above this quantile."""


def outcomes(unexplained: Floats) -> Array:
    """Relative latency of each minute, then whether the minute is bad.

    Parameters
    ----------
    unexplained : numpy.ndarray, shape (minutes, metrics)
        Log latency with the controls removed.

    Returns
    -------
    numpy.ndarray, shape (minutes, 2 · metrics)
        Latency over what the controls predict, with mean 1; then 1 in a bad minute and 0 in any other.
    """
    if not len(unexplained):
        return np.zeros((0, 2 * unexplained.shape[1]))
    centre = np.median(unexplained, axis=0)
    factor = np.exp(np.minimum(unexplained - centre, np.log(MOST)))
    bad = unexplained > np.quantile(unexplained, BAD, axis=0)
    return np.column_stack([factor / factor.mean(axis=0), bad]).astype(float)


def relative_effect(fit: Fit, exposed: Array) -> Fit:
    """Effect on an outcome relative to what it would be without the workload [log].

    Parameters
    ----------
    fit : Fit
        Additive effect on each outcome.
    exposed : numpy.ndarray, shape (outcomes,)
        Mean of each outcome over exposed minutes.

    Returns
    -------
    Fit
        Log ratio of the exposed mean to the exposed mean less the effect, with its error by the delta method; NaN if
        the latter is not above zero. The exposed mean was observed, so that the error is that of the mean without the
        workload, and grows as that nears zero.
    """
    without = exposed - fit.effect
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where((without > 0) & (exposed > 0), exposed / without, np.nan)
        return Fit(np.log(ratio), fit.error / np.where(ratio > 0, without, np.nan), fit.df)


SIDES = {0.5: "typical minute [%]", 0.95: "p95 of minute means [%]"}
"""Columns of `side_by_side` that are quantiles."""


def side_by_side(estimates: pd.DataFrame, quantiles: pd.DataFrame) -> pd.DataFrame:
    """Effect on the typical, the average and the slow minute, and the frequency of bad minutes.

    Answers: do all minutes become slower, or a few of them very slow?

    Parameters
    ----------
    estimates : pandas.DataFrame
        Result of `effects`.
    quantiles : pandas.DataFrame
        Result of `quantile_effects` with the quantiles of `SIDES`.

    Returns
    -------
    pandas.DataFrame
        One row per workload and metric that was judged: effects with their 95 % confidence intervals [%], a dash where the
        data do not limit them, and how many times as frequent bad minutes (the slowest tenth) are.
    """
    known = estimates[estimates["average_effect_pct"].notna()].set_index(["workload", "metric"])
    rows = quantiles.assign(text=_texts(quantiles, "effect_pct", "ci_low_pct", "ci_high_pct"))
    found = rows.pivot(index=["workload", "metric"], columns="quantile", values="text").rename(columns=SIDES)
    average = _texts(known, "average_effect_pct", "average_low_pct", "average_high_pct")
    table = found.reindex(index=known.index, columns=list(SIDES.values())).rename_axis(columns=None)
    table.insert(1, "average minute [%]", average)
    return table.assign(**{"bad minutes [times as frequent]": known["bad_minutes"].round(2)}).reset_index()


def _texts(frame: pd.DataFrame, effect: str, low: str, high: str) -> pd.Series:
    """Effect with its interval, such as ``+10 [+7.3, +13]``; a dash if the upper limit is more than `MOST` times the effect."""
    texts = [
        "–" if 100 + c > MOST * (100 + a) else f"{signed(a)} [{signed(b)}, {signed(c)}]"
        for a, b, c in zip(frame[effect], frame[low], frame[high])
    ]
    return pd.Series(texts, index=frame.index, dtype=object)
