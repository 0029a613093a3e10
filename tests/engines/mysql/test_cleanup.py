"""The session that holds back purge, and the state of purge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aurora_analysis.engines.mysql import cleanup, innodb_status
from aurora_analysis.engines.mysql.innodb_status import InnodbStatus, Transaction
from aurora_analysis.engines.mysql.live import InstanceSample
from aurora_analysis.engines.mysql.live_rows import Replica
from aurora_analysis.live import status
from aurora_analysis.live.status import Sample

IDLE = Transaction(7, "etl", "10.0.0.7:4711", "Sleep", 1_000.0, "REPEATABLE READ", 0, None)
OLDER = Transaction(6, "bi", "10.0.0.8:4712", "Sleep", 100.0, "READ COMMITTED", 0, None)


def sampled(
    instance: str = "db-1",
    role: str = "writer",
    *transactions: Transaction,
    views: dict[int, int] | None = None,
    writing: dict[int, int] | None = None,
    replicas: list[Replica] | None = None,
) -> InstanceSample:
    held = {**(views or {}), **(writing or {})}
    innodb = InnodbStatus(
        50, 900, 400, min([900, *held.values()]), len(views or {}), 2, views or {}, writing or {}
    )
    return InstanceSample(0.0, instance, role, "8.0", {}, innodb, list(transactions), replicas or [])


def test_the_holder_has_the_lowest_number_not_the_oldest_transaction():
    """The older transaction has no view and has written nothing."""
    found = cleanup.holder([sampled("db-1", "writer", OLDER, IDLE, views={7: 500})])
    assert (found.instance, found.number, found.transaction) == ("db-1", 500, IDLE)


def test_a_readers_view_holds_back_the_writers_purge():
    """Numbers are compared across instances, because they share one undo log."""
    samples = [sampled("db-1", views={9: 700}), sampled("db-2", "reader", IDLE, views={7: 500})]
    assert cleanup.holder(samples).instance == "db-2"
    assert cleanup.boundary(samples) == 500


def test_a_transaction_that_has_written_holds_without_a_view():
    """Purge may not pass its own number, also if it only locked rows for writing."""
    wrote = OLDER._replace(rows_modified=1)
    assert cleanup.holder([sampled("db-1", "writer", wrote, writing={6: 300})]).how == "has written"
    locked = cleanup.holder([sampled("db-1", "writer", OLDER, writing={6: 300})])
    assert locked.how == "has a transaction open for writing"


def test_an_unwatched_reader_is_named_from_the_writers_table():
    """ro_replica_status has the instance, but not the session."""
    found = cleanup.holder([sampled(replicas=[Replica("db-3", "reader", 450, 12.0)])])
    assert (found.instance, found.number, found.transaction) == ("db-3", 450, None)


def test_a_reader_without_views_in_its_status_is_named_from_the_writers_table():
    """For the writer itself its own status counts, not the table."""
    from_writer = [Replica("db-1", "writer", 300, None), Replica("db-2", "reader", 450, 12.0)]
    found = cleanup.holder([sampled(replicas=from_writer), sampled("db-2", "reader", IDLE)])
    assert (found.instance, found.number, found.transaction) == ("db-2", 450, None)
    named = cleanup.holder([sampled(replicas=from_writer), sampled("db-2", "reader", IDLE, views={7: 460})])
    assert named.transaction == IDLE


def test_a_session_that_began_after_purge_stopped_is_not_the_holder():
    """A younger view cannot have stopped purge; the session that did is unidentified."""
    young = IDLE._replace(started_at=1_030.0)
    samples = [
        Sample(at, [sampled("db-1", "writer", young, views={7: 500})._replace(counters={"uptime": at})])
        for at in (1_000, 1_010, 1_020, 1_030)
    ]
    grown = [
        replace(
            one,
            instances=[
                one.instances[0]._replace(innodb=one.instances[0].innodb._replace(trx_counter=900 + n))
            ],
        )
        for n, one in enumerate(samples)
    ]
    now = status.purge_status(grown)
    assert (now.state, now.holder.instance, now.holder.transaction) == ("blocked", "db-1", None)
    assert "an unidentified session on db-1" in status.line(now)
    ahead = [replace(one, instances=[one.instances[0]._replace(clock_ahead_s=30.0)]) for one in grown]
    assert (
        status.purge_status(ahead).holder.transaction == young
    )  # by the server's own clock it is old enough


def test_an_aurora_reader_gets_its_number_from_the_writer():
    """Its own numbers cannot be compared; without the writer's number no holder is named."""
    status_of_reader = innodb_status.complete_mysql_status(
        innodb_status.EMPTY_STATUS, [OLDER, IDLE], now=2_000.0
    )
    reader = sampled("db-2", "reader", OLDER, IDLE)._replace(innodb=status_of_reader, is_mysql=True)
    assert cleanup.holder([sampled(), reader]) is None
    found = cleanup.holder([sampled(replicas=[Replica("db-2", "reader", 450, 12.0)]), reader])
    assert (found.instance, found.number, found.transaction) == ("db-2", 450, IDLE)
    assert cleanup.holder([sampled(replicas=[Replica("db-2", "reader", None, 12.0)]), reader]) is None


