"""The whole simulated fortnight: store → endpoint → fetch → another store, of which the notebooks say the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from cells import verdicts
from fetching import assert_same, endpoint, fetch

from aurora_analysis import Store, Window
from aurora_analysis.store import location

FORTNIGHT = Window("2026-11-02", "2026-11-16")
NOW = datetime(2026, 11, 16, 2, tzinfo=UTC)
BROUGHT = ("cloudwatch", "performance-insights", "slow-log")


@pytest.fixture(scope="module")
def shop() -> dict[str, pd.DataFrame]:
    """Cluster `shop` of the sample, table by table."""
    sample = Store(location.sample())
    return {table: sample.read(table, FORTNIGHT, cluster="shop") for table in sample.versions()["shop"]}


@pytest.fixture(scope="module")
def fetched(shop, tmp_path_factory) -> Path:
    """A store that holds what was fetched of it."""
    location = tmp_path_factory.mktemp("fetched")
    sources = [word for source in BROUGHT for word in ("--source", source)]
    with endpoint(frames=shop, now=NOW) as aws:
        result = fetch(aws, location, *sources, window=FORTNIGHT)
    assert result.exit_code == 0, result.output
    return location


def test_the_fortnight_comes_back_the_same(shop, fetched):
    """Roles, metrics, load, statistics and slow queries, with a failover and a gap in them."""
    assert_same(Store(fetched), FORTNIGHT, shop)


def test_the_gap_is_a_gap(fetched):
    """Five hours without monitoring are five hours less, in every instance's coverage."""
    rows = Store(fetched).coverage(FORTNIGHT, cluster="shop")
    minutes = rows[rows["instance"].notna() & (rows["table"] == "metrics") & (rows["source"] == "cloudwatch")]
    missing = (minutes["expected"] - minutes["received"]).groupby(minutes["instance"]).sum()
    assert missing.to_dict() == {"shop-1": 301, "shop-2": 301, "shop-3": 301}


@pytest.mark.parametrize(("topic", "options"), [("reader_impact", {"placebos": 20}), ("latency", {})])
def test_the_notebooks_say_the_same_of_it(fetched, topic, options):
    """The verdicts of the sample's `shop`, word for word."""
    week = {"cluster": "shop", "start": "2026-11-09", "end": "2026-11-16", **options}
    in_notebook = [one.to_dict() for one in verdicts(topic, store=str(location.sample()), **week)]
    found = [one.to_dict() for one in verdicts(topic, store=str(fetched), **week)]
    assert {one["level"] for one in in_notebook} - {"unknown"}
    assert found == in_notebook
