"""What was seen live, as rows of the store's tables. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from aurora_analysis.engines.mysql import live
from aurora_analysis.engines.mysql.fingerprint import join_key, kind, statement
from aurora_analysis.engines.mysql.live import Seen, Transaction
from aurora_analysis.live.status import Round
from aurora_analysis.window import Window

Event = tuple[int, str | None, str, str]
"""When [s since 1970], instance, category, message."""


def frames(
    rounds: Sequence[Round], events: Sequence[Event], every_s: float, before: Sequence[Round] = ()
) -> dict[str, pd.DataFrame]:
    """What was seen, as rows of `instances`, `metrics`, `open_transactions`, `read_views` and `events`.

    `before` is the round before the first: rates are differences.
    """
    told = [(one.time, seen) for one in rounds for seen in one.seen]
    tables = {
        "instances": pd.DataFrame(_instances(told), columns=["time", "instance", "role", "engine_version"]),
        "metrics": pd.DataFrame(
            [*_metrics(rounds), *_rates([*before, *rounds])], columns=["time", "instance", "name", "value"]
        ).assign(period_s=float(every_s), statistic="average"),
        "open_transactions": pd.DataFrame(_open_transactions(told), columns=OPEN_TRANSACTION),
        "read_views": pd.DataFrame(_read_views(told), columns=READ_VIEW),
        "events": pd.DataFrame(events, columns=["time", "instance", "category", "message"]),
    }
    return {name: timed(frame) for name, frame in tables.items()}


def timed(frame: pd.DataFrame) -> pd.DataFrame:
    """Seconds since 1970, as times."""
    return frame.assign(
        **{
            name: pd.to_datetime(frame[name].astype(float).round(6), unit="s", utc=True).astype(
                "datetime64[us, UTC]"
            )
            for name in ("time", "started_at")
            if name in frame
        }
    )


def _instances(told: Sequence[tuple[int, Seen]]) -> Iterator[tuple[object, ...]]:
    """Each instance when it is first seen, and when its role has changed."""
    known: dict[str, str] = {}
    for tick, seen in told:
        if known.get(seen.instance) != seen.role:
            known[seen.instance] = seen.role
            yield tick, seen.instance, seen.role, seen.version


SAMPLED = ("history_list_length", "trx_counter", "purge_finished", "open_read_views", "active_transactions")


def _metrics(rounds: Sequence[Round]) -> Iterator[tuple[object, ...]]:
    for one in rounds:
        writer = one.writer
        if writer is not None and writer.innodb is not None:
            for name in SAMPLED:
                yield one.time, writer.instance, name, float(getattr(writer.innodb, name))
            yield one.time, writer.instance, "purge_boundary", float(live.boundary(one.seen) or 0)
            if one.latency_ms is not None:
                yield one.time, writer.instance, "canary_latency", one.latency_ms


def _rates(rounds: Sequence[Round]) -> Iterator[tuple[object, ...]]:
    """Writing statements a second; none across a restart, where the count begins anew, or another writer."""
    for before, one in zip(rounds, rounds[1:]):
        first, second = before.writer, one.writer
        if first and second and first.instance == second.instance and one.writes >= before.writes:
            yield (
                one.time,
                second.instance,
                "dml_throughput",
                (one.writes - before.writes) / (one.time - before.time),
            )


OPEN_TRANSACTION = [
    "time",
    "instance",
    "thread_id",
    "user",
    "host",
    "client",
    "command",
    "started_at",
    "isolation_level",
    "rows_modified",
    "has_read_view",
    "digest",
]


def _open_transactions(told: Sequence[tuple[int, Seen]]) -> Iterator[tuple[object, ...]]:
    for tick, seen in told:
        views = seen.innodb.views if seen.innodb else None
        for one in seen.transactions or ():
            yield open_transaction(tick, seen.instance, one, views)


def open_transaction(
    time: float, instance: str, one: Transaction, views: Mapping[int, int] | None
) -> tuple[object, ...]:
    """A row, as `OPEN_TRANSACTION` names it: `views` are the read views of the server's threads, None if unknown."""
    return (
        time,
        instance,
        one.thread_id,
        one.user,
        one.host,
        one.client,
        one.command,
        one.started_at,
        one.isolation_level,
        one.rows_modified,
        None if views is None else one.thread_id in views,
        statement(one.query).digest if one.query else None,
    )


READ_VIEW = ["time", "instance", "role", "oldest_read_view_trx_id", "replica_lag_ms"]


def _read_views(told: Sequence[tuple[int, Seen]]) -> Iterator[tuple[object, ...]]:
    """By instance: what the writer of an Aurora cluster knows of it, else what it says of itself."""
    for tick, seen in told:
        known = {one.instance for one in seen.replicas}
        for one in seen.replicas:
            yield tick, one.instance, one.role, one.oldest_read_view_trx_id, one.replica_lag_ms
        if seen.innodb and seen.knows_numbers and seen.instance not in known:
            views = seen.innodb.views.values()
            yield tick, seen.instance, seen.role, min(views, default=seen.innodb.trx_counter), None


def running(rounds: Sequence[Round]) -> pd.DataFrame:
    """The statements that were seen running, `digest, fingerprint, time`: fingerprints, no literals."""
    seen = [
        (*statement(one.query)[:2], each.time)
        for each in rounds
        for instance in each.seen
        for one in instance.transactions or ()
        if one.query
    ]
    return pd.DataFrame(seen, columns=["digest", "fingerprint", "time"])


def spans(seen: pd.DataFrame) -> pd.DataFrame:
    """Rows of `statements`: when each was first seen, and last."""
    named = [name for name in seen if name != "time"]
    found = timed(seen).groupby(named)["time"].agg(first_seen="min", last_seen="max").reset_index()
    return found.assign(join_key=found["fingerprint"].map(join_key), kind=found["fingerprint"].map(kind))


def coverage(
    watched: Window, every_s: float, received: int, counted_s: Mapping[tuple[str, str], float]
) -> pd.DataFrame:
    """What came of what was asked for: a sample of the writer each tick, and so many seconds of what is counted.

    `counted_s` has the seconds by table and instance.
    """
    lasted = watched.duration.total_seconds()
    samples = ("metrics", None, math.ceil(lasted / every_s), received, "samples")
    counted = [(*which, lasted, seconds, "seconds") for which, seconds in counted_s.items()]
    rows = pd.DataFrame([samples, *counted], columns=["table", "instance", "expected", "received", "unit"])
    return rows.astype({"expected": float, "received": float}).assign(
        time=pd.Timestamp(watched.start).as_unit("us"),
        end=pd.Timestamp(watched.end).as_unit("us"),
        lost=0.0,
        note="live samples",
    )
