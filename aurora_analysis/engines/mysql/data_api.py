"""Sample the writer through the RDS Data API, which runs SQL over HTTPS without a driver, a password or a VPC.

Each statement has a session of its own, so that settings of a session cannot be set before: hints take their place. An answer has at
most 1 MiB, which suffices for purge and its blocker, and not for statement statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aurora_analysis.engines.mysql import live

HINTS = f"/*+ MAX_EXECUTION_TIME({live.STATEMENT_TIMEOUT_S * 1000:.0f}) SET_VAR(time_zone = 'SYSTEM') */"
"""The time limit and the time zone that other probes set for their session; a server that does not know a hint ignores it."""

SAMPLED = {
    "identity",
    "innodb_status",
    "transactions",
    "clients",
    "counters",
    "replicas",
    "global_replicas",
    "prepared_transactions",
}
"""The queries that a sample needs. Others may exceed the limits of an answer, and are not run."""


class Refused(Exception):
    """The database or the service refused a statement; `number` is the database's error number, 0 if there is none."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number, self.reason = number, reason


class Row(tuple[Any, ...]):
    """A row of an answer: a tuple that also knows its columns' names."""

    _mapping: dict[str, Any]

    @classmethod
    def of(cls, names: Sequence[str], values: Sequence[Any]) -> Row:
        """Return the row of these values, in the order of the names."""
        row = cls(values)
        row._mapping = dict(zip(names, values))
        return row


class Probe(live.Probe):
    """Samples the writer through a function that runs one statement and returns its rows.

    Parameters
    ----------
    run : callable
        Runs a statement; raises `Refused`, or `ConnectionLost` if the service does not answer.
    name : str
        Name of the instance, used until the server reports its own.
    """

    def __init__(self, run: Callable[[str], Sequence[Row]], name: str) -> None:
        self.name, self.role = name, "writer"
        self.variables: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self._absent: set[str] = set()
        self._reports_role = False
        self._run = run

    def rows(self, name: str, **values: Any) -> Sequence[Any] | None:
        """Run a query of `queries/` and return its rows; None if it is not run, or a grant or the table is missing."""
        if name not in SAMPLED or name in self.skipped or name in self._absent:
            return None
        try:
            return self._run(statement(name))
        except Refused as problem:
            self._skip(name, problem)
            return None

    def _skip(self, name: str, problem: Refused) -> None:
        """Skip the query from now on, unless only this attempt timed out."""
        if problem.number in live.MISSING_OBJECT_ERRORS or (
            problem.number in live.ACCESS_DENIED_ERRORS and name in live.AURORA_ONLY and not self._is_aurora()
        ):
            self._absent.add(name)
        elif problem.number in live.ACCESS_DENIED_ERRORS:
            self.skipped[name] = live.QUERIES[name].needs.format(user="the secret's user")
        elif problem.number not in live.STATEMENT_TIMEOUT_ERRORS:
            self.skipped[name] = f"an answer within the Data API's limits ({problem.reason})"

    def abort(self) -> None:
        """Do nothing: a statement ends by its time limit, and a request by the client's."""

    def close(self) -> None:
        """Do nothing: there is no connection."""


def statement(name: str) -> str:
    """Return a query with our tag, and with hints if it is a SELECT.

    >>> statement("counters").startswith("/* aurora-analysis */ SHOW")
    True
    """
    text = live.QUERIES[name].text
    if text.startswith("SELECT"):
        text = f"SELECT {HINTS}{text.removeprefix('SELECT')}"
    return f"{live.TAG} {text}"
