"""Sample a server's InnoDB at a steady pace: progress of purge, read views, open transactions, CPU."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pymysql
from pymysql.connections import Connection

from aurora_analysis.engines.live_evidence import Transaction
from aurora_analysis.engines.mysql import innodb_status
from aurora_analysis.engines.mysql.innodb_status import InnodbStatus
from aurora_analysis.engines.mysql.live import QUERIES
from aurora_analysis.engines.mysql.live_rows import transaction
from aurora_analysis.errors import Error
from aurora_analysis.lab.server import Server

LATEST = 0.5
"""A sample that is late by more than this share of a period is dropped: a gap stays a gap."""

TRANSACTIONS_EVERY_S = 2
"""Interval between samples of open transactions."""


class InnodbSample(NamedTuple):
    """InnoDB at one moment [s since 1970]; `transactions` is None if they were not sampled."""

    time: float
    innodb: InnodbStatus
    cpu_pct: float | None
    transactions: list[Transaction] | None


class Sampler:
    """Samples in a thread of its own; its connection holds no read view between samples."""

    def __init__(self, server: Server, start: float, period_s: float = 1.0) -> None:
        self._server, self._start, self._period_s = server, start, period_s
        self._taken: list[InnodbSample] = []
        self._stop = threading.Event()
        self._problem: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def taken(self) -> list[InnodbSample]:
        """Return the samples since the previous call.

        Raises
        ------
        Error
            If the sampler's connection failed.
        """
        if self._problem is not None:
            raise Error(f"The lab's sampler failed: {self._problem}")
        found = self._taken[:]
        del self._taken[: len(found)]
        return found

    def _run(self) -> None:
        try:
            with self._server.connect() as connection:
                self._sample(connection)
        except (pymysql.Error, Error) as problem:
            self._problem = problem

    def _sample(self, connection: Connection[Any]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION long_query_time = 3600, time_zone = SYSTEM")
        cpu = _Cpu(self._server.pid)
        number, every = 0, max(1, round(TRANSACTIONS_EVERY_S / self._period_s))
        while not self._stop.wait(max(0, (moment := self._moment(number)) - time.time())):
            if time.time() - moment <= LATEST * self._period_s:
                self._taken.append(_sample(connection, moment, cpu.percent(), number % every == 0))
            number = max(number + 1, int((time.time() - self._start) / self._period_s))

    def _moment(self, number: int) -> float:
        return self._start + number * self._period_s


def _sample(
    connection: Connection[Any], moment: float, cpu_pct: float | None, with_transactions: bool
) -> InnodbSample:
    with connection.cursor() as cursor:
        cursor.execute(QUERIES["innodb_status"].text)
        status = innodb_status.parse(cursor.fetchone()[2])
        if not with_transactions:
            return InnodbSample(moment, status, cpu_pct, None)
        cursor.execute(QUERIES["transactions"].text)
        return InnodbSample(moment, status, cpu_pct, [transaction(row, {}) for row in cursor.fetchall()])


class _Cpu:
    """CPU time of a process between two calls, as a share of all cores."""

    def __init__(self, pid: int) -> None:
        self._stat = Path(f"/proc/{pid}/stat")
        self._last: tuple[float, float] | None = None

    def percent(self) -> float | None:
        """CPU used since the previous call [%]; None at the first call, and on systems without /proc."""
        if not self._stat.exists():
            return None
        fields = self._stat.read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
        now = (time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"))
        before, self._last = self._last, now
        if before is None:
            return None
        return 100 * (now[1] - before[1]) / (now[0] - before[0]) / (os.cpu_count() or 1)
