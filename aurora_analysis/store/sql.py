"""Answer a SELECT over the store's tables with DuckDB, which sees these tables and nothing else.

The connection lives for one query. It may open no file and no address, load no extension and change no setting, so
that a query can only read what the store holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.dataset as ds

from aurora_analysis.errors import Error
from aurora_analysis.store import frames
from aurora_analysis.store.causes import cause
from aurora_analysis.tables import TABLES, Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aurora_analysis.store.store import Store

SEALED = {"enable_external_access": "false", "python_enable_replacements": "false", "temp_directory": ""}
"""DuckDB's settings: no file, no network, no variable of Python, and nothing written to a disk."""

READS = {"SELECT", "EXPLAIN", "MULTI"}
"""Types of statements that only read; DuckDB names a PIVOT without a list of its columns MULTI."""


def query(store: Store, text: str, parameters: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of one SELECT; see `Store.sql`.

    Parameters
    ----------
    store : Store
    text : str
        The statement.
    parameters : mapping of str to value
        Values of `$name` in the statement.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    Error
        If the text is not one statement that reads, or DuckDB refuses it.
    """
    import duckdb

    connection = duckdb.connect(":memory:", config=SEALED)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        _check_reads(connection, text)
        for spec in _named(text):
            connection.register(spec.name, _rows(store, spec))
        connection.execute("SET lock_configuration = true")
        found: pd.DataFrame = connection.execute(text, parameters).df()
        return found
    except duckdb.Error as problem:
        raise Error(f"Cannot answer the SQL: {_cause(problem)}") from None
    finally:
        connection.close()


def _check_reads(connection: DuckDBPyConnection, text: str) -> None:
    types = [statement.type.name for statement in connection.extract_statements(text)]
    if len(types) != 1:
        raise Error(f"Store.sql takes one SELECT, and the text has {len(types)} statements.")
    if types[0] not in READS:
        raise Error(f"Store.sql only reads, and the text is {_article(types[0])} statement: write a SELECT.")


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "AEIOU" else f"a {kind}"


def _named(text: str) -> Iterable[Table]:
    """Return the tables whose names occur in a text, or all if none does (SHOW TABLES, a misspelt name)."""
    words = set(re.findall(r"\w+", text.lower()))
    return [spec for name, spec in TABLES.items() if name in words] or TABLES.values()


def _rows(store: Store, spec: Table) -> Any:
    """Return a table as DuckDB scans it: only the needed files and columns; without rows if it was never written."""
    schema = frames.schema(spec)
    found = [delta.to_pyarrow_dataset().replace_schema(schema) for delta in store.open_all(spec).values()]
    return ds.dataset(found) if found else schema.empty_table()


def _cause(problem: Exception) -> str:
    """Return DuckDB's message in one line, without its kind and the marked part of the statement."""
    message = str(problem).split("\n\nLINE ")[0]
    if "disabled by configuration" in message or "disabled through configuration" in message:
        return "only tables of the store can be read; files, addresses and extensions cannot."
    if "Python exception: " in message:  # a file of the store: pyarrow's words for it, then delta-rs's
        return cause(OSError(message.rsplit("Python exception: ", 1)[1]), "").rstrip(".") + "."
    return " ".join(re.sub(r"^[\w ]+ Error: ", "", message).split()).rstrip(".") + "."
