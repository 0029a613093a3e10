"""Read one window's evidence on latency, and derive the figures of logged statements and of all statements."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from aurora_analysis.analysis.latency.blocks import QUANTILES, BlockCounts, block_counts
from aurora_analysis.analysis.latency.distributions import no_counts
from aurora_analysis.window import Window

LOGGED, ALL, COUNTED, RATE = "logged", "all", "counted", "rate"
"""Statements that a figure covers: logged statements, all statements by log and total, all by histogram, the logged share."""

JUDGED = 0.95
"""The quantile that is judged."""

UPPER_QUANTILES = (0.95, 0.99, 0.999)
"""Quantiles of all statements that a log of the slowest ones may determine."""

COUNTED_LEAST = 0.95
"""Histograms are of all statements if they hold at least this share of the executions that the server counted."""

TIME_COVERED_LEAST = 0.5
"""Share of the window that histograms must cover."""

Limits = Mapping[Hashable, float]


@dataclass(frozen=True)
class Sample:
    """One window's executions by latency, and how many statements ran in all.

    Parameters
    ----------
    window : Window
        The window.
    executions : DataFrame
        Counts of the slow log.
    statement_rate : Series
        Result of `statement_rate`: all statements per second, by instance.
    counted : DataFrame
        Counts of all executions (`whole_histograms`), of the instances that have them.
    """

    window: Window
    executions: pd.DataFrame
    statement_rate: pd.Series = field(default_factory=lambda: pd.Series(dtype=float))
    counted: pd.DataFrame = field(default_factory=no_counts)

    def statements(self, instance: Hashable) -> float:
        """Number of all statements of an instance; NaN if unknown.

        Parameters
        ----------
        instance : str
            The instance.

        Returns
        -------
        float
            Statements in the window.
        """
        return float(self.statement_rate.get(instance, np.nan)) * self.window.duration.total_seconds()

    def blocks(self, counts: pd.DataFrame) -> dict[Hashable, BlockCounts]:
        """Counts by block of time and bucket, by instance.

        Parameters
        ----------
        counts : DataFrame
            `executions` or `counted`.

        Returns
        -------
        dict of str to BlockCounts
            The counts of each instance.
        """
        return {group[0]: one for group, one in block_counts(counts, self.window, ["instance"])}


def whole_histograms(
    histograms: pd.DataFrame, statement_metrics: pd.DataFrame, window: Window
) -> pd.DataFrame:
    """Counts of the instances whose histograms hold nearly all executions of the window.

    A server has histograms of its slowest statements only, so their share is checked against its counters.

    Parameters
    ----------
    histograms : DataFrame
        Rows of the table `histograms`.
    statement_metrics : DataFrame
        Rows of the table `statement_metrics`.
    window : Window
        The window.

    Returns
    -------
    DataFrame
        The rows of `histograms` of these instances.
    """
    calls = statement_metrics.groupby("instance", observed=True)["calls"].sum()
    held = histograms.groupby("instance", observed=True)["count"].sum()
    periods = histograms[["instance", "time", "period_s"]].drop_duplicates()
    covered = periods.groupby("instance", observed=True)["period_s"].sum() / window.duration.total_seconds()
    whole = (held / calls >= COUNTED_LEAST) & (covered >= TIME_COVERED_LEAST)
    return histograms[histograms["instance"].isin(whole.index[whole])]


def holds_slowest(limits: Limits) -> bool:
    """Return whether the log holds every statement above a known cut.

    Parameters
    ----------
    limits : mapping
        A row of `cut`.

    Returns
    -------
    bool
        False if the cut is unknown, or statements are left out by rows examined or by sampling.
    """
    left_out = limits.get("min_examined_row_limit", 0) > 0 or limits.get("log_slow_rate_limit", 1) > 1
    return limits.get("long_query_time_ms", np.nan) >= 0 and not left_out


def figures(
    sample: Sample, cuts: Mapping[Hashable, Limits], totals: Collection[Hashable] = ()
) -> pd.DataFrame:
    """Figures of one window that are compared from week to week.

    Parameters
    ----------
    sample : Sample
        The window.
    cuts : mapping of str to mapping
        Rows of `cut` by instance.
    totals : collection of str
        The instances whose logged statements are counted as a share of all statements, because the window that is compared
        knows their total. A share and a number must not be compared.

    Returns
    -------
    DataFrame
        `instance, of, quantile, value`: latencies [ms], and the number of logged statements, or of `totals` their share of
        all statements (`of` is `RATE`, `quantile` 0), which is left out if this window lacks the total.
    """
    rows = list(_figures(sample, cuts, totals))
    return pd.DataFrame(rows, columns=["instance", "of", "quantile", "value"])


def _figures(
    sample: Sample, cuts: Mapping[Hashable, Limits], totals: Collection[Hashable]
) -> Iterator[tuple[Hashable, str, float, float]]:
    for instance, blocks in sample.blocks(sample.counted).items():
        yield instance, COUNTED, JUDGED, float(blocks.quantiles()[QUANTILES.index(JUDGED)])
    for instance, blocks in sample.blocks(sample.executions).items():
        total = sample.statements(instance)
        yield instance, LOGGED, JUDGED, float(blocks.quantiles()[QUANTILES.index(JUDGED)])
        if instance not in totals:
            yield instance, RATE, 0.0, blocks.total
        elif total > 0:
            yield instance, RATE, 0.0, blocks.total / total
        if holds_slowest(cuts.get(instance, {})):
            for quantile in UPPER_QUANTILES:
                yield instance, ALL, quantile, float(blocks.exceeded_by((1 - quantile) * total)[0])
