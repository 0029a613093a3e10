"""Shapes of statements in pure Python: what a few passes of `re` make of a text.

The compiled scanner makes its own shapes, so that this module is imported only without it, and for statements that it does not take.
"""

from __future__ import annotations

import re

from aurora_analysis.engines.mysql.fingerprint.canonical import ADMINISTRATOR
from aurora_analysis.engines.mysql.fingerprint.lexer import PLAIN, quoted
from aurora_analysis.engines.sql_mode import SqlMode


class Shapes:
    """Makes the shapes of statements under one sql_mode."""

    def __init__(self, mode: SqlMode) -> None:
        self._mode = mode
        self._single, self._strings, self._careful = _strings(mode, "'"), _strings(mode), _careful(mode)
        self._ticks = (b"`", b'"') if mode.ansi_quotes else (b"`",)

    def shape(self, sql: bytes) -> bytes | None:
        """Return the shape of a statement; None if the passes cannot make it safely."""
        if b"\x01" in sql or b"\x02" in sql or sql.startswith(_ADMINISTRATOR):
            return None
        if (
            (b"--" in sql and _EXPONENT.search(sql))
            or (b"$" in sql and _DOLLARS.search(sql))
            or (b'"' in sql and _PREFIXED.search(sql))
        ):
            return None
        bare = self._bare(sql)
        if b"'" in bare or (b'"' in bare and not self._mode.ansi_quotes):
            return None
        if any(tick in bare and _NUMBER.search(b"".join(bare.split(tick)[1::2])) for tick in self._ticks):
            return None  # a number in a quoted name is no literal
        if any(bare.count(tick) & 1 for tick in self._ticks):
            return None  # an open name ends the statement
        shape = _LIST.sub(b"\x02", _NUMBER.sub(b"\x01", _ROWS.sub(b"(\x02)", bare)))
        return None if _UNSURE.search(shape) else shape

    def _bare(self, sql: bytes) -> bytes:
        """Return the text without its strings and comments.

        The quick way takes every quote as one that opens or closes a string. It errs only if a quote stands in a
        comment or in a quoted name. The first such quote leaves the start of its comment or name in the bare text
        with a string inside; then the careful way looks at every token.
        """
        bare = sql
        if b'"' in sql:
            bare = self._strings.sub(b"\x01", sql)
        elif b"'" in sql:
            bare = self._single.sub(b"\x01", sql)
        if b"#" in bare or (b"/" in bare and b"/*" in bare) or (b"-" in bare and b"--" in bare):
            clean = _COMMENT.sub(b" ", bare)
            if _OPENED.search(clean) or any(clean.count(tick) != bare.count(tick) for tick in self._ticks):
                return self._careful.sub(_bare_part, sql)
            bare = clean
        for tick in self._ticks:
            if tick in bare and b"\x01" in b"".join(bare.split(tick)[1::2]):
                return self._careful.sub(_bare_part, sql)
        return bare

    @staticmethod
    def shortened(sql: bytes, shape: bytes) -> bytes:
        """Return a text with the fingerprint of the statement that is shorter, if there is one: a bulk insert is long."""
        if len(shape) * 2 > len(sql) or _RISKY.search(shape):
            return sql
        return shape.replace(b"\x01", b" 0 ").replace(b"\x02", b" 0,0 ")


_RISKY = re.compile(
    rb"[\w$@.\x80-\xff][\x01\x02]|_\w+\s*[\x01\x02]|[\x01\x02][\w$.\x80-\xff]|/\*|--(?=[\s\x00-\x1f]|\Z)|\#|[^;]\Z"
)
"""What would be read differently if numbers between blanks replaced the marks: a mark that belongs to the word before or
behind it, what looks like a comment only since another one is gone, a last semicolon that was part of a comment."""

_UNSURE = re.compile(rb"[.+-](?:(?<=\.)|(?<=[0-9.][eE].))[\x01\x02]")
"""A literal that the lexer may take together with the point or exponent before it."""

_ADMINISTRATOR = ADMINISTRATOR.encode()
_DOLLARS = re.compile(rb"\$\w*\$")
_EXPONENT = re.compile(rb"[0-9.][eE]--")
"""A text that the lexer reads as a number and a minus, not as a word and a comment."""
_PREFIXED = re.compile(rb"""[nNxXbB@]\"""")
"""Before an apostrophe it would belong to the literal."""

# The passes that make a shape. \x01 stands for a literal, \x02 for several literals.

_NUMBER = re.compile(
    rb"[0-9](?<![\w$\x80-\xff][0-9])"
    rb"(?:(?<=0)[xX][0-9a-fA-F]+|(?<=0)[bB][01]+|[0-9]*\.?[0-9]*(?:[eE][-+]?[0-9]+)?)(?![\w$\x80-\xff])"
)
_UNSIGNED = r"0[xX][0-9a-fA-F]++|[0-9]++(?:\.[0-9]*+(?:[eE][-+]?[0-9]++)?|[eE][-+]?[0-9]++)?"
_ITEM = rf"(?:\x01|{_UNSIGNED}|NULL|null|[-+](?:{_UNSIGNED}))\s*+"
_NOT_OF_ROW = r"(?<![rR][oO][wW]\()(?<![rR][oO][wW]\s\()"
_ROW = rf"\({_NOT_OF_ROW}\s*+{_ITEM}(?>,\s*+{_ITEM})++\)"
_ROWS = re.compile(rf"{_ROW}(?>\s*+,\s*+{_ROW})*+".encode())
_LIST = re.compile(rb"\x01(?:\s*,\s*(?:[-+]?\x01|NULL\b|null\b))+")
_COMMENT = re.compile(
    rb"""/\*(?!M?!)[^\x01'"]*?(?:\*/|\Z)|--(?=[\s\x00-\x1f]|\Z)[^\n\x01'"]*(?=\n|\Z)|\#[^\n\x01'"]*(?=\n|\Z)"""
)
"""A comment without a quote in it."""
_OPENED = re.compile(rb"/\*(?!M?!)|--(?=[\s\x00-\x1f]|\Z)|\#")


def _strings(mode: SqlMode, quotes: str = "'\"") -> re.Pattern[bytes]:
    """Match strings in these quotes; a pattern that starts with a single character is faster."""
    quotes = quotes.replace('"', "") if mode.ansi_quotes else quotes
    return re.compile("|".join(quoted(quote, mode) for quote in quotes).encode(), re.DOTALL)


def _careful(mode: SqlMode) -> re.Pattern[bytes]:
    """Match a string, a quoted name (group 1) or a comment (group 2)."""
    tick, double = quoted("`", PLAIN), quoted('"', PLAIN if mode.ansi_quotes else mode)
    strings, names = ([], [tick, double]) if mode.ansi_quotes else ([double], [tick])
    comment = r"/\*(?!M?!)(?:.*?\*/|.*+)|--(?=[\s\x00-\x1f]|\Z)[^\n]*|\#[^\n]*"
    either = "|".join([quoted("'", mode), *strings, f"({'|'.join(names)})", f"({comment})"])
    return re.compile(either.encode(), re.DOTALL)


def _bare_part(found: re.Match[bytes]) -> bytes:
    return (b"\x01", found[0], b" ")[found.lastindex or 0]
