"""Find which session holds back InnoDB purge, and whether purge is blocked. Pure.

A session holds back purge if it holds an open read view; on MariaDB also if it has written and not committed. A bare
BEGIN and a READ COMMITTED transaction between statements hold nothing back, however old they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aurora_analysis.engines.mysql import flavour
from aurora_analysis.engines.mysql.innodb_status import Transaction
from aurora_analysis.engines.mysql.live import InstanceSample


def writing_blocks(version: str) -> bool:
    """Return whether an open transaction that has written blocks purge on a server of this version: on MariaDB."""
    return flavour.of_version(version) == "mariadb"


class Holder(NamedTuple):
    """The session that holds back purge: the lowest transaction number needed, and the session if it is known.

    `number` is the transaction number it needs, `how` says why it needs it. `transaction` is None if only the
    instance is known.
    """

    instance: str
    number: int
    how: str
    transaction: Transaction | None
    is_rds: bool = False

    @property
    def kill(self) -> str | None:
        """SQL statement that ends the session, for a person to run; None if the session is unknown.

        RDS and Aurora grant nobody the right to KILL; they have a procedure instead:
        https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/mysql-stored-proc-ending.html
        """
        if self.transaction is None:
            return None
        thread = self.transaction.thread_id
        return f"CALL mysql.rds_kill({thread});" if self.is_rds else f"KILL {thread};"


def holder(samples: Sequence[InstanceSample]) -> Holder | None:
    """Find the session that holds back purge, over all instances of a cluster.

    The holder is the session that needs the lowest transaction number. If a reader reports no session, the writer of
    an Aurora cluster still knows the number of that reader's oldest view.

    Parameters
    ----------
    samples : sequence of InstanceSample
        One sample of each instance, taken at the same moment.

    Returns
    -------
    Holder or None
        None if no session needs a number below the writer's transaction counter.
    """
    counter = max(
        (one.innodb.trx_counter for one in samples if one.innodb and one.role == "writer"), default=0
    )
    from_writer = {
        replica.instance: replica.oldest_read_view_trx_id for one in samples for replica in one.replicas
    }
    found = [*_sessions(samples, from_writer), *_replicas_without_session(samples)]
    return min((one for one in found if one.number < counter), key=lambda one: one.number, default=None)


def _sessions(samples: Sequence[InstanceSample], from_writer: Mapping[str, int]) -> list[Holder]:
    """The oldest view and the oldest writing transaction of each instance, as its own status lists them."""
    return [
        Holder(
            one.instance, from_writer.get(one.instance, number), how, _transaction(one, thread), one.is_rds
        )
        for one in samples
        if one.innodb and (one.has_comparable_trx_ids or one.instance in from_writer)
        for how, held in (("holds a read view", one.innodb.views), ("has written", one.innodb.writing))
        for thread, number in sorted(held.items(), key=lambda item: item[1])[:1]
    ]


def _replicas_without_session(samples: Sequence[InstanceSample]) -> list[Holder]:
    """Readers whose oldest view only the writer reports."""
    with_views = {one.instance for one in samples if one.innodb and one.innodb.views}
    return [
        Holder(replica.instance, replica.oldest_read_view_trx_id, "holds a read view", None)
        for one in samples
        for replica in one.replicas
        if replica.instance not in with_views and not (replica.role == "writer" and one.innodb)
    ]


def _transaction(sample: InstanceSample, thread: int) -> Transaction | None:
    return next((one for one in sample.transactions or () if one.thread_id == thread), None)


def boundary(samples: Sequence[InstanceSample]) -> int | None:
    """Transaction number that purge may not pass, over all instances; None if the writer is missing."""
    numbers = [one.innodb.purge_boundary for one in samples if one.innodb and one.role == "writer"]
    if not numbers:
        return None
    first = holder(samples)
    return min([*numbers, *([first.number] if first else [])])


def writer(samples: Sequence[InstanceSample]) -> InstanceSample | None:
    """The writer's sample; None if the writer did not answer or its InnoDB status is missing."""
    return next((one for one in samples if one.role == "writer" and one.innodb), None)


def state(before: Sequence[InstanceSample], now: Sequence[InstanceSample]) -> str:
    """Compare two consecutive samples of a cluster: is purge blocked?

    Returns
    -------
    str
        `blocked`: the boundary stood still while transactions went on, and a session holds it.
        `outrun`: the boundary moves, purge trails it, and the history list grows.
        `keeps up`: neither. `idle`: nothing was written between the samples.
        `unknown`: a sample of the writer is missing, or the writer changed.
    """
    first, second = writer(before), writer(now)
    if first is None or second is None or first.innodb is None or second.innodb is None:
        return "unknown"
    if first.instance != second.instance:
        return "unknown"
    if second.innodb.trx_counter == first.innodb.trx_counter:
        return "idle"
    limit = boundary(before)
    if boundary(now) == limit and holder(now) is not None:
        return "blocked"
    grew = second.innodb.history_list_length > first.innodb.history_list_length
    trails = limit is not None and second.innodb.purge_finished < limit
    return "outrun" if grew and trails else "keeps up"
