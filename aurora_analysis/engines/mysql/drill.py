"""SQL and connections of a drill on MySQL and MariaDB.

The statements that inject faults exist on Aurora only and were tested against a scripted server:
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraMySQL.Managing.FaultInjectionQueries.html
"""

from __future__ import annotations

import socket
import time
from typing import Any

import sqlalchemy
from sqlalchemy import exc

from aurora_analysis.engines.drill_statements import Faults, TableStatements, of_table
from aurora_analysis.engines.mysql.live import error_number

IS_WRITER = "@@innodb_read_only = 0 AND @@read_only = 0"
"""Expression that is true if the server accepts writes; an Aurora reader has innodb_read_only."""

IS_AURORA = "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'REPLICA_HOST_STATUS'"
AURORA_WRITER = (
    "SELECT SERVER_ID FROM information_schema.replica_host_status WHERE SESSION_ID = 'MASTER_SESSION_ID' "
    "ORDER BY LAST_UPDATE_TIMESTAMP DESC LIMIT 1"
)
"""Reads the writer's name on any instance of an Aurora cluster."""

READ_ONLY = {1290, 1792, 1836}
"""Error numbers of a write on a server that accepts none: a former writer."""

FAULTS: Faults = {
    "crash": lambda seconds, reader: "ALTER SYSTEM CRASH INSTANCE",
    "lag": lambda seconds, reader: (
        f'ALTER SYSTEM SIMULATE 100 PERCENT READ REPLICA FAILURE TO "{reader}" FOR INTERVAL {seconds} SECOND'
    ),
    "disk": lambda seconds, reader: (
        f"ALTER SYSTEM SIMULATE 100 PERCENT DISK FAILURE IN DISK 0 FOR INTERVAL {seconds} SECOND"
    ),
}


def table(place: str, name: str) -> TableStatements:
    """Return the statements of the drill's table in a database."""
    database = place.replace("`", "``")
    return of_table(f"`{database}`.`{name}`", "varchar(64)", IS_WRITER, " ENGINE=InnoDB")


def started(connection: sqlalchemy.Connection) -> float:
    """Return when the server started [s since 1970], to the second."""
    row = connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Uptime'").one()
    return time.time() - float(row[1])


def is_read_only(problem: exc.DBAPIError) -> bool:
    """Return whether a write failed because the server accepts none."""
    return error_number(problem) in READ_ONLY


def connect(dialect: Any, parameters: dict[str, Any], host: str, port: int) -> Any:
    """Connect to an address in place of the one that the name resolves to; TLS still verifies the name."""
    made = dialect.connect(**{**parameters, "defer_connect": True})
    try:
        made.connect(socket.create_connection((host, port), parameters.get("connect_timeout", 5)))
    except OSError as problem:
        raise dialect.loaded_dbapi.OperationalError(2003, f"Can't connect to {host}: {problem}") from None
    return made
