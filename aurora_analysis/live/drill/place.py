"""Describe the place of a drill: a cluster of AWS, or a lab that stands in for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import sqlalchemy

WRITER, READER = "writer", "reader"


class Address(NamedTuple):
    """Address to which an endpoint leads at this moment."""

    host: str
    port: int


class Injected(NamedTuple):
    """A fault that was injected.

    Attributes
    ----------
    at : float
        When it began, by the monotonic clock [s].
    is_certain : bool, optional
        Whether the place itself knows that it took effect; None if only the servers can show it.
    how : str
        What was done.
    ends_at : float
        When a lasting fault ends by itself, by the monotonic clock [s]; equal to `at` for the others.
    """

    at: float
    is_certain: bool | None
    how: str
    ends_at: float


class Place(Protocol):
    """A cluster with endpoints, instances, and ways to inject faults."""

    @property
    def engine_name(self) -> str:
        """The engine, as `engines.of` takes it."""

    @property
    def kind(self) -> str:
        """The cluster's kind: lab, clone or production."""

    @property
    def instances(self) -> tuple[str, ...]:
        """Names of all instances."""

    def instance(self, name: str) -> sqlalchemy.Engine:
        """Return an engine without a pool that connects to an instance."""

    def endpoint(self, role: str, pool_s: float = 0.0) -> sqlalchemy.Engine:
        """Return an engine that connects to the cluster endpoint (writer) or the reader endpoint.

        `pool_s` is the age at which a pooled connection is replaced [s]; 0 makes an engine without a pool.
        """

    def resolve(self, role: str) -> Address:
        """Look up where an endpoint leads now."""

    def inject(self, fault: str, seconds: float, writer: str) -> Injected:
        """Inject a fault; `seconds` is the length of a lasting one."""

    def refusal(self, fault: str) -> str:
        """Return why a fault cannot be injected here; empty if it can."""

    def make_writer(self, name: str) -> str:
        """Make an instance the writer again, and return what was done; empty if it was the writer already."""


Progress = Callable[[str], None]
"""Receives one line for each message of a drill."""
