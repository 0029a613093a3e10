"""Judge whether a text is one SELECT that neither writes, locks, waits nor lifts its time limit. Pure.

The judgement follows the lexer of the server in its own sql_mode, because the mode decides where a literal ends. What the
server might read in two ways is refused: version comments, dollar quotes, characters that only look like blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from aurora_analysis.engines.mysql.fingerprint.lexer import lexer
from aurora_analysis.engines.sql_mode import SqlMode

BACKSLASHES_OFF, DOUBLE_QUOTES_NAME = "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES"
"""The modes of sql_mode that decide where a literal ends; combined modes such as ANSI list them too."""

WORDS = {
    "into": "INTO, which writes a file or a variable",
    "procedure": "PROCEDURE",
    "update": "UPDATE, which locks or writes rows",
    "delete": "DELETE",
}
"""Reserved words that no reading SELECT needs, and why each is refused."""

PAIRS = {
    ("for", "share"): "FOR SHARE, which locks rows",
    ("lock", "in"): "LOCK IN SHARE MODE, which locks rows",
    ("value", "for"): "NEXT VALUE FOR, which writes",
    ("next", "value"): "NEXT VALUE FOR, which writes",
    ("previous", "value"): "PREVIOUS VALUE FOR",
}

FUNCTIONS = re.compile(
    r"""
      get_lock | release_lock | release_all_locks | service_(?:get|release)\w*     # locks of a name
    | load_file | sys_(?:exec|eval|set|get) | lambda_a?sync | invoke_\w+ | aws_\w+  # files and other programs
    | nextval | setval | lastval                                                   # sequences
    | benchmark | (?:master|source)_(?:pos|gtid)_wait | wait_(?:for|until)_\w+ | wsrep_sync_wait\w*  # waiting and burning
    | group_replication_\w+ | asynchronous_connection_failover_\w+ | audit_log_\w+ | keyring_\w+ | version_tokens_\w+
    | \w*firewall\w* | spider_\w+  # settings of the server
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Functions that lock, wait, reach files or other programs, or change settings."""

LIMIT_HINTS = re.compile(
    r"max_execution_time|max_statement_time|set_var|resource_group|['\"`]", re.IGNORECASE
)
"""Hints that touch a limit, and quotes, inside which the end of a hint may hide."""


def mode(sql_mode: str) -> SqlMode:
    """Return the parts of a server's sql_mode that decide where a literal ends.

    >>> found = mode("STRICT_TRANS_TABLES,ANSI_QUOTES")
    >>> found.backslash_escapes, found.ansi_quotes
    (True, True)
    """
    names = {name.strip().upper() for name in sql_mode.split(",")}
    return SqlMode(BACKSLASHES_OFF not in names, DOUBLE_QUOTES_NAME in names)


def refusal(query: str, sql_mode: SqlMode) -> str:
    r"""Return why a text is not one reading SELECT in this mode; empty if it is.

    Parameters
    ----------
    query : str
        The text, without its final semicolon.
    sql_mode : SqlMode
        Of the session that would run it.

    Returns
    -------
    str
        What it contains, as in "INTO, which writes a file or a variable".

    Examples
    --------
    >>> refusal("SELECT a FROM t", SqlMode())
    ''
    >>> refusal(r"SELECT '\' INTO OUTFILE 'x' -- '", SqlMode(backslash_escapes=False))
    'INTO, which writes a file or a variable'
    """
    found = [(token[0], token.lastgroup or "") for token in lexer(sql_mode).finditer(query)]
    code = [(text, group) for text, group in found if group != "blank"]
    return (
        next(filter(None, (*map(_unclear, *zip(*found)), _start(code), *_forbidden(code))), "")
        if found
        else "no query"
    )


def _unclear(text: str, group: str) -> str:
    """Why the server may read a token in another way."""
    if group == "open":
        return "a quote that is never closed"
    if group == "blank":
        return _unclear_blank(text)
    if group == "value" and text.startswith("$"):
        return "a dollar quote"
    if group in {"word", "sign"} and not (text.isascii() or text.isidentifier()):
        return "a character that only looks like a blank or a sign"
    return "a semicolon: one statement is needed" if text == ";" and group == "sign" else ""


def _unclear_blank(text: str) -> str:
    if text.startswith(("/*!", "/*M!", "*/")):
        return "a version comment, which some servers run and others skip"
    if text.startswith("/*"):
        if not text.endswith("*/"):
            return "a comment that is never closed"
        return "a hint that may lift the time limit" if text[2:3] == "+" and LIMIT_HINTS.search(text) else ""
    spaces = text[2:3] if text.startswith("--") else "" if text.startswith("#") else text
    return "" if all(one in " \t\n\r\f\v" for one in spaces) else "a control character or an unusual blank"


def _start(code: list[tuple[str, str]]) -> str:
    first = code[0][0].lower() if code else ""
    return "" if first in {"select", "with"} else "no SELECT at its start"


def _forbidden(code: list[tuple[str, str]]) -> Iterator[str]:
    """Reserved words and functions that do more than read."""
    following = [*code[1:], ("", "")]
    for (text, group), (after, _) in zip(code, following):
        if group == "word":
            for word in _words(text):
                yield WORDS.get(word, "")
                yield PAIRS.get((word, after.lower()), "")
                yield _function(word) if after == "(" else ""
        if group in {"name", "value"} and after == "(":
            yield _function(text.strip("`\"'"))


def _function(name: str) -> str:
    return f"{name.upper()}(), which does more than read" if FUNCTIONS.fullmatch(name) else ""


def _words(text: str) -> set[str]:
    """The words that a server may find in a token: after a number no blank is needed, as in `1.5INTO`."""
    word = text.lower()
    return {word, word.lstrip("0123456789"), re.sub(r"^\d+e\d+", "", word)}
