"""The settings of a server that decide where a literal of its SQL ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SqlMode:
    """The parts of sql_mode that decide where a literal ends.

    Parameters
    ----------
    backslash_escapes : bool
        False under NO_BACKSLASH_ESCAPES: a backslash is then a plain character.
    ansi_quotes : bool
        True under ANSI_QUOTES: "…" is then an identifier.
    """

    backslash_escapes: bool = True
    ansi_quotes: bool = False


DEFAULT_MODE = SqlMode()
