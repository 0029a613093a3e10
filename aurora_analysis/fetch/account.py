"""One survey for the clusters of an account and region: RDS lists everything once, and each cluster takes its rows.

The shared clients stand in for boto3's: they answer the describing calls of a survey from one listing each, and pass
every other call on. A listing that is refused, as by a policy for single clusters, is replaced by the calls themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from aurora_analysis.fetch.chunks import Clients
from aurora_analysis.fetch.rates import Rate
from aurora_analysis.sources.aws import errors
from aurora_analysis.sources.aws.answers import pages


def _is_wanted_instance(row: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Return whether an instance is the one that is named, or belongs to the cluster that the filter names."""
    if "DBInstanceIdentifier" in wanted:
        return bool(row.get("DBInstanceIdentifier") == wanted["DBInstanceIdentifier"])
    return any(row.get("DBClusterIdentifier") in each["Values"] for each in wanted.get("Filters", []))


LISTINGS: dict[str, tuple[str, Callable[[dict[str, Any], dict[str, Any]], bool]]] = {
    "describe_db_clusters": (
        "DBClusters",
        lambda row, wanted: row.get("DBClusterIdentifier") == wanted["DBClusterIdentifier"],
    ),
    "describe_db_instances": ("DBInstances", _is_wanted_instance),
    "describe_db_cluster_endpoints": (
        "DBClusterEndpoints",
        lambda row, wanted: all(row.get(name) == value for name, value in wanted.items()),
    ),
    "describe_events": (
        "Events",
        lambda row, wanted: (
            (row.get("SourceType"), row.get("SourceIdentifier"))
            == (wanted["SourceType"], wanted["SourceIdentifier"])
        ),
    ),
}
"""Describing call → the answer's list, and whether a row of the whole listing answers a request."""

ALIKE = ("describe_db_parameters", "describe_db_cluster_parameters", "describe_db_recommendations")
"""Calls that several clusters make with the same parameters; each is made once."""

KEPT = ("StartTime", "EndTime")
"""Parameters that a listing shares with the calls that it replaces."""


@dataclass(frozen=True)
class Account:
    """The clients of an account and region, and the rates that its clusters share.

    Attributes
    ----------
    clients : mapping of str to boto3 client
        One client per service; RDS's answers from shared listings.
    rates : mapping of str to Rate
        The token bucket of each service.
    """

    clients: Clients
    rates: Mapping[str, Rate]


def shared(clients: Clients, rates: Mapping[str, Rate]) -> Account:
    """Return clients whose describing calls are shared by all clusters that use them.

    Parameters
    ----------
    clients : mapping of str to boto3 client
        One client per service.
    rates : mapping of str to Rate
        The token bucket of each service.
    """
    return Account({**clients, "rds": _Shared(clients["rds"])}, rates)


@dataclass
class _Shared:
    """RDS's client, which lists each kind of thing once."""

    client: Any
    _answers: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self.client, name)
        if name in LISTINGS:
            return lambda **request: self._from_listing(name, operation, request)
        if name in ALIKE:
            return lambda **request: self._once(f"{name} {request!r}", lambda: operation(**request))
        return operation

    def _from_listing(
        self, name: str, operation: Callable[..., Any], request: dict[str, Any]
    ) -> dict[str, Any]:
        key, answers = LISTINGS[name]
        kept = {each: request[each] for each in KEPT if each in request}
        rows = self._once(f"{name} {kept!r}", lambda: _listed(operation, key, kept))
        if rows is None:
            return dict(operation(**request))
        wanted = {each: value for each, value in request.items() if each not in KEPT}
        found = [row for row in rows if answers(row, wanted)]
        # A caller that names a missing cluster gets the service's own error.
        return (
            {key: found}
            if found or name in ("describe_events", "describe_db_cluster_endpoints")
            else dict(operation(**request))
        )

    def _once(self, key: str, request: Callable[[], Any]) -> Any:
        with self._lock:
            if key not in self._answers:
                self._answers[key] = request()
            return self._answers[key]


def _listed(operation: Callable[..., Any], key: str, kept: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return all rows of a listing; None if the caller may not list."""
    try:
        return [row for page in pages(operation, "Marker", **kept) for row in page.get(key, [])]
    except ClientError as problem:
        if errors.code(problem) in errors.DENIED:
            return None
        raise
