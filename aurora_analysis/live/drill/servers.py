"""The servers of a drill: which of them is the writer, and when each started."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy
from sqlalchemy import exc

from aurora_analysis import engines
from aurora_analysis.live.drill.clients import accepts_writes
from aurora_analysis.live.drill.place import Place

RESTART_S = 1.5
"""Start times that differ by less are one start: MySQL shows its uptime in whole seconds."""


class Server(NamedTuple):
    """One instance: whether it accepts writes, and when it started [s since 1970]."""

    accepts_writes: bool
    started: float


@dataclass(frozen=True)
class Servers:
    """The instances that answered."""

    found: dict[str, Server]

    @property
    def writer(self) -> str:
        """Name of the only instance that accepts writes; empty if none or several do."""
        names = [name for name, one in self.found.items() if one.accepts_writes]
        return names[0] if len(names) == 1 else ""

    @property
    def started(self) -> dict[str, float]:
        """When each instance started [s since 1970]."""
        return {name: one.started for name, one in self.found.items()}

    def restarted(self, before: Servers, name: str) -> bool:
        """Return whether an instance has started again since `before`."""
        earlier, now = before.started.get(name), self.started.get(name)
        return earlier is not None and now is not None and now > earlier + RESTART_S


def observed(place: Place) -> dict[str, sqlalchemy.Engine]:
    """Return an engine for each instance: a new one would repeat its first questions at every look."""
    return {name: place.instance(name) for name in place.instances}


def servers(instances: Mapping[str, sqlalchemy.Engine]) -> Servers:
    """Ask every instance; those that do not answer are left out."""
    found = {}
    for name, engine in instances.items():
        module = engines.module(engine.dialect.name, "drill")
        with suppress(exc.DBAPIError), engine.connect() as connection:
            found[name] = Server(accepts_writes(connection, module), module.started(connection))
    return Servers(found)
