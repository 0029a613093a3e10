"""The slow log of a real server: when a statement began and ended."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aurora_analysis.engines.mysql import slow_log
from aurora_analysis.lab import server
from aurora_analysis.sources import log_files

pytestmark = pytest.mark.real


def _wait_for_the_entry(log: Path) -> None:
    """The server answers its client first and writes the log's entry then."""
    for _ in range(100):
        if log.exists() and b"Query_time" in log.read_bytes():
            return
        time.sleep(0.05)


def test_the_times_of_a_statement_are_true_to_their_precision(mariadbd):
    """The server's log has whole seconds, in its own zone: what is read from it is when the client saw it run."""
    options = {"slow_query_log": True, "long_query_time": 1}
    with server.running(options, environment={"TZ": "Asia/Kolkata"}) as ours, ours.connect() as connection:
        began = time.time()
        connection.cursor().execute("SELECT SLEEP(2.5)")
        over = time.time()
        _wait_for_the_entry(ours.slow_log)
        account = slow_log.Account()
        (tables,) = slow_log.read_slow_log(log_files.chunks(str(ours.slow_log)), account=account)
    (row,) = tables.slow_queries.to_dict("records")
    assert row["query_time_s"] == pytest.approx(2.5, abs=over - began - 2.5 + 0.1)
    assert abs(row["started_at"].timestamp() - began) <= row["time_precision_s"]
    assert abs(row["ended_at"].timestamp() - over) <= row["time_precision_s"] + (
        over - began - row["query_time_s"]
    )
    assert account.damage == 0
