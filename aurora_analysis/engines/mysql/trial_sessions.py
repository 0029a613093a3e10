"""SQL of a trial's sessions: a query that can be cancelled, and a canary on a table of its own."""

from __future__ import annotations

from sqlalchemy import exc

from aurora_analysis.engines.live_evidence import CanaryStatements
from aurora_analysis.engines.mysql import query_guard
from aurora_analysis.engines.mysql.live import STATEMENT_TIMEOUT_ERRORS, error_number

ISOLATION_LEVEL = "AUTOCOMMIT"
"""Isolation level of the query's session."""

READ_ONLY = "SET SESSION TRANSACTION READ ONLY"
CONNECTION_ID = "SELECT CONNECTION_ID()"

MODES = "SELECT @@SESSION.sql_mode"
"""Reads a session's modes."""

ALL_MODES = ["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES,ANSI_QUOTES"]
"""Modes that read literals differently, the default first."""

LOCK_ERRORS = {1205, 1213}
"""A statement timed out waiting for a lock, or was a deadlock's victim."""


def refusal(query: str, modes: str) -> str:
    """Return why a trial does not run a query in a session with these modes; empty if it does."""
    return query_guard.refusal(query, query_guard.mode(modes))


def set_modes(modes: str) -> str:
    """Return the statement that gives a session these modes."""
    return f"SET SESSION sql_mode = '{modes}'"


def cancel(connection_id: int) -> str:
    """Return the statement that cancels what a connection runs; the connection stays."""
    return f"KILL QUERY {connection_id}"


def is_lock_error(problem: exc.DBAPIError) -> bool:
    """Return whether a statement failed because of another session's locks."""
    return error_number(problem) in LOCK_ERRORS


def is_timeout(problem: exc.DBAPIError) -> bool:
    """Return whether the server cancelled the statement: on request, or because the time limit was reached."""
    return error_number(problem) in STATEMENT_TIMEOUT_ERRORS


def canary(database: str, table: str) -> CanaryStatements:
    """Return the statements of a canary on a table of a database."""
    name = f"`{database.replace('`', '``')}`.`{table}`"
    columns = "(id INT PRIMARY KEY, beats BIGINT NOT NULL) ENGINE=InnoDB"
    return CanaryStatements(
        create=(f"CREATE TABLE IF NOT EXISTS {name} {columns}", f"INSERT IGNORE INTO {name} VALUES (1, 0)"),
        beat=(f"SELECT beats FROM {name} WHERE id = 1", f"UPDATE {name} SET beats = beats + 1 WHERE id = 1"),
        drop=f"DROP TABLE IF EXISTS {name}",
    )
