"""Check that the text of a trial's query is one SELECT that neither writes nor locks."""

from __future__ import annotations

import re

from aurora_analysis import engines
from aurora_analysis.engines.statement import kind
from aurora_analysis.errors import Error

READS = {"select", "with"}


def read_only_query(text: str, engine: str) -> str:
    """Return the query, in the SQL of an engine, without its final semicolon.

    Raises
    ------
    Error
        If the text is not exactly one statement that reads, or if it locks rows or writes a file.
    """
    query = text.strip().rstrip(";").strip()
    fingerprint = engines.module(engine, "fingerprint").statement(query).fingerprint
    found = kind(fingerprint)
    if found not in READS or ";" in fingerprint:
        raise Error(
            f"The query is a {found or 'statement of unknown kind'}: a trial runs one SELECT that does not write."
        )
    if locking := re.search(
        engines.module(engine, "trial_sessions").LOCKS_OR_FILES, fingerprint, re.IGNORECASE
    ):
        raise Error(
            f"The query contains {locking[0].upper()}: a trial runs one SELECT without locks or output files."
        )
    return query
