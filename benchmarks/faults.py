"""Kill commands at random moments, stall a server, and watch for minutes: `python3 dev.py bench faults`.

The studies, all by default; the exit code is 1 if one misses its limit:

- kills: SIGKILL of watch, fetch, ingest, report and experiment, `--kills` times each at a random moment. Afterwards no process
  of theirs runs, every table of the store can be read, and the next run of the same command completes it: the same rows as
  without a kill. A report is there as a whole or not at all. Every sample that a watch printed is
  in the store once the next one has run.
- dask: SIGKILL of a worker, of the command and of the scheduler (which starts again) in the middle of ingest, fetch and report
  on a Dask cluster, `--dask-kills` times each. A lost worker is replaced; after a lost scheduler the command exits with 1 and
  one line; the next run leaves the same rows and pages as a run without a fault.
- s3: the same commands on Dask and S3, `--dask-kills` times with each fault from a random moment on: 30 % of the requests are
  answered by 503, half of them after they were carried out; all of them; 10 % of the answers are late by up to 2 s; access to
  one prefix is denied. A command that cannot go on exits with 1 and a line; what coverage marks as received is there as a
  whole; once S3 is well, the next run leaves the same content as a run without a fault.
- writers: two fetches, a watch, a compact and reports at the same time on one S3 store for `--writer-minutes`: no row of the
  fetches and no sample that the watch printed is lost or there twice.
- migrate: SIGKILL of `store migrate`, `--kills` times; the store is whole before and after, in the old layout or the new one.
- stall: the server is stopped (SIGSTOP) for 12 s; the watch may lose 15 s of samples.
- soak: seven minutes at one sample a second beside 200 connections; memory stays flat, and each line names the holder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import _dask_faults
import _s3_faults
import _s3_writers
import dask_cluster
import earlier_store
from _sample_aws import aws
from live_server import prepare, written_to

from aurora_analysis import Store
from aurora_analysis.lab import server
from aurora_analysis.lab.server import Server
from aurora_analysis.tables import TABLES

ROOT = Path(__file__).parent.parent
GRACE_S = 10.0
"""Time in which everything that a killed command started must have ended."""

STALL_S, MOST_STALL_LOST_S = 12.0, 15.0
FAULTS = (*_dask_faults.FAULTS, *_s3_faults.FAULTS)
MARK = "AURORA_ANALYSIS_BENCH"
"""Variable that marks the processes of one run."""


@dataclass
class Tally:
    """Counts of one command's kills."""

    kills: int = 0
    late: int = 0
    problems: list[str] = field(default_factory=list)
    lost: str = ""

    def count(self, is_done: bool) -> None:
        self.kills += not is_done
        self.late += is_done
        if not is_done and self.kills % 10 == 0:
            print(f"    {self.line('so far')}", file=sys.stderr, flush=True)

    def line(self, name: str) -> str:
        return f"{name:10} {self.kills} kills, {self.late} came after the end{self.lost}, problems {len(self.problems)}"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "aurora_analysis", *words]


