"""Server parameters of Aurora MySQL that matter to an analysis: defaults, checks, and how to fix each gap."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from aurora_analysis.engines.parameter_check import ParameterCheck

TITLE = "Aurora MySQL"
"""The engine's name in a sentence."""

LOG_TYPE, LOG_TITLE = "slowquery", "Slow query log"
"""RDS's name of the log that has slow statements, which its files' names contain; and its name in the console."""

ON_REPLICAS = "a replica has an undo log of its own, so a query on a replica cannot block purge here. Sessions on this instance can."
"""Consequence of analysing an RDS instance that is not Aurora's."""

PARAMETERS = {
    "slow_query_log", "long_query_time", "log_output", "min_examined_row_limit", "log_slow_extra",
    "innodb_monitor_enable", "innodb_purge_threads", "aurora_read_replica_read_committed",
    "transaction_isolation", "tx_isolation", "performance_schema",
}  # fmt: skip
"""Parameters that an analysis or a check uses."""

DEFAULTS = {
    "slow_query_log": "0",
    "long_query_time": "10",
    "log_output": "FILE",
    "min_examined_row_limit": "0",
    "aurora_read_replica_read_committed": "OFF",
    "transaction_isolation": "REPEATABLE-READ",
}
"""Values that Aurora MySQL uses if a parameter group that we may read does not set the parameter."""

ON = {"1", "on", "true"}

LONG_QUERY_TIME_DEFAULT_S = 10
"""MySQL's default long_query_time [s]: a slow log that begins there shows little of latency."""


def number(text: str | None) -> float | None:
    """Return a parameter's number; None if it is not set, or is a formula."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def is_on(text: str | None) -> bool | None:
    """Return whether a switch is on; None if it is not set."""
    return None if text is None else text.lower() in ON


SLOW_LOG_CHECKS = (
    ParameterCheck("slow_query_log", lambda value: bool(is_on(value)), "nothing is logged", "1"),
    ParameterCheck("log_output", lambda value: value.upper() == "FILE", "only FILE can be fetched", "FILE"),
    ParameterCheck(
        "long_query_time",
        lambda value: (number(value) or 0) < LONG_QUERY_TIME_DEFAULT_S,
        "shorter statements are not logged",
        "1",
    ),
)
"""Checks of the slow log."""

METRIC_CHECKS = (
    ParameterCheck(
        "innodb_monitor_enable",
        lambda value: value == "all",
        "without it ActiveTransactions is not published",
        "all",
    ),
)
"""Checks of the parameters that CloudWatch metrics depend on."""


def files_kept(parameters: Mapping[str, str]) -> timedelta:
    """Time that RDS keeps slow-log files, if local storage has room; no parameter changes it."""
    return timedelta(hours=24)


def is_log_file(name: str) -> bool:
    """Return whether a file that RDS lists under `LOG_TYPE` is read: all of MySQL are."""
    return True


def slow_log_obstacle(parameters: Mapping[str, str]) -> tuple[str, str] | None:
    """Return why RDS has no slow-log files, and the parameter to set; None if nothing prevents them.

    >>> slow_log_obstacle({"log_output": "TABLE"})
    ('is written to TABLE', 'log_output = FILE')
    """
    if parameters.get("slow_query_log", "").lower() in {"0", "off"}:
        return "is off", "slow_query_log = 1"
    output = parameters.get("log_output", "FILE").upper()
    return None if output == "FILE" else (f"is written to {output}", "log_output = FILE")


def instance_columns(parameters: Mapping[str, str]) -> dict[str, object]:
    """Return the columns of table `instances` that parameters give; None if a parameter is not set."""
    value = parameters.get
    return {
        "long_query_time_s": number(value("long_query_time")),
        "min_examined_row_limit": number(value("min_examined_row_limit")),
        "isolation_level": value("transaction_isolation") or value("tx_isolation"),
        "slow_query_log": is_on(value("slow_query_log")),
        "log_output": value("log_output"),
        "read_committed_on_readers": is_on(value("aurora_read_replica_read_committed")),
        "purge_threads": number(value("innodb_purge_threads")),
    }
