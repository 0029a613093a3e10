"""Check that the text of a trial's query is one SELECT that neither writes nor locks."""

from __future__ import annotations

import re

from aurora_analysis.engines.mysql.fingerprint import kind, statement
from aurora_analysis.errors import Error

READS = {"select", "with"}
LOCKS_OR_FILES = r"\b(for update|for share|lock in share mode|into outfile|into dumpfile)\b"


def read_only_query(text: str) -> str:
    """Return the query without its final semicolon.

    Raises
    ------
    Error
        If the text is not exactly one statement that reads, or if it locks rows or writes a file.
    """
    query = text.strip().rstrip(";").strip()
    fingerprint = statement(query).fingerprint
    found = kind(fingerprint)
    if found not in READS or ";" in fingerprint:
        raise Error(
            f"The query is a {found or 'statement of unknown kind'}: a trial runs one SELECT that does not write."
        )
    if locking := re.search(LOCKS_OR_FILES, fingerprint, re.IGNORECASE):
        raise Error(
            f"The query contains {locking[0].upper()}: a trial runs one SELECT without locks or output files."
        )
    return query
