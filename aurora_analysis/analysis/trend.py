"""One workload's effect over many weeks: pooled, with an interval that may be looked at every week.

Weeks differ by more than their errors, so each has an effect of its own around a common one (random effects: DerSimonian
& Laird 1986; their variance by Paule & Mandel 1982). A report looks at the pooled effect every week and could stop at the
first week that pleases; an ordinary 95 % interval is then wrong far more often than once in twenty. The interval here is
a confidence sequence with a normal mixture (Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon 2021, Annals of Statistics
49:2): with a probability of 95 % it contains the common effect in all weeks together.

Clusters that the settings put into one pool have effects of their own around that of the pool, too: weeks vary within
clusters, and clusters around the common effect. Estimates by generalised least squares from growing data have
independent increments, so the same confidence sequence holds for the pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import scipy
from scipy import special

from aurora_analysis.analysis.series import Array
from aurora_analysis.analysis.verdict import Severity, Verdict, three_digits

WEEKS_NEEDED = 3
"""Fewest windows from which the variance between weeks is estimated."""

CLUSTERS_NEEDED = 3
"""Fewest clusters from which the variance between them is estimated."""

SHARPEST_AT = 5
"""Number of windows at which the confidence sequence is narrowest, relative to an ordinary interval."""

SPREAD_LEAST = 0.5
"""Smallest standard deviation between weeks, as a share of the typical error: few weeks often show none by chance."""


@dataclass(frozen=True)
class WeekEffect:
    """One window's estimate by itself: not adjusted for the other workloads that its report judged.

    Attributes
    ----------
    start, end : datetime
        The days that were compared, on the reader's clock.
    effect, error : float
        Effect on log latency and its standard error [log].
    df : float
        Degrees of freedom of the error.
    complete : bool
        False if a part of the effect may have counted as none, so that a small estimate excludes nothing.
    """

    start: datetime
    end: datetime
    effect: float
    error: float
    df: float
    complete: bool = True


@dataclass(frozen=True)
class Trend:
    """The common effect of several windows.

    Attributes
    ----------
    windows : int
        Number of windows that do not overlap.
    effect_pct, low_pct, high_pct : float
        The common effect with its confidence sequence [%].
    spread_pct : float
        Standard deviation of the effect between windows [%].
    running : int
        Number of newest windows in a row whose effects have the same sign.
    clusters : int
        Number of clusters that the windows are of.
    """

    windows: int
    effect_pct: float
    low_pct: float
    high_pct: float
    spread_pct: float
    running: int
    clusters: int = 1


def apart(weeks: Sequence[WeekEffect]) -> list[WeekEffect]:
    """Select windows that do not overlap: two estimates from the same days are one observation.

    Parameters
    ----------
    weeks : sequence of WeekEffect
        One per report, in any order.

    Returns
    -------
    list of WeekEffect
        The oldest, then each next one that starts after the previous one's end. A new week never changes what was selected
        before it, as a confidence sequence needs.
    """
    chosen: list[WeekEffect] = []
    for week in sorted(weeks, key=lambda one: (one.end, one.start)):
        if not chosen or week.start >= chosen[-1].end:
            chosen.append(week)
    return chosen


def pooled(weeks: Sequence[WeekEffect], *, alpha: float = 0.05) -> Trend | None:
    """Estimate the common effect of windows that do not overlap.

    Parameters
    ----------
    weeks : sequence of WeekEffect
        Result of `apart`.
    alpha : float
        Probability that the interval misses the common effect in any week.

    Returns
    -------
    Trend or None
        None with fewer than `WEEKS_NEEDED` windows.
    """
    if len(weeks) < WEEKS_NEEDED:
        return None
    effects, errors = _logs(weeks)
    variance = _variance([(effects, errors)])
    wider = _small_sample(len(weeks), alpha)
    percents = _percents(effects, errors**2 + variance, errors[:WEEKS_NEEDED], wider, alpha)
    return Trend(len(weeks), *percents, _spread(variance), _running(effects))


def pooled_clusters(by_cluster: Mapping[str, Sequence[WeekEffect]], *, alpha: float = 0.05) -> Trend | None:
    """Estimate the common effect of several clusters, each with windows that do not overlap.

    Parameters
    ----------
    by_cluster : mapping of str to sequence of WeekEffect
        Result of `apart` for each cluster.
    alpha : float
        Probability that the interval misses the common effect in any week.

    Returns
    -------
    Trend or None
        `spread_pct` is the standard deviation between clusters. None with fewer than `CLUSTERS_NEEDED` clusters.
    """
    known = [weeks for weeks in by_cluster.values() if weeks]
    if len(known) < CLUSTERS_NEEDED:
        return None
    logs = [_logs(weeks) for weeks in known]
    between_weeks = _variance(logs)
    weights = [1 / (errors**2 + between_weeks) for _, errors in logs]
    means = np.array([float(one @ effects / one.sum()) for one, (effects, _) in zip(weights, logs)])
    errors = np.array([1 / np.sqrt(one.sum()) for one in weights])
    between = _variance([(means, errors)])
    first = sorted(
        (week.end, error) for weeks, (_, by_week) in zip(known, logs) for week, error in zip(weeks, by_week)
    )
    earliest = np.array([error for _, error in first[:WEEKS_NEEDED]])
    wider = _few_clusters(len(known), alpha)
    percents = _percents(means, errors**2 + between, earliest, wider, alpha)
    return Trend(sum(map(len, known)), *percents, _spread(between), 0, len(known))


def verdict(
    workload: str,
    metric: str,
    weeks: Sequence[WeekEffect],
    *,
    materiality_pct: float = 5.0,
    alpha: float = 0.05,
) -> Verdict | None:
    """Judge the common effect of a workload over all reported weeks.

    Parameters
    ----------
    workload : str
        The workload.
    metric : str
        The latency that all of the effects are on.
    weeks : sequence of WeekEffect
        One per report; of those that overlap, the older is used.
    materiality_pct : float
        Smallest effect that matters [%].
    alpha : float
        Probability that the interval misses the common effect in any week.

    Returns
    -------
    Verdict or None
        Level `slows`, `slows a little`, `speeds up`, `no material effect` or `inconclusive`; None with fewer than
        `WEEKS_NEEDED` windows.
    """
    chosen = apart(weeks)
    found = pooled(chosen, alpha=alpha)
    if found is None:
        return None
    evidence = f"{len(weeks)} reports; {found.windows} of them have no day in common"
    return _verdict(
        workload, chosen, found, materiality_pct, _sentence(workload, metric, chosen, found), evidence
    )


def pool_verdict(
    workload: str,
    metric: str,
    pool: str,
    by_cluster: Mapping[str, Sequence[WeekEffect]],
    *,
    materiality_pct: float = 5.0,
    alpha: float = 0.05,
) -> Verdict | None:
    """Judge the common effect of a workload in a pool of clusters, over all reported weeks.

    Parameters
    ----------
    workload : str
        The workload.
    metric : str
        The latency that all of the effects are on.
    pool : str
        Name of the pool in the settings.
    by_cluster : mapping of str to sequence of WeekEffect
        One per report of each cluster; of those that overlap, the older is used.
    materiality_pct : float
        Smallest effect that matters [%].
    alpha : float
        Probability that the interval misses the common effect in any week.

    Returns
    -------
    Verdict or None
        As `verdict`; None with fewer than `CLUSTERS_NEEDED` clusters.
    """
    chosen = {name: weeks for name, all_weeks in by_cluster.items() if (weeks := apart(all_weeks))}
    found = pooled_clusters(chosen, alpha=alpha)
    if found is None:
        return None
    weeks = [week for each in chosen.values() for week in each]
    first, last = min(week.start for week in weeks), max(week.end for week in weeks) - SHORTLY
    sentence = (
        f"In the pool {pool} ({', '.join(sorted(chosen))}), from {first:%Y-%m-%d} to {last:%Y-%m-%d}, the writers' "
        f"{_measured(workload, metric, found)}. The effects of the clusters differ by {three_digits(found.spread_pct)} % "
        "(standard deviation)."
    )
    evidence = f"{found.windows} windows of {found.clusters} clusters"
    return _verdict(workload, weeks, found, materiality_pct, sentence, evidence)


def _verdict(
    workload: str,
    weeks: Sequence[WeekEffect],
    found: Trend,
    materiality_pct: float,
    sentence: str,
    evidence: str,
) -> Verdict:
    """The verdict about a common effect; `sentence` has the effect, and what no window could measure is added."""
    complete = all(week.complete for week in weeks)
    level, severity, words = _level(found, materiality_pct, complete)
    of_clusters, counted = "", {"windows": found.windows}
    if found.clusters > 1:
        of_clusters, counted = f" of {found.clusters} clusters", counted | {"clusters": found.clusters}
    return Verdict(
        "trend",
        workload,
        level,
        severity,
        sentence + ("" if complete else UNSEEN.format(workload=workload)),
        {**counted, **{name: round(getattr(found, name), 4) for name in PERCENTS}},
        evidence,
        headline=f"Over {found.windows} windows{of_clusters}, "
        + words.format(workload=workload, effect=three_digits(found.effect_pct)),
    )


PERCENTS = ("effect_pct", "low_pct", "high_pct", "spread_pct")


UNSEEN = " In at least one window a part of the effect could not be measured, so the effect of {workload} may be larger."


def _level(found: Trend, materiality_pct: float, complete: bool) -> tuple[str, Severity, str]:
    """Level, severity and headline: the first rule that holds."""
    if found.low_pct > 0 and found.effect_pct >= materiality_pct:
        return "slows", "act", "{workload} slows the writer by {effect} %"
    if complete and -materiality_pct < found.low_pct and found.high_pct < materiality_pct:
        return "no material effect", "ok", "{workload} has no material effect on the writer"
    if found.low_pct > 0:
        return "slows a little", "watch", "{workload} slows the writer a little, by {effect} %"
    if found.high_pct < 0:
        return (
            "speeds up",
            "watch",
            "the writer is faster while {workload} runs, which points to another cause",
        )
    return "inconclusive", "unknown", "it is open whether {workload} slows the writer"


SHORTLY = timedelta(microseconds=1)
"""Before a window's exclusive end, so that its last day is named."""


