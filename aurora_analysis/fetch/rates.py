"""Call rates: token buckets for the services, and the hook that makes boto3 clients keep to them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any

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


def limit_rate(client: Any, rate: Rate) -> Any:
    """Make every HTTP request of a boto3 client, retries included, take a token first."""
    client.meta.events.register("before-send", rate.take)
    return client
