"""Who holds the xmin horizon, of every kind of holder, and who only looks like it."""

from __future__ import annotations

from typing import Any

import pytest

from aurora_analysis.engines.live_evidence import Transaction
from aurora_analysis.engines.postgresql import cleanup
from aurora_analysis.engines.postgresql.live import (
    Feedback,
    InstanceSample,
    Prepared,
    Relation,
    Slot,
    full_xid,
)
from aurora_analysis.live import status
from aurora_analysis.live.status import Sample

NEXT = 10_000


def session(pid: int, needs: int | None, database: str = "shop", **others: Any) -> Transaction:
    """An idle transaction that began `pid` seconds after 1970."""
    idle = Transaction(pid, "etl", "10.0.0.7", "idle in transaction", float(pid), "", None, None)
    return idle._replace(needs=needs, database=database, **others)


def primary(*sessions: Transaction, time: float = 100.0, **others: Any) -> InstanceSample:
    """The writer, connected to the database `shop`."""
    empty = {"feedback": [], "prepared": [], "slots": [], "relations": []}
    return InstanceSample(
        time, "w", "writer", "15.18", {}, list(sessions), NEXT, "shop", **{**empty, **others}
    )


def reader(*sessions: Transaction, name: str = "r") -> InstanceSample:
    return InstanceSample(100.0, name, "reader", "15.18", {}, list(sessions), NEXT, "shop")


def reports(xmin: int, name: str = "r", since: float = 100.0) -> Feedback:
    return Feedback(name, xmin, 1.0, since)


def named(*samples: InstanceSample) -> tuple[str, int | str, str | None] | None:
    """Instance, session or name, and the statement that ends it."""
    found = cleanup.holder(samples)
    return found and (
        found.instance,
        found.transaction.thread_id if found.transaction else found.name,
        found.kill,
    )


def test_an_id_that_was_handed_out_after_the_first_probe_is_ahead_and_holds_nothing():
    """The probes of a sample follow each other: on a busy writer a session's id may be beyond the next one."""
    assert full_xid((NEXT + 3) % 2**32, NEXT) == NEXT + 3
    ahead = primary(session(1, NEXT + 3, has_written=True))
    assert cleanup.holder([ahead]) is None
    found = cleanup.metrics([ahead])
    assert (found["xmin_age_writer"], found["xmin_horizon_age"]) == (0, 0)


def test_two_writers_are_no_cluster():
    """After a promotion the old primary goes on: which of both the readers follow is unknown."""
    both = [primary(session(1, 9_000)), primary()]
    assert cleanup.writer(both) is None and cleanup.holder(both) is None
    assert cleanup.state(both, both) == "unknown"


def test_every_kind_of_holder_has_its_own_oldest_id():
    """Sessions, the report of a reader, prepared transactions and slots, as rows of `read_views`."""
    one = primary(
        session(1, 9_900),
        feedback=[reports(9_000)],
        prepared=[Prepared("p", 9_500, 90.0, "etl", "shop")],
        slots=[Slot("s", "logical", False, 9_700, None), Slot("c", "logical", True, None, 9_100)],
    )
    assert [row[:4] for row in cleanup.oldest_views(one)] == [
        ("w", "writer", "session", 9_900),
        ("r", "reader", "report of a reader", 9_000),
        ("w", "writer", "prepared transaction", 9_500),
        ("w", "writer", "replication slot", 9_700),
    ]


def test_an_instance_reports_how_long_its_oldest_idle_session_has_idled():
    """By the server's clock; a session that runs a statement does not idle."""
    sessions = session(1, 9_000, since=70.0), session(2, None, since=40.0)._replace(command="active")
    assert cleanup.instance_metrics(reader(*sessions)) == {
        "active_transactions": 2.0,
        "oldest_idle_transaction_age": 30.0,
    }
    assert cleanup.instance_metrics(reader()._replace(transactions=None)) == {}


