"""Three days of the simulated cluster: store → endpoint → fetch → another store with the same rows, of which verdicts are made."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from fetching import assert_same, endpoint, fetch

from aurora_analysis import Store, Window
from aurora_analysis.store import location

FORTNIGHT = Window("2026-11-02", "2026-11-16")
DAYS = Window("2026-11-11", "2026-11-14")
"""It holds the failover and the gap."""
NOW = datetime(2026, 11, 16, 2, tzinfo=UTC)
BROUGHT = ("cloudwatch", "performance-insights", "slow-log")


@pytest.fixture(scope="module")
def shop() -> dict[str, pd.DataFrame]:
    """Cluster `shop` of the sample, table by table, for the whole fortnight."""
    sample = Store(location.sample())
    return {table: sample.read(table, FORTNIGHT, cluster="shop") for table in sample.versions()["shop"]}


@pytest.fixture(scope="module")
def fetched(shop, tmp_path_factory) -> Path:
    """A store that holds what was fetched of it."""
    location = tmp_path_factory.mktemp("fetched")
    sources = [word for source in BROUGHT for word in ("--source", source)]
    with endpoint(frames=shop, now=NOW) as aws:
        result = fetch(aws, location, *sources, window=DAYS)
    assert result.exit_code == 0, result.output
    return location


def test_the_days_come_back_the_same(shop, fetched):
    """Roles, metrics, load, statistics and slow queries, with a failover and a gap in them."""
    assert_same(Store(fetched), DAYS, shop)


def test_the_gap_is_a_gap(fetched):
    """Five hours without monitoring are five hours less, in every instance's coverage."""
    rows = Store(fetched).coverage(DAYS, cluster="shop")
    minutes = rows[rows["instance"].notna() & (rows["table"] == "metrics") & (rows["source"] == "cloudwatch")]
    missing = (minutes["expected"] - minutes["received"]).groupby(minutes["instance"]).sum()
    assert missing.to_dict() == {"shop-1": 301, "shop-2": 301, "shop-3": 301}
