"""Plan of a fetch: the chunks of each source, instance and day that coverage does not mark as done."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import pandas as pd

from aurora_analysis.config import Cluster
from aurora_analysis.errors import Error
from aurora_analysis.fetch.chunks import Chunk, Clients, Context, Have, Part, Unavailable
from aurora_analysis.fetch.survey import CredentialsRefused, Survey, survey
from aurora_analysis.sources.aws import (
    cloudwatch,
    enhanced_monitoring,
    log_export,
    performance_insights,
    rds,
)
from aurora_analysis.sources.aws.rds import Topology
from aurora_analysis.store import Store
from aurora_analysis.window import Window


class Source(Protocol):
    """The two functions that every source module has."""

    def chunks(self, topology: Topology, have: Have, window: Window, now: datetime) -> list[Chunk]:
        """Plan the chunks of a window that the store lacks."""

    def fetch(self, chunk: Chunk, context: Context) -> Iterable[Part]:
        """Request the data of one chunk."""


SOURCES: dict[str, Source] = {
    cloudwatch.SOURCE: cloudwatch,
    performance_insights.SOURCE: performance_insights,
    enhanced_monitoring.SOURCE: enhanced_monitoring,
    log_export.SOURCE: log_export,
}
"""Name of each source → its module, in the order of a plan."""


@dataclass(frozen=True)
class FetchOptions:
    """The options of a fetch.

    Attributes
    ----------
    cluster : Cluster
        The cluster's name in the store, and where AWS has it.
    window : Window
        The window to fetch.
    now : datetime
        The present.
    sources : tuple of str
        Names of the sources (default: all).
    instances : tuple of str
        Names of the instances (default: all). CloudWatch is always fetched for all.
    examples : bool
        Whether to keep one execution of each statement, with its literals (default: no).
    """

    cluster: Cluster
    window: Window
    now: datetime
    sources: tuple[str, ...] = tuple(SOURCES)
    instances: tuple[str, ...] = ()
    examples: bool = False


@dataclass(frozen=True)
class Plan:
    """The survey of a cluster (None if the credentials were refused), and the chunks that the store lacks."""

    options: FetchOptions
    survey: Survey | None
    chunks: tuple[Chunk, ...]

    def counts(self) -> dict[str, int]:
        """Count the chunks of each source."""
        return dict(Counter(chunk.source for chunk in self.chunks))


def source_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the sources of these names, which may be written with hyphens; all sources if none is named.

    Raises
    ------
    Error
        If there is no source of a name.
    """
    found = tuple(name.replace("-", " ").lower() for name in names) or tuple(SOURCES)
    for name in found:
        if name not in SOURCES:
            raise Error(f"There is no source {name!r}: choose from {', '.join(SOURCES)}.")
    return found


def plan(clients: Clients, store: Store, options: FetchOptions) -> Plan:
    """Survey the cluster and plan what is missing. If the credentials are refused, each source gets a failing chunk.

    Raises
    ------
    Error
        If the window has not begun, or the cluster cannot be surveyed.
    """
    name, window = options.cluster.name, options.window
    if window.start >= options.now.replace(second=0, microsecond=0):
        raise Error(f"The window {window} has not begun: choose one in the past.")
    known = _of_aws(store.read("instances", cluster=name, missing_ok=True), name)
    try:
        found = survey(clients, known, options.cluster.identifier, window, options.now)
    except CredentialsRefused as problem:
        failed = tuple(unavailable(each, None, window, str(problem)) for each in options.sources)
        return Plan(options, None, failed)
    have = Have(store.read("coverage", cluster=name, missing_ok=True))
    return Plan(options, found, tuple(missing(found.topology, have, options)))


def _of_aws(known: pd.DataFrame, cluster: str) -> pd.DataFrame:
    """Leave out the names that `watch` gives to servers that do not state their own: AWS never had such an instance."""
    made_up = known["instance"].astype(str).str.fullmatch(rf"{re.escape(cluster)}-(writer|reader-\d+)")
    return known[known["resource_id"].notna() | ~made_up]


def missing(topology: Topology, have: Have, options: FetchOptions) -> list[Chunk]:
    """Plan the chunks of the options' sources and instances that coverage does not mark as done."""
    now = options.now
    window = Window(options.window.start, min(options.window.end, now.replace(second=0, microsecond=0)))
    chosen = _of_instances(topology, options.instances)
    planned = [
        chunk
        for source in options.sources
        # All instances share CloudWatch's calls, and are written together.
        for chunk in SOURCES[source].chunks(
            topology if source == cloudwatch.SOURCE else chosen, have, window, now
        )
    ]
    unknown = sorted(set(options.instances) - {each.name for each in topology.instances})
    return planned + [unavailable(rds.SOURCE, name, window, _no_instance(name, topology)) for name in unknown]


def _of_instances(topology: Topology, names: Sequence[str]) -> Topology:
    if not names:
        return topology
    return replace(topology, instances=tuple(each for each in topology.instances if each.name in names))


def _no_instance(name: str, topology: Topology) -> str:
    known = ", ".join(each.name for each in topology.instances)
    return f"There is no instance {name} in the cluster (it has: {known})."


def unavailable(source: str, instance: str | None, window: Window, reason: str) -> Chunk:
    """Return a chunk that cannot be fetched, with the line that explains why."""
    return Chunk(source, "rds", instance, window, Unavailable(reason), tables=("instances",))
