"""Compute how strong a hidden cause would have to be to explain an effect on ordinary days.

Statistics cannot exclude an event that accompanies a workload and leaves no trace in the data. Its bias is its impact on
the writer times its imbalance: the share of the exposed time that it accompanies, if it never occurs otherwise
(Cinelli & Hazlett 2020, Making sense of sensitivity, J. R. Stat. Soc. B 82, section 3). The strongest of the writer's
known jobs shows whether such an event is plausible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aurora_analysis.analysis.reader_impact import regressors
from aurora_analysis.analysis.series import Array

BEFORE_MINUTES = 30
"""A job's impact is measured against the minutes before its starts: the same time of day, without the job."""

SHARE_WITHOUT_JOB = 0.5
"""Without a job to compare with, the hidden event is assumed in this share of the exposed time."""


@dataclass(frozen=True)
class Yardstick:
    """The strongest known job of the writer, beside one workload.

    Attributes
    ----------
    name : str
        The job.
    impact_pct : float
        Latency while the job runs, against the half hour before its starts [%].
    share : float
        Share of the workload's exposed time that the job accompanies [0 to 1].
    """

    name: str
    impact_pct: float
    share: float


def strongest_job(jobs: Mapping[str, Array], logs: Array, exposed: Array) -> Yardstick | None:
    """The writer's job with the largest impact on latency.

    Parameters
    ----------
    jobs : mapping of str to numpy.ndarray, shape (minutes,)
        Share of each minute in which each job was running [0 to 1].
    logs : numpy.ndarray, shape (minutes,)
        Log latency; NaN where missing.
    exposed : numpy.ndarray, shape (minutes,)
        Share of each minute in which the workload was running [0 to 1].

    Returns
    -------
    Yardstick or None
        None if no job raises latency.
    """
    impacts = {name: _impact(job, logs) for name, job in jobs.items()}
    name = max(impacts, key=lambda one: impacts[one], default="")
    if not name or not impacts[name] > 0:
        return None
    share = float(exposed[jobs[name] > 0].sum() / exposed.sum())
    return Yardstick(name, float(100 * np.expm1(impacts[name])), share)


def _impact(job: Array, logs: Array) -> float:
    """Mean log latency in the minutes of a job minus that in the minutes before its starts; -inf if unknown."""
    starts = np.flatnonzero(regressors.starts_of(job[:, None])[:, 0])
    before = np.unique(np.concatenate([np.arange(at - BEFORE_MINUTES, at) for at in starts] or [starts]))
    before = before[(before >= 0) & (job[np.clip(before, 0, None)] == 0)]
    during, quiet = logs[job > 0], logs[before]
    if np.isnan(during).all() or np.isnan(quiet).all():
        return -np.inf
    return float(np.nanmean(during) - np.nanmean(quiet))


def needed(effect_pct: float, impact_pct: float) -> float:
    """Share of the exposed time that a hidden event of this impact must accompany to explain an effect.

    Parameters
    ----------
    effect_pct : float
        The effect, above 0 [%].
    impact_pct : float
        How much the hidden event raises latency [%].

    Returns
    -------
    float
        The share; above 1 if the event is too weak.

    Examples
    --------
    >>> round(needed(10.0, 21.0), 3)
    0.5
    """
    return float(np.log1p(effect_pct / 100) / np.log1p(impact_pct / 100))


def sentence(low_pct: float, metric: str, job: Yardstick | None) -> str:
    """Strength of a hidden event that would leave no significant effect.

    Parameters
    ----------
    low_pct : float
        Lower limit of the effect's interval, above 0 [%].
    metric : str
        The latency.
    job : Yardstick, optional
        The strongest known job.

    Returns
    -------
    str
        One sentence with the share of the exposed time and the impact.
    """
    share = needed(low_pct, job.impact_pct) if job else SHARE_WITHOUT_JOB
    share = min(share, 1.0)
    impact = float(100 * np.expm1(np.log1p(low_pct / 100) / share))
    known = (
        f" The strongest known job, {job.name}, raises it by {job.impact_pct:.0f} % and ran during {_part(job.share)} of that time."
        if job
        else ""
    )
    trade = (
        "one that is weaker would have to run for more of it, a stronger one for less"
        if share < 1
        else "one that runs for less of it would have to be stronger"
    )
    return (
        f"A hidden event, which statistics cannot exclude, would explain this if it ran during {100 * share:.0f} % of the "
        f"workload's run time and raised {metric.replace('_', ' ')} by {impact:.0f} %; {trade}.{known}"
    )


def _part(share: float) -> str:
    """A share in percent; a share that would be rounded to none is named as one."""
    return "less than 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
