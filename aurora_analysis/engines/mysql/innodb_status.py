"""Parse the transactions section of SHOW ENGINE INNODB STATUS. Pure.

Answers: how long is the history list, how far has purge come, and which connections hold a read view?
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from aurora_analysis.engines.live_evidence import SNAPSHOT_LEVELS, Transaction
from aurora_analysis.errors import Error


class InnodbStatus(NamedTuple):
    """Transactions and purge of one server, from SHOW ENGINE INNODB STATUS.

    `purge_boundary` is the transaction number that purge may not pass: the lowest that an open read view or an open
    transaction with writes may still need, or `trx_counter` if there is none. `views` maps each connection that holds
    a read view to its number; `writing` does so for each connection that has written.
    """

    history_list_length: int
    trx_counter: int
    purge_finished: int
    purge_boundary: int
    open_read_views: int
    active_transactions: int
    views: dict[int, int]
    writing: dict[int, int]
    listed: frozenset[int] = frozenset()
    """Connections whose transactions the status lists as active."""


EMPTY_STATUS = InnodbStatus(0, 0, 0, 0, 0, 0, {}, {})
"""The status of a reader that reports nothing about purge."""


def parse(status: str) -> InnodbStatus:
    """Parse the text of SHOW ENGINE INNODB STATUS.

    Parameters
    ----------
    status : str
        The text, of MariaDB 10.5+ or MySQL 5.7+.

    Returns
    -------
    InnodbStatus
        On MySQL the read views are incomplete: see `complete_mysql_status`.

    Raises
    ------
    Error
        If a number is missing, as on an older server.
    """
    transactions = [
        text for text in status.split("---TRANSACTION ")[1:] if ", ACTIVE" in text.split("\n", 1)[0]
    ]
    counter = _number(r"Trx id counter (\d+)", status)
    views = {
        _thread(text): _number(r"sees < (\d+)", text) for text in transactions if "Trx read view" in text
    }
    writing = {_thread(text): _number(r"(\d+)", text) for text in transactions if "undo log entries" in text}
    return InnodbStatus(
        history_list_length=_number(r"History list length (\d+)", status),
        trx_counter=counter,
        purge_finished=_number(r"Purge done for trx's n:o < (\d+)", status),
        purge_boundary=min([counter, *views.values(), *writing.values()]),
        open_read_views=_number(r"(\d+) read views open", status),
        active_transactions=len(transactions),
        views=views,
        writing=writing,
        listed=frozenset(map(_thread, transactions)),
    )


def complete_mysql_status(status: InnodbStatus, transactions: Iterable[Transaction]) -> InnodbStatus:
    """Add the read views that MySQL's and Aurora's status does not list.

    The status of MySQL lists only transactions that have written, with their read views. A transaction that only
    reads is not listed: at REPEATABLE READ it holds a view from its first read on, at READ COMMITTED while a
    statement runs. On MySQL an open transaction that has written does not block purge (tried on 5.7.29 and 9.7.4: the
    history list stays short). Purge stands where the oldest view stopped it, so the oldest view gets that number and
    the others follow in order of age.
    """
    holding = [
        one
        for one in transactions
        if one.thread_id in status.views
        or (one.thread_id not in status.listed and (one.query or one.isolation_level in SNAPSHOT_LEVELS))
    ]
    holding.sort(key=lambda one: one.view_since)
    views = {one.thread_id: status.purge_finished + n for n, one in enumerate(holding)}
    boundary = min([status.trx_counter, *views.values()])
    return status._replace(views=views, writing={}, purge_boundary=boundary)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise Error(f"The InnoDB status has no {pattern!r}: MariaDB 10.5+ or MySQL 5.7+ is needed.")
    return int(found[1])


def _thread(text: str) -> int:
    """Connection of a transaction; 0 if it has none, as after a crash or for a prepared XA transaction."""
    found = re.search(r"thread id (\d+)", text)
    return int(found[1]) if found else 0
