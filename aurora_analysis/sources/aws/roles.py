"""Roles of a cluster's instances: who was the writer when, from events, CloudWatch and RDS's present state.

RDS states the present roles only. Its events reach 14 days back. Before that, CloudWatch identifies the writer by a
metric that only a writer publishes (see `cloudwatch.presence`).
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_Events.Messages.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.sources.aws.rds import Instance, Topology, remembered, vcpus
from aurora_analysis.window import Window

FAILOVER = re.compile(
    r"(?P<what>Started (?:same|cross) AZ failover|Completed failover) to DB instance:?\s*(?P<name>[\w-]+)"
    r"|(?P<again>Promoting previous primary again):?\s*(?P<previous>[\w-]+)"
)


@dataclass(frozen=True)
class Change:
    """The writer from `time` on; None if there was none or it is unknown."""

    time: datetime
    writer: str | None


def failovers(rows: pd.DataFrame) -> list[Change]:
    """Read changes of the writer from events. Between start and completion of a failover there is no writer."""
    changes = []
    ordered = rows.sort_values("time", kind="stable")
    for time, message in zip(ordered["time"], ordered["message"]):
        if found := FAILOVER.search(message):
            begun = (found["what"] or "").startswith("Started")
            writer = None if begun else found["name"] or found["previous"]
            changes.append(Change(time.to_pydatetime(), writer))
    return changes


def writers_in_cloudwatch(presence: pd.DataFrame) -> list[Change]:
    """Read changes of the writer from the metric that only a writer publishes (`cloudwatch.presence`).

    A period in which two instances published it contains the failover. It has no writer, because the period does not
    show the moment.
    """
    writers = (
        presence[presence["writer"]].drop_duplicates(["time", "instance"]).sort_values("time", kind="stable")
    )
    alone = ~writers.duplicated("time", keep=False)
    names = writers["instance"].astype(object).where(alone, None).to_numpy()
    is_change = np.append(True, names[1:] != names[:-1])[: len(names)]
    times = pd.DatetimeIndex(writers["time"])[is_change]
    return [Change(time.to_pydatetime(), name) for time, name in zip(times, names[is_change])]


def writers(
    from_events: Sequence[Change],
    from_cloudwatch: Sequence[Change],
    now: Change,
    window: Window,
    events_since: datetime,
) -> list[Change]:
    """Return the changes of the writer in a window, beginning at its start.

    Events are complete from `events_since` on; CloudWatch serves for earlier times. The writer before the first event
    is the last one in CloudWatch, or the present writer if there is no event.

    Parameters
    ----------
    from_events : sequence of Change
        Failovers according to RDS's events.
    from_cloudwatch : sequence of Change
        Changes according to the writer's metric.
    now : Change
        The present writer according to RDS.
    window : Window
        The window of the result.
    events_since : datetime
        Start of the time that RDS's events cover.

    Returns
    -------
    list of Change
        In order of time; the first is at the window's start.
    """
    floor = max(window.start, events_since)
    early = [change for change in from_cloudwatch if change.time < floor]
    late = [change for change in from_events if floor < change.time < window.end]
    at_floor = (
        [Change(floor, _writer_at(floor, from_events, from_cloudwatch, now))] if floor < window.end else []
    )
    return _settled([*early, *at_floor, *late], window.start)


def _writer_at(
    moment: datetime, from_events: Sequence[Change], from_cloudwatch: Sequence[Change], now: Change
) -> str | None:
    """Return the writer at a moment after which the events are complete."""
    earlier = [change for change in from_events if change.time <= moment]
    if earlier:
        return earlier[-1].writer
    later = [change for change in from_events if change.time > moment]
    if not later:
        return now.writer
    known = [change.writer for change in from_cloudwatch if change.time < later[0].time and change.writer]
    return known[-1] if known else None


def _settled(changes: Sequence[Change], start: datetime) -> list[Change]:
    """Keep only real changes of the writer, from the start on, in order."""
    before = [change for change in changes if change.time <= start]
    settled = [Change(start, before[-1].writer if before else None)]
    for change in changes:
        if change.time > start and change.writer != settled[-1].writer:
            settled.append(change)
    return settled


def instances(topology: Topology, changes: Sequence[Change], window: Window) -> pd.DataFrame:
    """Return rows of table `instances`: one at the window's start (or creation), and one at each change of role."""
    rows = [row for each in topology.instances for row in _lifetime(each, topology, changes, window)]
    frame = pd.DataFrame(rows, columns=["time", *COLUMNS])
    return frame.astype({"time": "datetime64[us, UTC]", **REALS}).sort_values(["time", "instance"])


COLUMNS = [
    "instance", "resource_id", "role", "instance_class", "vcpus", "engine", "engine_version",
    "long_query_time_s", "min_examined_row_limit", "isolation_level", "pi_retention_days",
    "slow_query_log", "log_output", "read_committed_on_readers", "purge_threads", "promotion_tier",
    "custom_endpoints", "endpoints_as_writer", "endpoints_as_reader", "monitoring_interval_s", "insights_mode", "storage_type",
]  # fmt: skip
REALS = dict.fromkeys(("vcpus", "long_query_time_s", "pi_retention_days", "monitoring_interval_s"), "float64")
REALS |= dict.fromkeys(("min_examined_row_limit", "purge_threads", "promotion_tier"), "Int64")
REALS |= dict.fromkeys(("slow_query_log", "read_committed_on_readers"), "boolean")