def _sentence(workload: str, metric: str, weeks: Sequence[WeekEffect], found: Trend) -> str:
    running = (
        f" The newest {found.running} windows have the same sign."
        if found.running >= SHARPEST_AT and found.low_pct <= 0 <= found.high_pct
        else ""
    )
    return (
        f"From {weeks[0].start:%Y-%m-%d} to {weeks[-1].end - SHORTLY:%Y-%m-%d}, the writer's "
        f"{_measured(workload, metric, found)}.{running}"
    )


def _measured(workload: str, metric: str, found: Trend) -> str:
    """The effect with its interval, after whose metric it is."""
    higher = "higher" if found.effect_pct >= 0 else "lower"
    average = " on average" * (found.clusters > 1)
    return (
        f"{metric.replace('_', ' ')} is {three_digits(abs(found.effect_pct))} % {higher}{average} while {workload} runs (95 % "
        f"confidence interval {_signed(found.low_pct)} to {_signed(found.high_pct)} %, valid however often the reports are "
        "looked at)"
    )


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else '-' if value < 0 else ''}{three_digits(abs(value))}"


def _wider_than_normal(df: float | Array, alpha: float = 0.05) -> Array:
    """Width of an interval of Student's t over a normal one's."""
    return np.asarray(special.stdtrit(df, 1 - alpha / 2) / special.ndtri(1 - alpha / 2))


