"""SQL → fingerprint → digest: a statement with its literals replaced, and the hash of that.

The policy, in one place. Two statements have one fingerprint when they differ only in

- literals: strings (with `''` and `\\'` inside, with a charset introducer `_utf8mb4'x'`, `N'x'`, between dollars as
  the body of a function in MySQL 9 `$$x$$`), numbers with their sign and exponent, hex and bit literals in both
  cases (`0xAF`, `X'AF'`, `b'01'`): each is `?`;
- how many values or rows a list has: `IN (1)`, `IN (1, 2)` and `IN ((1, 2), (3, 4))` by their shape,
  `LIMIT 5, 10`, multi-row `VALUES`: two or more values are `?+`, rows of one shape are one row;
- NULL where it is a value; `IS NULL` stays;
- blanks, comments (`tags` keeps what they say of their sender) and optimizer hints (a version comment
  `/*!40001 … */` is code and stays), the case of letters, back-ticks around a plain identifier, `!=` for `<>`, and
  the name of a user variable (`@?`).

Digits inside identifiers stay (`t1`, `123foo`). CALL keeps its procedure and USE its database, for those are
names. A text whose quotes do not balance, because it was cut, keeps nothing after its first quote.

A tag is not a literal, and its value is kept as it is: so only a comment that stands before or after the whole
statement has tags, where drivers and frameworks write them, and only values without blanks, quotes and `@`, of at
most 100 characters. What was commented out inside a statement, a mail address or a sentence is no tag. Who writes
a customer's number into such a comment finds it in the tags.

performance_schema's digests tell the same statements apart but for `DIFFERS` (MariaDB) and `DIFFERS_MYSQL`, which
name every kind of pair that one of the two merges. The digest is 16 hex digits of BLAKE2b (RFC 7693) of the
fingerprint.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple

DIFFERS = {
    "list length": "the server tells IN (1) from IN (1, 2), and one row of VALUES or IN from several",
    "rows of expressions": "the server tells VALUES (NOW(), 1) from VALUES (NOW(), 1), (NOW(), 2)",
    "letter case": "the server tells identifiers apart that differ in case only",
    "sign": "the server takes a sign for a part of the number after a comma or bracket, not after an operator",
    "introducer": "the server tells _utf8mb4'x' and X'41' from 'x'",
    "hexadecimal 0X": "0XAF is an identifier to the server, and a literal here: a secret is better lost",
    "synonym": "the server has one digest for SUBSTR and SUBSTRING; so has `join_key`, not the fingerprint",
    "version comment": "the server runs /*!99999 x */ by its version; here it is code",
}
"""Where performance_schema (MariaDB 10.11) and this policy differ: the kind of pair → who tells it apart."""

DIFFERS_MYSQL = {name: why for name, why in DIFFERS.items() if name != "sign"} | {
    "optimizer hint": "MySQL tells a statement with /*+ a hint */ from the same without",
    "position": "MySQL tells ORDER BY 1 from ORDER BY 2",
}
"""The same for MySQL 9.7."""

CHARSETS = "armscii8|ascii|big5|binary|cp125[0167]|cp8(?:50|52|66)|cp932|dec8|eucjpms|euckr|gb18030|gb2312|gbk|geostd8|greek|hebrew|hp8|keybcs2|koi8[ru]|latin[1257]|mac(?:ce|roman)|sjis|swe7|tis620|ucs2|ujis|utf16(?:le)?|utf32|utf8(?:mb[34])?"

ADMINISTRATOR = "# administrator command"
"""How the slow log begins what is no statement, but a command of the protocol: Quit, Ping, Init DB."""

LONGEST_NAME = 64
"""MySQL's longest identifier [characters]: what is longer between back-ticks is not one, but cut text."""


@dataclass(frozen=True)
class SqlMode:
    """The parts of sql_mode that decide where a literal ends.

    `ansi_quotes`: "…" is an identifier (ANSI_QUOTES). Without `backslash_escapes` a backslash is a plain
    character (NO_BACKSLASH_ESCAPES).
    """

    backslash_escapes: bool = True
    ansi_quotes: bool = False


class Statement(NamedTuple):
    """A fingerprint and its digest; `whole` is False where the text's quotes did not balance."""

    digest: str
    fingerprint: str
    whole: bool


DEFAULT_MODE = SqlMode()


