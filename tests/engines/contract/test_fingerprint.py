"""A fingerprint has no literals, ignores spelling, and is the same however it was made."""

from __future__ import annotations

import re

from engine_cases import CASES
from hypothesis import given, settings
from hypothesis import strategies as st

FRAGMENTS = re.compile("s3c|cr3|3t|2026|1123")


def test_no_literal_survives(engine):
    """In every spelling, alone, in lists, and cut at every character."""
    found = engine.module("fingerprint")
    cache = found.FingerprintCache()
    for literal in engine.literals:
        for sql in (
            f"SELECT a FROM t WHERE b = {literal} AND c",
            f"SELECT a FROM t WHERE b IN ({literal}, {literal})",
        ):
            for text in (sql, *(sql[:at] for at in range(26, len(sql)))):
                assert not FRAGMENTS.search(found.statement(text).fingerprint), text
                assert not FRAGMENTS.search(cache(text.encode()).fingerprint), text


def test_spelling_does_not_matter(engine):
    """Case, white space, the quoting of names and the values make no difference; names do."""
    found = engine.module("fingerprint")
    assert len({found.statement(sql) for sql in engine.same_statement}) == 1
    assert len({found.statement(sql).digest for sql in ("SELECT t1", "SELECT t2", "SELECT a FROM t")}) == 3


def test_comments_do_not_matter(engine):
    """Comments are dropped, wherever they stand."""
    found = engine.module("fingerprint")
    plain = found.statement("SELECT a FROM t")
    assert [found.statement(each.format("SELECT a FROM t")) for each in engine.comments] == [plain] * len(
        engine.comments
    )


def test_comments_give_tags(engine):
    """The key=value pairs around a statement name the job that sent it; literals are no tags."""
    tags = engine.module("fingerprint").tags
    assert tags(engine.tagged) == {"connector": "etl", "job": "orders"}
    assert all(tags(f"SELECT a FROM t WHERE b = {literal}") == {} for literal in engine.literals)


def test_the_digest_names_the_fingerprint(engine):
    """16 hex digits that follow from the fingerprint alone."""
    found = engine.module("fingerprint")
    made = found.statement(engine.same_statement[0])
    assert made.digest == found.digest(made.fingerprint) and re.fullmatch("[0-9a-f]{16}", made.digest)
    assert made.whole and made.fingerprint == found.fingerprint(engine.same_statement[0])
    assert found.kind(made.fingerprint) == "select"


def test_a_fingerprint_is_its_own_fingerprint(engine):
    """A text without lists that was fingerprinted before does not change; nor does a join key."""
    found = engine.module("fingerprint")
    for sql in (
        *engine.same_statement,
        *(f"SELECT a FROM t WHERE b = {literal}" for literal in engine.literals),
    ):
        once = found.fingerprint(sql)
        if "@" not in once:
            assert found.fingerprint(once) == once
        assert found.join_key(found.join_key(once)) == found.join_key(once)


def test_a_join_key_matches_the_servers_text(engine):
    """The server's own text of a statement, as its statistics have it, leads back to the fingerprint."""
    found = engine.module("fingerprint")
    keys = {found.join_key(found.fingerprint(sql)) for sql in (engine.same_statement[0], "SELECT c FROM t")}
    text = engine.counted(1, 1.0, 0.0)[2]
    assert found.matching_key(text, keys) == found.join_key(found.fingerprint(engine.same_statement[0]))


def test_a_script_is_split_outside_of_quotes_and_comments(engine):
    """A separator inside a literal ends no statement."""
    split = engine.module("fingerprint").split
    parts = [f"SELECT {literal}, 'a;\nb'" for literal in engine.literals]
    assert list(split(";\n".join(parts))) == parts


@given(st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_the_cache_does_not_change_a_fingerprint(data):
    """The cache returns the lexer's result, whatever was read before."""
    for engine in CASES:
        found = engine.module("fingerprint")
        cache = found.FingerprintCache()
        pieces = ["SELECT ", "a", "1", ", ", "(", ")", " IN ", "'", "NULL", " ", "\n", ";", *engine.literals]
        texts = data.draw(st.lists(st.lists(st.sampled_from(pieces), max_size=12).map("".join), max_size=6))
        for text in texts:
            assert cache(text.encode()) == found.statement(text)