def test_a_session_of_another_reader_is_never_named_for_a_report():
    """Ids agree by chance: of a reader that reports for itself, and of one that reports nothing."""
    same, own = reader(session(2, 9_000))._replace(instance="other"), reader(session(3, 9_000))
    assert named(primary(feedback=[reports(9_000)]), own, same)[1] == 3
    both = [reports(9_000), reports(9_500)._replace(instance="other")]
    assert named(primary(feedback=both), reader(), same) is None
    silent = primary(feedback=[reports(9_000)])._replace(silent_readers=frozenset({"other"}))
    assert named(silent, reader(), same) is None


def test_a_readers_session_is_named_by_the_snapshot_that_the_reader_reports():
    """Not the oldest transaction of the reader, and not a younger snapshot."""
    sessions = session(1, None), session(2, 9_000), session(3, 9_500)
    assert named(primary(feedback=[reports(9_000)]), reader(*sessions)) == (
        "r",
        2,
        "SELECT pg_terminate_backend(2);",
    )


def test_the_database_counts_on_the_writer_and_not_on_a_reader():
    """The trap: an idle snapshot in another database of the writer is the oldest, and harms nobody."""
    trap = session(1, 5_000, "other")
    assert named(primary(trap)) is None
    assert named(primary(trap, session(2, 9_000)))[1] == 2
    assert named(primary(trap, feedback=[reports(6_000)]), reader(session(3, 6_000, "other")))[:2] == ("r", 3)


def test_a_writing_transaction_holds_even_if_it_idles():
    """READ COMMITTED and idle, but with a transaction id."""
    assert cleanup.holder([primary(session(1, 9_000, has_written=True))]).how == "has written"
    assert named(primary(session(1, None))) is None


def test_a_prepared_transaction_and_a_slot_are_named_without_a_session():
    """With the statement that ends each, quoted; those of other databases, and slots of catalogues only, hold nothing."""
    one, other = Prepared("it's", 9_000, 5.0, "app", "shop"), Prepared("x", 8_000, 5.0, "app", "other")
    assert named(primary(prepared=[one, other])) == (
        "w",
        "a prepared transaction ('it''s' of app)",
        "ROLLBACK PREPARED 'it''s';",
    )
    slots = [Slot("dms", "logical", True, None, 3_000), Slot("old", "physical", False, 9_100, None)]
    assert named(primary(slots=slots)) == (
        "w",
        "the inactive physical replication slot 'old'",
        "SELECT pg_drop_replication_slot('old');",
    )
    assert named(primary(slots=[Slot("r", "physical", True, 9_100, None)])) is None


def test_sessions_that_need_the_same_transaction_are_all_named():
    """Vacuum goes on only after both have ended; the one that began first comes first."""
    found = cleanup.holder([primary(session(7, 9_000), session(3, 9_000))])
    assert (found.transaction.thread_id, [one.transaction.thread_id for one in found.tied]) == (3, [7])


@pytest.mark.parametrize(
    ("now", "later"), [({"started_at": 100.95, "since": 100.95}, [5, 7, 3]), ({"since": 100.95}, [3, 5, 7])]
)
def test_a_short_statement_that_sees_the_holder_in_progress_is_not_named(now, later):
    """It needs the holder's id for a moment, as a transaction of its own or as the next statement of a long one that lasts."""
    holder, snapshot = session(5, 9_000, has_written=True), session(7, 9_000)
    first = session(3, 9_000, since=99.9)._replace(command="active")
    samples = [
        Sample(100 + n, [primary(holder, snapshot, one, time=100.0 + n)._replace(next_xid=NEXT + n)])
        for n, one in enumerate([first, first._replace(**now), first._replace(**now)])
    ]
    for until, expected in ((2, [5, 7]), (3, later)):
        found = status.purge_status(samples[:until])
        assert found.state == "blocked"
        assert [one.transaction.thread_id for one in (found.holder, *found.holder.tied)] == expected


