"""Measure the cost and the benefit of `watch`: `python3 dev.py bench watch`.

The studies, all by default; the exit code is 1 if one misses its limit:

- overhead: throughput of a loaded MariaDB, per second and per CPU second, with `watch` sampling every second, divided by
  the throughput without it;
- hour: history list length of a watched server and of an unwatched one under the same load, for an hour;
- unknown: share of the history list's growth on the committed recording that cannot be attributed, with and without live
  samples.

`watch` runs as the real command in a separate process.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from aurora_analysis import Store
from aurora_analysis.lab import server
from aurora_analysis.lab.server import Server
from aurora_analysis.store import location

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import attribution

Array = npt.NDArray[np.float64]

LEAST_THROUGHPUT = 0.97
RATE = 20
"""Transactions per second in the study `hour`: a light load."""
MOST_RAISED = float(RATE)
"""Largest permitted difference of the history lists: one second of writes."""
OPTIONS = {"performance_schema": True, "innodb_flush_log_at_trx_commit": 0}


def main() -> int:
    """Run the chosen studies; return 1 if a limit is missed."""
    studies: dict[str, Callable[[argparse.Namespace], bool]] = {
        "overhead": overhead,
        "hour": hour,
        "unknown": unknown,
    }
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("studies", nargs="*", metavar="|".join(studies))
    parser.add_argument(
        "--pairs",
        type=int,
        default=40,
        help="overhead: pairs of a watched and an unwatched block [default: 40].",
    )
    parser.add_argument(
        "--block-s", type=float, default=2.5, help="overhead: seconds per block [default: 2.5]."
    )
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="hour: duration in minutes [default: 60]."
    )
    chosen = parser.parse_args()
    passed = []
    for name in chosen.studies or studies:
        print(f"## {name}", flush=True)
        passed.append(studies[name](chosen))
    return 0 if all(passed) else 1


@contextmanager
def watching(ours: Server, folder: Path, lasting_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command with samples every second until the block ends."""
    address = f"mysql://root@/?unix_socket={ours.socket}"
    command = [sys.executable, "-m", "aurora_analysis", "watch", "--writer", address, "--store", str(folder)]
    with open(folder / "output.txt", "wb") as output:
        process = subprocess.Popen([*command, "--every", "1s", "--for", f"{lasting_s:.0f}s"], stdout=output)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait()


def prepare(ours: Server) -> None:
    with ours.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE bench")
        cursor.execute("CREATE TABLE bench.stock (id INT PRIMARY KEY, quantity INT NOT NULL) ENGINE=InnoDB")
        cursor.executemany("INSERT INTO bench.stock VALUES (%s, 0)", [(n,) for n in range(1000)])


def interval(differences: Array) -> tuple[float, float, float]:
    """Mean and 95 % interval (Student's t)."""
    mean, error = float(np.mean(differences)), float(np.std(differences, ddof=1) / np.sqrt(len(differences)))
    reach = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    return mean, mean - reach, mean + reach


# The hour


def hour(chosen: argparse.Namespace) -> bool:
    """Compare the history lists of a watched and an unwatched server every second, and count idle transactions."""
    seconds = 60 * chosen.minutes
    with ExitStack() as stack:
        servers = [stack.enter_context(server.running(OPTIONS)) for _ in range(2)]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stopping = threading.Event()
        stack.callback(stopping.set)
        for one in servers:
            prepare(one)
            threading.Thread(target=_write_steadily, args=(one, stopping), daemon=True).start()
        stack.enter_context(watching(servers[0], folder, seconds + 60))
        time.sleep(10)
        lengths, idle = _lengths(servers, seconds)
        samples = len(Store(folder).read("read_views", cluster="live"))
    return _hour_passed(lengths, idle, samples)


def _write_steadily(ours: Server, stopping: threading.Event) -> None:
    with ours.connect() as connection, connection.cursor() as cursor:
        number, due = 0, time.monotonic()
        while not stopping.wait(max(0.0, due - time.monotonic())):
            cursor.execute("UPDATE bench.stock SET quantity = quantity + 1 WHERE id = %s", (number % 1000,))
            number, due = number + 1, max(due + 1 / RATE, time.monotonic() - 1)


