"""Name the statement behind each verdict on load: the one with the most load on the instance, else the longest open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from aurora_analysis.analysis.costliest import LOGGED, Place, on_instances, with_worst
from aurora_analysis.analysis.db_load import load
from aurora_analysis.analysis.verdict import Verdict, moment
from aurora_analysis.store.observations import Observations

ALL = "all instances"
"""Subject of the verdict on a window without db load."""

LACKING = "neither Performance Insights nor the log lists one on this instance"

CROWDED = "has the most load on this instance while sessions outnumber the vCPUs"
MOST_LOAD = "has the most load on this instance"
LONGEST_OPEN = "was open longest in the log, because no load by statement is known"


@dataclass(frozen=True)
class Known:
    """The window's evidence about single statements.

    Parameters
    ----------
    classes : DataFrame
        Result of `by_class`.
    costs : DataFrame
        Result of `bad_practices.costs`.
    statements : DataFrame
        Rows of `db_load` by statement.
    watch_pct : float
        From this share of the time on an instance counts as crowded [%].
    """

    classes: pd.DataFrame
    costs: pd.DataFrame
    statements: pd.DataFrame
    watch_pct: float


def with_statements(
    verdicts: Sequence[Verdict], known: Known, data: Observations, timezone: str
) -> list[Verdict]:
    """Add to each verdict on an instance the statement that weighs most there.

    Parameters
    ----------
    verdicts : sequence of Verdict
        The result of `verdicts`.
    known : Known
        Load and cost of statements.
    data : Observations
        The window, for the runs and the texts.
    timezone : str
        Time zone of the last run.

    Returns
    -------
    list of Verdict
        In the same order. If sessions outnumbered the vCPUs too often, the load of those times decides.
    """
    chosen = {one.subject: _worst(one, known) for one in verdicts}
    places = {subject: place for subject, (place, _) in chosen.items() if place}
    found = on_instances(data, places.values(), timezone)
    statements = {subject: found[place] for subject, place in places.items()}
    return [with_worst(one, statements, chosen[one.subject][1], LACKING) for one in verdicts]


def _worst(verdict: Verdict, known: Known) -> tuple[Place | None, str]:
    """The instance and digest of a verdict's statement, and how it was chosen."""
    listed = known.statements[known.statements["instance"] == verdict.subject]
    listed = listed[~listed["member"].astype(str).str.startswith("(")]
    if float(verdict.numbers.get("over_vcpus_pct") or 0) >= known.watch_pct:
        classes = known.classes[known.classes["instance"] == verdict.subject]
        total = classes.groupby("time")["active_sessions"].transform("sum")
        busy = listed[listed["time"].isin(classes.loc[total > classes["vcpus"], "time"])]
        if len(busy):
            return (verdict.subject, _heaviest(busy)), CROWDED
    if len(listed):
        return (verdict.subject, _heaviest(listed)), MOST_LOAD
    costs = known.costs[(known.costs["digest"] != "") & known.costs["digest"].notna()]
    mine = costs if verdict.subject == ALL else costs[costs["instance"] == verdict.subject]
    if mine.empty:
        return None, ""
    opened = mine.groupby(["instance", "digest"], as_index=False)["open_s"].sum()
    longest = opened.loc[opened["open_s"].idxmax()]
    return (str(longest["instance"]), str(longest["digest"])), LONGEST_OPEN


def _heaviest(listed: pd.DataFrame) -> str:
    sessions = listed["active_sessions"] * listed["period_s"]
    return str(sessions.groupby(listed["member"].astype(str)).sum().idxmax())


def statements(data: Observations) -> pd.DataFrame:
    """Read the load by statement.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    DataFrame
        The columns `load.COLUMNS`.
    """
    return data.table("db_load", columns=load.COLUMNS, where=load.STATEMENTS)


def with_last_run(verdicts: Sequence[Verdict], data: Observations, timezone: str) -> list[Verdict]:
    """Add the last run and its thread to the statement of each verdict on a user.

    Parameters
    ----------
    verdicts : sequence of Verdict
        The result of `practice_verdicts`, whose subjects are users.
    data : Observations
        The window of one cluster.
    timezone : str
        Time zone of the last run.

    Returns
    -------
    list of Verdict
        In the same order.
    """
    if not verdicts:
        return []
    digests = sorted({str(one.statement["digest"]) for one in verdicts})
    only = {"digest": digests, "user": sorted({one.subject for one in verdicts})}
    runs = data.table("slow_queries", columns=[*LOGGED, "user"], where=only, overlapping=True)
    return [_with_last_run(one, runs, timezone) for one in verdicts]


def _with_last_run(verdict: Verdict, runs: pd.DataFrame, timezone: str) -> Verdict:
    mine = runs[(runs["user"] == verdict.subject) & (runs["digest"] == verdict.statement["digest"])]
    if mine.empty:
        return verdict
    last = mine.sort_values("started_at", kind="stable").iloc[-1]
    thread = None if pd.isna(last["thread_id"]) else int(last["thread_id"])
    known = {"last": moment(last["started_at"], timezone), "thread": thread}
    return replace(verdict, statement={**verdict.statement, **known})
