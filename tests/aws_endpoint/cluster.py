"""The simulated cluster: tidy frames in our words, served in AWS's words.

The frames have the columns of a store's tables (`instances`, `events`, `metrics`, `db_load`,
`statement_metrics`, `slow_queries`, `statements`); any may be missing, and any column may be missing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from aws_endpoint import postgresql

METRICS = {
    "history_list_length": "RollbackSegmentHistoryListLength",
    "purge_boundary": "PurgeBoundary",
    "purge_finished": "PurgeFinishedPoint",
    "oldest_transaction_age": "TransactionAgeMaximum",
    "active_transactions": "ActiveTransactions",
    "blocked_transactions": "BlockedTransactions",
    "commit_latency": "CommitLatency",
    "commit_throughput": "CommitThroughput",
    "dml_latency": "DMLLatency",
    "dml_throughput": "DMLThroughput",
    "select_latency": "SelectLatency",
    "select_throughput": "SelectThroughput",
    "row_lock_time": "RowLockTime",
    "deadlocks": "Deadlocks",
    "connections": "DatabaseConnections",
    "connection_attempts": "ConnectionAttempts",
    "aborted_clients": "AbortedClients",
    "login_failures": "LoginFailures",
    "slow_connections": "AuroraSlowConnectionHandleCount",
    "queries_killed": "AuroraMemoryNumKillQueryTotal",
    "query_throughput": "Queries",
    "uptime": "EngineUptime",
    "serverless_capacity": "ServerlessDatabaseCapacity",
    "acu_utilization": "ACUUtilization",
    "backtrack_window": "BacktrackWindowActual",
    "backtrack_alerts": "BacktrackWindowAlert",
    "backtrack_records_created": "BacktrackChangeRecordsCreationRate",
    "backtrack_records_stored": "BacktrackChangeRecordsStored",
    "cpu_utilization": "CPUUtilization",
    "replica_lag": "AuroraReplicaLag",
    "volume_bytes": "VolumeBytesUsed",
    "volume_reads": "VolumeReadIOPs",
    "volume_writes": "VolumeWriteIOPs",
}
"""The field's word → CloudWatch's name."""

PER_MINUTE = {"connection_attempts", "aborted_clients", "slow_connections"}
"""Rates of a second that CloudWatch counts by the minute."""

COUNTERS = {
    "history_list_length": "db.Transactions.trx_rseg_history_len",
    "active_transactions": "db.Transactions.active_transactions",
    "cpu_utilization": "os.cpuUtilization.total",
    "threads_running": "db.Users.Threads_running",
    "rows_read": "db.SQL.Innodb_rows_read",
    "row_lock_waits": "db.Locks.innodb_row_lock_waits",
}
"""The field's word → Performance Insights' counter, in the service's own spelling."""

OLD_S = 90 * 86400
"""How old an instance is that was there from the start."""

UNPUBLISHED = {"ActiveTransactions", "BlockedTransactions"}
"""CloudWatch has these only while innodb_monitor_enable is all."""


Made = TypeVar("Made")


@dataclass(frozen=True)
class Series:
    """Values of periods that start at `start` [s since 1970] and are `period` long [s]."""

    start: np.ndarray
    value: np.ndarray
    period: int

    def between(self, start: float, end: float) -> Series:
        """The periods that start in [start, end)."""
        low, high = np.searchsorted(self.start, [start, end])
        return Series(self.start[low:high], self.value[low:high], self.period)


@dataclass(frozen=True)
class Instance:
    """An instance as RDS would describe it now."""

    name: str
    resource_id: str
    role: str
    instance_class: str
    vcpus: int
    engine: str
    version: str
    created_s: float
    pi_retention_days: int
    promotion_tier: int
    parameters: dict[str, str]


