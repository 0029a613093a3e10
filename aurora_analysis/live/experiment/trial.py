"""Run a trial: baseline, plan, blocks."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import sqlalchemy

from aurora_analysis.errors import Error
from aurora_analysis.live import probes
from aurora_analysis.live.experiment import limits as checks
from aurora_analysis.live.experiment import record
from aurora_analysis.live.experiment.limits import Limits
from aurora_analysis.live.experiment.options import TrialOptions
from aurora_analysis.live.experiment.plan import (
    Baseline,
    plan,
    rescheduled,
    schedule,
    unfinished_trial,
    washout_s,
)
from aurora_analysis.live.experiment.query import read_only_query, session_modes
from aurora_analysis.live.experiment.sessions import (
    Canary,
    QueryRunner,
    WriterLoad,
    drop_left_canaries,
)
from aurora_analysis.live.status import Sample
from aurora_analysis.live.watch import CLOCK_STEP_S, Watch, stopped_by_signals, ticks
from aurora_analysis.store import Store
from aurora_analysis.tables import TrialEvent

LEAD_S = 2
"""Time from the plan to its first block, in which the plan is written to the store."""

Progress = Callable[[str], None]
"""Receives one line for each message of a trial."""


@dataclass(frozen=True)
class Servers:
    """Engines of a trial's servers: the writer's first, then the readers'; the query runs on the last one.

    Attributes
    ----------
    control : list of Engine
        For samples, the canary, and cancelling the query; their time-outs are short.
    query : list of Engine
        The same servers for the query and the writer's load; their read time-outs exceed a run. Empty takes `control`.
    """

    control: list[sqlalchemy.Engine]
    query: list[sqlalchemy.Engine] = field(default_factory=list)

    @property
    def query_engines(self) -> list[sqlalchemy.Engine]:
        """Engines for the query and the load."""
        return self.query or self.control


@dataclass
class Trial:
    """A running trial.

    `stop_reason` says why it stopped early; empty while it runs, after it finished, and after an interrupt.
    """

    watch: Watch
    query: QueryRunner
    store: Store
    cluster: str
    limits: Limits = field(default_factory=Limits)
    canary: Canary | None = None
    load: WriterLoad | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    stop_reason: str = ""

    def baseline(self, quiet_s: float, pilot_s: float) -> Baseline:
        """Measure the writer without the query for `quiet_s`, then one pilot run and how long purge needs to drain.

        Raises
        ------
        Error
            If the query, the load or the store fails: then there is no trial.
        """
        quiet = self._samples(quiet_s)
        latency_ms = [one.latency_ms for one in quiet if one.latency_ms is not None]
        drain_s = self._pilot(pilot_s) if pilot_s else None
        if problem := self._failure():
            raise Error(f"The trial did not start: {problem}.")
        return Baseline(_writes_per_s(quiet), latency_ms, drain_s)

    def _pilot(self, pilot_s: float) -> float | None:
        self.query.start(pilot_s)
        grown = self._samples(pilot_s + 1)
        self.query.stop()
        return self._drain_s(grown, pilot_s)

    def run(
        self,
        rows: pd.DataFrame,
        first: int = 0,
        *,
        normal_ms: float | None = None,
        progress: Progress = lambda line: None,
    ) -> None:
        """Run the blocks of a schedule.

        Ctrl-C, an exceeded limit, a lost server and a step of the clock end the trial; samples so far are kept.

        Parameters
        ----------
        rows : DataFrame
            Rows of `trials`, see `schedule`.
        first : int
            The first block to run.
        normal_ms : float, optional
            The canary's median latency in the baseline [ms], for the limit on latency.
        progress : callable
            Receives one line per block.
        """
        record.write_schedule(self.store, rows, self.cluster)
        self.stopping.wait(max(0.0, rows["time"].iloc[first].timestamp() - time.time()))
        try:
            rows, block = self._run_blocks(rows, first, normal_ms, progress)
        finally:
            self.query.stop()
        self._finish(rows, block)

    def _run_blocks(
        self, rows: pd.DataFrame, first: int, normal_ms: float | None, progress: Progress
    ) -> tuple[pd.DataFrame, int]:
        """Run the blocks with one sample per second; returns the rows and the last block that began."""
        block, starts, ends = -1, *([time.timestamp() for time in rows[name]] for name in ("time", "end"))
        edges, passed, clock_steps = {*starts, *ends}, 0, _clock_steps()
        for tick in ticks(ends[-1] + 1 - time.time(), 1.0, self.stopping):
            if not (step := next(clock_steps)):
                # Sample before a run begins, so that starting it does not disturb the sample.
                self._sample(tick)
                before, passed = passed, sum(edge <= time.time() for edge in edges)
                if passed > before:  # count statements from the start of each run to its end
                    self.watch.count(tick)
                now = max(first, sum(start <= time.time() for start in starts) - 1)
                if now > block:
                    rows, block = self._finish_block(rows, block), now
                    self._begin_block(rows, block)
                    on = "on" if rows["assigned"].iloc[block] else "off"
                    progress(f"block {block + 1} of {len(rows)}: {on}")
            self.stop_reason = step or self._exceeded(normal_ms) or self._failure()
            if self.stop_reason:
                break
        return rows, block

    def _begin_block(self, rows: pd.DataFrame, block: int) -> None:
        left = rows["end"].iloc[block].timestamp() - time.time()
        if rows["assigned"].iloc[block] and left > 0:
            self.query.start(left)

    def _finish_block(self, rows: pd.DataFrame, block: int) -> pd.DataFrame:
        """Stop the query, and write when the block's run started and ended."""
        self.query.stop()
        if block < 0:
            return rows
        done = record.with_run(rows, block, self.query.span)
        record.write_schedule(self.store, done, self.cluster)
        return done

    def _finish(self, rows: pd.DataFrame, block: int) -> None:
        if self.stop_reason:
            self.watch.record_event(self.query.instance, TrialEvent.STOPPED.value, self.stop_reason)
        self._finish_block(rows, block)
        self.watch.close()

    def _failure(self) -> str:
        """Why the query, the load or the store failed; empty if none did."""
        return self.query.problem or (self.load.problem if self.load else "") or self.watch.problem

    def _exceeded(self, normal_ms: float | None) -> str:
        has_canary = self.canary is not None
        return checks.exceeded(self.watch.samples, self.limits, normal_ms=normal_ms, has_canary=has_canary)

    def _samples(self, seconds: float) -> list[Sample]:
        return [self._sample(tick) for tick in ticks(seconds, 1.0, self.stopping)]

    def _sample(self, tick: int) -> Sample:
        """Sample every server; the previous sample if it has the same second."""
        if self.watch.samples and tick <= self.watch.samples[-1].time:
            return self.watch.samples[-1]
        return self.watch.sample(tick, self.canary.latency_ms() if self.canary else None)

    def _drain_s(self, grown: list[Sample], pilot_s: float) -> float | None:
        """Wait until purge has removed nine tenths of the pilot's growth [s]; None if there was no real growth."""
        lengths = [one.history_list_length for one in grown if one.history_list_length is not None]
        if not lengths or max(lengths) < 10 * max(1, lengths[0]):
            return None
        drained = lengths[0] + 0.1 * (max(lengths) - lengths[0])
        for passed, one in enumerate(self._sample(tick) for tick in ticks(3 * pilot_s, 1.0, self.stopping)):
            if one.history_list_length is not None and one.history_list_length <= drained:
                return float(passed + 1)
        return 3 * pilot_s


