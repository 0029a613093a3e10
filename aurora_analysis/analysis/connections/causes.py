"""Causes of storms: failovers, restarts, refused logins and schedules; restarts and killed queries by their metrics."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

BEFORE = pd.Timedelta("10min")
"""An event this long before a storm may have caused it: clients reconnect when their attempts or DNS entries time out."""

REFUSED_SHARE = 0.2
"""Share of a storm's attempts that were refused from which the refusals are its cause: clients try again and again."""

SCHEDULE_DAYS = 3
"""Storms that begin at the same time on this many days are a schedule …"""

SCHEDULE_TOLERANCE_MIN = 15
"""… within this many minutes."""

DAY_MIN = 1440

ADDED = {"cause": "object", "cause_at": "datetime64[us, UTC]", "refused_share": "float64"}
ADDED |= {"slow": "float64", "connections": "float64"}
"""Columns that `with_causes` adds, and their types."""


def restarts(metrics: pd.DataFrame) -> pd.DataFrame:
    """Find restarts of the engine: its uptime falls.

    Parameters
    ----------
    metrics : DataFrame
        Rows of the table `metrics`: `time, instance, name, value`.

    Returns
    -------
    DataFrame
        `time` of the first sample after the restart (UTC) and `instance`.
    """
    return _changes(metrics, "uptime", rising=False)[["time", "instance"]]


def kills(metrics: pd.DataFrame) -> pd.DataFrame:
    """Find the times in which Aurora ended queries so as not to run out of memory.

    The metric may count since the start of the engine or in each minute: in both cases it rises when queries are ended.

    Parameters
    ----------
    metrics : DataFrame
        Rows of the table `metrics`: `time, instance, name, value`.

    Returns
    -------
    DataFrame
        `time` of the sample (UTC), `instance` and `queries` (at least so many were ended since the sample before).
    """
    found = _changes(metrics, "queries_killed", rising=True)
    return found.rename(columns={"change": "queries"})[["time", "instance", "queries"]]


def _changes(metrics: pd.DataFrame, name: str, *, rising: bool) -> pd.DataFrame:
    rows = metrics[(metrics["name"] == name) & metrics["value"].notna()].astype({"instance": str})
    rows = rows.sort_values("time", kind="stable")
    change = rows.groupby("instance")["value"].diff()
    return rows.assign(change=change)[change > 0 if rising else change < 0].reset_index(drop=True)


def with_causes(storms: pd.DataFrame, metrics: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Add the probable cause of each storm, and what it did to the instance.

    The first cause that holds: a failover of the cluster or a restart of the instance that began at most `BEFORE` earlier,
    refused logins, or a schedule.

    Parameters
    ----------
    storms : DataFrame
        The result of `storms`.
    metrics : DataFrame
        Rows of the table `metrics` of `verdicts.METRICS`.
    events : DataFrame
        Rows of the table `events`: `time, category`.

    Returns
    -------
    DataFrame
        `storms` with `cause` (`failover`, `restart`, `refused logins`, `schedule` or ""), `cause_at` (UTC),
        `refused_share` [0 to 1], `slow` (handshakes of 2 s or longer) and `connections` (the most at once); NaN if unknown.
    """
    failovers = events[events["category"].astype(str).str.contains("failover")]["time"]
    restarted = restarts(metrics)
    rows = [_explained(row, metrics, failovers, restarted) for row in storms.to_dict("records")]
    added = pd.DataFrame(rows, columns=list(ADDED), index=storms.index).astype(ADDED)
    found = storms.join(added)
    scheduled = _on_schedule(found)
    return found.assign(cause=found["cause"].where((found["cause"] != "") | ~scheduled, "schedule"))


def _explained(
    storm: Mapping[Hashable, Any], metrics: pd.DataFrame, failovers: pd.Series, restarted: pd.DataFrame
) -> dict[Hashable, Any]:
    inside = metrics[
        (metrics["instance"].astype(str) == storm["instance"])
        & (metrics["time"] >= storm["start"])
        & (metrics["time"] < storm["end"])
    ]
    values = inside.groupby(inside["name"].astype(str))["value"]
    means, sums, most = (
        values.mean(),
        (inside["value"] * inside["period_s"]).groupby(inside["name"].astype(str)).sum(),
        values.max(),
    )
    attempts = means.get("connection_attempts", np.nan)
    refused = means.get("login_failures", np.nan) / attempts if attempts else np.nan
    cause, cause_at = _event(storm, failovers, restarted[restarted["instance"] == storm["instance"]]["time"])
    if not cause and refused >= REFUSED_SHARE:
        cause = "refused logins"
    return {
        "cause": cause,
        "cause_at": cause_at,
        "refused_share": refused,
        "slow": sums.get("slow_connections", np.nan),
        "connections": most.get("connections", np.nan),
    }


def _event(
    storm: Mapping[Hashable, Any], failovers: pd.Series, restarts_: pd.Series
) -> tuple[str, pd.Timestamp | None]:
    """The first failover or restart that may have caused a storm."""
    for name, times in (("failover", failovers), ("restart", restarts_)):
        near = times[(times >= storm["start"] - BEFORE) & (times < storm["end"])]
        if len(near):
            return name, near.min()
    return "", None


def _on_schedule(storms: pd.DataFrame) -> pd.Series:
    """Return whether storms of the same instance begin at about the same time of day on enough days."""
    minute = storms["start"].dt.hour * 60 + storms["start"].dt.minute
    day = storms["start"].dt.floor("D")
    apart = np.abs(minute.to_numpy()[:, None] - minute.to_numpy())
    near = np.minimum(apart, DAY_MIN - apart) <= SCHEDULE_TOLERANCE_MIN
    same = storms["instance"].to_numpy()[:, None] == storms["instance"].to_numpy()
    days = [day[mask].nunique() for mask in near & same]
    return pd.Series(days, index=storms.index, dtype=float) >= SCHEDULE_DAYS


def with_clients(storms: pd.DataFrame, load: pd.DataFrame) -> pd.DataFrame:
    """Add the client whose load rose most during each storm: no service counts connections by client.

    Parameters
    ----------
    storms : DataFrame
        The result of `storms`.
    load : DataFrame
        Rows of the table `db_load` by host: `time, instance, member, active_sessions`.

    Returns
    -------
    DataFrame
        `storms` with `client` ("" if no load rose or none was recorded) and `client_sessions`, by how much it rose [sessions].
    """
    load = load.astype({"instance": str, "member": str})
    risen = [_risen(row, load[load["instance"] == row["instance"]]) for row in storms.to_dict("records")]
    names, sessions = zip(*risen) if risen else ((), ())
    return storms.assign(
        client=pd.Series(names, dtype=object), client_sessions=pd.Series(sessions, dtype=float)
    )


def _risen(storm: Mapping[Hashable, Any], load: pd.DataFrame) -> tuple[str, float]:
    inside = (load["time"] >= storm["start"].floor("5min")) & (load["time"] < storm["end"])
    means = [
        rows.groupby("member")["active_sessions"].sum() / max(rows["time"].nunique(), 1)
        for rows in (load[inside], load[~inside])
    ]
    rise = means[0].sub(means[1], fill_value=0.0).drop("(other)", errors="ignore")
    if not inside.any() or rise.empty or rise.max() <= 0:
        return "", np.nan
    return str(rise.idxmax()), float(rise.max())
