"""The fast path for logs: each shape of a text is lexed once.

A *shape* is what a few passes of `re` make of a text: literals and runs of literals removed, all else kept. Texts of
one shape have one fingerprint; one fingerprint may have several shapes. Texts that the passes cannot handle safely
(a backslash, a dollar quote, a nested comment, a stray quote) are lexed each time. Statements with parameters come as
the same text again and again: texts without a string are remembered as they are.
"""

from __future__ import annotations

import re

from aurora_analysis.engines.postgresql.fingerprint.lexer import statement
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.engines.statement import Statement


class FingerprintCache:
    """Fingerprints of a log's statements, by text and by shape.

    It is emptied when it takes more than `SIZE` bytes, so that a log of ever new statements cannot grow it.
    """

    SIZE = 16 * 2**20
    LONGEST = 4096
    """Longest text that is remembered as it is [bytes]."""

    def __init__(self, mode: SqlMode = DEFAULT_MODE) -> None:
        self._texts: dict[bytes, Statement] = {}
        self._shapes: dict[bytes, Statement] = {}
        self._size = 0

    def __call__(self, sql: bytes) -> Statement:
        """Return the fingerprint and digest of one statement, given as the log's bytes."""
        known = self._texts.get(sql)
        if known is not None:
            return known
        shape = _shape(sql)
        known = self._shapes.get(shape) if shape is not None else None
        if known is None:
            known = statement(sql.decode("utf-8", "replace"))
            if shape is not None:
                self._remember(shape, known, self._shapes)
        if len(sql) <= self.LONGEST and (shape == sql or (_DOLLAR in sql and _APOSTROPHE not in sql)):
            self._remember(
                sql, known, self._texts
            )  # it will come again: it has no literals, or parameters in their place
        return known

    def _remember(self, key: bytes, known: Statement, where: dict[bytes, Statement]) -> None:
        self._size += len(key) + len(known.fingerprint) + 200
        if self._size > self.SIZE:
            self._texts.clear()
            self._shapes.clear()
            self._size = 0
        where[key] = known


def _shape(sql: bytes) -> bytes | None:
    if _BACKSLASH in sql or 1 in sql or 2 in sql or (_DOLLAR in sql and _DOLLARS.search(sql)):
        return None
    bare = _LITERAL.sub(b"\x01", sql)
    if _QUOTE in sql or (_DASH in bare and b"--" in bare) or (_SLASH in bare and b"/*" in bare):
        checked = _careful(sql, bare)
        if checked is None:
            return None
        bare = checked
    if _APOSTROPHE in bare:
        return None
    return _ROWS.sub(b"(\x02)", _LIST.sub(b"\x02", bare)) if _COMMA in bare else bare


_QUOTE, _DOLLAR, _APOSTROPHE, _COMMA, _DASH, _SLASH, _BACKSLASH = b"\"$',-/\\"
"""Bytes as numbers: Python finds a number in bytes 25 times as fast as bytes of length one."""


def _careful(sql: bytes, bare: bytes) -> bytes | None:
    """Return the bare text of one that has comments or quoted names; None if the passes could err.

    The quick pass takes every apostrophe as one that opens or closes a string, and every number as a literal. It errs
    if one stands in a comment or in a quoted name.
    """
    if b"--" in bare or b"/*" in bare:
        sql = _CONTAINER.sub(_without_comment, sql)
        bare = _LITERAL.sub(b"\x01", sql)
    names = bare.split(b'"')
    if not len(names) % 2 or b"\x01" in b"".join(names[1::2]):
        return None
    outside = b"".join(names[::2])
    return None if b"--" in outside or b"/*" in outside else bare


def _without_comment(found: re.Match[bytes]) -> bytes:
    return b" " if found.lastindex else found[0]


_CONTAINER = re.compile(
    rb"""'[^']*+(?>''[^']*+)*+'|"[^"]*+"|(--[^\n]*+|/\*(?>[^*/]++|\*(?!/)|/(?!\*))*+\*/)"""
)
"""Matches a string, a quoted name, or a comment without another in it (group 1)."""

_DOLLARS = re.compile(rb"\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*+)?\$")

_LITERAL = re.compile(
    rb"['0-9$](?:(?<=')[^']*+(?>''[^']*+)*+'"
    rb"|(?<=[0-9])(?<![\w$\x80-\xff][0-9])(?:(?<=0)[xX][0-9a-fA-F_]++|[0-9_]*+\.?[0-9_]*+(?:[eE][-+]?[0-9_]++)?)(?![\w$\x80-\xff])"
    rb"|(?<=\$)(?<![\w$\x80-\xff]\$)[0-9]++)"
)
"""A string, a number or a parameter. A pattern that starts with a set of characters is fast."""

_LIST = re.compile(rb"\x01(?>\s*+,\s*+(?:[-+]?\x01|NULL\b|null\b))++")
_ROWS = re.compile(
    rb"\((?<![rR][oO][wW]\()(?<![rR][oO][wW]\s\()\s*+\x02\s*+\)(?>\s*+,\s*+\(\s*+\x02\s*+\))++"
)