def _lengths(servers: list[Server], seconds: float) -> tuple[Array, int]:
    """History list lengths, one row per second, and the number of idle transactions on the watched server."""
    rows, idle, began = [], 0, time.monotonic()
    connections = [one.connect() for one in servers]
    while (passed := time.monotonic() - began) < seconds:
        rows.append([_one(each, HISTORY) for each in connections])
        idle += _one(connections[0], IDLE)
        if len(rows) % 300 == 0:
            print(f"{passed:6.0f} s  {np.mean(rows[-300:], axis=0).round(1)}", flush=True)
        time.sleep(max(0.0, began + len(rows) - time.monotonic()))
    return np.array(rows, dtype=float), idle


HISTORY = "SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'"
IDLE = (
    "SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p"
    " ON p.id = t.trx_mysql_thread_id WHERE p.command = 'Sleep'"
)


def _one(connection: object, text: str) -> int:
    with connection.cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(text)
        return int(cursor.fetchone()[0])


def _hour_passed(lengths: Array, idle: int, samples: int) -> bool:
    """Print the results of the study `hour`, and return whether they are within the limits."""
    whole = len(lengths) // 60 * 60
    minutes = lengths[:whole].reshape(-1, 60, 2).mean(axis=1)
    mean, low, high = interval(minutes[:, 0] - minutes[:, 1])
    slope = float(np.polyfit(np.arange(len(minutes)) / 60, minutes[:, 0], 1)[0])
    print(
        f"{len(lengths)} s at {RATE} transactions/s, {samples} samples of watch: history list {minutes[:, 0].mean():.1f} "
        f"watched, {minutes[:, 1].mean():.1f} unwatched, difference {mean:+.2f} [{low:.2f}, {high:.2f}] over "
        f"{len(minutes)} minutes (limit {MOST_RAISED:g}); slope {slope:+.1f} per hour; idle transactions {idle} (limit 0)"
    )
    return high < MOST_RAISED and idle == 0


# The overhead


def overhead(chosen: argparse.Namespace) -> bool:
    """Compare the throughput of a server in watched and unwatched blocks.

    The server runs a loop of transactions on one core, and the command runs on the other. In unwatched blocks the
    command is stopped (SIGSTOP) and its connection stays open. A draw decides which block of a pair comes first. On a
    shared machine, CPU seconds of the server are more precise than seconds, and the CPU time of the command's session is
    the most precise; the study prints all three.
    """
    rng = np.random.default_rng(0)
    with ExitStack() as stack:
        scratch = stack.enter_context(_in_memory())
        ours = stack.enter_context(server.running(OPTIONS))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch)))
        _pin(ours.pid, 0)
        prepare(ours)
        stack.enter_context(_looping(ours))
        lasting_s = 60 + 2 * chosen.pairs * chosen.block_s
        process = stack.enter_context(watching(ours, folder, lasting_s))
        _pin(process.pid, 1)
        time.sleep(8)  # until the command samples and the server is warm
        with ours.connect() as connection:
            thread = _one(connection, WATCHING)
            used = _thread_s(ours.pid, thread)
            pairs = [
                _pair(connection, ours, process, chosen.block_s, bool(rng.integers(2)))
                for _ in range(chosen.pairs)
            ]
            used = _thread_s(ours.pid, thread) - used
    for watched, alone in pairs:
        print(
            f"watched {watched[0]:8.0f} /s {watched[1]:8.0f} /CPU s   "
            f"unwatched {alone[0]:8.0f} /s {alone[1]:8.0f} /CPU s"
        )
    ratios = np.log(np.array([np.divide(*pair) for pair in pairs]))
    wall, cpu = (np.exp(interval(ratios[:, n])) for n in (0, 1))
    blocks = f"{len(pairs)} pairs of {chosen.block_s:g} s"
    for unit, (mean, low, high) in (("second", wall), ("CPU second of the server", cpu)):
        print(f"transactions per {unit}, watched / unwatched: {mean:.4f} [{low:.4f}, {high:.4f}], {blocks}")
    session_ms = 1000 * used / (chosen.pairs * chosen.block_s)
    print(f"CPU time of the command's session in the server: {session_ms:.2f} ms per second")
    print(f"limit: the lower bound of transactions per second is at least {LEAST_THROUGHPUT}")
    return bool(wall[1] >= LEAST_THROUGHPUT)