def ran(
    words: list[str],
    environment: dict[str, str],
    after_s: float | None,
    lines: IO[str] | int = subprocess.PIPE,
) -> tuple[bool, str]:
    """Run a command, and kill it after a time; return whether it ended by itself, and its last output.

    What it started and still runs after the grace period, and the temporary files that it left, are reported as a line that begins
    with "left".
    """
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory() as scratch:
        with subprocess.Popen(
            words,
            env=environment | {MARK: mark, "TMPDIR": scratch},
            stdout=lines,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=after_s)
                return True, f"exit code {process.returncode}: {(said or '')[-300:]}"
            except subprocess.TimeoutExpired:
                process.kill()
        deadline = time.monotonic() + GRACE_S
        while (left := marked(mark) + os.listdir(scratch)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return False, f"left: {left}" if left else ""


def marked(mark: str) -> list[int]:
    """Processes that run with this mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def content(place: Path) -> dict[str, tuple[int, float]]:
    """Rows of each cluster's tables, and the sum of their numbers: a table that is half-written cannot be read."""
    found = {}
    store = Store(place)
    for cluster in store.clusters() if place.exists() else ():
        for table in TABLES:
            frame = store.read(table, cluster=cluster)
            total = float(frame.select_dtypes("number").fillna(0).to_numpy(dtype=float).sum())
            found[f"{cluster} {table}"] = (len(frame), float(f"{total:.9g}"))
    return found


Words = Callable[[Path], list[str]]


def resumed(
    words: Words, environment: dict[str, str], folder: Path, chosen: argparse.Namespace, rng: random.Random
) -> Tally:
    """Kill a command that fills a store; the runs after a kill go on with the same store, until it is complete."""
    whole, tally = folder / "whole", Tally()
    began = time.monotonic()
    is_done, said = ran(words(whole), environment, None)
    lasts_s, wanted = time.monotonic() - began, content(whole)
    place = folder / "killed"
    while tally.kills < chosen.kills:
        is_done, said = ran(words(place), environment, rng.uniform(0.05, 1.0) * lasts_s)
        tally.count(is_done)
        if said.startswith("left"):
            tally.problems.append(said)
        try:
            found = content(place)
        except Exception as problem:  # any failure to read is the finding
            tally.problems.append(f"not readable: {problem}")
            break
        if is_done or tally.kills == chosen.kills:
            ran(words(place), environment, None)
            found = content(place)
            if found != wanted:
                tally.problems.append(f"other rows: {differences(found, wanted)}")
            shutil.rmtree(place)
    return tally


def differences(found: dict, wanted: dict) -> dict:
    return {
        name: (found.get(name), wanted.get(name))
        for name in found.keys() | wanted.keys()
        if found.get(name) != wanted.get(name)
    }


def ingest(chosen: argparse.Namespace, rng: random.Random, folder: Path) -> Tally:
    log = folder / "slow.log"
    text = (ROOT / "tests/slow_logs/aurora_mysql_3.log").read_bytes()
    with log.open("wb") as file:
        for number in range(3000):
            file.write(text.replace(b"2026-", b"20%02d-" % (10 + number % 17)))
    return resumed(
        lambda place: command("ingest", str(log), "--cluster", "a", "--instance", "b", "--store", str(place), "--quiet"),
        dict(os.environ), folder, chosen, rng,
    )  # fmt: skip


def fetch(chosen: argparse.Namespace, rng: random.Random, folder: Path) -> Tally:
    with aws() as (now, variables):
        span = ["--start", "2026-11-09T00:00", "--end", "2026-11-09T12:00", "--now", now]
        return resumed(
            lambda place: command("fetch", "--cluster", "shop", "--store", str(place), *span, "--quiet"),
            dict(os.environ) | variables, folder, chosen, rng,
        )  # fmt: skip


def report(chosen: argparse.Namespace, rng: random.Random, folder: Path) -> Tally:
    """A report is there as a whole, the earlier one or the new one, and no hidden folder stays."""
    tally, place = Tally(), folder / "reports" / "lab"
    words = command("report", "--cluster", "lab", "--notebook", "latency", "--output", str(place), "--store", str(ROOT / "data/sample"))  # fmt: skip
    began = time.monotonic()
    ran(words, dict(os.environ), None)
    lasts_s = time.monotonic() - began
    while tally.kills < chosen.kills:
        if rng.random() < 0.3:
            shutil.rmtree(place, ignore_errors=True)
        existed = place.exists()
        is_done, said = ran(words, dict(os.environ), rng.uniform(0.05, 1.0) * lasts_s)
        tally.count(is_done)
        if said.startswith("left"):
            tally.problems.append(said)
        if (existed or is_done) and not place.exists():
            tally.problems.append("the earlier report is gone")
        if place.exists():
            document = json.loads((place / "findings.json").read_text())
            missing = [one["page"] for one in document["notebooks"] if not (place / one["page"]).exists()]
            if missing or not (place / "index.html").exists():
                tally.problems.append(f"half a report: {missing}")
        hidden = [path.name for path in place.parent.iterdir() if path.name.startswith(".")]
        if hidden:
            tally.problems.append(f"hidden folders stay: {hidden}")
    return tally


def watch(chosen: argparse.Namespace, rng: random.Random, folder: Path) -> Tally:
    """Every sample that a killed watch printed is in the store once the next one has run."""
    tally, place, printed = Tally(), folder / "store", set[str]()
    environment = dict(os.environ) | {"XDG_STATE_HOME": str(folder / "state")}
    with server.running({"performance_schema": True}) as ours, written_to(prepare(ours)):
        address = f"mysql://root@/?unix_socket={ours.socket}"
        words = command(
            "watch", "--writer", address, "--store", str(place), "--cluster", "lab", "--every", "1s", "--for"
        )
        while tally.kills < chosen.kills:
            with (folder / "lines").open("w") as lines:
                is_done, said = ran([*words, "10m"], environment, rng.uniform(1, 45), lines)
            tally.count(is_done)
            if is_done or said.startswith("left"):
                tally.problems.append(said)
            printed |= {
                line[:8] for line in (folder / "lines").read_text().splitlines() if "history list" in line
            }
            try:
                content(place)
            except Exception as problem:
                tally.problems.append(f"not readable: {problem}")
                break
        ran([*words, "2s"], environment, None)
        stored = Store(place).metric("history_list_length", Store(place).span("lab"), cluster="lab").index
    missing = printed - {f"{one:%H:%M:%S}" for one in stored}
    tally.lost = f", {len(printed)} samples printed, {len(missing)} of them lost"
    if missing or len(stored) != len(set(stored)):
        tally.problems.append(f"samples that were printed are not stored once: {sorted(missing)[:5]}")
    return tally


def sessions(ours: Server) -> list[str]:
    """What other sessions run on a server."""
    with ours.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(info, '') FROM information_schema.processlist WHERE id <> CONNECTION_ID()"
        )
        return [text for (text,) in cursor.fetchall()]


