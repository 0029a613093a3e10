"""Every metric of the store and every word of the glossary: the authority for code and documentation.

`docs/generate.py` makes the reference pages from this module.
"""

from __future__ import annotations

from typing import NamedTuple

from aurora_analysis.tables import DIGEST


class Metric(NamedTuple):
    """A metric's unit and meaning. The vendor's names for it are in `engines/*/metrics.py`."""

    unit: str
    meaning: str


METRICS: dict[str, Metric] = {
    "history_list_length": Metric(
        "transactions", "committed transactions whose undo records purge has not removed yet"
    ),
    "sampled_history_list_length": Metric(
        "transactions",
        "history list length sampled once a minute by Performance Insights, which keeps minutes longer than CloudWatch",
    ),
    "purge_boundary": Metric(
        "transaction number",
        "purge is allowed up to this transaction; it stands still while a read view blocks purge",
    ),
    "purge_finished": Metric("transaction number", "undo records are purged up to this transaction"),
    "trx_counter": Metric("transaction number", "the next transaction's number"),
    "open_read_views": Metric("views", "read views open inside InnoDB"),
    "next_transaction_id": Metric(
        "transaction number", "the next transaction id, with its epoch (PostgreSQL)"
    ),
    "xmin_horizon": Metric(
        "transaction number",
        "the oldest transaction id that anything in the cluster needs; it stands still while a snapshot blocks vacuum",
    ),
    "oldest_database_age": Metric(
        "transactions",
        "age of the oldest unfrozen transaction id: between freezes it grows by the ids handed out",
    ),
    "oldest_idle_transaction_age": Metric("s", "longest time that a session has been idle in a transaction"),
    "xmin_horizon_age": Metric(
        "transactions",
        "transaction ids handed out since the oldest one that anything in the cluster needs: vacuum spares what is younger",
    ),
    "xmin_age_readers": Metric(
        "transactions", "age of the oldest snapshot that a reader reports to the writer"
    ),
    "xmin_age_writer": Metric(
        "transactions", "age of the oldest transaction id that a session of the writer needs"
    ),
    "xmin_age_prepared": Metric("transactions", "age of the oldest prepared transaction"),
    "xmin_age_slots": Metric(
        "transactions", "age of the oldest transaction id that a replication slot keeps"
    ),
    "dead_rows": Metric(
        "rows", "dead row versions that vacuum has not removed, of the 20 tables with the most"
    ),
    "commit_latency": Metric("ms", "mean latency of a commit"),
    "dml_latency": Metric("ms", "mean latency of an INSERT, UPDATE or DELETE"),
    "select_latency": Metric("ms", "mean latency of a SELECT"),
    "queue_latency": Metric(
        "ms",
        "latency of the lab's queue consumer: one batch read and deleted (average, p50, p95, p99)",
    ),
    "canary_latency": Metric(
        "ms",
        "latency of a trial's own small transaction on the writer: one row read and updated",
    ),
    "commit_throughput": Metric("1/s", "commits per second"),
    "dml_throughput": Metric("1/s", "INSERT, UPDATE and DELETE statements per second"),
    "select_throughput": Metric("1/s", "SELECT statements per second"),
    "queue_throughput": Metric("1/s", "batches of the lab's queue consumer per second"),
    "planned_rate": Metric("1/s", "load planned by the lab's schedule"),
    "active_transactions": Metric("transactions", "open transactions"),
    "cpu_utilization": Metric("%", "CPU in use"),
    "replica_lag": Metric("ms", "time by which a reader is behind the writer"),
    "replica_lag_maximum": Metric(
        "ms", "lag of the reader that is furthest behind; only the writer reports it"
    ),
    "oldest_transaction_age": Metric("s", "age of the instance's oldest open transaction"),
    "blocked_transactions": Metric("1/s", "transactions blocked per second"),
    "ddl_latency": Metric("ms", "mean latency of a DDL statement"),
    "query_throughput": Metric("1/s", "statements per second"),
    "row_lock_time": Metric("ms", "time spent acquiring row locks"),
    "deadlocks": Metric("1/s", "deadlocks per second"),
    "buffer_cache_hit_ratio": Metric("%", "page requests answered from the buffer pool"),
    "connections": Metric("connections", "client connections"),
    "connection_attempts": Metric("1/s", "attempts to connect per second, successful or not"),
    "aborted_clients": Metric("1/s", "connections per second that ended without being closed properly"),
    "login_failures": Metric("1/s", "attempts to log in that were refused per second"),
    "slow_connections": Metric("1/s", "connections per second that waited 2 s or longer for their handshake"),
    "queries_killed": Metric(
        "queries", "queries that Aurora ended so as not to run out of memory; a rise is a killed query"
    ),
    "vcpus": Metric("vCPUs", "virtual CPUs that the operating system counts"),
    "sampled_vcpus": Metric("vCPUs", "virtual CPUs, sampled once a minute by Performance Insights"),
    "serverless_capacity": Metric(
        "ACU", "capacity of a serverless instance at the time; 1 ACU has about 2 GiB"
    ),
    "acu_utilization": Metric("%", "capacity in use, of the maximum that is set for a serverless instance"),
    "backtrack_window": Metric(
        "min", "time that the cluster can be rewound (CloudWatch: BacktrackWindowActual), on the writer"
    ),
    "backtrack_alerts": Metric("alerts", "times that the backtrack window was shorter than its target"),
    "backtrack_records_created": Metric("1/5 min", "change records that backtracking wrote in five minutes"),
    "backtrack_records_stored": Metric("records", "change records that backtracking keeps, which are billed"),
    "freeable_memory": Metric("bytes", "memory that is free or can be freed"),
    "uptime": Metric("s", "time since the engine started; a drop is a restart"),
    "storage_throughput": Metric("bytes/s", "traffic with the shared storage volume"),
    "network_transmit": Metric("bytes/s", "traffic to clients; a bulk extract raises it on its reader"),
    "db_load": Metric("sessions", "average active sessions"),
    "volume_reads": Metric("1/5 min", "billed reads of the shared volume, all instances together"),
    "volume_writes": Metric("1/5 min", "billed writes of the shared volume"),
    "volume_bytes": Metric("bytes", "size of the shared volume"),
    "rows_read": Metric("1/s", "rows read inside InnoDB per second"),
    "rows_changed": Metric("1/s", "rows written inside InnoDB per second"),
    "threads_running": Metric("threads", "threads that run a statement"),
    "buffer_pool_reads": Metric("1/s", "page reads that missed the buffer pool"),
    "row_lock_waits": Metric("1/s", "row lock waits per second"),
    "temporary_disk_tables": Metric("1/s", "temporary tables written to disk per second"),
    "os_storage_read_latency": Metric("ms", "latency of a read of the shared storage"),
    "os_storage_write_latency": Metric("ms", "latency of a write of the shared storage"),
    "os_local_used": Metric("%", "used share of the local file system"),
}
"""Metric name → unit and meaning. A source translates the vendor's name to one of these names, once."""

