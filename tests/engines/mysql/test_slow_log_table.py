"""The rows of mysql.slow_log as the slow log's entries: what a server's version calls them, and when they ran."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aurora_analysis.engines.mysql import slow_log_table
from aurora_analysis.engines.mysql.slow_log import Account, Layout, to_tables

ROW = {
    "started_at": "1800000000.250000",
    "user_host": "etl[etl] @ ip-10-0-0-7 [10.0.0.7]",
    "query_time": timedelta(seconds=2, microseconds=500_000),
    "lock_time": timedelta(microseconds=120),
    "rows_sent": 3,
    "rows_examined": 4711,
    "db": "shop",
    "sql_text": b"/* job=nightly */ SELECT a FROM t WHERE b = 'secret'",
    "thread_id": 9,
    "a_column_of_a_later_version": 1,
}
"""As MySQL 5.7 gives it: the text is a blob."""


def frame(*rows):
    """Rows of slow_queries, as plain values."""
    (found,) = to_tables(slow_log_table.entries(rows), Account(), Layout("db-1"))
    return found.slow_queries.to_dict("records")


def test_a_row_is_an_execution():
    """It ran from its start for its time, exact to the microsecond; no literal is kept."""
    (row,) = frame(ROW)
    assert row["started_at"].isoformat() == "2027-01-15T08:00:00.250000+00:00"
    assert row["ended_at"].isoformat() == "2027-01-15T08:00:02.750000+00:00"
    assert (row["user"], row["host"], row["database"], row["thread_id"]) == ("etl", "ip-10-0-0-7", "shop", 9)
    assert (row["query_time_s"], row["lock_time_s"]) == (2.5, 0.00012)
    assert (row["rows_sent"], row["rows_examined"], row["tags"]) == (3, 4711, '{"job":"nightly"}')
    assert "secret" not in str(row)


@pytest.mark.parametrize(
    ("user_host", "expected"),
    [
        ("root[root] @ localhost []", ("root", "localhost")),
        ("app[app] @  [10.0.0.8]", ("app", "10.0.0.8")),
        ("[SQL_SLAVE] @  []", ("", "")),
    ],
)
def test_the_host_is_its_name_or_its_address(user_host, expected):
    """As in the file."""
    (row,) = frame(ROW | {"user_host": user_host})
    assert (row["user"], row["host"]) == expected


def test_a_column_that_an_old_version_lacks_is_nought():
    """MySQL 5.6 has no thread_id; MariaDB gives text for the statement, and an empty database."""
    old = {name: value for name, value in ROW.items() if name != "thread_id"}
    (row,) = frame(old | {"sql_text": "SELECT 1", "db": ""})
    assert (row["thread_id"], row["database"]) == (0, None)


def test_our_own_statements_are_left_out():
    """They are tagged."""
    assert frame(ROW, ROW | {"sql_text": f"{slow_log_table.TAG} SELECT 1"}) == frame(ROW)
