"""Every table of the store: the authority for code and documentation.

All times are UTC and mark the start of a period unless the name says otherwise. A unit that is not in a column's name
stands in brackets. Each cluster has tables of its own, partitioned by `week` (the ISO week of the time column, UTC).
Every table has the columns `cluster`, `week` and `source`.
`docs/generate.py` makes the reference pages from this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

SCHEMA_VERSION = 1
"""Increased when a column changes its meaning; a store of a higher version is refused."""

Type = Literal["timestamp", "text", "real", "integer", "boolean"]


STATISTICS = ("average", "sum", "maximum", "p50", "p95", "p99", "last", "sample_count")
"""The values of `statistic` in the table `metrics`."""


class TrialEvent(StrEnum):
    """Categories of a trial's rows in `events`."""

    LOADED = "trial on a loaded writer"
    IDLE_CLONE = "trial on an idle clone"
    STOPPED = "trial broken off"


class Needer(StrEnum):
    """Kinds of holders of an old transaction id: the values of `holder` in `read_views`."""

    SESSION = "session"
    REPORT = "report of a reader"
    PREPARED = "prepared transaction"
    SLOT = "replication slot"


@dataclass(frozen=True)
class Column:
    """A column: its name, type, and what one value means."""

    name: str
    type: Type
    meaning: str


@dataclass(frozen=True)
class Table:
    """A table of the store.

    Attributes
    ----------
    name : str
        The table's name and folder.
    row : str
        What one row is.
    columns : tuple of Column
        All columns, partitions first.
    time : str
        The column by which windows select rows.
    identity : tuple of str
        The columns that distinguish two rows if sources overlap. A table with an identity is merged row by row; one
        without is replaced window by window.
    nullable : tuple of str
        The columns of the identity that may be null; two rows that are null there may be the same.
    """

    name: str
    row: str
    columns: tuple[Column, ...]
    time: str = "time"
    identity: tuple[str, ...] = ()
    nullable: tuple[str, ...] = ()

    def column_names(self) -> list[str]:
        """Return the names of all columns, partitions first."""
        return [column.name for column in self.columns]


CLUSTER = Column("cluster", "text", "the DB cluster's identifier")
WEEK = Column("week", "text", "the ISO week of the row's time (UTC), as YYYY-Www")
SOURCE = Column("source", "text", "the service, file or server that the row came from")
TIME = Column("time", "timestamp", "the start of the period")
PERIOD = Column("period_s", "real", "the length of the period")
INSTANCE = Column("instance", "text", "the DB instance's identifier")
DIGEST = Column("digest", "text", "the hash of the statement's fingerprint")


