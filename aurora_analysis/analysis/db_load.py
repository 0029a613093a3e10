"""Where does the load come from, what does it wait for, and is an instance short of something?

Db load is counted in average active sessions: how many sessions ran or waited at a moment. More of them than
vCPUs means that some wait for a processor or for each other. What they wait for is told by wait events, which
are put into the classes that a DBA acts on; meanings of the events: Amazon Aurora user guide, "Tuning Aurora
MySQL with wait events".
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis.analysis.sparkline import Sparkline, sparklines
from aurora_analysis.analysis.verdict import Severity, Verdict, by_severity
from aurora_analysis.engines.mysql.waits import WAIT_CLASSES
from aurora_analysis.window import Window, zone

COLUMNS = ["time", "period_s", "instance", "dimension", "member", "active_sessions"]
WAITS, STATEMENTS = {"dimension": "wait_event"}, {"dimension": "sql"}
CALLS = ["time", "digest", "calls", "mean_latency_ms", "rows_examined", "rows_sent"]
RUNS = ["started_at", "ended_at", "instance", "user", "digest", "query_time_s", "rows_sent", "rows_examined"]
"""What is read of the tables db_load, statement_metrics and slow_queries."""

OTHER, NOT_LISTED = "other waits", "not listed"

EVIDENCE: dict[str, tuple[str, ...]] = {
    "CPU": ("cpu_utilization",),
    "row locks": ("row_lock_waits", "row_lock_time", "deadlocks"),
    "metadata locks": ("ddl_latency",),
    "commit path": ("commit_latency", "commit_throughput"),
    "buffer misses": ("buffer_cache_hit_ratio", "buffer_pool_reads"),
    "client not reading": ("network_transmit",),
    "connections": ("connections",),
    "undo and transactions": ("history_list_length",),
}
"""Class → the metrics that should show it, too."""

EVIDENCE_METRICS = sorted({name for names in EVIDENCE.values() for name in names})

ACTIONS = {
    "CPU": "Look at the statements with the most load: an index, fewer calls, or a larger instance class.",
    "row locks": "Shorten the transactions that touch the same rows; commit sooner, and take rows in one order.",
    "metadata locks": "Find the DDL or the idle transaction that holds the table; run DDL when it is quiet.",
    "commit path": "Commit more rows at a time, and fewer times; look at binlog and at storage write latency.",
    "buffer misses": "Find the statements that scan; keep bulk reads off this instance, or give it more memory.",
    "client not reading": "The client takes rows more slowly than they are found: fetch in portions, nearer, or elsewhere.",
    "connections": "Pool connections (RDS Proxy, or a pool in the application), so that they are not opened anew.",
    "undo and transactions": "See the notebook undo_log: who held the read view?",
    "table access": "Look at the statements with the most rows examined.",
    OTHER: "Look at the wait events in the table.",
    NOT_LISTED: "Fetch with more members, or look at the live server.",
    "no bottleneck": "Nothing to do.",
    "unknown": "Turn Performance Insights on, or fetch its data.",
}
"""What would change the verdict."""


def wait_class(events: pd.Series) -> pd.Series:
    """The class of each wait event; what the listed events leave of the total is `not listed`."""
    classes = pd.Series(OTHER, index=events.index, name="wait_class")
    for name, parts in reversed(WAIT_CLASSES.items()):
        held = np.logical_or.reduce([events.str.contains(part, regex=False) for part in parts])
        classes = classes.mask(held, name)
    return classes.mask(events.str.startswith("("), NOT_LISTED)


def by_class(db_load: pd.DataFrame) -> pd.DataFrame:
    """The active sessions of each wait class: `time, period_s, instance, wait_class, active_sessions`."""
    waits = db_load[db_load["dimension"] == "wait_event"]
    keys = ["time", "period_s", "instance", "wait_class"]
    grouped = waits.assign(wait_class=wait_class(waits["member"])).groupby(keys)
    return grouped["active_sessions"].sum().reset_index().astype({"instance": str})


def statement_load(db_load: pd.DataFrame) -> pd.Series:
    """The active sessions of each digest over a window, all instances together, most first.

    Below the top 25 a digest is not listed, which is not zero; what the listed leave of the total is left out.
    """
    listed = db_load[(db_load["dimension"] == "sql") & ~db_load["member"].str.startswith("(")]
    periods = db_load[["time", "instance", "period_s"]].drop_duplicates(["time", "instance"])
    observed_s = listed["instance"].map(periods.groupby("instance")["period_s"].sum()).astype(float)
    shares = listed["active_sessions"] * listed["period_s"] / observed_s
    sums = shares.groupby(listed["member"], observed=True).sum()
    return sums.set_axis(sums.index.astype(str)).sort_values(ascending=False).rename_axis("digest")


def statistics(statement_metrics: pd.DataFrame, window: Window) -> pd.DataFrame:
    """What each digest did: `digest, calls_per_hour, latency_ms, rows_examined, rows_sent`; rows are those of a call."""
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
    """The mean load by hour and weekday of the reader's clock: `role, weekday, hour, active_sessions`.

    Answers: when is it busy? `role` is "writer" through every failover, a reader by its name; weekday 0 is Monday.
    """
    totals = _by_role(classes, roles)
    clock = totals["time"].dt.tz_convert(zone(timezone))
    totals = totals.assign(weekday=clock.dt.day_of_week, hour=clock.dt.hour)
    return totals.groupby(["role", "weekday", "hour"])["active_sessions"].mean().reset_index()


def at_a_glance(
    classes: pd.DataFrame, roles: pd.Series, instances: pd.DataFrame, window: Window
) -> list[Sparkline]:
    """The load of each role over the window, held against its vCPUs."""
    totals = _by_role(classes, roles).rename(columns={"active_sessions": "value"})
    names = instances["instance"].where(instances["role"] != "writer", "writer")
    vcpus = instances.groupby(names)["vcpus"].last().dropna().to_dict()
    measure = "active sessions"
    return sparklines("db_load", totals.assign(measure=measure), {measure: "sessions"}, window, limits=vcpus)


def _by_role(classes: pd.DataFrame, roles: pd.Series) -> pd.DataFrame:
    """All classes together, by `role`: "writer" through every failover, a reader by its name."""
    rows = classes.assign(role=classes["instance"].where(roles != "writer", "writer"))
    return rows.groupby(["time", "role"])["active_sessions"].sum().reset_index()


def profile(classes: pd.DataFrame, instances: pd.DataFrame, window: Window) -> pd.DataFrame:
    """How loaded each instance was. Answers: were there more active sessions than vCPUs, and how often?

    `instance, role, vcpus, mean_sessions, p95_sessions, max_sessions, over_vcpus_pct` (share of the observed time
    [%]), `coverage` [0 to 1].
    """
    described = _described(instances)
    rows = [_loaded(instance, rows, described, window) for instance, rows in classes.groupby("instance")]
    columns = [
        "instance",
        "role",
        "vcpus",
        "mean_sessions",
        "p95_sessions",
        "max_sessions",
        "over_vcpus_pct",
        "coverage",
    ]
    return pd.DataFrame(rows, columns=columns)


def _described(instances: pd.DataFrame) -> dict[Hashable, tuple[str, float]]:
    """Each instance's roles in their order, and its vCPUs as last seen."""
    return {
        instance: (" → ".join(dict.fromkeys(seen["role"].dropna())), seen["vcpus"].ffill().iloc[-1])
        for instance, seen in instances.sort_values("time", kind="stable").groupby("instance")
    }


