"""Measure speed, memory and exactness of reading slow logs: `python3 dev.py bench slow_log`.

Speed is a ratio of CPU seconds of whole processes that alternate on one log (A B A B), because a shared machine changes
every absolute number. The studies, all by default: speed, start, processes, memory, columns, ingest, hostile, mutated. Each study runs
in a separate process, because the system counts the peak memory of a parent process as that of its child.

`--gallery FOLDER` reads a folder of logs instead, such as another parser's test cases. Beside `NAME.log` may stand
`NAME.jsonl`: an execution a line, with the fields of `digest --format jsonl` that are known.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aurora_analysis.engines import compiled
from aurora_analysis.engines.mysql import slow_log
from aurora_analysis.errors import Error
from aurora_analysis.sources import profile

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import slow_log_generator as generator  # noqa: E402
from scanner_cases import broken, cut_up  # noqa: E402

MB = 1_000_000
MILLION = 1_000_000
ROWS = "import sys, deltalake; print(deltalake.DeltaTable(sys.argv[1]).count())"

SPAWN = multiprocessing.get_context("spawn")
DIGEST = [sys.executable, "-m", "aurora_analysis", "digest", "--format", "json"]


@dataclass
class Run:
    """Seconds of a finished process and its descendants, and the peak memory of the largest one."""

    cpu_s: float
    wall_s: float
    peak_mib: float
    output: bytes


def main() -> int:
    """Run the chosen studies; return the exit code of the first that fails."""
    studies: dict[str, Callable[..., None]] = {
        "speed": speed,
        "start": start,
        "processes": processes,
        "memory": memory,
        "columns": columns,
        "ingest": ingest,
        "hostile": hostile,
        "mutated": mutated,
    }
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("studies", nargs="*", metavar="|".join(studies))
    parser.add_argument(
        "--folder", type=Path, help="Folder for the logs, which are kept [default: a temporary folder]."
    )
    parser.add_argument("--rounds", type=int, default=3, help="Runs of each program [default: 3].")
    parser.add_argument("--gallery", type=Path, help="Compare this folder's logs with their .jsonl files.")
    chosen = parser.parse_args()
    if chosen.gallery:
        return gallery(chosen.gallery)
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="slow_log_bench."))
    folder.mkdir(exist_ok=True)
    try:
        for name in chosen.studies or studies:
            print(f"## {name}", flush=True)
            rounds = (chosen.rounds,) if studies[name] in (speed, start, processes, columns) else ()
            study = SPAWN.Process(target=studies[name], args=(folder, *rounds))
            study.start()
            study.join()
            if study.exitcode:
                return study.exitcode
    finally:
        if chosen.folder is None:
            shutil.rmtree(folder)
    return 0


def speed(folder: Path, rounds: int = 3) -> None:
    """Compare CPU seconds with pt-query-digest and grep, on 512 MB, and every sum with the generator's truth."""
    for kind in ("mix", "oltp"):
        log, truth = made(folder, kind, 512 * MB)
        small, _ = made(folder, kind)
        ours, greps = [], []
        for _ in range(rounds):
            ours.append(run(*DIGEST, "--processes", "1", str(log)))
            greps.append(grep(log))
        check(json.loads(ours[0].output), truth)
        print(f"{kind}: {log.stat().st_size / MB:.0f} MB, {truth['events']:,} events, {cpu(ours):.2f} CPU s, "
              f"peak {max(one.peak_mib for one in ours):.0f} MiB; exact: events, four sums, "
              f"{truth['templates']} templates = {truth['templates']} fingerprints; load {os.getloadavg()[0]:.1f}")  # fmt: skip
        print(
            f"  {cpu(ours) / cpu(greps):.1f} times the CPU of grep -ac ({cpu(greps):.3f} CPU s)", flush=True
        )
        if shutil.which("pt-query-digest"):
            peer = run("pt-query-digest", "--no-report", str(log))
            again = [run(*DIGEST, "--processes", "1", str(log)) for _ in range(rounds)]
            print(f"  {peer.cpu_s / cpu(ours):.0f} times as fast as pt-query-digest --no-report by the runs before it, "
                  f"{peer.cpu_s / cpu(again):.0f} times by those after it ({peer.cpu_s:.1f} CPU s, peak {peer.peak_mib:.0f} MiB)", flush=True)  # fmt: skip
        pure = run(*DIGEST, str(small), pure=True)
        assert json.loads(pure.output) == json.loads(run(*DIGEST, str(small)).output)
        print(f"  in pure Python, {small.stat().st_size / MB:.0f} MB take {pure.cpu_s:.2f} CPU s", flush=True)


