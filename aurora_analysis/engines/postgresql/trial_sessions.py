"""SQL of a trial's sessions: a query that can be cancelled, and a canary on a table of its own."""

from __future__ import annotations

import re

from sqlalchemy import exc

from aurora_analysis.engines.live_evidence import CanaryStatements
from aurora_analysis.engines.postgresql import fingerprint
from aurora_analysis.engines.postgresql.live import STATEMENT_TIMEOUT, sqlstate

ISOLATION_LEVEL = "READ COMMITTED"
"""Isolation level of the query's session: rows stream through a cursor, which needs a transaction."""

READ_ONLY = "SET default_transaction_read_only = on"
CONNECTION_ID = "SELECT pg_backend_pid()"

HARMLESS = "sleep|typeof|size_pretty|column_size|table_size|relation_size|total_relation_size|database_size|get_[a-z_]+"
"""Functions `pg_…` that a query may call; the others can lock, write, signal sessions or steer replication."""

FORBIDDEN = (
    r"\b(?:for (?:no key )?update|for (?:key )?share|into|nextval|setval|set_config|txid_current|"
    rf"(?!pg_(?:{HARMLESS})\b)pg_\w+(?= ?\()|lo_\w+(?= ?\()|dblink\w*|aws_\w+ ?\. ?\w+)"
)
"""Pattern of what a SELECT may have that locks, writes, or reaches beyond the query, in a fingerprint.

A read-only transaction forbids changes of rows only.
"""

MODES = "SHOW standard_conforming_strings"
"""Reads a session's mode that decides where a literal ends."""

ALL_MODES = ["on"]
"""The only mode in which a trial runs its query: a backslash is then a plain character."""

LOCK_ERRORS = {"55P03", "40P01", "40001"}
"""SQLSTATE: a lock could not be had, a deadlock's victim, a serialisation failure."""


def refusal(query: str, modes: str) -> str:
    """Return why a trial does not run a query; empty if it does."""
    found = fingerprint.statement(query).fingerprint
    if fingerprint.kind(found) not in {"select", "with"}:
        return "no SELECT at its start"
    if ";" in found:
        return "a semicolon: one statement is needed"
    forbidden = re.search(FORBIDDEN, found, re.IGNORECASE)
    return forbidden[0].upper() if forbidden else ""


def set_modes(modes: str) -> str:
    """Return the statement that gives a session the mode in which queries are judged."""
    return "SET standard_conforming_strings = on"


def cancel(connection_id: int) -> str:
    """Return the statement that cancels what a connection runs; the connection stays."""
    return f"SELECT pg_cancel_backend({connection_id})"


def is_lock_error(problem: exc.DBAPIError) -> bool:
    """Return whether a statement failed because of another session's locks."""
    return sqlstate(problem) in LOCK_ERRORS


def is_timeout(problem: exc.DBAPIError) -> bool:
    """Return whether the server cancelled the statement: on request, or because the time limit was reached."""
    return sqlstate(problem) == STATEMENT_TIMEOUT


def canary(database: str, table: str) -> CanaryStatements:
    """Return the statements of a canary on a table of a schema."""
    schema = database.replace('"', '""')
    name = f'"{schema}".{table}'
    return CanaryStatements(
        create=(
            f"CREATE TABLE IF NOT EXISTS {name} (id int PRIMARY KEY, beats bigint NOT NULL)",
            f"INSERT INTO {name} VALUES (1, 0) ON CONFLICT DO NOTHING",
        ),
        beat=(f"SELECT beats FROM {name} WHERE id = 1", f"UPDATE {name} SET beats = beats + 1 WHERE id = 1"),
        drop=f"DROP TABLE IF EXISTS {name}",
    )