def _loaded(
    instance: Hashable, rows: pd.DataFrame, described: Mapping[Hashable, tuple[str, float]], window: Window
) -> tuple[Any, ...]:
    role, vcpus = described.get(instance, ("", np.nan))
    sessions = rows.groupby("time")["active_sessions"].sum()
    over = 100 * float((sessions > vcpus).mean()) if vcpus > 0 else np.nan
    coverage = window.coverage(pd.DatetimeIndex(sessions.index), float(rows["period_s"].median()))
    return (instance, role, vcpus, sessions.mean(), sessions.quantile(0.95), sessions.max(), over, coverage)


def shares(classes: pd.DataFrame) -> pd.DataFrame:
    """The share of each wait class in each instance's load [%]: one row an instance, most first."""
    totals = classes.groupby(["instance", "wait_class"])["active_sessions"].sum().unstack(fill_value=0)
    percent = 100 * totals.div(totals.sum(axis=1), axis=0)
    return percent[percent.mean().sort_values(ascending=False).index].rename_axis(columns=None)


def verdicts(
    classes: pd.DataFrame,
    profiles: pd.DataFrame,
    metrics: pd.DataFrame,
    *,
    watch_pct: float = 1.0,  # sessions outnumber vCPUs for a quarter of an hour a day
    act_pct: float = 5.0,  # … for more than an hour a day
    waiting_pct: float = 30.0,  # a class of waits that makes so much of the load decides the latency
    sessions: float = 1.0,  # … if at least one session is always in it
    coverage_needed: float = 0.5,
) -> list[Verdict]:
    """The bottleneck of each instance, most severe first; `no bottleneck` and `unknown` are answers, too.

    Rule: where sessions outnumber the vCPUs for `watch_pct` of the time, it is the class with the most load then; else
    a class of waits with at least `waiting_pct` of the load and `sessions`.
    """
    if classes.empty:
        sentence = "No db load in this window: nothing can be said of bottlenecks."
        return [
            Verdict(
                "db_load",
                "all instances",
                "unknown",
                "unknown",
                sentence,
                action=ACTIONS["unknown"],
                headline="Bottlenecks are unknown: no db load",
            )
        ]
    told = []
    for row in profiles.to_dict("records"):
        mine = classes[classes["instance"] == row["instance"]]
        level, severity, rule = _bottleneck(
            mine, row, watch_pct, act_pct, waiting_pct, sessions, coverage_needed
        )
        seen = metrics[metrics["instance"] == row["instance"]]
        told.append(_verdict(row, mine, level, severity, rule, seen))
    return by_severity(told)


