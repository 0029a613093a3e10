"""One row of several with the same identity, whatever the order in which they come.

Chunks of a fetch arrive in any order, and after a failure some of them arrive twice: the rule is commutative, associative and
idempotent, so that the store ends up the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]
"""A row as plain values by column; times in microseconds since 1970."""

SERVICES = ("live", "performance insights")
"""Sources that may cut a statement's text or spell it in their own way; a log has it whole."""

_TEXT = ("source", "fingerprint", "join_key", "kind")
_IDS = ("pi_id", "server_digest")


def one_row(table: str, rows: Iterable[Row]) -> Row:
    """Return the row that stands for all rows of one identity.

    A statement's span reaches from its first to its last execution in any row; its text, with the source, comes from the row
    with the fewest gaps, a log rather than a service. The example of a statement is its earliest one. An execution keeps its first
    row, or the one whose database is best known.

    Parameters
    ----------
    table : str
        Name of a table with an identity.
    rows : iterable of mapping
        At least one row.

    Returns
    -------
    mapping
    """
    found = list(rows)
    match table:
        case "statements":
            return _statement(found)
        case "examples":
            return min(found, key=lambda row: (row["time"], repr(sorted(row.items()))))
        case "slow_queries":
            return max(found, key=_knowledge_of_database)
    return found[0]


def _statement(rows: list[Row]) -> Row:
    first = min(rows, key=lambda row: row["first_seen"])
    text = min(rows, key=_preference)
    return {
        **first,
        **{name: text[name] for name in _TEXT},
        **{name: min((row[name] for row in rows if row[name] is not None), default=None) for name in _IDS},
        "last_seen": max((row["last_seen"] for row in rows if row["last_seen"] is not None), default=None),
    }


def _preference(row: Row) -> tuple[int, bool, list[str]]:
    """Sort the row first whose text is whole; equal ranks are ordered by the values themselves."""
    values = [row[name] for name in _TEXT]
    return values.count(None), row["source"] in SERVICES, [value or "" for value in values]


def _knowledge_of_database(row: Row) -> int:
    """Return 0 if the database is unknown, up to 3 if the log names it."""
    if row["database"] is None:
        return 0
    return {None: 1, True: 2, False: 3}[row["database_is_inferred"]]