def fingerprint(sql: str, mode: SqlMode = DEFAULT_MODE) -> str:
    """The statement with its literals replaced, in one canonical spelling.

    >>> fingerprint("SELECT * FROM `t1` WHERE a = 'it''s' AND b IN (1, -2.5e3)")
    'select * from t1 where a = ? and b in(?+)'
    """
    return statement(sql, mode).fingerprint


def digest(text: str) -> str:
    """The 16 hex digits that name a fingerprint.

    >>> digest("select ?")
    'b9a4c90ce4157373'
    """
    return blake2b(text.encode(), digest_size=8).hexdigest()


def statement(sql: str, mode: SqlMode = DEFAULT_MODE) -> Statement:
    """The fingerprint, the digest, and whether the text's quotes balance."""
    sql = sql.strip().rstrip(";")
    if sql.startswith(ADMINISTRATOR):
        return _named(sql[2:].lower(), whole=True)
    try:
        return _named(_spelled(_rows(_lists(_values(_tokens(sql, mode))))), whole=True)
    except _Open:
        before = chain(_tokens(re.split(_OPENS, sql, maxsplit=1)[0], mode), [VALUE])
        return _named(_spelled(_rows(_lists(_values(before)))), whole=False)


def is_closed(sql: bytes, mode: SqlMode = DEFAULT_MODE) -> bool:
    """Whether every quote that the text opens is closed in it."""
    return _closed(mode).match(sql) is not None


def split(text: str, mode: SqlMode = DEFAULT_MODE) -> Iterator[str]:
    """The statements of a script: each ends with a semicolon and a line end that no quote or comment holds.

    >>> list(split("SELECT 'a;\\nb';\\nSELECT 2"))
    ["SELECT 'a;\\nb'", 'SELECT 2']
    """
    start = 0
    for found in _separators(mode).finditer(text):
        if found.lastgroup:
            yield text[start : found.start()]
            start = found.end()
    yield text[start:]


@cache
def _separators(mode: SqlMode) -> re.Pattern[str]:
    """A separator, or what may hold one; a quote that is never closed holds all the rest."""
    return re.compile(rf"""{"|".join(_holding(mode))}|['"`].*+|(?P<separator>;\r?\n)""", re.DOTALL)


@cache
def _closed(mode: SqlMode) -> re.Pattern[bytes]:
    return re.compile(rf"""(?:[^'"`#/-]++|{"|".join(_holding(mode))}|[/-])*+\Z""".encode(), re.DOTALL)


def _holding(mode: SqlMode) -> list[str]:
    """What may hold anything: quotes and comments."""
    plain = SqlMode(backslash_escapes=False)
    quotes = [_quoted("'", mode), _quoted('"', plain if mode.ansi_quotes else mode), _quoted("`", plain)]
    return [*quotes, r"/\*(?:.*?\*/|.*+)", r"--(?=[\s\x00-\x1f]|\Z)[^\n]*", r"\#[^\n]*"]


