"""A made Aurora PostgreSQL cluster: on reader `ledger-3`, an extract holds vacuum at the writer three times a day.

Values are made, not recorded: they depend on nothing but the window.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from aws_endpoint.postgresql import ENGINE

NAME = "ledger"
WRITER, READERS = "ledger-1", ("ledger-2", "ledger-3")
INSTANCES = (WRITER, *READERS)
XIDS_PER_S = 200.0
FLOOR = 300.0
"""Age of the horizon while nothing holds it [transactions]."""
NOTHING = 2.0**31 - 1
"""The service's value of an age where nothing holds."""
EXTRACT_HOURS, EXTRACT_MIN = (3, 9, 15), 40

STATEMENTS = {
    "queue": "delete from queue where id = any(array(select id from queue order by id limit ? for update skip locked))",
    "update": "update accounts set balance = balance + ? where id = ?",
    "extract": "select * from facts where day >= ?",
}


def tables(start: datetime, end: datetime) -> dict[str, pd.DataFrame]:
    """Return the tables of the cluster in a window of whole hours."""
    minutes = pd.date_range(start, end, freq="min", inclusive="left", unit="us")
    held_s = _held_s(minutes)
    return {
        "instances": _instances(pd.Timestamp(start)),
        "events": pd.DataFrame({"time": minutes[:0], "instance": [], "category": [], "message": []}),
        "metrics": _metrics(minutes, held_s),
        "db_load": _load(minutes, held_s),
        "statement_metrics": _statistics(minutes, held_s),
        "slow_queries": _extracts(pd.Timestamp(start), pd.Timestamp(end)),
        "vacuums": _vacuums(minutes, held_s),
        "statements": pd.DataFrame({"digest": STATEMENTS.keys(), "fingerprint": STATEMENTS.values()}),
    }


def _held_s(minutes: pd.DatetimeIndex) -> np.ndarray:
    """How long the extract has held its snapshot at each minute [s]; zero while it does not run."""
    since = minutes.minute.to_numpy() * 60.0
    runs = np.isin(minutes.hour, EXTRACT_HOURS) & (minutes.minute.to_numpy() < EXTRACT_MIN)
    return np.where(runs, since + 30.0, 0.0)


def _instances(start: pd.Timestamp) -> pd.DataFrame:
    roles = ["writer", "reader", "reader"]
    known = {"engine": ENGINE, "engine_version": "16.6", "instance_class": "db.r7g.xlarge", "vcpus": 4.0}
    rows = pd.DataFrame({"instance": INSTANCES, "role": roles, "promotion_tier": [0, 1, 2]})
    return rows.assign(time=start, pi_retention_days=31, long_query_time_s=1.0, **known)


def _rows(times: pd.DatetimeIndex, instance: str | None, **values: object) -> pd.DataFrame:
    frames = [pd.DataFrame({"time": times, "name": name, "value": value}) for name, value in values.items()]
    return pd.concat(frames).assign(period_s=60.0, instance=instance, statistic="average")


def _metrics(minutes: pd.DatetimeIndex, held_s: np.ndarray) -> pd.DataFrame:
    used = 50e6 + XIDS_PER_S * (minutes - minutes[0]).total_seconds().to_numpy()
    writer = _rows(
        minutes,
        WRITER,
        commit_latency=2.0 + held_s / 2400.0,
        commit_throughput=XIDS_PER_S,
        xmin_age_readers=FLOOR + XIDS_PER_S * held_s,
        xmin_age_writer=FLOOR,
        xmin_age_prepared=NOTHING,
        xmin_age_slots=200.0,
        oldest_database_age=used,
        active_transactions=3.0,
        rows_changed=400.0,
    )
    own = [
        _rows(
            minutes,
            name,
            cpu_utilization=20.0,
            connections=40.0,
            uptime=86400.0 * 30,
            oldest_idle_transaction_age=5.0,
        )
        for name in INSTANCES
    ]
    lag = [_rows(minutes, name, replica_lag=15.0) for name in READERS]
    volume = _rows(minutes[minutes.minute % 5 == 0], None, volume_bytes=4e10).assign(period_s=300.0)
    return pd.concat([writer, *own, *lag, volume], ignore_index=True)


