"""Try a query on a real standby at random, as the reference's trial does, and compare its effect with the dose identity.

The trial has eight blocks with the query and eight without, in random order: 12 s and a washout of 7 s, of which the last 8 s
of the 12 s are measured. One session each inserts (50 batches of 20 rows per second), deletes the oldest 20 rows (50 per second)
and updates (100 per second).

Three details decide the figure. If two sessions insert, they fill different pages at the same time, and a scan in order of id
changes the page every 20 rows: 66 pages per 1,000 dead rows instead of 24. The width of a row decides how many share a page.
And the faster the machine runs the load, the more rows are dead at the end of a block. Pages per 1,000 dead rows depend on
neither the rate nor the pages that a call touches at rest, so they are what is judged.
"""

from __future__ import annotations

import dataclasses
import tempfile
import threading
import time
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
import pandas as pd

from aurora_analysis import Store, observe
from aurora_analysis.analysis import experiment
from aurora_analysis.lab import ledger_record, postgresql, postgresql_trial
from aurora_analysis.lab.postgresql import Pair
from aurora_analysis.live.experiment import Servers, run_trial
from aurora_analysis.live.experiment.sessions import WriterLoad

RUN_S, WASHOUT_S, BLOCKS = 12.0, 7.0, 16
LEFT_OUT_S = 4.0
"""Part of a run that is not measured: the effect builds up, and after a run with the query its dead rows still go away [s]."""

BATCH = 20
STATEMENTS = (
    f"INSERT INTO queue (payload) SELECT repeat('q', 115) FROM generate_series(1, {BATCH})",
    f"DELETE FROM queue WHERE id = ANY (ARRAY (SELECT id FROM queue ORDER BY id LIMIT {BATCH} FOR UPDATE SKIP LOCKED))",
    "UPDATE counters SET hits = hits + 1 WHERE id = 1 + floor(random() * 50)::int",
)
"""The load. The reference does not state the width of its rows; with 115 bytes a page has 52, and a scan of 1,000 dead rows touches
the 20 pages that the reference states. With 100 bytes it touches 17.7, with 150 bytes 24.2 (measured by this trial)."""

RATES = (50.0, 50.0, 100.0)
"""Inserts, deletes (of a batch each) and updates per second."""

VACUUM = {name: value for name, value in ledger_record.OPTIONS.items() if name.startswith("autovacuum")}
"""Settings of autovacuum as in the reference: every table is due after 500 dead rows and 1 %."""

REFERENCE_DEAD_ROWS, REFERENCE_PAGES = 7_100, 126
"""Mean dose and pages per call without the query in the reference's trial, which found +112.8 %: 20 pages per 1,000 rows.

Its machine ran the load 12 % slower than planned; at the planned rate the dose is 8,000 rows.
"""

BUFFERS_PCT = (100.0, 125.0)
"""Effect on pages that passes, at the reference's dose and pages at rest: 17.7 to 22.2 pages per 1,000 dead rows [%]."""

TIME_PCT = 100.0
"""The lower bound of the effect on the time of a query that holds a snapshot must be above this [%]."""

EVERY_S = 0.25


class Tried(NamedTuple):
    """Effects on time and pages per call of the queue's DELETE, the mean dose, and what it cost."""

    latency: pd.Series
    pages: pd.Series
    dead_rows: float
    added_pages: float
    at_rest: float
    level: str

    @property
    def per_1000(self) -> float:
        """Pages per 1,000 dead rows."""
        return 1000 * self.added_pages / self.dead_rows

    @property
    def at_reference_pct(self) -> float:
        """Effect on pages at the reference's dose and pages at rest [%]."""
        return 100 * self.per_1000 * REFERENCE_DEAD_ROWS / 1000 / REFERENCE_PAGES

    def is_right(self, holds: bool) -> bool:
        """Whether the effect is that of a query that holds a snapshot, or of one that holds nothing."""
        if not holds:
            return bool(self.latency["ci_low_pct"] <= 0 <= self.latency["ci_high_pct"])
        low, high = BUFFERS_PCT
        return bool(
            self.latency["ci_low_pct"] > TIME_PCT
            and low <= self.at_reference_pct <= high
            and self.level == "slows"
        )

    def describe(self, holds: bool) -> str:
        """One line for the reader of the bench."""
        line = f"{_effect(self.latency)} time, {_effect(self.pages)} pages ({self.at_rest:.0f} at rest); `experiment`: {self.level}"
        if not holds:
            return line
        return (
            f"{line}; {self.per_1000:.1f} pages per 1,000 dead rows at a mean of {self.dead_rows:,.0f}, which is "
            f"{self.at_reference_pct:+.1f} % at the reference's dose"
        )


def _effect(row: pd.Series) -> str:
    return f"{row['effect_pct']:+.1f} % ({row['ci_low_pct']:+.1f} to {row['ci_high_pct']:+.1f} %, p = {row['p']:.2g})"


