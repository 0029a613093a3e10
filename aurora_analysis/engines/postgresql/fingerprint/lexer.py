"""The lexer of PostgreSQL: SQL → tokens → fingerprint (PostgreSQL manual, "Lexical Structure")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain

from aurora_analysis.engines import comment_tags
from aurora_analysis.engines.canonical import BEFORE_VALUE, VALUE, canonical
from aurora_analysis.engines.comment_tags import Token
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.engines.statement import Statement, named

LONGEST_NAME = 63
"""PostgreSQL's longest identifier [bytes]: longer text between double quotes comes from a cut."""


class OpenQuote(Exception):
    """A quote that is never closed."""


_PLAIN = r"'(?>[^']++|'')*+'"
_ESCAPED = r"'(?>[^'\\]++|\\.|'')*+'"
_ON = r"(?>[ \t\r\f\v]++|--[^\n]*+)*+\n(?>\s++|--[^\n]*+\n)*+"
"""Separator of two parts of one string: white space with a line end."""
_TAG = r"\$(?:[^\W\d]\w*)?\$"

NUMBER = (
    r"(?:0[xX](?>_?[0-9a-fA-F])++|0[oO](?>_?[0-7])++|0[bB](?>_?[01])++"
    r"|[0-9](?>_?[0-9])*+(?>\.(?!\.)(?>[0-9](?>_?[0-9])*+)?+)?+(?>[eE][-+]?[0-9](?>_?[0-9])*+)?+"
    r"|\.[0-9](?>_?[0-9])*+(?>[eE][-+]?[0-9](?>_?[0-9])*+)?+)"
)

_OPERATOR = r"(?!--|/\*)"


@cache
def _token(plain: str) -> re.Pattern[str]:
    """Return the pattern of one token, with this pattern of a plain string; its group is the kind of token.

    An operator of several characters ends in a sign only if it has one of `~!@#%^&|?`.
    """
    return re.compile(
        rf"""
    (?P<blank> [\s\x00-\x1f\x7f]++ | --[^\n]*+ )
  | (?P<comment> /\* )
  | (?P<value> [eE]{_ESCAPED}(?>{_ON}{_ESCAPED})*+ | (?:[uU]&|[bBxXnN])?{plain}(?>{_ON}{plain})*+
             | (?P<tag>{_TAG}).*?(?P=tag) | {NUMBER}[\w$]*+ | \$[0-9]++ )
  | (?P<name> (?:[uU]&)?"(?>[^"]++|"")*+" )
  | (?P<open> (?:[eEbBxXnN]|[uU]&)?' | (?:[uU]&)?" | {_TAG} )
  | (?P<word> [^\W\d][\w$]*+ )
  | (?P<sign> :: | := | \.\. | => | (?:{_OPERATOR}[-+*/<>=~!@\#%^&|`?])*(?:{_OPERATOR}[~!@\#%^&|`?])(?>{_OPERATOR}[-+*/<>=~!@\#%^&|`?])*+
            | (?:{_OPERATOR}[-+*/<>=])*(?:{_OPERATOR}[*/<>=]) | . )
    """,
        re.VERBOSE | re.DOTALL,
    )


OPENS = re.compile(rf"""(?:(?<![\w$])(?:[eEbBxXnN]|[uU]&))?'|(?:(?<![\w$])[uU]&)?"|{_TAG}""")
"""Openings of literals and quoted names."""

_COMMENT_ENDS = re.compile(r"/\*|\*/")


def lexed(sql: str, plain: str = _PLAIN) -> Iterator[Token]:
    """Yield the kind and the text of each token; a comment is blank. A quote that is never closed is `open`, and ends the text."""
    at, pattern = 0, _token(plain)
    while found := pattern.match(sql, at):
        kind, at = found.lastgroup or "", found.end()
        if kind == "comment":
            kind, at = "blank", _comment_end(sql, at)
        yield kind, sql[found.start() : at]
        if kind == "open":
            return


def _comment_end(sql: str, at: int) -> int:
    """Return where a comment ends whose start was read; comments may be nested."""
    depth = 1
    for found in _COMMENT_ENDS.finditer(sql, at):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end()
    return len(sql)