class Statements:
    """The statements of a log, each shape of them lexed once.

    A *shape* is what a few passes of `re` make of a text: literals and runs of literals out, all else kept. Texts
    of one shape have one fingerprint; texts of one fingerprint may have several shapes. What the passes cannot
    tell apart safely (a stray quote, a quote between back-ticks) is lexed each time. What is known is forgotten
    when it takes more than `SHAPES` bytes, so that a log of ever new statements cannot grow it.
    """

    SHAPES = 24 * 2**20

    def __init__(self, mode: SqlMode = DEFAULT_MODE) -> None:
        self._mode = mode
        self._single, self._strings, self._careful = _strings(mode, "'"), _strings(mode), _careful(mode)
        self._ticks = (b"`", b'"') if mode.ansi_quotes else (b"`",)
        self._known: dict[bytes, Statement] = {}
        self._size = 0

    def __call__(self, sql: bytes) -> Statement:
        """The fingerprint and digest of one statement, as the log has it."""
        shape = self._shape(sql)
        known = self._known.get(shape) if shape is not None else None
        if known is None:
            known = statement(sql.decode("utf-8", "replace"), self._mode)
            self._remember(shape, known)
        return known

    def _shape(self, sql: bytes) -> bytes | None:
        if b"\x01" in sql or b"\x02" in sql or sql.startswith(_ADMINISTRATOR):
            return None
        if b"$" in sql and _DOLLARS.search(sql):
            return None
        bare = self._bare(sql)
        if b"'" in bare or (b'"' in bare and not self._mode.ansi_quotes):
            return None
        return _LIST.sub(b"\x02", _NUMBER.sub(b"\x01", _ROWS.sub(b"(\x02)", bare)))

    def _bare(self, sql: bytes) -> bytes:
        """The text without its strings and comments.

        The quick way takes every quote for one that opens or closes a string. It errs only where a quote stands
        in a comment or in a quoted name; the first such leaves its comment's or name's beginning in the bare
        text with a string inside, and then every token is looked at.
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

    def _remember(self, shape: bytes | None, known: Statement) -> None:
        if shape is None:
            return
        self._size += len(shape) + len(known.fingerprint) + 200
        if self._size > self.SHAPES:
            self._known.clear()
            self._size = 0
        self._known[shape] = known


_ADMINISTRATOR = ADMINISTRATOR.encode()
_DOLLARS = re.compile(rb"\$\w*\$")

# The passes that make a shape. \x01 stands for a literal, \x02 for several.

_NUMBER = re.compile(
    rb"[0-9](?<![\w$\x80-\xff][0-9])"
    rb"(?:(?<=0)[xX][0-9a-fA-F]+|(?<=0)[bB][01]+|[0-9]*\.?[0-9]*(?:[eE][-+]?[0-9]+)?)(?![\w$\x80-\xff])"
)
_UNSIGNED = r"0[xX][0-9a-fA-F]++|[0-9]++(?:\.[0-9]*+(?:[eE][-+]?[0-9]++)?|[eE][-+]?[0-9]++)?"
_ITEM = rf"(?:\x01|{_UNSIGNED}|NULL|null|[-+](?:{_UNSIGNED}))\s*+"
_ROW = rf"\(\s*+{_ITEM}(?:,\s*+{_ITEM})++\)"
_ROWS = re.compile(rf"{_ROW}(?:\s*+,\s*+{_ROW})*+".encode())
_LIST = re.compile(rb"\x01(?:\s*,\s*(?:[-+]?\x01|NULL\b|null\b))+")
_COMMENT = re.compile(
    rb"""/\*(?!M?!)[^\x01'"]*?(?:\*/|\Z)|--(?=[\s\x00-\x1f]|\Z)[^\n\x01'"]*(?=\n|\Z)|\#[^\n\x01'"]*(?=\n|\Z)"""
)
"""A comment in which no quote stood."""
_OPENED = re.compile(rb"/\*(?!M?!)|--(?=[\s\x00-\x1f]|\Z)|\#")


@cache
def _strings(mode: SqlMode, quotes: str = "'\"") -> re.Pattern[bytes]:
    """The strings in such quotes: what begins with one character is found faster."""
    quotes = quotes.replace('"', "") if mode.ansi_quotes else quotes
    return re.compile("|".join(_quoted(quote, mode) for quote in quotes).encode(), re.DOTALL)


@cache
def _careful(mode: SqlMode) -> re.Pattern[bytes]:
    """A string, or (group 1) a quoted name, or (group 2) a comment."""
    plain = SqlMode(backslash_escapes=False)
    tick, double = _quoted("`", plain), _quoted('"', plain if mode.ansi_quotes else mode)
    strings, names = ([], [tick, double]) if mode.ansi_quotes else ([double], [tick])
    comment = r"/\*(?!M?!)(?:.*?\*/|.*+)|--(?=[\s\x00-\x1f]|\Z)[^\n]*|\#[^\n]*"
    either = "|".join([_quoted("'", mode), *strings, f"({'|'.join(names)})", f"({comment})"])
    return re.compile(either.encode(), re.DOTALL)


def _bare_part(found: re.Match[bytes]) -> bytes:
    return (b"\x01", found[0], b" ")[found.lastindex or 0]


SYNONYMS = {
    **dict.fromkeys(("substr", "mid"), "substring"),
    **dict.fromkeys(("current_timestamp", "localtime", "localtimestamp"), "now"),
    **dict.fromkeys(("user", "session_user"), "system_user"),
    **dict.fromkeys(("std", "stddev"), "stddev_pop"),
    **{
        unit: f"sql_tsi_{unit}"
        for unit in ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
    },
    "regexp": "rlike",
    "describe": "explain",
    "columns": "fields",
    "database": "schema",
    "databases": "schemas",
    "current_date": "curdate",
    "current_time": "curtime",
    "variance": "var_pop",
    "distinct": "distinctrow",
    "int": "integer",
    "char": "character",
    "varchar": "varcharacter",
}
"""How a server spells in its digest text what has several names (tokens of MariaDB 10.11 and MySQL 9.7)."""


def join_key(text: str) -> str:
    """The text by which a fingerprint joins performance_schema and Performance Insights."""
    return re.sub(r"\w+", lambda word: SYNONYMS.get(word[0], word[0]), text).replace(" ", "")


CUT_AT = 500
"""Performance Insights cuts a statement's text there [bytes] (API reference, GetResourceMetrics)."""


