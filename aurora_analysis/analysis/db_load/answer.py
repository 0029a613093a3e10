"""The answer to "is an instance short of a resource?" for one window, with the frames that support it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from aurora_analysis.analysis.db_load import bad_practices, load, ranks
from aurora_analysis.analysis.db_load.capacity import METRICS as CAPACITY_METRICS
from aurora_analysis.analysis.db_load.capacity import with_vcpus
from aurora_analysis.analysis.db_load.verdicts import EVIDENCE_METRICS, Thresholds, verdicts
from aurora_analysis.analysis.db_load.worst import Known, statements, with_last_run, with_statements
from aurora_analysis.analysis.sparkline import Sparkline
from aurora_analysis.analysis.verdict import Verdict
from aurora_analysis.store.observations import Observations

MOST_STATEMENTS = 10
"""Number of statements in the table of load."""


@dataclass(frozen=True)
class Answer:
    """Verdicts on load, and the frames that support them.

    Parameters
    ----------
    verdicts : tuple of Verdict
        One per instance, then one per user and bad practice.
    classes : DataFrame
        Result of `by_class`: active sessions by wait class over time.
    profiles : DataFrame
        Result of `profile`: each instance's sessions and vCPUs.
    busy : DataFrame
        Result of `hour_of_week`: mean load by role, weekday and hour.
    statements : DataFrame
        The digests with the most load: `digest`, `share_pct`, `rank`, `rank_before`, `calls_per_hour`, `latency_ms`,
        `rows_examined`, `fingerprint`.
    practices : DataFrame
        Result of `practices`: bulk extracts and long unoptimised queries, with their cost.
    sparklines : tuple of Sparkline
        The load of each role.
    """

    verdicts: tuple[Verdict, ...]
    classes: pd.DataFrame
    profiles: pd.DataFrame
    busy: pd.DataFrame
    statements: pd.DataFrame
    practices: pd.DataFrame
    sparklines: tuple[Sparkline, ...]


def answer(
    data: Observations, *, watch_pct: float = 1.0, act_pct: float = 5.0, timezone: str = "UTC"
) -> Answer:
    """Find the bottleneck of each instance, and what bad practices cost.

    Parameters
    ----------
    data : Observations
        The window of one cluster.
    watch_pct : float, default 1
        An instance with more active sessions than vCPUs for this share of the time is to be watched [%].
    act_pct : float, default 5
        The share from which it needs action [%].
    timezone : str, default "UTC"
        Time zone of weekdays, hours and the verdicts' times.

    Returns
    -------
    Answer
    """
    waits = data.table("db_load", columns=load.COLUMNS, where=load.WAITS)
    classes = with_vcpus(load.by_class(waits), data.instances, _capacity(data))
    profiles = load.profile(classes, data.instances, data.window)
    costs = _costs(data)
    practices = bad_practices.practices(costs, profiles, data.window)
    evidence = data.table("metrics", where={"name": EVIDENCE_METRICS, "statistic": "average"})
    thresholds = Thresholds(watch_pct=watch_pct, act_pct=act_pct)
    bottlenecks = verdicts(classes, profiles, evidence, thresholds)
    bad = bad_practices.practice_verdicts(practices, data.fingerprints, words=data.words)
    known = Known(classes, costs, statements(data), watch_pct)
    roles = data.roles(classes)
    return Answer(
        verdicts=(
            *with_statements(bottlenecks, known, data, timezone),
            *with_last_run(bad, data, timezone),
        ),
        classes=classes,
        profiles=profiles,
        busy=load.hour_of_week(classes, roles, timezone=timezone),
        statements=_statements(data),
        practices=practices,
        sparklines=tuple(load.at_a_glance(classes, roles, data.window)),
    )


def _capacity(data: Observations) -> pd.DataFrame:
    return data.table("metrics", where={"name": [*CAPACITY_METRICS], "statistic": "average"})


def _costs(data: Observations) -> pd.DataFrame:
    """Sum the cost of each statement one day at a time, because a busy week's log does not fit in memory."""
    days = data.days("slow_queries", columns=bad_practices.RUNS, overlapping=True)
    return pd.concat(bad_practices.costs(rows, rows["role"], data.window) for rows in days)


def _statements(data: Observations) -> pd.DataFrame:
    ranked = ranks.moves(_load(data), _load(data.previous())).head(MOST_STATEMENTS)
    calls = data.table("statement_metrics", columns=load.CALLS)
    statistics = load.statistics(calls, data.window).drop(columns="rows_sent")
    shown = ranked[["digest", "share_pct", "rank", "rank_before"]].merge(statistics, on="digest", how="left")
    return shown.merge(data.fingerprints, on="digest", how="left")


def _load(data: Observations) -> pd.Series:
    return load.statement_load(statements(data))