@contextmanager
def _in_memory() -> Iterator[str | None]:
    """Keep temporary files in memory if possible, because the speed of a shared machine's disk varies."""
    before = tempfile.tempdir
    tempfile.tempdir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else before
    try:
        yield tempfile.tempdir
    finally:
        tempfile.tempdir = before


def _pin(pid: int, core: int) -> None:
    """Bind all threads of a process to one core, if the system supports it."""
    if hasattr(os, "sched_setaffinity"):
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), {core})


SESSIONS = 2
LOOP = """
CREATE PROCEDURE bench.keep_writing(IN first INT)
BEGIN
  DECLARE number INT DEFAULT 0;
  WHILE TRUE DO
    UPDATE bench.stock SET quantity = quantity + 1 WHERE id = first + number % 500;
    SET number = number + 1;
  END WHILE;
END
"""


@contextmanager
def _looping(ours: Server) -> Iterator[None]:
    """Run sessions that write without a pause, each to different rows."""
    with ours.connect() as connection, connection.cursor() as cursor:
        cursor.execute(LOOP)
    threads = [
        threading.Thread(target=_call, args=(ours, 500 * number), daemon=True) for number in range(SESSIONS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        with ours.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE info LIKE '%keep_writing%' AND id <> CONNECTION_ID()"
            )
            for (session,) in cursor.fetchall():
                cursor.execute(f"KILL {session}")


def _call(ours: Server, first: int) -> None:
    try:
        with ours.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CALL bench.keep_writing(%s)", (first,))
    except Exception:  # the session is killed at the end
        return


def _pair(
    connection: object,
    ours: Server,
    process: subprocess.Popen[bytes],
    seconds: float,
    watched_first: bool,
) -> tuple[Array, Array]:
    found = {}
    for watched in (True, False) if watched_first else (False, True):
        process.send_signal(signal.SIGCONT if watched else signal.SIGSTOP)
        found[watched] = _throughput(connection, ours, seconds)
    process.send_signal(signal.SIGCONT)
    return found[True], found[False]


def _throughput(connection: object, ours: Server, seconds: float) -> Array:
    """Transactions per second and per CPU second of the server, by the server's own counter."""
    before = np.array([_one(connection, COMMITTED), time.monotonic(), _cpu_s(ours.pid)])
    time.sleep(seconds)
    after = np.array([_one(connection, COMMITTED), time.monotonic(), _cpu_s(ours.pid)])
    count, passed, used = after - before
    return np.array([count / passed, count / used])


def _cpu_s(pid: int) -> float:
    """CPU time of all threads of a process [s]."""
    return sum(_thread_s(pid, int(thread)) for thread in os.listdir(f"/proc/{pid}/task"))


def _thread_s(pid: int, thread: int) -> float:
    """CPU time of a thread [s], with nanosecond resolution: schedstat, proc(5)."""
    return int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0]) / 1e9


WATCHING = "SELECT tid FROM information_schema.processlist WHERE command = 'Sleep' AND id <> CONNECTION_ID()"
COMMITTED = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'COM_UPDATE'"


# The unknown class


def unknown(chosen: argparse.Namespace) -> bool:
    """Compare the share of growth that cannot be attributed from logs alone and with live samples."""
    from_logs, with_samples = attribution.unknown_shares(Store(location.sample()))
    print(
        f"history list growth of the committed recording that cannot be attributed: {100 * from_logs:.2f} % from the "
        f"logs alone, {100 * with_samples:.2f} % with live samples"
    )
    return with_samples < from_logs


if __name__ == "__main__":
    sys.exit(main())