def joined(text: str, keys: Collection[str], *, cut_at: int = CUT_AT) -> str | None:
    """The one of the join keys that a server's digest text belongs to; None where none or several may be it.

    `text` is a DIGEST_TEXT of performance_schema, or Performance Insights' tokenised statement.
    """
    is_list = text.endswith("?, ...")
    cut = len(text.encode()) >= cut_at or (text.endswith("...") and not is_list)
    key = _key_of_digest_text(text, cut)
    if key in keys and not cut:
        return key
    found = [other for other in keys if other.startswith(key)] if cut and key else []
    return found[0] if len(found) == 1 else None


def _key_of_digest_text(text: str, cut: bool) -> str:
    """The join key of a server's text; empty where the text does not show where its names end."""
    if cut:
        text = text[: text.rfind(" ")]  # the last token may be a part of one
    found = statement(re.sub(r"\(_charset\) *", "", text).replace("(unknown)", VALUE))
    key = join_key(found.fingerprint) if found.whole else ""
    return key.rstrip("?+,(") if cut else key


def kind(text: str) -> str:
    """The first word of a fingerprint: select, insert, call, … Answers: what sort of statement is it?"""
    word = re.search(r"\w+", text)
    return word[0] if word else ""


_PAIR = r"""([\w.\-%]++)\s*+=\s*+(['"]?)([\w.:/%+\-]{0,100}+)\2(?=[\s,;]|\Z)"""
_PAIRS = re.compile(_PAIR)
_TAGS = re.compile(rf"\s*+(?:{_PAIR}(?:\s*+[,;]\s*+|\s++|\Z))++")
"""Nothing but pairs. No part gives back what it took, or a long comment would take for ever."""


def tags(sql: str, mode: SqlMode = DEFAULT_MODE) -> dict[str, str]:
    """The key=value pairs of comments around the statement that hold nothing else. Answers: which job sent it?

    >>> tags("/* connector=etl job='orders' */ SELECT 1 -- fetched in a hurry")
    {'connector': 'etl', 'job': 'orders'}
    """
    before, after = _comments_around(sql, mode)
    told = [comment for comment in before + after if _TAGS.fullmatch(comment)]
    return {key: value for comment in told for key, _, value in _PAIRS.findall(comment)}


def _comments_around(sql: str, mode: SqlMode) -> tuple[list[str], list[str]]:
    """The texts of the comments before the statement's first word, and of those after its last."""
    before: list[str] = []
    after: list[str] = []
    found = before
    for token in _lexer(mode).finditer(sql):
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


# A fingerprint is made in four steps: tokens, values, lists, rows; then it is spelled.

VALUE, VALUES = "?", "?+"

_OPENS = r"""['"`]|\$\w*\$"""
"""What opens a literal or a quoted name."""


@cache
def _lexer(mode: SqlMode) -> re.Pattern[str]:
    """One token of MySQL's lexer at a time (MySQL reference manual, Language Structure)."""
    quoted = _quoted("'", mode)
    strings, names = [quoted], [_quoted("`", SqlMode(backslash_escapes=False))]
    (names if mode.ansi_quotes else strings).append(
        _quoted('"', SqlMode(backslash_escapes=False) if mode.ansi_quotes else mode)
    )
    return re.compile(
        rf"""
        (?P<blank> [\s\x00-\x1f\x7f]+ | --(?=[\s\x00-\x1f]|\Z)[^\n]* | \#[^\n]* | /\*(?!M?!)(?:.*?\*/|.*\Z) | /\*M?!\d* | \*/(?!\*) )
      | (?P<value> (?:_(?:{CHARSETS})\s*)?(?:[nNxXbB]?{quoted}|{"|".join(strings)}|0[xX][0-9a-fA-F]+(?![\w$])|0[bB][01]+(?![\w$])|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
                 | (?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d*)?(?![\w$]) | (?<!@)@(?!@)(?:[\w$.]+|{quoted}|`[^`]*`) )
      | (?P<name> {"|".join(names)} )
      | (?P<open> {_OPENS} )
      | (?P<word> [\w$]+ )
      | (?P<sign> <=>|:=|->>?|<<|>>|<=|>=|<>|!=|&&|\|\||\.\.\.|. )
        """,
        re.VERBOSE | re.DOTALL | re.IGNORECASE,
    )