def run_trial(
    options: TrialOptions,
    servers: Servers,
    store: Store,
    *,
    detectable: Callable[[list[float], int, float], float],
    only_plan: bool = False,
    progress: Progress = lambda line: None,
) -> str:
    """Measure the baseline, plan the trial, run it.

    If a trial with the same seed, cluster and workload was interrupted within a day, its remaining blocks are run.

    Parameters
    ----------
    options : TrialOptions
        What to try, for how long.
    servers : Servers
        Where.
    store : Store
        Receives samples, the schedule and events.
    detectable : callable
        (canary's latency per second [ms], blocks, run_s) → smallest effect found with 80 % power [%].
    only_plan : bool
        Stop after the plan.
    progress : callable
        Receives one line per message.

    Returns
    -------
    str
        Why the trial stopped early; empty if it finished or was interrupted.
    """
    with ExitStack() as stack:
        stopping = stack.enter_context(stopped_by_signals())
        drop_left_canaries(servers.control[0], progress)
        trial = _trial(options, servers, store, stopping, stack)
        rows, first = (None, 0) if only_plan else _continued(options, store, progress)
        quiet_s, pilot_s = (options.baseline_s, options.run_s) if rows is None else (options.pause_s, 0.0)
        before = trial.baseline(quiet_s, pilot_s)
        category, message = record.load_event(options, before, store)
        if rows is None and not stopping.is_set():
            rows = _planned(options, before, detectable, progress)
            if category is TrialEvent.IDLE_CLONE:
                progress(f"the verdict will be `cannot tell`: {message}")
        if only_plan or rows is None or stopping.is_set():
            return ""
        trial.watch.record_event(f"{options.cluster}-writer", category.value, message)
        trial.run(rows, first, normal_ms=float(np.median(before.latency_ms or [0])), progress=progress)
        progress(record.end_message(rows, trial.stop_reason, stopping.is_set()))
        return trial.stop_reason


