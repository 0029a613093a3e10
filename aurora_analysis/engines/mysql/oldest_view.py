"""Weigh which unlisted transaction of MySQL holds the oldest read view. Pure.

The InnoDB status of MySQL and Aurora lists only transactions that have written or locked for writing, and gives their
views. It counts all views (`N read views open`) but does not name those of transactions that only read. Such a
transaction is a candidate:

- It very probably holds a view if it has no locks: at REPEATABLE READ since its first read, otherwise while its statement
  runs.
- It rarely holds one if it has locks: SERIALIZABLE inside a transaction and FOR SHARE read without a view.

The count decides between them: none open acquits all, and as many as there are candidates convict all. The locks come
from information_schema.innodb_trx, because reading performance_schema.data_locks can stall a busy server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aurora_analysis.engines.live_evidence import SNAPSHOT_LEVELS, Transaction

Array = npt.NDArray[np.float64]

WITHOUT_LOCKS, WITH_LOCKS = 0.95, 0.1
"""Chance that a candidate holds a view, before the count of views is known."""

BRIEF_S = 1.0
"""A statement younger than this is brief: innodb_trx caches for 0.1 s, so status and list differ in brief statements."""

UNLISTED = 0.005
"""Views expected of statements that began after the list was made, besides the brief ones that it has."""

ORDERED = 0.5
"""Chance that a transaction with locks opened its view when it began, rather than at a later read."""


class Candidate(NamedTuple):
    """A transaction that may hold a view: the earliest start of the view [s since 1970], and whether it has locks."""

    thread_id: int
    since: float
    has_locks: bool

    @property
    def chance(self) -> float:
        """Chance that it holds a view, before the count of views is known."""
        return WITH_LOCKS if self.has_locks else WITHOUT_LOCKS


def candidates(transactions: Sequence[Transaction]) -> list[Candidate]:
    """Return the transactions that may hold a view, by the earliest start of the view.

    Parameters
    ----------
    transactions : sequence of Transaction
        Transactions with a session that the status does not list.

    Returns
    -------
    list of Candidate
        READ UNCOMMITTED never opens a view, READ COMMITTED only while a statement runs.
    """
    found = [
        Candidate(one.thread_id, one.view_since, one.has_locks or _reads_with_locks(one))
        for one in transactions
        if one.isolation_level != "READ UNCOMMITTED" and (one.query or one.isolation_level in SNAPSHOT_LEVELS)
    ]
    return sorted(found, key=lambda one: one.since)


def _reads_with_locks(one: Transaction) -> bool:
    """Return whether an idle transaction reads with locks: SERIALIZABLE turns its SELECTs into FOR SHARE."""
    return one.isolation_level == "SERIALIZABLE" and not one.query


class Chance(NamedTuple):
    """Chance that a transaction holds a view, and that this is the instance's oldest [0 to 1]."""

    holds: float
    oldest: float


def chances(found: Sequence[Candidate], views: int | None, now: float) -> dict[int, Chance]:
    """Weigh which candidates hold a view, and which holds the oldest; the rest to 1 is an unlisted session's.

    Parameters
    ----------
    found : sequence of Candidate
        Result of `candidates`.
    views : int or None
        Open read views of unlisted transactions; None if the server does not count them.
    now : float
        The server's clock at the sample [s since 1970].

    Returns
    -------
    dict of int to Chance
        By thread. Empty if no view is open.
    """
    if views is not None and views <= 0:
        return {}
    lasting = [one for one in found if now - one.since >= BRIEF_S]
    brief = {one.thread_id: Chance(one.chance, 0.0) for one in found if now - one.since < BRIEF_S}
    fits = _fits(len(lasting), views, len(brief) + UNLISTED)
    held = np.array([one.chance for one in lasting])
    holds = {locks: _holds(lasting, locks, fits) for locks in {one.has_locks for one in lasting}}
    oldest = _unordered(lasting, _oldest(held, fits))
    return {
        **{one.thread_id: Chance(holds[one.has_locks], each) for one, each in zip(lasting, oldest)},
        **brief,
    }


def _oldest(held: Array, fits: Array) -> list[float]:
    """Chance of each candidate that it holds a view and no earlier candidate does, given the count of views."""
    later, nobody_before = _counts_from(held), np.concatenate([[1.0], np.cumprod(1 - held)])
    weights = [
        nobody_before[n] * held[n] * float(counts @ fits[1 : 1 + len(counts)])
        for n, counts in enumerate(later[1:])
    ]
    return [float(weight / (later[0] @ fits)) for weight in weights]


def _holds(found: Sequence[Candidate], has_locks: bool, fits: Array) -> float:
    """Chance that a candidate of this kind holds a view, given the count of views."""
    one = next(n for n, each in enumerate(found) if each.has_locks == has_locks)
    held = np.array([each.chance for each in found])
    rest = _counts_from(np.delete(held, one))[0]
    weight = held[one] * float(rest @ fits[1:])
    return float(weight / (weight + (1 - held[one]) * float(rest @ fits[:-1])))


def _fits(most: int, views: int | None, brief: float) -> Array:
    """Likelihood of each number of lasting views: the rest of the count are brief, a Poisson number with mean `brief`."""
    if views is None:
        return np.ones(most + 1)
    others = views - np.arange(most + 1)
    possible = np.maximum(others, 0)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, possible.max() + 1)))])
    logs = np.where(others < 0, -np.inf, possible * np.log(brief) - factorials[possible])
    return np.asarray(np.exp(logs - logs.max()))


def _counts_from(held: Array) -> list[Array]:
    """Distribution of the number of holders among the candidates from each place on."""
    counts = [np.ones(1)]
    for chance in held[::-1]:
        counts.append(np.convolve(counts[-1], [1 - chance, chance]))
    return counts[::-1]


def _unordered(found: Sequence[Candidate], oldest: Sequence[float]) -> list[float]:
    """Share the chance of a transaction with locks with the next one without: its view may be younger than it is."""
    shared = list(oldest)
    for n, one in enumerate(found):
        following = next((m for m in range(n + 1, len(found)) if not found[m].has_locks), None)
        if one.has_locks and following is not None:
            moved = (1 - ORDERED) * shared[n]
            shared[n], shared[following] = shared[n] - moved, shared[following] + moved
    return shared
