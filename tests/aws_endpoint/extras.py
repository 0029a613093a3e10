"""What a recorded cluster lacks and a real one has: connections, endpoints, a serverless reader, backtracking, advice.

Values are made, not recorded: they depend on nothing but the times of the cluster's own metrics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

ENDPOINTS = (
    {
        "DBClusterEndpointIdentifier": "analytics",
        "CustomEndpointType": "ANY",
        "StaticMembers": ["shop-3"],
    },
    {
        "DBClusterEndpointIdentifier": "dashboards",
        "CustomEndpointType": "READER",
        "ExcludedMembers": ["shop-3"],
    },
)
"""`analytics` follows shop-3 to the writer's place; `dashboards` leads to readers alone."""

OVERRIDES: dict[str, dict[str, Any]] = {
    "shop-1": {"promotion_tier": 1},
    "shop-2": {"promotion_tier": 0},
    "shop-3": {"promotion_tier": 0, "instance_class": "db.serverless"},
}
"""shop-3 is serverless, and would be promoted first."""

ORDINARY_PER_S = 1.5
RECONNECTION_MIN, STORM_MIN = 6, 20
STORM_PER_S = 45.0
STORM_DAYS = 3.6
"""The storm begins this long before the end of the metrics, in the afternoon of a working day [d]."""

BACKTRACK_H = 24


def with_extras(tables: dict[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Return the tables with more metrics, and the fields of the cluster that frames do not express."""
    times = _minutes(tables["metrics"])
    end = times[-1] + pd.Timedelta("1min")
    found = [_connections(name, times, tables["events"]) for name in OVERRIDES]
    found += [_serverless("shop-3", times), _backtrack(times)]
    added = pd.concat(found).assign(cluster=tables["metrics"]["cluster"].iloc[0])
    metrics = pd.concat([tables["metrics"], added], ignore_index=True)
    settings = {
        "BacktrackWindow": BACKTRACK_H * 3600,
        "EarliestBacktrackTime": (end - pd.Timedelta("20h")).timestamp(),
    }
    how = {
        "custom_endpoints": ENDPOINTS,
        "overrides": OVERRIDES,
        "settings": settings,
        "recommendations": (_advice(end - pd.Timedelta("3D")),),
    }
    return tables | {"metrics": metrics}, how


def _minutes(metrics: pd.DataFrame) -> pd.DatetimeIndex:
    """Every minute of the part that was recorded by the minute."""
    fine = metrics[metrics["period_s"] == 60]["time"]
    return pd.date_range(fine.min(), fine.max(), freq="min")


def _rows(times: pd.DatetimeIndex, instance: str | None, **values: Any) -> pd.DataFrame:
    frames = [pd.DataFrame({"time": times, "name": name, "value": value}) for name, value in values.items()]
    return pd.concat(frames).assign(period_s=60.0, instance=instance, statistic="average")


def _connections(name: str, times: pd.DatetimeIndex, events: pd.DataFrame) -> pd.DataFrame:
    """Attempts that follow the hour; all clients reconnect after a failover, and a storm without a cause on shop-1."""
    attempts = ORDINARY_PER_S * (1.0 + 0.4 * np.sin(2 * np.pi * (times.hour.to_numpy() - 9) / 24))
    slow = np.zeros(len(times))
    for moment in events[events["message"].str.startswith("Completed failover")]["time"]:
        attempts[(times >= moment) & (times < moment + pd.Timedelta(minutes=RECONNECTION_MIN))] *= 15
    begun = (times[-1] - pd.Timedelta(days=STORM_DAYS)).floor("h")
    if name == "shop-1":
        storm = np.asarray((times >= begun) & (times < begun + pd.Timedelta(minutes=STORM_MIN)))
        attempts[storm], slow[storm] = STORM_PER_S, 0.2
    return _rows(
        times,
        name,
        connection_attempts=attempts,
        aborted_clients=0.01,
        login_failures=0.002,
        slow_connections=slow,
        query_throughput=900.0,
        uptime=86400.0 * 90 + 60.0 * np.arange(len(times)),
    )


def _serverless(name: str, times: pd.DatetimeIndex) -> pd.DataFrame:
    """Capacity of 8 to 32 ACU by the hour."""
    acus = 20.0 - 12.0 * np.cos(2 * np.pi * times.hour.to_numpy() / 24)
    return _rows(times, name, serverless_capacity=acus, acu_utilization=100 * acus / 32.0)


def _backtrack(times: pd.DatetimeIndex) -> pd.DataFrame:
    """Change records of the cluster every five minutes; the writer's alerts of the last day are of shop-2."""
    fives = times[times.minute % 5 == 0]
    records = _rows(fives, None, backtrack_records_created=150_000.0, backtrack_records_stored=36e6)
    alerts = np.where(fives >= fives[-1] - pd.Timedelta("6h"), 1.0, 0.0)
    window = _rows(fives, "shop-2", backtrack_window=1200.0, backtrack_alerts=alerts)
    return pd.concat([records, window]).assign(period_s=300.0)


def _advice(moment: pd.Timestamp) -> dict[str, Any]:
    return {
        "ResourceArn": "arn:aws:rds:eu-central-1:123456789012:db:shop-2",
        "Severity": "high",
        "Status": "active",
        "CreatedTime": moment.timestamp(),
        "UpdatedTime": moment.timestamp(),
        "Detection": "The **InnoDB history list length** increased significantly",
        "Recommendation": "Commit or roll back long-running transactions",
    }