def trials(only: str = "") -> int:
    """Try a query that holds a snapshot, and one that holds nothing; return how many effects differ from the truth."""
    wrong = 0
    for name, query in (
        ("holds a snapshot", postgresql_trial.HOLDS_A_SNAPSHOT),
        ("holds nothing", postgresql_trial.HOLDS_NOTHING),
    ):
        if only not in name:
            continue
        began, holds = time.monotonic(), query == postgresql_trial.HOLDS_A_SNAPSHOT
        found = tried(query)
        right = found.is_right(holds)
        wrong += not right
        print(
            f"{'right' if right else 'WRONG':12} trial, {name}: {found.describe(holds)} ({time.monotonic() - began:.0f} s)",
            flush=True,
        )
    return wrong


def tried(query: str, seed: int = 3) -> Tried:
    """Run the trial of a query."""
    minutes = BLOCKS * (RUN_S + WASHOUT_S) / 60
    options = dataclasses.replace(
        postgresql_trial.options(query, minutes=minutes, run_s=RUN_S, washout_s=WASHOUT_S, seed=seed),
        writer_load="",
        quiet_s=10.0,
    )
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        store, pair = Store(folder), stack.enter_context(postgresql.running(VACUUM))
        postgresql_trial.prepare(pair)
        writer = pair.primary.engine(postgresql_trial.DATABASE)
        for text, rate in zip(STATEMENTS, RATES):
            stack.enter_context(WriterLoad(writer, text, rate))
        servers = Servers([each.engine(postgresql_trial.DATABASE) for each in pair.servers])
        counts = stack.enter_context(_Counts(pair))
        run_trial(options, servers, store, detectable=lambda *_: float("nan"))
        data = observe(store, store.span("trial"), "trial")
        answer = experiment.answer(data, experiment.Options(most_statements=5))
        counted = counts.frame()
    return _compared(counted, answer.trials, answer.verdicts[0].level)


class _Counts:
    """Totals of the queue's DELETE, four times a second, on a connection of its own; a context manager."""

    QUERY = (
        "SELECT sum(calls), sum(rows), sum(shared_blks_hit), sum(total_exec_time) FROM pg_stat_statements "
        "WHERE query LIKE 'DELETE FROM queue%'"
    )

    def __init__(self, pair: Pair) -> None:
        self._pair, self._stopping, self._rows = pair, threading.Event(), list[tuple[float, ...]]()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Counts:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with self._pair.primary.connect(postgresql_trial.DATABASE) as connection:
            while not self._stopping.wait(EVERY_S):
                totals = connection.execute(self.QUERY).fetchall()[0]
                if totals[0] is not None:
                    self._rows.append((time.time(), *map(float, totals)))

    def frame(self) -> pd.DataFrame:
        """Return `time` [s since 1970] and totals of calls, rows, pages and time [ms]."""
        return pd.DataFrame(self._rows, columns=["time", "calls", "rows", "pages", "ms"])


def _compared(counted: pd.DataFrame, trials: pd.DataFrame, level: str) -> Tried:
    """Compare the measured part of each block with the query with that of each block without it."""
    measured = trials.assign(time=trials["time"] + pd.Timedelta(seconds=LEFT_OUT_S))
    rows = [
        _block(counted, began.timestamp(), start.timestamp(), end.timestamp())
        for began, start, end in zip(
            trials["started_at"].fillna(trials["time"]), measured["time"], measured["end"]
        )
    ]
    blocks = pd.DataFrame(rows, columns=["pages", "ms", "dead_rows"], index=measured.index)
    seconds = int(RUN_S - LEFT_OUT_S)
    per_second = pd.concat(
        [
            blocks.assign(at=measured["time"] + pd.Timedelta(seconds=second)).set_index("at")
            for second in range(seconds)
        ]
    ).sort_index()
    found = experiment.effects(per_second[["pages", "ms"]], measured).set_index("metric")
    on = measured["assigned"].astype(bool)
    at_rest = blocks.loc[~on, "pages"].mean()
    return Tried(
        latency=found.loc["ms"],
        pages=found.loc["pages"],
        dead_rows=blocks.loc[on, "dead_rows"].mean(),
        added_pages=blocks.loc[on, "pages"].mean() - at_rest,
        at_rest=at_rest,
        level=level,
    )


def _block(counted: pd.DataFrame, began: float, start: float, end: float) -> tuple[float, float, float]:
    """Pages and time [ms] per call in a span, and the mean number of rows deleted since the block began."""
    moments = np.array([began, start, end])
    calls, rows, pages, ms = (
        np.interp(moments, counted["time"], counted[name]) for name in ("calls", "rows", "pages", "ms")
    )
    inside = counted[counted["time"].between(start, end)]
    count = calls[2] - calls[1]
    dead_rows = (inside["rows"] - rows[0]).clip(lower=0).mean()  # none before a run that started late
    return (pages[2] - pages[1]) / count, (ms[2] - ms[1]) / count, float(dead_rows)
