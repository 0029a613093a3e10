"""Slow queries as Aurora MySQL 3 writes them: entries, and files that rotate every hour."""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from aws_endpoint import postgresql
from aws_endpoint.cluster import Cluster, with_literals

BANNER = (
    "/rdsdbbin/oscar/bin/mysqld, Version: 8.0.39 (Source distribution). started with:\n"
    "Tcp port: 3306  Unix socket: /tmp/mysql.sock\n"
    "Time                 Id Command    Argument\n"
)
"""What the server writes at the head of every file."""


@dataclass(frozen=True)
class Entry:
    """One entry of the log: when it was written [µs since 1970], and its text without the last newline."""

    at_us: int
    text: str

    @property
    def at_ms(self) -> int:
        """When it was written [ms since 1970]."""
        return self.at_us // 1000


def entries(cluster: Cluster, instance: str) -> list[Entry]:
    """The log of an instance, in order of time; written once."""
    return cluster.once("slow log", instance, make=lambda: list(_entries(cluster, instance)))


def _entries(cluster: Cluster, instance: str) -> Iterator[Entry]:
    if cluster.is_postgresql:
        yield from _of_postgresql(cluster, instance)
        return
    rows = cluster.frame("slow_queries")
    rows = rows[rows.instance == instance] if len(rows) else rows
    rows = rows.sort_values("ended_at", kind="stable") if len(rows) else rows
    database, hour = None, None
    for number, row in enumerate(rows.to_dict("records")):
        ended = row["ended_at"]
        if ended.floor("h") != hour:
            database, hour = None, ended.floor("h")
        text = cluster.statement(row["digest"]).fingerprint
        use = row.get("database") if row.get("database") != database else None
        database = row.get("database") or database
        yield Entry(ended.value // 1000, entry(row, text, use if _said(use) else None, number))


def _of_postgresql(cluster: Cluster, instance: str) -> Iterator[Entry]:
    """Executions and reports of vacuum, in order of time."""
    found = [frame[frame.instance == instance] for frame in map(cluster.frame, ("slow_queries", "vacuums"))]
    slow, vacuums = found
    logged = [
        (row["ended_at"], postgresql.execution(row, cluster.statement(row["digest"]).example))
        for row in slow.to_dict("records")
    ]
    for at, text in sorted([*logged, *postgresql.others(vacuums)]):
        yield Entry(at.value // 1000, text)


def entry(row: dict[str, Any], fingerprint: str, use: str | None, number: int) -> str:
    """One entry: headers, `use` where the schema changed, `SET timestamp` (the start), the statement."""
    ended, query_time = pd.Timestamp(row["ended_at"]), float(row["query_time_s"])
    started = int(ended.timestamp() - query_time)
    lines = [
        f"# Time: {ended:%Y-%m-%dT%H:%M:%S.%f}Z",
        f"# User@Host: {row['user']}[{row['user']}] @ {_client(row.get('host'))}  Id: {int(row['thread_id']):5d}",
        f"# Query_time: {query_time:.6f}  Lock_time: {float(row['lock_time_s']):.6f}"
        f" Rows_sent: {int(row['rows_sent'])}  Rows_examined: {int(row['rows_examined'])}{_extras(row)}",
        *([f"use {use};"] if use else []),
        f"SET timestamp={started};",
        f"{_comment(row)}{with_literals(fingerprint, number)};",
    ]
    return "\n".join(lines)


def _said(value: Any) -> bool:
    return value is not None and not pd.isna(value)


def _client(host: Any) -> str:
    """`name [address]`, or ` [address]` where the client has no name."""
    host = str(host) if _said(host) else ""
    if host == "localhost" or re.fullmatch(r"[\d.]+|[\da-f]*:[\da-f:]+", host) is None:
        return f"{host} []"
    return f" [{host}]"


def _extras(row: dict[str, Any]) -> str:
    extras = json.loads(row["extras"]) if _said(row.get("extras")) and row["extras"] else {}
    return "".join(f" {name}: {value}" for name, value in extras.items())


def _comment(row: dict[str, Any]) -> str:
    tags = json.loads(row["tags"]) if _said(row.get("tags")) and row["tags"] else {}
    return f"/* {' '.join(f'{key}={value}' for key, value in tags.items())} */ " if tags else ""


@dataclass(frozen=True)
class LogFile:
    """A log file that RDS lists: its name, its last write [ms since 1970], its bytes."""

    name: str
    written_ms: int
    content: bytes


HOUR_S = 3600
KEPT_HOURS = 24
CURRENT = "slowquery/mysql-slowquery.log"


def files(cluster: Cluster, instance: str, now_s: float) -> list[LogFile]:
    """The last day's files: one per hour, named for the hour in which it was rotated away, and the current."""
    this_hour = int(now_s // HOUR_S)
    listed = [
        log_file(cluster, instance, hour, now_s) for hour in range(this_hour - KEPT_HOURS + 1, this_hour + 1)
    ]
    return [one for one in listed if one is not None]


def log_file(cluster: Cluster, instance: str, hour: int, now_s: float) -> LogFile | None:
    """The file of the hour that began `hour` hours after 1970, as it is at `now_s`; None where it is empty."""
    start, end = hour * HOUR_S * 10**6, min((hour + 1) * HOUR_S, now_s) * 10**6
    log = entries(cluster, instance)
    low, high = (bisect.bisect_left(log, at, key=lambda one: one.at_us) for at in (start, end))
    found = log[low:high]
    if not found:
        return None
    banner = postgresql.BANNER if cluster.is_postgresql else BANNER
    content = banner + "".join(f"{one.text}\n" for one in found)
    return LogFile(_file_name(cluster, hour, now_s), found[-1].at_ms, content.encode())


def _file_name(cluster: Cluster, hour: int, now_s: float) -> str:
    if cluster.is_postgresql:
        return postgresql.file_name(hour, HOUR_S)
    if hour == int(now_s // HOUR_S):
        return CURRENT
    return f"{CURRENT}.{datetime.fromtimestamp((hour + 1) * HOUR_S, UTC):%Y-%m-%d.%H}"
