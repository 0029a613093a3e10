"""The fetch against AWS on loopback: what the cluster was comes back the same, or coverage says what did not."""

from __future__ import annotations

import pytest
from fetching import DAY, NOON, assert_same, coverage, endpoint, fetch

from aurora_analysis import Store


def test_a_fetch_brings_the_cluster_back(tmp_path):
    """Two hours around a failover: every table is the cluster's own, and all of it is marked as done."""
    with endpoint() as aws:
        result = fetch(aws, tmp_path)
    assert result.exit_code == 0, result.output
    store = Store(tmp_path)
    assert_same(store)
    assert coverage(store)["received"].notna().all()


def test_a_second_fetch_asks_for_nothing_again(tmp_path):
    """Only the survey's calls are made: what coverage marks as done is not asked for."""
    with endpoint() as aws:
        fetch(aws, tmp_path)
        versions, first = Store(tmp_path).versions(), aws.count()
        result = fetch(aws, tmp_path)
    assert "Nothing is missing" in result.output
    again = aws.count() - first
    assert not {action for action in again if action.startswith("pi:")}
    assert again["logs:FilterLogEvents"] == 0
    assert again["cloudwatch:GetMetricData"] == 1
    assert Store(tmp_path).versions() == versions


@pytest.mark.parametrize(
    "misbehaviour",
    ["omits_value", "empty_pages", "internal_errors", "throttles", "fails", "drops", "banner_events"],
)
def test_what_the_services_do_is_undone(tmp_path, misbehaviour):
    """Nothing is lost to a misbehaviour that can be undone."""
    with endpoint(misbehaviour) as aws:
        result = fetch(aws, tmp_path)
    assert result.exit_code == 0, result.output
    assert_same(Store(tmp_path))
    assert DAY.start < NOON.start