def test_a_report_that_moves_names_nobody():
    """Between two reports a reader's snapshot stands still, without a session that holds it."""
    assert named(primary(feedback=[reports(9_000)]), reader(session(2, 9_400))) is None
    assert named(primary(feedback=[reports(9_000, since=95.0)])) is None
    assert named(primary(feedback=[reports(9_000, since=80.0)])) == ("r", "", None)


def test_a_transaction_on_the_writer_that_readers_see_in_progress_is_the_writers():
    """A reader's snapshot cannot be younger than the oldest transaction in progress: both report the same id."""
    samples = primary(session(5, 9_000, has_written=True), feedback=[reports(9_000, since=10.0)])
    assert named(samples)[:2] == ("w", 5)


@pytest.mark.parametrize(
    ("before", "now", "state"),
    [
        ({}, {"transactions": None}, "unknown"),
        ({}, {"feedback": None}, "unknown"),
        ({}, {"relations": None}, "unknown"),
        ({}, {}, "keeps up"),
        ({}, {"relations": [Relation("a.t", 150, 0, 0, 0, 0, 0, 50, 999)]}, "keeps up"),
        ({}, {"relations": [Relation("a.t", 999, 0, 0, 0, 0, 0, 50, 9)]}, "keeps up"),
        ({}, {"relations": [Relation("a.t", 151, 0, 0, 0, 0, 0, 50, 999)]}, "outrun"),
        ({"next_xid": NEXT}, {}, "idle"),
        ({"instance": "old"}, {}, "unknown"),
        ({"transactions": [session(1, 9_000)]}, {"transactions": [session(1, 9_000)]}, "blocked"),
        ({"transactions": [session(1, 8_900)]}, {"transactions": [session(1, 9_000)]}, "keeps up"),
    ],
)
def test_the_state_follows_from_two_samples(before, now, state):
    """What may not be read is unknown, never healthy."""
    first, second = primary()._replace(**{"next_xid": NEXT - 100, **before}), primary()._replace(**now)
    assert cleanup.state([first], [second]) == state


def test_a_reader_that_no_longer_answers_is_not_healthy():
    """It may hold the horizon: its report alone shows that only after a while."""
    first = primary()._replace(next_xid=NEXT - 100)
    assert cleanup.state([first, reader()], [primary(), reader()]) == "keeps up"
    assert cleanup.state([first, reader()], [primary(feedback=[reports(9_000)])]) == "unknown"


def test_a_holder_on_a_reader_that_answers_for_the_first_time_blocks():
    """Its transaction id was handed out before the previous sample, so the horizon stood still since."""
    first = primary(feedback=[reports(9_000)])._replace(next_xid=NEXT - 100)
    now = [primary(feedback=[reports(9_000)]), reader(session(2, 9_000))]
    assert cleanup.state([first], now) == "blocked"


def test_ages_are_zero_if_nobody_holds_and_absent_if_unknown():
    """A missing grant is not a young horizon."""
    found = cleanup.metrics([primary(session(1, 9_000), slots=None, feedback=[reports(9_990)])])
    assert found["xmin_horizon_age"] == found["xmin_age_writer"] == 1_000
    assert (found["xmin_age_readers"], found["xmin_age_prepared"]) == (10, 0)
    assert "xmin_age_slots" not in found


@pytest.mark.parametrize("epoch", [1, 2, 7])
def test_transaction_ids_keep_their_order_across_an_epoch(epoch):
    """An id of 32 bits that is larger than the next one belongs to the epoch before."""
    first = epoch * 2**32
    ids = [first - 3, first - 1, first, first + 2]
    assert [full_xid(one % 2**32, first + 5) for one in ids] == ids
    held = session(1, full_xid((first - 3) % 2**32, first + 5))
    found = cleanup.metrics([primary(held)._replace(next_xid=first + 5)])
    assert found["xmin_horizon_age"] == 8
