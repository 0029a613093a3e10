"""Numbers of purge in the text of SHOW ENGINE INNODB STATUS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aurora_analysis.engines.mysql import innodb_status, live_rows
from aurora_analysis.errors import Error

STATUS = """
------------
TRANSACTIONS
------------
Trx id counter 224
Purge done for trx's n:o < 25 undo n:o < 0 state: running
History list length 100
LIST OF TRANSACTIONS FOR EACH SESSION:
{transactions}
--------
FILE I/O
--------
{views} read views open inside InnoDB
"""
IDLE = """---TRANSACTION (0x7f8c743c5b80), not started
0 lock struct(s), heap size 1128, 0 row lock(s)"""
WRITING = """---TRANSACTION 23, ACTIVE 1 sec
2 lock struct(s), heap size 1128, 1 row lock(s), undo log entries 1
MariaDB thread id 6, OS thread handle 140240997529280, query id 12 localhost root"""
READING = """---TRANSACTION (0x7f8c743c6680), ACTIVE 1 sec
0 lock struct(s), heap size 1128, 0 row lock(s)
MariaDB thread id 5, OS thread handle 140240997836480, query id 9 localhost root
Trx read view will not see trx with id >= 40, sees < 30"""
LOCKED = """---TRANSACTION 21, ACTIVE 9 sec
2 lock struct(s), heap size 1128, 1 row lock(s)
MariaDB thread id 8, OS thread handle 140240997836480, query id 9 localhost root"""


def status(*transactions: str, views: int = 0) -> str:
    return STATUS.format(transactions="\n".join(transactions), views=views)


def test_the_counters_are_read():
    """History list length, transaction counter, and purge progress."""
    seen = innodb_status.parse(status(IDLE))
    assert (seen.history_list_length, seen.trx_counter, seen.purge_finished) == (100, 224, 25)
    assert (seen.open_read_views, seen.active_transactions) == (0, 0)


@pytest.mark.parametrize(
    ("transactions", "boundary"),
    [
        ((IDLE,), 224),
        ((READING,), 30),
        ((WRITING,), 23),
        ((READING, WRITING), 23),
        ((LOCKED,), 21),
    ],
    ids=["no transaction", "a view", "a transaction that has written", "both", "one that locks for writing"],
)
def test_the_purge_boundary_is_the_oldest_number_needed(transactions, boundary):
    """A view or an open transaction with a number sets it; MariaDB gives a number to each that locks for writing."""
    assert innodb_status.parse(status(*transactions)).purge_boundary == boundary


def test_a_view_belongs_to_its_connection():
    """Views are keyed by connection, not by the age of a transaction."""
    assert innodb_status.parse(status(READING, WRITING, LOCKED, views=1)).views == {5: 30}


def test_an_unsupported_server_is_rejected_in_one_line():
    """The message names the versions that are supported."""
    with pytest.raises(Error, match="MariaDB 10.5"):
        innodb_status.parse("no InnoDB here")


PAYLOADS = Path(__file__).parents[2] / "payloads"


@pytest.mark.parametrize("version", ["5_7_29", "9_7_4"])
def test_mysql_status_lacks_readers_and_writers_do_not_block_its_purge(version):
    """From captured statuses: reading transactions are added, writing ones without a view are not holders."""
    captured = json.loads((PAYLOADS / f"mysql_{version}_transactions.json").read_text())
    threads = captured["threads"]
    transactions = [
        live_rows.transaction([*row, 0, 0], {})
        for row in sorted(captured["transactions"], key=lambda row: -row[0])
    ]
    parsed = innodb_status.parse("\n".join(captured["status"]))
    assert set(parsed.writing) == {
        threads["has written, without a view"],
        threads["has written, with a view"],
        threads["has locked, without a view"],
    }
    now = max(one.started_at for one in transactions) + 1
    completed = innodb_status.complete_mysql_status(parsed, transactions, now)
    holding = {"an idle snapshot", "a read-only snapshot", "has written, with a view", "a running statement"}
    assert set(completed.views) == {threads[name] for name in holding}
    assert parsed.open_read_views == len(completed.views)
    assert completed.writing == {}
    assert completed.purge_boundary == completed.purge_finished
    oldest = {thread for thread, number in completed.views.items() if number == completed.purge_finished}
    assert oldest >= {threads["an idle snapshot"], threads["has written, with a view"]}  # not a commit apart
