"""The measurement that separates a slow machine from a fault."""

from __future__ import annotations

import time

import pytest
from machine import BURST_S, Meter, slowness


@pytest.mark.parametrize(
    ("durations_s", "reason"),
    [
        ([], ""),
        ([1.5 * BURST_S] * 20, ""),
        ([18 * BURST_S] * 20, "5 ms of CPU took 90 ms on average"),
        ([BURST_S] * 500 + [1.3], "a process waited 1.3 s for a core"),
    ],
    ids=["nothing measured", "fast", "overloaded", "stalled once"],
)
def test_a_machine_is_too_slow_by_measurement_only(durations_s, reason):
    """Bursts that take too long on average, or one wait as long as the interval between samples."""
    assert slowness(durations_s) == reason


def test_a_failure_is_skipped_only_while_the_machine_was_too_slow(tmp_path):
    """The same failure outside of the slow span stays a failure."""
    file = tmp_path / "bursts"
    file.write_text(f"{time.monotonic()} 2.5\n")
    measured = Meter(file)
    with pytest.raises(AssertionError), measured.explaining():
        raise AssertionError
    measured.spans["recording"] = (0.0, time.monotonic())
    with (
        pytest.raises(pytest.skip.Exception, match="5 ms of CPU took 2500 ms"),
        measured.explaining("recording"),
    ):
        raise AssertionError


@pytest.mark.real
def test_the_meter_measures_this_machine(meter):
    """A process of its own reports about ten bursts a second."""
    time.sleep(0.5)
    meter.begin("now")
    time.sleep(0.5)
    meter.end("now")
    assert len(meter._file.read_text().splitlines()) >= 2
