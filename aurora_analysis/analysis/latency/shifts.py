"""Estimate the shift of latency against the previous window."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd

from aurora_analysis import histogram
from aurora_analysis.analysis.latency.blocks import (
    BLOCKS_NEEDED,
    QUANTILES,
    BlockCounts,
    block_counts,
    block_weights,
    percentile_interval,
)
from aurora_analysis.analysis.latency.samples import (
    ALL,
    COUNTED,
    JUDGED,
    LOGGED,
    UPPER_QUANTILES,
    Limits,
    Sample,
    holds_slowest,
)
from aurora_analysis.window import Window


def shift(
    executions: pd.DataFrame,
    before: pd.DataFrame,
    window: Window,
    by: Sequence[str] = ("instance",),
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate how far each latency quantile moved against the previous window [%], with interval.

    Parameters
    ----------
    executions, before : DataFrame
        Counts in the window and in `window.previous()`.
    window : Window
        The window.
    by : sequence of str
        Columns that name a group.
    confidence : float
        Coverage of the block-bootstrap intervals [0 to 1].
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        `by…, quantile, before_ms, latency_ms` [ms], `shift_pct, low_pct, high_pct` [%]. Groups that ran in only one of the
        windows are omitted; intervals are NaN if a window has too few non-empty blocks.
    """
    earlier = dict(block_counts(before, window.previous(), by))
    pairs = [
        (group, now, earlier[group])
        for group, now in block_counts(executions, window, by)
        if group in earlier
    ]
    rows = [
        (*group, *values) for group, now, then in pairs for values in _shifts(now, then, confidence, seed)
    ]
    columns = [*by, "quantile", "before_ms", "latency_ms", "shift_pct", "low_pct", "high_pct"]
    return pd.DataFrame(rows, columns=columns)


def _shifts(now: BlockCounts, then: BlockCounts, confidence: float, seed: int) -> list[tuple[float, ...]]:
    resampled, resampled_before = now.resampled(seed), then.resampled(seed + 1)
    ratio = None if resampled is None or resampled_before is None else resampled / resampled_before
    low, high = percentile_interval(None if ratio is None else 100 * (ratio - 1), confidence)
    before_ms, latency_ms = then.quantiles(), now.quantiles()
    return list(zip(QUANTILES, before_ms, latency_ms, 100 * (latency_ms / before_ms - 1), low, high))