WORDS: dict[str, str] = {
    "active sessions": "sessions that run or wait at a moment; their mean over time is the db load",
    "baseline": "a window kept under a name, for later windows to be compared with",
    "carry-over": "the effect of a run after its end, while purge or vacuum catches up",
    "controls": "influences on the writer's latency that the estimate holds constant: time of day, load, jobs, drift",
    "coverage": "the fraction of a window for which data are present",
    "dead row": "an old row version that stays in its table until vacuum removes it (PostgreSQL)",
    "digest": DIGEST.meaning,
    "episode": "a span in which the history list, or the age of the xmin horizon, grows out of its usual range",
    "exposure": "the time in which a workload had a statement open",
    "fingerprint": "a statement with its literals replaced",
    "history list length": f"{METRICS['history_list_length'].meaning} (CloudWatch: RollbackSegmentHistoryListLength)",
    "hold": "the time for which one session keeps a read view or snapshot open and so blocks cleanup",
    "longest allowed hold": "the time for which a read view or snapshot may be held before the writer's latency is higher by an objective",
    "materiality": "the smallest effect that matters to you, 5 % by default",
    "minute mean": "the mean latency of a minute, as CloudWatch reports it; its p95 is not the p95 of statements",
    "objective": "the slowdown of the writer that is not to be exceeded, 10 % by default",
    "placebo": "a workload's real run times moved to other days, where they cannot have had an effect",
    "pre-trend": "an effect that seems to begin before the run: a sign of another cause",
    "purge": "InnoDB's removal of undo records that no read view needs any more",
    "purge blocked": "the purge boundary stands still because a session holds a read view open",
    "purge outrun": "the purge boundary moves and purge trails it: writes are faster than purge",
    "queue statements": "the statements with which the lab's job queue reads and deletes one batch; only lab clusters have their latency",
    "read view": "the snapshot that a statement or transaction reads from; purge keeps every record it may need",
    "severity": "how urgent a finding is: act, watch, unknown or ok",
    "snapshot": "what a statement or transaction reads from; on PostgreSQL vacuum keeps every row version it may need",
    "vacuum": "PostgreSQL's removal of dead rows that no snapshot needs any more",
    "vacuum blocked": "the xmin horizon stands still because something needs its transaction id",
    "vacuum outrun": "nothing holds the xmin horizon, and a table has far more dead rows than autovacuum allows",
    "window": "a half-open span of time, in UTC",
    "workload": "a named group of reader sessions, by user, host, digest or SQL comment",
    "writer, reader": "the instance that may write, and one that shares its storage volume",
    "xmin horizon": f"{METRICS['xmin_horizon'].meaning} (PostgreSQL)",
}
"""The words that the suite uses, each with its meaning."""
