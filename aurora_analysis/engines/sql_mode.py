"""The settings of a server that its SQL and its log do not show: where a literal ends, and in which zone times are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SqlMode:
    """The parts of sql_mode that decide where a literal ends, and the log's time zone.

    Parameters
    ----------
    backslash_escapes : bool
        False under NO_BACKSLASH_ESCAPES: a backslash is then a plain character.
    ansi_quotes : bool
        True under ANSI_QUOTES: "…" is then an identifier.
    log_timezone : str
        PostgreSQL's log_timezone, such as Europe/Berlin: its log writes an abbreviation, which is not an offset.
    """

    backslash_escapes: bool = True
    ansi_quotes: bool = False
    log_timezone: str = ""


DEFAULT_MODE = SqlMode()
