"""Compute the number of sessions that each instance could run at once, over time: its vCPUs."""

from __future__ import annotations

import numpy as np
import pandas as pd

ACUS_PER_VCPU = 4.0
"""Aurora capacity units that are counted as one vCPU: an ACU has 2 GiB, and memory-optimised classes have 8 GiB a vCPU.

AWS publishes no conversion, so a number of vCPUs that follows from ACUs is an estimate, and is called one.
"""

METRICS = ("sampled_vcpus", "vcpus", "serverless_capacity")
"""The metrics that give vCPUs where the instance class does not: of Performance Insights, of Enhanced Monitoring, in ACUs."""

STALE = pd.Timedelta("15min")
"""A measured capacity is used for at most this long: a serverless instance changes it within seconds."""

CLASS, SAMPLED, SYSTEM, ACUS = "instance class", "Performance Insights", "operating system", "ACUs"
"""Source of a number of vCPUs."""


def with_vcpus(classes: pd.DataFrame, instances: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Add the number of vCPUs that the instance had at the time of each row.

    Parameters
    ----------
    classes : DataFrame
        The result of `by_class`.
    instances : DataFrame
        Rows of the table `instances`: `time, instance, vcpus`.
    metrics : DataFrame
        Rows of the table `metrics`: `time, instance, name, statistic, value`. Rows whose name is not in `METRICS` are
        ignored.

    Returns
    -------
    DataFrame
        `classes` with `vcpus` (NaN if unknown) and `vcpus_from` (`CLASS`, `SAMPLED`, `SYSTEM`, `ACUS` or "").
    """
    recorded = instances.sort_values("time", kind="stable").groupby("instance")["vcpus"].last()
    averages = metrics[(metrics["statistic"] == "average") & metrics["value"].notna()]
    sampled, counted, acus = (averages[averages["name"] == name] for name in METRICS)
    sources = {
        CLASS: classes["instance"].map(recorded).astype(float),
        SAMPLED: _at(classes, sampled),
        SYSTEM: _at(classes, counted),
        ACUS: _at(classes, acus) / ACUS_PER_VCPU,
    }
    vcpus = pd.Series(np.nan, index=classes.index)
    origin = pd.Series("", index=classes.index)
    for name, known in sources.items():
        usable = vcpus.isna() & (known > 0)
        vcpus, origin = vcpus.mask(usable, known), origin.mask(usable, name)
    return classes.assign(vcpus=vcpus, vcpus_from=origin)


def _at(classes: pd.DataFrame, metric: pd.DataFrame) -> pd.Series:
    """The metric's latest value at the time of each row; NaN if it is too old."""
    if classes.empty or metric.empty:
        return pd.Series(np.nan, index=classes.index)
    rows = classes[["time", "instance"]].assign(row=classes.index, instance=classes["instance"].astype(str))
    values = metric[["time", "instance", "value"]].astype({"instance": str})
    found = pd.merge_asof(
        rows.sort_values("time", kind="stable"),
        values.sort_values("time", kind="stable"),
        on="time",
        by="instance",
        tolerance=STALE,
    )
    return found.set_index("row")["value"].reindex(classes.index)
