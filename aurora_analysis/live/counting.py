"""Count statements between samples: performance_schema's totals, and the slow log if it is written to a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from aurora_analysis import engines
from aurora_analysis.engines.digests import Digests
from aurora_analysis.engines.live_evidence import Probe
from aurora_analysis.engines.log_tables import LogTables
from aurora_analysis.live import samples
from aurora_analysis.store import Store


@dataclass
class Counts:
    """Statement counts that are not written yet.

    `counted_s` has the seconds covered so far, by table and instance; it is never reset, because coverage is written
    for the whole watch.
    """

    digests: Digests
    engine_name: str
    periods: list[Any] = field(default_factory=list)
    logged: list[LogTables] = field(default_factory=list)
    counted_s: Counter[tuple[str, str]] = field(default_factory=Counter)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Rows of `statement_metrics` and `histograms`; a table without rows is left out."""
        if not self.periods:
            return {}
        statement_statistics = engines.module(self.engine_name, "statement_statistics")
        found = {
            "statement_metrics": statement_statistics.statement_metrics(self.periods, self.digests),
            "histograms": statement_statistics.latency_histograms(self.periods, self.digests),
        }
        return {name: samples.with_times(frame) for name, frame in found.items() if len(frame)}

    def statements(self) -> list[pd.DataFrame]:
        """Rows of `statements`: those that were counted, if any were, then those that were logged."""
        statistics = engines.module(self.engine_name, "statement_statistics")
        counted = statistics.statements(self.periods, self.digests)
        found = [samples.statement_rows(counted, self.engine_name)] if len(counted) else []
        return [*found, *(logged.statements for logged in self.logged)]

    def clear(self) -> None:
        """Forget what was written."""
        self.periods, self.logged = [], []


class InstanceCounter:
    """Counts the statements of one instance since the previous call."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self._engine = engines.module(probe.engine_name, "statement_statistics")
        self._statistics = self._engine.StatementSampler(probe)
        self._tail = engines.module(probe.engine_name, "slow_log_table").SlowLogTail(probe)

    def reset(self) -> None:
        """Start over: the next count has no previous one, because the instance was lost or replaced."""
        self._statistics.forget()
        self._tail.forget()

    def count(self, tick: int, instance: str, counts: Counts) -> bool:
        """Add what the statements of the instance came to since the previous call.

        Returns
        -------
        bool
            Whether the server reset its totals in between; that period is lost.
        """
        period = self._statistics.sample(tick, instance)
        if period is not None:
            self._engine.add_digests(period, counts.digests)
            counts.periods.append(period)
            counts.counted_s["statement_metrics", instance] += period.end - period.start
        logged = self._tail.sample(tick, instance)
        if logged is not None:
            counts.logged.extend(logged.tables)
            counts.counted_s["slow_queries", instance] += logged.seconds
        return bool(self._statistics.was_reset)


def counts(store: Store | None, cluster: str, engine_name: str) -> Counts:
    """Start counting, with the statement digests that the store already has."""
    if store is None or cluster not in store.clusters():
        return Counts(Digests(prefix="server"), engine_name)
    statements = store.read("statements", cluster=cluster)
    return Counts(Digests.from_statements(statements, "server_digest"), engine_name)


def counters(probes: Sequence[Probe]) -> list[InstanceCounter]:
    """One counter for each instance."""
    return [InstanceCounter(probe) for probe in probes]
