"""One survey for the clusters of an account and region: the same answers from fewer calls."""

from __future__ import annotations

from datetime import timedelta

import boto3
import pytest
from botocore.exceptions import ClientError
from fetching import DAY, endpoint

from aurora_analysis.fetch import account
from aurora_analysis.fetch.account import LISTINGS
from aurora_analysis.sources.aws import rds


class Rds:
    """RDS's client with two clusters; counts calls, and may refuse listings."""

    def __init__(self, refused: bool = False) -> None:
        self.calls: list[tuple[str, dict]] = []
        self._refused = refused

    def _answered(self, name: str, request: dict, key: str, rows: list[dict]) -> dict:
        self.calls.append((name, request))
        if self._refused and not set(request) - {"StartTime", "EndTime", "Marker"}:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, name)
        wanted = {one for each in request.get("Filters", []) for one in each["Values"]}
        wanted |= {value for key, value in request.items() if key.endswith("Identifier")}
        found = [row for row in rows if not wanted or wanted & set(row.values())]
        return {key: found}

    def describe_db_clusters(self, **request):
        rows = [{"DBClusterIdentifier": name} for name in ("shop", "crm")]
        return self._answered("describe_db_clusters", request, "DBClusters", rows)

    def describe_db_instances(self, **request):
        rows = [
            {"DBInstanceIdentifier": f"{name}-1", "DBClusterIdentifier": name} for name in ("shop", "crm")
        ]
        return self._answered("describe_db_instances", request, "DBInstances", rows)

    def describe_db_parameters(self, **request):
        return self._answered("describe_db_parameters", request, "Parameters", [])


def asked(client, cluster: str) -> list[dict]:
    """What a survey of a cluster asks."""
    chosen = [{"Name": "db-cluster-id", "Values": [cluster]}]
    return [
        client.describe_db_clusters(DBClusterIdentifier=cluster),
        client.describe_db_instances(Filters=chosen),
        client.describe_db_parameters(DBParameterGroupName="default"),
    ]


@pytest.mark.parametrize("refused", [False, True])
def test_two_clusters_get_their_own_rows_from_shared_calls(refused):
    """Three calls instead of six; where listing is not permitted, each cluster's own calls."""
    client = Rds(refused)
    together = account.shared({"rds": client}, {}).clients["rds"]
    for name in ("shop", "crm"):
        assert asked(together, name) == asked(Rds(), name)
    own = [request for _, request in client.calls if set(request) - {"DBParameterGroupName"}]
    assert len(own) == (4 if refused else 0)
    assert sum(name == "describe_db_parameters" for name, _ in client.calls) == 1


def test_what_is_not_listed_is_requested_by_name():
    """A misspelt cluster gets the service's own error, not an empty answer."""
    client = Rds()
    account.shared({"rds": client}, {}).clients["rds"].describe_db_clusters(DBClusterIdentifier="shoop")
    assert client.calls[-1] == ("describe_db_clusters", {"DBClusterIdentifier": "shoop"})


def test_a_shared_survey_describes_a_cluster_as_its_own_calls_do():
    """The whole topology and all events, from the endpoint on loopback."""
    with endpoint() as aws, pytest.MonkeyPatch.context() as patch:
        for name, value in aws.environment.items():
            patch.setenv(name, value)
        client = boto3.client("rds")
        together = account.shared({"rds": client}, {}).clients["rds"]
        own = rds.describe(client, "shop")
        assert rds.describe(together, "shop") == own
        span = DAY.at_least(1)
        events = rds.request_events(client, own, span)
        assert rds.request_events(together, own, span) == events
        before = len(aws.calls)
        rds.describe(together, "shop")
        assert len(aws.calls) == before
    assert set(LISTINGS) and span.duration >= timedelta(days=1)