def _bottleneck(
    mine: pd.DataFrame,
    row: Mapping[Hashable, Any],
    watch_pct: float,
    act_pct: float,
    waiting_pct: float,
    sessions: float,
    coverage_needed: float,
) -> tuple[str, Severity, str]:
    """Level, severity and the rule that held: the first of them."""
    if row["coverage"] < coverage_needed:
        return "unknown", "unknown", f"less than {100 * coverage_needed:.0f} % of the window was observed"
    if row["over_vcpus_pct"] >= watch_pct:
        total = mine.groupby("time")["active_sessions"].transform("sum")
        most = mine[total > row["vcpus"]].groupby("wait_class")["active_sessions"].sum().idxmax()
        severity: Severity = "act" if row["over_vcpus_pct"] >= act_pct else "watch"
        return str(most), severity, "most of the load while sessions outnumbered the vCPUs"
    waits = mine[~mine["wait_class"].isin(["CPU", "table access", OTHER, NOT_LISTED])]
    load = waits.groupby("wait_class")["active_sessions"].sum() / mine["time"].nunique()
    if load.max() >= max(sessions, waiting_pct / 100 * row["mean_sessions"]):
        return str(load.idxmax()), "watch", f"at least {waiting_pct:g} % of the load waits for it"
    return "no bottleneck", "ok", "sessions fit the vCPUs, and no class of waits decides the load"


def _verdict(
    row: Mapping[Hashable, Any],
    mine: pd.DataFrame,
    level: str,
    severity: Severity,
    rule: str,
    metrics: pd.DataFrame,
) -> Verdict:
    part = shares(mine).iloc[0].sort_values(ascending=False)
    mix = ", ".join(f"{share:.0f} % {name}" for name, share in part.head(3).items())
    sentence = (
        f"{row['instance']} ({row['role'] or 'role unknown'}): {row['mean_sessions']:.1f} active sessions on average, at "
        f"most {row['max_sessions']:.1f}, {_on_vcpus(row)}; {mix}. Rule: {rule}. {100 * row['coverage']:.0f} % of the "
        "window observed."
    )
    names = ["mean_sessions", "p95_sessions", "max_sessions", "over_vcpus_pct", "vcpus", "coverage"]
    numbers = {name: None if np.isnan(row[name]) else round(float(row[name]), 4) for name in names}
    evidence = f"the figure of active sessions{_p95s(metrics, EVIDENCE.get(level, EVIDENCE['CPU']))}"
    return Verdict(
        "db_load",
        str(row["instance"]),
        level,
        severity,
        sentence,
        numbers,
        evidence,
        ACTIONS[level],
        _headline(str(row["instance"]), level),
    )


def _headline(instance: str, level: str) -> str:
    if level == "unknown":
        return f"Unknown whether {instance} has a bottleneck"
    return (
        f"{instance} has no bottleneck"
        if level == "no bottleneck"
        else f"The bottleneck of {instance} is {level}"
    )


def _on_vcpus(row: Mapping[Hashable, Any]) -> str:
    if np.isnan(row["vcpus"]):
        return "on an unknown number of vCPUs"
    return f"on {row['vcpus']:g} vCPUs, above them in {row['over_vcpus_pct']:.1f} % of the time"


def _p95s(metrics: pd.DataFrame, names: tuple[str, ...]) -> str:
    """The 95th percentile of the minute means of each metric that is there."""
    seen = metrics[metrics["statistic"] == "average"].groupby("name")["value"].quantile(0.95)
    return "".join(
        f"; p95 of the minute means of {name}: {seen[name]:,.3g}" for name in names if name in seen
    )


def costs(slow_queries: pd.DataFrame, roles: pd.Series, window: Window) -> pd.DataFrame:
    """What the executions of each statement took, by instance, its role, and user; such sums add up over days.

    `executions, open_s` (inside the window [s]), `longest_s, query_time_s, rows_sent, rows_examined`.
    """
    start, end = pd.Timestamp(window.start), pd.Timestamp(window.end)
    until, since = slow_queries["ended_at"], slow_queries["started_at"]
    opened = until.where(until < end, end) - since.where(since > start, start)
    runs = slow_queries.assign(role=roles.fillna(""), open_s=opened.dt.total_seconds().clip(lower=0))
    grouped = runs.groupby(SPENDER, as_index=False, dropna=False).agg(
        executions=("open_s", "size"),
        open_s=("open_s", "sum"),
        longest_s=("query_time_s", "max"),
        query_time_s=("query_time_s", "sum"),
        rows_sent=("rows_sent", "sum"),
        rows_examined=("rows_examined", "sum"),
    )
    return grouped.astype(dict.fromkeys(grouped.select_dtypes("category"), str))


