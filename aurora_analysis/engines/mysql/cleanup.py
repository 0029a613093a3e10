"""Find which session holds back InnoDB purge, and whether purge is blocked. Pure.

A session holds back purge if it holds an open read view; on MariaDB also if its transaction has a number, because it has
written or locked for writing, and then even without a session, as a prepared XA transaction. A bare BEGIN and a READ
COMMITTED transaction between statements hold nothing back, however old they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aurora_analysis.engines.live_evidence import Holder, Transaction
from aurora_analysis.engines.mysql import flavour
from aurora_analysis.engines.mysql.innodb_status import InnodbStatus
from aurora_analysis.engines.mysql.live import InstanceSample
from aurora_analysis.engines.vocabulary import Words
from aurora_analysis.tables import Needer

HOLDS_VIEW = "holds a read view"


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
        With its confidence and rivals, and with all that are tied. None if no session needs a number below the writer's
        transaction counter.
    """
    counter = max(
        (one.innodb.trx_counter for one in samples if one.innodb and one.role == "writer"), default=0
    )
    from_writer = {
        replica.instance: replica.oldest_read_view_trx_id
        for one in samples
        for replica in one.replicas
        if replica.oldest_read_view_trx_id is not None and not (replica.role == "writer" and one.innodb)
    }
    found = _sessions(samples, from_writer)
    shown = {one.instance for one in found}
    found += [
        Holder(instance, number, HOLDS_VIEW, None)  # only the writer reports that reader's oldest view
        for instance, number in from_writer.items()
        if instance not in shown
    ]
    waiting = [one for one in found if one.number < counter]
    lowest = min((one.number for one in waiting), default=counter)
    needing = [one for one in waiting if one.number == lowest]
    return needing[0]._replace(tied=(*needing[0].tied, *needing[1:])) if needing else None


def _sessions(samples: Sequence[InstanceSample], from_writer: Mapping[str, int]) -> list[Holder]:
    """Return the holders of purge on each instance that a status shows."""
    found: list[Holder] = []
    for one in samples:
        if one.innodb is None or not (one.has_comparable_trx_ids or one.instance in from_writer):
            continue
        if one.innodb.chances is None:
            found += _by_number(one, one.innodb)
        elif one.innodb.purge_boundary < one.innodb.trx_counter or one.innodb.chances:
            number = from_writer.get(one.instance, one.innodb.purge_boundary)
            found.append(_by_chance(one, one.innodb, one.innodb.chances, number))
    return found


def _by_number(sample: InstanceSample, status: InnodbStatus) -> list[Holder]:
    """The transactions that need a server's lowest number: the server shows the number of each (MariaDB)."""
    numbers = [*status.views.values(), *status.writing.values(), *status.orphans]
    lowest = min(numbers, default=0)
    threads = sorted(
        {
            thread
            for held in (status.views, status.writing)
            for thread, number in held.items()
            if number == lowest
        }
    )
    return [
        *(_held_by(sample, thread, lowest, _how(sample, status, thread)) for thread in threads),
        *(_orphan(sample, number, status.orphans[number]) for number in status.orphans if number == lowest),
    ]


def _how(sample: InstanceSample, status: InnodbStatus, thread: int) -> str:
    transaction = _transaction(sample, thread)
    wrote = (
        "has written"
        if transaction is None or transaction.rows_modified
        else "has a transaction open for writing"
    )
    if thread in status.prepared:
        wrote = "is a prepared XA transaction"
    if thread not in status.writing:
        return HOLDS_VIEW
    return f"{wrote} and {HOLDS_VIEW}" if thread in status.views else wrote


def _by_chance(
    sample: InstanceSample, status: InnodbStatus, chances: Mapping[int, float], number: int
) -> Holder:
    """The likeliest holder of an instance's oldest view, which the server does not show (MySQL)."""
    ranked = sorted(chances, key=lambda thread: -chances[thread])
    unidentified = Holder(
        sample.instance, number, HOLDS_VIEW, None, confidence=max(0.0, 1 - sum(chances.values()))
    )
    named = [_held_by(sample, thread, number, HOLDS_VIEW, chances[thread]) for thread in ranked]
    first, *rivals = sorted([*named, unidentified], key=lambda one: -one.confidence)
    thread = first.transaction.thread_id if first.transaction else 0
    tied = [one for one in status.views if one != thread and status.views[one] == status.views.get(thread)]
    return first._replace(
        rivals=tuple(one for one in rivals if one.confidence > 0),
        tied=tuple(_held_by(sample, one, number, HOLDS_VIEW) for one in tied),
    )


