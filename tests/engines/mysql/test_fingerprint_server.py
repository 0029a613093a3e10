"""Fingerprints against a real server's digests: performance_schema of a private MariaDB."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pymysql
import pytest
import slow_log_generator as generator

from aurora_analysis.engines.mysql.fingerprint import CUT_AT, DIFFERS, fingerprint, join_key, joined
from aurora_analysis.lab import server

pytestmark = pytest.mark.real

OPTIONS = {
    "performance_schema": True,
    "max_digest_length": 2**20,
    "performance_schema_max_digest_length": 2**16,
    "performance_schema_digests_size": 200,
    "innodb_buffer_pool_size": "16M",
}
NOT_SQL = 1064

Digest = Callable[[str], tuple[str, str]]


@pytest.fixture(scope="module")
def server_digest(mariadbd: str) -> Iterator[Digest]:
    """SQL → the server's digest and its text. Its tables need not exist: a digest is made by the parser."""
    with server.running(OPTIONS) as ours, ours.connect() as asked, ours.connect() as observer:
        asked.cursor().execute("CREATE DATABASE shop")

        def digest(sql: str) -> tuple[str, str]:
            observer.cursor().execute("TRUNCATE performance_schema.events_statements_summary_by_digest")
            asked.select_db("shop")
            try:
                asked.cursor().execute(sql)
            except pymysql.err.Error as problem:
                assert problem.args[0] != NOT_SQL, f"{sql}: {problem}"
            return observed(observer)

        yield digest


def observed(observer: pymysql.Connection) -> tuple[str, str]:
    """The one digest that the server counted; it counts a moment after it has answered."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with observer.cursor() as cursor:
            cursor.execute(
                "SELECT digest, digest_text FROM performance_schema.events_statements_summary_by_digest"
                " WHERE schema_name IS NOT NULL"
            )
            if cursor.rowcount:
                (found,) = cursor.fetchall()
                return found
    raise AssertionError("the server counted no statement")


def generated() -> list[str]:
    """Three statements of each template of the generator."""
    r = random.Random(5)
    return [shape(r, table) for _, shape, table in generator.TEMPLATES for _ in range(3)]


@pytest.fixture(scope="module")
def counted(server_digest: Digest) -> list[tuple[str, str, str]]:
    """The generator's statements, with the server's digest and its text."""
    return [(sql, *server_digest(sql)) for sql in generated()]


def test_digests_are_one_to_one(counted):
    """On the generator's statements the server tells apart what we do, and nothing else."""
    pairs = {(digest, fingerprint(sql)) for sql, digest, _ in counted}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(generator.TEMPLATES)


@pytest.mark.parametrize("cut_at", [CUT_AT, 1024, 10**6])
def test_the_join_key_finds_a_digest_text_that_was_cut(counted, cut_at):
    """At least 98 % of the server's texts find their statement by the key, and none a wrong one."""
    keys = {join_key(fingerprint(sql)) for sql, _, _ in counted}
    texts = {text: join_key(fingerprint(sql)) for sql, _, text in counted}
    found = [
        (joined(text.encode()[:cut_at].decode(), keys, cut_at=cut_at), key) for text, key in texts.items()
    ]
    assert all(one in (key, None) for one, key in found)
    assert sum(one == key for one, key in found) >= 0.98 * len(texts)
    assert len(keys) == len(generator.TEMPLATES)