def rate_shift(
    executions: pd.DataFrame,
    before: pd.DataFrame,
    window: Window,
    statement_rates: tuple[pd.Series, pd.Series] | None = None,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate how far the number of logged executions moved against the previous window [%], with interval.

    If statements slow down, more of them exceed the cut, and the new ones lie just above it: the quantiles of the log can
    fall while everything gets slower. So a quantile of a cut log must be read together with the rate above the cut.

    The interval is a bootstrap over pairs of blocks at the same position of both windows, so that the rhythm of days, and
    of the week in windows of a week, cancels.

    Parameters
    ----------
    executions, before : DataFrame
        Counts in the window and in `window.previous()`.
    window : Window
        The window.
    statement_rates : tuple of Series, optional
        Results of `statement_rate` in the window and in the previous one. Where both have an instance, its shift is that
        of the logged share of all statements, which does not depend on traffic.
    confidence : float
        Coverage of the intervals [0 to 1].
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        `instance, logged_before, logged` (executions), `traffic` (ratio of all statements to the previous window, NaN if
        unknown), `rate_pct, rate_low_pct, rate_high_pct` [%]. Instances without executions in one of the windows are
        omitted; the interval is NaN if a window has too few non-empty blocks.
    """
    now = {group[0]: one.blocks.sum(axis=1) for group, one in block_counts(executions, window, ["instance"])}
    earlier = block_counts(before, window.previous(), ["instance"])
    then = {group[0]: one.blocks.sum(axis=1) for group, one in earlier}
    traffic = _traffic(statement_rates)
    rows = [
        (
            instance,
            then[instance].sum(),
            counts.sum(),
            traffic.get(instance, np.nan),
            *_rate(counts, then[instance], traffic.get(instance, np.nan), confidence, seed),
        )
        for instance, counts in now.items()
        if instance in then
    ]
    columns = ["instance", "logged_before", "logged", "traffic", "rate_pct", "rate_low_pct", "rate_high_pct"]
    return pd.DataFrame(rows, columns=columns)


def _traffic(statement_rates: tuple[pd.Series, pd.Series] | None) -> pd.Series:
    """Ratio of all statements to those of the previous window, by instance."""
    if statement_rates is None:
        return pd.Series(dtype=float)
    now, then = statement_rates
    return (now / then.where(then > 0)).where(now > 0).dropna()


def _rate(
    now: np.ndarray, then: np.ndarray, traffic: float, confidence: float, seed: int
) -> tuple[float, float, float]:
    """Shift of the logged executions, per statement if `traffic` is known, with its interval [%]."""
    per = 1.0 if np.isnan(traffic) else traffic
    change = 100 * (now.sum() / then.sum() / per - 1)
    if min(np.count_nonzero(now), np.count_nonzero(then)) < BLOCKS_NEEDED:
        return change, np.nan, np.nan
    weights = block_weights(len(now), seed)
    sums_before = weights @ then
    ratios = (weights @ now) / np.where(sums_before > 0, sums_before, np.nan) / per
    low, high = np.nanpercentile(100 * (ratios - 1), [50 * (1 - confidence), 50 * (1 + confidence)])
    return change, float(low), float(high)


RESPONSE_FACTOR = 1.5
"""The shift whose trace in the log is measured by `response`; a smaller one would drown in noise."""

RESPONSE_NEEDED = 50
"""Smallest number of executions above the shifted cut that shows how the log's quantile responds."""

JUDGED_COLUMNS = ["instance", "of", "quantile", "before_ms", "latency_ms", "shift_pct", "low_pct", "high_pct"]


def judged(
    now: Sample, before: Sample, cuts: Mapping[Hashable, Limits], *, confidence: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Estimate the shift of the most informative quantile of each instance [%], with interval.

    That is the p95 of all statements where histograms count them; else the lowest upper quantile of all statements that
    the slow log and the total number determine in both windows; else the p95 of logged statements.

    Parameters
    ----------
    now, before : Sample
        The window and the previous one.
    cuts : mapping of str to mapping
        Rows of `cut` by instance.
    confidence : float
        Coverage of the intervals [0 to 1].
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        One row per instance that ran in both windows, with `JUDGED_COLUMNS`; `of` is `COUNTED`, `ALL` or `LOGGED`.
    """
    p95 = {
        of: shift(*tables, now.window, confidence=confidence, seed=seed)
        .query("quantile == @JUDGED")
        .assign(of=of)
        for of, tables in (
            (COUNTED, (now.counted, before.counted)),
            (LOGGED, (now.executions, before.executions)),
        )
    }
    whole = _shifts_of_all(now, before, cuts, confidence, seed)
    found = pd.concat([p95[COUNTED], whole, p95[LOGGED]])
    found = found.drop_duplicates("instance")[JUDGED_COLUMNS].sort_values("instance", ignore_index=True)
    return found.astype(dict.fromkeys(JUDGED_COLUMNS[2:], float))


def _shifts_of_all(
    now: Sample, before: Sample, cuts: Mapping[Hashable, Limits], confidence: float, seed: int
) -> pd.DataFrame:
    """Shift of the lowest upper quantile of all statements that both logs determine."""
    earlier, rows = before.blocks(before.executions), []
    for instance, blocks in now.blocks(now.executions).items():
        if instance not in earlier or not holds_slowest(cuts.get(instance, {})):
            continue
        sides = ((blocks, now.statements(instance)), (earlier[instance], before.statements(instance)))
        for quantile in UPPER_QUANTILES:
            latency, then = (float(side.exceeded_by((1 - quantile) * total)[0]) for side, total in sides)
            if latency > 0 and then > 0:
                interval = _interval_of_all(sides, quantile, confidence, seed)
                rows.append((instance, ALL, quantile, then, latency, 100 * (latency / then - 1), *interval))
                break
    return pd.DataFrame(rows, columns=JUDGED_COLUMNS)


def _interval_of_all(
    sides: Sequence[tuple[BlockCounts, float]], quantile: float, confidence: float, seed: int
) -> tuple[float, float]:
    """Interval of a quantile's shift; a resample that does not reach the quantile has the log's lowest latency."""
    if min(np.count_nonzero(side.blocks.sum(axis=1)) for side, _ in sides) < BLOCKS_NEEDED:
        return np.nan, np.nan
    latency, then = (
        np.nan_to_num(
            side.exceeded_by((1 - quantile) * total, block_weights(len(side.blocks), seed + n)),
            nan=float(histogram.middle(side.buckets[:1])[0]),
        )
        for n, (side, total) in enumerate(sides)
    )
    low, high = percentile_interval((100 * (latency / then - 1))[:, None], confidence)
    return float(low[0]), float(high[0])


def response(before: Sample, cuts: Mapping[Hashable, Limits]) -> pd.Series:
    """Movement of the logged statements' p95 if all statements shift, as a share of that shift [0 to 1].

    Statements that cross the cut offset the move of the others. The share is 1 far from the cut, and 0 under a Pareto
    tail, which looks the same at every scale: the log alone then shows nothing about the size of a shift.

    Parameters
    ----------
    before : Sample
        The previous window.
    cuts : mapping of str to mapping
        Rows of `cut` by instance; where the cut is unknown, it is the fastest logged statement.

    Returns
    -------
    Series
        Share by instance; NaN if too few statements are above a cut that is `RESPONSE_FACTOR` times as high.
    """
    steps = round(np.log(RESPONSE_FACTOR) / np.log(histogram.GAMMA))
    found = {}
    for instance, blocks in before.blocks(before.executions).items():
        cut_ms = cuts.get(instance, {}).get("long_query_time_ms", np.nan)
        least = histogram.bucket([cut_ms])[0] if cut_ms >= 0 else blocks.buckets[0]
        counts = blocks.blocks.sum(axis=0)
        sped_up = np.where(blocks.buckets >= least + steps, counts, 0)
        moved = steps - _bucket_at(blocks.buckets, sped_up) + _bucket_at(blocks.buckets, counts)
        enough = sped_up.sum() >= RESPONSE_NEEDED
        found[instance] = float(np.clip(moved / steps, 0, 1)) if enough else np.nan
    return pd.Series(found, dtype=float)


def _bucket_at(buckets: np.ndarray, counts: np.ndarray) -> float:
    """Bucket that holds the judged quantile."""
    return float(buckets[np.searchsorted(counts.cumsum(), JUDGED * counts.sum() - 1e-9)])
