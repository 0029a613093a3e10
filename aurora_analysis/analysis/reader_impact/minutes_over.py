"""Attach to the verdicts of ordinary days how many minutes over the objective readers caused, for the fleet's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from aurora_analysis.analysis import fleet
from aurora_analysis.analysis.fleet import Effect
from aurora_analysis.analysis.reader_impact.verdicts import main_metric
from aurora_analysis.analysis.verdict import Verdict


def with_minutes(
    found: Sequence[Verdict],
    latency: pd.DataFrame,
    estimates: pd.DataFrame,
    runs: pd.DataFrame,
    objectives: Mapping[str, float],
) -> list[Verdict]:
    """Add the minutes that all readers together caused to the numbers of each verdict on ordinary days.

    Parameters
    ----------
    found : sequence of Verdict
        The verdicts on the workloads.
    latency : DataFrame
        The writer's latencies in the window [ms], one column per metric.
    estimates : DataFrame
        Result of `effects`.
    runs : DataFrame
        Runs of the workloads: `workload, start, end` (UTC).
    objectives : mapping of str to float
        The highest acceptable latency by metric; the first that is observed is judged, else the main latency.

    Returns
    -------
    list of Verdict
        With `fleet_minutes`, `fleet_minutes_error` [min], `fleet_limit` [unit of `fleet_metric`] and `fleet_limit_stated`,
        where an effect was estimated.
    """
    if latency.dropna(how="all").empty:
        return list(found)
    metric = next((name for name in objectives if name in latency), None) or main_metric(latency)
    known = estimates[(estimates["metric"] == metric) & estimates["log_error"].notna()]
    values = latency[metric].dropna()
    minutes = pd.DatetimeIndex(values.index)
    effects = [
        Effect(float(effect), float(error), _exposed(runs[runs["workload"] == workload], minutes))
        for workload, effect, error in zip(known["workload"], known["log_effect"], known["log_error"])
    ]
    caused = fleet.caused(values, effects, objectives.get(metric)) if effects else None
    if caused is None:
        return list(found)
    numbers: dict[str, float | int | str | None] = {
        "fleet_minutes": caused.minutes,
        "fleet_minutes_error": float(f"{caused.error:.4g}"),
        "fleet_metric": metric,
        "fleet_limit": float(f"{caused.limit:.4g}"),
        "fleet_limit_stated": int(caused.is_stated),
    }
    return [
        replace(one, numbers={**one.numbers, **numbers}) if one.numbers.get("source") == "days" else one
        for one in found
    ]


def _exposed(runs: pd.DataFrame, minutes: pd.DatetimeIndex) -> pd.Series:
    """Return for each minute whether a run touches it."""
    exposed = pd.Series(False, index=minutes)
    for start, end in zip(runs["start"].dt.floor("min"), runs["end"]):
        exposed.iloc[minutes.searchsorted(start) : minutes.searchsorted(end)] = True
    return exposed
