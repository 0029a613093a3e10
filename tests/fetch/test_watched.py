"""Fetches of a cluster that a watch records into the same store."""

from __future__ import annotations

import pandas as pd
import pytest
import sqlalchemy
from aws_endpoint import Endpoint
from fetching import NOON, NOW, clients, endpoint

from aurora_analysis import Store, config
from aurora_analysis.fetch.plan import FetchOptions, plan
from aurora_analysis.live import probes, watch


@pytest.fixture(scope="module")
def aws() -> Endpoint:
    with endpoint() as running:
        yield running


def planned_for(aws: Endpoint, place, names: list[str]) -> set[str | None]:
    """Return the instances of which data are planned, in a store where a watch has recorded these."""
    store, time = Store(place), pd.Timestamp(NOON.start).as_unit("us")
    rows = pd.DataFrame({"time": time, "instance": names, "role": "reader"})
    store.write("instances", rows, NOON, cluster="shop", source=watch.SOURCE)
    chunks = plan(clients(aws), store, FetchOptions(config.Cluster("shop", "shop"), NOON, NOW)).chunks
    return {chunk.instance for chunk in chunks} - {None}


def test_names_that_a_watch_made_up_are_not_requested(aws, tmp_path):
    """A server that does not state its name is no instance that AWS had; every fetch would exit with 1."""
    servers = [sqlalchemy.create_engine("mysql+pymysql://nobody@127.0.0.1:1/") for _ in range(3)]
    names = [probe.name for probe in probes.of_cluster(servers, "shop")]
    assert planned_for(aws, tmp_path, names) == {"shop-1", "shop-2", "shop-3"}


def test_an_instance_that_only_a_watch_saw_is_reported(aws, tmp_path):
    """A deleted instance that stated its name has a chunk, which explains what can no longer be fetched."""
    assert "shop-4" in planned_for(aws, tmp_path, ["shop-4"])