def _logs(weeks: Sequence[WeekEffect]) -> tuple[Array, Array]:
    """Log effects and their standard errors, each wider by what its t interval has over a normal one."""
    effect, error, df = (
        np.array([getattr(week, name) for week in weeks]) for name in ("effect", "error", "df")
    )
    wider = _wider_than_normal(df)
    return effect, np.maximum(error * wider, 1e-6)


def _between(logs: Sequence[tuple[Array, Array]]) -> float:
    """Variance within groups of effects, the same in all groups, for which the weighted squares are what chance gives."""
    several = [one for one in logs if len(one[0]) > 1]
    if not several:
        return 0.0
    degrees = sum(len(effects) - 1 for effects, _ in several)

    def excess(variance: float) -> float:
        squares = 0.0
        for effects, errors in several:
            weights = 1 / (errors**2 + variance)
            squares += float(weights @ (effects - weights @ effects / weights.sum()) ** 2)
        return squares - degrees

    if excess(0.0) <= 0:
        return 0.0
    most = sum(float(np.square(effects - effects.mean()).sum()) for effects, _ in several) + 1e-12
    return float(scipy.optimize.brentq(excess, 0.0, most)) if excess(most) < 0 else most


def _variance(logs: Sequence[tuple[Array, Array]]) -> float:
    """The variance within groups, at least a small part of the estimates' own."""
    errors = np.concatenate([errors for _, errors in logs])
    return max(_between(logs), (SPREAD_LEAST * float(np.median(errors))) ** 2)


def _percents(
    effects: Array, variances: Array, earliest: Array, wider: float, alpha: float
) -> tuple[float, float, float]:
    """Common effect and its confidence sequence [%]; `earliest` are the first windows' errors.

    The mixture is tuned by the first windows' errors only: tuned by later data it would not be valid.
    """
    weights = 1 / variances
    mean = float(weights @ effects / weights.sum())
    tuned_to = SHARPEST_AT / float(np.median(earliest**2) * (1 + SPREAD_LEAST**2))
    reach = _boundary(float(weights.sum()), tuned_to, alpha) * wider
    middle, low, high = (float(100 * np.expm1(log)) for log in (mean, mean - reach, mean + reach))
    return middle, low, high


def _spread(variance: float) -> float:
    return float(100 * np.expm1(np.sqrt(variance)))


def _boundary(information: float, tuned_to: float, alpha: float) -> float:
    """Half-width of the confidence sequence of a mean whose information is the inverse of its variance."""
    cost = 2 * np.log(1 / alpha)
    mixture = tuned_to / (cost + np.log1p(cost))
    total = information + mixture
    return float(np.sqrt(total * np.log(total / (mixture * alpha**2))) / information)


def _small_sample(windows: int, alpha: float) -> float:
    """Width of t relative to the normal distribution, because few windows estimate their variance."""
    return float(np.sqrt(_wider_than_normal(windows - 1, alpha)))


def _few_clusters(clusters: int, alpha: float) -> float:
    """Width of t relative to the normal distribution, because few clusters estimate their variance once for all looks."""
    return float(_wider_than_normal(clusters - 1, alpha))


def _running(effects: Array) -> int:
    """Number of newest effects in a row with the sign of the last."""
    same = np.sign(effects) == np.sign(effects[-1])
    return int(np.argmin(same[::-1])) if not same.all() else len(effects)