SPENDER = ["instance", "role", "user", "digest"]


def practices(
    costs: pd.DataFrame,
    profiles: pd.DataFrame,
    window: Window,
    *,
    bulk_rows: float = 100_000,  # no page and no dashboard shows so many: an extract
    long_s: float = 60.0,  # nobody waits so long in front of a screen
    wasted: float = 1000.0,  # rows examined for one row sent: an index or a summary is missing
) -> pd.DataFrame:
    """The bad practices that the slow log shows, and what they cost (`costs`), most first.

    `practice` is `bulk extract` (mean rows sent), or `long unoptimised query` (on a reader: mean duration, and rows
    examined for each row sent). One row a practice, user and instance: `executions, open_hours, longest_min,
    rows_sent, rows_examined` (means), `active_sessions` and their share of the instance's load [%].
    """
    sums = costs.groupby(SPENDER, as_index=False, dropna=False)
    grouped = sums.sum().assign(longest_s=sums["longest_s"].max()["longest_s"])
    means = ["rows_sent", "rows_examined", "query_time_s"]
    grouped[means] = grouped[means].div(grouped["executions"], axis=0)
    examined_in_vain = grouped["rows_examined"] / grouped["rows_sent"].clip(lower=1) >= wasted
    rules = {
        "bulk extract": grouped["rows_sent"] >= bulk_rows,
        "long unoptimised query": (grouped["role"] == "reader")
        & (grouped["query_time_s"] >= long_s)
        & examined_in_vain,
    }
    grouped["practice"] = np.select([rule.to_numpy(bool) for rule in rules.values()], list(rules), "")
    sessions = grouped["open_s"] / window.duration.total_seconds()
    load = grouped["instance"].map(profiles.set_index("instance")["mean_sessions"]).astype(float)
    found = grouped.assign(
        open_hours=grouped["open_s"] / 3600,
        longest_min=grouped["longest_s"] / 60,
        active_sessions=sessions,
        load_pct=100 * sessions / load,
    )
    columns = ["practice", "user", "instance", "role", "digest", "executions", "open_hours", "longest_min"]
    columns += ["rows_sent", "rows_examined", "active_sessions", "load_pct"]
    ordered = found[found["practice"] != ""].sort_values("open_hours", ascending=False, ignore_index=True)
    return ordered[columns]


def practice_verdicts(
    found: pd.DataFrame,
    *,
    watch_pct: float = 10.0,  # a share of an instance's load that others could have had
    most: int = 5,
) -> list[Verdict]:
    """One verdict a practice and user, the costliest first, at most so many."""
    groups = found.groupby(["user", "practice"], sort=False)
    return [_practice(str(user), str(name), rows, watch_pct) for (user, name), rows in groups][:most]


PRACTICE_ACTIONS = {
    "bulk extract": "Take the rows from a clone, a snapshot export or a replica made for it, in portions by key.",
    "long unoptimised query": "Look at its plan: an index, a summary table, or a narrower range.",
}


def _practice(user: str, practice: str, rows: pd.DataFrame, watch_pct: float) -> Verdict:
    executions, hours = int(rows["executions"].sum()), rows["open_hours"].sum()
    heaviest = rows.sort_values("load_pct", ascending=False).iloc[0]
    each = np.average(rows[["rows_examined", "rows_sent"]], axis=0, weights=rows["executions"])
    share = heaviest["load_pct"]
    cost = "" if np.isnan(share) else f"; {share:.0f} % of the load of {heaviest['instance']}"
    sentence = (
        f"{user}: {executions} × {practice} on {', '.join(sorted(set(rows['instance'])))}, open for {hours:.1f} hours "
        f"in all and {rows['longest_min'].max():.0f} minutes at most, {each[0]:,.0f} rows examined and {each[1]:,.0f} sent "
        f"on average{cost}. While a statement is open, its read view may hold purge."
    )
    numbers = {"executions": executions, "open_hours": round(float(hours), 2)}
    severity: Severity = "unknown" if np.isnan(share) else "watch" if share >= watch_pct else "ok"
    evidence = "the table of practices; reader_impact tells whether it slowed the writer"
    action = PRACTICE_ACTIONS[practice]
    return Verdict(
        "db_load",
        user,
        practice,
        severity,
        sentence,
        numbers,
        evidence,
        action,
        f"{user} ran {executions} × {practice}",
    )
