"""Slow queries of the simulated cluster `shop`: long runs, the batch, and the tail of the short statements."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.lab.shop_statements import MIXES, USERS, host
from aurora_analysis.lab.simulate import COMMITS_PER_MINUTE, Array, Course, Plan

FINGERPRINT = engines.module("aurora-mysql", "fingerprint")

LONG_QUERY_TIME_S = 0.5


def slow_queries(plan: Plan, played: Course) -> pd.DataFrame:
    """All logged executions that ended in the window."""
    parts = [long_queries(plan), batch_queries(plan), *_tail(plan, played)]
    queries = pd.concat(parts, ignore_index=True)
    seconds = significant(queries["query_time_s"].to_numpy())
    ended = plan.times(queries.pop("end"))
    queries = queries.assign(
        ended_at=ended,
        started_at=(ended - pd.to_timedelta(np.round(seconds * 1e6), unit="us")).as_unit("us"),
        query_time_s=seconds,
        lock_time_s=np.round(1e-6 * queries["query_time_s"].to_numpy(), 6),
        time_precision_s=1e-6,
        database="shop",
        ordinal=0,
    )
    inside = (ended >= pd.Timestamp(plan.window.start)) & (ended < pd.Timestamp(plan.window.end))
    return queries[inside].reset_index(drop=True)


def examples(plan: Plan, played: Course) -> pd.DataFrame:
    """The first logged execution of each digest, with its literals."""
    columns = ["ended_at", "instance", "digest", "query_time_s"]
    firsts = slow_queries(plan, played).sort_values("ended_at").drop_duplicates("digest")[columns]
    texts = {FINGERPRINT.statement(text).digest: text for text in logged_texts()}
    found = firsts.rename(columns={"ended_at": "time"}).reset_index(drop=True)
    return found.assign(text=found["digest"].map(texts))


def logged_texts() -> list[str]:
    """Return the statements that reach the slow log, with literals."""
    return [text for _, text in USERS.values()] + [text for mix in MIXES.values() for _, text, _ in mix]


def long_queries(plan: Plan) -> pd.DataFrame:
    """Slow queries of the logged runs."""
    runs = plan.runs[plan.runs["logged"]]
    rows = plan.rng(8).lognormal(np.log(40_000), 0.2, len(runs)) * (runs["end"] - runs["start"])
    instances = [str(plan.instances(role, start)) for role, start in zip(runs["role"], runs["start"])]
    return pd.DataFrame(
        {
            "instance": instances,
            "user": runs["workload"],
            "host": [USERS[user][0] for user in runs["workload"]],
            "digest": [FINGERPRINT.statement(USERS[user][1]).digest for user in runs["workload"]],
            "thread_id": runs["thread_id"],
            "end": runs["end"],
            "query_time_s": (runs["end"] - runs["start"]) * 60,
            "rows_sent": _rows_sent(runs, significant(rows)),
            "rows_examined": significant(rows).astype(int),
        }
    )


def _rows_sent(runs: pd.DataFrame, examined: Array) -> npt.NDArray[np.int64]:
    """Rows sent: all examined rows for an extract, one per region for `tableau`, none for an UPDATE."""
    report, write = (runs["workload"] == "tableau").to_numpy(), (runs["role"] == "writer").to_numpy()
    return np.select([write, report], [0, 12], examined).astype(int)


def batch_queries(plan: Plan) -> pd.DataFrame:
    """Slow queries of the batch: consecutive statements of some minutes, each its own transaction."""
    rng = plan.rng(9)
    cuts = [np.linspace(start, end, 9) + np.pad(rng.uniform(-1, 1, 7), 1) for start, end in plan.batches]
    starts = np.concatenate([cut[:-1] for cut in cuts])
    ends = np.concatenate([cut[1:] for cut in cuts])
    rows = significant(rng.lognormal(np.log(2e6), 0.3, len(starts))).astype(int)
    return pd.DataFrame(
        {
            "instance": plan.instances("writer", starts),
            "user": "batch",
            "host": USERS["batch"][0],
            "digest": FINGERPRINT.statement(USERS["batch"][1]).digest,
            "thread_id": np.repeat(np.arange(len(plan.batches)) + 4000, 8),
            "end": ends,
            "query_time_s": (ends - starts) * 60,
            "rows_sent": 0,
            "rows_examined": rows,
        }
    )


def _tail(plan: Plan, played: Course) -> Iterator[pd.DataFrame]:
    """Short statements that took LONG_QUERY_TIME_S or more; the writer's share its slow-down."""
    rng = plan.rng(10)
    for role, mix in MIXES.items():
        slowdown = played.slowdown if role == "writer" else np.ones(plan.minutes)
        for user, statement, median_ms in mix:
            drawn = rng.poisson(8 * played.commits / COMMITS_PER_MINUTE)
            minute = np.repeat(np.arange(plan.minutes), drawn)
            seconds = median_ms / 1000 * slowdown[minute] * rng.lognormal(0, 0.6, len(minute))
            end = minute + rng.random(len(minute))
            kept = (seconds >= LONG_QUERY_TIME_S) & (end * 60 > seconds)
            yield _tail_queries(rng, plan, role, (user, statement), end[kept], seconds[kept])


def _tail_queries(
    rng: np.random.Generator, plan: Plan, role: str, work: tuple[str, str], end: Array, seconds: Array
) -> pd.DataFrame:
    user, statement = work
    rows = significant(seconds * rng.lognormal(np.log(30_000), 0.5, len(end))).astype(int)
    return pd.DataFrame(
        {
            "instance": plan.instances(role, end),
            "user": user,
            "host": host(user),
            "digest": FINGERPRINT.statement(statement).digest,
            "thread_id": rng.integers(100, 160, len(end)),
            "end": end,
            "query_time_s": seconds,
            "rows_sent": np.minimum(rows, 20),
            "rows_examined": rows,
        }
    )


def significant(values: Array, digits: int = 3) -> Array:
    """Round to significant digits, which keeps the sample small."""
    magnitude = np.floor(np.log10(np.maximum(np.abs(values), 1e-12)))
    scale = 10.0 ** (digits - 1 - magnitude)
    return np.round(values * scale) / scale
