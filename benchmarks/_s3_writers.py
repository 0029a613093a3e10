"""Let two fetches, a watch, a compact and reports use one store on S3 at the same time: a study of `dev.py bench faults`."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import s3_server
from _dask_faults import running
from _s3_faults import differences, tables
from click.testing import CliRunner
from live_server import prepare, written_to

from aurora_analysis.cli import main
from aurora_analysis.lab import server

PLACE = "s3://kept/store"
BEGIN = pd.Timestamp("2026-11-08T00:00")
FETCHED = (
    "metrics",
    "db_load",
    "statement_metrics",
    "slow_queries",
    "events",
    "statements",
    "instances",
    "coverage",
)
"""Tables that a fetch writes, and whose rows of AWS are compared with those of fetches one after the other."""


class Writer:
    """A command that is run again and again in a thread of its own until a deadline."""

    def __init__(self, name: str, words: Iterator[list[str]], until: float, length_s: float) -> None:
        self.name, self.runs, self.problems, self.lines = name, 0, list[str](), list[str]()
        self.done: list[list[str]] = []
        self._words, self._until, self._length_s = words, until, length_s
        self.thread = threading.Thread(target=self._repeat)
        self.thread.start()

    def _repeat(self) -> None:
        while time.monotonic() < self._until and (words := next(self._words, None)):
            with running(words, {}) as run:
                code = run.process.wait(self._length_s + 600)
            self.runs += 1
            self.done.append(words)
            self.lines += run.lines
            if code != 0:
                self.problems.append(f"{self.name} exits with {code}: {run.lines[-2:]}")
                print(f"    {self.problems[-1]}", file=sys.stderr, flush=True)


def fetches(place: str, now: str, first: int) -> Iterator[list[str]]:
    """Yield a fetch of every other hour."""
    for hour in itertools.count(first, 2):
        start, end = (f"{BEGIN + pd.Timedelta(hours=n):%Y-%m-%dT%H:%M}" for n in (hour, hour + 1))
        yield [
            "fetch",
            "--cluster",
            "shop",
            "--store",
            place,
            "--start",
            start,
            "--end",
            end,
            "--now",
            now,
            "--quiet",
        ]


def study(aws: tuple[str, dict[str, str]], folder: Path, minutes: float) -> bool:
    """Run the commands together, print how often each ran, and return whether every row is there once."""
    now, variables = aws
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_server.running("kept"))
        stack.enter_context(
            patch.dict(
                os.environ, {**variables, **s3.variables, "AWS_ENDPOINT_URL": variables["AWS_ENDPOINT_URL"]}
            )
        )
        ours = prepare(stack.enter_context(server.running({"performance_schema": True})))
        stack.enter_context(written_to(ours))
        address = f"mysql://root@/?unix_socket={ours.socket}"
        length_s = 60 * minutes
        watch = [
            "watch",
            "--writer",
            address,
            "--store",
            PLACE,
            "--cluster",
            "shop",
            "--every",
            "1s",
            "--for",
            f"{length_s:.0f}s",
        ]
        report = [
            "report",
            "--store",
            PLACE,
            "--cluster",
            "shop",
            "--notebook",
            "latency",
            "--output",
            str(folder / "report"),
        ]
        words: dict[str, Callable[[], Iterator[list[str]]]] = {
            "fetch of even hours": lambda: fetches(PLACE, now, 0),
            "fetch of odd hours": lambda: fetches(PLACE, now, 1),
            "watch": lambda: iter([watch]),
            "compact": lambda: itertools.repeat(["store", "compact", "--store", PLACE]),
            "report": lambda: itertools.repeat(
                [*report, "--start", "2026-11-08T00:00", "--end", "2026-11-08T01:00"]
            ),
        }
        with running(
            next(words["fetch of even hours"]()), {}
        ) as run:  # so that there is something to report on
            run.process.wait(600)
        until = time.monotonic() + length_s
        writers = {name: Writer(name, make(), until, length_s) for name, make in words.items()}
        for writer in writers.values():
            writer.thread.join()
        found = tables(PLACE)
        alone = folder / "alone"
        done = [each for name in ("fetch of even hours", "fetch of odd hours") for each in writers[name].done]
        for each in done:
            CliRunner().invoke(main, [str(alone) if word == PLACE else word for word in each])
        return _judged(writers, found, tables(str(alone)))


def _judged(
    writers: dict[str, Writer], found: dict[str, pd.DataFrame], alone: dict[str, pd.DataFrame]
) -> bool:
    problems = [problem for writer in writers.values() for problem in writer.problems]
    sources = set(alone["coverage"]["source"])
    theirs = {name: _of(found[name], sources) for name in FETCHED if name in found}
    ours = {name: _of(alone[name], sources) for name in FETCHED if name in alone}
    problems += [
        f"other rows than of fetches one after the other: {each}" for each in differences(theirs, ours)
    ]
    printed = {line[:8] for line in writers["watch"].lines if "history list" in line}
    rows = found["metrics"].query("name == 'history_list_length' and source not in @sources")
    stored = {f"{one:%H:%M:%S}" for one in rows["time"]}
    if lost := sorted(printed - stored):
        problems.append(f"{len(lost)} samples that were printed are not stored: {lost[:5]}")
    if rows.duplicated(["time", "instance"]).any():
        problems.append("samples are stored twice")
    runs = ", ".join(f"{writer.name} {writer.runs}" for writer in writers.values())
    counts = ", ".join(f"{name} {len(rows)}" for name, rows in theirs.items())
    print(f"writers: runs: {runs}; {len(printed)} samples printed, {len(lost)} lost; rows fetched: {counts}; problems {len(problems)}")  # fmt: skip
    for problem in dict.fromkeys(problems):
        print(f"    {problem}", flush=True)
    return not problems


def _of(rows: pd.DataFrame, sources: set[str]) -> pd.DataFrame:
    """Return the rows of these sources; counts beside which others have gaps are whole numbers again."""
    return rows[rows["source"].isin(sources)].convert_dtypes().reset_index(drop=True)
