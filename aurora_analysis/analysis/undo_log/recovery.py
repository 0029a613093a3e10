"""Report how replay and a reader's snapshots affect each other on PostgreSQL: cancelled queries, and lag.

Replay waits for a snapshot at most max_standby_streaming_delay and then cancels the query: its exposure ended early. Until then the
reader falls behind.
https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-CONFLICT
"""

from __future__ import annotations

import pandas as pd

from aurora_analysis.analysis import workloads
from aurora_analysis.analysis.series import period_s
from aurora_analysis.analysis.verdict import Remarks, Verdict, local, moment
from aurora_analysis.store.observations import Observations

CATEGORY = "recovery conflict"
"""Category of these rows of `events`."""

CONFLICT_COLUMNS = ["time", "instance", "what", "user", "digest", "message"]

ENDED = {
    "canceling statement": "query cancelled",
    "terminating connection": "session ended",
    "recovery still waiting": "replay waited",
    "recovery finished waiting": "replay waited",
}
"""Beginning of the server's message → what happened."""

CANCELLED = ("query cancelled", "session ended")
"""Events that ended a reader's exposure early."""

LOGGED = (CATEGORY, "lock wait", "deadlock", "timeout", "cancellation")
"""Categories of `events` that the log has of sessions that waited or were ended."""

WHOLE = 0.99
"""A log that covers a larger share of the window covers it whole [0 to 1]."""

LAG_COLUMNS = ["instance", "workload", "minutes", "lag_with_ms", "lag_without_ms", "most_ms"]


def recovery_conflicts(data: Observations) -> pd.DataFrame:
    """List the recovery conflicts that readers logged.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    DataFrame
        `time` (UTC), `instance`, `what` (query cancelled, session ended or replay waited), `user`, `digest` of the statement and the
        server's `message`; missing where the log names none.
    """
    events = data.table("events")
    rows = events[events["category"] == CATEGORY].reset_index(drop=True)
    message = rows["message"].astype(str)
    beginning = message.str.extract(f"^({'|'.join(ENDED)})", expand=False)
    return rows.assign(
        what=beginning.map(ENDED),
        user=message.str.extract(r", user ([^,]+)", expand=False),
        digest=message.str.extract(r", statement (\w+)$", expand=False),
    )[CONFLICT_COLUMNS]


def event_remarks(data: Observations) -> Remarks:
    """State which conflicts, lock waits and cancellations were logged, and how much of the window each log covers.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    Remarks
        One line of counts, and one for each instance whose log does not cover the window: what is missing there is unknown.
    """
    events = data.table("events")
    counts = events[events["category"].isin(LOGGED)].groupby("category", observed=True).size()
    found = ", ".join(
        f"{counts[name]} {name}{'s' * int(counts[name] > 1)}" for name in LOGGED if counts.get(name)
    )
    spans = data.coverage
    logs = spans[(spans["table"] == "slow_queries") & spans["received"].notna() & spans["instance"].notna()]
    runs = logs.assign(workload=logs["instance"].astype(str), start=logs["time"])
    hours = workloads.exposed_hours(runs, data.window) if len(runs) else pd.Series(dtype=float)
    whole = data.window.duration.total_seconds() / 3600
    lines = [
        f"Events in the logs: {found}."
        if found
        else f"No {', '.join(LOGGED[:-1])} or {LOGGED[-1]} was recorded."
    ]
    for name in sorted({*data.instances["instance"].astype(str)}):
        share = min(1.0, float(hours.get(name, 0.0)) / whole)
        if share < WHOLE:
            lines.append(
                f"The log of {name} covers {100 * share:.0f} % of the window: whether anything else happened there is unknown."
            )
    if len(lines) == 1:
        lines[0] += " Every instance's log covers the whole window."
    return Remarks(*lines)


def conflict_verdicts(conflicts: pd.DataFrame, timezone: str = "UTC") -> list[Verdict]:
    """Report the queries and sessions that replay ended, one verdict per reader and user.

    Parameters
    ----------
    conflicts : DataFrame
        Result of `recovery_conflicts`.
    timezone : str, default "UTC"
        Time zone of the verdicts' times.

    Returns
    -------
    list of Verdict
        Severity `watch`; none without a cancelled query.
    """
    ended = conflicts[conflicts["what"].isin(CANCELLED)].fillna({"user": "an unnamed user"})
    by_user = ended.groupby(["instance", "user"], observed=True)
    return [_conflict(str(instance), str(user), local(rows, timezone)) for (instance, user), rows in by_user]


def _conflict(instance: str, user: str, rows: pd.DataFrame) -> Verdict:
    many = "a query" if len(rows) == 1 else f"{len(rows)} queries"
    return Verdict(
        "undo_log",
        f"queries of {user} on {instance}",
        "cancelled",
        "watch",
        f"Replay on {instance} cancelled {many} of {user}, last at {moment(rows['time'].max(), seconds=True)}: the exposure ended "
        "early, and the log has no duration of such a query.",
        {"cancelled": len(rows)},
        "The reader's log: conflict with recovery",
        "Let the client retry. Run schema changes on the writer, which need a relation lock on the reader, when no long query runs; or "
        "move the query to a clone.",
        f"Replay cancelled {many} of {user} on {instance}",
    )


def lag_with_and_without(data: Observations, runs: pd.DataFrame) -> pd.DataFrame:
    """Describe each reader's lag while each workload ran on it, and while it did not.

    Parameters
    ----------
    data : Observations
        The window of one cluster.
    runs : DataFrame
        `workload, instance, start, end` (UTC).

    Returns
    -------
    DataFrame
        `instance`, `workload`, `minutes` with it, the mean lag with and without it, and the greatest with it [ms]. A description:
        nothing else is held constant.
    """
    lags = data.table(
        "metrics", columns=["instance", "value"], where={"name": "replica_lag", "statistic": "average"}
    )
    rows = []
    for instance, own in lags.dropna().groupby("instance", observed=True):
        lag = own.groupby("time")["value"].mean()
        mine = runs[runs["instance"].astype(str) == str(instance)]
        if len(lag) < 2 or mine.empty:
            continue
        shares = workloads.exposure_share(mine, pd.DatetimeIndex(lag.index), period_s(lag.index))
        for name in shares:
            inside = shares[name] > 0
            minutes = inside.sum() * period_s(lag.index) / 60
            rows.append((instance, name, minutes, lag[inside].mean(), lag[~inside].mean(), lag[inside].max()))
    return pd.DataFrame(rows, columns=LAG_COLUMNS)
