"""The slow log of the MySQL family: text → entries → events → tables, with every byte accounted for.

Modules: `grammar` (header lines), `pieces` (chunks → whole entries), `scanner` (entries, the hot loop), `compiled`
(the same with the help of `_scanner.c`), `values` (events with UTC times) and `reading` (the store's tables). What is the same for every engine is in
`engines.log_events` and `engines.log_tables`.

The format is documented in the MySQL reference manual, "The Slow Query Log", and in MariaDB's "Slow Query Log
Overview". Easy mistakes:

- A `# Time` with a zone is when the entry was logged: the end. `SET timestamp` is the end in MySQL 5.x and the
  *start* since MySQL 8.0.14. So the end is taken from `# Time` if that has a zone, and otherwise from
  `SET timestamp`, to a second. In MariaDB (tried with 10.11.19 and 11.8.9) both are the start: the end is
  Query_time later. MySQL 5.6.24 and 9.7.4 were tried too.
- The server writes `use db;` only if the session has a database and it differs from that of the previous entry. So an
  entry without `use` has the log's latest database or none: it is inferred unless the session named it itself.
- A statement may contain lines that look like headers. A header inside an open quote is text.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aurora_analysis.engines.log_events import MARKER, Account, Entry, Event, record
from aurora_analysis.engines.mysql.slow_log.compiled import account_of, hard_entries, library
from aurora_analysis.engines.mysql.slow_log.grammar import BOUNDARIES, HEAD, INHERITED, PREFACE, is_slow_log
from aurora_analysis.engines.mysql.slow_log.refusals import refusal
from aurora_analysis.engines.mysql.slow_log.scanner import State, entries
from aurora_analysis.engines.mysql.slow_log.values import ended, events

if TYPE_CHECKING:
    from aurora_analysis.engines.log_tables import Batch, Columns, Layout, LogTables
    from aurora_analysis.engines.mysql.slow_log.reading import batches, read_slow_log, to_tables
    from aurora_analysis.engines.mysql.slow_log.recording import write_batches, write_lines

logged = entries
"""A slow log holds executions and nothing else."""

UNKNOWN: frozenset[str] = frozenset()
"""The figures of an execution that the log does not have."""

COVERED = ("slow_queries",)
"""Tables whose rows of a log's time are all in the log."""

__all__ = [
    "BOUNDARIES",
    "HEAD",
    "INHERITED",
    "MARKER",
    "PREFACE",
    "COVERED",
    "UNKNOWN",
    "Account",
    "Batch",
    "Columns",
    "Entry",
    "Event",
    "Layout",
    "LogTables",
    "State",
    "account_of",
    "batches",
    "ended",
    "entries",
    "events",
    "hard_entries",
    "is_slow_log",
    "library",
    "logged",
    "read_slow_log",
    "record",
    "refusal",
    "to_tables",
    "write_batches",
    "write_lines",
]

_LAZY = {
    **dict.fromkeys(("Batch", "Columns", "Layout", "LogTables"), "aurora_analysis.engines.log_tables"),
    **dict.fromkeys(("batches", "read_slow_log", "to_tables"), f"{__name__}.reading"),
    **dict.fromkeys(("write_batches", "write_lines"), f"{__name__}.recording"),
}
"""Names of the tables, imported on first use: `digest` starts without them."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
