"""Tags: the key=value pairs that drivers and frameworks write into comments around a statement.

A tag is not a literal and keeps its value. So only a comment before or after the whole statement has tags, because
that is where frameworks write them, and only values without white space, quotes and `@`, of at most 100 characters.
Text commented out inside a statement, a mail address or a sentence gives no tag. A customer's number written into
such a comment does appear in the tags.
"""

from __future__ import annotations

import re

from aurora_analysis.engines.mysql.fingerprint.lexer import DEFAULT_MODE, SqlMode, lexer

_PAIR = r"""([\w.\-%]++)\s*+=\s*+(['"]?)([\w.:/%+\-]{0,100}+)\2(?=[\s,;]|\Z)"""
_PAIRS = re.compile(_PAIR)
_TAGS = re.compile(rf"\s*+(?:{_PAIR}(?:\s*+[,;]\s*+|\s++|\Z))++")
"""A comment of nothing but pairs. All quantifiers are possessive: backtracking would take exponential time."""


def tags(sql: str, mode: SqlMode = DEFAULT_MODE) -> dict[str, str]:
    """Return the key=value pairs in comments around a statement. Answers: which job sent it?

    >>> tags("/* connector=etl job='orders' */ SELECT 1 -- fetched in a hurry")
    {'connector': 'etl', 'job': 'orders'}
    """
    before, after = _comments_around(sql, mode)
    tagged = [comment for comment in before + after if _TAGS.fullmatch(comment)]
    return {key: value for comment in tagged for key, _, value in _PAIRS.findall(comment)}


def _comments_around(sql: str, mode: SqlMode) -> tuple[list[str], list[str]]:
    """Return the comments before the statement's first word, and those after its last."""
    before: list[str] = []
    after: list[str] = []
    found = before
    for token in lexer(mode).finditer(sql):
        if token.lastgroup == "open":
            return before, []
        if token.lastgroup == "blank":
            found.append(_comment_text(token[0]))
        elif token[0] != ";":
            found = after
            after.clear()
    return before, after


def _comment_text(blank: str) -> str:
    if blank.startswith("/*"):
        return blank[2:-2] if blank.endswith("*/") else ""
    return blank[2:] if blank.startswith("--") else blank[1:] if blank.startswith("#") else ""
