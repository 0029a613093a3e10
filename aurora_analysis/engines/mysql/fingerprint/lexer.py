"""The lexer of the MySQL family: SQL → tokens, and the questions that only need tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from aurora_analysis.engines.canonical import VALUE
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode

CHARSETS = "armscii8|ascii|big5|binary|cp125[0167]|cp8(?:50|52|66)|cp932|dec8|eucjpms|euckr|gb18030|gb2312|gbk|geostd8|greek|hebrew|hp8|keybcs2|koi8[ru]|latin[1257]|mac(?:ce|roman)|sjis|swe7|tis620|ucs2|ujis|utf16(?:le)?|utf32|utf8(?:mb[34])?"

LONGEST_NAME = 64
"""MySQL's longest identifier [characters]: longer text between back-ticks comes from a cut."""

OPENS = r"""['"`]|\$\w*\$"""
"""Pattern of what opens a literal or a quoted name."""


PLAIN = SqlMode(backslash_escapes=False)


class OpenQuote(Exception):
    """A quote that is never closed."""


def quoted(quote: str, mode: SqlMode) -> str:
    """Return the pattern of a text between two such quotes."""
    plain, escaped = (rf"[^{quote}\\]", r"|\\.") if mode.backslash_escapes else (rf"[^{quote}]", "")
    return rf"{quote}(?>{plain}++{escaped}|{quote}{quote})*+{quote}"


@cache
def lexer(mode: SqlMode) -> re.Pattern[str]:
    """Return the pattern of one token; its group is the kind of token (MySQL manual, Language Structure)."""
    single = quoted("'", mode)
    strings, names = [single], [quoted("`", PLAIN)]
    (names if mode.ansi_quotes else strings).append(quoted('"', PLAIN if mode.ansi_quotes else mode))
    return re.compile(
        rf"""
        (?P<blank> [\s\x00-\x1f\x7f]+ | --(?=[\s\x00-\x1f]|\Z)[^\n]* | \#[^\n]* | /\*(?!M?!)(?:.*?\*/|.*\Z) | /\*M?!\d* | \*/(?!\*) )
      | (?P<value> (?:_(?:{CHARSETS})\s*)?(?:[nNxXbB]?{single}|{"|".join(strings)}|0[xX][0-9a-fA-F]+(?![\w$])|0[bB][01]+(?![\w$])|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
                 | (?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d*)?(?![\w$]) | (?<!@)@(?!@)(?:[\w$.]+|{single}|`[^`]*`) )
      | (?P<name> {"|".join(names)} )
      | (?P<open> {OPENS} )
      | (?P<word> [\w$]+ )
      | (?P<sign> <=>|:=|->>?|<<|>>|<=|>=|<>|!=|&&|\|\||\.\.\.|. )
        """,
        re.VERBOSE | re.DOTALL | re.IGNORECASE,
    )


def tokens(sql: str, mode: SqlMode) -> Iterator[str]:
    """Yield the canonical tokens one by one, because a large text has millions.

    Raises
    ------
    OpenQuote
        If a quote is never closed.
    """
    for token in lexer(mode).finditer(sql):
        if token.lastgroup == "open":
            raise OpenQuote
        if token.lastgroup != "blank":
            yield _canonical(token[0], token.lastgroup)


def _canonical(token: str, group: str | None) -> str:
    if group == "value":
        return "@?" if token[0] == "@" else VALUE
    if group == "name":
        return _name(token)
    return "<>" if token == "!=" else token.lower()


def _name(token: str) -> str:
    inner = token[1:-1]
    # No identifier holds these characters: the text came between two back-ticks because something was cut.
    if len(inner) > LONGEST_NAME or re.search(r"['\"\x00-\x1f\x7f]", inner):
        return VALUE
    return inner.lower() if re.fullmatch(r"[\w$]+", inner) else token.lower()


def tags(sql: str, mode: SqlMode = DEFAULT_MODE) -> dict[str, str]:
    """Return the tags in comments around a statement. Answers: which job or tool sent it?

    >>> tags("/* connector=etl job='orders' */ SELECT 1 -- fetched in a hurry")
    {'connector': 'etl', 'job': 'orders'}
    >>> tags("SELECT 1 /*application:Shop,controller:orders*/")
    {'application': 'Shop', 'controller': 'orders'}
    """
    from aurora_analysis.engines import comment_tags  # `digest` starts without it

    return comment_tags.tags((token.lastgroup or "", token[0]) for token in lexer(mode).finditer(sql))


def quotes_are_closed(sql: bytes, mode: SqlMode = DEFAULT_MODE) -> bool:
    """Return whether every quote that the text opens is closed in it."""
    return _closed(mode).match(sql) is not None


def open_quote(sql: bytes, mode: SqlMode = DEFAULT_MODE) -> int | None:
    """Return where the quote begins that the text opens and never closes; None if there is none."""
    found = _closed_part(mode).match(sql)
    end = found.end() if found else 0
    return end if end < len(sql) else None


def split(text: str, mode: SqlMode = DEFAULT_MODE) -> Iterator[str]:
    r"""Yield the statements of a script: each ends with a semicolon and a line end outside quotes and comments.

    >>> list(split("SELECT 'a;\nb';\nSELECT 2"))
    ["SELECT 'a;\nb'", 'SELECT 2']
    """
    start = 0
    for found in _separators(mode).finditer(text):
        if found.lastgroup:
            yield text[start : found.start()]
            start = found.end()
    yield text[start:]


@cache
def _separators(mode: SqlMode) -> re.Pattern[str]:
    """Match a separator, or what may contain one; a quote that is never closed contains all the rest."""
    return re.compile(rf"""{"|".join(_containers(mode))}|['"`].*+|(?P<separator>;\r?\n)""", re.DOTALL)


@cache
def _closed(mode: SqlMode) -> re.Pattern[bytes]:
    return re.compile(_closed_part(mode).pattern + rb"\Z", re.DOTALL)


@cache
def _closed_part(mode: SqlMode) -> re.Pattern[bytes]:
    return re.compile(rf"""(?>[^'"`#/-]++|{"|".join(_containers(mode))}|[/-])*+""".encode(), re.DOTALL)


def _containers(mode: SqlMode) -> list[str]:
    """Patterns of what may contain anything: quotes and comments."""
    quotes = [quoted("'", mode), quoted('"', PLAIN if mode.ansi_quotes else mode), quoted("`", PLAIN)]
    return [*quotes, r"/\*(?:.*?\*/|.*+)", r"--(?=[\s\x00-\x1f]|\Z)[^\n]*", r"\#[^\n]*"]