def _load(minutes: pd.DatetimeIndex, held_s: np.ndarray) -> pd.DataFrame:
    fives = minutes.minute % 5 == 0
    times, running = minutes[fives], held_s[fives] > 0
    writer = {
        "sql": {"queue": 0.3 + 0.5 * running, "update": 0.2},
        "user": {"app": 0.5 + 0.5 * running},
        "host": {"10.0.0.7": 0.5 + 0.5 * running},
        "wait_event": {"cpu": 0.4 + 0.5 * running, "IO:XactSync": 0.1},
        "database": {"app": 0.5 + 0.5 * running},
        "application": {"orders": 0.5 + 0.5 * running},
    }
    reader = {
        "sql": {"extract": np.where(running, 1.0, 0.0)},
        "user": {"snowflake": np.where(running, 1.0, 0.0)},
        "host": {"10.0.0.9": np.where(running, 1.0, 0.0)},
        "wait_event": {"Client:ClientWrite": np.where(running, 1.0, 0.0)},
        "database": {"app": np.where(running, 1.0, 0.0)},
        "application": {"dbt": np.where(running, 1.0, 0.0)},
    }
    rows = [
        pd.DataFrame({"time": times, "member": member, "active_sessions": value}).assign(
            instance=instance, dimension=dimension
        )
        for instance, load in ((WRITER, writer), ("ledger-3", reader))
        for dimension, members in load.items()
        for member, value in members.items()
    ]
    return pd.concat(rows, ignore_index=True).assign(period_s=300.0)


def _statistics(minutes: pd.DatetimeIndex, held_s: np.ndarray) -> pd.DataFrame:
    """Buffers per call of the queue's delete grow by 20 per 1,000 rows that are dead and held."""
    kept = {"time": minutes, "instance": WRITER, "period_s": 60.0}
    dead = XIDS_PER_S * held_s
    queue = pd.DataFrame(kept).assign(
        digest="queue",
        calls=3000.0,
        mean_latency_ms=0.25 + dead / 40_000,
        rows_sent=60_000.0,
        buffers_per_call=126.0 + dead * 0.02,
    )
    update = pd.DataFrame(kept).assign(
        digest="update", calls=6000.0, mean_latency_ms=0.1, rows_sent=0.0, buffers_per_call=5.0
    )
    return pd.concat([queue, update], ignore_index=True)


def _extracts(start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    begun = [each for each in pd.date_range(start, end, freq="h") if each.hour in EXTRACT_HOURS]
    ended = [each + timedelta(minutes=EXTRACT_MIN) for each in begun]
    kept = [(one, other) for one, other in zip(begun, ended) if other < end]
    rows = pd.DataFrame(kept, columns=["started_at", "ended_at"])
    return rows.assign(
        instance="ledger-3", digest="extract", user="snowflake", host="10.0.0.9", database="app", thread_id=4711,
        query_time_s=EXTRACT_MIN * 60.0,
    )  # fmt: skip


def _vacuums(minutes: pd.DatetimeIndex, held_s: np.ndarray) -> pd.DataFrame:
    """One report of the queue every ten minutes: none of its dead rows can be removed while the extract runs."""
    tens = minutes.minute % 10 == 5
    times, held = minutes[tens], held_s[tens]
    following = 1_000_000 + XIDS_PER_S * (times - minutes[0]).total_seconds().to_numpy()
    return pd.DataFrame(
        {
            "time": times,
            "instance": WRITER,
            "database": "app",
            "table": "public.queue",
            "removed": np.where(held > 0, 0, 5000),
            "dead_not_removable": XIDS_PER_S * held,
            "cutoff_xid": following - FLOOR - XIDS_PER_S * held,
            "next_xid": following,
            "elapsed_s": 0.2,
        }
    )