@dataclass
class Cluster:
    """A cluster of frames. Fields hold what frames cannot express; `removed` instances are deleted from RDS."""

    name: str
    frames: dict[str, pd.DataFrame]
    region: str = "eu-central-1"
    account: str = "123456789012"
    exports: tuple[str, ...] = ("error", "slowquery")
    monitoring_interval_s: int = 60
    innodb_monitor_enable: str = "all"
    custom_endpoints: tuple[dict[str, Any], ...] = ()
    recommendations: tuple[dict[str, Any], ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of the cluster's description to say differently, such as BacktrackWindow."""
    removed: frozenset[str] = frozenset()
    absent_counters: frozenset[str] = frozenset()
    """Performance Insights' counters that the engine's version lacks."""
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Instance → fields of `Instance` to say differently, such as pi_retention_days: 0 (switched off).

    An override of `parameters` replaces only the parameters that it names."""

    @cached_property
    def is_postgresql(self) -> bool:
        """Whether the cluster runs Aurora PostgreSQL."""
        rows = self.frame("instances")
        return "engine" in rows and bool((rows.engine == postgresql.ENGINE).any())

    def frame(self, name: str) -> pd.DataFrame:
        """A frame of this cluster, empty where there is none."""
        return self.once("frame", name, make=lambda: self._frame(name))

    def _frame(self, name: str) -> pd.DataFrame:
        frame = self.frames.get(name, pd.DataFrame())
        return frame[frame.cluster == self.name] if "cluster" in frame else frame

    def once(self, *key: Any, make: Callable[[], Made]) -> Made:
        """Return what `make` returns, called once for each key: many requests need the same."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    @cached_property
    def _made(self) -> dict[Any, Any]:
        return {}

    @cached_property
    def names(self) -> list[str]:
        """Every instance there ever was."""
        return sorted(self.frame("instances").instance.unique())

    def role_at(self, instance: str, moment: float) -> str:
        """Return writer or reader: from the last row that is not later, otherwise from the first."""
        starts, roles = self.roles[instance]
        return roles[max(int(np.searchsorted(starts, moment, side="right")) - 1, 0)]

    @cached_property
    def roles(self) -> dict[str, tuple[np.ndarray, list[str]]]:
        """Instance → the times [s] from which its roles held, and the roles."""
        rows = self.frame("instances").sort_values("time")
        return {
            str(name): (seconds(group.time), group.role.tolist())
            for name, group in rows.groupby("instance", observed=True)
        }

    def instances(self, now: datetime) -> list[Instance]:
        """The instances that RDS describes at `now`."""
        found = self.once("instances", now, make=lambda: self._instances(now))
        return [self._overridden(one) for one in found if one.name not in self.removed]

    def _overridden(self, one: Instance) -> Instance:
        values = self.overrides.get(one.name, {})
        return replace(one, **values | {"parameters": one.parameters | values.get("parameters", {})})

    def _instances(self, now: datetime) -> list[Instance]:
        rows = self.frame("instances").sort_values("time")
        rows = rows[rows.time <= now].groupby("instance", as_index=False, observed=True).last()
        return [self._instance(row, now) for row in rows.to_dict("records")]

    def _instance(self, row: dict[str, Any], now: datetime) -> Instance:
        name = str(row["instance"])
        values = {
            "name": name,
            "resource_id": self.resource_id(name),
            "role": self.role_at(name, now.timestamp()),
            "instance_class": _given(row, "instance_class", "db.r6g.large"),
            "vcpus": int(_given(row, "vcpus", 2)),
            "engine": _given(row, "engine", "aurora-mysql"),
            "version": _given(row, "engine_version", "8.0.mysql_aurora.3.08.0"),
            "created_s": self._created_s(name),
            "pi_retention_days": int(_given(row, "pi_retention_days", 7)),
            "promotion_tier": int(_given(row, "promotion_tier", 1)),
            "parameters": self._parameters(row),
        }
        return Instance(**values)

    def _created_s(self, name: str) -> float:
        """When an instance was made [s since 1970]: at its first row, or long before the first row of all."""
        rows = self.frame("instances")
        first = rows.time[rows.instance == name].min()
        return first.timestamp() - (OLD_S if first == rows.time.min() else 0)

    def _parameters(self, row: dict[str, Any]) -> dict[str, str]:
        if self.is_postgresql:
            return postgresql.parameters(row)
        return {
            "slow_query_log": "1",
            "log_output": "FILE",
            "long_query_time": f"{_given(row, 'long_query_time_s', 10.0):g}",
            "min_examined_row_limit": f"{_given(row, 'min_examined_row_limit', 0):g}",
            "log_slow_extra": "0",
            "innodb_monitor_enable": self.innodb_monitor_enable,
            "innodb_purge_threads": "3",
            "aurora_read_replica_read_committed": "OFF",
            "transaction_isolation": _given(row, "isolation_level", "REPEATABLE-READ"),
            "performance_schema": "1",
        }

    def resource_id(self, name: str) -> str:
        """The immutable resource id: the frame's, else one made from the name."""
        return self.once("resource_id", name, make=lambda: self._resource_id(name))

    def _resource_id(self, name: str) -> str:
        rows = self.frame("instances")
        known = rows[rows.instance == name].get("resource_id", pd.Series(dtype=str)).dropna()
        return str(known.iloc[-1]) if len(known) else f"db-{code(self.name + name)}"

    def vcpus(self, name: str) -> int:
        """Return the vCPUs that the instance had last; 2 if none are known."""
        rows = self.frame("instances")
        known = rows[rows.instance == name].get("vcpus", pd.Series(dtype=float)).dropna()
        return int(known.iloc[-1]) if len(known) else 2

    @cached_property
    def by_resource(self) -> dict[str, str]:
        """Resource id → instance."""
        return {self.resource_id(name): name for name in self.names}

    @cached_property
    def series(self) -> dict[tuple[str, str | None], Series]:
        """(The field's word, instance or None for the cluster) → its series."""
        rows = self.frame("metrics")
        if rows.empty:
            return {}
        known = {*METRICS, *COUNTERS, *(name for name, _ in postgresql.COUNTERS.values())}
        rows = rows[rows.name.isin(known)]
        return {
            (str(name), None if pd.isna(instance) else str(instance)): series(group, "value")
            for (name, instance), group in rows.groupby(["name", "instance"], dropna=False, observed=True)
        }

    @cached_property
    def metrics(self) -> dict[tuple[str, str | None], Series]:
        """(CloudWatch's name, instance or None for the cluster) → its series."""
        found = {
            (METRICS[name], owner): replace(s, value=s.value * (60 if name in PER_MINUTE else 1))
            for (name, owner), s in self.series.items()
            if name in METRICS
        }
        if self.innodb_monitor_enable != "all":
            found = {key: s for key, s in found.items() if key[0] not in UNPUBLISHED}
        return found | self._lag_of_the_writer(found)

    def _lag_of_the_writer(
        self, metrics: dict[tuple[str, str | None], Series]
    ) -> dict[tuple[str, str | None], Series]:
        """Return AuroraReplicaLagMaximum, which only the writer publishes: the largest lag of the readers."""
        lags = [s for (name, owner), s in metrics.items() if name == "AuroraReplicaLag" and owner]
        if not lags:
            return {}
        starts, values = np.concatenate([s.start for s in lags]), np.concatenate([s.value for s in lags])
        largest = pd.Series(values).groupby(starts).max()
        found = {}
        for name in self.names:
            mine = largest[[self.role_at(name, start) == "writer" for start in largest.index]]
            if len(mine):
                found["AuroraReplicaLagMaximum", name] = Series(
                    mine.index.to_numpy(), mine.to_numpy(), lags[0].period
                )
        return found

    def aliases(self, instance: str) -> list[str]:
        """Return all names that the instance ever had: a renamed instance keeps its resource id."""
        return [name for name in self.names if self.resource_id(name) == self.resource_id(instance)]

    def series_of(self, name: str, instance: str) -> Series | None:
        """A metric of an instance under all its names."""
        found = [self.series[name, alias] for alias in self.aliases(instance) if (name, alias) in self.series]
        return joined(found) if found else None

    def counters(self, instance: str) -> dict[str, Series]:
        """Performance Insights' counters of an instance, without their statistic's suffix."""
        of_mysql = {counter: (name, 1.0) for name, counter in COUNTERS.items()}
        found = {
            counter: (self.series_of(name, instance), share)
            for counter, (name, share) in (postgresql.COUNTERS if self.is_postgresql else of_mysql).items()
        }
        return {
            counter: replace(series, value=series.value * share)
            for counter, (series, share) in found.items()
            if series is not None and counter not in self.absent_counters
        }

    def load(self, instance: str, dimension: str) -> pd.DataFrame:
        """Active sessions of an instance: time [s] × member of a dimension; NaN where it has no row."""
        return self.once("load", instance, dimension, make=lambda: self._load(instance, dimension))

    def _load(self, instance: str, dimension: str) -> pd.DataFrame:
        rows = self.frame("db_load")
        if rows.empty:
            return pd.DataFrame(index=pd.Index([], dtype="int64"))
        rows = rows[rows.instance.isin(self.aliases(instance)) & (rows.dimension == dimension)]
        rows = rows.assign(
            time=seconds(rows.time), member=rows.member.astype(object).where(rows.member.notna(), None)
        )
        rows = rows.assign(member=rows.member.fillna(OTHER))
        return rows.pivot_table(index="time", columns="member", values="active_sessions", aggfunc="sum")

    def total_load(self, instance: str) -> pd.Series:
        """db load of an instance by time [s]: the largest sum that one of its dimensions has."""
        return self.once("total load", instance, make=lambda: self._total_load(instance))

    def _total_load(self, instance: str) -> pd.Series:
        sums = [self.load(instance, dimension).sum(axis=1) for dimension in DIMENSIONS]
        sums = [one for one in sums if len(one)]
        return pd.concat(sums, axis=1).max(axis=1) if sums else pd.Series(dtype=float)

    def statement_metrics(self, instance: str) -> dict[str, pd.DataFrame]:
        """Digest → rows of `statement_metrics` of an instance, by time [s]."""
        return self.once("statement metrics", instance, make=lambda: self._statement_metrics(instance))

    def _statement_metrics(self, instance: str) -> dict[str, pd.DataFrame]:
        rows = self.frame("statement_metrics")
        if rows.empty:
            return {}
        rows = rows[rows.instance.isin(self.aliases(instance))]
        rows = rows.set_index(seconds(rows.time)).sort_index()
        return {str(digest): group for digest, group in rows.groupby("digest", observed=True)}

    @cached_property
    def load_period_s(self) -> int:
        """The period of the load's rows [s]."""
        return period(self.frame("db_load"))

    @cached_property
    def statements(self) -> dict[str, Statement]:
        """Map each digest to the statement as Performance Insights has it."""
        spelled = postgresql.tokenized if self.is_postgresql else digest_text
        return {row["digest"]: statement(row, spelled) for row in self.frame("statements").to_dict("records")}

    def statement(self, digest: str) -> Statement:
        """Return the statement of a digest as Performance Insights has it."""
        return self.statements.get(digest) or statement({"digest": digest, "fingerprint": digest})


DIMENSIONS = ("sql", "user", "host", "wait_event", "database", "application")
OTHER = "(other)"
"""The member that stands for all that were not listed: load, but of nobody."""


@dataclass(frozen=True)
class Statement:
    """A digest in Performance Insights: its ids, the text as it runs, and the text with literals replaced."""

    digest: str
    pi_id: str
    db_id: str
    fingerprint: str
    digest_text: str

    @property
    def example(self) -> str:
        """One execution's text."""
        return with_literals(self.fingerprint, 0)


def with_literals(fingerprint: str, number: int) -> str:
    """A statement of that fingerprint: every `?` is a number, every list has two."""
    one = str(number % 9973 + 1)
    return fingerprint.replace("?+", f"{one}, {one}").replace("?", one)


def statement(row: dict[str, Any], spelled: Callable[[str], str] | None = None) -> Statement:
    """A statement from a row of `statements`; `spelled` returns its text as the server has it."""
    digest = str(row["digest"])
    text = str(_given(row, "fingerprint", digest))
    pi_id = _given(row, "pi_id", code(text, 40))
    db_id = _given(row, "server_digest", f"pi-{int(code(text, 8), 16)}")
    return Statement(digest, pi_id, db_id, text, (spelled or digest_text)(text))


KEYWORDS = re.compile(
    "all|and|as|asc|between|by|case|count|create|delete|desc|distinct|else|end|exists|for|from|group|having|if|in"
    "|inner|insert|interval|into|is|join|key|left|like|limit|lock|max|min|not|null|offset|on|or|order|outer|right"
    "|select|set|share|sum|table|then|union|update|using|values|when|where|with"
)


def digest_text(fingerprint: str) -> str:
    """A fingerprint as the server's digest text: blanks between tokens, keywords large, names in back-ticks.

    >>> digest_text("select o.a from t o where b in(?+)")
    'SELECT `o` . `a` FROM `t` `o` WHERE `b` IN (...)'
    """
    tokens = re.findall(r"`[^`]*`|@\?|\(\?\+\)|\?\+|[\w$]+|[<>=!:|&]+|\S", fingerprint)
    return " ".join(_spelled(token) for token in tokens)


def _spelled(token: str) -> str:
    if token in ("(?+)", "?+"):
        return "(...)" if token == "(?+)" else "? , ..."
    if KEYWORDS.fullmatch(token):
        return token.upper()
    return f"`{token}`" if re.fullmatch(r"[a-zA-Z_$][\w$]*", token) else token


def code(text: str, length: int = 26) -> str:
    """An id that depends on nothing but the text."""
    return hashlib.sha256(text.encode()).hexdigest().upper()[:length]


def milliseconds(times: pd.Series) -> np.ndarray:
    """Times as whole milliseconds since 1970."""
    utc = pd.to_datetime(times, utc=True)
    return utc.astype("datetime64[us, UTC]").astype("int64").to_numpy() // 1000


def seconds(times: pd.Series) -> np.ndarray:
    """Times as whole seconds since 1970."""
    return milliseconds(times) // 1000


def period(rows: pd.DataFrame) -> int:
    """Return the period of rows [s]; a minute if they have none."""
    return int(rows.period_s.iloc[0]) if len(rows) and "period_s" in rows else 60


def series(rows: pd.DataFrame, column: str) -> Series:
    """Return a column of rows in order of time."""
    rows = rows.sort_values("time")
    return Series(seconds(rows.time), rows[column].to_numpy(dtype=float), period(rows))


def joined(parts: list[Series]) -> Series:
    """Series of one period as one, in order of time."""
    start = np.concatenate([one.start for one in parts])
    order = np.argsort(start, kind="stable")
    return Series(start[order], np.concatenate([one.value for one in parts])[order], parts[0].period)


def _given(row: dict[str, Any], name: str, otherwise: Any) -> Any:
    """Return a value of a row, or None if the row lacks it."""
    value = row.get(name)
    return otherwise if value is None or pd.isna(value) else value