def _continued(options: TrialOptions, store: Store, progress: Progress) -> tuple[pd.DataFrame | None, int]:
    """Schedule of an interrupted trial, its remaining blocks moved to after the baseline; else None."""
    now = datetime.now(UTC).replace(microsecond=0)
    found = unfinished_trial(store, options, now)
    if found is None:
        return None, 0
    before, first = found
    rows = rescheduled(before, first, now + timedelta(seconds=math.ceil(options.pause_s) + LEAD_S))
    record.write_schedule(store, rows, options.cluster, since=before["time"].iloc[0].to_pydatetime())
    progress(record.continue_message(rows, first))
    return rows, first


def _planned(
    options: TrialOptions,
    before: Baseline,
    detectable: Callable[[list[float], int, float], float],
    progress: Progress,
) -> pd.DataFrame:
    """Plan a new trial and report the plan before it begins; returns its schedule."""
    wait_s = options.washout_s or washout_s(before, options.run_s)
    planned = plan(options.hours, run_s=options.run_s, washout_s=wait_s)
    detectable_pct = detectable(before.latency_ms, planned.blocks, planned.run_s)
    progress(record.plan_message(planned, before, detectable_pct))
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LEAD_S)
    name = f"{options.cluster} {start:%Y-%m-%dT%H:%M:%S}"
    return schedule(planned, start, seed=options.seed, workload=options.workload, trial=name)


def _trial(
    options: TrialOptions, servers: Servers, store: Store, stopping: threading.Event, stack: ExitStack
) -> Trial:
    """Connect everything a trial needs; `stack` stops it all in reverse order."""
    control, query, cluster = servers.control, servers.query_engines, options.cluster
    observed = probes.of_cluster(control, cluster)
    watch = Watch(observed, store, cluster=cluster, every_s=1)
    stack.callback(watch.close)
    modes = session_modes(control[-1])  # the same server, with short time-outs
    text = read_only_query(options.query, query[-1].dialect.name, modes)
    canary = Canary(control[0], options.canary_database) if options.canary_database else None
    if canary:
        stack.callback(canary.remove)
    runner = QueryRunner(query[-1], text, observed[-1].name, control[-1], modes)
    stack.callback(runner.stop)
    load = (
        WriterLoad(query[0], options.writer_load, options.writer_load_rate) if options.writer_load else None
    )
    if load:
        stack.enter_context(load)
    return Trial(watch, runner, store, cluster, options.limits, canary, load, stopping)


def _writes_per_s(samples: list[Sample]) -> float:
    """Writing statements per second, from the server's own counters."""
    with_writer = [one for one in samples if one.writer is not None]
    if len(with_writer) < 2:
        return 0.0
    first, last = with_writer[0], with_writer[-1]
    return (last.writes - first.writes) / (last.time - first.time)


def _clock_steps() -> Iterator[str]:
    """Describe by how much the system clock was set since the first call; empty if it was not."""
    apart = time.time() - time.monotonic()
    while True:
        step = time.time() - time.monotonic() - apart
        yield f"the clock was set by {step:+,.0f} s" if abs(step) > CLOCK_STEP_S else ""
