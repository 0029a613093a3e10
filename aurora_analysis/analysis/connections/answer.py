"""The answer to "are there storms of new connections?" for one window, with the frames that support it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from aurora_analysis.analysis.connections import clients
from aurora_analysis.analysis.connections.attempts import storms, with_ordinary
from aurora_analysis.analysis.connections.causes import kills, with_causes, with_clients
from aurora_analysis.analysis.connections.failover import endpoint_history, failover_verdicts
from aurora_analysis.analysis.connections.verdicts import METRICS, idle_verdicts, kill_verdicts, verdicts
from aurora_analysis.analysis.verdict import Verdict, local
from aurora_analysis.store.observations import Observations

HISTORY_DAYS = 14
"""Days of attempts, ending with the window, that make the ordinary level of each hour."""

COLUMNS = ["period_s", "instance", "name", "value"]


@dataclass(frozen=True)
class Answer:
    """Verdicts on connections, and the frames that support them.

    Parameters
    ----------
    verdicts : tuple of Verdict
        One per instance, then one per user with idle transactions, one per instance with killed queries, and one per reader that
        a failover would promote.
    attempts : DataFrame
        Result of `with_ordinary` in the window: attempts to connect beside the ordinary ones.
    storms : DataFrame
        Result of `storms`, with causes and clients.
    habits : DataFrame
        Result of `habits`: how each user uses connections.
    idle : DataFrame
        Result of `idle_transactions`.
    endpoints : DataFrame
        Result of `endpoint_history`: roles, promotion tiers and custom endpoints over time.
    """

    verdicts: tuple[Verdict, ...]
    attempts: pd.DataFrame
    storms: pd.DataFrame
    habits: pd.DataFrame
    idle: pd.DataFrame
    endpoints: pd.DataFrame


def answer(data: Observations, *, timezone: str = "UTC") -> Answer:
    """Find storms of new connections, their causes, and how each client uses connections.

    Parameters
    ----------
    data : Observations
        The window of one cluster.
    timezone : str, default "UTC"
        Time zone of the verdicts' times.

    Returns
    -------
    Answer
    """
    metrics = data.table("metrics", columns=COLUMNS, where={"name": [*METRICS]})
    attempts = _attempts(data)
    found = with_causes(storms(attempts), metrics, data.table("events"))
    found = with_clients(found, _load(data, "host"))
    idle = clients.idle_transactions(data.table("open_transactions"))
    judged = verdicts(attempts, local(found, timezone), metrics, data.window, words=data.words)
    return Answer(
        verdicts=(
            *judged,
            *idle_verdicts(idle, data.words),
            *kill_verdicts(local(kills(metrics), timezone)),
            *failover_verdicts(data.instances, _means(_load(data, "user"))),
        ),
        attempts=attempts,
        storms=found,
        habits=clients.habits(_uses(data)),
        idle=idle,
        endpoints=endpoint_history(data.instances),
    )


def _load(data: Observations, dimension: str) -> pd.DataFrame:
    return data.table(
        "db_load", columns=["instance", "member", "active_sessions"], where={"dimension": dimension}
    )


def _means(load: pd.DataFrame) -> pd.DataFrame:
    """The mean load of each member on each instance, over the observed periods [sessions]."""
    load = load.astype({"instance": str, "member": str})
    periods = load.groupby("instance")["time"].nunique()
    sums = load.groupby(["instance", "member"])["active_sessions"].sum().reset_index()
    return sums.assign(active_sessions=sums["active_sessions"] / sums["instance"].map(periods).astype(float))


def _attempts(data: Observations) -> pd.DataFrame:
    """Attempts in the window, beside the ordinary ones of the last two weeks."""
    history = data.at_least(HISTORY_DAYS).table(
        "metrics", columns=COLUMNS, where={"name": "connection_attempts", "statistic": "average"}
    )
    known = with_ordinary(history)
    inside = (known["time"] >= pd.Timestamp(data.window.start)) & (
        known["time"] < pd.Timestamp(data.window.end)
    )
    return known[inside].reset_index(drop=True)


def _uses(data: Observations) -> pd.DataFrame:
    """Sum the statements of each connection one day at a time, because a busy week's log does not fit in memory."""
    days = data.days("slow_queries", columns=clients.RUNS)
    none = data.table("slow_queries", columns=clients.RUNS, where={"instance": ""})
    return pd.concat([clients.uses(none), *(clients.uses(rows) for rows in days)])
