"""CloudWatch and Performance Insights names of Aurora PostgreSQL's metrics, and our names for them.

https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.AuroraMonitoring.Metrics.html
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_PerfInsights_Counters.html
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_PerfInsights.UsingDashboard.AnalyzeDBLoad.AdditionalMetrics.PostgreSQL.html
"""

from __future__ import annotations

import re

from aurora_analysis.engines.vendor_metric import StatementStatistic, VendorMetric

# CloudWatch: it has no latency but that of commits, and nothing about the horizon

INSTANCE_METRICS = {
    "CommitLatency": VendorMetric("commit_latency"),
    "CommitThroughput": VendorMetric("commit_throughput"),
    "Deadlocks": VendorMetric("deadlocks"),
    "BufferCacheHitRatio": VendorMetric("buffer_cache_hit_ratio"),
    "DatabaseConnections": VendorMetric("connections"),
    "CPUUtilization": VendorMetric("cpu_utilization"),
    "FreeableMemory": VendorMetric("freeable_memory"),
    "EngineUptime": VendorMetric("uptime"),
    "StorageNetworkThroughput": VendorMetric("storage_throughput"),
    "NetworkTransmitThroughput": VendorMetric("network_transmit"),
    "AuroraReplicaLag": VendorMetric("replica_lag"),
    "AuroraReplicaLagMaximum": VendorMetric("replica_lag_maximum"),
    "DBLoad": VendorMetric("db_load"),
    "ServerlessDatabaseCapacity": VendorMetric("serverless_capacity"),
}
"""CloudWatch's metrics of an instance. A metric that CloudWatch does not publish stays absent."""

CLUSTER_METRICS = {
    "VolumeReadIOPs": VendorMetric("volume_reads", 1.0, ("Sum",)),
    "VolumeWriteIOPs": VendorMetric("volume_writes", 1.0, ("Sum",)),
    "VolumeBytesUsed": VendorMetric("volume_bytes"),
}
"""CloudWatch's metrics of the cluster's shared volume, published every five minutes."""

WRITER_METRIC = "AuroraReplicaLagMaximum"
"""Only the writer publishes this metric."""

READER_METRIC = "AuroraReplicaLag"
"""Only readers publish this metric."""

PUBLISHED_SINCE: dict[str, dict[int, tuple[int, int]]] = {}
"""Writer metric → major version → the first version that publishes it; none is known."""


def aurora_version(text: str) -> tuple[int, int] | None:
    """Return PostgreSQL's version (major, minor), by which Aurora PostgreSQL numbers its own; None without one.

    >>> aurora_version("15.4")
    (15, 4)
    """
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


# Performance Insights

LOAD_DIMENSIONS = ("sql", "user", "host", "wait_event", "database", "application")
"""Dimensions of load that the service has for this engine, by our names."""

STATEMENT_STATISTICS = {
    "calls_per_sec": StatementStatistic("calls", 60.0),
    "avg_latency_per_call": StatementStatistic("mean_latency_ms"),
    "rows_per_sec": StatementStatistic("rows_sent", 60.0),
    "shared_blks_hit_per_call": StatementStatistic("buffers_per_call"),
}
"""Last part of a statistic's name → our column. A rate per second becomes the total of a period of 60 s."""

COUNTERS = {
    "db.transactions.oldest_reader_feedback_xid_age": "xmin_age_readers",
    "db.transactions.oldest_running_transaction_xid_age": "xmin_age_writer",
    "db.transactions.oldest_prepared_transaction_xid_age": "xmin_age_prepared",
    "db.transactions.oldest_inactive_logical_replication_slot_xid_age": "xmin_age_slots",
    "db.transactions.max_used_xact_ids": "oldest_database_age",
    "db.transactions.active_transactions": "active_transactions",
    "db.transactions.blocked_transactions": "blocked_transactions",
    "db.state.idle_in_transaction_max_time": "oldest_idle_transaction_age",
    "db.sql.tup_updated": "rows_changed",
    "os.general.numvcpus": "sampled_vcpus",
}
"""Performance Insights counter in lower case → our metric.

The service's list of available metrics gives its own spelling, and which of them an engine version has.
"""

MORE_COUNTERS = {
    "db.transactions.oldest_hot_standby_feedback_xid_age": "xmin_age_readers",
    "db.transactions.oldest_active_logical_replication_slot_xid_age": "xmin_age_slots",
    "db.sql.tup_deleted": "rows_changed",
    "db.sql.tup_inserted": "rows_changed",
}
"""Counters that add to a metric of `COUNTERS`. The first is RDS for PostgreSQL's name of Aurora's readers' counter."""

ADD_UP = frozenset({"rows_changed"})
"""Metrics that are the sum of their counters; of any other, the largest counts."""

NO_HOLDER = 2.0**31 - 1
"""The value by which an age states that nothing holds the horizon, which is stored as 0. No transaction id becomes so old."""

HOLDERS = {
    "readers": (
        "db.transactions.oldest_reader_feedback_xid_age",
        "db.transactions.oldest_hot_standby_feedback_xid_age",
    ),
    "sessions of the writer": ("db.transactions.oldest_running_transaction_xid_age",),
    "prepared transactions": ("db.transactions.oldest_prepared_transaction_xid_age",),
    "replication slots": (
        "db.transactions.oldest_inactive_logical_replication_slot_xid_age",
        "db.transactions.oldest_active_logical_replication_slot_xid_age",
    ),
}
"""Kind of holder of cleanup → the counters of its age, in lower case; one of them must be on offer."""
