"""PostgreSQL's fingerprint policy: what is replaced, what is collapsed, what stays."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_analysis.engines.postgresql.fingerprint import FingerprintCache, fingerprint, statement, tags

POLICY = {
    "select * from t where a = ?": [
        "SELECT * FROM t WHERE a = 1",
        'select  *\nfrom "t" where "a"= -1.5e-3',
        "SELECT * FROM T WHERE A='it''s'",
        r"SELECT * FROM t WHERE a = E'it\'s'",
        r"SELECT * FROM t WHERE a = 'C:\'",
        r"SELECT * FROM t WHERE a = U&'d\0061ta'",
        "SELECT * FROM t WHERE a = 'one'\n  'two' -- and\n 'three'",
        "SELECT * FROM t WHERE a = $$it's$$",
        "SELECT * FROM t WHERE a = $q1$ $$ it's $q$ $q1$",
        "SELECT * FROM t WHERE a = $1",
        "SELECT * FROM t WHERE a = 1_500_000",
        "SELECT * FROM t WHERE a = 0x1_F",
        "SELECT * FROM t WHERE a = 0b01",
        "SELECT * FROM t WHERE a = 0o17",
        "SELECT * FROM t WHERE a = B'01'",
        "SELECT * FROM t WHERE a = x'AF'",
        "SELECT * FROM t WHERE a = .5",
        "SELECT * FROM t WHERE a = 5.",
        "SELECT * FROM t WHERE a = true",
        "SELECT * FROM t WHERE a = NULL",
        "SELECT * FROM t WHERE a=-1",
        "/* a /* b */ 'c */ SELECT * FROM t -- it's\nWHERE a = 1;",
    ],
    "select id from t where a in(?+)": ["SELECT id FROM t WHERE a IN (1)", "SELECT id FROM t WHERE a IN ($1, 'two', -3, NULL, true)"],
    "select id from t where a = any (array[?+])": ["SELECT id FROM t WHERE a = ANY (ARRAY[1])", "SELECT id FROM t WHERE a = ANY (ARRAY['x', 'y'])"],
    "insert into t(a, b) values(?+)": [
        "INSERT INTO t (a, b) VALUES (1, 'x')",
        "INSERT INTO t (a,b) VALUES ($1, $2), ($3, $4)",
        "INSERT INTO t (a,b) VALUES (NULL, 'x'), (2, NULL), (-3, 'it''s')",
    ],
    "select a from t where b is true and c is not false and d is null": ["SELECT a FROM t WHERE b IS TRUE AND c IS NOT FALSE AND d IS NULL"],
    "select a ->> ?, b #> ?, c ?| array[?+], d @> ?::jsonb, e[?], f || ? from t": [
        "SELECT a->>'k', b#>'{x,y}', c ?| ARRAY['p','q'], d @> '{\"a\": 1}'::jsonb, e[2], f||'x' FROM t"
    ],
    'select "A b", "user", user, t1.c from "S"."T"': ['SELECT "A b", "user", USER, "t1"."c" FROM "S"."T"'],
    "select a - ?, (b) - ?, c @- ? from t1 where d between ? and ?": [
        "SELECT a - 1, (b) -2, c @- 3 FROM t1 WHERE d BETWEEN -4 AND - 5"
    ],
    "select * from t limit ? offset ?": ["SELECT * FROM t LIMIT 5 OFFSET 10"],
    "fetch forward ? from c1": ['FETCH FORWARD 1000 FROM "c1"'],
    "alter role bi password ?": ["ALTER ROLE bi PASSWORD 'secret'"],
    "do ?": ["DO $$ BEGIN PERFORM 'secret'; END $$", "DO $$ BEGIN PERFORM 'secr"],
    "select a$1b, c from t": ["SELECT a$1b, c FROM t"],
    "select a from t where b <> ?": ["SELECT a FROM t WHERE b != 7"],
    "": ["", " ;", "/* nothing */", "/* /* cut */ "],
}  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "sql"), [(text, sql) for text, several in POLICY.items() for sql in several]
)
def test_policy(expected, sql):
    """Each rule of the policy, by example."""
    assert fingerprint(sql) == expected
    assert FingerprintCache()(sql.encode()) == statement(sql)
    assert fingerprint(expected) == expected


def test_a_cut_text_keeps_its_plain_names_up_to_the_first_literal():
    """Sessions show the first 1,024 bytes of a statement, and some clients quote every name; one with blanks may be a literal."""
    texts = [
        """SELECT "users"."id" FROM "users" WHERE "a" = E'secret', "b""",
        'SELECT "users"."id", "users"."na',
        'SELECT "a" = 5 AND "b',
        'SELECT "a FROM t WHERE "b" = 7331 AND "c" = 1',
    ]
    assert [fingerprint(text) for text in texts] == [
        "select users.id from users where a = ?",
        "select users.id, users.?",
        "select a = ? and ?",
        "select ?",
    ]


