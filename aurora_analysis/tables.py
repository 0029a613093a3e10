"""Every table of the store: its columns, their units, and one sentence on each. The glossary, in code.

All times are UTC and mark the start of a period unless the name says otherwise; a unit that is not in a
column's name stands in brackets. Every table has `cluster` and `day` (of its time column), the partitions;
every table that is fetched or recorded has `source`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

SCHEMA_VERSION = 1
"""Raised when a column changes its meaning; a store of a higher version is refused."""

Type = Literal["timestamp", "text", "real", "integer", "boolean"]


class TrialEvent(StrEnum):
    """Categories of a trial's rows in `events`."""

    LOADED = "trial on a loaded writer"
    IDLE_CLONE = "trial on an idle clone"
    STOPPED = "trial broken off"


@dataclass(frozen=True)
class Column:
    """A column: its name, type, and what one value means."""

    name: str
    type: Type
    meaning: str


@dataclass(frozen=True)
class Table:
    """A table: what one row is, its columns, and how a window of it is written.

    `time` is the column that windows cut on. `identity` names the columns that tell two rows apart where
    sources overlap: such a table is merged row by row; one without is replaced window by window.
    """

    name: str
    row: str
    columns: tuple[Column, ...]
    time: str = "time"
    identity: tuple[str, ...] = ()

    def column_names(self) -> list[str]:
        """The names of all columns, partitions first."""
        return [column.name for column in self.columns]


CLUSTER = Column("cluster", "text", "the DB cluster's identifier")
DAY = Column("day", "text", "the UTC day of the row's time, as YYYY-MM-DD")
SOURCE = Column("source", "text", "where the row came from: a service, a file, a server")
TIME = Column("time", "timestamp", "the start of the period")
PERIOD = Column("period_s", "real", "the length of the period")
INSTANCE = Column("instance", "text", "the DB instance's identifier")
DIGEST = Column("digest", "text", "the hash of the statement's fingerprint")


