"""Survey of a cluster: its instances now and before, its events, and who was the writer when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pandas as pd

from aurora_analysis.errors import Error
from aurora_analysis.fetch.chunks import Clients, Part, coverage_rows
from aurora_analysis.sources.aws import cloudwatch, log_export, rds, recommendations, roles
from aurora_analysis.sources.aws.errors import explained, is_credentials
from aurora_analysis.sources.aws.frames import times
from aurora_analysis.sources.aws.rds import Topology
from aurora_analysis.sources.aws.recommendations import Recommendation
from aurora_analysis.sources.aws.roles import Change
from aurora_analysis.store import Store
from aurora_analysis.window import Window

T = TypeVar("T")


@dataclass(frozen=True)
class Survey:
    """The cluster's present state, and its history of roles and instances.

    Attributes
    ----------
    topology : Topology
        The cluster with its present and former instances.
    changes : tuple of Change
        The changes of the writer in the window.
    parts : tuple of Part
        Rows of tables `instances` and `events`, and their coverage.
    failures : tuple of str
        What could not be requested, one line each.
    """

    topology: Topology
    changes: tuple[Change, ...]
    parts: tuple[Part, ...]
    failures: tuple[str, ...]


class CredentialsRefused(Error):
    """The credentials are not valid, so that no call of AWS can succeed."""


def survey(clients: Clients, known: pd.DataFrame, identifier: str, window: Window, now: datetime) -> Survey:
    """Survey a cluster: what RDS describes, what its events name, and what the store and CloudWatch add.

    Parameters
    ----------
    clients : mapping of str to boto3 client
        One client per service.
    known : DataFrame
        Table `instances` of the store, which also has the instances that RDS no longer knows.
    identifier : str
        The DB cluster's identifier.
    window : Window
        The window of the roles.
    now : datetime
        The present.

    Raises
    ------
    CredentialsRefused
        If the credentials are not valid.
    Error
        If the cluster does not exist or its engine is not supported, or if RDS refuses to describe the cluster and
        the store has no instances of it.
    """
    failures: list[str] = []
    described = _attempt(failures, lambda: rds.describe(clients["rds"], identifier), None)
    found = described or _from_store(known, identifier, failures)
    streams = _streams(clients, found, failures)
    events = _attempt(failures, lambda: rds.request_events(clients["rds"], found, _events_kept(now)), None)
    found = replace(found, streams=streams)
    gone = roles.former(found, known, events or [], found.exported)
    found = replace(found, instances=(*found.instances, *gone))
    presence = _attempt(
        failures, lambda: cloudwatch.presence(clients["cloudwatch"], found, window, now), _NO_PRESENCE
    )
    changes = _changes(found, events, presence, window, now)
    advised, not_advised = _recommendations(clients, found, _events_kept(now))
    parts = (_instances(found, known, changes, window), _events(events, advised, not_advised, window, now))
    return Survey(found, tuple(changes), parts, tuple(failures))


def describe(clients: Clients, identifier: str) -> Topology:
    """Describe the cluster as it is now.

    Raises
    ------
    Error
        If the call is refused, or there is no such cluster.
    """
    failures: list[str] = []
    found = _attempt(failures, lambda: rds.describe(clients["rds"], identifier), None)
    if found is None:
        raise Error(failures[-1])
    return found


_NO_PRESENCE = pd.DataFrame({"time": times([]), "instance": [], "writer": pd.Series(dtype=bool)})


def _attempt(failures: list[str], request: Callable[[], T], default: T) -> T:
    """Return the answer; if the call fails or its answer cannot be read, add a line and return the default.

    Invalid credentials end the survey, because every other call would fail too.
    """
    try:
        return request()
    except Error:
        raise
    except Exception as problem:  # an answer of an unknown form must not end the fetch
        if is_credentials(problem):
            raise CredentialsRefused(explained(problem)) from None
        failures.append(explained(problem))
        return default


def _from_store(known: pd.DataFrame, identifier: str, failures: Sequence[str]) -> Topology:
    if known.empty:
        raise Error(f"{failures[-1]} The store has no instances of {identifier} to use instead.")
    return rds.remembered(known, identifier)


def _streams(clients: Clients, found: Topology, failures: list[str]) -> tuple[str, ...]:
    """List the streams of the cluster's exported log.

    If that call is refused, list all instances of a cluster that exports its log: most streams have their names.
    """
    names = [each.name for each in found.instances] if log_export.is_exported(found) else []
    logs, cluster, engine = clients["logs"], found.cluster, found.engine
    return tuple(_attempt(failures, lambda: log_export.streams(logs, cluster, engine) or [], names))


def _events_kept(now: datetime) -> Window:
    """Return the window whose events RDS still has."""
    return Window(now - rds.EVENTS_KEPT, now)


def _changes(
    found: Topology,
    events: Sequence[dict[str, Any]] | None,
    presence: pd.DataFrame,
    window: Window,
    now: datetime,
) -> list[Change]:
    kept = _events_kept(now)
    return roles.writers(
        roles.failovers(rds.events(events or [], kept)),
        roles.writers_in_cloudwatch(presence),
        Change(now, found.writer),
        window,
        kept.start if events is not None else now,
    )


def _instances(found: Topology, known: pd.DataFrame, changes: Sequence[Change], window: Window) -> Part:
    present = [each.name for each in found.instances if not each.gone]
    frame = roles.with_history(roles.instances(found, changes, window), known, present, window)
    unknown = any(change.writer is None for change in changes)
    notes = [
        *found.notes,
        *found.remarks,
        *(["the writer is unknown for part of the window"] if unknown else []),
    ]
    return Part("instances", frame, len(frame), len(frame), unit="rows", note="; ".join(notes))


def _recommendations(clients: Clients, found: Topology, kept: Window) -> tuple[list[Recommendation], str]:
    """Return AWS's recommendations, or none and a note: an addition that is refused must not fail the fetch."""
    try:
        return recommendations.request(clients["rds"], found, kept.start), ""
    except Exception as problem:  # of whatever form the answer is
        return [], f"without AWS's recommendations: {explained(problem)}"


