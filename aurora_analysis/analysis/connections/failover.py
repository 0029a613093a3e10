"""What a failover would do to custom endpoints: whose queries would land on the writer, and which would find no instance."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
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
class _Reader:
    """A reader as it is at the end of the window; endpoints are None if unknown."""

    candidate: Candidate
    endpoints: tuple[str, ...] | None
    as_writer: tuple[str, ...] | None


def endpoint_history(instances: pd.DataFrame) -> pd.DataFrame:
    """List each instance's role, promotion tier and endpoints from a moment on.

    Parameters
    ----------
    instances : DataFrame
        Rows of the table `instances`.

    Returns
    -------
    DataFrame
        `time` (UTC), `instance, role, promotion_tier, custom_endpoints, endpoints_as_writer`; one row per change.
    """
    columns = ["instance", "role", "promotion_tier", "custom_endpoints", "endpoints_as_writer"]
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
    writers = latest[latest["role"] == "writer"]
    readers = [_reader(row) for row in latest[latest["role"] == "reader"].to_dict("records")]
    known = [each for each in readers if each.candidate.tier is not None]
    if len(writers) != 1 or not readers:
        return []
    writer = str(writers["instance"].iloc[0])
    if not known:
        return [_unknown(writer, "the promotion tiers of its readers were not recorded")]
    first = first_in_line([each.candidate for each in known])
    chosen = [each for each in known if each.candidate.name in first]
    judged = [_judged(writer, each, chosen, known, users) for each in chosen]
    serving = _names(writers["custom_endpoints"].iloc[0])
    return [*([_on_writer(writer, serving, users)] if serving else []), *judged]


def _reader(row: Mapping[Hashable, Any]) -> _Reader:
    tier, size = (None if pd.isna(row[name]) else float(row[name]) for name in ("promotion_tier", "vcpus"))
    candidate = Candidate(str(row["instance"]), tier, size)
    return _Reader(candidate, _names(row["custom_endpoints"]), _names(row["endpoints_as_writer"]))


def _names(text: object) -> tuple[str, ...] | None:
    if not isinstance(text, str):
        return None
    return tuple(text.split(", ")) if text else ()


def _judged(
    writer: str, each: _Reader, chosen: Sequence[_Reader], readers: Sequence[_Reader], users: pd.DataFrame
) -> Verdict:
    name = each.candidate.name
    or_another = (
        ""
        if len(chosen) == 1
        else f" (or {', '.join(one.candidate.name for one in chosen if one is not each)})"
    )
    would = f"If {writer} failed now, {name}{or_another} would become the writer"
    if each.endpoints is None or each.as_writer is None:
        return _unknown(
            writer,
            f"{name} would become the writer, but whether custom endpoints lead to it was not recorded",
        )
    if each.as_writer:
        served = ", ".join(each.as_writer)
        return _verdict(
            name,
            ("endpoint on the next writer", "watch"),
            f"{would}, and the queries of custom endpoint {served} would run on it{_by(name, users)}. {_suggested(readers)}",
            _tiers_action(readers, each),
            f"If the writer failed now, {name}, which serves {served}, would become the writer",
        )
    left = [one for one in each.endpoints if len(chosen) == 1 and not _is_served(one, each, readers)]
    if left:
        return _verdict(
            name,
            ("endpoint without an instance", "watch"),
            f"{would}, and custom endpoint {', '.join(left)} would lead to no instance{_by(name, users)}. {_suggested(readers)}",
            _tiers_action(readers, each),
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


def _unknown(writer: str, reason: str) -> Verdict:
    sentence = f"If {writer} failed now, it is unknown which queries would land on the new writer: {reason}."
    action = "Fetch the cluster again (aurora-analysis fetch), with rds:DescribeDBClusterEndpoints permitted."
    return _verdict(
        writer,
        ("unknown", "unknown"),
        sentence,
        action,
        f"Unknown what a failover of {writer} would bring to the new writer",
    )


def _on_writer(writer: str, endpoints: Sequence[str], users: pd.DataFrame) -> Verdict:
    served = ", ".join(endpoints)
    return _verdict(
        writer,
        ("endpoint on the writer", "watch"),
        f"Custom endpoint {served} leads to {writer}, the writer{_by(writer, users)}.",
        "; ".join(READER_ONLY.format(name) for name in endpoints)
        + " (unless it is meant to lead to the writer).",
        f"Custom endpoint {served} leads to the writer, {writer}",
    )


def _is_served(endpoint: str, leaving: _Reader, readers: Sequence[_Reader]) -> bool:
    """Return whether an endpoint has another reader."""
    return any(endpoint in (each.endpoints or ()) for each in readers if each is not leaving)


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


def _tiers(readers: Sequence[_Reader]) -> dict[str, int]:
    """Suggest tiers: readers that no endpoint follows to the writer first, the others last; none if there is no such reader."""
    safe = [each for each in readers if each.as_writer == () and _leaves_none(each, readers)]
    if not safe:
        return {}
    return {each.candidate.name: 0 if each in safe else LAST_TIER for each in readers}


def _leaves_none(each: _Reader, readers: Sequence[_Reader]) -> bool:
    return all(_is_served(endpoint, each, readers) for endpoint in each.endpoints or ())


def _suggested(readers: Sequence[_Reader]) -> str:
    tiers = _tiers(readers)
    if not tiers:
        return "No reader could take over without this."
    return f"Suggested promotion tiers: {', '.join(f'{name} {tier}' for name, tier in tiers.items())}."


def _tiers_action(readers: Sequence[_Reader], each: _Reader) -> str:
    present = {one.candidate.name: one.candidate.tier for one in readers}
    changed = {name: tier for name, tier in _tiers(readers).items() if present[name] != tier}
    if changed:
        return "; ".join(MODIFY.format(name, tier) for name, tier in changed.items())
    if each.as_writer:
        return (
            "; ".join(READER_ONLY.format(name) for name in each.as_writer)
            + "; or add a reader outside of the endpoint."
        )
    return "Add a reader to the endpoint, or one outside of it with promotion tier 0."
