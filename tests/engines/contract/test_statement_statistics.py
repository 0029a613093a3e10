"""Statement statistics are differences between two samples of a server's counters."""

from __future__ import annotations

import pytest


class Server:
    """Answers with the rows that were set; it has no histograms."""

    def __init__(self) -> None:
        self.counted: list | None = []

    def rows(self, name: str, **values):
        return self.counted if name == "statement_digests" else None


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def statistics(engine, server):
    """The sampler of one instance."""
    return engine.module("statement_statistics").StatementSampler(server)


def test_a_period_is_the_difference_of_two_samples(engine, server, statistics):
    """Ten calls more, which took 50 ms."""
    server.counted = [engine.counted(100, 200.0, 50.0)]
    assert statistics.sample(1000, "db-1") is None
    server.counted = [engine.counted(110, 250.0, 50.0)]
    period = statistics.sample(1030, "db-1")
    (total,) = period.totals.values()
    assert (period.start, period.end, total.calls, total.latency_ms) == (1000, 1030, 10, 50.0)


@pytest.mark.parametrize(
    "after", [(40, 80.0, 50.0), (500, 900.0, 1010.0)], ids=["fewer calls", "counted since later"]
)
def test_a_period_with_a_reset_is_left_out(engine, server, statistics, after):
    """A restart, or an emptied table: what was counted before the reset is unknown."""
    server.counted = [engine.counted(100, 200.0, 50.0)]
    statistics.sample(1000, "db-1")
    server.counted = [engine.counted(*after)]
    assert statistics.sample(1030, "db-1") is None
    calls, ms, since = after
    server.counted = [engine.counted(calls + 5, ms + 10.0, since)]
    (total,) = statistics.sample(1060, "db-1").totals.values()
    assert (total.calls, total.latency_ms) == (5, 10.0)


def test_no_period_spans_a_gap(engine, server, statistics):
    """Without an answer, or after `forget`, the next sample is a first one."""
    for lose in (statistics.forget, lambda: setattr(server, "counted", None)):
        server.counted = [engine.counted(100, 200.0, 50.0)]
        statistics.sample(1000, "db-1")
        lose()
        if server.counted is None:
            assert statistics.sample(1010, "db-1") is None
        server.counted = [engine.counted(900, 999.0, 50.0)]
        assert statistics.sample(1090, "db-1") is None
        statistics.forget()
