"""A writer with runs of a reader workload and a planted effect, for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.analysis import reader_impact

START = pd.Timestamp("2026-11-02", tz="UTC")  # a Monday


def design(
    latency: pd.DataFrame, load: pd.Series, exposures: pd.DataFrame, **options
) -> reader_impact.Design:
    return reader_impact.design(reader_impact.Inputs(latency, load, exposures, **options))


def minutes(days: float) -> pd.DatetimeIndex:
    return pd.date_range(START, periods=round(days * 1440), freq="min")


def writer(days: float = 8, seed: int = 1) -> tuple[pd.DataFrame, pd.Series]:
    """Latency [ms] with a daily wave and a little noise, and a steady load [1/s]."""
    rng = np.random.default_rng(seed)
    times = minutes(days)
    wave = 0.2 * np.sin(2 * np.pi * np.arange(len(times)) / 1440)
    latency = pd.DataFrame(
        {"commit_latency": 4 * np.exp(wave + 0.05 * rng.normal(size=len(times)))}, index=times
    )
    return latency, pd.Series(100 * np.exp(wave + 0.05 * rng.normal(size=len(times))), times)


def runs(*spans: tuple[float, float], workload: str = "extract") -> pd.DataFrame:
    """One run per pair of start and end [h since START]."""
    hours = pd.DataFrame(spans, columns=["start", "end"], dtype=float)
    return pd.DataFrame(
        {
            "workload": workload,
            "start": START + pd.to_timedelta(hours["start"], unit="h"),
            "end": START + pd.to_timedelta(hours["end"], unit="h"),
        }
    )


def scattered(days: int = 8, seed: int = 3, each: int = 3, workload: str = "extract") -> pd.DataFrame:
    """Runs of 20 minutes at random times, `each` per day on average."""
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.uniform(0, 24 * days - 1, each * days))
    return runs(*[(start, start + 1 / 3) for start in starts], workload=workload)


def slowed(latency: pd.DataFrame, by: pd.DataFrame, percent: float) -> pd.DataFrame:
    """Latency raised by a percentage during the runs."""
    raised = latency.copy()
    for run in by.itertuples():
        raised[run.start.floor("min") : run.end.floor("min")] *= 1 + percent / 100
    return raised
