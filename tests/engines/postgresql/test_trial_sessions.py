"""A trial's query on PostgreSQL is one SELECT that locks, writes and steers nothing."""

from __future__ import annotations

import pytest

from aurora_analysis.engines.postgresql.trial_sessions import refusal

READS = (
    "SELECT count(*) FROM orders",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "SELECT id, pg_sleep(0.01) FROM facts",
    "SELECT pg_get_viewdef('v'), pg_size_pretty(pg_relation_size('orders'))",
    "SELECT 'FOR UPDATE', 'into' FROM t -- pg_terminate_backend(1)",
    "SELECT pg_notes FROM t",
)
REFUSED = (
    "SELECT 1; DROP TABLE t",
    "DELETE FROM t",
    "SELECT * INTO copy FROM t",
    "SELECT * FROM t FOR NO KEY UPDATE",
    "SELECT * FROM t FOR KEY SHARE",
    "SELECT nextval('s')",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_catalog.pg_terminate_backend (7)",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_drop_replication_slot('dms')",
    "SELECT pg_promote(), pg_wal_replay_pause()",
    "SELECT lo_import('/etc/passwd')",
    "SELECT * FROM dblink('host=x', 'DELETE FROM t') AS r(a int)",
    "SELECT * FROM aws_s3.query_export_to_s3('SELECT 1', 'uri')",
    "SELECT set_config('statement_timeout', '0', false)",
)


@pytest.mark.parametrize("query", READS)
def test_a_query_that_reads_is_run(query):
    """Names and literals that only look alike do not matter."""
    assert refusal(query, "on") == ""


@pytest.mark.parametrize("query", REFUSED)
def test_what_reaches_beyond_the_query_is_refused(query):
    """A read-only transaction would not stop most of these."""
    assert refusal(query, "on")
