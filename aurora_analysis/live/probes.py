"""Probes: one for each server, of the engine that its address names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aurora_analysis import engines
from aurora_analysis.engines.live_evidence import Probe

if TYPE_CHECKING:
    import sqlalchemy


def probe(engine: sqlalchemy.Engine, name: str, role: str) -> Probe:
    """Return the probe of a server, by the engine that its address names."""
    made: Probe = engines.module(engine.dialect.name, "live").Probe(engine, name, role)
    return made


def of_cluster(servers: Sequence[sqlalchemy.Engine], cluster: str) -> list[Probe]:
    """Return a probe for each server of a cluster: the writer first, then its readers."""
    writer, *readers = servers
    return [probe(writer, f"{cluster}-writer", "writer"), *readers_of(readers, cluster)]


def readers_of(servers: Sequence[sqlalchemy.Engine], cluster: str) -> list[Probe]:
    """Return a probe for each reader of a cluster."""
    return [probe(each, f"{cluster}-reader-{n}", "reader") for n, each in enumerate(servers, 1)]
