"""Fingerprints against a real server's digests: performance_schema of a private MariaDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pymysql
import pytest
import slow_log_generator as generator
from mysql_digests import AGREED, DIFFERENT, generated, observed

from aurora_analysis.engines.mysql.fingerprint import CUT_AT, DIFFERS, fingerprint, join_key, matching_key
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
    with server.running(OPTIONS) as ours, ours.connect() as connection, ours.connect() as observer:
        connection.cursor().execute("CREATE DATABASE shop")

        def digest(sql: str) -> tuple[str, str]:
            observer.cursor().execute("TRUNCATE performance_schema.events_statements_summary_by_digest")
            connection.select_db("shop")
            try:
                connection.cursor().execute(sql)
            except pymysql.err.Error as problem:
                assert problem.args[0] != NOT_SQL, f"{sql}: {problem}"
            return observed(observer)

        yield digest


@pytest.fixture(scope="module")
def counted(server_digest: Digest) -> list[tuple[str, str, str]]:
    """The generator's statements, with the server's digest and its text."""
    return [(sql, *server_digest(sql)) for sql in generated()]


def test_digests_are_one_to_one(counted):
    """The server and the fingerprint distinguish the same statements of the generator."""
    pairs = {(digest, fingerprint(sql)) for sql, digest, _ in counted}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(generator.TEMPLATES)


@pytest.mark.parametrize("cut_at", [CUT_AT, 1024, 10**6])
def test_the_join_key_finds_a_digest_text_that_was_cut(counted, cut_at):
    """At least 98 % of the server's texts find their statement by the key, and none a wrong one."""
    keys = {join_key(fingerprint(sql)) for sql, _, _ in counted}
    texts = {text: join_key(fingerprint(sql)) for sql, _, text in counted}
    found = [
        (matching_key(text.encode()[:cut_at].decode(), keys, cut_at=cut_at), key)
        for text, key in texts.items()
    ]
    assert all(one in (key, None) for one, key in found)
    assert sum(one == key for one, key in found) >= 0.98 * len(texts)
    assert len(keys) == len(generator.TEMPLATES)


@pytest.mark.parametrize("pair", AGREED, ids=" | ".join)
def test_hard_pairs_differ_for_both_or_for_neither(server_digest, pair):
    """Where no difference is documented there is none."""
    ours = len({fingerprint(sql) for sql in pair})
    assert ours == len({server_digest(sql)[0] for sql in pair})


@pytest.mark.parametrize("name", DIFFERS)
def test_each_documented_difference_is_one(server_digest, name):
    """Each difference that has a name has a pair that shows it."""
    for pair in DIFFERENT[name]:
        assert len({fingerprint(sql) for sql in pair}) != len({server_digest(sql)[0] for sql in pair})


def test_synonyms_have_one_join_key():
    """Synonyms that the server spells alike have one key."""
    assert all(len({join_key(fingerprint(sql)) for sql in pair}) == 1 for pair in DIFFERENT["synonym"])
