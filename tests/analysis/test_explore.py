"""Ad-hoc questions: descriptions whose answer is obvious in small frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aurora_analysis import Store, Window, config, observe
from aurora_analysis.analysis import explore, workloads
from aurora_analysis.errors import Error
from aurora_analysis.store.location import sample

MINUTES = pd.date_range("2026-11-09", periods=100, freq="min", tz="UTC")
LATENCY = pd.Series(np.where(np.arange(100) < 40, 3.0, 2.0), index=MINUTES, name="commit_latency")
SPANS = ["workload", "start", "end"]
NEVER = pd.DataFrame({name: [] for name in SPANS}).astype(dict.fromkeys(SPANS[1:], "datetime64[us, UTC]"))


def exposure(
    runs: list[tuple[str, int, int]], unknown: list[tuple[str, int, int]] = ()
) -> workloads.Exposure:
    """Spans by workload and minutes."""
    frames = [
        pd.DataFrame([(name, MINUTES[start], MINUTES[end]) for name, start, end in spans], columns=SPANS)
        if spans
        else NEVER
        for spans in (runs, unknown)
    ]
    return workloads.Exposure(*frames, pd.DataFrame())


def test_with_and_without_compares_whole_periods():
    """Forty minutes at 3 ms while it ran, sixty at 2 ms: half as much again."""
    row = explore.with_and_without(LATENCY, exposure([("etl", 0, 40)])).loc["etl"]
    assert (row["periods_with"], row["periods_without"], row["periods_unknown"]) == (40, 60, 0)
    assert (row["mean_with"], row["mean_without"], row["difference_pct"]) == (3.0, 2.0, pytest.approx(50.0))


def test_unknown_periods_count_for_neither_side():
    """A minute without a log is not a minute without the workload."""
    row = explore.with_and_without(LATENCY, exposure([("etl", 0, 40)], [("etl", 60, 99)])).loc["etl"]
    assert (row["periods_with"], row["periods_without"], row["periods_unknown"]) == (40, 21, 39)


def test_a_workload_that_always_ran_has_no_difference():
    """Missing, not zero."""
    found = explore.with_and_without(LATENCY[:40], exposure([("etl", 0, 50)]))
    assert np.isnan(found.loc["etl", "difference_pct"])
    assert explore.with_and_without(LATENCY, exposure([])).empty


WEEK = Window("2026-11-09", "2026-11-16")


@pytest.fixture(scope="module")
def shop():
    return observe(Store(sample()), WEEK, "shop")


def test_digests_are_counted_by_the_database_where_it_counts(shop):
    """Statement metrics know every execution; the sum is theirs, and the longest total stands first."""
    found = explore.by_digest(shop)
    counted = shop.table("statement_metrics").groupby("digest")["calls"].sum()
    assert found["calls"].to_dict() == pytest.approx(counted.to_dict())
    assert set(found["counted"]) == {"all"}
    assert found["total_s"].is_monotonic_decreasing


def test_without_statement_metrics_the_log_is_named_as_the_source(shop):
    """lab has histograms and metrics of some statements; the others come from the log and say so."""
    lab = observe(shop.store, shop.store.span("lab"), "lab")
    found = explore.by_digest(lab)
    metrics = set(lab.table("statement_metrics")["digest"])
    logged = set(lab.table("slow_queries")["digest"])
    assert set(found.index[found["counted"] == "logged"]) == logged - metrics
    assert set(found.index[found["counted"] == "all"]) == metrics


def test_a_change_is_missing_where_a_window_does_not_know_the_statement(shop):
    """The release's statement has no change, because the week before has no execution of it."""
    found = explore.against(shop, shop.previous())
    new = found["calls_before"].isna() | (found["calls_before"] < 0.2 * found["calls"])
    assert found.loc[found["calls_before"].isna(), "total_change_s"].isna().all()
    assert 1 <= new.sum() <= 2
    assert found["fingerprint"].notna().all()
    known = found.dropna(subset="total_change_s")
    assert np.allclose(known["total_change_s"], known["total_s"] - known["total_s_before"])


def test_a_window_without_data_gives_no_rows(shop):
    """Nothing is made up for a week that nobody fetched."""
    empty = shop.over(Window("2027-01-04", "2027-01-11"))
    assert explore.by_digest(empty).empty
    assert explore.with_and_without(
        empty.metric("commit_latency"), explore.runs(empty, config.groups())
    ).empty
    assert explore.against(shop, empty)["total_change_s"].isna().all()


def test_a_statement_is_followed_over_all_weeks(shop):
    """Six weeks of statistics, and two of the log."""
    digest = shop.slow_queries(user="snowflake")["digest"].iloc[0]
    found = explore.history(shop, digest[:8])
    assert (found.index.min(), found.index.max()) == (
        pd.Timestamp("2026-10-05", tz="UTC"),
        pd.Timestamp("2026-11-15", tz="UTC"),
    )
    logged = found["logged"].dropna()
    assert logged.index.min() >= pd.Timestamp("2026-11-02", tz="UTC")
    assert found.loc[logged.index, "calls"].sum() == pytest.approx(logged.sum(), abs=2)


@pytest.mark.parametrize(("digest", "says"), [("nosuch", "no statement"), ("", "statements")])
def test_an_ambiguous_digest_is_refused(shop, digest, says):
    """One line that names the beginning."""
    with pytest.raises(Error, match=f"Cluster shop has .*{says} whose digest begins with '{digest}'"):
        explore.history(shop, digest)
