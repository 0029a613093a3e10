"""How long statements take: distributions, their quantiles with intervals, and their shift.

Everything works on one tidy frame of counts, `time, instance, digest, bucket, count`: executions by
log-histogram bucket. Slow queries become such counts, the table histograms holds them already, and counts add
up. The slow log shows a distribution only above `long_query_time`; `cut` says where, a quantile of the log is a
quantile of what reached it, and `identified` says which quantiles of all statements follow from it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis import histogram
from aurora_analysis.analysis.series import Array
from aurora_analysis.analysis.verdict import Severity, Verdict
from aurora_analysis.window import Window

COLUMNS = ["ended_at", "instance", "digest", "query_time_s"]
"""What distributions need of the slow queries."""

COUNT_COLUMNS = ["time", "instance", "digest", "bucket", "count"]

QUANTILES = (0.5, 0.95, 0.99)

BLOCKS = 28
"""The bootstrap draws blocks of a 28th of the window: six hours of a week, in which latency hangs together."""

BLOCKS_NEEDED = 8
"""With fewer blocks that have executions an interval would only look like one."""

RESAMPLES = 1000


def counts(slow_queries: pd.DataFrame) -> pd.DataFrame:
    """Executions by latency bucket, at the minute in which they ended."""
    buckets = histogram.bucket(slow_queries["query_time_s"] * 1000)
    frame = slow_queries.assign(time=slow_queries["ended_at"].dt.floor("min"), bucket=buckets, count=1)
    return frame.groupby(COUNT_COLUMNS[:-1])["count"].sum().reset_index()


def top(executions: pd.DataFrame, count: int = 5) -> list[str]:
    """The digests that took the most time in all, most first."""
    seconds = histogram.middle(executions["bucket"]) * executions["count"]
    return seconds.groupby(executions["digest"]).sum().nlargest(count).index.to_list()


def distribution(executions: pd.DataFrame, by: Sequence[str] = ("instance",)) -> pd.DataFrame:
    """The log-histogram and the cumulative share of each group: `by…, latency_ms, count, share, ecdf`.

    `latency_ms` is the bucket's upper bound; `share` and `ecdf` are in [0, 1].
    """
    grouped = executions.groupby([*by, "bucket"], as_index=False)["count"].sum()
    groups = grouped.groupby(list(by))["count"]
    share = grouped["count"] / groups.transform("sum")
    return grouped.assign(
        latency_ms=histogram.bounds(grouped["bucket"])[1],
        share=share,
        ecdf=share.groupby([grouped[name] for name in by]).cumsum(),
    )


def quantiles(
    executions: pd.DataFrame,
    window: Window,
    by: Sequence[str] = ("instance",),
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Latency quantiles of each group with intervals: `by…, executions, quantile, latency_ms, low_ms, high_ms`.

    Answers: how long do statements take, and how sure are we? Intervals come from a bootstrap over blocks of
    time, because executions of the same hour resemble each other. Bucketing adds up to 1 %.
    """
    rows = [
        (*group, int(sample.total), quantile, *values)
        for group, sample in _samples(executions, window, by)
        for quantile, values in zip(QUANTILES, sample.intervals(confidence, seed))
    ]
    return pd.DataFrame(rows, columns=[*by, "executions", "quantile", "latency_ms", "low_ms", "high_ms"])


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Quantiles as people read them: one row a group, `p50` as "584 [570, 601]" in milliseconds."""
    by = [name for name in found.columns if name in COUNT_COLUMNS]
    text = [_with_interval(*values) for values in zip(found["latency_ms"], found["low_ms"], found["high_ms"])]
    columns = "p" + (100 * found["quantile"]).map("{:g}".format) + " [ms]"
    wide = found.assign(text=text, column=columns).pivot(index=by, columns="column", values="text")
    executions = found.groupby(by)["executions"].first()
    return wide.rename_axis(columns=None).assign(executions=executions).reset_index()


def shift(
    executions: pd.DataFrame,
    before: pd.DataFrame,
    window: Window,
    by: Sequence[str] = ("instance",),
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """How far each quantile moved against the previous window [%], with interval.

    Answers: did statements become slower? `by…, quantile, before_ms, latency_ms, shift_pct, low_pct, high_pct`.
    Groups that ran in only one of the windows are left out.
    """
    earlier = dict(_samples(before, window.previous(), by))
    pairs = [
        (group, now, earlier[group]) for group, now in _samples(executions, window, by) if group in earlier
    ]
    rows = [
        (*group, quantile, *values)
        for group, now, then in pairs
        for quantile, values in zip(QUANTILES, _shifts(now, then, confidence, seed))
    ]
    columns = [*by, "quantile", "before_ms", "latency_ms", "shift_pct", "low_pct", "high_pct"]
    return pd.DataFrame(rows, columns=columns)


def cut(instances: pd.DataFrame) -> pd.DataFrame:
    """Where each instance's slow log cuts: its strictest settings in the window.

    Answers: which statements could not be seen? `instance, long_query_time_ms, min_examined_row_limit,
    log_slow_rate_limit`; missing means not known.
    """
    limits = ["long_query_time_s", "min_examined_row_limit", "log_slow_rate_limit"]
    strictest = instances.groupby("instance", as_index=False)[limits].max()
    strictest.insert(1, "long_query_time_ms", strictest.pop("long_query_time_s") * 1000)
    return strictest


STATEMENTS = ("select_throughput", "dml_throughput")
"""The metrics that count the statements of which the slow log shows the slow ones [1/s]."""


def statements(metrics: pd.DataFrame) -> pd.Series:
    """How many statements each instance executed, as far as its throughput is known. Answers: the slow log is part of what?

    `metrics` are rows of the store's table of STATEMENTS.
    """
    count = metrics["value"] * metrics["period_s"]
    return count.groupby(metrics["instance"]).sum().rename("statements")


def identified(executions: pd.DataFrame, counted: pd.Series, cuts: pd.DataFrame) -> pd.DataFrame:
    """The quantiles of *all* statements of each instance that the slow log can tell, as people read them.

    Answers: what do we know of statements below the cut? Where the log holds the slowest part of all statements, a
    quantile inside that part is known; of one below it only that it is shorter than the cut. Where the log leaves out
    or samples, or where nobody counted (`counted` is the Series of `statements`), nothing is.
    """
    limits = cuts.set_index("instance").to_dict("index")
    by_instance = {str(name): rows for name, rows in executions.groupby("instance")}
    rows = [
        (
            name,
            counted.get(name, np.nan),
            mine["count"].sum(),
            *_identified(mine, counted.get(name), limits.get(name)),
        )
        for name, mine in by_instance.items()
    ]
    names = [f"p{100 * quantile:g} of all [ms]" for quantile in ALL_QUANTILES]
    found = pd.DataFrame(rows, columns=["instance", "statements", "logged", *names])
    found.insert(3, "logged_pct", 100 * found["logged"] / found["statements"])
    return found


ALL_QUANTILES = (0.5, 0.95, 0.99, 0.999)


def _identified(mine: pd.DataFrame, total: Any, limit: dict[Any, Any] | None) -> list[str]:
    """One instance's quantiles of all; `limit` is its row of `cut`."""
    if total is None or limit is None or not limit["long_query_time_ms"] >= 0 or _leaves_out(limit):
        return ["not known"] * len(ALL_QUANTILES)
    slowest_first = mine.groupby("bucket")["count"].sum().sort_index(ascending=False).cumsum()
    return [
        _of_all(slowest_first, (1 - quantile) * total, limit["long_query_time_ms"])
        for quantile in ALL_QUANTILES
    ]