def _table(
    name: str, row: str, *columns: Column, time: str = "time", identity: tuple[str, ...] = ()
) -> Table:
    return Table(name, row, (CLUSTER, DAY, SOURCE, *columns), time, identity)


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        _table(
            "instances",
            "an instance as it was seen at a time",
            Column("time", "timestamp", "when it was seen so; it holds until the next row"),
            INSTANCE,
            Column("resource_id", "text", "the instance's immutable resource id"),
            Column("role", "text", "writer or reader"),
            Column("instance_class", "text", "the instance class, such as db.r6g.2xlarge"),
            Column("vcpus", "real", "virtual CPUs"),
            Column("engine", "text", "aurora-mysql, or what stands in for it"),
            Column("engine_version", "text", "the engine's version as the server says it"),
            Column("long_query_time_s", "real", "statements at least this long reach the slow log"),
            Column(
                "min_examined_row_limit",
                "integer",
                "statements that examine fewer rows than this do not [rows]",
            ),
            Column(
                "log_slow_rate_limit", "real", "one in so many statements or sessions is logged; 1 is all"
            ),
            Column("isolation_level", "text", "the default isolation level of sessions"),
            Column("pi_retention_days", "real", "how long Performance Insights keeps its data"),
            Column("slow_query_log", "boolean", "whether the slow log is on"),
            Column("log_output", "text", "FILE, TABLE or NONE: only FILE can be exported"),
            Column(
                "read_committed_on_readers",
                "boolean",
                "whether a reader's sessions may use READ COMMITTED, which holds no long read view",
            ),
            Column("purge_threads", "integer", "InnoDB's purge threads"),
            Column("promotion_tier", "integer", "the order in which readers are promoted, 0 first"),
            Column("custom_endpoints", "text", "the custom endpoints that may lead to it, by name"),
            Column("monitoring_interval_s", "real", "the interval of Enhanced Monitoring; 0 is off"),
        ),
        _table(
            "events",
            "something that happened to the cluster or an instance",
            Column("time", "timestamp", "when it happened"),
            INSTANCE,
            Column("category", "text", "failover, availability, configuration change, note, …"),
            Column("message", "text", "what the service said"),
        ),
        _table(
            "metrics",
            "one value of a metric over one period",
            TIME,
            PERIOD,
            Column("instance", "text", "the DB instance's identifier; null for the cluster's own metrics"),
            Column("name", "text", "the metric, in the field's word; METRICS tells each"),
            Column("statistic", "text", "average, sum, maximum, p50, p95, p99, last or sample_count"),
            Column("value", "real", "the value, in the metric's unit"),
        ),
        _table(
            "db_load",
            "the active sessions of one member of a dimension over one period",
            TIME,
            PERIOD,
            INSTANCE,
            Column("dimension", "text", "sql, user, host, wait_event or database"),
            Column(
                "member",
                "text",
                "the digest, user, host, wait event or database; (other) is what the members listed leave of the total; "
                "below the top 25 is not listed, which is not zero",
            ),
            Column("active_sessions", "real", "average active sessions: db load [sessions]"),
        ),
        _table(
            "statement_metrics",
            "a digest's statistics over one period",
            TIME,
            PERIOD,
            INSTANCE,
            DIGEST,
            Column("calls", "real", "executions in the period"),
            Column("mean_latency_ms", "real", "mean latency of an execution"),
            Column("rows_examined", "real", "rows examined in the period"),
            Column("rows_sent", "real", "rows sent in the period"),
        ),
        _table(
            "histograms",
            "one bucket of a digest's latency histogram over one period",
            TIME,
            PERIOD,
            INSTANCE,
            DIGEST,
            Column("bucket", "integer", "the bucket's number; analysis/latency.py gives its bounds"),
            Column("count", "integer", "executions in the bucket"),
        ),
        _table(
            "slow_queries",
            "one execution of a statement that reached the slow log",
            Column("started_at", "timestamp", "when the execution began"),
            Column("ended_at", "timestamp", "when the execution ended"),
            Column("time_precision_s", "real", "how exact the two times are"),
            INSTANCE,
            DIGEST,
            Column("user", "text", "the session's user"),
            Column("host", "text", "the client's host name, or its address where there is no name"),
            Column("database", "text", "the default database, where the log tells it"),
            Column("thread_id", "integer", "the connection's id"),
            Column("query_time_s", "real", "how long the execution took"),
            Column("lock_time_s", "real", "how much of that was waiting for locks"),
            Column("rows_sent", "integer", "rows sent to the client"),
            Column("rows_examined", "integer", "rows examined"),
            Column("ordinal", "integer", "the number among executions that are otherwise the same, from 0"),
            Column("tags", "text", "key=value pairs of the statement's comments, as JSON"),
            Column("extras", "text", "the log's further fields, as JSON"),
            time="ended_at",
            identity=(
                "cluster",
                "instance",
                "ended_at",
                "thread_id",
                "query_time_s",
                "lock_time_s",
                "digest",
                "ordinal",
            ),
        ),
        _table(
            "statements",
            "a statement's digest",
            DIGEST,
            Column("fingerprint", "text", "the statement with its literals replaced"),
            Column(
                "join_key",
                "text",
                "the text that joins slow log, Performance Insights and performance_schema",
            ),
            Column("pi_id", "text", "the id that Performance Insights gives it"),
            Column("server_digest", "text", "the digest that performance_schema gives it"),
            Column("kind", "text", "select, insert, update, delete, call, …"),
            Column("first_seen", "timestamp", "the first execution known"),
            Column("last_seen", "timestamp", "the last execution known"),
            time="first_seen",
            identity=("cluster", "digest"),
        ),
        _table(
            "examples",
            "one execution of a digest, literals and all: kept only where the settings say examples = true",
            Column("time", "timestamp", "when the execution ended"),
            INSTANCE,
            DIGEST,
            Column("query_time_s", "real", "how long it ran"),
            Column("text", "text", "the statement as it ran, cut at 4,096 bytes"),
            identity=("cluster", "digest"),
        ),
        _table(
            "open_transactions",
            "a live transaction at a sample",
            Column("time", "timestamp", "when the sample was taken"),
            INSTANCE,
            Column("thread_id", "integer", "the connection's id"),
            Column("user", "text", "the session's user"),
            Column("host", "text", "the client's host"),
            Column("client", "text", "the client program, where it names itself"),
            Column("command", "text", "Query, or Sleep where the session is idle"),
            Column("started_at", "timestamp", "when the transaction began"),
            Column("isolation_level", "text", "the transaction's isolation level"),
            Column("rows_modified", "integer", "rows that it has written"),
            Column("has_read_view", "boolean", "whether it holds a read view open"),
            Column("digest", "text", "the hash of the running statement's fingerprint; null where none runs"),
        ),
        _table(
            "read_views",
            "an instance's oldest read view at a sample",
            Column("time", "timestamp", "when the sample was taken"),
            INSTANCE,
            Column("role", "text", "writer or reader"),
            Column(
                "oldest_read_view_trx_id", "integer", "the oldest transaction that the view may still need"
            ),
            Column("replica_lag_ms", "real", "how far the reader is behind the writer"),
        ),
        _table(
            "coverage",
            "what one fetch, recording or ingest got of one table",
            Column("time", "timestamp", "the start of the span asked for"),
            Column("end", "timestamp", "the end of the span asked for (exclusive)"),
            INSTANCE,
            Column("table", "text", "the table that was written"),
            Column("expected", "real", "what a whole span holds [rows, points or bytes: unit]"),
            Column(
                "received", "real", "what was there; null where asking failed, and the next fetch asks again"
            ),
            Column("lost", "real", "what was there and could not be read"),
            Column("unit", "text", "what the three count"),
            Column("note", "text", "what there is to say"),
        ),
        _table(
            "trials",
            "one block of a randomised on/off trial",
            Column("time", "timestamp", "the planned start of the block's run, drawn for on and off alike"),
            Column("end", "timestamp", "the planned end of the block's run"),
            Column("trial", "text", "the trial's name"),
            Column("block", "integer", "the block's number, from 0"),
            Column("workload", "text", "the workload that is switched"),
            Column("assigned", "boolean", "whether the block was drawn to be on"),
            Column(
                "on_share", "real", "the share of the trial's blocks that are on, which the draw keeps fixed"
            ),
            Column("started_at", "timestamp", "when the run really began; null where off"),
            Column("ended_at", "timestamp", "when the run really ended; null where off"),
            Column(
                "holds_view",
                "boolean",
                "the truth, where it is planted: whether a run of it holds a read view open",
            ),
        ),
        _table(
            "baselines",
            "a window that is kept under a name, to compare others with",
            Column("time", "timestamp", "the start of the window"),
            Column("end", "timestamp", "the end of the window (exclusive)"),
            Column("name", "text", "the baseline's name"),
            Column("note", "text", "why it was kept"),
        ),
        _table(
            "runs",
            "a notebook's newest run for a window of a cluster",
            Column("time", "timestamp", "the start of the window"),
            Column("end", "timestamp", "the end of the window (exclusive)"),
            Column("notebook", "text", "the notebook's name"),
            Column("run", "text", "the id of the report that it was run for"),
            Column("status", "text", "done, or failed"),
            Column("error", "text", "what stopped it; empty where nothing did"),
            Column("severity", "text", "of its most severe finding; null where it came to none"),
            Column("seconds", "real", "how long it took"),
            Column("parameters", "text", "what it was given, as JSON"),
            Column("versions", "text", "the versions of the tables that it read, as JSON"),
            Column("package_version", "text", "the aurora-analysis that ran it"),
            Column("git_sha", "text", "and its commit, where it ran from a checkout"),
        ),
        _table(
            "findings",
            "a finding of a notebook's newest run for a window of a cluster",
            Column("time", "timestamp", "the start of the window"),
            Column("end", "timestamp", "the end of the window (exclusive)"),
            Column("notebook", "text", "the notebook's name"),
            Column("run", "text", "the id of the report that it was found for"),
            Column("page", "text", "where in that report it stands"),
            Column("topic", "text", "the question that it answers"),
            Column("subject", "text", "whom or what it speaks of"),
            Column("level", "text", "the topic's own word for it"),
            Column("severity", "text", "act, watch, unknown or ok"),
            Column("sentence", "text", "the computed conclusion"),
            Column("numbers", "text", "what the sentence was computed from, as JSON"),
            Column("evidence", "text", "where to look"),
            Column("action", "text", "what to do first"),
        ),
    )
}

