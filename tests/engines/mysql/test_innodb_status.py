"""What the text of SHOW ENGINE INNODB STATUS says of purge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aurora_analysis.engines.mysql import live
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
ONLY_BEGUN = """---TRANSACTION 421, ACTIVE 9 sec
0 lock struct(s), heap size 1128, 0 row lock(s)
MySQL thread id 8, OS thread handle 140240997836480, query id 9 localhost root"""


def status(*transactions: str, views: int = 0) -> str:
    return STATUS.format(transactions="\n".join(transactions), views=views)


def test_the_counters_are_read():
    """History list, counter, and how far purge is."""
    seen = live.innodb(status(IDLE))
    assert (seen.history_list_length, seen.trx_counter, seen.purge_finished) == (100, 224, 25)
    assert (seen.open_read_views, seen.active_transactions) == (0, 0)


@pytest.mark.parametrize(
    ("transactions", "boundary"),
    [
        ((IDLE,), 224),
        ((READING,), 30),
        ((WRITING,), 23),
        ((READING, WRITING), 23),
        ((ONLY_BEGUN,), 224),
    ],
    ids=["nobody", "a view", "a transaction that has written", "both", "a bare BEGIN"],
)
def test_purge_may_go_up_to_the_oldest_that_is_needed(transactions, boundary):
    """A view or an open transaction that has written holds it; a bare BEGIN does not."""
    assert live.innodb(status(*transactions)).purge_boundary == boundary


def test_a_view_belongs_to_its_connection():
    """Who holds it is known by the thread, not by the age of a transaction."""
    assert live.innodb(status(READING, WRITING, ONLY_BEGUN, views=1)).views == {5: 30}


def test_another_server_is_refused_in_one_line():
    """What is missing is named."""
    with pytest.raises(Error, match="MariaDB 10.5"):
        live.innodb("no InnoDB here")


PAYLOADS = Path(__file__).parents[2] / "payloads"


@pytest.mark.parametrize("version", ["5_7_29", "9_7_4"])
def test_mysql_tells_less_and_its_purge_waits_for_less(version):
    """Captured: its status is silent on who only reads, and a writer without a view holds nothing up."""
    captured = json.loads((PAYLOADS / f"mysql_{version}_transactions.json").read_text())
    threads = captured["threads"]
    transactions = [live._open(row, {}) for row in sorted(captured["transactions"], key=lambda row: -row[0])]
    said = live.innodb("\n".join(captured["status"]))
    assert set(said.writing) == {threads["has written, without a view"], threads["has written, with a view"]}
    told = live.of_mysql(said, transactions)
    holding = {"an idle snapshot", "a read-only snapshot", "has written, with a view", "a running statement"}
    assert set(told.views) == {threads[name] for name in holding}
    assert said.open_read_views == len(told.views)
    assert told.writing == {}
    assert told.purge_boundary == told.purge_finished == told.views[threads["an idle snapshot"]]
