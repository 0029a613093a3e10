"""SQL of a drill: its table, what a client sends, and Aurora's statements that inject a fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple


class TableStatements(NamedTuple):
    """SQL of a drill's table; the parameters of `insert` and `read` are written `:name`.

    Attributes
    ----------
    create : tuple of str
        Create the table and its row of notes.
    insert : str
        Write one sequence number (`run`, `client`, `sequence`).
    read : str
        The highest sequence number of a `client` in a `run`, and whether the server accepts writes.
    stored : str
        All clients and sequence numbers of a `run`.
    note : str
        Keep the `note`: the writer to return to.
    left : str
        A number that grows while a drill runs (beats and rows), and the note.
    beat : str
        Add one to the beats: the drill that made the table still runs.
    drop : str
        Drop the table.
    """

    create: tuple[str, ...]
    insert: str
    read: str
    stored: str
    note: str
    left: str
    beat: str
    drop: str


NOTE_RUN = -1
"""The number of the run that holds the drill's own row; runs of clients count from 0."""


def of_table(name: str, text_type: str, is_writer: str, suffix: str = "") -> TableStatements:
    """Return the statements of a table.

    Parameters
    ----------
    name : str
        The table's name, quoted.
    text_type : str
        The engine's type of a client's name.
    is_writer : str
        Expression that is true if the server accepts writes.
    suffix : str
        What follows the columns in CREATE TABLE.
    """
    columns = (
        f"run int NOT NULL, client {text_type} NOT NULL, sequence bigint NOT NULL, note {text_type}, "
        "PRIMARY KEY (run, client, sequence)"
    )
    own = f"run = {NOTE_RUN} AND client = 'drill'"
    return TableStatements(
        create=(
            f"CREATE TABLE IF NOT EXISTS {name} ({columns}){suffix}",
            f"INSERT INTO {name} (run, client, sequence) VALUES ({NOTE_RUN}, 'drill', 0)",
        ),
        insert=f"INSERT INTO {name} (run, client, sequence) VALUES (:run, :client, :sequence)",
        read=f"SELECT COALESCE(MAX(sequence), 0), {is_writer} FROM {name} WHERE run = :run AND client = :client",
        stored=f"SELECT client, sequence FROM {name} WHERE run = :run",
        note=f"UPDATE {name} SET note = :note WHERE {own}",
        left=f"SELECT sequence + (SELECT COUNT(*) FROM {name}), note FROM {name} WHERE {own}",
        beat=f"UPDATE {name} SET sequence = sequence + 1 WHERE {own}",
        drop=f"DROP TABLE IF EXISTS {name}",
    )


FaultStatement = Callable[[int, str], str]
"""(how long the fault lasts [s], name of the reader) → the statement that injects it."""

Faults = Mapping[str, FaultStatement]
"""Fault → Aurora's statement; the writer runs it."""
