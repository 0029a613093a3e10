"""Sessions that hold the xmin horizon and sessions that do not, on a real primary and hot standby: is the right one named?

A scenario opens sessions, lets the primary write, and takes samples. The statements that the status shows are run until nobody
is named: then vacuum must remove all dead rows although the innocent sessions are still open. What vacuum left before proves who
held it. `dev.py bench holders` plays all.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from holder_scenarios import CLEARED, MOST_HOLDERS, NOBODY, Outcome
from postgresql_pair import DATABASE, OTHER

from aurora_analysis.engines.live_evidence import Holder
from aurora_analysis.engines.postgresql.live import Probe
from aurora_analysis.lab.postgresql import Pair
from aurora_analysis.live import status
from aurora_analysis.live.watch import Watch

WRITER, READER = "primary", "standby"
REPEATABLE, SERIALIZABLE = "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE"
READ, WRITE = "SELECT count(*) FROM queue", "INSERT INTO notes VALUES (1)"
LONG = "SELECT count(pg_sleep(0.05)) FROM facts"
CURSOR = "DECLARE c CURSOR FOR SELECT * FROM facts"
DEAD = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'queue'"
SEEN_S = 90.0
"""Longest time until a holder is named, or vacuum has removed all rows: a busy machine answers some rounds too late."""

QUIET_S = 3.0
"""Time in which nobody may be named where nobody holds the horizon, and in which vacuum removes nothing where somebody does."""


@dataclass(frozen=True)
class Opened:
    """A session: its name, its server, what it runs, its database, and whether its last statement runs on."""

    name: str
    server: str
    statements: tuple[str, ...]
    database: str = DATABASE
    runs_on: bool = False


def opened(name: str, server: str, *statements: str, **others: Any) -> Opened:
    """Describe a session."""
    return Opened(name, server, statements, **others)


@dataclass(frozen=True)
class Scenario:
    """Sessions, and the names of those that hold the horizon: `a b > c` means first a and b together, then c."""

    name: str
    sessions: tuple[Opened, ...]
    named: str
    undecided: tuple[str, ...] = ()

    def holders(self, family: str) -> list[set[str]]:
        """Names of the sessions that hold the horizon, in the order in which they are the oldest."""
        return [set(names.split()) for names in self.named.split(">")] if self.named != NOBODY else []

    def problem(self, found: Outcome) -> str:
        """What went wrong; empty if nothing did. Vacuum itself shows whether a session holds the horizon."""
        holds = self.named != NOBODY
        return found.problem(self, "postgresql") or "no holder" * (holds != (found.before > CLEARED))


def scenario(name: str, named: str, *sessions: Opened) -> Scenario:
    """Return a scenario, whose sessions open one after the other, with writes between."""
    return Scenario(name, sessions, named)


def one(name: str, server: str, *statements: str, **others: Any) -> Scenario:
    """Return a scenario of one session that holds the horizon."""
    return scenario(name, "holder", opened("holder", server, *statements, **others))


def innocent(name: str, server: str, *statements: str, **others: Any) -> Scenario:
    """Return a scenario of one session that does not."""
    return scenario(name, NOBODY, opened("session", server, *statements, **others))


INNOCENTS = (
    opened("other database", WRITER, REPEATABLE, "SELECT 1", database=OTHER),
    opened("idle on the reader", READER, "BEGIN", READ),
    opened("idle on the writer", WRITER, "BEGIN", READ),
)
SHORT = opened("short", WRITER, "DO $$ BEGIN FOR i IN 1..100000 LOOP PERFORM count(*) FROM notes; COMMIT; END LOOP; END $$", runs_on=True)  # fmt: skip

SCENARIOS = (
    scenario("nobody", NOBODY),
    innocent("writer: a bare BEGIN", WRITER, "BEGIN"),
    innocent("writer: a bare BEGIN, REPEATABLE READ", WRITER, REPEATABLE),
    innocent("writer: an idle READ COMMITTED reader", WRITER, "BEGIN", READ),
    innocent("writer: an aborted transaction", WRITER, REPEATABLE, READ, "SELECT 1 / 0"),
    innocent("writer: another database", WRITER, REPEATABLE, "SELECT 1", database=OTHER),
    innocent("writer: a cursor WITH HOLD after its commit", WRITER, "BEGIN", CURSOR.replace("FOR", "WITH HOLD FOR"), "COMMIT"),
    innocent("writer: an advisory lock and LISTEN", WRITER, "SELECT pg_advisory_lock(1)", "LISTEN news"),
    innocent("reader: an idle READ COMMITTED reader", READER, "BEGIN", READ),
    innocent("reader: a bare BEGIN, REPEATABLE READ", READER, REPEATABLE),
    one("writer: an idle snapshot", WRITER, REPEATABLE, READ),
    one("writer: SERIALIZABLE", WRITER, SERIALIZABLE, READ),
    one("writer: a read-only snapshot", WRITER, f"{SERIALIZABLE} READ ONLY DEFERRABLE", READ),
    one("writer: an open cursor", WRITER, "BEGIN", CURSOR, "FETCH 100 FROM c"),
    one("writer: a running statement", WRITER, LONG, runs_on=True),
    one("writer: a running statement without a table", WRITER, "SELECT pg_sleep(60)", runs_on=True),
    one("writer: a writing transaction", WRITER, "BEGIN", WRITE),
    one("writer: FOR UPDATE", WRITER, "BEGIN", "SELECT * FROM facts WHERE id = 1 FOR UPDATE"),
    one("writer: a write that was rolled back to a savepoint", WRITER, "BEGIN", "SAVEPOINT s", WRITE, "ROLLBACK TO s"),
    one("writer: a temporary table", WRITER, "BEGIN", "CREATE TEMPORARY TABLE t (id int)"),
    one("writer: a transaction id without a write", WRITER, "BEGIN", "SELECT pg_current_xact_id()"),
    one("writer: a prepared transaction", WRITER, "BEGIN", WRITE, "PREPARE TRANSACTION 'it''s'"),
    one("reader: an idle snapshot", READER, REPEATABLE, READ),
    one("reader: another database", READER, REPEATABLE, "SELECT 1", database=OTHER),
    one("reader: an open cursor", READER, "BEGIN", CURSOR, "FETCH 100 FROM c"),
    one("reader: a running statement", READER, LONG, runs_on=True),
    scenario("three innocents before a snapshot", "holder", *INNOCENTS, opened("holder", WRITER, REPEATABLE, READ)),
    scenario("three innocents before a reader's snapshot", "holder", *INNOCENTS, opened("holder", READER, REPEATABLE, READ)),
    scenario("two snapshots", "holder > younger", opened("holder", WRITER, REPEATABLE, READ), opened("younger", WRITER, REPEATABLE, READ)),
    scenario("a reader's snapshot before the writer's", "holder > younger", opened("holder", READER, REPEATABLE, READ), opened("younger", WRITER, REPEATABLE, READ)),
    scenario("a snapshot among short statements", "holder", opened("holder", WRITER, REPEATABLE, READ), SHORT),
    scenario("a writing transaction among short statements", "holder", opened("holder", WRITER, "BEGIN", WRITE), SHORT),
)  # fmt: skip


@dataclass
class Stage:
    """A primary and its standby with sessions; `ids` maps their names to instance and process id."""

    pair: Pair
    stack: ExitStack
    ids: dict[str, tuple[str, int]] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)

    def session(self, one: Opened) -> None:
        """Open a session and run its statements; it stays open."""
        connection = getattr(self.pair, one.server).connect(one.database, application_name="nightly")
        self.stack.callback(connection.close)
        is_prepared = any("PREPARE" in text for text in one.statements)
        self.ids[one.name] = (one.server, 0 if is_prepared else connection.info.backend_pid)
        *first, last = one.statements
        for text in first:
            connection.execute(text)
        if one.runs_on:
            threading.Thread(target=_run, args=(connection, last), daemon=True).start()
            time.sleep(0.2)
        else:
            _run(connection, last)

    def write(self) -> None:
        """Replace 400 rows of the queue."""
        with self.pair.primary.connect(DATABASE) as connection:
            for _ in range(20):
                connection.execute("INSERT INTO queue (payload) SELECT 'q' FROM generate_series(1, 20)")
                connection.execute("DELETE FROM queue")

    def left(self, wait_s: float) -> int:
        """Return the dead rows that vacuum leaves: the fewest within a time, in which nothing is written."""
        deadline, left = time.monotonic() + wait_s, sys.maxsize
        with self.pair.primary.connect(DATABASE) as connection:
            while left > CLEARED and time.monotonic() < deadline:
                connection.execute("VACUUM (TRUNCATE off) queue")
                time.sleep(0.1)
                [(left,)] = connection.execute(DEAD).fetchall()
        return int(left)


def _run(connection: psycopg.Connection[Any], text: str) -> None:
    """Run a statement that may fail or be ended."""
    with suppress(psycopg.Error):
        connection.execute(text)


def play(pair: Pair, scenario: Scenario) -> Outcome:
    """Play a scenario: end every holder that is shown by the statements that are shown."""
    with ExitStack() as stack:
        stage = Stage(pair, stack)
        probes = [
            Probe(pair.primary.engine(DATABASE), WRITER, "writer"),
            Probe(pair.standby.engine(DATABASE), READER, "reader"),
        ]
        watch = Watch(probes, None, cluster="shop", every_s=1)
        stack.callback(watch.close)
        for each in scenario.sessions:
            stage.session(each)
            stage.write()
        stage.write()
        expected, named = scenario.holders("postgresql"), list[set[str]]()
        before = stage.left(QUIET_S)
        while len(named) < MOST_HOLDERS:
            found = _named(stage, watch, SEEN_S if len(named) < len(expected) else QUIET_S)
            if not found:
                break
            named.append(found)
        return Outcome(named, stage.shown, False, before, stage.left(SEEN_S))


def _named(stage: Stage, watch: Watch, wait_s: float) -> set[str]:
    """Sample until somebody is named, and end those who are; empty if nobody is for so long."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        stage.write()
        watch.sample(max(int(time.time()), watch.samples[-1].time + 1 if watch.samples else 0))
        now = watch.purge_status()
        if now.holder:
            stage.shown += status.table(now)
            every = (now.holder, *now.holder.tied)
            for each in every:
                with getattr(stage.pair, each.instance).connect(DATABASE) as connection:
                    connection.execute(each.kill)
            names = {key: name for name, key in stage.ids.items()}
            return {names.get(_key(each), str(_key(each))) for each in every}
        time.sleep(0.3)
    return set()


def _key(one: Holder) -> tuple[str, int]:
    return one.instance, one.transaction.thread_id if one.transaction else 0
