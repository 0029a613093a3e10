"""Options of a drill."""

from __future__ import annotations

from dataclasses import dataclass

FAULTS = ("failover", "crash", "reader-restart", "lag", "disk")
"""Faults that a drill can inject."""

ON_READER = ("reader-restart", "lag")
"""Faults of a reader: they are measured by reads of the reader endpoint."""

LASTING = ("lag", "disk")
"""Faults that last for a time that is chosen beforehand, and end by themselves."""

PLAIN, POOL, TOPOLOGY = "plain", "pool", "topology"
CLIENTS = (PLAIN, POOL, TOPOLOGY)
"""Clients that run side by side."""

TABLE = "aurora_analysis_drill"
"""Name of the drill's table."""


@dataclass(frozen=True)
class ClientOptions:
    """Options that the three clients share, and options of each.

    Attributes
    ----------
    workers : int
        Connections of each client; for a fault of a reader these only read, and one more writes.
    pause_s : float
        Pause of a worker after each write and after each error [s].
    dns_cache_s : float
        How long the plain client keeps an address that it has looked up [s]; 30 s is the default of a JVM.
    recycle_s : float
        Age at which the pool replaces a connection [s].
    """

    workers: int = 4
    pause_s: float = 0.1
    dns_cache_s: float = 30.0
    recycle_s: float = 60.0


@dataclass(frozen=True)
class DrillOptions:
    """Everything that defines a drill.

    Attributes
    ----------
    faults : tuple of str
        What to inject, each `repeats` times, in random order.
    cluster : str
        Name of the cluster in the store.
    repeats : int
        Runs of each fault.
    interval_s : float
        Pause between two runs [s]; a random part of up to half of it is added.
    observe_s : float
        Longest observation after a fault [s].
    fault_s : float
        How long a lag or a disk fault lasts [s].
    seed : int
        Seed of the order of faults and clients, and of the moments.
    schema : str
        Database (MySQL) or schema (PostgreSQL) of the drill's table.
    client : ClientOptions
        The clients.
    """

    faults: tuple[str, ...]
    cluster: str
    repeats: int = 3
    interval_s: float = 10.0
    observe_s: float = 60.0
    fault_s: float = 10.0
    seed: int = 0
    schema: str = "public"
    client: ClientOptions = ClientOptions()
