"""One hour of a PostgreSQL cluster with planted holders of the xmin horizon, as `watch` or as AWS would record it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis import Store
from aurora_analysis.store.observations import Observations
from aurora_analysis.tables import TABLES
from aurora_analysis.window import Window

HOUR = Window("2026-11-23T10:00", "2026-11-23T11:00")
START = pd.Timestamp(HOUR.start)
WRITER, READER, OTHER_READER = "ledger-1", "ledger-2", "ledger-3"
ROLES = {WRITER: "writer", READER: "reader", OTHER_READER: "reader"}
RATE = 200.0
"""Transaction ids per second."""
FIRST_ID = 2**32 - 100_000
"""The clock passes 2**32 within the hour."""
DEAD_PER_ID = 1.5
DIGEST, QUEUE = "d1" * 8, "a9" * 8
"""The reader's extract, and the writer's queue consumer."""


@dataclass(frozen=True)
class Hold:
    """A session, prepared transaction or slot that needs the id that was next when it began [min]."""

    start: float
    end: float
    instance: str = READER
    user: str = "snowflake"
    thread: int = 41
    database: str = "shop"
    digest: str | None = None
    logged: bool = False
    kind: str = "session"
    needs_since: float | None = None
    """When the id that it needs was next, if that was earlier: a reader's snapshot sees the writer's open transaction."""

    @property
    def xid(self) -> int:
        since = self.start if self.needs_since is None else self.needs_since
        return FIRST_ID + round(60 * RATE * since)

    @property
    def keeps_rows(self) -> bool:
        """Whether it holds the writer's database `shop`: on the writer a session of another database does not."""
        return self.instance != WRITER or self.kind != "session" or self.database == "shop"


def at(minute: float | np.ndarray) -> Any:
    return (START + pd.to_timedelta(np.asarray(minute) * 60, unit="s")).round("ms").as_unit("us")


def _active(holds: Sequence[Hold], minute: float) -> list[Hold]:
    return [one for one in holds if one.start <= minute <= one.end]


def _kind(one: Hold) -> str:
    if one.kind != "session":
        return f"xmin_age_{one.kind}"
    return "xmin_age_writer" if one.instance == WRITER else "xmin_age_readers"


def _ages(holds: Sequence[Hold], minute: float) -> dict[str, float]:
    """Age of each kind; readers report the id of a transaction that is open on the writer, too."""
    clock = FIRST_ID + 60 * RATE * minute
    ages = dict.fromkeys(["xmin_age_readers", "xmin_age_writer", "xmin_age_prepared", "xmin_age_slots"], 0.0)
    for one in _active([each for each in holds if each.keeps_rows], minute):
        seen_by_readers = one.kind == "prepared" or (one.instance == WRITER and one.user == "writes")
        for name in (_kind(one), *["xmin_age_readers"] * seen_by_readers):
            ages[name] = max(ages[name], clock - one.xid)
    return ages


def watched(
    holds: Sequence[Hold] = (), *, dead: float = 500.0, every_s: float = 30.0
) -> dict[str, pd.DataFrame]:
    """Tables as `watch` records them. `dead` rows stay in the table shop.queue without a holder."""
    metrics, sessions, views, relations = [], [], [], []
    for minute in np.arange(0, 60, every_s / 60):
        clock, ages = FIRST_ID + 60 * RATE * minute, _ages(holds, minute)
        age = max(ages.values())
        rows = dead + DEAD_PER_ID * age
        values = {
            "next_transaction_id": clock,
            "xmin_horizon": clock - age,
            "xmin_horizon_age": age,
            "dead_rows": rows,
        }
        metrics += [(minute, name, value) for name, value in {**values, **ages}.items()]
        mine = [one for one in _active(holds, minute) if one.kind == "session"]
        sessions += [(minute, one) for one in mine]
        for name, role in ROLES.items():
            own = [one.xid for one in mine if one.instance == name]
            views.append((minute, name, role, min(own, default=int(clock))))
        relations.append((minute, rows, 60 * RATE * minute, minute * 60 if dead > 1000 else 20.0))
    return {
        "instances": instances(),
        "metrics": _metrics(metrics, every_s),
        "open_transactions": _sessions(sessions),
        "read_views": pd.DataFrame(
            [(at(minute), *rest) for minute, *rest in views],
            columns=["time", "instance", "role", "oldest_read_view_trx_id"],
        ),
        "relations": pd.DataFrame(
            {
                "time": [at(minute) for minute, *_ in relations],
                "instance": WRITER,
                "database": "shop",
                "relation": "public.queue",
                "dead_rows": [int(rows) for _, rows, *_ in relations],
                "rows_changed": [int(changed) for *_, changed, _ in relations],
                "hot_share": 0.5,
                "vacuums": range(len(relations)),
                "bytes": 8192,
                "vacuum_at": 500,
                "vacuumed_s_ago": [ago for *_, ago in relations],
            }
        ),
        "slow_queries": _logged(holds),
    }


