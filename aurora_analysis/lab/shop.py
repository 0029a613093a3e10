"""Convert the simulated cluster `shop` into the store's tables, as services and logs would have reported it.

The source of every row is "simulated".
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import ndtr

from aurora_analysis import histogram
from aurora_analysis.lab.shop_slow_queries import (
    FINGERPRINT,
    LONG_QUERY_TIME_S,
    batch_queries,
    examples,
    logged_texts,
    long_queries,
    significant,
    slow_queries,
)
from aurora_analysis.lab.shop_statements import MIXES, RELEASED, USERS, host
from aurora_analysis.lab.simulate import (
    COMMITS_PER_MINUTE,
    EARLIER,
    FORTNIGHT,
    Array,
    Course,
    Plan,
    course,
    ordinary,
    plan,
    share,
    wander,
)
from aurora_analysis.store import Store
from aurora_analysis.window import Window

CLUSTER = "shop"
SOURCE = "simulated"
FIRST_TRANSACTION = 8_100_000_000
NUMBERS_PER_COMMIT = 2
"""InnoDB draws a transaction's id and its commit number from one counter."""

ENDPOINTS = {"writer": "dashboards", "other": "dashboards", "analytics": "analytics"}
"""Role → the custom endpoint that leads to its instance while that is a reader."""

FOLLOWS = {"writer": "", "other": "", "analytics": "analytics"}
"""Role → the custom endpoint that leads to its instance while that is the writer: `analytics` is of type ANY."""

TIERS = {"writer": 1, "other": 1, "analytics": 0}
"""Role → promotion tier: a failover would bring `analytics` to the writer."""

LOAD_PERIOD_MIN = 5


def tables(seed: int, window: Window = FORTNIGHT) -> dict[str, pd.DataFrame]:
    """Simulate the cluster; returns the rows of each table, `coverage` last."""
    planned = plan(seed, window)
    played = course(planned)
    observed = {
        "instances": _instances(planned),
        "events": _events(planned),
        "metrics": _metrics(planned, played),
        "db_load": _db_load(planned, played),
        "statement_metrics": _statement_metrics(planned, played),
        "histograms": _histograms(planned, played),
        "slow_queries": slow_queries(planned, played),
        "statements": _statements(planned),
        "examples": examples(planned, played),
        "trials": _trials(planned),
    }
    return observed | {"coverage": _coverage(planned, observed)}


def write(store: Store, seed: int, window: Window = FORTNIGHT) -> None:
    """Write the simulated cluster, `coverage` last; replaces the rows of another seed."""
    for name, frame in tables(seed, window).items():
        store.write(name, frame, window, cluster=CLUSTER, source=SOURCE)


def earlier_tables(seed: int, window: Window = EARLIER) -> dict[str, pd.DataFrame]:
    """Simulate ordinary weeks as services keep them: hour by hour, without logs; `coverage` last."""
    planned = ordinary(seed, window)
    played = course(planned)
    load = _db_load(planned, played).query("dimension == 'sql'")
    observed = {
        "instances": _instances(planned),
        "metrics": _hourly(_metrics(planned, played), ["instance", "name", "statistic"], "value"),
        "db_load": _hourly(load, ["instance", "dimension", "member"], "active_sessions"),
        "statement_metrics": _statement_metrics(planned, played),
    }
    return observed | {"coverage": _coverage(planned, observed)}