def _events(
    events: Sequence[dict[str, Any]] | None,
    advised: Sequence[Recommendation],
    not_advised: str,
    window: Window,
    now: datetime,
) -> Part:
    if events is None:
        return Part("events", None, received=None, unit="rows", note="DescribeEvents was refused")
    kept = _events_kept(now)
    covered = window.intersection(kept)
    note = f"RDS keeps events for 14 days: none before {kept.start:%Y-%m-%d %H:%M}"
    note = "; ".join(filter(None, ("" if window.start >= kept.start else note, not_advised)))
    if covered is None:
        return Part("events", None, unit="rows", note=note)
    frame = pd.concat([rds.events(events, covered), recommendations.events(advised, covered)])
    return Part("events", frame, len(frame), len(frame), unit="rows", note=note)


def write(store: Store, found: Survey, window: Window, now: datetime, *, cluster: str) -> None:
    """Commit a survey: roles and events of the window, the roles of now, and then their coverage."""
    kept = _events_kept(now)
    for part in found.parts:
        span = window if part.table == "instances" else window.intersection(kept)
        if part.frame is not None and span is not None:
            store.write(part.table, part.frame, span, cluster=cluster, source=rds.SOURCE)
    _write_roles_of_now(store, found.topology, now, cluster)
    rows = coverage_rows(found.parts, window, window.end)
    store.write("coverage", rows, window, cluster=cluster, source=rds.SOURCE)


def _write_roles_of_now(store: Store, found: Topology, now: datetime, cluster: str) -> None:
    """Write the present roles and resource ids: once an instance is deleted, only the store has them."""
    present = replace(found, instances=tuple(each for each in found.instances if not each.gone))
    moment = Window(now, now + timedelta(seconds=1))
    frame = roles.instances(present, [Change(now, found.writer)], moment)
    store.write("instances", frame, moment, cluster=cluster, source=rds.SOURCE)
