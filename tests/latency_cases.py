"""Logged executions with a known distribution, for tests of latency."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.window import Window

WEEK = Window("2026-11-09", "2026-11-16")


def slow_queries(
    query_time_s, window: Window = WEEK, instance: str = "db-2", digest: str = "d1"
) -> pd.DataFrame:
    """Executions spread evenly over a window."""
    ends = window.start + pd.to_timedelta(
        np.arange(len(query_time_s)) * (window.duration / max(len(query_time_s), 1))
    )
    return pd.DataFrame(
        {"ended_at": ends, "instance": instance, "digest": digest, "query_time_s": query_time_s}
    )


def lognormal(n: int = 4000, scale: float = 1.0, seed: int = 1) -> np.ndarray:
    return scale * np.exp(np.random.default_rng(seed).normal(0, 1, n))


def cuts(long_query_time_ms: float = 10.0) -> pd.DataFrame:
    return pd.DataFrame({"instance": ["db-2"], "long_query_time_ms": [long_query_time_ms]})
