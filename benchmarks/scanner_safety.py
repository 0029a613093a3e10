"""Whether the compiled scanner gives what Python gives, and stays within its buffers: `python3 dev.py bench scanner_safety`.

- `statements`: random statements; the fingerprint of each shape is that of its statement.
- `logs`: broken logs of the gallery, in chunks of any size; the whole profile is the same.
- `tables`: the same for what `ingest` records; every column of every row is the same.
- `sanitized`: all three again, fewer, with a library that is compiled with AddressSanitizer and UndefinedBehaviorSanitizer.

It prints how many inputs were compared, and stops at the first that differs.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import scanner_cases as cases  # noqa: E402

import hatch_build  # noqa: E402
from aurora_analysis.engines import compiled  # noqa: E402
from aurora_analysis.engines.mysql.fingerprint import FingerprintCache, statement  # noqa: E402
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode  # noqa: E402

MODES = (DEFAULT_MODE, SqlMode(backslash_escapes=False))
WIDTHS = (1, 16, 32)
"""Bytes that the searches take at a time: of other processors, and of this one."""

SANITIZERS = "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
LIBRARY = "AURORA_ANALYSIS_BENCH_LIBRARY"


def main() -> int:
    """Run the studies that are named, or all."""
    studies: dict[str, Callable[[int, int], None]] = {
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
    chosen = parser.parse_args()
    if LIBRARY in os.environ:
        use(Path(os.environ[LIBRARY]))
    if compiled.library() is None:
        print("The scanner is not compiled: see CONTRIBUTING.md.", file=sys.stderr)
        return 2
    for name in chosen.studies or studies:
        print(f"## {name}", flush=True)
        studies[name](chosen.count, chosen.seed)
    return 0


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


def statements(count: int, seed: int) -> None:
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


def logs(count: int, seed: int) -> None:
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


def tables(count: int, seed: int) -> None:
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


def sanitized(count: int, seed: int) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
