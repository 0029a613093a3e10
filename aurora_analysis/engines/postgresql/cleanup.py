"""Find which session holds the xmin horizon, and whether vacuum is blocked. Pure.

Vacuum removes no row version that a snapshot may still need. The oldest transaction id that anything in the cluster needs
is the xmin horizon. It may be held by

- a snapshot on a reader, of any database, which the reader reports by hot_standby_feedback (on Aurora always);
- a snapshot or a writing transaction on the writer, for tables of the same database;
- a prepared transaction, for tables of the same database;
- a replication slot, for tables of all databases, unless it keeps system catalogues only.

An idle READ COMMITTED transaction that has only read holds nothing, unless it has an open cursor.
https://www.postgresql.org/docs/current/routine-vacuuming.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from aurora_analysis.engines.live_evidence import Holder, Transaction
from aurora_analysis.engines.postgresql.live import Feedback, InstanceSample, Relation, Slot
from aurora_analysis.engines.vocabulary import Words
from aurora_analysis.tables import Needer

FEEDBACK_S = 15.0
"""A reader's report that stands still for less [s] may be its last one: it reports every 10 s by default."""

PHYSICAL = "physical"

IDLE = "idle in transaction"
"""Start of the state of a session that has an open transaction and runs nothing."""

OLDEST_DATABASE = "oldest_database_age"

OVERDUE = 3
"""Vacuum trails a table that has so many times the dead rows at which autovacuum is due …"""

OVERDUE_S = 120
"""… and whose last vacuum ended so long ago [s]: two rounds of autovacuum at its default of 60 s."""


def writing_blocks(version: str) -> bool:
    """Return whether an open transaction that has written blocks vacuum on a server of this version: it always does."""
    return True


def holder(samples: Sequence[InstanceSample]) -> Holder | None:
    """Find the session that holds the horizon of the writer's database, over all instances of a cluster.

    Parameters
    ----------
    samples : sequence of InstanceSample
        One sample of each instance, taken at the same moment.

    Returns
    -------
    Holder or None
        The one that began first, with all that need the same transaction id as `tied`: vacuum goes on only after all of
        them have ended. None if nothing needs an id below the writer's next one.
    """
    one = writer(samples)
    if one is None:
        return None
    found = [*_on_writer(one), *_on_readers(one, samples), *_slots(one)]
    holding = [each for each in found if each.number < one.next_xid]
    if not holding:
        return None
    lowest = min(each.number for each in holding)
    first, *tied = sorted((each for each in holding if each.number == lowest), key=_began)
    return first._replace(tied=tuple(tied))


def holds(role: str, database: str | None, harmed: str | None) -> bool:
    """Return whether a snapshot keeps dead rows of a database of the writer: one on a reader does, of whatever database.

    On the writer it keeps those of its own database only; a background process without a database keeps those of all.

    >>> holds("reader", "other", "shop"), holds("writer", "other", "shop")
    (True, False)
    """
    return role == "reader" or harmed is None or database in {harmed, None}


def _began(one: Holder) -> float:
    began = one.transaction.started_at if one.transaction else one.since
    return math.inf if began is None else began


def _on_writer(one: InstanceSample) -> Iterator[Holder]:
    """Sessions and prepared transactions of the writer, which hold rows of their own database only."""
    for transaction in one.transactions or ():
        if transaction.needs is not None and holds("writer", transaction.database, one.database):
            how = "has written" if transaction.has_written else "holds a snapshot"
            yield Holder(one.instance, transaction.needs, how, transaction, _terminate(transaction))
    for prepared in one.prepared or ():
        if prepared.database == one.database:
            end = f"ROLLBACK PREPARED {_quoted(prepared.gid)};"
            name = f"a prepared transaction ({_quoted(prepared.gid)} of {prepared.owner})"
            yield Holder(
                one.instance, prepared.xid, "has written", None, end, name=name, since=prepared.since
            )


def _on_readers(one: InstanceSample, samples: Sequence[InstanceSample]) -> Iterator[Holder]:
    """The session of each reader whose snapshot is the one that the reader reports.

    A reader that is sampled and has no such session holds nothing: its report is about to change. A reader that is not
    sampled holds the horizon if its report stands still.
    """
    readers = [each for each in samples if each.role == "reader" and each.transactions is not None]
    sessions = [
        (each, held) for each in readers for held in each.transactions or () if held.needs is not None
    ]
    reports, sampled = one.feedback or (), {each.instance for each in readers}
    known = sampled & {report.instance for report in reports}
    for report in reports:
        # Another reader may need the same id by chance, also one that reports nothing and so holds nothing.
        own = {report.instance} if report.instance in known else sampled - known - one.silent_readers
        matching = [
            (each, held) for each, held in sessions if each.instance in own and held.needs == report.xmin
        ]
        for reader, held in matching:
            yield Holder(reader.instance, report.xmin, "holds a snapshot", held, _terminate(held))
        if not matching and not _is_sampled(report, readers, one) and one.time - report.since >= FEEDBACK_S:
            yield Holder(report.instance, report.xmin, "holds a snapshot", None, since=report.since)


