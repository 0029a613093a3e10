"""What differs where the simulated cluster runs Aurora PostgreSQL: counters, statistics, parameters, and the log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pandas as pd

ENGINE = "aurora-postgresql"

COUNTERS = {
    "db.Transactions.oldest_reader_feedback_xid_age": ("xmin_age_readers", 1.0),
    "db.Transactions.oldest_running_transaction_xid_age": ("xmin_age_writer", 1.0),
    "db.Transactions.oldest_prepared_transaction_xid_age": ("xmin_age_prepared", 1.0),
    "db.Transactions.oldest_inactive_logical_replication_slot_xid_age": ("xmin_age_slots", 1.0),
    "db.Transactions.oldest_active_logical_replication_slot_xid_age": ("xmin_age_slots", 0.5),
    "db.Transactions.max_used_xact_ids": ("oldest_database_age", 1.0),
    "db.Transactions.active_transactions": ("active_transactions", 1.0),
    "db.state.idle_in_transaction_max_time": ("oldest_idle_transaction_age", 1.0),
    "db.SQL.tup_updated": ("rows_changed", 0.5),
    "db.SQL.tup_deleted": ("rows_changed", 0.25),
    "db.SQL.tup_inserted": ("rows_changed", 0.25),
    "os.cpuUtilization.total": ("cpu_utilization", 1.0),
}
"""Performance Insights' counter, in the service's own spelling → the field's word, and the counter's share of it."""

STATEMENT_STATISTICS = {
    "calls_per_sec": lambda rows, native: rows.calls / native,
    "avg_latency_per_call": lambda rows, native: rows.mean_latency_ms,
    "rows_per_sec": lambda rows, native: rows.rows_sent / native,
    "shared_blks_hit_per_call": lambda rows, native: rows.buffers_per_call,
    "shared_blks_hit_per_sec": lambda rows, native: rows.buffers_per_call * rows.calls / native,
}
"""Stem of `db.sql_tokenized.stats.` → its value, from rows of `statement_metrics` whose period is `native` [s]."""

INSTANCE_PARAMETERS = (
    "log_min_duration_statement",
    "log_autovacuum_min_duration",
    "shared_preload_libraries",
)
"""Parameters of the instance's group; all others are the cluster's."""

CURRENT = "error/postgresql.log"
BANNER = ""
"""The server begins a file without any banner."""


def parameters(row: dict[str, Any]) -> dict[str, str]:
    """Return an instance's parameters."""
    logged_s = row.get("long_query_time_s")
    return {
        "log_min_duration_statement": "1000" if pd.isna(logged_s) else f"{1000 * float(logged_s):g}",
        "log_autovacuum_min_duration": "0",
        "idle_in_transaction_session_timeout": "600000",
        "max_standby_streaming_delay": "30000",
        "log_line_prefix": "%t:%r:%u@%d:[%p]:",
        "shared_preload_libraries": "auto_explain,pg_stat_statements",
    }


def tokenized(fingerprint: str) -> str:
    """Return a fingerprint as pg_stat_statements has it: with numbered parameters."""
    count = iter(range(1, 1000))
    return re.sub(r"\?\+?", lambda _: f"${next(count)}", fingerprint)


def wait_event(member: str) -> tuple[str, str]:
    """Name and type of a wait event, which the service states apart."""
    kind, _, name = member.rpartition(":")
    return ("CPU", "CPU") if member.lower() == "cpu" else (name, kind)


def stream(instance: str) -> str:
    """Name of the log stream of an instance: RDS numbers the streams of PostgreSQL."""
    return f"{instance}.0"


def file_name(hour: int, hour_s: int) -> str:
    """Name of the log file of an hour: the time at which the server began it. The current file has one too."""
    return f"{CURRENT}.{datetime.fromtimestamp(hour * hour_s, UTC):%Y-%m-%d-%H%M}"


# Entries


def prefix(at: pd.Timestamp, client: str = "", user: str = "", database: str = "", process: int = 1) -> str:
    """Return the prefix of a line, as RDS sets it; whole seconds."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC:{client}:{user}@{database}:[{process}]:"


def execution(row: dict[str, Any], text: str) -> str:
    """Return the entry of a slow statement, which is written at its end."""
    start = prefix(
        pd.Timestamp(row["ended_at"]),
        f"{row['host']}(50432)",
        str(row["user"]),
        str(row["database"]),
        int(row["thread_id"]),
    )
    return f"{start}LOG:  duration: {1000 * float(row['query_time_s']):.3f} ms  statement: {text}"


def others(vacuums: pd.DataFrame) -> Iterator[tuple[pd.Timestamp, str]]:
    """Yield the time and the text of each report of vacuum."""
    for row in vacuums.to_dict("records"):
        yield row["time"], _vacuum(row)


def _vacuum(row: dict[str, Any]) -> str:
    cutoff, following = int(row["cutoff_xid"]), int(row["next_xid"])
    lines = [
        f'{prefix(row["time"])}LOG:  automatic vacuum of table "{row["database"]}.{row["table"]}": index scans: 0',
        "\tpages: 0 removed, 100 remain, 100 scanned (100.00% of total)",
        f"\ttuples: {int(row['removed'])} removed, 200 remain, {int(row['dead_not_removable'])} are dead but not yet removable",
        f"\tremovable cutoff: {cutoff}, which was {following - cutoff} XIDs old when operation ended",
        f"\tsystem usage: CPU: user: 0.01 s, system: 0.00 s, elapsed: {float(row['elapsed_s']):.2f} s",
    ]
    return "\n".join(lines)
