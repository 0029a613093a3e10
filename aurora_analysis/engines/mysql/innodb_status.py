"""Parse the transactions section of SHOW ENGINE INNODB STATUS. Pure.

Answers: how long is the history list, how far has purge come, and which transactions hold it back?
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from aurora_analysis.engines.live_evidence import Transaction
from aurora_analysis.engines.mysql import oldest_view
from aurora_analysis.errors import Error

NOTHING: Mapping[int, int] = MappingProxyType({})

FRONT = 10
"""Largest difference between a view's number and the point where purge stopped for it [transactions]."""


class InnodbStatus(NamedTuple):
    """Transactions and purge of one server, from SHOW ENGINE INNODB STATUS.

    `purge_boundary` is the transaction number that purge may not pass: the lowest that an open read view or an open
    transaction with a number may still need, or `trx_counter` if there is none. `views` maps each connection that holds
    a read view to its number; `writing` does so for each connection whose transaction has written or locked for writing.
    """

    history_list_length: int
    trx_counter: int
    purge_finished: int
    purge_boundary: int
    open_read_views: int | None
    active_transactions: int
    views: Mapping[int, int]
    writing: Mapping[int, int]
    listed: frozenset[int] = frozenset()
    """Connections whose transactions the status lists as active."""
    limits: Mapping[int, int] = NOTHING
    """First transaction number that the view of each listed connection does not see."""
    prepared: frozenset[int] = frozenset()
    """Connections whose XA transaction is prepared."""
    orphans: Mapping[int, bool] = MappingProxyType({})
    """Numbers of transactions without a connection; whether each is a prepared XA transaction."""
    chances: Mapping[int, float] | None = None
    """On MySQL: chance that each connection's view is the oldest [0 to 1]; None where the numbers decide."""


EMPTY_STATUS = InnodbStatus(0, 0, 0, 0, None, 0, {}, {})
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
    texts = [text for text in status.split("---TRANSACTION ")[1:] if ", ACTIVE" in text.split("\n", 1)[0]]
    owned = {_thread(text): text for text in texts if _thread(text)}
    with_view = {thread: text for thread, text in owned.items() if "Trx read view" in text}
    views = {thread: _number(r"sees < (\d+)", text) for thread, text in with_view.items()}
    writing = {thread: int(text.split(",", 1)[0]) for thread, text in owned.items() if text[0].isdigit()}
    orphans = {
        int(text.split(",", 1)[0]): _is_prepared(text)
        for text in texts
        if not _thread(text) and text[0].isdigit()
    }
    counter = _number(r"Trx id counter (\d+)", status)
    return InnodbStatus(
        history_list_length=_number(r"History list length (\d+)", status),
        trx_counter=counter,
        purge_finished=_number(r"Purge done for trx's n:o < (\d+)", status),
        purge_boundary=min([counter, *views.values(), *writing.values(), *orphans]),
        open_read_views=_number(r"(\d+) read views open", status),
        active_transactions=len(texts),
        views=views,
        writing=writing,
        listed=frozenset(owned),
        limits={thread: _number(r"trx with id >= (\d+)", text) for thread, text in with_view.items()},
        prepared=frozenset(thread for thread, text in owned.items() if _is_prepared(text)),
        orphans=orphans,
    )


def complete_mysql_status(
    status: InnodbStatus, transactions: Sequence[Transaction], now: float
) -> InnodbStatus:
    """Add the read views that MySQL's and Aurora's status does not list.

    On MySQL an open transaction that has written does not block purge, nor does a prepared one (tried on 5.7.29 and
    9.7.4: purge goes on). The status gives only the views of transactions that have written; `oldest_view` weighs which
    other transaction holds the oldest one. Purge stands where the oldest view stopped it.

    Parameters
    ----------
    status : InnodbStatus
        Result of `parse`, or `EMPTY_STATUS`.
    transactions : sequence of Transaction
        The open transactions that have a session.
    now : float
        The server's clock at the sample [s since 1970].

    Returns
    -------
    InnodbStatus
        With `chances`; `views` has the connections that hold a view with a chance of one half or more, oldest first.
    """
    began = {one.thread_id: one.view_since for one in transactions}
    unlisted = [one for one in transactions if one.thread_id not in status.listed]
    others = None if status.open_read_views is None else status.open_read_views - len(status.limits)
    found = oldest_view.chances(oldest_view.candidates(unlisted), others, now)
    oldest = _with_listed(status, {thread: one.oldest for thread, one in found.items()})
    holding = {thread for thread, one in found.items() if one.holds >= 0.5} | {*status.limits}
    ranked = sorted(holding, key=lambda thread: -oldest.get(thread, 0.0))
    front = {thread for thread in ranked if _is_tied(thread, ranked[0], status, began)}
    is_held = bool(found) if status.open_read_views is None else status.open_read_views > 0
    return status._replace(
        views={
            thread: status.purge_finished + (0 if thread in front else n) for n, thread in enumerate(ranked)
        },
        writing={},
        orphans={},
        purge_boundary=min(status.trx_counter, status.purge_finished if is_held else status.trx_counter),
        chances={thread: chance for thread, chance in oldest.items() if chance > 0},
    )


def _is_tied(thread: int, first: int, status: InnodbStatus, began: Mapping[int, float]) -> bool:
    """Return whether a view may be as old as the first one: the lists have whole seconds, the numbers a small tolerance."""
    if thread == first:
        return True
    if first in status.limits and thread in status.limits:
        return status.limits[thread] <= status.limits[first] + FRONT
    if thread in status.limits:
        return False
    earlier = began[thread] - began.get(first, 0.0)
    return earlier <= 0 if first in status.limits else earlier == 0


def _with_listed(status: InnodbStatus, unlisted: Mapping[int, float]) -> dict[int, float]:
    """Add the oldest of the listed views: it is certain where purge stopped for it, else it comes after the unlisted."""
    if not status.limits:
        return dict(unlisted)
    first = min(status.limits, key=lambda thread: status.limits[thread])
    if status.limits[first] <= status.purge_finished + FRONT:
        return {first: 1.0}
    return {**unlisted, first: max(0.0, 1 - sum(unlisted.values()))}


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise Error(f"The InnoDB status has no {pattern!r}: MariaDB 10.5+ or MySQL 5.7+ is needed.")
    return int(found[1])


def _is_prepared(text: str) -> bool:
    return "(PREPARED)" in text.split("\n", 1)[0]


def _thread(text: str) -> int:
    """Connection of a transaction; 0 if it has none, as after a crash or for a prepared XA transaction."""
    found = re.search(r"thread id (\d+)", text)
    return int(found[1]) if found else 0
