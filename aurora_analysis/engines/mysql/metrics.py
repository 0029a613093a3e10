"""CloudWatch and Performance Insights names of Aurora MySQL's metrics, and our names for them.

https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.AuroraMonitoring.Metrics.html
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_PerfInsights_Counters.html
"""

from __future__ import annotations

import re

from aurora_analysis.engines.vendor_metric import StatementStatistic, VendorMetric

# CloudWatch

PER_MINUTE = 1 / 60
"""Converts a count of a minute, which is what the service sends each minute, to a rate per second."""

INSTANCE_METRICS = {
    "RollbackSegmentHistoryListLength": VendorMetric("history_list_length"),
    "PurgeBoundary": VendorMetric("purge_boundary"),
    "PurgeFinishedPoint": VendorMetric("purge_finished"),
    "TransactionAgeMaximum": VendorMetric("oldest_transaction_age", 1.0, ("Maximum",)),
    "ActiveTransactions": VendorMetric("active_transactions"),
    "BlockedTransactions": VendorMetric("blocked_transactions"),
    "CommitLatency": VendorMetric("commit_latency"),
    "CommitThroughput": VendorMetric("commit_throughput"),
    "DMLLatency": VendorMetric("dml_latency"),
    "DMLThroughput": VendorMetric("dml_throughput"),
    "SelectLatency": VendorMetric("select_latency"),
    "SelectThroughput": VendorMetric("select_throughput"),
    "DDLLatency": VendorMetric("ddl_latency"),
    "Queries": VendorMetric("query_throughput"),
    "RowLockTime": VendorMetric("row_lock_time"),
    "Deadlocks": VendorMetric("deadlocks"),
    "BufferCacheHitRatio": VendorMetric("buffer_cache_hit_ratio"),
    "DatabaseConnections": VendorMetric("connections"),
    "ConnectionAttempts": VendorMetric("connection_attempts", PER_MINUTE),
    "AbortedClients": VendorMetric("aborted_clients", PER_MINUTE),
    "LoginFailures": VendorMetric("login_failures"),
    "AuroraSlowConnectionHandleCount": VendorMetric("slow_connections", PER_MINUTE),
    "AuroraMemoryNumKillQueryTotal": VendorMetric("queries_killed", 1.0, ("Maximum",)),
    "CPUUtilization": VendorMetric("cpu_utilization"),
    "FreeableMemory": VendorMetric("freeable_memory"),
    "EngineUptime": VendorMetric("uptime"),
    "StorageNetworkThroughput": VendorMetric("storage_throughput"),
    "NetworkTransmitThroughput": VendorMetric("network_transmit"),
    "AuroraReplicaLag": VendorMetric("replica_lag"),
    "AuroraReplicaLagMaximum": VendorMetric("replica_lag_maximum"),
    "DBLoad": VendorMetric("db_load"),
    "ServerlessDatabaseCapacity": VendorMetric("serverless_capacity"),
    "ACUUtilization": VendorMetric("acu_utilization"),
    "BacktrackWindowActual": VendorMetric("backtrack_window"),
    "BacktrackWindowAlert": VendorMetric("backtrack_alerts", 1.0, ("Sum",)),
}
"""CloudWatch's metrics of an instance. A metric that CloudWatch does not publish stays absent.

An analysis, a plot or doctor names each of these (`tests/fetch/test_used_metrics.py`): what nothing reads is not fetched.
"""

CLUSTER_METRICS = {
    "VolumeReadIOPs": VendorMetric("volume_reads", 1.0, ("Sum",)),
    "VolumeWriteIOPs": VendorMetric("volume_writes", 1.0, ("Sum",)),
    "VolumeBytesUsed": VendorMetric("volume_bytes"),
    "BacktrackChangeRecordsCreationRate": VendorMetric("backtrack_records_created", 1.0, ("Sum",)),
    "BacktrackChangeRecordsStored": VendorMetric("backtrack_records_stored"),
}
"""CloudWatch's metrics of the cluster's shared volume, published every five minutes."""

WRITER_METRIC = "AuroraReplicaLagMaximum"
"""Only the writer publishes this metric."""

READER_METRIC = "AuroraReplicaLag"
"""Only readers publish this metric."""

PUBLISHED_SINCE = {
    "PurgeBoundary": {2: (2, 11), 3: (3, 8)},
    "TransactionAgeMaximum": {3: (3, 8)},
}
"""Writer metric → major version of Aurora MySQL → the first version that publishes it."""


def aurora_version(text: str) -> tuple[int, int] | None:
    """Return Aurora MySQL's own version (major, minor), or None if the text has none.

    >>> aurora_version("8.0.mysql_aurora.3.08.1")
    (3, 8)
    """
    found = re.search(r"aurora\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


# Performance Insights

LOAD_DIMENSIONS = ("sql", "user", "host", "wait_event", "database")
"""Dimensions of load that the service has for this engine, by our names."""

STATEMENT_STATISTICS = {
    "count_star_per_sec": StatementStatistic("calls", 60.0),
    "sum_timer_wait_per_call": StatementStatistic("mean_latency_ms"),
    "sum_rows_examined_per_sec": StatementStatistic("rows_examined", 60.0),
    "sum_rows_sent_per_sec": StatementStatistic("rows_sent", 60.0),
}
"""Last part of a statistic's name → our column. A rate per second becomes the total of a period of 60 s."""

COUNTERS = {
    "db.transactions.trx_rseg_history_len": "sampled_history_list_length",
    "db.sql.innodb_rows_read": "rows_read",
    "db.sql.innodb_rows_changed": "rows_changed",
    "db.users.threads_running": "threads_running",
    "db.cache.innodb_buffer_pool_reads": "buffer_pool_reads",
    "db.locks.innodb_row_lock_waits": "row_lock_waits",
    "db.temp.created_tmp_disk_tables": "temporary_disk_tables",
    "os.general.numvcpus": "sampled_vcpus",
}
"""Performance Insights counter in lower case → our metric. CloudWatch has none of these counters.

Requests use the service's own spelling, which its list of available metrics gives.
"""

MORE_COUNTERS: dict[str, str] = {}
"""Counters that add to a metric of `COUNTERS`: none."""

ADD_UP: frozenset[str] = frozenset()
"""Metrics that are the sum of their counters; of any other, the largest counts."""

NO_HOLDER: float | None = None
"""The value by which an age states that there is nothing: MySQL's counters have none."""

HOLDERS: dict[str, tuple[str, ...]] = {}
"""Kind of holder of cleanup → the counters of its age, in lower case: MySQL's counters do not distinguish kinds."""