def counted(holds: Sequence[Hold] = (), *, without: Sequence[str] = ()) -> dict[str, pd.DataFrame]:
    """Tables as AWS gives them: minute means of Performance Insights' counters, and the logs; never a session."""
    metrics = []
    for minute in range(60):
        steps = minute + (np.arange(20) + 0.5) / 20
        ages = pd.DataFrame([_ages(holds, step) for step in steps]).mean()
        clock = 60 * RATE * steps.mean()
        metrics += [(float(minute), name, value) for name, value in ages.items() if name not in without]
        metrics.append((float(minute), "oldest_database_age", 5e6 + clock))
    return {"instances": instances(), "metrics": _metrics(metrics, 60.0), "slow_queries": _logged(holds)}


def instances() -> pd.DataFrame:
    rows = [(START.as_unit("us"), name, role, "postgresql", "15.18") for name, role in ROLES.items()]
    return pd.DataFrame(rows, columns=["time", "instance", "role", "engine", "engine_version"])


def _metrics(rows: Sequence[tuple[float, str, float]], period_s: float) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["minute", "name", "value"])
    return frame.assign(
        time=at(frame.pop("minute").to_numpy()), instance=WRITER, statistic="average", period_s=period_s
    )


def _sessions(rows: Sequence[tuple[float, Hold]]) -> pd.DataFrame:
    found = [
        (at(minute), one.instance, one.thread, one.user, one.digest, at(one.start), one.database, one.xid)
        for minute, one in rows
    ]
    columns = ["time", "instance", "thread_id", "user", "digest", "started_at", "database", "oldest_xid"]
    frame = pd.DataFrame(found, columns=columns).assign(
        has_read_view=True, isolation_level="", rows_modified=np.nan
    )
    return frame.astype(
        {"time": "datetime64[us, UTC]", "started_at": "datetime64[us, UTC]", "oldest_xid": "Int64"}
    )


def _logged(holds: Sequence[Hold]) -> pd.DataFrame:
    found = [
        (
            at(one.start),
            at(one.end),
            one.instance,
            one.digest or DIGEST,
            one.user,
            one.thread,
            60 * (one.end - one.start),
        )
        for one in holds
        if one.logged
    ]
    columns = ["started_at", "ended_at", "instance", "digest", "user", "thread_id", "query_time_s"]
    frame = pd.DataFrame(found, columns=columns).assign(ordinal=0, time_precision_s=1.0, database="shop")
    return frame.astype({"started_at": "datetime64[us, UTC]", "ended_at": "datetime64[us, UTC]"})


class InMemory:
    """A store of one cluster whose tables are frames."""

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        self.tables = {
            name: tables.get(name, pd.DataFrame()).reindex(columns=spec.column_names())
            for name, spec in TABLES.items()
        }

    def read(self, name: str, window: Window | None = None, **query: Any) -> pd.DataFrame:
        rows, spec = self.tables[name], TABLES[name]
        for column, value in (query.get("where") or {}).items():
            rows = rows[rows[column].isin(value if isinstance(value, list) else [value])]
        for column, least in (query.get("at_least") or {}).items():
            rows = rows[rows[column] >= least]
        types = {"timestamp": "datetime64[us, UTC]", "text": "str", "real": float}
        rows = rows.astype(
            {column.name: types[column.type] for column in spec.columns if column.type in types}
        )
        wanted = [*dict.fromkeys([spec.time, *query.get("columns", ())])]
        return (rows[wanted] if query.get("columns") else rows).reset_index(drop=True)

    def check_instance(self, instance: str | None, **_: Any) -> None:
        assert instance is None or instance in ROLES

    def coverage(self, window: Window, **_: Any) -> pd.DataFrame:
        return self.tables["coverage"]