def _leaves_out(limit: dict[Any, Any]) -> bool:
    return bool(limit["min_examined_row_limit"] > 0 or limit["log_slow_rate_limit"] > 1)


def _of_all(slowest_first: pd.Series, above: float, limit_ms: float) -> str:
    """The latency that so many statements exceed, or that it lies below the cut."""
    reached = slowest_first[slowest_first >= above]
    if reached.empty:
        return f"< {_three_digits(limit_ms)}"
    return _three_digits(float(histogram.middle(np.array([reached.index[0]]))[0]))


def verdicts(
    shifts: pd.DataFrame,
    executions: pd.DataFrame,
    cuts: pd.DataFrame,
    *,
    quantile: float = 0.95,
    materiality_pct: float = 5.0,  # the project's default for an effect that matters
    executions_needed: int = 100,  # below, fewer than five executions lie above the p95
) -> list[Verdict]:
    """One verdict an instance: `slower`, `faster`, `no material shift`, `inconclusive` or `unknown`.

    One window before this one cannot tell an ordinary week from a bad one; the sentence says so.
    """
    if executions.empty:
        reason = (
            "No execution reached the slow log or a histogram in this window: nothing can be said of latency."
        )
        action = "Check the coverage table, and that slow_query_log is on."
        return [
            Verdict(
                "latency",
                "all instances",
                "unknown",
                "unknown",
                reason,
                action=action,
                headline="Latency is unknown: no executions",
            )
        ]
    totals = executions.groupby("instance")["count"].sum()
    judged = shifts[shifts["quantile"] == quantile].set_index("instance").to_dict("index")
    return [
        _verdict(
            instance,
            int(totals[instance]),
            judged.get(instance),
            cuts,
            quantile,
            materiality_pct,
            executions_needed,
        )
        for instance in sorted(totals.index)
    ]


