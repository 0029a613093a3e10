"""Find which session holds back InnoDB purge, and whether purge is blocked. Pure.

A session holds back purge if it holds an open read view; on MariaDB also if it has written and not committed. A bare
BEGIN and a READ COMMITTED transaction between statements hold nothing back, however old they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aurora_analysis.engines.live_evidence import Holder, Transaction
from aurora_analysis.engines.mysql import flavour
from aurora_analysis.engines.mysql.live import InstanceSample


def writing_blocks(version: str) -> bool:
    """Return whether an open transaction that has written blocks purge on a server of this version: on MariaDB."""
    return flavour.of_version(version) == "mariadb"


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
        _held_by(one, thread, from_writer.get(one.instance, number), how)
        for one in samples
        if one.innodb and (one.has_comparable_trx_ids or one.instance in from_writer)
        for how, held in (("holds a read view", one.innodb.views), ("has written", one.innodb.writing))
        for thread, number in sorted(held.items(), key=lambda item: item[1])[:1]
    ]


def _held_by(sample: InstanceSample, thread: int, number: int, how: str) -> Holder:
    transaction = _transaction(sample, thread)
    return Holder(sample.instance, number, how, transaction, transaction and _kill(thread, sample.is_rds))


def _kill(thread: int, is_rds: bool) -> str:
    """Return the statement that ends a session.

    RDS and Aurora grant nobody the right to KILL; they have a procedure instead:
    https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/mysql-stored-proc-ending.html
    """
    return f"CALL mysql.rds_kill({thread});" if is_rds else f"KILL {thread};"


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


# What a sample has of purge


CLEANUP, BACKLOG = "purge", "history list"
"""The engine's words for cleanup, and for what waits for it."""

METRICS = ("history_list_length", "trx_counter", "purge_finished", "open_read_views", "active_transactions")


def backlog(sample: InstanceSample) -> int | None:
    """Return the history list length [transactions]; None if the status is missing."""
    return sample.innodb.history_list_length if sample.innodb else None


def progress(sample: InstanceSample) -> int | None:
    """Return the transaction number up to which the instance has purged; None if the status is missing."""
    return sample.innodb.purge_finished if sample.innodb else None


def metrics(samples: Sequence[InstanceSample]) -> dict[str, float]:
    """Return the writer's values by our metric's name; empty if its InnoDB status is missing."""
    found = writer(samples)
    if found is None or found.innodb is None:
        return {}
    values = {name: float(getattr(found.innodb, name)) for name in METRICS}
    return values | {"purge_boundary": float(boundary(samples) or 0)}


def views(sample: InstanceSample) -> Mapping[int, int] | None:
    """Map each session that holds a read view to its transaction number; None if the status is missing."""
    return sample.innodb.views if sample.innodb else None


def oldest_views(sample: InstanceSample) -> list[tuple[str, str, int, float | None]]:
    """Return the oldest read view of each instance that a sample reports: instance, role, number, lag [ms].

    The writer of an Aurora cluster reports those of its readers; otherwise a status has those of its own server.
    """
    found = [
        (one.instance, one.role, one.oldest_read_view_trx_id, one.replica_lag_ms) for one in sample.replicas
    ]
    reported = {instance for instance, *_ in found}
    if sample.innodb and sample.has_comparable_trx_ids and sample.instance not in reported:
        oldest = min(sample.innodb.views.values(), default=sample.innodb.trx_counter)
        found.append((sample.instance, sample.role, oldest, None))
    return found
