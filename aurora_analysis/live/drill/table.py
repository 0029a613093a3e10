"""The drill's table: it is dropped at the end, and after SIGKILL at the start of the next drill."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import sqlalchemy
from sqlalchemy import exc

from aurora_analysis import engines
from aurora_analysis.engines.drill_statements import TableStatements
from aurora_analysis.errors import Error
from aurora_analysis.live.drill.options import TABLE
from aurora_analysis.live.drill.place import Place, Progress
from aurora_analysis.live.drill.servers import observed, servers

LEFT_AFTER_S = 5.0
"""A drill that runs changes its table every second; a table that did not change for so long was left."""

RETRY_S = 60.0
"""Longest search for the writer after a fault, for the check and the clean-up."""


@dataclass(frozen=True)
class Table:
    """The drill's table on the writer of a place; `writer` is the one to return to."""

    place: Place
    instances: Mapping[str, sqlalchemy.Engine]
    sql: TableStatements
    writer: str

    def stored(self, run: int) -> dict[str, set[tuple[int, int]]] | None:
        """Return the writes of a run that the writer has: client → (worker, sequence); None if it does not answer."""
        with suppress(exc.DBAPIError, Error), self._connected() as connection:
            found: dict[str, set[tuple[int, int]]] = {}
            for key, sequence in connection.execute(sqlalchemy.text(self.sql.stored), {"run": run}):
                client, _, worker = str(key).rpartition("-")
                found.setdefault(client, set()).add((int(worker), int(sequence)))
            return found
        return None

    def beat(self) -> None:
        """Show that the drill still runs."""
        with self._connected() as connection:
            connection.exec_driver_sql(self.sql.beat)

    def restore(self, progress: Progress) -> None:
        """Make the first writer the writer again."""
        if self.writer and (done := self.place.make_writer(self.writer)):
            progress(done)

    def drop(self) -> None:
        """Drop the table."""
        with self._connected() as connection:
            connection.exec_driver_sql(self.sql.drop)

    @contextmanager
    def _connected(self) -> Iterator[sqlalchemy.Connection]:
        """Connect to the writer; waits for one."""
        deadline = time.monotonic() + RETRY_S
        while not (writer := servers(self.instances).writer):
            if time.monotonic() > deadline:
                raise Error(f"No instance accepts writes after {RETRY_S:g} s.")
            time.sleep(0.5)
        with self.instances[writer].connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def created(place: Place, schema: str, progress: Progress) -> Iterator[Table]:
    """Yield the drill's table; with the block it is dropped, and the first writer is the writer again.

    A table that a killed drill left is dropped first, after the writer that the table notes is the writer again.

    Raises
    ------
    Error
        If another drill runs, or the table cannot be created or dropped.
    """
    module = engines.module(place.engine_name, "drill")
    sql: TableStatements = module.table(schema, TABLE)
    instances = observed(place)
    _clean_up_left(Table(place, instances, sql, ""), progress)
    made = Table(place, instances, sql, servers(instances).writer)
    try:
        with made._connected() as connection:
            for text in sql.create:
                connection.exec_driver_sql(text)
            connection.execute(sqlalchemy.text(sql.note), {"note": made.writer})
    except exc.DBAPIError as problem:
        raise Error(f"Cannot create the drill's table in {schema}: {_reason(made, problem)}.") from None
    try:
        yield made
    except BaseException:
        for line in _clean_up(made, progress):
            progress(line)
        raise
    if problems := _clean_up(made, progress):
        raise Error(" ".join(problems))


def _clean_up(made: Table, progress: Progress) -> list[str]:
    """Restore the writer, then drop the table; returns a line if that failed, with what to do."""
    try:
        made.restore(progress)
    except (exc.DBAPIError, Error) as problem:  # the table stays: it notes the writer for the next drill
        reason = _reason(made, problem)
        return [
            f"{made.writer} is not the writer again: {reason}. The next drill on this cluster restores it."
        ]
    try:
        made.drop()
    except (exc.DBAPIError, Error) as problem:
        return [f"The drill's table stays: {_reason(made, problem)}. Drop it by: {made.sql.drop}."]
    return []


def _reason(made: Table, problem: exc.DBAPIError | Error) -> str:
    if isinstance(problem, Error):
        return str(problem).rstrip(".")
    return str(engines.module(made.place.engine_name, "live").reason(problem))


def _clean_up_left(made: Table, progress: Progress) -> None:
    """Restore the writer that a killed drill noted, and drop its table."""
    before = _left(made)
    if before is None:
        return
    time.sleep(LEFT_AFTER_S)
    now = _left(made)
    if now is None:
        return
    if now != before:
        raise Error("Another drill runs on this cluster, because its table changes. Wait until it has ended.")
    if now[1]:
        replace(made, writer=now[1]).restore(progress)
    made.drop()
    progress("dropped the table that a killed drill left")


def _left(made: Table) -> tuple[int, str] | None:
    """Beats and note of a table that is there; None if there is none."""
    with made._connected() as connection:
        try:
            row = connection.exec_driver_sql(made.sql.left).first()
        except exc.DBAPIError:
            return None
    return (0, "") if row is None else (int(row[0]), str(row[1] or ""))
