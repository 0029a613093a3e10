"""Measure how slow the machine is, so that tests in real time can distinguish it from slow code under test.

A process of its own uses 5 ms of CPU twice a second (1 % of a core for each worker) and notes how long that really took. A test that fails while
the machine was measured to be too slow is skipped with the measurement as the reason. A test that passes is never
skipped, and on a machine that was fast enough a failure stays a failure.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SLOWEST = 6.0
"""On average a burst may take six times its CPU time, waiting included; at a load of 36 on two cores it takes 18 times."""

LONGEST_STALL_S = 1.0
"""A process that was due must not wait longer: a second is the interval between two samples."""

BURST_S = 0.005
METER = f"""
import os, sys, time
parent, due = os.getppid(), time.monotonic()
with open(sys.argv[1], "a", buffering=1) as file:
    while os.getppid() == parent:
        used = time.thread_time()
        while time.thread_time() - used < {BURST_S}:
            pass
        now = time.monotonic()
        file.write(f"{{now}} {{now - due}}\\n")
        due = now + 0.5
        time.sleep(0.5)
"""


def slowness(durations_s: list[float]) -> str:
    """Why the machine was too slow, given how long each burst took from when it was due; empty if it was not."""
    if not durations_s:
        return ""
    slowdown, stall_s = sum(durations_s) / len(durations_s) / BURST_S, max(durations_s)
    if slowdown > SLOWEST:
        return f"{1000 * BURST_S:.0f} ms of CPU took {1000 * BURST_S * slowdown:.0f} ms on average"
    return f"a process waited {stall_s:.1f} s for a core" if stall_s > LONGEST_STALL_S else ""


class Meter:
    """Reads what the measuring process noted in `file`; `spans` are named intervals of monotonic time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.spans: dict[str, tuple[float, float]] = {}

    def begin(self, name: str) -> None:
        """Begin a span that lasts until `end`, or until now."""
        self.spans[name] = time.monotonic(), float("inf")

    def end(self, name: str) -> None:
        """End a span."""
        self.spans[name] = self.spans[name][0], time.monotonic()

    def slowness(self, *spans: tuple[float, float]) -> str:
        """Why the machine was too slow in one of the spans; empty if it was fast enough in all."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        noted = [(float(at), float(took_s)) for at, took_s in (line.split() for line in lines if " " in line)]
        reasons = (slowness([took for at, took in noted if first <= at <= last]) for first, last in spans)
        return next(filter(None, reasons), "")

    @contextmanager
    def explaining(self, *names: str) -> Iterator[None]:
        """Turn a failure inside into a skip if the machine was too slow, inside or in one of the named spans."""
        began = time.monotonic()
        try:
            yield
        except Exception as problem:
            named = [self.spans[name] for name in names if name in self.spans]
            if reason := self.slowness((began, time.monotonic()), *named):
                pytest.skip(f"the machine was too slow: {reason}, and then {type(problem).__name__}")
            raise


METER_OF = pytest.StashKey[Meter]()


@pytest.fixture(scope="session")
def meter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Meter:
    """Measures the machine until the session ends: one process, whichever folders import this fixture."""
    config = request.config
    if METER_OF not in config.stash:
        file = tmp_path_factory.mktemp("machine") / "bursts"
        process = subprocess.Popen([sys.executable, "-S", "-c", METER, str(file)])
        config.add_cleanup(lambda: (process.kill(), process.wait()))
        config.stash[METER_OF] = Meter(file)
    return config.stash[METER_OF]


@pytest.fixture(autouse=True)
def _measured(request: pytest.FixtureRequest) -> None:
    """Tests of real servers depend on real time."""
    if request.node.get_closest_marker("real"):
        request.node.stash[METER_OF] = request.getfixturevalue("meter")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Run a measured test; see `Meter.explaining`."""
    if METER_OF not in pyfuncitem.stash:
        return (yield)
    with pyfuncitem.stash[METER_OF].explaining(*pyfuncitem.fixturenames):
        return (yield)
