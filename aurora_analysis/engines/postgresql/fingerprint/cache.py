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
        if b"'" not in sql and len(sql) <= self.LONGEST:
            self._remember(sql, known, self._texts)
        return known

    def _remember(self, key: bytes, known: Statement, where: dict[bytes, Statement]) -> None:
        self._size += len(key) + len(known.fingerprint) + 200
        if self._size > self.SIZE:
            self._texts.clear()
            self._shapes.clear()
            self._size = 0
        where[key] = known


def _shape(sql: bytes) -> bytes | None:
    if b"\x01" in sql or b"\x02" in sql or b"\\" in sql or (b"$" in sql and _DOLLARS.search(sql)):
        return None
    bare = _bare(sql)
    if bare is None or b"'" in bare:
        return None
    if b"$" in bare:
        bare = _PARAMETER.sub(b"\x01", bare)
    return _LIST.sub(b"\x02", _NUMBER.sub(b"\x01", _ROWS.sub(b"(\x02)", bare)))


def _bare(sql: bytes) -> bytes | None:
    """Return the text without its strings and comments; None if a comment is left.

    The quick way takes every apostrophe as one that opens or closes a string. It errs only if one stands in a comment
    or in a quoted name: then the first of these leaves the start of its comment or name in the bare text.
    """
    bare = _STRING.sub(b"\x01", sql) if b"'" in sql else sql
    has_name = b'"' in sql
    if b"--" in bare or b"/*" in bare or (has_name and b"\x01" in b"".join(bare.split(b'"')[1::2])):
        bare = _CAREFUL.sub(_bare_part, sql)
        names = _NAME.sub(b"", bare) if has_name else bare
        if b"--" in names or b"/*" in names:
            return None
    return None if bare.count(b'"') % 2 else bare


def _bare_part(found: re.Match[bytes]) -> bytes:
    return (b"\x01", found[0], b" ")[found.lastindex or 0]


_STRING = re.compile(rb"'[^']*+(?:''[^']*+)*+'")
_NAME = re.compile(rb'"[^"]*+"')
_CAREFUL = re.compile(
    rb"""'[^']*+(?:''[^']*+)*+'|("[^"]*+")|(--[^\n]*+|/\*(?:[^*/]++|\*(?!/)|/(?!\*))*+\*/)"""
)
"""Matches a string, a quoted name (group 1) or a comment without another in it (group 2)."""
_DOLLARS = re.compile(rb"\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*+)?\$")
_PARAMETER = re.compile(rb"\$[0-9](?<![\w$\x80-\xff]\$[0-9])[0-9]*+")
_NUMBER = re.compile(
    rb"[0-9](?<![\w$\x80-\xff][0-9])(?:(?<=0)[xX][0-9a-fA-F_]++|[0-9_]*+\.?[0-9_]*+(?:[eE][-+]?[0-9_]++)?)(?![\w$\x80-\xff])"
)
_ITEM = r"(?:\x01|[-+]?(?:0[xX][0-9a-fA-F]++|[0-9]++(?:\.[0-9]*+(?:[eE][-+]?[0-9]++)?|[eE][-+]?[0-9]++)?)|NULL|null)\s*+"
_ROW = rf"\((?<![rR][oO][wW]\()(?<![rR][oO][wW]\s\()\s*+{_ITEM}(?:,\s*+{_ITEM})++\)"
_ROWS = re.compile(rf"{_ROW}(?:\s*+,\s*+{_ROW})*+".encode())
_LIST = re.compile(rb"\x01(?:\s*,\s*(?:[-+]?\x01|NULL\b|null\b))+")