def experiment(chosen: argparse.Namespace, rng: random.Random, folder: Path) -> Tally:
    """No query outlives its block by more than the grace period, recorded blocks stay, and the last run drops the canary's table."""
    tally, place = Tally(), folder / "store"
    (folder / "query.sql").write_text("SELECT COUNT(*), SLEEP(30), 'suspect' FROM trial.stock WHERE id = 1")
    recorded = 0
    with server.running({"performance_schema": True}) as ours:
        prepare(ours)
        address = f"mysql://root@/?unix_socket={ours.socket}"
        words = command("experiment", "--clone", "--writer", address, "--sql", str(folder / "query.sql"), "--run", "2s",
                        "--washout", "1s", "--hours", "0.2", "--baseline", "1s", "--seed", "1", "--store", str(place),
                        "--canary", "trial")  # fmt: skip
        while tally.kills < chosen.kills:
            is_done, said = ran(words, dict(os.environ), rng.uniform(1, 20))
            tally.count(is_done)
            if said.startswith("left"):
                tally.problems.append(said)
            deadline = time.monotonic() + GRACE_S
            while any("suspect" in one for one in sessions(ours)) and time.monotonic() < deadline:
                time.sleep(0.2)
            if any("suspect" in one for one in sessions(ours)):
                tally.problems.append("a query outlives the trial")
            try:
                rows = Store(place).read("trials", cluster="trial") if place.exists() else pd.DataFrame()
                content(place)
            except Exception as problem:
                tally.problems.append(f"not readable: {problem}")
                break
            done = int(rows["started_at"].notna().sum()) if len(rows) else 0
            if done < recorded:
                tally.problems.append(f"{recorded - done} recorded blocks are gone")
            recorded = done
            if is_done:
                shutil.rmtree(place, ignore_errors=True)
                recorded = 0
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as last:
            time.sleep(15)
            last.send_signal(signal.SIGINT)
            last.communicate()
        with ours.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'trial'")
            tables = sorted(name for (name,) in cursor.fetchall())
        if tables != ["stock"]:
            tally.problems.append(f"tables that stay: {tables}")
    return tally


