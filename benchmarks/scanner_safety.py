"""Whether the compiled scanner gives what Python gives, and stays within its buffers: `python3 dev.py bench scanner_safety`.

- `statements`: random statements; the fingerprint of each shape is that of its statement.
- `logs`: broken logs of the gallery, in chunks of any size; the whole profile is the same.
- `tables`: the same for what `ingest` records; every column of every row is the same.
- `sanitized`: all three again, fewer, with a library that is compiled with AddressSanitizer and UndefinedBehaviorSanitizer.

It prints how many inputs were compared, and stops at the first that differs. With `--ledger FILE` each study takes the next
seed that the file has not used for this source of the scanners, in rounds of `--count`, until `--cpu-seconds` are used; the
file and the last line have the total.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import scanner_cases as cases  # noqa: E402

import hatch_build  # noqa: E402
from aurora_analysis.engines import compiled  # noqa: E402
from aurora_analysis.engines.mysql.fingerprint import FingerprintCache, statement  # noqa: E402
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode  # noqa: E402

SOURCES = sorted(
    path
    for folder in ("slow_log", "fingerprint")
    for path in (ROOT / "aurora_analysis/engines/mysql" / folder).iterdir()
    if path.suffix in {".c", ".h", ".py"}
)
"""Both scanners: after a change of theirs the counts of a ledger begin again."""

MODES = (DEFAULT_MODE, SqlMode(backslash_escapes=False))
WIDTHS = (1, 16, 32, 64)
"""Bytes that the searches take at a time: of other processors, and of this one."""

SANITIZERS = "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
LIBRARY = "AURORA_ANALYSIS_BENCH_LIBRARY"


def main() -> int:
    """Run the studies that are named, or all."""
    studies: dict[str, Callable[[int, int], int]] = {
        "statements": statements,
        "logs": logs,
        "tables": tables,
        "sanitized": sanitized,
    }
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("studies", nargs="*", metavar="|".join(studies))
    parser.add_argument(
        "--count",
        type=int,
        default=1_000_000,
        help="Statements; a tenth of it are logs, for profiles and for tables each.",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ledger", type=Path, help="JSON lines, one for each round.")
    parser.add_argument("--cpu-seconds", type=float, default=600, help="Of all rounds with a ledger.")
    chosen = parser.parse_args()
    if LIBRARY in os.environ:
        use(Path(os.environ[LIBRARY]))
    if compiled.library() is None:
        print("The scanner is not compiled: see CONTRIBUTING.md.", file=sys.stderr)
        return 2
    named = {name: studies[name] for name in chosen.studies or studies}
    if chosen.ledger is not None:
        rounds(named, chosen.count, chosen.ledger, chosen.cpu_seconds)
        return 0
    for name, study in named.items():
        print(f"## {name}", flush=True)
        study(chosen.count, chosen.seed)
    return 0


def rounds(named: dict[str, Callable[[int, int], int]], count: int, ledger: Path, cpu_s: float) -> None:
    """Run studies in turn with seeds that the ledger does not have, and add each round to it."""
    source = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:12]
    while time.process_time() < cpu_s:
        for name, study in named.items():
            seed = (
                max([one["seed"] for one in _recorded(ledger, source) if one["study"] == name], default=0) + 1
            )
            print(f"## {name}, seed {seed}", flush=True)
            line = {"source": source, "study": name, "seed": seed, "inputs": study(count, seed)}
            with ledger.open("a") as file:
                file.write(json.dumps(line) + "\n")
    found = _recorded(ledger, source)
    sums = {name: sum(one["inputs"] for one in found if one["study"] == name) for name in named}
    parts = ", ".join(f"{total:,} {name}" for name, total in sums.items())
    print(f"{sum(sums.values()):,} inputs of source {source}: {parts}; no difference.", flush=True)


def _recorded(ledger: Path, source: str) -> list[dict[str, Any]]:
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return [one for one in map(json.loads, lines) if one["source"] == source]


def use(path: Path) -> None:
    """Use this library instead of the package's."""
    name = "aurora_analysis.engines.mysql.slow_log._scanner"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module


