"""Match fingerprints with the digests of performance_schema and Performance Insights."""

from __future__ import annotations

import re
from collections.abc import Collection

from aurora_analysis.engines.canonical import CUT_AT, VALUE, matching
from aurora_analysis.engines.mysql.fingerprint.canonical import statement

DIFFERS = {
    "list length": "the server distinguishes IN (1) from IN (1, 2), and one row of VALUES or IN from several",
    "rows of expressions": "the server distinguishes VALUES (NOW(), 1) from VALUES (NOW(), 1), (NOW(), 2)",
    "letter case": "the server distinguishes identifiers that differ only in case",
    "sign": "the server takes a sign as part of the number after a comma or bracket, but not after an operator",
    "introducer": "the server distinguishes _utf8mb4'x' and X'41' from 'x'",
    "hexadecimal 0X": "0XAF is an identifier to the server, and a literal here: a secret must not survive",
    "synonym": "the server has one digest for SUBSTR and SUBSTRING; `join_key` merges them, the fingerprint does not",
    "version comment": "the server runs /*!99999 x */ depending on its version; here it is code",
}
"""Kinds of pairs that performance_schema (MariaDB 10.11) and this policy treat differently, and how."""

DIFFERS_MYSQL = {name: why for name, why in DIFFERS.items() if name != "sign"} | {
    "optimizer hint": "MySQL distinguishes a statement with /*+ a hint */ from the same one without",
    "position": "MySQL distinguishes ORDER BY 1 from ORDER BY 2",
}
"""The same for MySQL 9.7."""

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
"""Word → the spelling that a server uses in its digest text (tokens of MariaDB 10.11 and MySQL 9.7)."""


def join_key(text: str) -> str:
    """Return the text by which a fingerprint joins performance_schema and Performance Insights.

    >>> join_key("select substr(a, ?) from t")
    'selectsubstring(a,?)fromt'
    """
    return re.sub(r"\w+", lambda word: SYNONYMS.get(word[0], word[0]), text).replace(" ", "")


def matching_key(text: str, keys: Collection[str], *, cut_at: int = CUT_AT) -> str | None:
    """Return the join key that a server's digest text belongs to; None if none or several match.

    Parameters
    ----------
    text : str
        A DIGEST_TEXT of performance_schema, or the tokenised statement of Performance Insights.
    keys : collection of str
        The join keys of the known fingerprints.
    cut_at : int
        Length from which on the text may have been cut without a mark [bytes].

    Examples
    --------
    >>> matching_key("SELECT `a` FROM `t` WHERE `b` = ?", {"selectafromtwhereb=?"})
    'selectafromtwhereb=?'
    """
    is_list = text.endswith("?, ...")
    cut = len(text.encode()) >= cut_at or (text.endswith("...") and not is_list)
    key = _key_of_digest_text(text, cut)
    return matching(key, keys, is_cut=cut)


def _key_of_digest_text(text: str, cut: bool) -> str:
    """Return the join key of a server's text; empty if the text does not show where its names end."""
    if cut:
        text = text[: text.rfind(" ")]  # the last token may be part of a longer one
    found = statement(re.sub(r"\(_charset\) *", "", text).replace("(unknown)", VALUE))
    key = join_key(found.fingerprint) if found.whole else ""
    return key.rstrip("?+,(") if cut else key