def start(folder: Path, rounds: int = 3) -> None:
    """Measure what a file of 3 kB takes: the start of the program."""
    log = folder / "small.log"
    with made(folder, "oltp")[0].open("rb") as large:
        log.write_bytes(large.read(3000))
    runs = [run(*DIGEST, str(log)) for _ in range(3 * rounds)]
    print(f"3 kB: {cpu(runs):.3f} CPU s", flush=True)


def grep(log: Path) -> Run:
    """Count the headers with grep, which must write into a file: it stops at the first one if nobody reads."""
    with tempfile.NamedTemporaryFile() as out:
        return run("sh", "-c", f"LC_ALL=C grep -ac '^# User@Host' '{log}' > '{out.name}'")


def processes(folder: Path, rounds: int = 3) -> None:
    """Compare one process with two, on 512 MB, in pairs of runs: a machine's clock varies more from minute to minute.

    Which of a pair runs first alternates. The busy cores, CPU seconds per wall-clock second of two processes, do not
    depend on the clock at all.
    """
    for kind in ("mix", "oltp"):
        log = repeated(folder, kind, 8)
        pairs = []
        for n in range(PAIRS * rounds):
            order = (1, 2) if n % 2 else (2, 1)
            runs = {count: run(*DIGEST, "--processes", str(count), str(log)) for count in order}
            pairs.append((runs[1], runs[2]))
        profiles = [json.loads(done.output)["profile"] for done in pairs[0]]
        assert profiles[0] == profiles[1], "two processes give a different profile"
        faster = quartiles([one.wall_s / two.wall_s for one, two in pairs])
        more = quartiles([two.cpu_s / one.cpu_s for one, two in pairs])
        busy = quartiles([two.cpu_s / two.wall_s for _, two in pairs])
        wall = [statistics.median(each.wall_s for each in runs) for runs in zip(*pairs)]
        print(f"{kind}: two processes are {faster} times as fast as one ({wall[1]:.2f} and {wall[0]:.2f} s), for {more} times "
              f"the CPU time, and keep {busy} cores busy; the same profile; {len(pairs)} pairs, load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
        log.unlink()


PAIRS = 8
"""Pairs of runs in a round of `processes`."""


def quartiles(values: list[float]) -> str:
    """Median and quartiles as text."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def memory(folder: Path) -> None:
    """Measure the peak memory of one process on 0.5 GB and on 2 GB."""
    for kind, times in (("mix", 8), ("oltp", 8), ("mix", 32), ("oltp", 32)):
        log = repeated(folder, kind, times)
        done = run(*DIGEST, "--processes", "1", str(log))
        events = json.loads(done.output)["events"]
        print(
            f"{kind}, {log.stat().st_size / MB:,.0f} MB, {events:,} events: peak {done.peak_mib:.0f} MiB",
            flush=True,
        )
        log.unlink()


def columns(folder: Path, rounds: int = 3) -> None:
    """Compare the CPU seconds of ingesting 64 MB with the compiled scanner and in pure Python."""
    for kind in ("mix", "oltp"):
        log, truth = made(folder, kind)
        ours, pures = [], []
        for n in range(rounds):
            for runs, pure in ((ours, False), (pures, True)):
                store = folder / f"store-{kind}-{n}-{pure}"
                to = ("--cluster", "bench", "--instance", "bench-1", "--store", str(store))
                runs.append(run(sys.executable, "-m", "aurora_analysis", "ingest", *to, str(log), pure=pure))
                rows = int(
                    run(
                        sys.executable, "-c", ROWS, str(next((store / "slow_queries").glob("cluster=*")))
                    ).output
                )
                assert rows == truth["events"], f"{rows} rows of {truth['events']} executions"
                shutil.rmtree(store)
        print(f"{kind}: ingest of 64 MB takes {cpu(ours):.2f} CPU s, {cpu(pures):.2f} in pure Python: "
              f"{cpu(pures) / cpu(ours):.1f} times as fast; load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip


def ingest(folder: Path) -> None:
    """Measure the peak memory of ingesting 0.5 GB, the same log again, 2 GB, and a million distinct statements."""
    half, two = (made(folder, "mix", size * MB) for size in (512, 2048))
    million = (hostile_log(folder), {"events": MILLION})
    store = folder / "store"
    to = ("--cluster", "bench", "--instance", "bench-1", "--store", str(store))
    for (log, truth), times in ((half, 2), (two, 1), (million, 1)):
        for _ in range(times):
            done = run(sys.executable, "-m", "aurora_analysis", "ingest", *to, str(log))
            rows = int(
                run(sys.executable, "-c", ROWS, str(next((store / "slow_queries").glob("cluster=*")))).output
            )
            assert rows == truth["events"], f"{rows} rows of {truth['events']} executions"
            print(f"{log.name}, {log.stat().st_size / MB:,.0f} MB, {rows:,} executions in the store: "
                  f"peak {done.peak_mib:.0f} MiB, {done.cpu_s:.0f} CPU s", flush=True)  # fmt: skip
        shutil.rmtree(store)
        log.unlink()


def hostile(folder: Path) -> None:
    """Measure the peak memory on a million distinct statements, and check that the totals stay exact."""
    log, count = hostile_log(folder), MILLION
    done = run(*DIGEST, str(log))
    digest = json.loads(done.output)
    assert digest["events"] == count == sum(row["calls"] for row in digest["profile"])
    assert digest["sums"] == {"query_time_s": count / 1000, "lock_time_s": count / 1e6, "rows_sent": count, "rows_examined": 2 * count}  # fmt: skip
    print(f"{count:,} distinct fingerprints, {log.stat().st_size / MB:.0f} MB: peak {done.peak_mib:.0f} MiB, "
          f"{digest['digests']:,} rows, totals exact, {done.cpu_s:.0f} CPU s", flush=True)  # fmt: skip
    log.unlink()


def hostile_log(folder: Path) -> Path:
    """Write a log with a million executions of distinct statements."""
    log = folder / "hostile.log"
    with log.open("wb") as out:
        for n in range(MILLION):
            out.write(
                b"# Time: 2026-11-23T10:00:00.%06dZ\n# User@Host: u%d[u] @  [10.0.0.1]  Id: %d\n"
                b"# Query_time: 0.001000  Lock_time: 0.000001 Rows_sent: 1  Rows_examined: 2\n"
                b"SET timestamp=1795429471;\nSELECT c%d FROM t%d WHERE d = %d;\n" % (n, n % 5000, n, n, n, n)
            )
    return log


def mutated(_: Path, count: int = 100_000, seed: int = 1) -> None:
    """Read randomly damaged logs of the gallery: no exception is raised, and every byte is accounted for.

    Each log is read event by event; one in a hundred is also read into tables.
    """
    r = random.Random(seed)
    started, events, damage = time.process_time(), 0, 0
    for n in range(count):
        text = broken(r)
        account = slow_log.Account()
        try:
            for event in slow_log.events(slow_log.entries(cut_up(r, text), account)):
                json.dumps(slow_log.record(event, with_sql=True))
                events += 1
            if n % 100 == 0:
                list(slow_log.read_slow_log([text]))
        except Exception:
            print(f"log {n} of seed {seed} raised on {text!r}")
            raise
        assert account.bytes == len(text) and account.lost_bytes <= len(text)
        damage += account.damage
    print(f"{count:,} mutated logs: no exception; {events:,} events read, {damage:,} reported as damaged or lost; "
          f"{time.process_time() - started:.0f} CPU s", flush=True)  # fmt: skip


def gallery(folder: Path) -> int:
    """Compare counts and fields of a folder's logs with what is expected; return 1 if any differs."""
    right, compared, equal, fields = 0, 0, 0, 0
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and each.suffix != ".jsonl"):
        account, lines = slow_log.Account(), list[str]()
        try:
            profile.write_lines([str(path)], account, lines.extend, with_sql=True)
        except Error as problem:
            print(f"{path.name}: {problem}")
        found = [json.loads(line) for line in lines]
        beside = path.with_suffix(".jsonl")
        if not beside.exists():
            print(f"{path.name}: {account}")
            continue
        expected = [json.loads(line) for line in beside.read_text().splitlines()]
        compared += 1
        right += len(found) == len(expected)
        if len(found) != len(expected):
            print(f"{path.name}: {len(found)} executions, {len(expected)} expected; {account}")
        for n, (one, other) in enumerate(zip(found, expected), 1):
            for name, value in other.items():
                fields += 1
                equal += one.get(name) == value
                if one.get(name) != value:
                    print(f"{path.name}, execution {n}, {name}: {one.get(name)!r}, expected {value!r}")
    share = f", {equal:,} of {fields:,} fields equal ({equal / fields:.1%})" if fields else ""
    print(f"{right} of {compared} logs have the expected number of executions{share}")
    return int(right < compared or equal < fields)


