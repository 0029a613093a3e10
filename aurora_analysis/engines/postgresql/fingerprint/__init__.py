r"""SQL of PostgreSQL → fingerprint → digest: a statement with its literals replaced, and the hash of that.

Two statements have the same fingerprint if they differ only in these points:

- Literals: strings (`'it''s'`, `E'it\'s'`, `U&'\0061'`, `N'x'`, `$$x$$`, `$tag$x$tag$`, and those that go on behind a
  line end), bit strings (`B'01'`, `X'AF'`), numbers with their sign (`1_000`, `0xAF`, `1.5e10`), parameters (`$1`),
  TRUE and FALSE as values. Each becomes `?`.
- The number of values or rows in a list: `IN (1, 2)`, `ARRAY[1, 2]`, multi-row `VALUES`. Two or more values become
  `?+`, rows of one shape become one row.
- NULL as a value; `IS NULL` and `IS TRUE` stay.
- White space, comments, which may be nested (`tags` reads the tags in them), the case of letters outside of quoted
  names, the quotes of a name that needs none, `!=` for `<>`.

Digits inside identifiers stay. If the quotes of a text do not balance, because it was cut, everything from its first
quote on is dropped. The same happens if a quote follows a backslash and both readings of it balance: with
standard_conforming_strings off, one of them would show a literal.

The digest is 16 hex digits of BLAKE2b (RFC 7693) of the fingerprint. One fingerprint may have several of the server's
query ids (`DIFFERS`), so that a query id leads to one fingerprint.

Modules: `lexer` (tokens), `cache` (the fast path for logs) and `server_digests` (the match with pg_stat_statements and
Performance Insights). The policy for tokens is the same for every engine: `engines.canonical`.
"""

from aurora_analysis.engines.canonical import CUT_AT
from aurora_analysis.engines.postgresql.fingerprint.cache import FingerprintCache
from aurora_analysis.engines.postgresql.fingerprint.lexer import fingerprint, split, statement, tags
from aurora_analysis.engines.postgresql.fingerprint.server_digests import (
    DIFFERS,
    join_key,
    matching_key,
)
from aurora_analysis.engines.statement import Statement, digest, kind

__all__ = [
    "CUT_AT",
    "DIFFERS",
    "FingerprintCache",
    "Statement",
    "digest",
    "fingerprint",
    "join_key",
    "kind",
    "matching_key",
    "split",
    "statement",
    "tags",
]