KILLED = {"watch": watch, "fetch": fetch, "ingest": ingest, "report": report, "experiment": experiment}


def kills(chosen: argparse.Namespace) -> bool:
    is_good = True
    for name in chosen.commands or KILLED:
        with tempfile.TemporaryDirectory() as folder:
            tally = KILLED[name](chosen, random.Random(chosen.seed), Path(folder))
        print(tally.line(name), flush=True)
        for problem in dict.fromkeys(tally.problems):
            print(f"    {problem}", flush=True)
        is_good &= not tally.problems
    return is_good


# A Dask cluster


def dask(chosen: argparse.Namespace) -> bool:
    """Kill workers, commands and schedulers in the middle of commands on a Dask cluster."""
    with ExitStack() as stack:
        folder, rng = Path(stack.enter_context(tempfile.TemporaryDirectory())), random.Random(chosen.seed)
        now, variables = stack.enter_context(aws())
        cluster = stack.enter_context(dask_cluster.running(folder, variables=variables, threads=2))
        commands = _dask_faults.commands(folder, now, variables, content)
        wanted = [one for one in commands if one.name in (chosen.commands or KILLED)]
        return _dask_faults.study(cluster, wanted, folder, (chosen.faults, chosen.dask_kills), rng)


def s3(chosen: argparse.Namespace) -> bool:
    """Let S3 refuse, delay and deny while commands run on a Dask cluster."""
    wanted, rng = (chosen.commands, chosen.faults, chosen.dask_kills), random.Random(chosen.seed)
    with aws() as (now, variables), _s3_faults.on_dask(variables, chosen.attempts) as (bucket, cluster):
        return _s3_faults.study(cluster, bucket, now, wanted, rng)


def writers(chosen: argparse.Namespace) -> bool:
    """Let commands write into one store on S3 at the same time."""
    with tempfile.TemporaryDirectory() as folder, aws() as found:
        return _s3_writers.study(found, Path(folder), chosen.writer_minutes)


# A migration


def migrate(chosen: argparse.Namespace) -> bool:
    """The rows of a store of the earlier layout outlast every kill of its migration, and the last run completes it."""
    problems, rng = [], random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        earlier_store.make(folder / "made")
        words = command("store", "migrate", "--store")
        shutil.copytree(folder / "made", folder / "whole")
        began = time.monotonic()
        ran([*words, str(folder / "whole")], dict(os.environ), None)
        lasts_s, wanted = time.monotonic() - began, content(folder / "whole")
        for number in range(chosen.kills):
            place = folder / f"killed-{number}" / "store"
            shutil.copytree(folder / "made", place)
            ran([*words, str(place)], dict(os.environ), rng.uniform(0.3, 1.0) * lasts_s)
            ran([*words, str(place)], dict(os.environ), None)
            if content(place) != wanted:
                problems.append(f"other rows: {differences(content(place), wanted)}")
            shutil.rmtree(place.parent)
    print(f"migrate    {chosen.kills} kills, problems {len(problems)}", flush=True)
    for problem in dict.fromkeys(problems):
        print(f"    {problem}", flush=True)
    return not problems


# A stall


