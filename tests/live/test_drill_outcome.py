"""What a fault did to a client is counted from its attempts, on a clock that the test sets."""

from __future__ import annotations

import pytest

from aurora_analysis.live.drill import outcome as outcomes
from aurora_analysis.live.drill.clients import Attempt, CachedName, _first_after
from aurora_analysis.live.drill.place import Address

FAULT = 10.0


def writes(
    first: float, last: float, *, worker: int = 0, every: float = 0.1, start: int = 1
) -> list[Attempt]:
    """Acknowledged writes of a worker from `first` to `last` [s]."""
    count = round((last - first) / every) + 1
    return [
        Attempt("plain", worker, "write", first + n * every - 0.01, first + n * every, sequence=start + n)
        for n in range(count)
    ]


def failures(first: float, last: float, *, worker: int = 0, every: float = 0.5) -> list[Attempt]:
    """Failed attempts to connect, and the connections that were tried."""
    moments = [first + n * every for n in range(round((last - first) / every) + 1)]
    return [
        Attempt("plain", number, "connect", at - 0.01, at, "refused")
        for at in moments
        for number in (worker, -1)
    ]


def measured(attempts, stored=frozenset(), until=20.0, reads_only=False):
    return outcomes.outcome(attempts, FAULT, until, reads_only=reads_only, stored=stored)


def test_the_first_success_ends_the_interruption():
    """It is measured from the fault, not from the first error."""
    found = measured(writes(8, 10.2) + failures(10.5, 13.5) + writes(14, 20, start=100))
    assert found.first_success_s == found.settled_s == pytest.approx(4.0)
    assert (found.errors, found.connections) == (7, 7)


def test_a_write_before_the_servers_end_is_not_the_first_success():
    """A worker may be served for a moment after the fault, while the other one already fails."""
    one = writes(8, 9.9) + failures(10.1, 13.6)
    other = writes(8, 10.3, worker=1) + failures(10.5, 13.5, worker=1) + writes(14, 20, worker=1, start=50)
    assert measured(one + other + writes(15, 20, start=50)).first_success_s == pytest.approx(4.0)


def test_settled_is_the_last_worker():
    """One worker that fails on is an error of the client."""
    one = writes(8, 9.9) + failures(10.5, 12.5) + writes(13, 20, start=50)
    other = writes(8, 9.9, worker=1) + failures(10.5, 16.5, worker=1) + writes(17, 20, worker=1, start=50)
    found = measured(one + other)
    assert (found.first_success_s, found.settled_s) == (pytest.approx(3.0), pytest.approx(7.0))


def test_a_client_that_never_recovers_has_no_time():
    """Neither if nothing succeeds, nor if one worker fails to the end."""
    assert measured(writes(8, 9.9) + failures(10.5, 19.5)).first_success_s is None
    other = writes(8, 9.9, worker=1) + failures(10.5, 19.5, worker=1)
    half = measured(writes(8, 20) + other)
    assert half.settled_s is None


def test_a_statement_that_waits_is_an_interruption():
    """A frozen server returns no error."""
    found = measured(writes(8, 10) + writes(14, 20, start=100))
    assert (found.first_success_s, found.errors) == (pytest.approx(4.0), 0)


@pytest.mark.parametrize(("start", "measured_s"), [(10.0, 0.8), (10.5, 1.3), (15.0, 0.0)])
def test_a_short_wait_counts_only_with_the_fault(start, measured_s):
    """A pool may reconnect within a second without an error; later such a wait is the machine's."""
    found = measured(writes(8, start) + writes(start + 0.8, 20, start=100))
    assert found.first_success_s == pytest.approx(measured_s)


def test_nothing_interrupted():
    """Zero, not unknown."""
    found = measured(writes(8, 20))
    assert (found.first_success_s, found.settled_s, found.errors, found.connections) == (0.0, 0.0, 0, 0)


def test_acknowledged_writes_are_looked_up():
    """Lost: confirmed and gone. Unconfirmed: there, but the client got an error."""
    done = writes(8, 9.9)
    stored = {(0, one.sequence) for one in done} - {(0, 3), (0, 7)} | {(0, 21)}
    found = measured(done, stored=stored)
    assert (found.writes_acknowledged, found.writes_lost, found.writes_unconfirmed) == (20, 2, 1)
    assert measured(done, stored=None).writes_lost is None


def reads(*ages: float, from_writer: bool = True) -> list[Attempt]:
    """Reads after the fault that lack a write which was acknowledged so long before [s]."""
    return [
        Attempt("plain", 1, "read", 11 + n, 11.01 + n, behind_s=age, from_writer=from_writer)
        for n, age in enumerate(ages)
    ]


def test_old_reads_are_counted():
    """On the writer every lack is stale; on a reader one of more than a second."""
    found = measured(writes(8, 20) + reads(0, 0.2, 3.0, from_writer=False))
    assert (found.stale_reads, found.worst_staleness_s, found.former_writer_reads) == (2, 3.0, 3)
    on_reader = measured(writes(8, 20) + reads(0, 0.2, 3.0, from_writer=False), reads_only=True)
    assert (on_reader.stale_reads, on_reader.former_writer_reads) == (1, 0)
    before = [one._replace(ended=9.0) for one in reads(5.0, from_writer=False)]
    assert measured(writes(8, 20) + before).stale_reads == 0


def test_a_fault_of_a_reader_is_measured_by_reads():
    """Writes go on meanwhile, and do not count."""
    broken = [one._replace(worker=1) for one in failures(10.5, 12.5) if one.worker >= 0]
    reading = [Attempt("plain", 1, "read", at - 0.01, at) for at in (8.0, 9.0, 10.0, 13.0, 13.9, 14.8, 15.7, 16.6, 17.5, 18.4, 19.3)]  # fmt: skip
    found = measured(writes(8, 20) + broken + reading, reads_only=True)
    assert found.first_success_s == pytest.approx(3.0)


def test_a_connection_burst_is_the_busiest_second():
    """Of the attempts since the fault."""
    opened = [Attempt("plain", -1, "connect", at, at + 0.01) for at in (5, 5.1, 11, 11.2, 11.9, 12.1, 15)]
    found = measured(writes(8, 20) + opened)
    assert (found.connections, found.connections_per_s) == (5, 3)


def test_settling_needs_every_worker():
    """A worker that is silent has not settled."""
    both = writes(8, 20) + writes(8, 12, worker=1)
    assert not outcomes.has_settled(both, 15.0, 18.0)
    assert outcomes.has_settled(both, 9.0, 18.0)
    assert not outcomes.has_settled(writes(8, 20) + failures(16, 16), 15.0, 18.0)


def test_an_address_is_kept_for_its_time(monkeypatch):
    """The plain client looks the name up again only after its cache has expired."""
    now, found = [0.0], iter([Address("127.0.0.1", port) for port in (1, 2, 3)])
    monkeypatch.setattr("aurora_analysis.live.drill.clients.time.monotonic", lambda: now[0])
    cached = CachedName(lambda: next(found), 30.0)
    ports = []
    for now[0] in (0.0, 29.9, 30.0, 31.0):
        ports.append(cached().port)
    assert ports == [1, 1, 2, 2]
    cached.expire()
    assert cached().port == 3


def test_the_oldest_missing_write_counts():
    """Sequence numbers may have gaps: an attempt that failed has one, too."""
    assert _first_after([(1, 5.0), (4, 6.0), (5, 7.0)], 1) == 6.0
    assert _first_after([(1, 5.0)], 1) is None
