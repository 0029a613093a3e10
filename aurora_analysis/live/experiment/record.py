"""Records of a trial: rows of `trials`, the event about the writer's load, and its messages."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from aurora_analysis.live.experiment.options import TrialOptions
from aurora_analysis.live.experiment.plan import (
    SOURCE,
    Baseline,
    Plan,
    is_loaded,
    production_writes_per_s,
)
from aurora_analysis.store import Store
from aurora_analysis.tables import TrialEvent
from aurora_analysis.window import Window

CONTINUE = "run the same command again for the remaining blocks"


def write_schedule(store: Store, rows: pd.DataFrame, cluster: str, *, since: datetime | None = None) -> None:
    """Write the rows of `trials`, replacing earlier ones from `since` (default: the first block) on."""
    whole = Window(since or rows["time"].iloc[0].to_pydatetime(), rows["end"].iloc[-1].to_pydatetime())
    store.write("trials", rows, whole, cluster=cluster, source=SOURCE)


def with_run(rows: pd.DataFrame, block: int, span: tuple[datetime, datetime] | None) -> pd.DataFrame:
    """Add when the block's run really started and ended; a run of an earlier block is ignored."""
    if span is None or not rows["assigned"].iloc[block] or span[0] < rows["time"].iloc[block]:
        return rows
    of_block = rows["block"] == block
    began, ended = (pd.Timestamp(moment).as_unit("us") for moment in span)
    return rows.assign(
        started_at=rows["started_at"].mask(of_block, began), ended_at=rows["ended_at"].mask(of_block, ended)
    )


def load_event(options: TrialOptions, baseline: Baseline, store: Store) -> tuple[TrialEvent, str]:
    """Category and message of the event that records whether the writer had production's load."""
    if not options.clone:
        return TrialEvent.LOADED, f"The writer has {baseline.writes_per_s:,.1f} writes/s of its own."
    rate = production_writes_per_s(store, options.production) if options.production else None
    production = "production's rate is unknown" if rate is None else f"production has {rate:,.1f}"
    category = TrialEvent.LOADED if is_loaded(baseline, rate) else TrialEvent.IDLE_CLONE
    return category, f"The clone's writer has {baseline.writes_per_s:,.1f} writes/s, {production}."


def plan_message(planned: Plan, baseline: Baseline, detectable_pct: float) -> str:
    """Summarise the plan in one line; `detectable_pct` is the smallest effect found with 80 % power [%]."""
    drain = "no growth to drain" if baseline.drain_s is None else f"purge drains in {baseline.drain_s:.0f} s"
    if not np.isnan(detectable_pct):
        smallest = f"{detectable_pct:.1f} % of the canary's latency"
    elif baseline.latency_ms:
        smallest = "unknown, the baseline is shorter than four runs"
    else:
        smallest = "unknown without a --canary"
    return (
        f"plan: {planned.blocks} blocks of {planned.run_s:g} s and {planned.washout_s:g} s of washout ({drain}), half of "
        f"them on; {baseline.writes_per_s:,.1f} writes/s; smallest effect found in 80 % of trials: {smallest}"
    )


def continue_message(rows: pd.DataFrame, first: int) -> str:
    """Announce that an interrupted trial continues with the block `first`."""
    return (
        f"{rows['trial'].iloc[0]} continues: {len(rows) - first} of {len(rows)} blocks are left "
        "(choose another --seed to start a new trial)"
    )


def end_message(rows: pd.DataFrame, stop_reason: str, is_interrupted: bool) -> str:
    """Summarise how the trial ended, and what to do next, in one line."""
    name = rows["trial"].iloc[0]
    if stop_reason:
        return f"{name}: stopped, {stop_reason}; {CONTINUE}"
    return f"{name}: interrupted; {CONTINUE}" if is_interrupted else f"{name}: finished"