def _table(
    name: str,
    row: str,
    *columns: Column,
    time: str = "time",
    identity: tuple[str, ...] = (),
    nullable: tuple[str, ...] = (),
) -> Table:
    return Table(name, row, (CLUSTER, WEEK, SOURCE, *columns), time, identity, nullable)


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        _table(
            "instances",
            "an instance's settings and role from a moment on",
            Column("time", "timestamp", "from when on; valid until the instance's next row"),
            INSTANCE,
            Column("resource_id", "text", "the instance's immutable resource id"),
            Column("role", "text", "writer or reader"),
            Column("instance_class", "text", "the instance class, such as db.r6g.2xlarge"),
            Column("vcpus", "real", "virtual CPUs"),
            Column("engine", "text", "aurora-mysql, mysql, mariadb, aurora-postgresql or postgresql"),
            Column("engine_version", "text", "the engine's version string"),
            Column("long_query_time_s", "real", "statements that run at least this long are logged"),
            Column("min_examined_row_limit", "integer", "statements that examine fewer rows are not logged"),
            Column(
                "log_slow_rate_limit", "real", "one in this many statements or sessions is logged; 1 logs all"
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
            Column(
                "custom_endpoints",
                "text",
                "names of the custom endpoints that may lead to the instance; empty if none may, null if unknown",
            ),
            Column("endpoints_as_writer", "text", "the same if the instance were the writer"),
            Column("endpoints_as_reader", "text", "the same if the instance were a reader"),
            Column("monitoring_interval_s", "real", "the interval of Enhanced Monitoring; 0 is off"),
            Column("insights_mode", "text", "the mode of Database Insights, standard or advanced"),
            Column("storage_type", "text", "aurora (Standard) or aurora-iopt1 (I/O-Optimized)"),
        ),
        _table(
            "events",
            "something that happened to the cluster or an instance",
            Column("time", "timestamp", "when it happened"),
            INSTANCE,
            Column("category", "text", "failover, availability, configuration change, note, …"),
            Column("message", "text", "the service's message"),
        ),
        _table(
            "metrics",
            "one value of a metric over one period",
            TIME,
            PERIOD,
            Column("instance", "text", "the DB instance's identifier; null for the cluster's own metrics"),
            Column("name", "text", "the metric's name, documented in METRICS"),
            Column("statistic", "text", f"{', '.join(STATISTICS[:-1])} or {STATISTICS[-1]}"),
            Column("value", "real", "the value, in the metric's unit"),
        ),
        _table(
            "db_load",
            "the active sessions of one member of a dimension over one period",
            TIME,
            PERIOD,
            INSTANCE,
            Column("dimension", "text", "sql, user, host, wait_event, database or application"),
            Column(
                "member",
                "text",
                "the digest, user, host, wait event or database; (other) is the total minus the members listed; "
                "members below the top 25 are not listed, which does not mean zero",
            ),
            Column("active_sessions", "real", "average active sessions, the db load [sessions]"),
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
            Column(
                "buffers_per_call",
                "real",
                "pages that an execution found in the buffer cache (PostgreSQL): it grows with the dead rows on the way",
            ),
        ),
        _table(
            "histograms",
            "one bucket of a digest's latency histogram over one period",
            TIME,
            PERIOD,
            INSTANCE,
            DIGEST,
            Column("bucket", "integer", "the bucket's number; histogram.bounds gives its latencies"),
            Column("count", "integer", "executions in the bucket"),
        ),
        _table(
            "slow_queries",
            "one execution of a statement that reached the slow log",
            Column("started_at", "timestamp", "when the execution began"),
            Column("ended_at", "timestamp", "when the execution ended"),
            Column("time_precision_s", "real", "precision of the two times"),
            INSTANCE,
            DIGEST,
            Column("user", "text", "the session's user"),
            Column("host", "text", "the client's host name, or its address where there is no name"),
            Column("database", "text", "the default database; null if the log does not name it"),
            Column(
                "database_is_inferred",
                "boolean",
                "whether another session's entry named the database: this session has it or none",
            ),
            Column("thread_id", "integer", "the connection's id"),
            Column("query_time_s", "real", "duration of the execution"),
            Column(
                "lock_time_s", "real", "the part of it spent waiting for locks; null if the log does not say"
            ),
            Column("rows_sent", "integer", "rows sent to the client; null if the log does not say"),
            Column("rows_examined", "integer", "rows examined; null if the log does not say"),
            Column("ordinal", "integer", "the number among otherwise identical executions, from 0"),
            Column("tags", "text", "key=value pairs of the statement's comments, as JSON"),
            Column("extras", "text", "the log's further fields, as JSON"),
            Column("application", "text", "the session's application_name; null if the log does not name it"),
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
            nullable=("lock_time_s",),
        ),
        _table(
            "vacuums",
            "one table's vacuum by autovacuum, as PostgreSQL logs it",
            Column("time", "timestamp", "when the vacuum ended"),
            INSTANCE,
            Column("started_at", "timestamp", "when the vacuum began and took its cutoff"),
            Column("database", "text", "the table's database"),
            Column("table", "text", "the table, with its schema"),
            Column("removed", "integer", "dead row versions that were removed [rows]"),
            Column(
                "dead_not_removable",
                "integer",
                "dead row versions that a snapshot may still need [rows]; null before PostgreSQL 9.4",
            ),
            Column(
                "cutoff",
                "integer",
                "row versions that died before this transaction id could be removed: the xmin horizon at the start; the lower "
                "32 bits, as the log writes it",
            ),
            Column(
                "next_xid",
                "integer",
                "the next transaction id at the end: the cutoff plus its age, so that it may pass 2**32; null before PostgreSQL 15",
            ),
            Column("elapsed_s", "real", "duration of the vacuum"),
            identity=("cluster", "instance", "time", "database", "table", "elapsed_s", "removed"),
        ),
        _table(
            "statements",
            "a statement's digest",
            DIGEST,
            Column("fingerprint", "text", "the statement with its literals replaced"),
            Column(
                "join_key",
                "text",
                "the text by which slow log, Performance Insights and performance_schema are joined",
            ),
            Column("pi_id", "text", "the id that Performance Insights gives it"),
            Column("server_digest", "text", "the digest that performance_schema gives it"),
            Column("kind", "text", "select, insert, update, delete, call, …"),
            Column("first_seen", "timestamp", "the first known execution"),
            Column("last_seen", "timestamp", "the last known execution"),
            time="first_seen",
            identity=("cluster", "digest"),
        ),
        _table(
            "examples",
            "one execution of a digest with its literals, kept only if the settings say examples = true",
            Column("time", "timestamp", "when the execution ended"),
            INSTANCE,
            DIGEST,
            Column("query_time_s", "real", "duration of the execution"),
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
            Column("client", "text", "the client program, if it names itself"),
            Column("command", "text", "Query, or Sleep if the session is idle"),
            Column("started_at", "timestamp", "when the transaction began"),
            Column("isolation_level", "text", "the transaction's isolation level"),
            Column("rows_modified", "integer", "rows that the transaction has written; null on PostgreSQL"),
            Column("has_read_view", "boolean", "whether the transaction holds a read view open"),
            Column("digest", "text", "the hash of the running statement's fingerprint; null if none runs"),
            Column("database", "text", "the session's database (PostgreSQL)"),
            Column(
                "oldest_xid",
                "integer",
                "the oldest transaction id that the session needs, with its epoch (PostgreSQL)",
            ),
        ),
        _table(
            "relations",
            "a table of a PostgreSQL database at a sample",
            Column("time", "timestamp", "when the sample was taken"),
            INSTANCE,
            Column("database", "text", "the database"),
            Column("relation", "text", "schema and name of the table"),
            Column(
                "dead_rows",
                "integer",
                "dead row versions that no vacuum has removed, as the server estimates them",
            ),
            Column("rows_changed", "integer", "rows updated and deleted since its statistics began"),
            Column("hot_share", "real", "share of the updates that needed no new index entry (HOT) [0 to 1]"),
            Column("vacuums", "integer", "finished vacuums since its statistics began"),
            Column("bytes", "integer", "size of the table without its indexes [bytes]"),
            Column("vacuum_at", "integer", "dead rows at which autovacuum is due, by the server's settings"),
            Column(
                "vacuumed_s_ago",
                "real",
                "time since the last vacuum of the table, or since the server's start",
            ),
        ),
        _table(
            "read_views",
            "an instance's oldest read view at a sample",
            Column("time", "timestamp", "when the sample was taken"),
            INSTANCE,
            Column("role", "text", "writer or reader"),
            Column(
                "holder",
                "text",
                "what needs it: session, report of a reader (as the writer has it), prepared transaction or replication "
                "slot; null in old stores",
            ),
            Column(
                "oldest_read_view_trx_id", "integer", "the oldest transaction that the view may still need"
            ),
            Column("replica_lag_ms", "real", "how far the reader is behind the writer"),
        ),
        _table(
            "coverage",
            "the data that one fetch, recording or ingest received for one table",
            Column("time", "timestamp", "the start of the requested span"),
            Column("end", "timestamp", "the end of the requested span (exclusive)"),
            INSTANCE,
            Column("table", "text", "the table that was written"),
            Column("expected", "real", "points or rows of a complete span [unit]"),
            Column(
                "received",
                "real",
                "what was received [unit]; null if the request failed, and the next fetch repeats it",
            ),
            Column("lost", "real", "what was present and could not be read [unit]"),
            Column("unit", "text", "what the three counts are of: rows, points or bytes"),
            Column("note", "text", "a remark for people"),
            Column(
                "identity",
                "text",
                "distinguishes the ingested file from another of its name: ETag or time of change, size, sql_mode; else null",
            ),
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
            Column("started_at", "timestamp", "when the run really began; null if off"),
            Column("ended_at", "timestamp", "when the run really ended; null if off"),
            Column(
                "holds_view",
                "boolean",
                "planted truth: whether a run holds back cleanup by a read view or snapshot; no analysis reads it",
            ),
        ),
        _table(
            "drills",
            "what one run of a drill did to one client",
            Column("time", "timestamp", "when the fault was injected"),
            Column("end", "timestamp", "when the observation ended"),
            Column("drill", "text", "the drill's name"),
            Column("run", "integer", "the run's number in the drill, from 0"),
            Column("fault", "text", "failover, crash, reader-restart, lag or disk"),
            Column("place", "text", "lab, clone or production"),
            Column("engine", "text", "aurora-mysql, mysql, aurora-postgresql or postgresql"),
            Column("how", "text", "what was done to inject the fault"),
            Column("took_effect", "boolean", "whether the fault took effect; null if nothing shows it"),
            Column("writer_before", "text", "the writer before the fault"),
            Column("writer_after", "text", "the writer at the end; empty if none or several accepted writes"),
            Column("client", "text", "plain, pool or topology"),
            Column("observed_s", "real", "the length of the observation"),
            Column(
                "first_success_s",
                "real",
                "time from the fault to the first success after the interruption (writes; for a fault of a reader reads); "
                "0 if nothing was interrupted, null if nothing succeeded until the end",
            ),
            Column(
                "settled_s",
                "real",
                "time from the fault until every connection of the client works without a further error; null as above",
            ),
            Column("errors", "integer", "failed attempts since the fault"),
            Column("connections", "integer", "connections that the client tried to open since the fault"),
            Column("connections_per_s", "integer", "the most of these within one second"),
            Column("writes_acknowledged", "integer", "writes of the run that the server confirmed"),
            Column(
                "writes_lost",
                "integer",
                "of these, those that the writer does not have afterwards; null if the writer could not be read",
            ),
            Column(
                "writes_unconfirmed", "integer", "writes that the writer has although the client got an error"
            ),
            Column("stale_reads", "integer", "reads since the fault that lacked an acknowledged write"),
            Column(
                "worst_staleness_s",
                "real",
                "the longest time that a write had been acknowledged when a read still lacked it",
            ),
            Column(
                "former_writer_reads",
                "integer",
                "reads since the fault, meant for the writer, that a server answered which accepts no writes",
            ),
        ),
        _table(
            "baselines",
            "a window kept under a name, for later comparison",
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
            Column("run", "text", "the report's id"),
            Column("status", "text", "done, or failed"),
            Column("error", "text", "why it stopped; empty if it finished"),
            Column("severity", "text", "the severity of its most severe finding; null if it has none"),
            Column("seconds", "real", "duration of the run"),
            Column("parameters", "text", "the notebook's parameters, as JSON"),
            Column("versions", "text", "the versions of the tables that it read, as JSON"),
            Column("package_version", "text", "the version of aurora-analysis"),
            Column("git_sha", "text", "the commit, if it ran from a checkout"),
        ),
        _table(
            "findings",
            "a finding of a notebook's newest run for a window of a cluster",
            Column("time", "timestamp", "the start of the window"),
            Column("end", "timestamp", "the end of the window (exclusive)"),
            Column("notebook", "text", "the notebook's name"),
            Column("run", "text", "the report's id"),
            Column("page", "text", "its page in that report"),
            Column("topic", "text", "the question that it answers"),
            Column("subject", "text", "the workload, instance or statement that it is about"),
            Column("level", "text", "the topic's own verdict"),
            Column("severity", "text", "act, watch, unknown or ok"),
            Column("headline", "text", "the conclusion in a few words; null if an older version recorded it"),
            Column("sentence", "text", "the computed conclusion"),
            Column("numbers", "text", "the numbers in the sentence, as JSON"),
            Column("evidence", "text", "the evidence, in words"),
            Column("action", "text", "the first action"),
        ),
    )
}