def _is_sampled(report: Feedback, readers: Sequence[InstanceSample], one: InstanceSample) -> bool:
    """Return whether the reader of a report is sampled: by its name, or because every reader is."""
    return any(each.instance == report.instance for each in readers) or len(readers) >= len(
        one.feedback or ()
    )


def _slots(one: InstanceSample) -> Iterator[Holder]:
    """Slots without a connected reader; the report of a connected one is followed to its session."""
    for slot in one.slots or ():
        if slot.xmin is not None and not _follows_reader(slot):
            state = "active" if slot.is_active else "inactive"
            end = f"SELECT pg_drop_replication_slot({_quoted(slot.name)});"
            name = f"the {state} {slot.kind} replication slot {_quoted(slot.name)}"
            yield Holder(one.instance, slot.xmin, "keeps row versions for its consumer", None, end, name=name)


def _follows_reader(slot: Slot) -> bool:
    """Return whether the slot keeps what a connected reader reports."""
    return slot.is_active and slot.kind == PHYSICAL


def _terminate(one: Transaction) -> str:
    """Return the statement that ends a session: on RDS and Aurora, rds_superuser may run it."""
    return f"SELECT pg_terminate_backend({one.thread_id});"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def boundary(samples: Sequence[InstanceSample]) -> int | None:
    """Oldest transaction id that vacuum must spare in the writer's database; None if the writer is missing."""
    one = writer(samples)
    if one is None:
        return None
    first = holder(samples)
    return first.number if first else one.next_xid


def writer(samples: Sequence[InstanceSample]) -> InstanceSample | None:
    """The writer's sample; None if the writer did not answer, or if two servers say that they are the writer.

    Two writers are two clusters: after a promotion the old primary goes on by itself.
    """
    found = [one for one in samples if one.role == "writer"]
    return found[0] if len(found) == 1 else None


def counter(samples: Sequence[InstanceSample]) -> int | None:
    """Return the writer's next transaction id; None if the writer is missing."""
    found = writer(samples)
    return found.next_xid if found else None


def state(before: Sequence[InstanceSample], now: Sequence[InstanceSample]) -> str:
    """Compare two consecutive samples of a cluster: is vacuum blocked?

    Returns
    -------
    str
        `blocked`: the horizon stood still while transactions went on, and something holds it.
        `outrun`: nothing holds it, and some table is overdue for vacuum: see `OVERDUE`.
        `keeps up`: neither. `idle`: nothing was written between the samples.
        `unknown`: a sample of the writer is missing, the writer changed, or its sessions may not be read; or a
        reader no longer answers.
    """
    first, second = writer(before), writer(now)
    if first is None or second is None or first.instance != second.instance:
        return "unknown"
    if second.next_xid == first.next_xid:
        return "idle"
    held = holder(now)
    is_blocked = held is not None and _stood_still(held, before, first)
    unread = second.transactions is None or second.feedback is None or _readers(before) - _readers(now)
    return state_of(is_blocked, None if unread else any_overdue(second.relations))


def state_of(is_blocked: bool, is_overdue: bool | None) -> str:
    """Judge vacuum, for `watch` and for a recorded window: `blocked`, `outrun`, `keeps up` or `unknown`.

    `is_blocked`: something holds the horizon, which stands still. `is_overdue`: some table is overdue for vacuum; None
    if tables or sessions are unknown.

    >>> state_of(True, None), state_of(False, None), state_of(False, True)
    ('blocked', 'unknown', 'outrun')
    """
    if is_blocked:
        return "blocked"
    if is_overdue is None:
        return "unknown"
    return "outrun" if is_overdue else "keeps up"


def any_overdue(relations: Sequence[Relation] | None) -> bool | None:
    """Return whether vacuum trails any of the tables; None if they may not be read."""
    if relations is None:
        return None
    return any(is_overdue(one.dead_rows, one.vacuum_at, one.vacuumed_s_ago) for one in relations)


def is_overdue(dead_rows: float, vacuum_at: float, vacuumed_s_ago: float) -> bool:
    """Return whether vacuum trails a table: see `OVERDUE`.

    >>> is_overdue(151, 50, 999), is_overdue(151, 50, 9)
    (True, False)
    """
    return dead_rows > OVERDUE * vacuum_at and vacuumed_s_ago > OVERDUE_S


def _stood_still(held: Holder, before: Sequence[InstanceSample], first: InstanceSample) -> bool:
    """Return whether the horizon was the same before; a holder on an instance that had no sample yet is judged by its id."""
    is_new = held.instance not in {one.instance for one in before}
    return boundary(before) == held.number or (is_new and held.number < first.next_xid)