T = "SELECT a FROM t WHERE b = "
AGREED = [
    (T + "1", T + "'it''s'"),
    (T + "1", T + '"x"'),
    (T + "1", T + ".5e-3"),
    (T + "1", T + "0xAf"),
    (T + "1", T + "b'01'"),
    (T + "1", T + "N'x'"),
    (T + "1", T + "NULL"),
    (T + "1", T + "TRUE"),
    (T + "1", T + "1 + 1"),
    (T + "@x", T + "@y"),
    (T + "'x' 'y'", T + "'x'"),
    ("SELECT a FROM t WHERE b IS NULL", "SELECT a FROM t WHERE b IS NOT NULL"),
    ("SELECT a FROM t WHERE b != 1", "SELECT a FROM t WHERE b <> 1"),
    ("SELECT a FROM t WHERE b = 1 AND c = 2", "SELECT a FROM t WHERE b = 1 && c = 2"),
    ("SELECT a FROM t WHERE b BETWEEN -1 AND -2", "SELECT a FROM t WHERE b BETWEEN 1 AND 2"),
    ("SELECT -1, f(-1)", "SELECT 1, f(1)"),
    ("SELECT a - 1 FROM t", "SELECT a - -1 FROM t"),
    ("SELECT a FROM t WHERE b IN (-1, 2)", "SELECT a FROM t WHERE b IN (1, 2, NULL)"),
    ("INSERT INTO t VALUES (NULL, 1)", "INSERT INTO t VALUES (2, NULL)"),
    ("INSERT INTO t VALUES (1, 2), (3, 4)", "INSERT INTO t VALUES (1, 2), (3, 4), (5, 6)"),
    ("SELECT a FROM t WHERE (a, b) IN ((1, 2), (3, 4))", "SELECT a FROM t WHERE (a, b) IN ((1, 2), (3, 4), (5, 6))"),
    ("SELECT a FROM t LIMIT 5, 10", "SELECT a FROM t LIMIT 5"),
    ("SELECT a FROM t LIMIT 5 OFFSET 10", "SELECT a FROM t LIMIT 5, 10"),
    ("SELECT f(1)", "SELECT f(1, 2)"),
    ("SELECT f(1, 2)", "SELECT f(1, 2, 3)"),
    ("SELECT `a` FROM `t`", "SELECT a FROM t;"),
    ("SELECT `select` FROM t", "SELECT `from` FROM t"),
    ("SELECT  a\nFROM t", "SELECT a FROM t"),
    ("SELECT /* it's */ a FROM t -- it's", "SELECT a FROM t # it's"),
    ("SELECT /*+ NO_ICP(t) */ a FROM t", "SELECT a FROM t"),
    ("SELECT /*!40001 SQL_NO_CACHE */ a FROM t", "SELECT SQL_NO_CACHE a FROM t"),
    ("SELECT a1 FROM t", "SELECT a2 FROM t"),
    ("SELECT 123foo FROM t", "SELECT 124foo FROM t"),
    ("CALL p(1)", "CALL p(1, 2)"),
    ("CALL p(1)", "CALL q(1)"),
    ("USE mysql", "USE information_schema"),
    ("SELECT DATE '2026-11-23'", "SELECT '2026-11-23'"),
    ("SELECT COUNT(*) FROM t", "SELECT COUNT(a) FROM t"),
]  # fmt: skip

DIFFERENT = {
    "list length": [
        ("SELECT a FROM t WHERE b IN (1)", "SELECT a FROM t WHERE b IN (1, 2)"),
        ("INSERT INTO t VALUES (1, 2)", "INSERT INTO t VALUES (1, 2), (3, 4)"),
        ("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1), (2)"),
        ("SELECT a FROM t WHERE (a, b) IN ((1, 2))", "SELECT a FROM t WHERE (a, b) IN ((1, 2), (3, 4))"),
    ],
    "rows of expressions": [("INSERT INTO t VALUES (NOW(), 1)", "INSERT INTO t VALUES (NOW(), 1), (NOW(), 2)")],
    "letter case": [("SELECT a FROM t", "SELECT A FROM T")],
    "sign": [(T + "-1", T + "1"), ("SELECT a FROM t WHERE b > - 1.5", "SELECT a FROM t WHERE b > 2")],
    "introducer": [(T + "_utf8mb4'x'", T + "'x'"), (T + "X'41'", T + "'x'")],
    "hexadecimal 0X": [(T + "0XAF", T + "1")],
    "synonym": [
        ("SELECT SUBSTR(a, 1) FROM t", "SELECT SUBSTRING(a, 1) FROM t"),
        ("SELECT a FROM t WHERE b REGEXP 'x'", "SELECT a FROM t WHERE b RLIKE 'x'"),
        ("SELECT DATABASE()", "SELECT SCHEMA()"),
        ("SELECT STD(a) FROM t", "SELECT STDDEV(a) FROM t"),
    ],
    "version comment": [("SELECT /*!99999 b, */ a FROM t", "SELECT a FROM t")],
}  # fmt: skip


@pytest.mark.parametrize("pair", AGREED, ids=" | ".join)
def test_hard_pairs_are_told_apart_by_both_or_by_neither(server_digest, pair):
    """Where no difference is documented there is none."""
    ours = len({fingerprint(sql) for sql in pair})
    assert ours == len({server_digest(sql)[0] for sql in pair})


@pytest.mark.parametrize("name", DIFFERS)
def test_each_documented_difference_is_one(server_digest, name):
    """Each difference that has a name has a pair that shows it."""
    for pair in DIFFERENT[name]:
        assert len({fingerprint(sql) for sql in pair}) != len({server_digest(sql)[0] for sql in pair})


def test_synonyms_have_one_join_key():
    """What the server spells one way has one key."""
    assert all(len({join_key(fingerprint(sql)) for sql in pair}) == 1 for pair in DIFFERENT["synonym"])