def any_width(r: random.Random) -> None:
    """Let the scanner search as another processor would."""
    compiled.library().width(r.choice(WIDTHS))


def statements(count: int, seed: int) -> int:
    """Compare the fingerprints of random statements."""
    r, taken, started = random.Random(seed), 0, time.process_time()
    for _ in range(0, count, 200):
        any_width(r)
        mode, texts = r.choice(MODES), [cases.statement(r) for _ in range(200)]
        known = FingerprintCache(mode)
        for place, shape in cases.shapes(texts, mode).items():
            sql = (texts[place] + b";").decode("utf-8", "replace")
            assert known.of_shape(shape) == statement(sql, mode), f"seed {seed}: {mode} {sql!r} {shape!r}"
            taken += 1
    print(f"{count:,} statements, of which the scanner took {taken:,}: each has the fingerprint of its text; "
          f"{time.process_time() - started:.0f} CPU s", flush=True)  # fmt: skip
    return count


def logs(count: int, seed: int) -> int:
    """Compare the profiles of broken logs; there are ten times fewer of them than statements."""
    r, started, size = random.Random(seed), time.process_time(), 0
    for n in range(count // 10):
        any_width(r)
        text = cases.broken(r)
        size += len(text)
        by_c, by_python = cases.both(text, r.choice((7, 100, 10**6)), r.choice(MODES))
        assert by_c == by_python, f"log {n} of seed {seed}: {text!r}"
    print(f"{count // 10:,} broken logs ({size / 1e6:,.0f} MB): each has one profile and one account; "
          f"{time.process_time() - started:.0f} CPU s", flush=True)  # fmt: skip
    return count // 10


def tables(count: int, seed: int) -> int:
    """Compare what `ingest` records of broken logs, in batches of any size."""
    r, started, rows = random.Random(seed), time.process_time(), 0
    for n in range(count // 10):
        any_width(r)
        text = cases.broken(r)
        by_c, by_python = cases.both_tables(
            text, r.choice((7, 100, 10**6)), r.choice(MODES), r.choice((1, 5, 1000))
        )
        assert by_c == by_python, f"log {n} of seed {seed}: {text!r}"
        rows += len(by_c[1])
    print(f"{count // 10:,} broken logs ({rows:,} rows): each has one account and the same tables; "
          f"{time.process_time() - started:.0f} CPU s", flush=True)  # fmt: skip
    return count // 10


def sanitized(count: int, seed: int) -> int:
    """Do all three again with sanitizers, on a tenth of the inputs."""
    compiler = hatch_build.compiler()
    if not compiler:
        raise SystemExit("There is no C compiler.")
    runtime = subprocess.run(
        [*compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "_scanner.so"
        flags = [flag for flag in hatch_build.flags() if flag not in {"-s", "-O2"}]
        headers = f"-I{sysconfig.get_path('include')}"
        source = str(ROOT / hatch_build.SOURCE)
        subprocess.run([*compiler, *flags, *SANITIZERS.split(), headers, source, "-o", str(path)], check=True)
        seen = os.environ | {
            LIBRARY: str(path),
            "LD_PRELOAD": runtime.stdout.strip(),
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",  # Python itself leaves memory at its end
            "PYTHONMALLOC": "malloc",  # so that a buffer of Python has its own end
        }
        command = [
            sys.executable,
            __file__,
            "statements",
            "logs",
            "tables",
            "--count",
            str(count // 10),
            "--seed",
            str(seed + 1),
        ]
        done = subprocess.run(command, env=seen, check=False)
    if done.returncode:
        raise SystemExit(f"A sanitizer, or the comparison, stopped the run: exit code {done.returncode}.")
    print("AddressSanitizer and UndefinedBehaviorSanitizer found nothing.", flush=True)
    return count // 10 + count // 100 * 2


if __name__ == "__main__":
    sys.exit(main())