def _readers(samples: Sequence[InstanceSample]) -> set[str]:
    """Readers whose sessions are known."""
    return {one.instance for one in samples if one.role == "reader" and one.transactions is not None}


# What a sample has of vacuum

WORDS = Words(
    cleanup="vacuum",
    backlog="dead rows",
    delay="age of the xmin horizon",
    delay_metric="xmin_horizon_age",
    view="snapshot",
    log_limit="log_min_duration_statement",
    time_limit="statement_timeout",
    log_bytes="",
)


def backlog(sample: InstanceSample) -> int | None:
    """Return the dead rows of the database's tables; None if they may not be read."""
    return None if sample.relations is None else sum(one.dead_rows for one in sample.relations)


def progress(sample: InstanceSample) -> int | None:
    """Return the transaction id up to which vacuum may remove row versions, as far as the writer shows it."""
    return boundary([sample])


def metrics(samples: Sequence[InstanceSample]) -> dict[str, float]:
    """Return the writer's values by our metric's name; empty if the writer is missing."""
    one = writer(samples)
    if one is None:
        return {}
    held = boundary(samples) or one.next_xid
    found = {
        "next_transaction_id": float(one.next_xid),
        "xmin_horizon": float(held),
        "xmin_horizon_age": float(one.next_xid - held),
    }
    if OLDEST_DATABASE in one.counters:
        found[OLDEST_DATABASE] = float(one.counters[OLDEST_DATABASE])
    for name, numbers in _needed(one).items():
        if numbers is not None:
            found[name] = float(one.next_xid - min([*numbers, one.next_xid]))
    dead = backlog(one)
    if dead is not None:
        found["dead_rows"] = float(dead)
    return found


def _needed(one: InstanceSample) -> dict[str, list[int] | None]:
    """Transaction ids that each kind of holder needs, by our metric of their age; None if they may not be read."""
    return {
        "xmin_age_readers": _known(one.feedback, lambda each: each.xmin),
        "xmin_age_writer": _known(
            one.transactions, lambda each: each.needs if each.database == one.database else None
        ),
        "xmin_age_prepared": _known(one.prepared, lambda each: each.xid),
        "xmin_age_slots": _known(one.slots, lambda each: None if _follows_reader(each) else each.xmin),
    }


T = TypeVar("T")


def _known(found: Sequence[T] | None, number: Callable[[T], int | None]) -> list[int] | None:
    return None if found is None else [one for each in found if (one := number(each)) is not None]


def views(sample: InstanceSample) -> Mapping[int, int] | None:
    """Map each session that holds a snapshot to its transaction id; None if sessions may not be read."""
    if sample.transactions is None:
        return None
    return {one.thread_id: one.needs for one in sample.transactions if one.needs is not None}


def instance_metrics(sample: InstanceSample) -> dict[str, float]:
    """Return the values of one instance, writer or reader, by our metric's name; empty if sessions may not be read."""
    if sample.transactions is None:
        return {}
    now = sample.time + sample.clock_ahead_s
    idle = [now - one.since for one in sample.transactions if one.since and one.command.startswith(IDLE)]
    return {
        "active_transactions": float(len(sample.transactions)),
        "oldest_idle_transaction_age": max(0.0, *idle) if idle else 0.0,
    }


def oldest_views(sample: InstanceSample) -> list[tuple[str, str, str, int, float | None]]:
    """Return the oldest transaction id that each kind of holder of a sample needs.

    The writer reports those of its readers beside its own, and those of its prepared transactions and slots.

    Returns
    -------
    list of tuple
        Instance, role, holder, transaction id, lag [ms].
    """
    one, own = (sample.instance, sample.role), min((views(sample) or {}).values(), default=sample.next_xid)
    found: list[tuple[str, str, str, int, float | None]] = [(*one, Needer.SESSION, own, None)]
    for report in sample.feedback or ():
        found.append((report.instance, "reader", Needer.REPORT, report.xmin, report.replica_lag_ms))
    kept = {
        Needer.PREPARED: [each.xid for each in sample.prepared or ()],
        Needer.SLOT: [each.xmin for each in sample.slots or () if each.xmin is not None],
    }
    return found + [(*one, needer, min(ids), None) for needer, ids in kept.items() if ids]


def relations(sample: InstanceSample) -> list[tuple[object, ...]]:
    """Return the tables with the most dead rows, as rows of the table `relations` from `database` on."""
    return [
        (
            sample.database,
            one.name,
            one.dead_rows,
            one.rows_changed,
            one.rows_updated_hot / one.rows_updated if one.rows_updated else None,
            one.vacuums,
            one.bytes,
            one.vacuum_at,
            one.vacuumed_s_ago,
        )
        for one in sample.relations or ()
    ]