def made(folder: Path, kind: str, size: int = 64 * MB) -> tuple[Path, dict[str, int]]:
    """Return a log and its true counts; generate both on first use."""
    name = f"{kind}{size // MB}"
    log, counted = folder / f"{name}.log", folder / f"{name}.json"
    if not log.exists():
        truth = generator.Truth()
        with log.open("wb") as out:
            out.writelines(generator.log(size, truth, mix=kind == "mix"))
        counts = vars(truth) | {"templates": len(truth.templates)}
        counted.write_text(json.dumps(counts))
    return log, json.loads(counted.read_text())


def repeated(folder: Path, kind: str, times: int) -> Path:
    """Write a log that repeats the generated one."""
    log, _ = made(folder, kind)
    large = folder / f"{kind}x{times}.log"
    with large.open("wb") as out:
        for _ in range(times):
            with log.open("rb") as one:
                shutil.copyfileobj(one, out)
    return large


def check(digest: dict, truth: dict[str, int]) -> None:
    """Compare every count and sum, and the number of statements, with the truth."""
    sums = digest["sums"]
    found = {
        "events": digest["events"],
        "query_time_us": round(sums["query_time_s"] * 1e6),
        "lock_time_us": round(sums["lock_time_s"] * 1e6),
        "rows_sent": sums["rows_sent"],
        "rows_examined": sums["rows_examined"],
        "templates": digest["digests"],
    }
    assert found == truth, f"{found} is not {truth}"


def run(*command: str, pure: bool = False) -> Run:
    """Run a process, on request without the compiled scanner; return its output, time and memory."""
    started = time.monotonic()
    # Without bytecode, each run would compile click and our modules: 40 ms.
    seen = os.environ | {compiled.PURE: "1" if pure else "0", "PYTHONDONTWRITEBYTECODE": ""}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=seen)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Run(used.ru_utime + used.ru_stime, time.monotonic() - started, used.ru_maxrss / 1024, output)


def cpu(runs: list[Run]) -> float:
    """Median CPU seconds."""
    return statistics.median(run.cpu_s for run in runs)


if __name__ == "__main__":
    sys.exit(main())
