"""Nine days of a PostgreSQL cluster, minute by minute, with known effects. Simulated: nothing in it was measured.

`etl` holds a snapshot while it runs; dead rows grow with the rows changed since, the queue's delete touches more buffers for each
of them, and its latency rises in proportion, by `effect` on average over the minutes with `etl`. `bi` runs as often and as long and
holds nothing. The writer's other statement and its commits are slowed by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from postgresql_window import READER, WRITER, InMemory, instances

from aurora_analysis.store.observations import Observations
from aurora_analysis.window import Window

DAYS = 9
SPAN = Window("2026-11-02", "2026-11-11")
MINUTES = pd.date_range(SPAN.start, SPAN.end, freq="min", inclusive="left", unit="us")
QUEUE, OTHER = "aaaa1111" * 2, "bbbb2222" * 2
BUFFERS, BUFFERS_PER_ROW, MS = 120.0, 0.002, 0.25
ROWS_PER_S = 300.0


@dataclass(frozen=True)
class Simulated:
    """The tables, and the truth: the mean of the log effect over the minutes with `etl`, and latency per dead row."""

    tables: dict[str, pd.DataFrame]
    log_effect: float
    log_buffers: float
    per_row: float
    rows_per_s: np.ndarray

    def observed(self) -> Observations:
        return Observations(InMemory(self.tables), SPAN, "ledger")  # type: ignore[arg-type]


def _runs(rng: np.random.Generator) -> np.ndarray:
    """Minutes with a workload: two or three runs a day of 40 to 70 min at random times of the day."""
    running = np.zeros(len(MINUTES), dtype=bool)
    for day in range(DAYS):
        for start in rng.choice(np.arange(60, 1350, 120), rng.integers(2, 4), replace=False) + rng.integers(
            0, 40
        ):
            running[1440 * day + start : 1440 * day + start + rng.integers(40, 70)] = True
    return running


def simulated(seed: int, effect: float) -> Simulated:
    """Simulate nine days in which `etl` slows the queue's delete by `effect` on average (0.2 is 20 %)."""
    rng = np.random.default_rng(seed)
    count, hour = len(MINUTES), MINUTES.hour + MINUTES.minute / 60
    load = np.asarray(np.exp(0.35 * np.sin(2 * np.pi * (hour - 9) / 24)) * np.exp(rng.normal(0, 0.05, count)))
    etl, bi = _runs(rng), _runs(rng)
    changed = ROWS_PER_S * load
    dead, kept = np.zeros(count), 0.0
    for minute in range(count):
        kept = kept + 60 * changed[minute] if etl[minute] else 0.0
        dead[minute] = 2000.0 + kept
    excess = dead - 2000.0
    per_row = effect / excess[etl].mean()
    busy = 0.15 * np.log(load)
    noise = {name: 0.15 * rng.normal(0, 1, count) for name in ("queue", "other", "commit")}
    latency = {
        "queue": MS * (1 + per_row * excess) * np.exp(busy + noise["queue"]),
        "other": 0.8 * np.exp(busy + noise["other"]),
        "commit": 2.0 * np.exp(busy + noise["commit"]),
    }
    # No effect, no buffers: the dead rows then lie in a table that the statement never touches.
    touched = BUFFERS + BUFFERS_PER_ROW * excess * (effect > 0)
    buffers = {"queue": touched * np.exp(0.01 * rng.normal(0, 1, count)), "other": np.full(count, 12.0)}
    age = np.where(etl, excess / 1.5, rng.integers(50, 300, count))
    clock = np.cumsum(60 * changed / 1.5)
    metrics = {
        "commit_latency": latency["commit"],
        "dml_throughput": changed,
        "commit_throughput": changed / 10,
        "dead_rows": dead,
        "xmin_age_readers": age,
        "xmin_age_writer": np.zeros(count),
        "xmin_age_prepared": np.zeros(count),
        "xmin_age_slots": np.zeros(count),
        "oldest_database_age": 1e6 + clock,
    }
    tables = {
        "instances": instances().iloc[:2].assign(time=pd.Timestamp(SPAN.start).as_unit("us")),
        "metrics": pd.concat([_metric(name, values) for name, values in metrics.items()], ignore_index=True),
        "statement_metrics": pd.concat(
            [
                _statement(QUEUE, latency["queue"], buffers["queue"]),
                _statement(OTHER, latency["other"], buffers["other"]),
            ],
            ignore_index=True,
        ),
        "relations": pd.DataFrame(
            {
                "time": MINUTES,
                "instance": WRITER,
                "database": "shop",
                "relation": "public.queue",
                "dead_rows": dead.astype(int),
                "rows_changed": np.cumsum(60 * changed).astype(int),
                "vacuum_at": 10_000,
                "vacuumed_s_ago": 30.0,
                "bytes": 1e7,
            }
        ),
        "slow_queries": pd.concat([_logged("etl", etl, 7), _logged("bi", bi, 8)], ignore_index=True),
        "coverage": _covered(),
    }
    log_effect = float(np.log1p(per_row * excess[etl]).mean())
    log_buffers = float(np.log(touched[etl] / BUFFERS).mean())
    return Simulated(tables, log_effect, log_buffers, per_row, changed)


def _metric(name: str, values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "time": MINUTES,
            "period_s": 60.0,
            "instance": WRITER,
            "name": name,
            "statistic": "average",
            "value": values,
        }
    )


def _statement(digest: str, latency: np.ndarray, buffers: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "time": MINUTES,
            "period_s": 60.0,
            "instance": WRITER,
            "digest": digest,
            "calls": 3000.0,
            "mean_latency_ms": latency,
            "buffers_per_call": buffers,
        }
    )


def _logged(user: str, running: np.ndarray, thread: int) -> pd.DataFrame:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], running.astype(int), [0]])))
    starts, ends = MINUTES[edges[::2]], MINUTES[edges[1::2] - 1] + pd.Timedelta("1min")
    return pd.DataFrame(
        {
            "started_at": starts,
            "ended_at": ends,
            "instance": READER,
            "digest": user * 4,
            "user": user,
            "thread_id": thread,
            "query_time_s": (ends - starts).total_seconds(),
        }
    )


def _covered() -> pd.DataFrame:
    bounds = {"time": pd.Timestamp(SPAN.start), "end": pd.Timestamp(SPAN.end)}
    rows = [(table, instance) for table, instance in (("metrics", WRITER), ("slow_queries", READER))]
    frame = pd.DataFrame(rows, columns=["table", "instance"]).assign(**bounds, source="cloudwatch")
    return frame.assign(expected=1.0, received=1.0, lost=0.0, unit="points")