def observed(tables: Mapping[str, pd.DataFrame]) -> Observations:
    """The hour's observations of the cluster `ledger`."""
    return Observations(InMemory(tables), HOUR, "ledger")  # type: ignore[arg-type]


def write(store: Store, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write the hour into a store, with its coverage."""
    for name, rows in tables.items():
        if TABLES[name].identity:
            store.merge(name, rows, cluster="ledger", source="test")
        elif len(rows):
            store.write(name, rows, HOUR, cluster="ledger", source="test")
    covered = {
        "time": [START.as_unit("us")],
        "end": [pd.Timestamp(HOUR.end).as_unit("us")],
        "table": "metrics",
    }
    counts = {
        "instance": None,
        "expected": 120.0,
        "received": 120.0,
        "lost": 0.0,
        "unit": "points",
        "note": "",
    }
    store.write("coverage", pd.DataFrame(covered | counts), HOUR, cluster="ledger", source="test")


def busy(holds: Sequence[Hold]) -> dict[str, pd.DataFrame]:
    """The hour as `watch`, the logs and Performance Insights record it together: every table that a page reads."""
    minutes = pd.DataFrame({"time": at(np.arange(60)), "period_s": 60.0})
    times = minutes["time"]
    statements = pd.DataFrame(
        {
            "digest": [DIGEST, QUEUE],
            "fingerprint": ["select * from facts", "delete from queue where id = any ( ? )"],
            "join_key": ["select * from facts", "delete from queue where id = any (?)"],
            "kind": ["select", "delete"],
            "first_seen": times[0],
            "last_seen": times[59],
        }
    )
    calls = minutes.assign(instance=WRITER, digest=QUEUE, calls=3000.0, mean_latency_ms=0.2, rows_sent=3e4)
    ages = np.array([max(_ages(holds, minute).values()) for minute in range(60)])
    sessions = minutes.assign(instance=READER, dimension="user", member="snowflake", active_sessions=0.9)
    waits = minutes.assign(
        instance=WRITER, dimension="wait_event", member="LWLock:buffer_content", active_sessions=3.0
    )
    events = pd.DataFrame(
        {
            "time": [at(30.0)],
            "instance": READER,
            "category": "recovery conflict",
            "message": "canceling statement due to conflict with recovery, User query might have needed to see row versions that "
            f"must be removed, process 41, user snowflake, database shop, statement {DIGEST}",
        }
    )
    watch = watched(holds)
    cloudwatch = pd.concat(
        [
            minutes.assign(instance=name, name=metric, statistic="average", value=value)
            for name, metric, value in (
                (WRITER, "commit_latency", 2.0),
                (WRITER, "commit_throughput", RATE),
                (WRITER, "dml_throughput", RATE),
                (WRITER, "vcpus", 4.0),
                (READER, "replica_lag", 20.0),
            )
        ]
    )
    return {
        **watch,
        "instances": watch["instances"].assign(long_query_time_s=0.5, vcpus=4.0),
        "metrics": pd.concat([watch["metrics"], cloudwatch], ignore_index=True),
        "statement_metrics": calls.assign(buffers_per_call=120 + 0.03 * ages),
        "db_load": pd.concat([sessions, waits], ignore_index=True),
        "statements": statements,
        "events": events,
        "vacuums": reports(holds),
    }


def reports(holds: Sequence[Hold]) -> pd.DataFrame:
    """Autovacuum's reports of one table, one a minute and 20 s long."""
    rows = watched(holds, every_s=60)["metrics"].pivot(index="time", columns="name", values="value")
    return pd.DataFrame(
        {
            "time": rows.index + pd.Timedelta("20s"),
            "started_at": rows.index,
            "instance": WRITER,
            "database": "shop",
            "table": "public.queue",
            "removed": 0,
            "dead_not_removable": (rows["xmin_horizon_age"] * DEAD_PER_ID).astype(int).to_numpy(),
            "cutoff": rows["xmin_horizon"].to_numpy(),
            "next_xid": rows["next_transaction_id"].to_numpy() + 20 * RATE,
            "elapsed_s": 20.0,
        }
    )
