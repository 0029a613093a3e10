"""The writer's latencies that are judged, and the mechanism's measures that are shown beside them.

CloudWatch has the latency of DML and SELECT on Aurora MySQL. On PostgreSQL it has that of commits only, so the mean latency of
each of the writer's top statements is an outcome, too. What lies between a reader's snapshot and the latency (buffers per call,
dead rows, the horizon's age, replica lag) is never a regressor: holding it constant would remove part of the effect. Buffers and
lag are outcomes of the mechanism, and decide no verdict.
"""

from __future__ import annotations

import pandas as pd

from aurora_analysis.analysis import experiment, undo_log
from aurora_analysis.analysis.costliest import statement_text
from aurora_analysis.analysis.effect_level import OUTCOMES, STATEMENT_LATENCY
from aurora_analysis.analysis.reader_impact.design import HISTORY, LOAD
from aurora_analysis.store.observations import Observations

MOST_STATEMENTS = 5
"""The writer's statements that are judged: those that took the most time. More tests widen every interval."""

LISTED_LEAST = 0.5
"""A statement is judged if it is listed in at least this share of the minutes that have statements [0 to 1].

A minute without it is missing, never zero: it was not among the top statements.
"""

DIGEST_LENGTH = 8

BUFFERS = "buffers_per_call_of_"
"""Beginning of the mechanism's measures; the digest's first characters follow, as in `STATEMENT_LATENCY`."""

LAG = "replica_lag"

SUBSTITUTE = "commit_throughput"
"""The load where CloudWatch has no rate of DML."""


def outcomes(data: Observations) -> pd.DataFrame:
    """Read the writer's latencies that are judged.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    DataFrame
        By minute (UTC) [ms], one column per metric; on PostgreSQL also one per top statement, named `latency_of_` and its digest.
    """
    latencies = data.metrics(OUTCOMES)
    if data.words.cleanup != "vacuum":
        return latencies
    statements = by_digest(data, "mean_latency_ms").add_prefix(STATEMENT_LATENCY)
    if statements.empty:
        return latencies
    return latencies.join(statements, how="outer") if len(latencies) else statements


def in_trials(data: Observations) -> pd.DataFrame:
    """Read what randomised trials compare, as the page `experiment` does: as fine as sampled, because a block may last seconds.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    DataFrame
        By time (UTC), one column per metric of `TRIAL_METRICS` [ms; throughput 1/s], and one per top statement [ms]. The same
        columns on both pages: p-values are adjusted for their number.
    """
    counted = data.table("statement_metrics")
    statements = experiment.statement_latency(
        counted[counted["role"] == "writer"],
        data.fingerprints,
        most=experiment.Options().most_statements,
    )
    named = statements.rename(columns=lambda name: f"{STATEMENT_LATENCY}{name.removeprefix('statement ')}")
    return data.metrics(experiment.TRIAL_METRICS).join(named, how="outer")


def writer_metrics(data: Observations) -> pd.DataFrame:
    """Read what a design needs: the outcomes, the load, and what waits for cleanup.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    DataFrame
        The argument `metrics` of `ordinary_days`.
    """
    return outcomes(data).join(_conditions(data), how="outer")


def mechanism_metrics(data: Observations) -> pd.DataFrame:
    """Read the same with the mechanism's measures instead of latencies.

    Parameters
    ----------
    data : Observations
        The window of one cluster.

    Returns
    -------
    DataFrame
        Buffers per call of the top statements, and the lag of the reader that is furthest behind [ms]; no such column on MySQL.
    """
    conditions = _conditions(data)
    if data.words.cleanup != "vacuum":
        return conditions
    measures = by_digest(data, "buffers_per_call").add_prefix(BUFFERS)
    return measures.join(_lag(data), how="outer").join(conditions, how="outer")


def _conditions(data: Observations) -> pd.DataFrame:
    """Load and what waits for cleanup, under the names that the design uses."""
    names = [LOAD, SUBSTITUTE] if data.words.cleanup == "vacuum" else [LOAD]
    known = data.metrics(names)
    load = next((known[name] for name in names if name in known), pd.Series(dtype=float))
    delay = undo_log.delay_and_boundary(data)[0]
    found = pd.concat({LOAD: load, HISTORY: delay}, axis=1, sort=True).dropna(axis="columns", how="all")
    return found if len(found) else pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))


