"""Fingerprints against the query ids of a real PostgreSQL 15."""

from __future__ import annotations

import random
import subprocess
from collections import defaultdict

import pytest

from aurora_analysis.engines.postgresql.fingerprint import fingerprint, join_key, matching_key
from aurora_analysis.lab import postgresql

pytestmark = pytest.mark.real

SCHEMA = "CREATE TABLE t (a int, b text, c numeric, d date, e jsonb, f int[], g bool); CREATE TABLE u (a int, b text);"


def literal(r: random.Random) -> str:
    """A number, in one of its spellings."""
    return r.choice((str(r.randint(0, 999)), f"-{r.randint(1, 9)}", "1.5e2", "NULL"))


def text(r: random.Random) -> str:
    """A string, in one of its spellings."""
    word = "".join(r.choices("abc xyz", k=5))
    return r.choice((f"'{word}'", f"'it''s {word}'", f"E'\\'{word}'", f"$${word}$$", f"$x${word}'$x$", f"U&'{word}'", f"'{word}'\n'{word}'"))  # fmt: skip


def values(r: random.Random, make, separator: str = ", ") -> str:
    """One to four of them."""
    return separator.join(make(r) for _ in range(r.randint(1, 4)))


TEMPLATES = (
    lambda r: f"SELECT a, b FROM t WHERE a = {literal(r)} AND b = {text(r)}",
    lambda r: f"SELECT a FROM t WHERE a IN ({values(r, literal)})",
    lambda r: f"SELECT a FROM t WHERE b = ANY (ARRAY[{values(r, text)}]) LIMIT {r.randint(1, 9)}",
    lambda r: f"INSERT INTO u (a, b) VALUES {values(r, lambda r: f'({r.randint(1, 9)}, {text(r)})')}",
    lambda r: (
        f"UPDATE t SET b = {text(r)}, g = {r.choice(('true', 'false'))} WHERE a BETWEEN {r.randint(0, 9)} AND 10"
    ),
    lambda r: (
        f"DELETE FROM t WHERE c < {r.randint(1, 9)}.5 AND g IS NOT {r.choice(('TRUE', 'FALSE', 'NULL'))}"
    ),
    lambda r: (
        f"SELECT e ->> {text(r)}, e #> '{{a,b}}', f[{r.randint(1, 3)}] FROM t WHERE e ?| ARRAY['x', 'y'] AND e ? {text(r)}"
    ),
    lambda r: (
        f"SELECT count(*) FROM t JOIN u USING (a) WHERE t.b LIKE {text(r)} OR u.a - {r.randint(1, 9)} > -{r.randint(1, 9)}"
    ),
    lambda r: (
        f"SELECT d + interval '{r.randint(1, 9)} day' FROM t WHERE d > date '2026-01-0{r.randint(1, 9)}'"
    ),
    lambda r: (
        f"SELECT a FROM t WHERE b = {text(r)}::text ORDER BY a LIMIT {r.randint(1, 9)} OFFSET {r.randint(1, 9)}"
    ),
)


def respelled(r: random.Random, sql: str) -> str:
    """The statement with other white space, comments and quotes of names."""
    sql = sql.replace("SELECT", r.choice(("select", "SELECT /* /* it's */ */", "SELECT"))).replace(
        " t ", r.choice((" t ", ' "t" ', " T\n"))
    )
    return r.choice(("", "/* job=etl */ ")) + sql + r.choice(("", " -- done"))


def test_a_query_id_leads_to_one_fingerprint(server):
    """300 statements of ten templates: a fingerprint may have several query ids, a query id has one fingerprint."""
    r = random.Random(17)
    statements = [respelled(r, r.choice(TEMPLATES)(r)) for _ in range(300)]
    script = "".join(f"SELECT pg_stat_statements_reset();\n{sql}\n;\n{OBSERVED}" for sql in statements)
    rows = [line.split("\t", 1) for line in psql(server, script).splitlines() if "\t" in line]
    assert len(rows) == len(statements)
    by_query_id, keys = defaultdict(set), set()
    for sql, (query_id, _) in zip(statements, rows):
        by_query_id[query_id].add(fingerprint(sql))
        keys.add(join_key(fingerprint(sql)))
    assert [found for found in by_query_id.values() if len(found) > 1] == []
    assert len(keys) < len(by_query_id)
    for sql, (_, normalised) in zip(statements, rows):
        found = matching_key(normalised.replace("\\n", "\n"), keys, cut_at=10**6)
        assert found == join_key(fingerprint(sql)), normalised


OBSERVED = "SELECT queryid || E'\\t' || replace(query, E'\\n', '\\n') FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%' LIMIT 1;\n"


@pytest.fixture(scope="module")
def server(postgresql_programs):
    """A server with pg_stat_statements."""
    with postgresql.running_primary({"pg_stat_statements.track_utility": "off"}) as running:
        psql(running, "CREATE EXTENSION pg_stat_statements; " + SCHEMA)
        yield running


def psql(server: postgresql.Server, script: str) -> str:
    """Run a script and return its output; each statement is sent by itself."""
    where = ["-h", "127.0.0.1", "-p", str(server.port), "-U", postgresql.USER]
    command = [postgresql.programs() / "psql", "-X", "-A", "-t", "-q", *where]
    return subprocess.run(command, input=script, capture_output=True, text=True, check=True).stdout
