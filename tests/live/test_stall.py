"""A server that stops for a time costs a watch hardly more samples than that time."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from live_server import written_to

from aurora_analysis.engines.mysql.live import Probe
from aurora_analysis.live.watch import Watch

pytestmark = pytest.mark.real

STALL_S = 5.5
"""Longer than the deadline of a round; `dev.py bench faults` stops a server for 12 s."""


def test_a_stopped_server_costs_its_stall_and_three_seconds(real_server):
    """SIGSTOP: the connection stays open and nothing answers. The only instance, so that nothing else is sampled meanwhile."""
    watching = Watch([Probe(real_server.engine(), "lab-writer", "writer")], None, cluster="lab", every_s=1)
    answered: list[int] = []
    stop = threading.Timer(1.5, os.kill, (real_server.pid, signal.SIGSTOP))
    go_on = threading.Timer(1.5 + STALL_S, os.kill, (real_server.pid, signal.SIGCONT))
    with written_to(real_server):
        for timer in (stop, go_on):
            timer.start()
        try:
            watching.run(
                STALL_S + 4.4,
                on_sample=lambda events, status: (
                    answered.append(status.time) if status.state != "unknown" else None
                ),
            )
        finally:
            go_on.join()
    gaps = [second - first for first, second in zip(answered, answered[1:])]
    assert STALL_S - 1 <= max(gaps) <= STALL_S + 3
    assert time.time() - answered[-1] < 4
