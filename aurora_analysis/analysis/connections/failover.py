"""Predict a failover's effect on custom endpoints: whose queries would land on the writer, and which find no instance."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from aurora_analysis.analysis.verdict import Figure, Severity, Verdict, three_digits
from aurora_analysis.engines.failover_order import LAST_TIER, Candidate, first_in_line

TOPIC = "connections"

MODIFY = "aws rds modify-db-instance --db-instance-identifier {} --promotion-tier {} --apply-immediately"

READER_ONLY = "aws rds modify-db-cluster-endpoint --db-cluster-endpoint-identifier {} --endpoint-type READER"  # drops the new writer

MOST_USERS = 2
"""Number of users that a sentence names."""


@dataclass(frozen=True)
class _Instance:
    """An instance as it is at the end of the window, and its endpoints in each role; None if unknown."""

    candidate: Candidate
    as_writer: tuple[str, ...] | None
    as_reader: tuple[str, ...] | None

    @property
    def name(self) -> str:
        """Name of the instance."""
        return self.candidate.name


@dataclass(frozen=True)
class _Cluster:
    """The writer, the readers whose tiers are known, and the load by user."""

    writer: _Instance
    readers: tuple[_Instance, ...]
    users: pd.DataFrame

    def next_writers(self) -> list[_Instance]:
        """Return the readers that a failover may promote."""
        first = first_in_line([each.candidate for each in self.readers])
        return [each for each in self.readers if each.name in first]

    def left_empty(self, each: _Instance) -> list[str]:
        """Return the endpoints that would lead to no instance if this reader were promoted and the writer came back."""
        others = [one.as_reader or () for one in (self.writer, *self.readers) if one is not each]
        served = {name for names in (each.as_writer or (), *others) for name in names}
        return [name for name in each.as_reader or () if name not in served]

    def suggested_tiers(self) -> dict[str, int]:
        """Return tier 0 for readers whose promotion touches no endpoint, and the last for others; none without the first."""
        safe = [each.name for each in self.readers if each.as_writer == () and not self.left_empty(each)]
        return {each.name: 0 if each.name in safe else LAST_TIER for each in self.readers} if safe else {}


def endpoint_history(instances: pd.DataFrame) -> pd.DataFrame:
    """List each instance's role, promotion tier and endpoints from a moment on.

    Parameters
    ----------
    instances : DataFrame
        Rows of the table `instances`.

    Returns
    -------
    DataFrame
        `time` (UTC), `instance, role, promotion_tier, custom_endpoints`; one row per change.
    """
    columns = ["instance", "role", "promotion_tier", "custom_endpoints"]
    rows = instances.sort_values(["instance", "time"], kind="stable")[["time", *columns]]
    values = rows[columns].astype(object).where(rows[columns].notna(), None)
    return rows[(values != values.shift()).any(axis=1)].reset_index(drop=True)


def failover_verdicts(instances: pd.DataFrame, users: pd.DataFrame) -> list[Verdict]:
    """Judge what would happen to custom endpoints if the writer failed at the end of the window.

    Parameters
    ----------
    instances : DataFrame
        Rows of the table `instances`, with the state of each instance at the window's start.
    users : DataFrame
        Load by user: `instance, member, active_sessions` (means of the window [sessions]).

    Returns
    -------
    list of Verdict
        None for a cluster without Aurora's failover or without a reader. Otherwise, one verdict for each candidate: `watch` if
        endpoints would lead to the new writer or lose their last instance, `ok` if not, and `unknown` if tiers or endpoints are
        unknown; one more if an endpoint leads to the present writer.
    """
    latest = instances.sort_values("time", kind="stable").groupby("instance", as_index=False).tail(1)
    latest = latest[latest["engine"].astype(str).str.startswith("aurora")]
    writers, readers = (
        [_instance(row) for row in latest[latest["role"] == role].to_dict("records")]
        for role in ("writer", "reader")
    )
    if len(writers) != 1 or not readers:
        return []
    known = tuple(each for each in readers if each.candidate.tier is not None)
    cluster = _Cluster(writers[0], known, users)
    if not known:
        return [_unknown(cluster, "the promotion tiers of its readers were not recorded")]
    judged = [_judged(cluster, each) for each in cluster.next_writers()]
    return [*([_on_writer(cluster)] if cluster.writer.as_writer else []), *judged]


def _instance(row: Mapping[Hashable, Any]) -> _Instance:
    tier, size = (None if pd.isna(row[name]) else float(row[name]) for name in ("promotion_tier", "vcpus"))
    candidate = Candidate(str(row["instance"]), tier, size)
    return _Instance(candidate, _names(row["endpoints_as_writer"]), _names(row["endpoints_as_reader"]))


def _names(text: object) -> tuple[str, ...] | None:
    if not isinstance(text, str):
        return None
    return tuple(text.split(", ")) if text else ()


def _judged(cluster: _Cluster, each: _Instance) -> Verdict:
    name, others = each.name, [one.name for one in cluster.next_writers() if one is not each]
    or_another = f" (or {', '.join(others)})" if others else ""
    would = f"If {cluster.writer.name} failed now, {name}{or_another} would become the writer"
    if each.as_writer is None or each.as_reader is None:
        reason = f"{name} would become the writer, but whether custom endpoints lead to it was not recorded"
        return _unknown(cluster, reason)
    if each.as_writer:
        served = ", ".join(each.as_writer)
        return _verdict(
            name,
            ("endpoint on the next writer", "watch"),
            f"{would}, and the queries of custom endpoint {served} would run on it{_by(name, cluster.users)}. "
            f"{_suggested(cluster)}",
            _tiers_action(cluster, each),
            f"If the writer failed now, {name}, which serves {served}, would become the writer",
        )
    if left := cluster.left_empty(each):
        return _verdict(
            name,
            ("endpoint without an instance", "watch"),
            f"{would}, and custom endpoint {', '.join(left)} would lead to no instance{_by(name, cluster.users)}. "
            f"{_suggested(cluster)}",
            _tiers_action(cluster, each),
            f"If the writer failed now, {', '.join(left)} would lead to no instance",
        )
    return _verdict(
        name,
        ("endpoints stay off the writer", "ok"),
        f"{would}; no custom endpoint would lead to it.",
        "Nothing to do.",
        f"A failover would keep custom endpoints off the writer ({name} is next)",
    )


def _verdict(
    subject: str, result: tuple[str, Severity], sentence: str, action: str, headline: str
) -> Verdict:
    numbers: dict[str, Figure] = {}
    return Verdict(
        TOPIC,
        subject,
        *result,
        sentence,
        numbers,
        "the table of roles, tiers and endpoints",
        action,
        headline,
    )


def _unknown(cluster: _Cluster, reason: str) -> Verdict:
    writer = cluster.writer.name
    sentence = f"If {writer} failed now, it is unknown which queries would land on the new writer: {reason}."
    action = "Fetch the cluster again (aurora-analysis fetch), with rds:DescribeDBClusterEndpoints permitted."
    headline = f"Unknown what a failover of {writer} would bring to the new writer"
    return _verdict(writer, ("unknown", "unknown"), sentence, action, headline)


def _on_writer(cluster: _Cluster) -> Verdict:
    name, endpoints = cluster.writer.name, cluster.writer.as_writer or ()
    served = ", ".join(endpoints)
    return _verdict(
        name,
        ("endpoint on the writer", "watch"),
        f"Custom endpoint {served} leads to {name}, the writer{_by(name, cluster.users)}.",
        "; ".join(READER_ONLY.format(each) for each in endpoints)
        + " (unless it is meant to lead to the writer).",
        f"Custom endpoint {served} leads to the writer, {name}",
    )


def _by(instance: str, users: pd.DataFrame) -> str:
    """Name the users with most load on an instance; the service does not record which endpoint a query came by."""
    own = users[
        (users["instance"] == instance) & (users["active_sessions"] > 0) & (users["member"] != "(other)")
    ]
    most = own.sort_values("active_sessions", ascending=False).head(MOST_USERS)
    if most.empty:
        return ""
    named = " and ".join(
        f"{user} ({three_digits(sessions)} active sessions on average)"
        for user, sessions in zip(most["member"], most["active_sessions"])
    )
    return f"; most load on {instance} is that of {named}"


def _suggested(cluster: _Cluster) -> str:
    tiers = cluster.suggested_tiers()
    if not tiers:
        return "No reader could take over without this."
    return f"Suggested promotion tiers: {', '.join(f'{name} {tier}' for name, tier in tiers.items())}."


def _tiers_action(cluster: _Cluster, each: _Instance) -> str:
    present = {one.name: one.candidate.tier for one in cluster.readers}
    changed = {name: tier for name, tier in cluster.suggested_tiers().items() if present[name] != tier}
    if changed:
        commands = "; ".join(MODIFY.format(name, tier) for name, tier in changed.items())
        return f"Change the promotion tier of {' and '.join(changed)}: {commands}"
    if each.as_writer:
        commands = "; ".join(READER_ONLY.format(name) for name in each.as_writer)
        return f"{commands}; or add a reader outside of the endpoint."
    return "Add a reader to the endpoint, or one outside of it with promotion tier 0."