def by_digest(data: Observations, column: str) -> pd.DataFrame:
    """Read a statistic of the writer's top statements by minute, weighted by calls.

    Parameters
    ----------
    data : Observations
        The window of one cluster.
    column : str
        A column of the table statement_metrics, per call.

    Returns
    -------
    DataFrame
        By minute (UTC), one column per digest (its first characters), the costliest first.
    """
    rows = data.table("statement_metrics")
    rows = rows[(rows["role"] == "writer") & (rows["calls"] > 0)].dropna(subset=["mean_latency_ms"])
    if rows.empty:
        return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
    minute = rows["time"].dt.floor("min")
    spent = (rows["calls"] * rows["mean_latency_ms"]).groupby(rows["digest"].astype(str)).sum()
    listed = minute.groupby(rows["digest"].astype(str)).nunique() / minute.nunique()
    top = spent[listed >= LISTED_LEAST].nlargest(MOST_STATEMENTS).index
    kept = rows[rows["digest"].isin(top)].dropna(subset=[column])
    keys = [minute[kept.index], kept["digest"].astype(str).str[:DIGEST_LENGTH]]
    total = (kept[column] * kept["calls"]).groupby(keys).sum()
    means = (total / kept["calls"].groupby(keys).sum()).unstack()
    return means.reindex(columns=[name for name in top.str[:DIGEST_LENGTH] if name in means]).rename_axis(
        "time"
    )


def _lag(data: Observations) -> pd.Series:
    """Lag of the reader that is furthest behind, by minute [ms]."""
    metrics = data.table("metrics", columns=["value"], where={"name": LAG, "statistic": "average"})
    views = data.table("read_views").rename(columns={"replica_lag_ms": "value"})
    rows = pd.concat(
        [part[["time", "value"]].dropna() for part in (metrics, views) if len(part)] or [metrics]
    )
    return rows.groupby(rows["time"].dt.floor("min"))["value"].max().rename(LAG).astype(float)


TABLE = ["workload", "statement", "of", "effect_pct", "ci_low_pct", "ci_high_pct", "level"]


def buffers_and_time(
    estimates: pd.DataFrame, mechanism: pd.DataFrame, fingerprints: pd.DataFrame
) -> pd.DataFrame:
    """Put each statement's buffers and time per call below each other, and the readers' lag at the end.

    Parameters
    ----------
    estimates, mechanism : DataFrame
        Results of `effects` on the outcomes, and on the mechanism's measures.
    fingerprints : DataFrame
        Texts of the statements: `digest, fingerprint`.

    Returns
    -------
    DataFrame
        One row per workload, statement and measure (`buffers`, the sharp one; `time`, the honest one): the effect with its 95 %
        confidence interval [%], missing where refused, and for `time` the level that is judged.
    """
    texts = {str(digest)[:DIGEST_LENGTH]: str(digest) for digest in fingerprints["digest"]}
    rows = [
        (
            row["workload"],
            *_measure(str(row["metric"]), texts, fingerprints),
            *(row[name] for name in TABLE[3:]),
        )
        for row in pd.concat([mechanism, estimates]).to_dict("records")
        if str(row["metric"]).startswith((BUFFERS, STATEMENT_LATENCY)) or row["metric"] == LAG
    ]
    found = pd.DataFrame(rows, columns=TABLE)
    found["level"] = found["level"].where(found["of"] == "time", "")
    return found.sort_values(["workload", "statement", "of"], kind="stable", ignore_index=True)


def _measure(metric: str, texts: dict[str, str], fingerprints: pd.DataFrame) -> tuple[str, str]:
    """Statement and measure of a metric."""
    if metric == LAG:
        return "(all)", "replica lag"
    prefix, of = (BUFFERS, "buffers") if metric.startswith(BUFFERS) else (STATEMENT_LATENCY, "time")
    digest = metric.removeprefix(prefix)
    return statement_text(texts.get(digest, digest), fingerprints), of
