"""Measure what 24 hours of `watch` leave in a store and cost: `python3 dev.py bench fleet_watch`.

The clock is simulated and the servers are two stand-ins that always answer, so that only the store is measured. Exits with 1
if a commit takes 60 ms of CPU on average in the last tenth of the time, or more than 300 live files are left at any time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from deltalake import DeltaTable

from aurora_analysis import Store
from aurora_analysis.engines.mysql.innodb_status import InnodbStatus, Transaction
from aurora_analysis.engines.mysql.live import InstanceSample
from aurora_analysis.live import counting
from aurora_analysis.live.watch import WRITE_EVERY_S, Watch
from aurora_analysis.store import delta

COMMIT_MS, FILES = 60.0, 300
BEGIN = 1_800_000_000


class Server:
    """A server that holds one read view, and whose history list grows and shrinks."""

    engine_name = "mysql"

    def __init__(self, name: str, role: str, clock: list[int]) -> None:
        self.name, self.role, self._clock = name, role, clock
        self.skipped: dict[str, str] = {}

    def sample(self) -> InstanceSample:
        """Return a sample at the simulated time."""
        now = self._clock[0]
        held = Transaction(7, "etl", "10.0.0.7:1", "Sleep", now - 600.0, "REPEATABLE READ", 0, None)
        status = InnodbStatus(50 + now % 900, 900 + now, 400 + now, 500 + now, 1, 1, {7: 500 + now}, {})
        counters = {"uptime": now - BEGIN + 9_000}
        return InstanceSample(
            float(now), self.name, self.role, "8.0.35", counters, status, [held], [], self.name
        )

    def abort(self) -> None:
        """Nothing to abort."""

    def close(self) -> None:
        """Nothing to close."""


def main() -> int:
    """Print the figures, and return 1 if one misses its target."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--hours", type=float, default=24.0)
    rounds = int(parser.parse_args().hours * 3600 / WRITE_EVERY_S)
    spent: list[float] = []
    real = delta.commit

    def timed(*arguments: Any) -> int | None:
        began = time.process_time()
        version = real(*arguments)
        if version is not None:
            spent.append((time.process_time() - began) * 1e3)
        return version

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(delta, "commit", timed),
        mock.patch.object(counting, "counters", lambda probes: []),
    ):
        clock, store = [BEGIN], Store(folder)
        servers: list[Any] = [Server("db-1", "writer", clock), Server("db-2", "reader", clock)]
        watch = Watch(
            servers, store, cluster="shop", every_s=WRITE_EVERY_S, monotonic=lambda: float(clock[0])
        )
        most = 0
        for n in range(rounds):
            clock[0] += WRITE_EVERY_S
            watch.sample(clock[0])
            if n % 20 == 0:
                most = max(most, live_files(Path(folder)))
        watch.close()
        on_disk = sum(path.is_file() for path in Path(folder).rglob("*"))
        most, left = max(most, live_files(Path(folder))), live_files(Path(folder))
    last = spent[-max(len(spent) // 10, 1) :]
    first = spent[: max(len(spent) // 10, 1)]
    print(f"{rounds} rounds, {len(spent)} commits")
    print(
        f"CPU of a commit: {sum(first) / len(first):.1f} ms in the first tenth, {sum(last) / len(last):.1f} ms in the last"
        f" (target {COMMIT_MS:.0f})"
    )
    print(
        f"live files: at most {most}, {left} at the end (target {FILES}); {on_disk} files on the disk at the end"
    )
    return int(sum(last) / len(last) >= COMMIT_MS or most > FILES)


def live_files(folder: Path) -> int:
    """Files that the newest versions of all tables need."""
    return sum(len(DeltaTable(log.parent).file_uris()) for log in folder.glob("*/*/_delta_log"))


if __name__ == "__main__":
    sys.exit(main())
