"""The slow log: every dialect read, every byte accounted for."""

from __future__ import annotations

from aurora_analysis.sources import slow_log

MARIADB = b"""\
/usr/sbin/mariadbd, Version: 10.11.6-MariaDB-log (Debian). started with:
Tcp port: 3306  Unix socket: /run/mysqld/mysqld.sock
Time		    Id Command	Argument
# Time: 261123 10:24:31
# User@Host: bi[bi] @ localhost []
# Thread_id: 3  Schema: shop  QC_hit: No
# Query_time: 2.500000  Lock_time: 0.000141  Rows_sent: 1  Rows_examined: 900
# Rows_affected: 0  Bytes_sent: 11
#
# explain: id	select_type	table	type	possible_keys	key	key_len	ref	rows	r_rows	filtered	r_filtered	Extra
# explain: 1	SIMPLE	NULL	NULL	NULL	NULL	NULL	NULL	NULL	NULL	NULL	NULL	No tables used
#
use `shop`;
SET timestamp=1795429471;
SELECT COUNT(*) FROM orders WHERE note = 'it''s';
# User@Host: bi[bi] @ localhost []
# Thread_id: 3  Schema: shop  QC_hit: No
# Query_time: 2.500000  Lock_time: 0.000141  Rows_sent: 1  Rows_examined: 900
# Rows_affected: 0  Bytes_sent: 11
SET timestamp=1795429471;
SELECT COUNT(*) FROM orders WHERE note = 'again';
"""


def test_mariadb_ends_when_set_timestamp_says_and_to_a_second() -> None:
    """MariaDB's # Time has no zone and is absent within a second: SET timestamp is the end."""
    account = slow_log.Account()
    (frames,) = slow_log.frames([MARIADB], account=account, instance="lab-reader")
    rows = frames.slow_queries
    assert rows["ended_at"].astype(str).tolist() == ["2026-11-23 10:24:31+00:00"] * 2
    assert rows["started_at"].astype(str).tolist() == ["2026-11-23 10:24:28.500+00:00"] * 2
    assert rows["time_precision_s"].tolist() == [1.0, 1.0]
    assert rows["database"].tolist() == ["shop", "shop"]
    assert rows["thread_id"].tolist() == [3, 3]
    assert rows["extras"].tolist() == ['{"Rows_affected":0,"Bytes_sent":11}'] * 2
    assert (account.events, account.damage, account.bytes) == (2, 0, len(MARIADB))


def test_executions_that_are_otherwise_the_same_are_numbered_across_batches() -> None:
    """The ordinal tells two equal executions apart, also where a batch ends between them."""
    rows = [frame.slow_queries for frame in slow_log.frames([MARIADB], batch=1)]
    assert [frame["ordinal"].tolist() for frame in rows] == [[0], [1]]
