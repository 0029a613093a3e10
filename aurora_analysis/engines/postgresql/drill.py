"""SQL and connections of a drill on PostgreSQL.

The statements that inject faults exist on Aurora only and were tested against a scripted server:
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraPostgreSQL.Managing.FaultInjectionQueries.html
"""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import exc

from aurora_analysis.engines.drill_statements import Faults, TableStatements, of_table
from aurora_analysis.engines.postgresql.live import sqlstate

IS_WRITER = "NOT pg_is_in_recovery()"
"""Expression that is true if the server accepts writes; on Aurora a reader is in recovery, too."""

IS_AURORA = "SELECT count(*) FROM pg_proc WHERE proname = 'aurora_replica_status'"
AURORA_WRITER = "SELECT server_id FROM aurora_replica_status() WHERE session_id = 'MASTER_SESSION_ID'"
"""Reads the writer's name on any instance of an Aurora cluster."""

READ_ONLY = {"25006"}
"""SQLSTATE of a write on a server that accepts none: a former writer."""

FAULTS: Faults = {
    "crash": lambda seconds, reader: "SELECT aurora_inject_crash('instance')",
    "lag": lambda seconds, reader: (
        f"SELECT aurora_inject_replica_failure(100, {seconds}, {_literal(reader)})"
    ),
    "disk": lambda seconds, reader: f"SELECT aurora_inject_disk_failure(100, 0, true, {seconds})",
}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def table(place: str, name: str) -> TableStatements:
    """Return the statements of the drill's table in a schema."""
    schema = place.replace('"', '""')
    return of_table(f'"{schema}".{name}', "text", IS_WRITER)


def started(connection: sqlalchemy.Connection) -> float:
    """Return when the server started [s since 1970], on its own clock."""
    text = "SELECT extract(epoch FROM pg_postmaster_start_time())"
    return float(connection.exec_driver_sql(text).scalar_one())


def is_read_only(problem: exc.DBAPIError) -> bool:
    """Return whether a write failed because the server accepts none."""
    return sqlstate(problem) in READ_ONLY


def connect(dialect: Any, parameters: dict[str, Any], host: str, port: int) -> Any:
    """Connect to an address in place of the one that the name resolves to; TLS still verifies the name."""
    return dialect.connect(**{**parameters, "hostaddr": host, "port": port})
