"""Db load in average active sessions: by wait class, statement, hour of the week and instance."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.analysis.sparkline import Sparkline, sparklines
from aurora_analysis.window import Window, zone

COLUMNS = ["time", "period_s", "instance", "dimension", "member", "active_sessions"]
"""The columns of `db_load` that are read."""

WAITS = {"dimension": "wait_event"}
"""Selects the rows of `db_load` by wait event."""

STATEMENTS = {"dimension": "sql"}
"""Selects the rows of `db_load` by statement."""

CALLS = ["time", "digest", "calls", "mean_latency_ms", "rows_examined", "rows_sent"]
"""The columns of `statement_metrics` that are read."""

OTHER, NOT_LISTED = "other waits", "not listed"
"""Load in events without a class, and load that Performance Insights attributes to no listed event."""


def wait_class(events: pd.Series) -> pd.Series:
    """Classify wait events.

    Parameters
    ----------
    events : Series of str
        Names of wait events, as Performance Insights gives them; a name in parentheses stands for the load that the
        listed events leave of the total.

    Returns
    -------
    Series of str
        The first class of `engines.wait_classes` that matches; else `other waits` or `not listed`.
    """
    classes = pd.Series(OTHER, index=events.index, name="wait_class")
    for name, parts in reversed(engines.wait_classes().items()):
        matches = np.logical_or.reduce([events.str.contains(part, regex=False) for part in parts])
        classes = classes.mask(matches, name)
    return classes.mask(events.str.startswith("("), NOT_LISTED)


def by_class(db_load: pd.DataFrame) -> pd.DataFrame:
    """Sum the active sessions of each wait class.

    Parameters
    ----------
    db_load : DataFrame
        Rows of the table `db_load` with the columns `COLUMNS`.

    Returns
    -------
    DataFrame
        `time, period_s, instance, wait_class, active_sessions, event`; `event` is the event of the class with the most
        load on the instance. Rows without a number of sessions are omitted: a missing value is not zero.
    """
    waits = db_load[(db_load["dimension"] == "wait_event") & db_load["active_sessions"].notna()]
    waits = waits.assign(wait_class=wait_class(waits["member"])).astype({"instance": str, "member": str})
    keys = ["time", "period_s", "instance", "wait_class"]
    sums = waits.groupby(keys)["active_sessions"].sum().reset_index()
    return sums.merge(_leading_events(waits), on=["instance", "wait_class"], how="left")


def _leading_events(waits: pd.DataFrame) -> pd.DataFrame:
    """The event with the most load in each class of each instance."""
    load = waits.groupby(["instance", "wait_class", "member"])["active_sessions"].sum().sort_values()
    leading = load.reset_index().drop_duplicates(["instance", "wait_class"], keep="last")
    return leading.rename(columns={"member": "event"})[["instance", "wait_class", "event"]]


def statement_load(db_load: pd.DataFrame) -> pd.Series:
    """Compute the mean active sessions of each digest, over all instances together.

    Performance Insights lists the top 25 digests. A digest that is not listed has an unknown load, not zero; the load
    that the listed digests leave of the total is omitted.

    Parameters
    ----------
    db_load : DataFrame
        Rows of the table `db_load` with the columns `COLUMNS`.

    Returns
    -------
    Series of float
        Mean active sessions over the observed time, by digest, largest first.
    """
    listed = db_load[(db_load["dimension"] == "sql") & ~db_load["member"].str.startswith("(")]
    periods = db_load[["time", "instance", "period_s"]].drop_duplicates(["time", "instance"])
    observed_s = listed["instance"].map(periods.groupby("instance")["period_s"].sum()).astype(float)
    shares = listed["active_sessions"] * listed["period_s"] / observed_s
    sums = shares.groupby(listed["member"], observed=True).sum()
    return sums.set_axis(sums.index.astype(str)).sort_values(ascending=False).rename_axis("digest")


def statistics(statement_metrics: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Compute each digest's calls, mean latency and rows per call.

    Parameters
    ----------
    statement_metrics : DataFrame
        Rows of the table `statement_metrics` with the columns `CALLS`.
    window : Window
        The window that the rows cover.

    Returns
    -------
    DataFrame
        `digest, calls_per_hour, latency_ms` (mean, weighted by calls [ms]), `rows_examined, rows_sent` (per call).
    """
    rows = statement_metrics.assign(busy_ms=statement_metrics["calls"] * statement_metrics["mean_latency_ms"])
    sums = rows.groupby("digest")[["calls", "busy_ms", "rows_examined", "rows_sent"]].sum()
    sums.index, calls = sums.index.astype(str), sums["calls"].where(sums["calls"] > 0)
    return pd.DataFrame(
        {
            "calls_per_hour": sums["calls"] * 3600 / window.duration.total_seconds(),
            "latency_ms": sums["busy_ms"] / calls,
            "rows_examined": sums["rows_examined"] / calls,
            "rows_sent": sums["rows_sent"] / calls,
        }
    ).reset_index()


