"""Fingerprints against the recorded digests of a MySQL server: see mysql_digests.py."""

from __future__ import annotations

import json

import pytest
import slow_log_generator as generator
from mysql_digests import AGREED_MYSQL, ANSWERS, DIFFERENT_MYSQL, generated, statements

from aurora_analysis.engines.mysql.fingerprint import (
    CUT_AT,
    DIFFERS_MYSQL,
    fingerprint,
    join_key,
    matching_key,
)

RECORDED = json.loads(ANSWERS.read_text())
DIGESTS = dict(zip(statements(), RECORDED["places"], strict=True))


def test_digests_are_one_to_one():
    """MySQL 9.7 and the fingerprint distinguish the same statements of the generator."""
    pairs = {(DIGESTS[sql], fingerprint(sql)) for sql in generated()}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(generator.TEMPLATES)
    assert RECORDED["version"].startswith("9.7")


@pytest.mark.parametrize("cut_at", [CUT_AT, 1024, 10**6])
def test_the_join_key_finds_a_digest_text_that_was_cut(cut_at):
    """Every one of MySQL's texts finds its statement by the key, and none a wrong one."""
    texts = {RECORDED["texts"][DIGESTS[sql]]: join_key(fingerprint(sql)) for sql in generated()}
    keys = set(texts.values())
    assert [matching_key(text.encode()[:cut_at].decode(), keys, cut_at=cut_at) for text in texts] == list(
        texts.values()
    )


def test_hard_texts_join_to_their_own_statement_or_to_none():
    """Texts that end with a list are not cut; a text with a back-tick inside a name, which MySQL does not double, is of none."""
    hard = {sql: RECORDED["texts"][DIGESTS[sql]] for pair in AGREED_MYSQL for sql in pair}
    keys = {join_key(fingerprint(sql)) for sql in hard}
    found = {sql: matching_key(text, keys) for sql, text in hard.items()}
    assert {sql for sql, key in found.items() if key not in (join_key(fingerprint(sql)), None)} == set()
    assert sum(key is None for key in found.values()) <= 0.02 * len(found)
    assert matching_key("SELECT ?, ...", {"select?+", "select?+froma"}) == "select?+"
    assert matching_key("SELECT `a`b` FROM `t`", {"select?", "selectafromt"}) is None


@pytest.mark.parametrize("pair", AGREED_MYSQL, ids=" | ".join)
def test_hard_pairs_differ_for_both_or_for_neither(pair):
    """Where no difference is documented there is none."""
    assert len({fingerprint(sql) for sql in pair}) == len({DIGESTS[sql] for sql in pair})


@pytest.mark.parametrize("name", DIFFERS_MYSQL)
def test_each_documented_difference_is_one(name):
    """Each difference that has a name has a pair that shows it."""
    apart = [
        len({fingerprint(sql) for sql in pair}) != len({DIGESTS[sql] for sql in pair})
        for pair in DIFFERENT_MYSQL[name]
    ]
    assert any(apart)