@pytest.mark.parametrize(
    "cut",
    [
        "SELECT * FROM t WHERE a = 'secr",
        "SELECT * FROM t WHERE a = E'secr",
        'SELECT * FROM t WHERE a = "secr',
        "SELECT * FROM t WHERE a = $x$secr",
        r"SELECT * FROM t WHERE a = E'x' AND b = E'y\'",
        "SELECT * FROM t WHERE a = ' AND b = ' secret ' AND c",
        r"SELECT * FROM t WHERE a = 'it\'s secret it\'s'",
    ],
)
def test_a_text_whose_quotes_do_not_balance_keeps_nothing_after_the_first(cut):
    """A cut text may have its quotes inside out; with standard_conforming_strings off, a backslash hides one."""
    found = statement(cut)
    assert not found.whole
    assert found.fingerprint == "select * from t where a = ?"
    assert FingerprintCache()(cut.encode()) == found


def test_a_backslash_before_a_quote_is_a_backslash_if_only_that_balances():
    """LIKE … ESCAPE is written like this."""
    found = statement(r"SELECT a FROM t WHERE b LIKE '5\%' ESCAPE '\' AND c = 'x'")
    assert found == (found.digest, "select a from t where b like ? escape ? and c = ?", True)


def test_names_that_no_identifier_can_be_are_replaced():
    """Text between two quotes that is too long for a name came there by a cut."""
    assert fingerprint('SELECT "a", "' + "b" * 64 + '", "it\'s"') == "select a, ?+"


def test_tags_of_tools():
    """Comments around the statement have tags; quoted text and nested comments have none."""
    assert tags('/* {"app": "dbt", "node_id": "model.shop.orders"} */ select 1') == {
        "app": "dbt",
        "node_id": "model.shop.orders",
    }
    assert tags("select '/* job=a */', 1 /* job='etl' */") == {"job": "etl"}
    assert tags("/* a /* job=x */ b */ select $$ -- job=y $$") == {}


SECRET = "zq9zq"
LITERALS = (
    f"'{SECRET}'", f"'it''s {SECRET} /*'", f"E'\\'{SECRET}\\\\'", f"$${SECRET}'$$", f"$t${SECRET} $$ $t$", f"U&'{SECRET}'",
    f"'a'\n'{SECRET}'", "-- it's\n1", "/* /* ' */ */ 2", '"a ""b"', "3.5", "$1", '"2026 x"', '"2027 x"', '"$1 y"', "row(1, 2), (3, 4)", "(1, 2), (3, NULL)", "(1, 2), (3, 4)", "-- 1 'a\n5", "/* 2 */ 6", "B'01'", "'x\\'",
)  # fmt: skip
GLUE = (
    "SELECT ",
    "a ",
    " = ",
    ", ",
    "(",
    ")",
    " IN ",
    " - ",
    "::text ",
    "[",
    "]",
    " ",
    "\n",
    ";",
    "VALUES ",
    "NULL ",
    " ?| ",
)


CACHE = FingerprintCache()
"""What one text left in the cache must not change another's fingerprint."""


@given(st.lists(st.tuples(st.sampled_from(GLUE), st.sampled_from(LITERALS)), max_size=8), st.integers(0, 200))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_literal_survives_in_any_mixture_or_cut(parts, end):
    """Whatever stands around a literal, and wherever the text ends, nothing of it is shown; the cache agrees."""
    sql = "".join(glue + literal + " " for glue, literal in parts)
    for text in (sql, sql[:end], sql[end:] if "'" not in sql[:end] and "$" not in sql[:end] else sql):
        found = statement(text)
        assert "zq" not in found.fingerprint and "9z" not in found.fingerprint
        assert CACHE(text.encode()) == FingerprintCache()(text.encode()) == found
