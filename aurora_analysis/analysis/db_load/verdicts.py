"""Verdicts on db load: the bottleneck of each instance."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis.analysis.db_load.capacity import ACUS_PER_VCPU, CLASS, SAMPLED, SYSTEM
from aurora_analysis.analysis.db_load.load import NOT_LISTED, OTHER, shares
from aurora_analysis.analysis.verdict import Severity, Verdict, by_severity
from aurora_analysis.glossary import METRICS

EVIDENCE: dict[str, tuple[str, ...]] = {
    "CPU": ("cpu_utilization", "query_throughput", "rows_read", "serverless_capacity", "acu_utilization"),
    "row locks": ("row_lock_waits", "row_lock_time", "blocked_transactions", "deadlocks"),
    "metadata locks": ("ddl_latency",),
    "commit path": ("commit_latency", "commit_throughput", "os_storage_write_latency"),
    "buffer misses": (
        "buffer_cache_hit_ratio",
        "buffer_pool_reads",
        "storage_throughput",
        "os_storage_read_latency",
        "freeable_memory",
    ),
    "client not reading": ("network_transmit",),
    "connections": ("connections",),
    "undo and transactions": ("history_list_length", "active_transactions", "rows_changed"),
    "table access": ("rows_read", "temporary_disk_tables", "os_local_used"),
    "recovery conflicts": ("replica_lag",),
    "relation locks": ("blocked_transactions",),
    "bloat and buffers": ("dead_rows", "xmin_horizon_age", "buffer_cache_hit_ratio"),
    "vacuum": ("dead_rows", "xmin_horizon_age"),
    "snapshots and transactions": ("xmin_horizon_age", "active_transactions"),
    "client idle": ("connections",),
    "parallel query": ("cpu_utilization",),
}
"""Wait class → the metrics that should show the same bottleneck."""

EVIDENCE_METRICS = sorted({name for names in EVIDENCE.values() for name in names})
"""All metrics of `EVIDENCE`."""

ACTIONS = {
    "CPU": "Look at the statements with the most load: an index, fewer calls, or a larger instance class.",
    "row locks": "Shorten the transactions that touch the same rows: commit sooner, and lock rows in one order.",
    "metadata locks": "Find the DDL or the idle transaction that holds the table; run DDL at quiet hours.",
    "commit path": "Commit more rows per transaction; look at the binlog and at storage write latency.",
    "buffer misses": "Find the statements that scan; keep bulk reads off this instance, or give it more memory.",
    "client not reading": "The client reads rows more slowly than the server finds them: fetch in portions, from nearer "
    "by, or from another instance.",
    "connections": "Pool connections (RDS Proxy, or a pool in the application) instead of opening new ones.",
    "undo and transactions": "See the notebook undo_log: which session held the read view?",
    "table access": "Look at the statements with the most rows examined.",
    "recovery conflicts": "Replay waits for this reader's queries: shorten them, or move them to a clone (see undo_log).",
    "relation locks": "Find the DDL or the idle transaction that holds the table; run DDL at quiet hours.",
    "bloat and buffers": "See the notebook undo_log: which session kept vacuum from removing dead rows?",
    "vacuum": "See the notebook undo_log: does vacuum keep up, and which tables trail?",
    "snapshots and transactions": "See the notebook undo_log: which session held the snapshot? Look for subtransactions as well.",
    "client idle": "Sessions wait for their clients inside a transaction: end transactions sooner.",
    "parallel query": "Lower max_parallel_workers_per_gather for statements that run often.",
    OTHER: "Look the event up in the Aurora user guide or in the server's documentation: it has no class here yet.",
    NOT_LISTED: "Fetch with more members, or look at the live server.",
    "no bottleneck": "Nothing to do.",
    "unknown": "Turn on Performance Insights, or fetch its data.",
}
"""Level → first action."""

NO_VCPUS = "the number of vCPUs is unknown, so whether the sessions fit them is unknown"
NO_VCPUS_ACTION = (
    "Fetch the instance class, or the number of vCPUs from Performance Insights (os.general.numVCPUs) or Enhanced "
    "Monitoring; a db.serverless instance has no fixed number and needs its capacity (CloudWatch: "
    "ServerlessDatabaseCapacity, in ACU)."
)


@dataclass(frozen=True)
class Thresholds:
    """Limits beyond which load counts as a bottleneck.

    Parameters
    ----------
    watch_pct, act_pct : float
        Share of the time in which sessions outnumber the vCPUs, for `watch` and for `act` [%]: 1 % is a quarter of an
        hour a day, 5 % more than an hour.
    waiting_pct : float
        A class of waits with at least this share of the load is the bottleneck [%] …
    sessions : float
        … if on average at least this many sessions wait for it.
    coverage_needed : float
        Below this observed share of the window the verdict is `unknown` [0 to 1].
    """

    watch_pct: float = 1.0
    act_pct: float = 5.0
    waiting_pct: float = 30.0
    sessions: float = 1.0
    coverage_needed: float = 0.5


@dataclass(frozen=True)
class _Bottleneck:
    """Level and severity, with the rule that decided them."""

    level: str
    severity: Severity
    rule: str
    action: str = ""
    headline: str = ""


def verdicts(
    classes: pd.DataFrame,
    profiles: pd.DataFrame,
    metrics: pd.DataFrame,
    thresholds: Thresholds = Thresholds(),
) -> list[Verdict]:
    """Name the bottleneck of each instance.

    If sessions outnumber the vCPUs for at least `watch_pct` of the time, the bottleneck is the class with the most load in
    that time. Otherwise it is a class of waits with at least `waiting_pct` of the load and `sessions` sessions; the events
    without a class count as one, and the verdict names the largest of them. `no bottleneck` needs a known number of vCPUs,
    and a load of which less than `waiting_pct` is in no listed event.

    Parameters
    ----------
    classes : DataFrame
        The result of `by_class`.
    profiles : DataFrame
        The result of `profile`.
    metrics : DataFrame
        Rows of the table `metrics` whose name is in `EVIDENCE_METRICS`; they are quoted as evidence.
    thresholds : Thresholds
        Limits beyond which load counts as a bottleneck.

    Returns
    -------
    list of Verdict
        One per instance, most severe first; the level is a wait class, `no bottleneck` or `unknown`. A single `unknown`
        verdict if there is no db load.
    """
    if classes.empty:
        return [_no_load()]
    return by_severity(
        [
            _verdict(
                row,
                classes[classes["instance"] == row["instance"]],
                metrics[metrics["instance"] == row["instance"]],
                thresholds,
            )
            for row in profiles.to_dict("records")
        ]
    )


def _no_load() -> Verdict:
    return Verdict(
        "db_load",
        "all instances",
        "unknown",
        "unknown",
        "No db load in this window, so bottlenecks are unknown.",
        action=ACTIONS["unknown"],
        headline="Bottlenecks are unknown: no db load",
    )


def _bottleneck(classes: pd.DataFrame, row: Mapping[Hashable, Any], thresholds: Thresholds) -> _Bottleneck:
    """The first rule that holds for one instance; `row` is its row of `profile`."""
    if not row["coverage"] >= thresholds.coverage_needed or np.isnan(row["mean_sessions"]):
        needed = f"less than {100 * thresholds.coverage_needed:.0f} % of the window was observed"
        return _unknown(needed, row)
    if row["over_vcpus_pct"] >= thresholds.watch_pct:
        return _crowded(classes, row, thresholds)
    load = classes.groupby("wait_class")["active_sessions"].sum() / classes["time"].nunique()
    much = max(thresholds.sessions, thresholds.waiting_pct / 100 * row["mean_sessions"])
    waits = load.drop(["CPU", "table access", OTHER, NOT_LISTED], errors="ignore")
    if waits.max() >= much:
        rule = f"at least {thresholds.waiting_pct:g} % of the load waits for it"
        return _Bottleneck(str(waits.idxmax()), "watch", rule)
    if load.get(OTHER, 0.0) >= much:
        event = _event(classes)
        rule = f"{load[OTHER]:.1f} of {row['mean_sessions']:.1f} sessions wait for events without a class, mostly {event}"
        return _Bottleneck(OTHER, "watch", rule, headline=_unclassified(row, event))
    if load.get(NOT_LISTED, 0.0) >= much:
        return _unknown(
            f"{load[NOT_LISTED]:.1f} of {row['mean_sessions']:.1f} sessions are in no listed wait event",
            row,
            ACTIONS[NOT_LISTED],
        )
    if np.isnan(row["over_vcpus_pct"]):
        return _unknown(NO_VCPUS, row, NO_VCPUS_ACTION)
    return _Bottleneck(
        "no bottleneck", "ok", "sessions seldom outnumber the vCPUs, and no class of waits dominates the load"
    )


def _crowded(classes: pd.DataFrame, row: Mapping[Hashable, Any], thresholds: Thresholds) -> _Bottleneck:
    """The class with the most load while sessions outnumbered the vCPUs."""
    total = classes.groupby("time")["active_sessions"].transform("sum")
    crowded = classes[total > classes["vcpus"]].groupby("wait_class")["active_sessions"].sum()
    level = str(crowded.idxmax())
    severity: Severity = "act" if row["over_vcpus_pct"] >= thresholds.act_pct else "watch"
    rule = "most of the load while sessions outnumbered the vCPUs"
    if level != OTHER:
        return _Bottleneck(level, severity, rule)
    event = _event(classes)
    return _Bottleneck(level, severity, f"{rule}, mostly {event}", headline=_unclassified(row, event))


def _unknown(reason: str, row: Mapping[Hashable, Any], action: str = ACTIONS["unknown"]) -> _Bottleneck:
    return _Bottleneck(
        "unknown", "unknown", reason, action, f"Unknown whether {row['instance']} has a bottleneck"
    )


def _event(classes: pd.DataFrame) -> str:
    """The largest wait event without a class."""
    return str(classes.loc[classes["wait_class"] == OTHER, "event"].iloc[0])


def _unclassified(row: Mapping[Hashable, Any], event: str) -> str:
    return f"Sessions on {row['instance']} wait for {event}, which has no class yet"


def _verdict(
    row: Mapping[Hashable, Any], classes: pd.DataFrame, metrics: pd.DataFrame, thresholds: Thresholds
) -> Verdict:
    found = _bottleneck(classes, row, thresholds)
    names = ["mean_sessions", "p95_sessions", "max_sessions", "over_vcpus_pct", "vcpus", "coverage"]
    evidence = _p95s(metrics, EVIDENCE.get(found.level, EVIDENCE["CPU"]))
    return Verdict(
        "db_load",
        str(row["instance"]),
        found.level,
        found.severity,
        _sentence(row, classes, found.rule),
        {name: None if np.isnan(row[name]) else round(float(row[name]), 4) for name in names},
        f"the figure of active sessions{evidence}",
        found.action or ACTIONS[found.level],
        found.headline or _headline(str(row["instance"]), found.level),
    )


def _sentence(row: Mapping[Hashable, Any], classes: pd.DataFrame, rule: str) -> str:
    part = shares(classes).iloc[0].dropna().sort_values(ascending=False)
    largest = ", ".join(f"{share:.0f} % {name}" for name, share in part.head(3).items())
    mix = f"the load is {largest}" if largest else "no load observed"
    return (
        f"{row['instance']} ({row['role'] or 'role unknown'}): {row['mean_sessions']:.1f} active sessions on average, at "
        f"most {row['max_sessions']:.1f}, {_on_vcpus(row)}; {mix}. Rule: {rule}. {100 * row['coverage']:.0f} % of the "
        "window was observed."
    )


def _headline(instance: str, level: str) -> str:
    if level == "no bottleneck":
        return f"{instance} has no bottleneck"
    return f"The bottleneck of {instance} is {level}"


def _on_vcpus(row: Mapping[Hashable, Any]) -> str:
    if np.isnan(row["vcpus"]):
        return "on an unknown number of vCPUs"
    known = {
        CLASS: f"{row['vcpus']:g} vCPUs",
        SAMPLED: f"{row['vcpus']:g} vCPUs (counted by Performance Insights)",
        SYSTEM: f"{row['vcpus']:g} vCPUs (counted by the operating system)",
    }
    estimated = (
        f"about {row['vcpus']:.3g} vCPUs (median; estimated from its ACUs, {ACUS_PER_VCPU:g} a vCPU, because AWS publishes "
        "no conversion)"
    )
    return f"on {known.get(row['vcpus_from'], estimated)}, more sessions than vCPUs {row['over_vcpus_pct']:.1f} % of the time"


def _p95s(metrics: pd.DataFrame, names: tuple[str, ...]) -> str:
    """The 95th percentile of the minute means of each metric that has data."""
    p95 = metrics[metrics["statistic"] == "average"].groupby("name")["value"].quantile(0.95)
    return "".join(
        f"; p95 of the minute means of {name}: {p95[name]:,.3g} {METRICS[name].unit}"
        for name in names
        if name in p95
    )
