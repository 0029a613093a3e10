"""Server parameters of Aurora PostgreSQL that matter to an analysis: defaults, checks, and how to fix each gap."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from aurora_analysis.engines.parameter_check import ParameterCheck

TITLE = "Aurora PostgreSQL"
"""The engine's name in a sentence."""

LOG_TYPE, LOG_TITLE = "postgresql", "PostgreSQL log"
"""RDS's name of the log that has slow statements, which its files' names contain; and its name in the console."""

ON_REPLICAS = (
    "a query on a replica blocks vacuum here only while the replica has hot_standby_feedback on. Sessions on this "
    "instance always can."
)
"""Consequence of analysing an RDS instance that is not Aurora's."""

PARAMETERS = {
    "log_min_duration_statement", "log_autovacuum_min_duration", "idle_in_transaction_session_timeout",
    "max_standby_streaming_delay", "log_line_prefix", "shared_preload_libraries", "log_destination",
    "log_min_duration_sample", "log_statement_sample_rate", "log_timezone", "default_transaction_isolation",
    "rds.log_retention_period", "hot_standby_feedback",
}  # fmt: skip
"""Parameters that an analysis or a check uses."""

DEFAULTS = {
    "log_min_duration_statement": "-1",
    "log_autovacuum_min_duration": "10000",
    "idle_in_transaction_session_timeout": "86400000",
    "max_standby_streaming_delay": "14000",
    "log_line_prefix": "%t:%r:%u@%d:[%p]:",
    "log_destination": "stderr",
    "shared_preload_libraries": "pg_stat_statements",
    "rds.log_retention_period": "4320",
    "default_transaction_isolation": "read committed",
}
"""Values that Aurora PostgreSQL uses if a parameter group that we may read does not set the parameter."""

LONGEST_IDLE_MS = 3_600_000
"""An idle transaction may hold a snapshot for so long [ms] before the check of its limit fails."""

SHORTEST_DELAY_MS = 14_000
"""Aurora's default of max_standby_streaming_delay [ms]."""


def number(text: str | None) -> float | None:
    """Return a parameter's number; None if it is not set, or is a formula."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _is_within(text: str, highest: float) -> bool:
    value = number(text)
    return value is not None and 0 <= value <= highest


SLOW_LOG_CHECKS = (
    ParameterCheck(
        "log_min_duration_statement",
        lambda value: _is_within(value, 10_000),
        "slow statements are not logged",
        "1000",
    ),
    ParameterCheck(
        "log_autovacuum_min_duration",
        lambda value: number(value) == 0,
        "a vacuum that removes nothing is quick, and only slow vacuums are logged",
        "0",
    ),
    ParameterCheck(
        "log_line_prefix",
        lambda value: bool(re.search("%[tm]", value)) and all(part in value for part in ("%u", "%d", "%p")),
        "a line names no time, user, database or process",
        "%t:%r:%u@%d:[%p]:",
    ),
)
"""Checks of the log."""

METRIC_CHECKS = (
    ParameterCheck(
        "shared_preload_libraries",
        lambda value: "pg_stat_statements" in value,
        "without it no statement has statistics",
        "pg_stat_statements",
        is_list=True,
        is_static=True,
    ),
    ParameterCheck(
        "max_standby_streaming_delay",
        lambda value: (delay := number(value)) is not None and (delay == -1 or delay >= SHORTEST_DELAY_MS),
        "a reader cancels its queries as soon as replay waits for longer than this [ms]",
        "30000",
    ),
    ParameterCheck(
        "idle_in_transaction_session_timeout",
        lambda value: 0 < (number(value) or 0) <= LONGEST_IDLE_MS,
        "an idle transaction may hold vacuum for longer than an hour",
        "600000",
    ),
)
"""Checks of the parameters that metrics and the horizon depend on."""


def files_kept(parameters: Mapping[str, str]) -> timedelta:
    """Time that RDS keeps log files, if local storage has room: 3 days unless set otherwise.

    >>> files_kept({"rds.log_retention_period": "1440"})
    datetime.timedelta(days=1)
    """
    minutes = number(parameters.get("rds.log_retention_period"))
    return timedelta(minutes=minutes or float(DEFAULTS["rds.log_retention_period"]))


def is_log_file(name: str) -> bool:
    """Return whether a file that RDS lists under `LOG_TYPE` is read. With csvlog, every entry is in a second file.

    >>> is_log_file("error/postgresql.log.2026-11-16-0600"), is_log_file("error/postgresql.log.2026-11-16-0600.csv")
    (True, False)
    """
    return ".csv" not in name


def slow_log_obstacle(parameters: Mapping[str, str]) -> tuple[str, str] | None:
    """Return why RDS has no statements in log files, and the parameter to set; None if nothing prevents them.

    >>> slow_log_obstacle({"log_min_duration_statement": "-1"})
    ('has no slow statements', 'log_min_duration_statement = 1000')
    """
    logged = number(parameters.get("log_min_duration_statement"))
    if logged is not None and logged < 0:
        return "has no slow statements", "log_min_duration_statement = 1000"
    return None


def instance_columns(parameters: Mapping[str, str]) -> dict[str, object]:
    """Return the columns of table `instances` that parameters give; None if a parameter is not set."""
    value = parameters.get
    logged_ms = number(value("log_min_duration_statement"))
    isolation = value("default_transaction_isolation")
    return {
        "long_query_time_s": None if logged_ms is None or logged_ms < 0 else logged_ms / 1000,
        "isolation_level": isolation and isolation.upper(),
        "slow_query_log": None if logged_ms is None else logged_ms >= 0,
    }
