"""One short recording of a real server, shared by every test that looks at one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from aurora_analysis.lab.record import record
from aurora_analysis.lab.schedule import USERS
from aurora_analysis.store import Store

SWAPPED = {**USERS, "extract": "bi", "control": "snowflake", "idle": "night_job"}
"""The names mean nothing here: `bi` holds a view and `snowflake` does not."""

FAR_FROM_UTC = {"TZ": "Asia/Kolkata"}
"""The server's zone, half an hour off every whole hour."""

SEED, DURATION_S, BLOCK_S = 5, 86, 16


@pytest.fixture(scope="session")
def begun(mariadbd: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Store]]:
    """A lab of 86 s with four blocks and an idle session, on a server in another zone, while it is being recorded."""
    store = Store(tmp_path_factory.mktemp("lab"))

    def recorded() -> Store:
        record(
            store,
            duration_s=DURATION_S,
            seed=SEED,
            block_s=BLOCK_S,
            users=SWAPPED,
            environment=FAR_FROM_UTC,
        )
        return store

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(recorded)


@pytest.fixture(scope="session")
def short_recording(begun: Future[Store]) -> Store:
    """Its store, when it is done."""
    return begun.result()
