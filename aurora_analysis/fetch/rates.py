"""Call rates: token buckets for the services, and the hook that makes boto3 clients keep to them.

The workers of a Dask cluster share an account's rates by leases: each caller of a service holds one of `LEASES` leases and
keeps to that share of the rate. So the rate holds for all workers of all commands that use the cluster.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from aurora_analysis import executors
from aurora_analysis.config import Rates

CALL_S = 0.2
"""Approximate time of one call including reading its answer [s]: that many calls in flight fill the rate."""


class Rate:
    """A token bucket for one service, which also counts the calls made.

    Parameters
    ----------
    per_second : float
        Calls allowed per second.
    """

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self.taken = 0
        self._next = 0.0
        self._lock = threading.Lock()

    def take(self, **_: object) -> None:
        """Wait until the service may be called again. Unused tokens do not add up to a burst."""
        with self._lock:
            moment = max(self._next, time.monotonic())
            self._next = moment + 1 / self.per_second
            self.taken += 1
        time.sleep(max(0.0, moment - time.monotonic()))

    def settle(self) -> None:
        """Wait until the next call would be due, so that another holder of the same share may call at once."""
        time.sleep(max(0.0, self._next - time.monotonic()))


def by_service(settings: Rates, processes: int = 1) -> dict[str, Rate]:
    """Make a token bucket for each service, by boto3's name of the service.

    Parameters
    ----------
    settings : Rates
        Calls per second of all processes together.
    processes : int
        How many processes fetch at once. Each has buckets of its own, with this share of the rate.
    """
    allowed = {
        "pi": settings.performance_insights,
        "cloudwatch": settings.cloudwatch,
        "logs": settings.logs,
        "rds": settings.rds,
    }
    return {service: Rate(per_second / processes) for service, per_second in allowed.items()}


def workers(rates: Mapping[str, Rate], most: int) -> dict[str, int]:
    """Return how many chunks of each service to run at once: enough to fill its rate, and at most `most`.

    More would hold memory and save no time. At least two run, so that one requests while the other commits.
    """
    return {
        service: min(most, max(2, math.ceil(rate.per_second * CALL_S))) for service, rate in rates.items()
    }


# Leases

LEASES = 4
"""Holders among which an account's rate of each service is divided, however many workers there are."""


@dataclass(frozen=True)
class Leases:
    """An account's rates, divided among the workers of a Dask cluster; plain data.

    Attributes
    ----------
    account : str
        Identifies the account and region: commands that name the same one share its leases.
    shares : mapping of str to float
        Service → calls per second of one lease.
    """

    account: str
    shares: Mapping[str, float]

    @contextmanager
    def held(self, service: str) -> Iterator[Rate]:
        """Hold a lease of a service in this thread; yields the lease's token bucket."""
        with _lease(f"aurora-analysis {self.account} {service}"):
            _here.service, _here.rate = service, Rate(self.shares[service])
            try:
                yield _here.rate
            finally:
                _here.rate.settle()
                _here.service = ""


@cache
def _lease(name: str) -> AbstractContextManager[object]:
    """Return the semaphore of this name; a process makes it once, because each one refreshes its leases forever."""
    return executors.lease(name, LEASES)


_here = threading.local()
"""The lease that this thread holds."""


@dataclass(frozen=True)
class Leased:
    """The rate of whichever lease the calling thread holds.

    Attributes
    ----------
    service : str
        The service whose lease it must be.
    """

    service: str

    def take(self, **_: object) -> None:
        """Wait until the lease allows a call."""
        if getattr(_here, "service", "") != self.service:
            raise RuntimeError(f"a call to {self.service} without a lease of its rate")
        _here.rate.take()


def limit_rate(client: Any, rate: Rate | Leased) -> Any:
    """Make every HTTP request of a boto3 client, retries included, take a token first."""
    client.meta.events.register("before-send", rate.take)
    return client
