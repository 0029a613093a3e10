"""Call rates: how fast a service is called, and by how many workers."""

from __future__ import annotations

import time

from aurora_analysis.fetch import rates
from aurora_analysis.fetch.rates import Rate


def test_a_rate_is_kept_and_pauses_earn_no_burst():
    """Ten tokens at 100 per second take nine gaps of 10 ms, even after a pause."""
    rate = Rate(100)
    rate.take()
    time.sleep(0.05)
    started = time.monotonic()
    for _ in range(10):
        rate.take()
    assert time.monotonic() - started >= 0.09
    assert rate.taken == 11


def test_workers_fill_the_rate_and_no_more():
    """Five calls per second need one call of 0.2 s in flight (at least two workers run); twenty need four."""
    assert rates.workers({"logs": Rate(5), "pi": Rate(20), "x": Rate(500)}, 6) == {
        "logs": 2,
        "pi": 4,
        "x": 6,
    }
