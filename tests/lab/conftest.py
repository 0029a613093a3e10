"""One short recording of a real server, shared by all tests that need one.

Recordings run in real time: a failure on a machine that was too slow is a skip that says so.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from machine import Meter, _measured, meter, pytest_pyfunc_call

from aurora_analysis.store import Store

__all__ = ["_measured", "meter", "pytest_pyfunc_call"]

FAR_FROM_UTC = {"TZ": "Asia/Kolkata"}
"""The server's time zone, half an hour off every whole hour."""

SEED, DURATION_S, BLOCK_S = 5, 86, 16


@pytest.fixture(scope="session")
def begun(mariadbd: str, meter: Meter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Store]]:
    """A recording of 86 s, with four blocks and an idle session, that is still running; its server is not on UTC."""
    from aurora_analysis.lab.record import RecordingOptions, record
    from aurora_analysis.lab.schedule import USERS
    from aurora_analysis.lab.server import Ended

    store = Store(tmp_path_factory.mktemp("lab"))
    # User names are no evidence: here `bi` holds a view and `snowflake` does not.
    swapped = {**USERS, "extract": "bi", "control": "snowflake", "idle": "night_job"}
    options = RecordingOptions(DURATION_S, SEED, block_s=BLOCK_S, users=swapped, environment=FAR_FROM_UTC)

    def recorded() -> Store:
        try:
            record(store, options)
        except Ended as crash:  # MariaDB itself does so now and then: see the warning for its reason
            warnings.warn(f"The recording began anew. {crash}", stacklevel=1)
            shutil.rmtree(store.location, ignore_errors=True)
            record(store, options)
        meter.end("begun")
        return store

    meter.begin("begun")
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(recorded)


@pytest.fixture(scope="session")
def short_recording(begun: Future[Store], meter: Meter) -> Store:
    """The store of the recording, once it is finished."""
    with meter.explaining("begun"):
        return begun.result()
