"""Server parameters of Aurora PostgreSQL that matter to an analysis: defaults, checks, and how to fix each gap."""

from __future__ import annotations

from collections.abc import Mapping

from aurora_analysis.engines.parameter_check import ParameterCheck

TITLE = "Aurora PostgreSQL"
"""The engine's name in a sentence."""

LOG_TYPE, LOG_TITLE = "postgresql", "PostgreSQL log"
"""RDS's name of the log that has slow statements, which its files' names contain; and its name in the console."""

PARAMETERS = {
    "log_min_duration_statement", "log_autovacuum_min_duration", "idle_in_transaction_session_timeout",
    "max_standby_streaming_delay", "log_line_prefix", "shared_preload_libraries", "log_destination",
    "log_min_duration_sample", "log_statement_sample_rate", "log_timezone", "default_transaction_isolation",
}  # fmt: skip
"""Parameters that an analysis or a check uses."""

DEFAULTS = {
    "log_min_duration_statement": "-1",
    "log_autovacuum_min_duration": "10000",
    "idle_in_transaction_session_timeout": "86400000",
    "max_standby_streaming_delay": "14000",
    "log_line_prefix": "%t:%r:%u@%d:[%p]:",
    "log_destination": "stderr",
    "default_transaction_isolation": "read committed",
}
"""Values that Aurora PostgreSQL uses if a parameter group that we may read does not set the parameter."""

LONGEST_IDLE_MS = 3_600_000
"""An idle transaction may hold a snapshot for so long [ms] before the check of its limit fails."""


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
)
"""Checks of the log."""

METRIC_CHECKS = (
    ParameterCheck(
        "shared_preload_libraries",
        lambda value: "pg_stat_statements" in value,
        "without it no statement has statistics",
        "pg_stat_statements",
    ),
    ParameterCheck(
        "idle_in_transaction_session_timeout",
        lambda value: 0 < (number(value) or 0) <= LONGEST_IDLE_MS,
        "an idle transaction may hold vacuum for longer than an hour",
        "600000",
    ),
)
"""Checks of the parameters that metrics and the horizon depend on."""


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