def _lifetime(
    each: Instance, topology: Topology, changes: Sequence[Change], window: Window
) -> list[dict[str, object]]:
    born = max(window.start, each.created_at) if each.created_at else window.start
    if born >= window.end:
        return []
    moments = [born, *(change.time for change in changes if change.time > born)]
    rows: list[dict[str, object]] = []
    for moment in moments:
        role = role_at(each.name, changes, moment)
        if not rows or rows[-1]["role"] != role:
            rows.append({"time": moment, **_attributes(each, topology), "role": role})
    return rows


def role_at(name: str, changes: Sequence[Change], moment: datetime) -> str | None:
    """Return `writer`, `reader`, or None if unknown.

    Between two writers only these two are in doubt; every other instance is a reader.
    """
    at = max((n for n, change in enumerate(changes) if change.time <= moment), default=None)
    if at is None:
        return None
    if changes[at].writer is not None:
        return "writer" if changes[at].writer == name else "reader"
    known = at > 0 and at + 1 < len(changes)
    in_doubt = {changes[n].writer for n in (at - 1, at + 1) if 0 <= n < len(changes)}
    return "reader" if known and name not in in_doubt else None


def _attributes(each: Instance, topology: Topology) -> dict[str, object]:
    return {
        "instance": each.name,
        "resource_id": each.resource_id or None,
        "instance_class": each.instance_class or None,
        "vcpus": vcpus(each.instance_class),
        "engine": each.engine or None,
        "engine_version": each.engine_version or None,
        "pi_retention_days": float(each.pi_retention_days),
        "promotion_tier": each.promotion_tier,
        "custom_endpoints": _named(each.custom_endpoints, each, topology),
        "endpoints_as_writer": _named(each.endpoints_as_writer, each, topology),
        "endpoints_as_reader": _named(each.endpoints_as_reader, each, topology),
        "monitoring_interval_s": float(each.monitoring_interval_s),
        "insights_mode": topology.insights_mode or None,
        "storage_type": topology.storage_type or None,
        **engines.module(topology.engine, "settings").instance_columns(each.parameters),
    }


def _named(endpoints: Sequence[str], each: Instance, topology: Topology) -> str | None:
    """Return the endpoints' names as one text, empty if there is none; None if they are unknown."""
    return ", ".join(endpoints) if topology.has_endpoints and not each.gone else None


# Settings over time

SETTINGS = [name for name in COLUMNS if name not in {"instance", "resource_id", "role"}]
"""Columns that RDS states for the present alone."""


def with_history(
    frame: pd.DataFrame, known: pd.DataFrame, names: Iterable[str], window: Window
) -> pd.DataFrame:
    """Give each row the settings of its time, as earlier fetches recorded them, and add a row at each change.

    Before the first record, the first record counts: nothing is known of earlier settings.

    Parameters
    ----------
    frame : DataFrame
        The result of `instances`, whose settings are the present ones.
    known : DataFrame
        Table `instances` of the store.
    names : iterable of str
        Instances that are in the cluster now; the rows of others are left as they are.
    window : Window
        The window of `frame`.

    Returns
    -------
    DataFrame
    """
    parts = [frame[~frame["instance"].isin(present := set(names))]]
    for name, own in frame[frame["instance"].isin(present)].groupby("instance", sort=False):
        past = known[known["instance"] == name].drop_duplicates("time", keep="last").sort_values("time")
        parts.append(_of_their_time(own, past, window) if len(past) else own)
    return pd.concat(parts).astype(frame.dtypes.to_dict()).sort_values(["time", "instance"])


def _of_their_time(own: pd.DataFrame, past: pd.DataFrame, window: Window) -> pd.DataFrame:
    recorded = past.set_index("time")[SETTINGS].astype(object)
    recorded = recorded.where(recorded.notna(), None).ffill()
    before = recorded.shift()
    changed = ((recorded != before) & recorded.notna() & before.notna()).any(axis=1)
    inside = [moment for moment in recorded.index[changed] if moment in window and moment > own["time"].min()]
    moments = pd.DatetimeIndex(sorted({*own["time"], *inside}), name="time")
    rows = own.set_index("time").reindex(moments, method="ffill")
    then = recorded.reindex(moments, method="ffill").fillna(recorded.bfill().iloc[0])
    rows[SETTINGS] = then.where(then.notna(), rows[SETTINGS].astype(object))
    return rows.reset_index()


# Instances that have left the cluster


def former(
    topology: Topology, known: pd.DataFrame, events: Sequence[Mapping[str, Any]], streams: Iterable[str]
) -> list[Instance]:
    """Return the instances that the cluster had and no longer has: their data may still be fetched.

    Parameters
    ----------
    topology : Topology
        The cluster as it is now.
    known : DataFrame
        Table `instances` of the store. Only the store knows the resource ids of deleted instances.
    events : sequence of mapping
        RDS's events, whose texts name instances.
    streams : iterable of str
        Names of the instances that have a stream of the cluster's exported log.
    """
    current = {each.name for each in topology.instances}
    stored = {each.name: each for each in remembered(known, topology.cluster).instances}
    found = (FAILOVER.search(str(row.get("Message", ""))) for row in events)
    named = {match["name"] or match["previous"] for match in found if match}
    names = ({*stored, *streams} | named) - current
    return [replace(stored.get(name, Instance(name)), is_writer=False, gone=True) for name in sorted(names)]