def stalled(ours: Server, place: Path, stall_s: float, before_s: float = 4.0, after_s: float = 6.0) -> float:
    """Watch a server that stops for a time; return the longest time between two of its samples [s]."""
    address = f"mysql://root@/?unix_socket={ours.socket}"
    words = command("watch", "--writer", address, "--store", str(place), "--every", "1s", "--for", f"{before_s + stall_s + after_s}s", "--quiet")  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        watching.stdout.readline()
        time.sleep(before_s)
        os.kill(ours.pid, signal.SIGSTOP)
        try:
            time.sleep(stall_s)
        finally:
            os.kill(ours.pid, signal.SIGCONT)
        watching.communicate()
    store = Store(place)
    times = store.metric("history_list_length", store.span("live"), cluster="live").index
    return float(pd.Series(times).diff().dt.total_seconds().max())


def stall(chosen: argparse.Namespace) -> bool:
    with server.running({"performance_schema": True}) as ours, tempfile.TemporaryDirectory() as folder:
        lost_s = stalled(prepare(ours), Path(folder), STALL_S)
    print(f"stall of {STALL_S:g} s: {lost_s:.0f} s without a sample (limit {MOST_STALL_LOST_S:g})")
    return lost_s <= MOST_STALL_LOST_S


# The soak


def memory_kib(pid: int) -> int:
    """Resident memory of a process [KiB]."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def soak(chosen: argparse.Namespace) -> bool:
    """Watch a holder among 200 connections, and measure the command's memory through the second half."""
    length_s = 60 * chosen.minutes
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        ours = prepare(
            stack.enter_context(server.running({"performance_schema": True, "max_connections": 400}))
        )
        stack.enter_context(written_to(ours))
        for number in range(200):
            one = stack.enter_context(ours.connect("app" if number % 2 else "etl"))
            if number % 3 == 0:
                one.cursor().execute("BEGIN")
        holder = stack.enter_context(ours.connect("etl"))
        with holder.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT COUNT(*) FROM trial.stock")
        address = f"mysql://root@/?unix_socket={ours.socket}"
        words = command(
            "watch", "--writer", address, "--store", folder, "--every", "1s", "--for", f"{length_s:.0f}s"
        )
        sizes: list[int] = []
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as watching:
            over = threading.Event()

            def measure() -> None:
                while not over.wait(5):
                    sizes.append(memory_kib(watching.pid))

            thread = threading.Thread(target=measure, daemon=True)
            thread.start()
            assert watching.stdout is not None
            lines = [line for line in watching.stdout if "history list" in line]
            over.set()
        session = holder.thread_id()
    named = [f"held by session {session} on" in line for line in lines[1:]]
    half = len(sizes) // 2
    middle, end = max(sizes[half - half // 2 : half + 1]) / 1024, max(sizes[-half // 2 :]) / 1024
    without = f"{len(lines)} lines, {len(named) - sum(named)} without the holder"
    memory = f"resident memory {middle:.0f} MiB in the second quarter, {end:.0f} MiB in the last"
    print(f"soak of {chosen.minutes:g} min: {without}; {memory}")
    return all(named) and len(named) > 0.9 * length_s and end <= 1.1 * middle


def main() -> int:
    studies: dict[str, Callable[[argparse.Namespace], bool]] = {
        "kills": kills,
        "dask": dask,
        "s3": s3,
        "writers": writers,
        "migrate": migrate,
        "stall": stall,
        "soak": soak,
    }
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("studies", nargs="*", metavar="|".join(studies))
    parser.add_argument("--commands", action="append", choices=sorted(KILLED), default=[])
    parser.add_argument("--kills", type=int, default=40, help="of each command [default: 40]")
    parser.add_argument("--dask-kills", type=int, default=10, help="of each command and fault [default: 10]")
    parser.add_argument("--faults", action="append", choices=FAULTS, default=[], help="dask, s3: these only")
    parser.add_argument("--attempts", type=int, default=10, help="s3: tries of a request [default: 10]")
    parser.add_argument("--writer-minutes", type=float, default=10.0, help="writers: duration [default: 10]")
    parser.add_argument("--minutes", type=float, default=7.0, help="soak: duration [default: 7]")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    passed = [studies[name](chosen) for name in chosen.studies or studies]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
