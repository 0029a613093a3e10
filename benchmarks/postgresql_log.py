"""Measure speed, memory and exactness of reading PostgreSQL's log: `python3 dev.py bench postgresql_log`.

The log has RDS's prefix: statements of the simple protocol with literals, bulk inserts, prepared statements (parse, bind,
execute and their parameters), texts of several lines, lock waits and reports of autovacuum. Speed is a ratio of CPU seconds of whole
processes on the same log: `digest` before and after pgBadger (apt-get install pgbadger), which reads it once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aurora_analysis.engines import compiled

MB = 1_000_000
DIGEST = [sys.executable, "-m", "aurora_analysis", "digest", "--format", "json", "--processes", "1"]
PGBADGER = ["pgbadger", "-q", "-j", "1", "-f", "rds", "-x", "json", "-o"]
MOST_MIB = 100
"""Largest peak memory that passes [MiB]."""
LEAST_RATIO = 10
"""Smallest ratio of pgBadger's CPU seconds to ours that passes."""


@dataclass(frozen=True)
class Run:
    """CPU seconds and peak memory of a finished process, and its output."""

    cpu_s: float
    peak_mib: float
    output: bytes


def main() -> int:
    """Make a log, read it, and return 1 if a figure misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--size", type=int, default=500, help="Size of the log, in MB [default: 500].")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="postgresql_log.") as folder:
        log = Path(folder) / "postgresql.log.2026-11-23-10"
        truth = written(log, chosen.size * MB)
        runs = [run(*DIGEST, str(log))]
        check(json.loads(runs[0].output), truth)
        print(
            f"{log.stat().st_size / MB:.0f} MB, {truth.total():,} executions; exact: events, calls of each statement, no byte lost"
        )
        peer = run(*PGBADGER, f"{folder}/out.json", str(log)) if shutil.which("pgbadger") else None
        runs.append(run(*DIGEST, str(log)))
    cpu_s, peak_mib = min(one.cpu_s for one in runs), max(one.peak_mib for one in runs)
    print(
        f"digest: {cpu_s:.1f} CPU s, peak {peak_mib:.0f} MiB, {compiled_parts()}; load {os.getloadavg()[0]:.1f}"
    )
    if peer is None:
        print("pgbadger is not installed: apt-get install pgbadger")
        return int(peak_mib > MOST_MIB)
    ratio = peer.cpu_s / cpu_s
    print(
        f"pgBadger: {peer.cpu_s:.1f} CPU s, peak {peer.peak_mib:.0f} MiB: {ratio:.1f} times the CPU of digest"
    )
    return int(peak_mib > MOST_MIB or ratio < LEAST_RATIO)


def compiled_parts() -> str:
    """Return which part of reading a PostgreSQL log is compiled: only the sort of the durations."""
    if compiled.library() is None:
        return "all of it in Python"
    return "lexer, grammar and sessions in Python, only the sort of the durations (_scanner.sort) compiled"


def run(*command: str) -> Run:
    """Run a command and return what it took."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        output.seek(0)
        return Run(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output.read())


def check(found: dict, truth: Counter[str]) -> None:
    """Compare what `digest` found with what was written."""
    assert found["events"] == truth.total(), (found["events"], truth.total())
    assert {row["fingerprint"]: row["calls"] for row in found["profile"]} == dict(truth)
    assert (found["coverage"]["lost"], found["coverage"]["lost_bytes"], found["coverage"]["cut"]) == (0, 0, 0)


def written(log: Path, size: int) -> Counter[str]:
    """Write a log of this size [bytes], and return the calls of each fingerprint."""
    truth: Counter[str] = Counter()
    with log.open("w") as file:
        for text, fingerprint in entries(random.Random(17)):
            file.write(text)
            if fingerprint:
                truth[fingerprint] += 1
            if file.tell() > size:
                return truth
    raise AssertionError


def entries(r: random.Random) -> Iterator[tuple[str, str]]:
    """Yield entries without an end, each with the fingerprint of its execution, empty if it is none."""
    second = 0
    while True:
        second += r.random() < 0.001
        pid, number = r.randint(1000, 1199), r.randint(1, 10**6)
        start = f"2026-11-23 {10 + second // 3600:02}:{second // 60 % 60:02}:{second % 60:02} UTC:10.0.{pid % 4}.{pid % 250}({pid + 30000}):app{pid % 5}@shop:[{pid}]:"
        took = f"LOG:  duration: {r.expovariate(1) * 5:.3f} ms  "
        kind = r.random()
        if kind < 0.35:
            yield (
                f"{start}{took}statement: SELECT id, state FROM orders WHERE customer = {number} AND state = 'open' LIMIT 10\n",
                "select id, state from orders where customer = ? and state = ? limit ?",
            )
        elif kind < 0.55:
            yield (
                f"{start}{took}statement: UPDATE stock SET units = units - {number % 9} WHERE sku = 'A{number}' AND shop = {pid % 7}\n",
                "update stock set units = units - ? where sku = ? and shop = ?",
            )
        elif kind < 0.60:
            rows = ", ".join(f"({number + n}, 'line {n}', {n}.5, NULL)" for n in range(r.randint(1, 20)))
            yield (
                f"{start}{took}statement: INSERT INTO lines (id, note, price, tax) VALUES {rows}\n",
                "insert into lines(id, note, price, tax) values(?+)",
            )
        elif kind < 0.85:
            sql = "SELECT a.id, b.name FROM accounts a JOIN branches b ON b.id = a.branch WHERE a.id = $1 AND b.open = $2"
            detail = f"{start}DETAIL:  parameters: $1 = '{number}', $2 = 't'\n"
            for step in ("parse", "bind"):
                yield f"{start}{took}{step} S_1: {sql}\n" + detail * (step == "bind"), ""
            yield (
                f"{start}{took}execute S_1: {sql}\n{detail}",
                "select a.id, b.name from accounts a join branches b on b.id = a.branch where a.id = ? and b.open = ?",
            )
        elif kind < 0.97:
            yield (
                f"{start}{took}statement: SELECT count(*)\n\tFROM events\n\tWHERE kind IN ({number}, {number + 1})\n\t  AND note <> 'it''s {number}' -- job\n",
                "select count(*) from events where kind in(?+) and note <> ?",
            )
        elif kind < 0.99:
            yield (
                f"{start}LOG:  process {pid} still waiting for ShareLock on transaction {number} after 1000.1 ms\n{start}DETAIL:  Process holding the lock: 1. Wait queue: {pid}.\n{start}STATEMENT:  SELECT 1\n",
                "",
            )
        else:
            yield f"{start.replace('10.0.', '', 1)}LOG:  checkpoint starting: time\n", ""


if __name__ == "__main__":
    raise SystemExit(main())
