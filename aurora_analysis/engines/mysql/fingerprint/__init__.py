r"""SQL → fingerprint → digest: a statement with its literals replaced, and the hash of that.

Two statements have the same fingerprint if they differ only in these points:

- Literals: strings (with `''` and `\'` inside, with a charset introducer `_utf8mb4'x'`, `N'x'`, and between dollars
  as the body of a function in MySQL 9, `$$x$$`), numbers with their sign and exponent, hex and bit literals in both
  cases (`0xAF`, `X'AF'`, `b'01'`). Each becomes `?`.
- The number of values or rows in a list: `IN (1)`, `IN (1, 2)`, `IN ((1, 2), (3, 4))` by the shape of the rows,
  `LIMIT 5, 10`, multi-row `VALUES`. Two or more values become `?+`, rows of one shape become one row.
- NULL as a value; `IS NULL` stays.
- White space, comments (`tags` reads the tags in them), optimizer hints, the case of letters, back-ticks around a
  plain identifier, `!=` for `<>`, and the name of a user variable (`@?`). A version comment `/*!40001 … */` is code
  and stays.

Digits inside identifiers stay (`t1`, `123foo`). CALL keeps its procedure and USE its database, because those are
names. If the quotes of a text do not balance, because it was cut, everything from its first quote on is dropped.

The digest is 16 hex digits of BLAKE2b (RFC 7693) of the fingerprint. performance_schema distinguishes the same
statements, except for the kinds of pairs that `DIFFERS` (MariaDB) and `DIFFERS_MYSQL` list.

Modules: `lexer` (tokens, and what needs nothing but tokens), `canonical` (tokens → fingerprint), `cache` (the fast
path for logs: each shape of a text is lexed once), `shapes` (its shapes in pure Python) and `server_digests` (the match with performance_schema and
Performance Insights). A compiled scanner may replace `shapes`. The policy for tokens, and the tags in
comments, are the same for every engine: `engines.canonical` and `engines.comment_tags`.
"""

from aurora_analysis.engines.canonical import CUT_AT
from aurora_analysis.engines.mysql.fingerprint.cache import FingerprintCache
from aurora_analysis.engines.mysql.fingerprint.canonical import fingerprint, statement
from aurora_analysis.engines.mysql.fingerprint.lexer import (
    open_quote,
    quotes_are_closed,
    split,
    tags,
)
from aurora_analysis.engines.mysql.fingerprint.server_digests import (
    DIFFERS,
    DIFFERS_MYSQL,
    join_key,
    matching_key,
)
from aurora_analysis.engines.statement import Statement, digest, kind

__all__ = [
    "CUT_AT",
    "DIFFERS",
    "DIFFERS_MYSQL",
    "FingerprintCache",
    "Statement",
    "digest",
    "fingerprint",
    "join_key",
    "kind",
    "matching_key",
    "open_quote",
    "quotes_are_closed",
    "split",
    "statement",
    "tags",
]