def _verdict(
    instance: str,
    total: int,
    row: dict[Hashable, float] | None,
    cuts: pd.DataFrame,
    quantile: float,
    materiality_pct: float,
    executions_needed: int,
) -> Verdict:
    seen = f"{total:,} executions{_above(instance, cuts)}"
    numbers: dict[str, float | int | str | None] = {"executions": total, "quantile": quantile}
    if row is None or total < executions_needed:
        why = (
            "the window before it has none to compare with"
            if total >= executions_needed
            else "that is too few"
        )
        sentence = f"{instance}: {seen}; {why}, so no shift can be told."
        action = "Keep fetching: the next window will have this one to compare with."
        return Verdict(
            "latency",
            instance,
            "unknown",
            "unknown",
            sentence,
            numbers,
            "the table of quantiles",
            action,
            f"Unknown whether latency on {instance} shifted",
        )
    level, severity = _level(row, materiality_pct)
    sentence = (
        f"The p{quantile * 100:.0f} of {seen} went from {_three_digits(row['before_ms'])} "
        f"to {_three_digits(row['latency_ms'])} ms: "
        f"{row['shift_pct']:+.0f} % [{row['low_pct']:+.0f}, {row['high_pct']:+.0f}] against the window before. "
        "Ordinary week-to-week variation is not known from two windows."
    )
    numbers |= {
        name: round(float(row[name]), 4)
        for name in ("before_ms", "latency_ms", "shift_pct", "low_pct", "high_pct")
    }
    return Verdict(
        "latency",
        instance,
        level,
        severity,
        sentence,
        numbers,
        "the figure of the shift",
        ACTIONS[level],
        HEADLINES[level].format(instance=instance),
    )


HEADLINES = {
    "slower": "Statements on {instance} became slower",
    "faster": "Statements on {instance} became faster",
    "no material shift": "Latency on {instance} did not shift materially",
    "inconclusive": "Inconclusive whether latency on {instance} shifted",
}

ACTIONS = {
    "slower": "Look at which digest moved most, and at what changed: statements, parameters, load.",
    "faster": "Nothing to do; note what changed.",
    "no material shift": "Nothing to do.",
    "inconclusive": "Compare longer windows, or look at single digests.",
    "unknown": "",
}


