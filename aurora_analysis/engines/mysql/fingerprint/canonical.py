"""SQL of the MySQL family → fingerprint: `lexer` makes the tokens, `engines.canonical` the canonical spelling."""

from __future__ import annotations

import re
from itertools import chain

from aurora_analysis.engines.canonical import VALUE, canonical
from aurora_analysis.engines.mysql.fingerprint.lexer import OpenQuote, tokens
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.engines.statement import Statement, named

ADMINISTRATOR = "# administrator command"
"""A command of the protocol in the slow log, which is not a statement: Quit, Ping, Init DB."""


def fingerprint(sql: str, mode: SqlMode = DEFAULT_MODE) -> str:
    """Return the statement with its literals replaced, in one canonical spelling.

    >>> fingerprint("SELECT * FROM `t1` WHERE a = 'it''s' AND b IN (1, -2.5e3)")
    'select * from t1 where a = ? and b in(?+)'
    """
    return statement(sql, mode).fingerprint


def statement(sql: str, mode: SqlMode = DEFAULT_MODE) -> Statement:
    """Return a statement's fingerprint and digest, and whether its quotes balance."""
    sql = sql.strip().rstrip(";")
    if sql.startswith(ADMINISTRATOR):
        return named(sql[2:].lower())
    try:
        return named(canonical(tokens(sql, mode)))
    except OpenQuote:
        sure = _SURE.match(sql)
        before = chain(tokens(sure[0] if sure else "", mode), [VALUE])
        return named(canonical(before), whole=False)


_SURE = re.compile(r"(?>[^\"'`$]++|`\w++`|\$(?!\w*\$))*+")
"""The text of a cut statement up to its first literal, with the plain names between back-ticks in it. What stands behind
may be inside a literal, whatever its quotes say."""
