"""Match fingerprints with the texts of pg_stat_statements and Performance Insights."""

from __future__ import annotations

from collections.abc import Collection

from aurora_analysis.engines.canonical import CUT_AT, matching
from aurora_analysis.engines.postgresql.fingerprint.lexer import statement

DIFFERS = {
    "list length": "the server distinguishes IN (1) from IN (1, 2), ARRAY[1] from ARRAY[1, 2], one row of VALUES from several",
    "type of a literal": "the server distinguishes a = 1 from a = 1.5 and a = '1'",
    "parameter": "the server distinguishes a = $1 from a = 1, and a = $1 from a = $2",
    "null": "the server distinguishes a literal from NULL",
    "search path": "the server distinguishes t in one schema from t in another",
    "utility": "the server (before 16) distinguishes utility statements by every byte of their text",
}
"""Kinds of pairs that the server's query id distinguishes and the fingerprint does not always, and how."""


def join_key(text: str) -> str:
    """Return the text by which a fingerprint joins pg_stat_statements and Performance Insights.

    >>> join_key("select a, ? from t")
    'selecta,?fromt'
    """
    return text.replace(" ", "")


def matching_key(text: str, keys: Collection[str], *, cut_at: int = CUT_AT) -> str | None:
    """Return the join key that a server's text belongs to; None if none or several match.

    Parameters
    ----------
    text : str
        A query of pg_stat_statements, or the tokenised statement of Performance Insights.
    keys : collection of str
        The join keys of the known fingerprints.
    cut_at : int
        Length from which on the text may have been cut without a mark [bytes].

    Examples
    --------
    >>> matching_key('SELECT a FROM t WHERE b = $1', {"selectafromtwhereb=?"})
    'selectafromtwhereb=?'
    """
    cut = len(text.encode()) >= cut_at
    key = _key_of_server_text(text, cut)
    return matching(key, keys, is_cut=cut)


def _key_of_server_text(text: str, cut: bool) -> str:
    """Return the join key of a server's text; empty if the text does not show where its names end."""
    if cut:
        text = text[: text.rfind(" ")]  # the last token may be part of a longer one
    found = statement(text)
    key = join_key(found.fingerprint) if found.whole else ""
    return key.rstrip("?+,([") if cut else key
