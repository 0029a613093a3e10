"""Plan a trial: its blocks, which of them run the query, and when. Nothing here touches a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis.errors import Error
from aurora_analysis.live.experiment.options import TrialOptions
from aurora_analysis.store import Store
from aurora_analysis.window import Window

SOURCE = "experiment"
"""Source of the trial's rows in the store."""

SHARE_OF_PRODUCTION = 0.5
"""A clone that writes less than half of what production writes cannot grow the history list that production would."""

BLOCKS_NEEDED = 12
"""Three groups of four blocks have 216 assignments: p can reach .01, so that several metrics may be judged."""

CONTINUE_WITHIN = timedelta(days=1)
"""An interrupted trial continues only this soon: later the writer's load would be another."""

ROUNDING = 1e-6
"""Part of a block that may be missing: minutes / 60 * 3600 is not always exact, and four blocks would be lost."""

SCHEDULE = ["time", "end", "block", "assigned", "started_at", "ended_at", "trial", "workload", "on_share"]


@dataclass(frozen=True)
class Baseline:
    """The writer before the trial.

    Attributes
    ----------
    writes_per_s : float
        Writing statements per second.
    latency_ms : list of float
        Latency of the canary, one value per second [ms].
    drain_s : float, optional
        Time purge needed to drain what the pilot run left behind [s]; None if it left nothing.
    """

    writes_per_s: float
    latency_ms: list[float] = field(default_factory=list)
    drain_s: float | None = None


@dataclass(frozen=True)
class Plan:
    """Blocks of equal length, each a run and a washout [s]; two of each four run the query."""

    blocks: int
    run_s: float
    washout_s: float

    @property
    def block_s(self) -> float:
        """Length of a block [s]."""
        return self.run_s + self.washout_s


def plan(hours: float, *, run_s: float, washout_s: float) -> Plan:
    """Compute how many blocks fit into `hours`, a multiple of four.

    Raises
    ------
    Error
        If fewer than 12 blocks fit.
    """
    blocks = int(3600 * hours / (run_s + washout_s) + ROUNDING) // 4 * 4
    if blocks < BLOCKS_NEEDED:
        raise Error(
            f"{hours:g} h hold {blocks} blocks of {run_s:g} s and {washout_s:g} s of washout; {BLOCKS_NEEDED} are "
            "needed: increase --hours or shorten --run."
        )
    return Plan(blocks, run_s, washout_s)


def washout_s(baseline: Baseline, run_s: float) -> float:
    """Washout after each run [s]: twice the drain that was measured, or the run's length if there was none."""
    return float(np.ceil(run_s if baseline.drain_s is None else max(2.0, 2 * baseline.drain_s)))


def assignment(blocks: int, seed: int) -> npt.NDArray[np.bool_]:
    """Draw which blocks run the query: two of each four, all orders equally likely.

    Blocking in fours balances slow drift between blocks with and without the query.
    """
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation([True, True, False, False]) for _ in range(blocks // 4)])


def schedule(planned: Plan, start: datetime, *, seed: int, workload: str, trial: str) -> pd.DataFrame:
    """Return the rows of `trials`, all drawn before the first block begins."""
    starts = [start + timedelta(seconds=n * planned.block_s) for n in range(planned.blocks)]
    frame = pd.DataFrame(
        {
            "time": pd.to_datetime(starts, utc=True).as_unit("us"),
            "end": pd.to_datetime(
                [one + timedelta(seconds=planned.run_s) for one in starts], utc=True
            ).as_unit("us"),
            "block": range(planned.blocks),
            "assigned": assignment(planned.blocks, seed),
            "started_at": pd.Series(pd.NaT, range(planned.blocks), dtype="datetime64[us, UTC]"),
            "ended_at": pd.Series(pd.NaT, range(planned.blocks), dtype="datetime64[us, UTC]"),
        }
    )
    return frame.assign(trial=trial, workload=workload, on_share=0.5)


def unfinished_trial(store: Store, options: TrialOptions, now: datetime) -> tuple[pd.DataFrame, int] | None:
    """Find the last trial of this workload if it can continue: drawn with the same seed, interrupted within a day.

    Returns
    -------
    (DataFrame, int) or None
        Rows of `trials`, and the first block that is left.
    """
    where = {"source": SOURCE, "workload": options.workload}
    rows = store.read("trials", cluster=options.cluster, where=where, missing_ok=True)
    rows = rows[rows["trial"] == rows["trial"].iloc[-1]].reset_index(drop=True) if len(rows) else rows
    if rows.empty or rows["end"].iloc[-1] < now - CONTINUE_WITHIN:
        return None
    if rows["assigned"].tolist() != assignment(len(rows), options.seed).tolist():
        return None
    span = Window(rows["time"].iloc[0], rows["end"].iloc[-1])
    covered_to = store.coverage(span, cluster=options.cluster)["end"].max()
    left = (rows["assigned"] & rows["started_at"].isna()) | ~(rows["end"] <= covered_to)
    return (rows[list(SCHEDULE)], int(left.idxmax())) if left.any() else None


def rescheduled(rows: pd.DataFrame, first: int, start: datetime) -> pd.DataFrame:
    """Move the blocks from `first` on so that they begin at `start`; their assignment stays."""
    left = rows["block"] >= first
    later = pd.Timestamp(start) - rows["time"].iloc[first]
    return rows.assign(
        time=rows["time"].mask(left, rows["time"] + later),
        end=rows["end"].mask(left, rows["end"] + later),
        started_at=rows["started_at"].mask(left),
        ended_at=rows["ended_at"].mask(left),
    )


def production_writes_per_s(store: Store, cluster: str) -> float | None:
    """Mean writing statements per second of production, from the store; None if the store has none."""
    if cluster not in store.clusters():
        return None
    rates = store.metric("dml_throughput", store.span(cluster), cluster=cluster)
    return float(rates.mean()) if len(rates) else None


def is_loaded(baseline: Baseline, production_per_s: float | None) -> bool:
    """Return whether the clone's writer has at least half of production's writes; False if production's are unknown."""
    return production_per_s is not None and baseline.writes_per_s >= SHARE_OF_PRODUCTION * production_per_s
