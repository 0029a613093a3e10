"""Shared by the tests of fetch: a simulated day behind an endpoint, and comparisons of the store with that day."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
from aws_endpoint import Cluster, Endpoint
from botocore.config import Config
from click.testing import CliRunner, Result

from aurora_analysis import Store, Window
from aurora_analysis.cli import main
from aurora_analysis.lab import shop
from aurora_analysis.sources.aws.answers import check_answers

DAY = Window("2026-11-09", "2026-11-10")
NOW = datetime(2026, 11, 10, 2, tzinfo=UTC)
NOON = Window("2026-11-09T11:00", "2026-11-09T13:00")
"""Two hours with the failover in the middle."""

KEPT = {name: {"pi_retention_days": 31} for name in ("shop-1", "shop-2", "shop-3")}


@functools.cache
def day() -> dict[str, pd.DataFrame]:
    """Return a simulated day of cluster `shop`."""
    return shop.tables(1, DAY)


@contextmanager
def endpoint(
    *misbehaving: str, frames: dict[str, pd.DataFrame] | None = None, now: datetime = NOW, **how: Any
) -> Iterator[Endpoint]:
    """Serve the day from an endpoint; keyword arguments go to the endpoint or to its cluster."""
    own = {name: how.pop(name) for name in ("latency_s", "portion_bytes", "rates") if name in how}
    cluster = Cluster("shop", frames or day(), **({"overrides": KEPT} | how))
    with Endpoint(cluster, now, misbehaving=misbehaving, **own) as aws:
        yield aws


SECRET = "not-to-be-found-anywhere"

RATES = {
    f"AURORA_ANALYSIS_RATES_{name}": "1000" for name in ("PERFORMANCE_INSIGHTS", "CLOUDWATCH", "LOGS", "RDS")
}


def environment(aws: Endpoint) -> dict[str, str]:
    """Return the environment that leads to the endpoint, with rates that never wait."""
    return aws.environment | RATES | {"AWS_SECRET_ACCESS_KEY": SECRET}


def fetch(aws: Endpoint, location: Path, *more: str, window: Window = NOON) -> Result:
    """Run the command as a user does; an exception fails the test."""
    span = [
        "--start",
        window.start.isoformat(),
        "--end",
        window.end.isoformat(),
        "--now",
        aws.now.isoformat(),
    ]
    outside = {name: None for name in os.environ if name.startswith("AWS_")}
    return CliRunner(env={**outside, **environment(aws)}).invoke(
        main, ["fetch", "--cluster", "shop", "--store", str(location), *span, *more], catch_exceptions=False
    )


def assert_same(
    store: Store, window: Window = NOON, frames: dict[str, pd.DataFrame] | None = None, *tables: str
) -> None:
    """Assert that the store equals the frames in the window, in these tables (default: all)."""
    frames = frames or day()
    checks = {
        "instances": same_roles,
        "metrics": same_metrics,
        "db_load": same_load,
        "statement_metrics": same_statistics,
        "slow_queries": same_slow_queries,
    }
    for table in tables or tuple(checks):
        checks[table](store, window, frames[table])


def inside(rows: pd.DataFrame, window: Window, time: str = "time") -> pd.DataFrame:
    """Return the rows of a window."""
    return rows[(rows[time] >= window.start) & (rows[time] < window.end)]


def same_roles(store: Store, window: Window, known: pd.DataFrame) -> None:
    """Assert that each instance has its role in every minute except the minutes of the failover."""
    minutes = pd.date_range(window.start, window.end, freq="min", inclusive="left", unit="us")
    for name, rows in known.groupby("instance"):
        minutes_of = pd.DataFrame({"time": minutes, "instance": str(name)})
        truth = pd.merge_asof(minutes_of[["time"]], rows.sort_values("time")[["time", "role"]], on="time")[
            "role"
        ]
        found = store.roles(minutes_of, cluster="shop")
        known_roles = found.notna()
        assert (found[known_roles] == truth[known_roles]).all(), name
        assert (~known_roles).sum() <= 2, name


def same_metrics(store: Store, window: Window, known: pd.DataFrame) -> None:
    """Assert that the store has every value and no other."""
    keys = ["time", "instance", "name", "statistic"]
    found = store.read("metrics", window, cluster="shop")
    found = found[found["name"].isin(known["name"].unique())]
    both = inside(known, window).merge(found, on=keys, how="outer", suffixes=("", "_found"))
    assert len(both) == len(found) == len(inside(known, window))
    assert (both["value"] == both["value_found"]).all()


def same_load(store: Store, window: Window, known: pd.DataFrame) -> None:
    """Assert equal load of each member, over the simulation's periods of five minutes."""
    keys = ["time", "instance", "dimension", "member"]
    found = store.read("db_load", window, cluster="shop")
    found = (
        found.assign(time=found["time"].dt.floor("5min"))
        .groupby(keys)["active_sessions"]
        .mean()
        .reset_index()
    )
    both = inside(known, window).merge(found, on=keys, how="outer", suffixes=("", "_found"))
    assert len(both) == len(found) == len(inside(known, window))
    assert (both["active_sessions"] - both["active_sessions_found"]).abs().max() < 1e-9


def same_statistics(store: Store, window: Window, known: pd.DataFrame) -> None:
    """Assert that each hour's calls and mean latency equal those of its minutes."""
    keys = ["time", "instance", "digest"]
    found = store.read("statement_metrics", window, cluster="shop")
    found = found.assign(time=found["time"].dt.floor("h"))
    hours = (
        found.groupby(keys)
        .agg(calls=("calls", "sum"), mean_latency_ms=("mean_latency_ms", "mean"))
        .reset_index()
    )
    both = inside(known, window).merge(hours, on=keys, how="outer", suffixes=("", "_found"))
    assert len(both) == len(inside(known, window)) == len(hours)
    assert (both["calls"] / both["calls_found"] - 1).abs().max() < 1e-9
    assert (both["mean_latency_ms"] - both["mean_latency_ms_found"]).abs().max() < 1e-9


LOGGED = ["started_at", "ended_at", "instance", "digest", "user", "host", "database", "thread_id", "query_time_s", "rows_sent", "rows_examined", "ordinal"]  # fmt: skip


def same_slow_queries(store: Store, window: Window, known: pd.DataFrame) -> None:
    """Assert that every execution that ended in the window is stored once, with its values."""
    order = ["ended_at", "instance", "thread_id", "digest", "query_time_s"]
    expected = inside(known, window, "ended_at").reindex(columns=LOGGED).sort_values(order, ignore_index=True)
    found = store.read("slow_queries", window, cluster="shop")[LOGGED].sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def coverage(store: Store, window: Window = NOON) -> pd.DataFrame:
    """Return the store's coverage of a window."""
    return store.coverage(window, cluster="shop")


def clients(aws: Endpoint, attempts: int = 8) -> dict[str, Any]:
    """Return boto3 clients of the endpoint as the command makes them, without a rate."""
    known = {
        "region_name": "eu-central-1",
        "aws_access_key_id": "AKIAEXAMPLE",
        "aws_secret_access_key": "example",
    }
    how = Config(retries={"mode": "standard", "max_attempts": attempts})
    services = ("pi", "rds", "cloudwatch", "logs")
    made = {each: boto3.client(each, endpoint_url=aws.url, config=how, **known) for each in services}
    return {service: check_answers(client) for service, client in made.items()}
