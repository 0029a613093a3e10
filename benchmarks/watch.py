"""What watching costs: the throughput of a loaded MariaDB with `watch` at one second over that without, in pairs.

`python dev.py bench watch`. Each pair is two blocks, drawn which comes first; the lower 95 % bound of the mean log
ratio (Student's t) is printed, and exit code 1 tells that it is below 0.97.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time

import numpy as np
from scipy import stats

from aurora_analysis.lab import server
from aurora_analysis.lab.server import Server
from aurora_analysis.sources.live import Probe
from aurora_analysis.sources.watch import Watch

LEAST = 0.97
SESSIONS = 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--block-s", type=float, default=10.0)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with server.running() as ours:
        prepare(ours)
        throughput(ours, options.block_s, watched=False)  # warms the server up
        logs = [_pair(ours, options.block_s, bool(rng.integers(2))) for _ in range(options.pairs)]
    mean, error = float(np.mean(logs)), float(np.std(logs, ddof=1) / np.sqrt(len(logs)))
    low, high = (float(np.exp(mean + side * stats.t.ppf(0.975, len(logs) - 1) * error)) for side in (-1, 1))
    print(
        f"watch at 1 s: {np.exp(mean):.4f} of the throughput without, 95 % interval {low:.4f} to {high:.4f}, "
        f"{len(logs)} pairs of {options.block_s:g} s"
    )
    return 0 if low >= LEAST else 1


def _pair(ours: Server, seconds: float, watched_first: bool) -> float:
    order = (True, False) if watched_first else (False, True)
    found = {watched: throughput(ours, seconds, watched=watched) for watched in order}
    print(f"{found[True]:8.1f} watched  {found[False]:8.1f} not [transactions/s]")
    return float(np.log(found[True] / found[False]))


def prepare(ours: Server) -> None:
    with ours.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE bench")
        cursor.execute("CREATE TABLE bench.stock (id INT PRIMARY KEY, quantity INT NOT NULL) ENGINE=InnoDB")
        cursor.executemany("INSERT INTO bench.stock VALUES (%s, 0)", [(n,) for n in range(1000)])


def throughput(ours: Server, seconds: float, *, watched: bool) -> float:
    """Updates a second of sessions that never pause."""
    end, counts = time.monotonic() + seconds, [0] * SESSIONS
    threads = [threading.Thread(target=_write, args=(ours, end, counts, n)) for n in range(SESSIONS)]
    if watched:
        watching = Watch([Probe(ours.engine(), "bench-writer", "writer")], None, cluster="bench", every_s=1)
        threads.append(threading.Thread(target=watching.run, args=(seconds,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def _write(ours: Server, end: float, counts: list[int], number: int) -> None:
    with ours.connect() as connection, connection.cursor() as cursor:
        while time.monotonic() < end:
            row = SESSIONS * (counts[number] % 500) + number
            cursor.execute("UPDATE bench.stock SET quantity = quantity + 1 WHERE id = %s", (row,))
            counts[number] += 1


if __name__ == "__main__":
    sys.exit(main())