def tokens(sql: str) -> Iterator[str]:
    """Yield the canonical tokens one by one.

    Raises
    ------
    OpenQuote
        If a quote is never closed.
    """
    before = is_tested = ""
    for kind, text in lexed(sql):
        if kind == "open":
            raise OpenQuote
        if kind != "blank":
            token = _canonical(kind, text)
            if token in {"true", "false"} and "is" not in {before, is_tested}:
                token = VALUE
            yield token
            is_tested = before if token == "not" else ""
            before = token


def _canonical(kind: str, text: str) -> str:
    if kind == "value":
        return VALUE
    if kind == "name":
        return _name(text)
    return "<>" if text == "!=" else text.lower()


_KEPT_QUOTED = frozenset(
    {"null", "true", "false", "in", "is", "not", "values", "value", "row", "array", "user", "set"}
)
"""Names that mean something else without their quotes."""


def _name(token: str) -> str:
    inner = token[token.index('"') + 1 : -1]
    # No name has these characters: the text came between two quotes because something was cut.
    if len(inner.encode()) > LONGEST_NAME or re.search(r"['\x00-\x1f\x7f]", inner):
        return VALUE
    if token[0] == '"' and re.fullmatch(r"[a-z_][a-z0-9_]*", inner) and inner not in _KEPT_QUOTED:
        return inner
    return token


def fingerprint(sql: str, mode: SqlMode = DEFAULT_MODE) -> str:
    r"""Return the statement with its literals replaced, in one canonical spelling.

    >>> fingerprint("SELECT * FROM \"t1\" WHERE a = 'it''s' AND b IN (1, -2.5e3) AND c ?| ARRAY['x','y']::text[]")
    'select * from t1 where a = ? and b in(?+) and c ?| array[?+]::text[]'
    """
    return statement(sql, mode).fingerprint


_BEFORE_VALUE = BEFORE_VALUE | {"from", "for", "to", "ilike", "returning"}


def statement(sql: str, mode: SqlMode = DEFAULT_MODE) -> Statement:
    """Return a statement's fingerprint and digest, and whether its quotes balance. PostgreSQL has no sql_mode."""
    sql = sql.strip().rstrip(";")
    try:
        if not _is_ambiguous(sql):
            return named(canonical(tokens(sql), _BEFORE_VALUE))
    except OpenQuote:
        pass
    opened = next((found.start() for found in _NAMES_AND_OPENS.finditer(sql) if found["open"]), len(sql))
    return named(canonical(chain(tokens(sql[:opened]), [VALUE]), _BEFORE_VALUE), whole=False)


_NAMES_AND_OPENS = re.compile(rf""""\w++"|(?P<open>{OPENS.pattern})""")
"""Plain names in quotes, and what opens a literal. What stands behind a cut statement's first literal may be inside one."""


def _is_ambiguous(sql: str) -> bool:
    r"""Return whether the text balances with `\'` as the end of a string, and as a quote inside of one, differently."""
    if "\\'" not in sql:
        return False
    ends = any(text.endswith("\\'") and text[0] == "'" for kind, text in lexed(sql) if kind == "value")
    return ends and all(kind != "open" for kind, _ in lexed(sql, _ESCAPED))


def tags(sql: str, mode: SqlMode = DEFAULT_MODE) -> dict[str, str]:
    """Return the tags in comments around a statement. Answers: which job or tool sent it?

    >>> tags("/* connector=etl job='orders' */ SELECT 1 -- fetched in a hurry")
    {'connector': 'etl', 'job': 'orders'}
    """
    return comment_tags.tags(lexed(sql))


def split(text: str, mode: SqlMode = DEFAULT_MODE) -> Iterator[str]:
    r"""Yield the statements of a script: each ends with a semicolon and a line end outside quotes and comments.

    >>> list(split("SELECT 'a;\nb';\nSELECT 2"))
    ["SELECT 'a;\nb'", 'SELECT 2']
    """
    start = at = 0
    for kind, token in lexed(text):
        if kind == "open":
            break
        at += len(token)
        if token == ";" and (end := _LINE_END.match(text, at)):
            yield text[start : at - 1]
            start = end.end()
    yield text[start:]


_LINE_END = re.compile(r"\r?\n")