METRICS: dict[str, tuple[str, str]] = {
    "history_list_length": ("transactions", "committed transactions whose undo purge has yet to remove"),
    "purge_boundary": (
        "transaction number",
        "up to which purge is allowed: it stands still while a read view holds it",
    ),
    "purge_finished": ("transaction number", "up to which purge is done"),
    "trx_counter": ("transaction number", "the next transaction's number"),
    "open_read_views": ("views", "read views open inside InnoDB"),
    "commit_latency": ("ms", "mean latency of a commit"),
    "dml_latency": ("ms", "mean latency of an INSERT, UPDATE or DELETE"),
    "select_latency": ("ms", "mean latency of a SELECT"),
    "queue_latency": (
        "ms",
        "latency of the lab's queue consumer: one batch read and deleted (average, p50, p95, p99)",
    ),
    "canary_latency": (
        "ms",
        "latency of a trial's own small transaction on the writer: one row read and updated",
    ),
    "commit_throughput": ("1/s", "commits a second"),
    "dml_throughput": ("1/s", "INSERT, UPDATE and DELETE statements a second"),
    "select_throughput": ("1/s", "SELECT statements a second"),
    "queue_throughput": ("1/s", "batches of the lab's queue consumer a second"),
    "planned_rate": ("1/s", "the load that the lab's schedule asked for"),
    "active_transactions": ("transactions", "open transactions"),
    "cpu_utilization": ("%", "CPU in use"),
    "replica_lag": ("ms", "how far a reader is behind the writer"),
    "replica_lag_maximum": ("ms", "the lag of the reader that is furthest behind; only the writer tells it"),
    "undo_truncated": ("transaction number", "up to which undo space is given back"),
    "oldest_transaction_age": ("s", "age of the instance's oldest open transaction"),
    "blocked_transactions": ("1/s", "transactions blocked a second"),
    "insert_latency": ("ms", "mean latency of an INSERT"),
    "update_latency": ("ms", "mean latency of an UPDATE"),
    "delete_latency": ("ms", "mean latency of a DELETE"),
    "ddl_latency": ("ms", "mean latency of a DDL statement"),
    "query_throughput": ("1/s", "statements a second"),
    "row_lock_time": ("ms", "time spent acquiring row locks"),
    "deadlocks": ("1/s", "deadlocks a second"),
    "buffer_cache_hit_ratio": ("%", "page requests that the buffer pool answers"),
    "connections": ("connections", "client connections"),
    "freeable_memory": ("bytes", "memory that is free or can be freed"),
    "uptime": ("s", "since the engine started: a drop is a restart"),
    "storage_throughput": ("bytes/s", "traffic with the shared storage: who reads the volume"),
    "network_transmit": ("bytes/s", "traffic to clients: bulk extraction shows on the reader"),
    "db_load": ("sessions", "average active sessions"),
    "volume_reads": ("1/5 min", "reads of the shared volume that are billed, all instances together"),
    "volume_writes": ("1/5 min", "writes of the shared volume that are billed"),
    "volume_bytes": ("bytes", "size of the shared volume"),
    "rows_read": ("1/s", "rows read inside InnoDB a second"),
    "rows_changed": ("1/s", "rows written inside InnoDB a second"),
    "threads_running": ("threads", "threads that run a statement"),
    "buffer_pool_reads": ("1/s", "page reads that the buffer pool could not answer"),
    "row_lock_waits": ("1/s", "row lock waits a second"),
    "temporary_disk_tables": ("1/s", "temporary tables written to disk a second"),
    "slow_query_throughput": ("1/s", "statements a second that reached long_query_time"),
    "os_cpu": ("%", "CPU in use, as the operating system counts it"),
    "os_cpu_wait": ("%", "CPU waiting for input or output"),
    "os_load": ("processes", "load average of one minute"),
    "os_memory_free": ("bytes", "memory that nothing uses"),
    "os_memory_cached": ("bytes", "memory of the file cache"),
    "os_swap_free": ("bytes", "swap space that is free"),
    "os_tasks_running": ("tasks", "tasks that run"),
    "os_tasks_blocked": ("tasks", "tasks that wait for input or output"),
    "os_network_receive": ("bytes/s", "traffic received"),
    "os_network_transmit": ("bytes/s", "traffic sent"),
    "os_storage_read_latency": ("ms", "latency of a read of the shared storage"),
    "os_storage_write_latency": ("ms", "latency of a write of the shared storage"),
    "os_storage_read_iops": ("1/s", "reads of the shared storage"),
    "os_storage_write_iops": ("1/s", "writes of the shared storage"),
    "os_storage_queue": ("requests", "requests that wait for the shared storage"),
    "os_local_await": ("ms", "latency of a request of the local temporary volume"),
    "os_local_iops": ("1/s", "requests of the local temporary volume"),
    "os_local_used": ("%", "share of the local file system that is used"),
}
"""Metric → (unit, meaning). A source translates the vendor's name to one of these at its door, once."""