def _level(row: dict[Hashable, float], materiality_pct: float) -> tuple[str, Severity]:
    """The first rule that holds; a missing interval is conclusive of nothing."""
    if row["low_pct"] > 0 and row["shift_pct"] >= materiality_pct:
        return "slower", "watch"
    if row["high_pct"] < 0 and row["shift_pct"] <= -materiality_pct:
        return "faster", "ok"
    if row["low_pct"] > -materiality_pct and row["high_pct"] < materiality_pct:
        return "no material shift", "ok"
    return "inconclusive", "unknown"


def _with_interval(value: float, low: float, high: float) -> str:
    if np.isnan(low):
        return f"{_three_digits(value)} [too few]"
    return f"{_three_digits(value)} [{_three_digits(low)}, {_three_digits(high)}]"


def _three_digits(value: float) -> str:
    return f"{float(f'{value:.3g}'):,.10g}"


def _above(instance: str, cuts: pd.DataFrame) -> str:
    known = cuts.set_index("instance")["long_query_time_ms"]
    limit = known.get(instance, np.nan)
    return f" of at least {_three_digits(limit)} ms" if limit > 0 else ""


@dataclass(frozen=True)
class _Sample:
    """One group's executions: a count by block of time and bucket."""

    buckets: Array
    blocks: Array

    @property
    def total(self) -> float:
        return float(self.blocks.sum())

    def points(self) -> Array:
        return _quantiles(self.blocks.sum(axis=0)[None, :], self.buckets)[0]

    def resampled(self, seed: int) -> Array | None:
        """The quantiles of resampled blocks (resamples × quantiles); None where there are too few blocks."""
        if np.count_nonzero(self.blocks.sum(axis=1)) < BLOCKS_NEEDED:
            return None
        n = len(self.blocks)
        weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
        return _quantiles(weights @ self.blocks, self.buckets)

    def intervals(self, confidence: float, seed: int) -> list[tuple[float, float, float]]:
        low, high = _percentiles(self.resampled(seed), confidence)
        return list(zip(self.points(), low, high))


def _samples(
    executions: pd.DataFrame, window: Window, by: Sequence[str]
) -> list[tuple[tuple[Hashable, ...], _Sample]]:
    """Each group with its counts in blocks of time."""
    width = max(window.duration / BLOCKS, timedelta.resolution)  # a log of one execution spans a microsecond
    block = ((executions["time"] - window.start) / width).astype(int).clip(0, BLOCKS - 1)
    return [(group, _sample(rows)) for group, rows in executions.assign(block=block).groupby(list(by))]


def _sample(rows: pd.DataFrame) -> _Sample:
    table = rows.pivot_table(index="block", columns="bucket", values="count", aggfunc="sum", fill_value=0)
    return _Sample(table.columns.to_numpy(), table.reindex(range(BLOCKS), fill_value=0).to_numpy(dtype=float))


def _quantiles(weights: Array, buckets: Array) -> Array:
    """The quantiles of each row of counts [ms]: the bucket in which the cumulative share reaches them."""
    cumulative = weights.cumsum(axis=1)
    targets = np.outer(cumulative[:, -1], QUANTILES)
    reached = cumulative[:, None, :] >= targets[:, :, None] - 1e-9
    values = histogram.middle(buckets)[reached.argmax(axis=2)]
    return np.where(cumulative[:, -1:] > 0, values, np.nan)


def _percentiles(resampled: Array | None, confidence: float) -> Array:
    if resampled is None:
        return np.full((2, len(QUANTILES)), np.nan)
    tails = [50 * (1 - confidence), 50 * (1 + confidence)]
    return np.nanpercentile(resampled, tails, axis=0)


def _shifts(now: _Sample, then: _Sample, confidence: float, seed: int) -> list[tuple[float, ...]]:
    drawn, drawn_before = now.resampled(seed), then.resampled(seed + 1)
    both = None if drawn is None or drawn_before is None else 100 * (drawn / drawn_before - 1)
    low, high = _percentiles(both, confidence)
    return list(zip(then.points(), now.points(), 100 * (now.points() / then.points() - 1), low, high))