def hour_of_week(classes: pd.DataFrame, roles: pd.Series, *, timezone: str = "UTC") -> pd.DataFrame:
    """Compute the mean load by weekday and hour.

    Parameters
    ----------
    classes : DataFrame
        The result of `by_class`.
    roles : Series of str
        The role of each row's instance at its time.
    timezone : str
        Time zone of weekdays and hours.

    Returns
    -------
    DataFrame
        `role, weekday, hour, active_sessions`; `role` is "writer" through every failover, and a reader's instance name;
        weekday 0 is Monday.
    """
    totals = _by_role(classes, roles)
    clock = totals["time"].dt.tz_convert(zone(timezone))
    totals = totals.assign(weekday=clock.dt.day_of_week, hour=clock.dt.hour)
    return totals.groupby(["role", "weekday", "hour"])["active_sessions"].mean().reset_index()


def at_a_glance(classes: pd.DataFrame, roles: pd.Series, window: Window) -> list[Sparkline]:
    """Draw the load of each role as a sparkline, with its vCPUs as the limit.

    Parameters
    ----------
    classes : DataFrame
        The result of `with_vcpus`.
    roles : Series of str
        The role of each row's instance at its time.
    window : Window
        The window.

    Returns
    -------
    list of Sparkline
        One per role [sessions], the writer first.
    """
    totals = _by_role(classes, roles).rename(columns={"active_sessions": "value"})
    names = classes["instance"].where(roles != "writer", "writer")
    vcpus = classes.groupby(names)["vcpus"].median().dropna().to_dict()
    measure = "active sessions"
    return sparklines("db_load", totals.assign(measure=measure), {measure: "sessions"}, window, limits=vcpus)


def _by_role(classes: pd.DataFrame, roles: pd.Series) -> pd.DataFrame:
    """All classes together, by `role`: "writer" through every failover, and a reader's instance name."""
    rows = classes.assign(role=classes["instance"].where(roles != "writer", "writer"))
    return rows.groupby(["time", "role"])["active_sessions"].sum().reset_index()


def profile(classes: pd.DataFrame, instances: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Describe how loaded each instance was, and how often sessions outnumbered its vCPUs.

    Parameters
    ----------
    classes : DataFrame
        The result of `with_vcpus`.
    instances : DataFrame
        Rows of the table `instances`: `time, instance, role`.
    window : Window
        The window.

    Returns
    -------
    DataFrame
        `instance, role, vcpus` (median over time), `vcpus_from` (where that number comes from), `mean_sessions,
        p95_sessions, max_sessions, over_vcpus_pct` (share of the observed time [%]; NaN if the number of vCPUs is unknown
        for half of it) and `coverage` (observed share of the window [0 to 1]).
    """
    roles = _roles(instances)
    rows = [
        {"instance": instance, "role": roles.get(instance, ""), **_loaded(rows, window)}
        for instance, rows in classes.groupby("instance")
    ]
    return pd.DataFrame(rows, columns=["instance", "role", "vcpus", "vcpus_from", *_MEASURES])


_MEASURES = ["mean_sessions", "p95_sessions", "max_sessions", "over_vcpus_pct", "coverage"]


KNOWN_LEAST = 0.5
"""Share of the observed time for which the number of vCPUs must be known."""


def _roles(instances: pd.DataFrame) -> Mapping[Hashable, str]:
    """Each instance's roles in order of time."""
    return {
        instance: ", then ".join(dict.fromkeys(rows["role"].dropna()))
        for instance, rows in instances.sort_values("time", kind="stable").groupby("instance")
    }


def _loaded(rows: pd.DataFrame, window: Window) -> dict[str, str | float]:
    by_time = rows.groupby("time")
    sessions = by_time["active_sessions"].sum(min_count=1).dropna()
    vcpus = by_time["vcpus"].first().reindex(sessions.index)
    known = vcpus.notna().mean() >= KNOWN_LEAST
    origin = rows.loc[rows["vcpus"].notna(), "vcpus_from"].unique()
    return {
        "vcpus": vcpus.median() if known else np.nan,
        "vcpus_from": ", then ".join(origin) if known else "",
        "mean_sessions": sessions.mean(),
        "p95_sessions": sessions.quantile(0.95),
        "max_sessions": sessions.max(),
        "over_vcpus_pct": 100 * float((sessions > vcpus)[vcpus.notna()].mean()) if known else np.nan,
        "coverage": window.coverage(pd.DatetimeIndex(sessions.index), float(rows["period_s"].median())),
    }


def shares(classes: pd.DataFrame) -> pd.DataFrame:
    """Compute the share of each wait class in each instance's load [%].

    Parameters
    ----------
    classes : DataFrame
        The result of `by_class`.

    Returns
    -------
    DataFrame
        One row per instance, one column per class, largest mean share first [%].
    """
    totals = classes.groupby(["instance", "wait_class"])["active_sessions"].sum().unstack(fill_value=0)
    percent = 100 * totals.div(totals.sum(axis=1), axis=0)
    return percent[percent.mean().sort_values(ascending=False).index].rename_axis(columns=None)