SHARING = IDLE._replace(thread_id=5, started_at=900.0, has_locks=True)


@pytest.mark.parametrize(
    ("views", "transactions", "named", "says"),
    [
        (0, [SHARING, IDLE], None, ""),
        (1, [SHARING, IDLE], 7, "session 7 on"),
        (2, [SHARING, IDLE], 7, "cannot decide: session 7"),
        (None, [SHARING, IDLE], 7, "probably (0.91) session 7"),
        (1, [SHARING], 5, "session 5 on"),
        (1, [OLDER], None, "an unidentified session on"),
    ],
)
def test_the_count_of_views_bounds_the_holders_on_mysql(views, transactions, named, says):
    """Sessions without locks come first; nobody is named alone where the count leaves two explanations."""
    samples = []
    for at, counter in ((2_000, 900), (2_010, 950)):
        parsed = InnodbStatus(50, counter, 400, counter, views, 2, {}, {})
        completed = innodb_status.complete_mysql_status(parsed, transactions, now=at)
        one = sampled("db-1", "writer", *transactions)._replace(innodb=completed, is_mysql=True)
        samples.append(Sample(at, [one]))
    found = cleanup.holder(samples[-1].instances)
    assert (found and found.transaction and found.transaction.thread_id) == named
    shown = status.line(status.purge_status(samples))
    assert says in shown and ("held by" in shown) == bool(says)
    assert ("KILL" in shown) == says.startswith(("session", "probably"))


def test_a_prepared_transaction_without_a_session_is_named_by_its_xid():
    """Of several nobody can be named alone: the server does not show whose number it is."""
    orphan = IDLE._replace(thread_id=0, number=300)
    one = sampled()._replace(orphans=[orphan], prepared=["'g1'"])
    one = one._replace(innodb=one.innodb._replace(orphans={300: True}))
    found = cleanup.holder([one])
    assert (found.name, found.kill) == ("the prepared XA transaction 'g1'", "XA ROLLBACK 'g1';")
    assert found.transaction == orphan
    assert cleanup.holder([one._replace(prepared=["'g1'", "'g2'"])]).confidence == 0.5
    recovered = one._replace(innodb=one.innodb._replace(orphans={300: False}))
    assert "recovered after a crash" in cleanup.holder([recovered]).name


@pytest.mark.parametrize(("is_rds", "statement"), [(True, "CALL mysql.rds_kill(7);"), (False, "KILL 7;")])
def test_the_statement_that_ends_the_holder(is_rds, statement):
    """RDS and Aurora have a procedure in place of KILL."""
    sample = sampled("db-1", "writer", IDLE, views={7: 500})._replace(is_rds=is_rds)
    assert cleanup.holder([sample]).kill == statement


def test_there_is_no_holder_if_purge_may_reach_the_counter():
    """A view that needs nothing older holds nothing back."""
    assert cleanup.holder([sampled()]) is None
    assert cleanup.holder([sampled(views={7: 900})]) is None