def _hourly(frame: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """Mean of each hour, rounded as the other figures are."""
    hours = frame.assign(time=frame["time"].dt.floor("h"), period_s=3600.0)
    means = hours.groupby(["time", "period_s", *by])[value].mean().reset_index()
    return means.assign(**{value: significant(means[value].to_numpy())})


def write_earlier(store: Store, seed: int, window: Window = EARLIER) -> None:
    """Write the ordinary weeks before the fortnight, `coverage` last."""
    for name, frame in earlier_tables(seed, window).items():
        store.write(name, frame, window, cluster=CLUSTER, source=SOURCE)


def _instances(plan: Plan) -> pd.DataFrame:
    """Rows of `instances` at the start, and again for those that swap roles at the failover."""
    swapped = [(plan.failover, role) for role in ("writer", "other") if np.isfinite(plan.failover)]
    rows = [(0.0, role) for role in MIXES] + swapped
    minutes, roles = zip(*rows)
    return pd.DataFrame(
        {
            "time": plan.times(minutes),
            "instance": [str(plan.instances(role, minute)) for minute, role in rows],
            "role": ["writer" if role == "writer" else "reader" for role in roles],
            "instance_class": "db.r6g.2xlarge",
            "vcpus": 8.0,
            "engine": "aurora-mysql",
            "engine_version": "simulated",
            "long_query_time_s": LONG_QUERY_TIME_S,
            "min_examined_row_limit": 0,
            "log_slow_rate_limit": 1.0,
            "isolation_level": "REPEATABLE-READ",
            "promotion_tier": [TIERS[role] for role in roles],
            "custom_endpoints": [(FOLLOWS if role == "writer" else ENDPOINTS)[role] for role in roles],
            "endpoints_as_writer": [FOLLOWS[role] for role in roles],
            "endpoints_as_reader": [ENDPOINTS[role] for role in roles],
        }
    )


def _events(plan: Plan) -> pd.DataFrame:
    rows = [
        (plan.failover - 0.5, "shop-1", "failover", "Started cross AZ failover to DB instance: shop-2."),
        (plan.failover, "shop-2", "failover", "Completed failover to DB instance: shop-2."),
        (plan.gap[0], None, "note", "Monitoring is off from here: simulated gap."),
        (plan.gap[1], None, "note", "Monitoring is on again."),
    ]
    minutes, instances, categories, messages = zip(*rows)
    columns = {"instance": instances, "category": categories, "message": messages}
    return pd.DataFrame({"time": plan.times(minutes), **columns})


def _metrics(plan: Plan, played: Course) -> pd.DataFrame:
    minute = np.arange(plan.minutes, dtype=float)
    series = [*_writer_metrics(plan, played), *_reader_metrics(plan, played)]
    frames = [
        pd.DataFrame(
            {
                "time": plan.times(minute),
                "period_s": 60.0,
                "instance": plan.instances(role, minute),
                "name": name,
                "statistic": "average",
                "value": values,
            }
        )[plan.observed(minute)]
        for role, name, values in series
    ]
    return pd.concat(frames, ignore_index=True)


def _writer_metrics(plan: Plan, played: Course) -> Iterator[tuple[str, str, Array]]:
    rng, load = plan.rng(5), played.commits / COMMITS_PER_MINUTE

    def about(values: Array) -> Array:
        return significant(values * np.exp(rng.normal(0, 0.03, plan.minutes)))

    yield "writer", "history_list_length", significant(played.history)
    yield "writer", "purge_boundary", _transaction_number(played.purge_boundary)
    yield "writer", "purge_finished", _transaction_number(played.purge_finished)
    for name, mean_ms in (("commit_latency", 2.1), ("dml_latency", 1.3), ("select_latency", 0.9)):
        yield "writer", name, about(mean_ms * played.slowdown)
    yield "writer", "commit_throughput", significant(played.commits / 60)
    yield "writer", "dml_throughput", about(played.commits * 3.2 / 60)
    yield "writer", "select_throughput", about(played.commits * 9 / 60)
    yield "writer", "active_transactions", about(1.5 * load * played.slowdown)
    yield "writer", "cpu_utilization", np.minimum(about(12 + 24 * load), 100)


def _reader_metrics(plan: Plan, played: Course) -> Iterator[tuple[str, str, Array]]:
    rng, load = plan.rng(6), played.commits / COMMITS_PER_MINUTE
    for role in ("other", "analytics"):
        busy = share(plan, plan.runs.loc[(plan.runs["role"] == role) & plan.runs["logged"], ["start", "end"]])
        noise = wander(rng, plan.minutes, 15, 0.15)
        yield role, "select_throughput", significant(900 * load * np.exp(noise / 2))
        yield role, "select_latency", significant(1.1 * np.exp(noise + 0.15 * busy))
        yield (
            role,
            "cpu_utilization",
            significant(np.minimum(8 + 14 * load + 9 * busy, 100) * np.exp(noise / 3)),
        )
        yield role, "replica_lag", significant(14 * load * np.exp(rng.gamma(0.4, 0.4, plan.minutes)))


def _db_load(plan: Plan, played: Course) -> pd.DataFrame:
    """Active sessions every five minutes, by statement, user, host and wait event."""
    minute = np.arange(0, plan.minutes, LOAD_PERIOD_MIN, dtype=float)
    loads = [*_short_loads(plan, played), *_long_loads(plan)]
    frames = [
        pd.DataFrame(
            {
                "time": plan.times(minute),
                "period_s": 60.0 * LOAD_PERIOD_MIN,
                "instance": plan.instances(role, minute),
                "dimension": dimension,
                "member": member,
                "active_sessions": significant(values),
            }
        )[plan.observed(minute)]
        for role, dimension, member, values in _summed(loads)
    ]
    return pd.concat(frames, ignore_index=True).query("active_sessions >= 0.005")


Load = tuple[str, str, str, Array]
"""Role, dimension, member, active sessions."""


def _summed(loads: list[Load]) -> Iterator[Load]:
    """Sum the sessions of each member of a dimension."""
    totals: dict[tuple[str, str, str], Array] = {}
    for *key, values in loads:
        member = (str(key[0]), str(key[1]), str(key[2]))
        totals[member] = totals.get(member, np.zeros(len(values))) + values
    for (role, dimension, name), values in totals.items():
        yield role, dimension, name, values


def _short_loads(plan: Plan, played: Course) -> Iterator[Load]:
    slowdown = played.slowdown[::LOAD_PERIOD_MIN]
    load = played.commits[::LOAD_PERIOD_MIN] / COMMITS_PER_MINUTE
    for role, mix in MIXES.items():
        for user, statement, median_ms in mix:
            sessions = load * median_ms / 150 * (slowdown if role == "writer" else 1)
            waits = {
                "cpu": 0.55,
                "io/aurora_redo_log_flush" if role == "writer" else "io/table/sql/handler": 0.45,
            }
            yield from _member(role, user, host(user), statement, sessions, waits)
    user, statement, median_ms = RELEASED
    sessions = load * median_ms / 150 * _released(plan, LOAD_PERIOD_MIN)
    yield from _member(
        "other", user, host(user), statement, sessions, {"cpu": 0.3, "io/table/sql/handler": 0.7}
    )


def _released(plan: Plan, period: int) -> Array:
    """Share of each period [min] after the release."""
    return share(plan, np.array([[plan.release, plan.minutes]]), period)


def _long_loads(plan: Plan) -> Iterator[Load]:
    for (workload, role), runs in plan.runs[plan.runs["logged"]].groupby(["workload", "role"]):
        address, statement = USERS[str(workload)]
        sessions = share(plan, runs[["start", "end"]], LOAD_PERIOD_MIN)
        waits = {"io/aurora_respond_to_client": 0.7, "cpu": 0.3} if role != "writer" else {"cpu": 1.0}
        yield from _member(str(role), str(workload), address, statement, sessions, waits)
    address, statement = USERS["batch"]
    sessions = 2 * share(plan, plan.batches, LOAD_PERIOD_MIN)
    yield from _member(
        "writer", "batch", address, statement, sessions, {"cpu": 0.6, "io/aurora_redo_log_flush": 0.4}
    )


def _member(
    role: str, user: str, address: str, statement: str, sessions: Array, waits: dict[str, float]
) -> Iterator[Load]:
    yield role, "sql", FINGERPRINT.statement(statement).digest, sessions
    yield role, "user", user, sessions
    yield role, "host", address, sessions
    for wait, part in waits.items():
        yield role, "wait_event", wait, part * sessions


def _statement_metrics(plan: Plan, played: Course) -> pd.DataFrame:
    """Rows of `statement_metrics`, hour by hour; active sessions = calls per second × latency."""
    long = pd.concat([long_queries(plan), batch_queries(plan)], ignore_index=True)
    long = long.assign(minute=np.floor(long["end"] / 60) * 60, mean_latency_ms=1000 * long["query_time_s"])
    grouped = long[long["end"] < plan.minutes].groupby(["minute", "instance", "digest"])
    ended = grouped.agg(
        calls=("end", "size"),
        mean_latency_ms=("mean_latency_ms", "mean"),
        rows_examined=("rows_examined", "sum"),
        rows_sent=("rows_sent", "sum"),
    ).reset_index()
    metrics = pd.concat([*_short_metrics(plan, played), ended], ignore_index=True)
    minute = metrics.pop("minute").to_numpy()
    for name in ("calls", "mean_latency_ms", "rows_examined", "rows_sent"):
        metrics[name] = significant(metrics[name].to_numpy(dtype=float))
    return metrics.assign(time=plan.times(minute), period_s=3600.0)[plan.observed(minute)]


def _short_metrics(plan: Plan, played: Course) -> Iterator[pd.DataFrame]:
    rng, hours = plan.rng(11), plan.minutes // 60
    load = played.commits[: hours * 60].reshape(hours, 60).mean(axis=1) / COMMITS_PER_MINUTE
    slowdown = played.slowdown[: hours * 60].reshape(hours, 60).mean(axis=1)
    always, released = np.ones(hours), _released(plan, 60)[:hours]
    mixes = [(role, *short, always) for role, mix in MIXES.items() for short in mix]
    for role, _, statement, median_ms, part in [*mixes, ("other", *RELEASED, released)]:
        mean_ms = median_ms / 100 * np.exp(0.7**2 / 2)
        latency = mean_ms * (slowdown if role == "writer" else 1) * np.exp(rng.normal(0, 0.02, hours))
        rate = load * part * 1000 / mean_ms * median_ms / 150
        calls = np.round(3600 * rate * np.exp(wander(rng, hours, 6, 0.03)))
        minute = np.arange(hours) * 60.0
        yield pd.DataFrame(
            {
                "minute": minute,
                "instance": plan.instances(role, minute),
                "digest": FINGERPRINT.statement(statement).digest,
                "calls": calls,
                "mean_latency_ms": latency,
                "rows_examined": 12 * calls,
                "rows_sent": 4 * calls if statement.startswith("SELECT") else 0 * calls,
            }
        )[calls > 0]


def _histograms(plan: Plan, played: Course) -> pd.DataFrame:
    """Rows of `histograms` for the writer's short statements, hour by hour."""
    rng, hours = plan.rng(7), plan.minutes // 60
    slowdown = played.slowdown[: hours * 60].reshape(hours, 60).mean(axis=1)
    executions = played.commits[: hours * 60].reshape(hours, 60).sum(axis=1) / 100
    frames = [
        _histogram(rng, FINGERPRINT.statement(statement).digest, median_ms / 100 * slowdown, executions)
        for _, statement, median_ms in MIXES["writer"]
    ]
    counts = pd.concat(frames, ignore_index=True)
    minute = counts.pop("hour").to_numpy() * 60.0
    counts = counts.assign(
        time=plan.times(minute), period_s=3600.0, instance=plan.instances("writer", minute)
    )
    return counts[plan.observed(minute)]


def _histogram(rng: np.random.Generator, digest: str, median_ms: Array, executions: Array) -> pd.DataFrame:
    """Draw counts by hour and bucket of a log-normal latency."""
    buckets = np.arange(*histogram.bucket([0.05, 200]))
    low, high = (np.log(edge) for edge in histogram.bounds(buckets))
    middle = np.log(median_ms)[:, None]
    shares = ndtr((high - middle) / 0.7) - ndtr((low - middle) / 0.7)
    counts = rng.poisson(shares * executions[:, None])
    hour, column = np.nonzero(counts)
    return pd.DataFrame(
        {"hour": hour, "digest": digest, "bucket": buckets[column], "count": counts[hour, column]}
    )


def _statements(plan: Plan) -> pd.DataFrame:
    texts = logged_texts()
    parsed = [FINGERPRINT.statement(text) for text in [*texts, RELEASED[1]]]
    return pd.DataFrame(
        {
            "digest": [one.digest for one in parsed],
            "fingerprint": [one.fingerprint for one in parsed],
            "kind": [FINGERPRINT.kind(one.fingerprint) for one in parsed],
            "first_seen": plan.times([0.0] * len(texts) + [plan.release]),
            "last_seen": plan.times(plan.minutes - 1.0),
        }
    )


def _trials(plan: Plan) -> pd.DataFrame:
    """Rows of `trials`: the planted truth, run by run. Runs were not assigned, so it is not an experiment."""
    runs = plan.runs
    return pd.DataFrame(
        {
            "time": plan.times(runs["start"]),
            "end": plan.times(runs["view_end"]),
            "trial": "planted",
            "block": runs.groupby("workload").cumcount(),
            "workload": runs["workload"],
            "started_at": plan.times(runs["start"]),
            "ended_at": plan.times(runs["view_end"]),
            "holds_view": runs["holds_view"],
        }
    )


def _coverage(plan: Plan, observed: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Rows of `coverage`; sampled tables lack the gap and the minute of the failover."""
    whole = {
        name: plan.minutes / plan.observed(np.arange(plan.minutes)).sum() for name in ("metrics", "db_load")
    }
    rows = [
        {
            "time": pd.Timestamp(plan.window.start).as_unit("us"),
            "end": pd.Timestamp(plan.window.end).as_unit("us"),
            "table": name,
            "expected": round(len(frame) * whole.get(name, 1.0)),
            "received": len(frame),
            "lost": 0.0,
            "unit": "rows",
            "note": _note(plan) if name in whole else "simulated",
        }
        for name, frame in observed.items()
    ]
    return pd.DataFrame(rows)


def _note(plan: Plan) -> str:
    """Remark on the coverage of sampled tables."""
    if not np.isfinite(plan.gap[0]):
        return "simulated; hourly means"
    start, end = plan.times(plan.gap)
    return f"simulated; monitoring off from {start:%Y-%m-%d %H:%M} to {end:%H:%M}"


def _transaction_number(committed: Array) -> Array:
    """Exact transaction numbers: with 3 significant digits every movement would be lost."""
    return FIRST_TRANSACTION + NUMBERS_PER_COMMIT * np.floor(committed)
