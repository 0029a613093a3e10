"""Limits at which a trial stops. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aurora_analysis.live.status import Sample

UNSEEN_S = 10
"""Longest silence of the writer before the trial stops: its limits cannot be checked meanwhile."""


@dataclass(frozen=True)
class Limits:
    """Limits at which a trial stops.

    Attributes
    ----------
    history_list_length : float
        Of the writer [transactions]. The precheck of an upgrade warns from 1,000,000 on (Aurora user guide).
    latency_factor : float
        The canary's median latency over ten samples, as a multiple of its baseline.
    replica_lag_ms : float
        Of any reader [ms]. A reader further behind is soon restarted.
    """

    history_list_length: float = 1_000_000.0
    latency_factor: float = 5.0
    replica_lag_ms: float = 10_000.0


def exceeded(samples: Sequence[Sample], limits: Limits, *, normal_ms: float | None, has_canary: bool) -> str:
    """Check the limits after the last sample.

    Parameters
    ----------
    samples : sequence of Sample
        One per second, oldest first.
    limits : Limits
        The limits.
    normal_ms : float or None
        The canary's median latency in the baseline [ms].
    has_canary : bool
        Whether the trial runs a canary.

    Returns
    -------
    str
        Which limit was exceeded, with both numbers; empty if none was.
    """
    recent = samples[-UNSEEN_S:]
    if len(recent) == UNSEEN_S and not any(one.writer for one in recent):
        return f"the writer has not answered for {UNSEEN_S} s, so no limit can be checked"
    history = recent[-1].history_list_length or 0
    if history > limits.history_list_length:
        return (
            f"the history list has {history:,} transactions, the limit is {limits.history_list_length:,.0f}"
        )
    lag_ms = _largest_lag_ms(recent[-1])
    if lag_ms > limits.replica_lag_ms:
        return f"a reader is {lag_ms:,.0f} ms behind, the limit is {limits.replica_lag_ms:,.0f} ms"
    return _exceeded_latency(recent, limits, normal_ms, has_canary)


def _largest_lag_ms(sample: Sample) -> float:
    views = (view for instance in sample.instances for view in sample.cleanup.oldest_views(instance))
    return max((lag_ms or 0.0 for *_, lag_ms in views), default=0.0)


def _exceeded_latency(
    recent: Sequence[Sample], limits: Limits, normal_ms: float | None, has_canary: bool
) -> str:
    latency_ms = [one.latency_ms for one in recent if one.latency_ms is not None]
    if has_canary and len(recent) == UNSEEN_S and not latency_ms:
        return f"the canary has failed {UNSEEN_S} times in a row, so the latency cannot be checked"
    if not normal_ms or len(latency_ms) < UNSEEN_S:
        return ""
    median_ms = float(np.median(latency_ms))
    if median_ms <= limits.latency_factor * normal_ms:
        return ""
    return f"the canary takes {median_ms:,.1f} ms, the limit is {limits.latency_factor:g} times its {normal_ms:,.1f} ms"