WORDS: dict[str, str] = {
    "writer, reader": "the instance that may write, and one that shares its storage volume and its undo log",
    "history list length": METRICS["history_list_length"][1],
    "read view": "the snapshot that a statement or transaction reads from; purge keeps whatever it may still need",
    "purge blocked": "the purge boundary stands still: somebody holds a read view open",
    "purge outrun": "the purge boundary moves and purge trails it: writes are faster than purge",
    "episode": "a span in which the history list grows out of its usual range",
    "fingerprint": "a statement with its literals replaced",
    "digest": DIGEST.meaning,
    "active sessions": "sessions that are running or waiting at a moment; their mean over time is the db load",
    "workload": "a named group of reader sessions, by user, host, digest or SQL comment",
    "exposure": "when a workload had a statement open",
    "window": "a half-open span of time, in UTC",
    "minute mean": "what CloudWatch gives for latency: the p95 of minute means is not the p95 of statements",
    "severity": "act, watch, unknown or ok: what a finding asks of its reader",
}
"""The words that the suite uses, each with its meaning."""


def glossary() -> str:
    """The words, the metrics and the tables, as Markdown."""
    words = [f"- **{word}**: {meaning}" for word, meaning in WORDS.items()]
    metrics = [f"| `{name}` | {unit} | {meaning} |" for name, (unit, meaning) in METRICS.items()]
    rows = [f"| `{table.name}` | {table.row} | {_columns(table)} |" for table in TABLES.values()]
    return "\n".join(
        [
            *words,
            "",
            "| metric | unit | meaning |",
            "|---|---|---|",
            *metrics,
            "",
            "| table | one row is | columns, beside `cluster`, `day` and `source` |",
            "|---|---|---|",
            *rows,
        ]
    )


def _columns(table: Table) -> str:
    return ", ".join(f"`{column.name}`" for column in table.columns if column not in (CLUSTER, DAY, SOURCE))
