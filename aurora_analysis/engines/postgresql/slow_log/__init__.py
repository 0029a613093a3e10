"""PostgreSQL's log: text, CSV or JSON → records → executions, reports of vacuum and events, with every byte accounted for.

Modules: `prefix` (log_line_prefix), `text_log`, `csv_log` and `json_log` (bytes → records), `grammar` (messages),
`sessions` (records of one process belong together), `clock` and `values` (events with UTC times), `reading` (the
store's tables) and `refusals`. What is the same for every engine is in `engines.log_events` and `engines.log_tables`.

Easy mistakes:

- The time of a duration is the end of the execution, and `%t` has whole seconds.
- An abbreviation such as CET or CST is not an offset from UTC; only UTC, GMT and numbers are.
- `parse`, `bind` and `execute` of one statement are three durations.
- The cutoff of a vacuum is taken when it starts; its report is written when it ends.
- `DETAIL: parameters` are literals: they are dropped.
"""

from aurora_analysis.engines.log_events import MARKER, Account, Entry, Event, record
from aurora_analysis.engines.log_tables import Batch, Columns, Layout, LogTables
from aurora_analysis.engines.postgresql.slow_log.reading import (
    batches,
    entries,
    is_slow_log,
    logged,
    read_slow_log,
    to_tables,
)
from aurora_analysis.engines.postgresql.slow_log.refusals import refusal
from aurora_analysis.engines.postgresql.slow_log.values import ended, events
from aurora_analysis.engines.sql_mode import SqlMode

HEAD = b""
"""An entry has no fixed first bytes: they are those of log_line_prefix."""

BOUNDARIES: tuple[bytes, ...] = ()
"""A file is read as a whole: records of one process belong together wherever they stand."""

UNKNOWN = frozenset({"lock_time_s", "rows_sent", "rows_examined"})
"""The figures of an execution that the log does not have."""

COVERED = ("slow_queries", "vacuums")
"""Tables whose rows of a log's time are all in the log."""


def library(mode: SqlMode) -> None:
    """Return the compiled scanner's module: PostgreSQL's logs have none."""


__all__ = [
    "BOUNDARIES",
    "HEAD",
    "MARKER",
    "COVERED",
    "UNKNOWN",
    "Account",
    "Batch",
    "Columns",
    "Entry",
    "Event",
    "Layout",
    "LogTables",
    "batches",
    "ended",
    "entries",
    "events",
    "is_slow_log",
    "library",
    "logged",
    "read_slow_log",
    "record",
    "refusal",
    "to_tables",
]