def _held_by(sample: InstanceSample, thread: int, number: int, how: str, confidence: float = 1.0) -> Holder:
    transaction = _transaction(sample, thread)
    kill = transaction and _kill(thread, sample.is_rds)
    if kill and sample.innodb and thread in sample.innodb.prepared:
        kill = f"{kill} {_roll_back(sample.prepared)}"
    return Holder(sample.instance, number, how, transaction, kill, confidence=confidence)


def _orphan(sample: InstanceSample, number: int, is_prepared: bool) -> Holder:
    """A transaction without a session: prepared, or recovered after a crash and being rolled back.

    The server does not show which number belongs to which XID, so several prepared ones are equally likely.
    """
    transaction = next((one for one in sample.orphans if one.number == number), None)
    recovered = "a transaction recovered after a crash, which the server itself rolls back"
    holder = Holder(sample.instance, number, "has written", transaction, None, name=recovered)
    if not is_prepared:
        return holder
    if not sample.prepared:
        return holder._replace(name="a prepared XA transaction (XA RECOVER lists the XIDs)")
    first, *rivals = [
        holder._replace(
            name=f"the prepared XA transaction {xid}",
            kill=f"XA ROLLBACK {xid};",
            confidence=1 / len(sample.prepared),
        )
        for xid in sample.prepared
    ]
    return first._replace(rivals=tuple(rivals))


def _roll_back(prepared: Sequence[str]) -> str:
    """The statement that ends a prepared XA transaction once its session is gone."""
    return f"XA ROLLBACK {prepared[0]};" if len(prepared) == 1 else "XA RECOVER; then XA ROLLBACK of its XID"


def _kill(thread: int, is_rds: bool) -> str:
    """Return the statement that ends a session.

    RDS and Aurora grant nobody the right to KILL; they have a procedure instead:
    https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/mysql-stored-proc-ending.html
    """
    return f"CALL mysql.rds_kill({thread});" if is_rds else f"KILL {thread};"


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


def counter(samples: Sequence[InstanceSample]) -> int | None:
    """Return the writer's next transaction number; None if its status is missing."""
    found = writer(samples)
    return found.innodb.trx_counter if found and found.innodb else None


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


WORDS = Words(
    cleanup="purge",
    backlog="history list",
    delay="history list",
    delay_metric="history_list_length",
    view="read view",
    log_limit="long_query_time",
    time_limit="max_execution_time",
    log_bytes="log_slow_extra",
)

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
    numbers = {name: getattr(found.innodb, name) for name in METRICS}
    values = {name: float(number) for name, number in numbers.items() if number is not None}
    return values | {"purge_boundary": float(boundary(samples) or 0)}


def views(sample: InstanceSample) -> Mapping[int, int] | None:
    """Map each session that holds a read view to its transaction number; None if the status is missing."""
    return sample.innodb.views if sample.innodb else None


def instance_metrics(sample: InstanceSample) -> dict[str, float]:
    """Return the values of one instance, writer or reader, by our metric's name."""
    return {} if sample.transactions is None else {"active_transactions": float(len(sample.transactions))}


def oldest_views(sample: InstanceSample) -> list[tuple[str, str, str, int | None, float | None]]:
    """Return the oldest read view of each instance that a sample reports: instance, role, holder, number, lag [ms].

    The writer of an Aurora cluster reports those of its readers; otherwise a status has those of its own server.
    """
    found: list[tuple[str, str, str, int | None, float | None]] = [
        (one.instance, one.role, Needer.SESSION, one.oldest_read_view_trx_id, one.replica_lag_ms)
        for one in sample.replicas
    ]
    reported = {instance for instance, *_ in found}
    if sample.innodb and sample.has_comparable_trx_ids and sample.instance not in reported:
        oldest = min(sample.innodb.views.values(), default=sample.innodb.trx_counter)
        found.append((sample.instance, sample.role, Needer.SESSION, oldest, None))
    return found


def relations(sample: InstanceSample) -> list[tuple[object, ...]]:
    """Return no rows: InnoDB counts row versions that wait for purge in one history list, not by table."""
    return []
