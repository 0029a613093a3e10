"""Randomised trials with a planted effect, for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.analysis import experiment

START = pd.Timestamp("2026-11-09", tz="UTC")


def trial(
    seed: int = 1, blocks: int = 24, workloads: tuple[str, ...] = ("extract", "control")
) -> pd.DataFrame:
    """A trial of one-minute blocks, half of them on, with runs of 40 s."""
    rng = np.random.default_rng(seed)
    rows = []
    for workload in workloads:
        on = rng.permutation(np.arange(blocks) % 2 == 0)
        starts = START + pd.to_timedelta(np.arange(blocks) * 60 + rng.integers(0, 10, blocks), unit="s")
        rows.append(
            pd.DataFrame(
                {
                    "time": starts,
                    "end": starts + pd.Timedelta("40s"),
                    "trial": "t",
                    "block": np.arange(blocks),
                    "workload": workload,
                    "assigned": on,
                    "on_share": 0.5,
                    "started_at": starts.where(on),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def latency(trials: pd.DataFrame, factor: float, seed: int = 2, noise: float = 0.1) -> pd.Series:
    """Latency by the second [ms], multiplied by `factor` during the runs of `extract`."""
    rng = np.random.default_rng(seed)
    seconds = pd.date_range(START, periods=int(trials["block"].max() + 1) * 60, freq="s")
    logs = rng.normal(0, noise, len(seconds)) + np.repeat(rng.normal(0, noise, len(seconds) // 60), 60)
    for run in trials[(trials["workload"] == "extract") & trials["assigned"]].itertuples():
        logs[(seconds >= run.time) & (seconds < run.end)] += np.log(factor)
    return pd.Series(np.exp(logs), index=seconds)


def effects(trials: pd.DataFrame, series: pd.Series, **options) -> pd.DataFrame:
    return experiment.effects(series.to_frame("latency"), trials, **options).set_index("workload")


def in_fours(seed: int, fours: int) -> pd.DataFrame:
    """A trial whose blocks were drawn in fours, two on-blocks in each."""
    rng = np.random.default_rng(seed)
    on = np.concatenate([rng.permutation([True, True, False, False]) for _ in range(fours)])
    return trial(blocks=4 * fours, workloads=("extract",)).assign(assigned=on)