def _quoted(quote: str, mode: SqlMode) -> str:
    plain, escaped = (rf"[^{quote}\\]", r"|\\.") if mode.backslash_escapes else (rf"[^{quote}]", "")
    return rf"{quote}(?:{plain}++{escaped}|{quote}{quote})*+{quote}"


class _Open(Exception):
    """A quote that is never closed."""


def _tokens(sql: str, mode: SqlMode) -> Iterator[str]:
    """The canonical tokens, one after the other: a large text has millions."""
    for token in _lexer(mode).finditer(sql):
        if token.lastgroup == "open":
            raise _Open
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
    # What no identifier holds is text that came between two back-ticks by a cut.
    if len(inner) > LONGEST_NAME or re.search(r"['\"\x00-\x1f\x7f]", inner):
        return VALUE
    return inner.lower() if re.fullmatch(r"[\w$]+", inner) else token.lower()


_BEFORE_VALUE = re.compile(
    "select|where|and|or|not|xor|between|like|when|then|else|limit|offset|by|having|on|in|is|set|values?"
    "|return|distinct|all|case|interval|div|mod|regexp|rlike|if|elseif|while|until|using|default"
)
"""Words that an expression follows: a sign after one belongs to the number."""


def _values(tokens: Iterable[str]) -> Iterator[str]:
    """A sign belongs to the number after it, and NULL is a value, unless an operand stands before."""
    before, signs = "(", []
    for token in tokens:
        if token in {"+", "-"} and not _is_operand(before):
            signs.append(token)
            continue
        is_null = (
            token == "null" and not signs and not _is_operand(before) and before not in {"is", "not", "set"}
        )
        if token != VALUE:
            yield from signs
        yield VALUE if is_null else token
        before, signs = token, []
    yield from signs


def _is_operand(token: str) -> bool:
    return (token[-1].isalnum() or token[-1] in ")?`$_") and not _BEFORE_VALUE.fullmatch(token)


def _lists(tokens: Iterable[str]) -> list[str]:
    """Two or more values between commas are one `?+`; so is a lone value that IN has."""
    kept: list[str] = []
    for token in tokens:
        if token in {VALUE, "..."} and kept[-1:] == [","] and _is_value(kept[-2:-1]):
            kept[-2:] = [VALUES]
        elif token == "..." and kept[-1:] == ["("]:
            kept.append(VALUES)
        elif token == ")" and kept[-3:-1] == ["in", "("] and _is_value(kept[-1:]):
            kept[-1:] = [VALUES, ")"]
        else:
            kept.append(token)
    return kept


def _is_value(before: list[str]) -> bool:
    return bool(before) and before[0] in {VALUE, VALUES}


def _rows(tokens: list[str]) -> list[str]:
    """Rows of one shape after VALUES, or inside IN, are one row."""
    kept: list[str] = []
    at = 0
    while at < len(tokens):
        if tokens[at] == "(" and (_rows_follow(kept) or tokens[at + 1 : at + 3] in _PLAIN_ROWS):
            rows, at = _shapes(tokens, at)
            kept += rows
        else:
            kept.append(tokens[at])
            at += 1
    return kept


_PLAIN_ROWS = ([VALUE, ")"], [VALUES, ")"])


def _rows_follow(kept: list[str]) -> bool:
    return kept[-1:] in (["values"], ["value"]) or kept[-2:] == ["in", "("]


def _shapes(tokens: list[str], at: int) -> tuple[list[str], int]:
    """The distinct rows of `(…), (…)` that starts at `at`, in order, and where it ends."""
    shapes: dict[tuple[str, ...], None] = {}
    while True:
        end = _closing(tokens, at)
        shapes[tuple(tokens[at:end])] = None
        if tokens[end : end + 2] != [",", "("]:
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
"""Words that stand apart from the bracket after them; others are taken for a function's or a list's name."""


def _spelled(tokens: list[str]) -> str:
    """The tokens with blanks where a person would put them."""
    spelled: list[str] = []
    before = "("
    for token in tokens:
        if not _touches(before, token):
            spelled.append(" ")
        spelled.append(token)
        before = token
    return "".join(spelled)


def _touches(before: str, token: str) -> bool:
    if before in {"(", ".", "@"} or token in {")", ",", ".", ";"}:
        return True
    return token == "(" and (before[-1].isalnum() or before[-1] in "_$`") and not _SPACED.fullmatch(before)


def _named(text: str, whole: bool) -> Statement:
    return Statement(digest(text), text, whole)
