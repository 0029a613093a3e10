"""Tokens → fingerprint: one canonical spelling for all statements that differ only in what the policy ignores.

An engine's lexer makes the tokens, with `VALUE` in place of each literal. A fingerprint is made of them in four steps:
values, lists, rows; then it is spelled.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

VALUE = "?"
"""The token that replaces a literal."""

VALUES = "?+"
"""The token that replaces two or more literals."""


CUT_AT = 500
"""Length at which Performance Insights cuts a statement's text [bytes] (API reference, GetResourceMetrics)."""


def matching(key: str, keys: Collection[str], *, is_cut: bool) -> str | None:
    """Return the join key that equals a server's, or the only one that continues it if its text was cut; else None."""
    if key in keys and not is_cut:
        return key
    found = [other for other in keys if other.startswith(key)] if is_cut and key else []
    return found[0] if len(found) == 1 else None


BEFORE_VALUE = frozenset(
    [
        "select",
        "where",
        "and",
        "or",
        "not",
        "xor",
        "between",
        "like",
        "when",
        "then",
        "else",
        "limit",
        "offset",
        "by",
        "having",
        "on",
        "in",
        "is",
        "set",
        "value",
        "values",
        "return",
        "distinct",
        "all",
        "case",
        "interval",
        "div",
        "mod",
        "regexp",
        "rlike",
        "if",
        "elseif",
        "while",
        "until",
        "using",
        "default",
    ]
)
"""Words before an expression: a sign after one of them belongs to the number."""


def canonical(found: Iterable[str], before_value: frozenset[str] = BEFORE_VALUE) -> str:
    """Return the fingerprint of a statement, given as an engine's tokens, and its words before an expression."""
    return _spelled(_rows(_lists(_values(found, before_value))))


def _values(tokens: Iterable[str], before_value: frozenset[str]) -> Iterator[str]:
    """Merge a sign into the number after it, and take NULL as a value, unless an operand precedes."""
    before, signs = "(", []
    for token in tokens:
        if token in {"+", "-"} and not _is_operand(before, before_value):
            signs.append(token)
            continue
        is_null = token == "null" and not signs and before not in {"is", "not", "set"}
        is_null = is_null and not _is_operand(before, before_value)
        if token != VALUE:
            yield from signs
        yield VALUE if is_null else token
        before, signs = token, []
    yield from signs


def _is_operand(token: str, before_value: frozenset[str]) -> bool:
    return (token[-1].isalnum() or token[-1] in ')]?`"$_') and token not in before_value


def _lists(tokens: Iterable[str]) -> list[str]:
    """Replace two or more values between commas by one `?+`, and so a lone value after IN or ARRAY."""
    kept: list[str] = []
    for token in tokens:
        if token in {VALUE, "..."} and kept[-2:] in _GOES_ON:
            kept[-2:] = [VALUES]
        elif token == "..." and kept[-1:] == ["("]:
            kept.append(VALUES)
        elif token in _LISTS and kept[-3:-1] == _LISTS[token] and kept[-1] in {VALUE, VALUES}:
            kept[-1:] = [VALUES, token]
        else:
            kept.append(token)
    return kept


_GOES_ON = ([VALUE, ","], [VALUES, ","])

_LISTS = {")": ["in", "("], "]": ["array", "["]}
"""The bracket that closes a list → the one that opens it, and the word before it."""


DEEPEST = 50
"""Rows inside rows that are merged; deeper ones come only from an attack on the recursion."""


def _rows(tokens: list[str], depth: int = 0) -> list[str]:
    """Merge rows of one shape after VALUES or inside IN into one row, also those inside a row."""
    kept: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        is_row = token == "(" and (_rows_follow(kept) or tokens[at + 1 : at + 3] in _PLAIN_ROWS)
        if is_row or (token == "row" and tokens[at + 1 : at + 2] == ["("] and kept[-1:] == ["values"]):
            rows, at = _shapes(tokens, at, depth)
            kept += rows
        else:
            kept.append(token)
            at += 1
    return kept


_PLAIN_ROWS = ([VALUE, ")"], [VALUES, ")"])


def _rows_follow(kept: list[str]) -> bool:
    return kept[-1:] in (["values"], ["value"]) or kept[-2:] == ["in", "("]


def _shapes(tokens: list[str], at: int, depth: int) -> tuple[list[str], int]:
    """Return the distinct rows of the `(…), (…)` or `row(…), row(…)` at `at`, in order, and where it ends."""
    shapes: dict[tuple[str, ...], None] = {}
    start = ["row", "("] if tokens[at] == "row" else ["("]
    while True:
        first = at + len(start)
        end = _closing(tokens, first - 1)
        inside = tokens[first:end] if depth >= DEEPEST else _rows(tokens[first:end], depth + 1)
        shapes[(*start, *inside)] = None
        if tokens[end : end + 1 + len(start)] != [",", *start]:
            return [token for shape in shapes for token in (",", *shape)][1:], end
        at = end + 1


def _closing(tokens: list[str], at: int) -> int:
    depth = 0
    for end in range(at, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[end], 0)
        if depth == 0:
            return end + 1
    return len(tokens)


_SPACED = re.compile(
    "select|from|join|and|or|not|where|on|union|all|except|intersect|as|exists|when|then|else|case|by|having"
    "|set|using|with|over|into|table|is|between|like|div|mod|xor|any|some"
)
"""Words with a blank before their bracket; any other word counts as the name of a function or a list."""


def _spelled(tokens: list[str]) -> str:
    """Join the tokens, with blanks where a person would put them."""
    spelled: list[str] = []
    before = "("
    for token in tokens:
        if not _touches(before, token):
            spelled.append(" ")
        spelled.append(token)
        before = token
    return "".join(spelled)


def _touches(before: str, token: str) -> bool:
    if before in {"(", ".", "@", "[", "::"} or token in {")", ",", ".", ";", "[", "]", "::"}:
        return True
    return token == "(" and (before[-1].isalnum() or before[-1] in "_$`") and not _SPACED.fullmatch(before)
