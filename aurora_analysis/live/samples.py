"""Convert live samples into rows of the store's tables. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.engines.live_evidence import InstanceSample, Transaction
from aurora_analysis.engines.statement import kind
from aurora_analysis.live.status import Sample
from aurora_analysis.window import Window

Event = tuple[int, str | None, str, str]
"""Time [s since 1970], instance, category, message."""

States = Mapping[str, tuple[str, str, str]]
"""Role, version and engine of an instance, by its name."""


def to_tables(
    samples: Sequence[Sample],
    events: Sequence[Event],
    every_s: float,
    before: Sequence[Sample] = (),
    stored: States = MappingProxyType({}),
) -> dict[str, pd.DataFrame]:
    """Convert samples into rows of `instances`, `metrics`, `open_transactions`, `relations`, `read_views` and `events`.

    Parameters
    ----------
    samples : sequence of Sample
        Oldest first.
    events : sequence of Event
        What happened meanwhile.
    every_s : float
        Interval between two samples [s].
    before : sequence of Sample
        The sample before the first one, if there is any: rates are differences of counters.
    stored : mapping of str to tuple
        The instances that the store has, as it has them: they get a row once they change.

    Returns
    -------
    dict of str to DataFrame
        By table.
    """
    by_instance = [(one.time, instance) for one in samples for instance in one.instances]
    tables = {
        "instances": pd.DataFrame(
            _instances(by_instance, stored),
            columns=["time", "instance", "role", "engine_version", "engine"],
        ),
        "metrics": pd.DataFrame(
            [*_metrics(samples), *_rates([*before, *samples])], columns=["time", "instance", "name", "value"]
        ).assign(period_s=float(every_s), statistic="average"),
        "open_transactions": pd.DataFrame(_open_transactions(by_instance), columns=OPEN_TRANSACTION),
        "relations": pd.DataFrame(_relations(by_instance), columns=RELATION),
        "read_views": pd.DataFrame(_read_views(by_instance), columns=READ_VIEW).astype(
            {"oldest_read_view_trx_id": "Int64"}
        ),
        "events": pd.DataFrame(events, columns=["time", "instance", "category", "message"]),
    }
    return {name: with_times(frame) for name, frame in tables.items()}


def with_times(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert `time` and `started_at` from seconds since 1970 to UTC timestamps of microseconds."""
    return frame.assign(**{name: _times(frame[name]) for name in ("time", "started_at") if name in frame})


def _times(seconds: pd.Series) -> pd.DatetimeIndex:
    values = seconds.to_numpy(float, na_value=np.nan)
    us = np.rint(np.nan_to_num(values) * 1e6).astype("datetime64[us]")
    us[np.isnan(values)] = np.datetime64("NaT")
    return pd.DatetimeIndex(us, tz="UTC")


def _instances(samples: Sequence[tuple[int, InstanceSample]], stored: States) -> Iterator[tuple[object, ...]]:
    """Each instance at its first sample, unless the store has it, and again after each change."""
    last = {**stored}
    for tick, one in samples:
        if last.get(one.instance) != _state(one):
            yield tick, one.instance, *_state(one)
        last[one.instance] = _state(one)


def states(samples: Sequence[Sample]) -> States:
    """Return the last state of each instance."""
    return {one.instance: _state(one) for sample in samples for one in sample.instances}


def _state(one: InstanceSample) -> tuple[str, str, str]:
    return one.role, one.version, one.engine_name


def _metrics(samples: Sequence[Sample]) -> Iterator[tuple[object, ...]]:
    for one in samples:
        writer = one.writer
        if writer is not None:
            for name, value in one.cleanup.metrics(one.instances).items():
                yield one.time, writer.instance, name, value
            if one.latency_ms is not None:
                yield one.time, writer.instance, "canary_latency", one.latency_ms
            for instance, role, *_, lag_ms in one.cleanup.oldest_views(writer):
                if role == "reader" and lag_ms is not None:
                    yield one.time, instance, "replica_lag", lag_ms
        for each in one.instances:
            for name, value in one.cleanup.instance_metrics(each).items():
                yield one.time, each.instance, name, value


def _rates(samples: Sequence[Sample]) -> Iterator[tuple[object, ...]]:
    """Writing statements per second; none across a restart, which resets the counters, or a change of writer."""
    for before, one in zip(samples, samples[1:]):
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
    "database",
    "oldest_xid",
]


def _open_transactions(samples: Sequence[tuple[int, InstanceSample]]) -> Iterator[tuple[object, ...]]:
    for tick, one in samples:
        views = engines.module(one.engine_name, "cleanup").views(one)
        for transaction in one.transactions or ():
            yield open_transaction(tick, one.instance, transaction, views, one.engine_name)


def open_transaction(
    time: float, instance: str, one: Transaction, views: Mapping[int, int] | None, engine: str
) -> tuple[object, ...]:
    """Convert a transaction into a row with the columns `OPEN_TRANSACTION`.

    `views` maps the server's threads that hold a read view to its number; None if unknown.
    """
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
        engines.module(engine, "fingerprint").statement(one.query).digest if one.query else None,
        one.database,
        one.needs,
    )


RELATION = [
    "time",
    "instance",
    "database",
    "relation",
    "dead_rows",
    "rows_changed",
    "hot_share",
    "vacuums",
    "bytes",
    "vacuum_at",
    "vacuumed_s_ago",
]


def _relations(samples: Sequence[tuple[int, InstanceSample]]) -> Iterator[tuple[object, ...]]:
    """The tables with the most dead rows of each instance, where the engine counts them."""
    for tick, one in samples:
        for row in engines.module(one.engine_name, "cleanup").relations(one):
            yield tick, one.instance, *row


READ_VIEW = ["time", "instance", "role", "holder", "oldest_read_view_trx_id", "replica_lag_ms"]


def _read_views(samples: Sequence[tuple[int, InstanceSample]]) -> Iterator[tuple[object, ...]]:
    """Oldest read view of each instance."""
    for tick, one in samples:
        for row in engines.module(one.engine_name, "cleanup").oldest_views(one):
            yield tick, *row


def running_statements(samples: Sequence[Sample]) -> pd.DataFrame:
    """Statements that were running at the samples: `digest, fingerprint, time`; fingerprints contain no literals."""
    found = [
        (*engines.module(instance.engine_name, "fingerprint").statement(one.query)[:2], sample.time)
        for sample in samples
        for instance in sample.instances
        for one in instance.transactions or ()
        if one.query
    ]
    return pd.DataFrame(found, columns=["digest", "fingerprint", "time"])


def statement_rows(observed: pd.DataFrame, engine: str) -> pd.DataFrame:
    """Summarise observations of statements into rows of `statements`: first and last time of each."""
    named = [name for name in observed if name != "time"]
    found = with_times(observed).groupby(named)["time"].agg(first_seen="min", last_seen="max").reset_index()
    join_key = engines.module(engine, "fingerprint").join_key
    return found.assign(join_key=found["fingerprint"].map(join_key), kind=found["fingerprint"].map(kind))


def coverage(
    watched: Window, every_s: float, received: int, counted_s: Mapping[tuple[str, str], float]
) -> pd.DataFrame:
    """Rows of `coverage`: samples of the writer received of those planned, and seconds with statement counts.

    `counted_s` maps (table, instance) to seconds.
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
