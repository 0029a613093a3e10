"""Sessions that hold back purge and sessions that do not, on a real server: is the right one named?

A scenario opens sessions, lets the writer write, and takes two samples. Then the statements that the status shows are run,
and two more samples show the next holder, until nobody is named: then the backlog must be gone although the innocent
sessions are still open. `tests/live/test_holders.py` plays a few scenarios, `dev.py bench holders` plays all.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pymysql

from aurora_analysis.engines.mysql import flavour
from aurora_analysis.engines.mysql.live import Probe
from aurora_analysis.lab.server import Server
from aurora_analysis.live import status
from aurora_analysis.live.watch import Watch

OPTIONS: dict[str, dict[str, object]] = {
    "mariadb": {"performance_schema": True},
    "mysql": {
        "innodb_purge_rseg_truncate_frequency": 1,  # else the history list falls only every 128th batch
        "mysqlx": 0,
        "secure_file_priv": "",
    },
}
READ = "SELECT COUNT(*) FROM trial.stock WHERE id < 100"
SHARE = f"{READ} LOCK IN SHARE MODE"
WRITE = "UPDATE trial.stock SET quantity = 0 WHERE id = 1"
COMMITTED = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
UNCOMMITTED = "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED"
NOBODY = "nobody"
CLEARED = 15
"""History list length of a server on which nobody holds back purge, while the writer goes on a little."""
SERIALIZABLE = "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"


@dataclass
class Stage:
    """A server with sessions; `ids` maps their names to connection ids."""

    server: Server
    stack: ExitStack
    ids: dict[str, int]
    open: dict[str, Any]

    def session(self, name: str, *statements: str) -> None:
        """Open a session and run statements; the session stays open."""
        self.open[name] = self.stack.enter_context(_closing(self.server.connect()))
        self.ids[name] = self.open[name].thread_id()
        self.run(name, *statements)

    def run(self, name: str, *statements: str) -> None:
        """Run statements in a session."""
        with self.open[name].cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                cursor.fetchall()

    def background(self, name: str, statement: str) -> None:
        """Run a long statement in a session of its own, without waiting for it."""
        self.session(name)

        def run() -> None:
            with suppress(pymysql.MySQLError, AttributeError, OSError, ValueError):
                self.run(name, statement)

        threading.Thread(target=run, daemon=True).start()

    def leave(self, name: str) -> None:
        """Close a session."""
        self.open.pop(name).close()

    def write(self, rows: int = 40) -> None:
        """Commit so many transactions."""
        with self.server.connect() as connection, connection.cursor() as cursor:
            for number in range(rows):
                cursor.execute(
                    "UPDATE trial.stock SET quantity = quantity + 1 WHERE id = %s", (500 + number % 400,)
                )

    def older(self) -> None:
        """Let a second pass and write, so that the next session is the younger one: the lists have whole seconds."""
        self.write()
        time.sleep(1.1)


@contextmanager
def _closing(connection: Any) -> Iterator[Any]:
    yield connection
    with suppress(pymysql.MySQLError):
        connection.close()


Setting = Callable[[Stage], None]


@dataclass(frozen=True)
class Scenario:
    """A setting, and the names of its holders on each family.

    `a b > c` means: first a and b together, and once they have ended c. `undecided` names the family on which the server
    does not show enough, so that no name alone is right.
    """

    name: str
    setting: Setting
    mariadb: str
    mysql: str
    undecided: tuple[str, ...] = ()

    def holders(self, family: str) -> list[set[str]]:
        """Names of the sessions that hold back purge on this family, in the order in which they are the oldest."""
        text = self.mariadb if family == "mariadb" else self.mysql
        return [set(names.split()) for names in text.split(">")] if text != NOBODY else []


@dataclass(frozen=True)
class Outcome:
    """What a scenario showed: the sessions named one after the other, the lines, and the backlog at start and end."""

    named: list[set[str]]
    lines: list[str]
    undecided: bool
    before: int
    after: int

    def problem(self, scenario: Scenario, family: str) -> str:
        """What went wrong; empty if nothing did."""
        expected = scenario.holders(family)
        if self.undecided or family in scenario.undecided:
            return "" if self.undecided and family in scenario.undecided else "undecided"
        if set().union(*self.named) - set().union(*expected):
            return "innocent"
        if self.named != expected:
            return "missed"
        return "stays" if self.after > CLEARED else ""


def sessions(*opened: tuple[str, ...]) -> Setting:
    """Open sessions one after the other, each with a name and its statements, with writes between."""

    def setting(stage: Stage) -> None:
        for name, *statements in opened:
            stage.session(name, *statements)
            stage.older()

    return setting


def _same_second(stage: Stage) -> None:
    time.sleep(1 - time.time() % 1)
    stage.session("one", "BEGIN", READ)
    stage.session("two", "BEGIN", READ)


def _prepared(*statements: str, alive: bool = False, xid: str = "'g1','b1',7") -> Setting:
    def setting(stage: Stage) -> None:
        stage.session("xa", f"XA START {xid}", *statements, f"XA END {xid}", f"XA PREPARE {xid}")
        if not alive:
            stage.leave("xa")

    return setting


def _two_prepared(stage: Stage) -> None:
    for number in (1, 2):
        row = WRITE.replace("id = 1", f"id = {number}")
        _prepared(row, xid=f"'g{number}'")(stage)


def _later_view(stage: Stage) -> None:
    """The transaction begins before the other view, its own view after it."""
    stage.session("writer", "BEGIN", WRITE)
    stage.older()
    stage.session("reader", "BEGIN", READ)
    stage.older()
    stage.run("writer", READ)


def _share_then_view(stage: Stage) -> None:
    stage.session("first", "BEGIN", SHARE)
    stage.older()
    stage.session("second", "BEGIN", READ)
    stage.older()
    stage.run("first", READ)


def _running(statement: str, *before: str) -> Setting:
    def setting(stage: Stage) -> None:
        stage.session("bare", "BEGIN")
        stage.background("runs", statement)
        time.sleep(1.2)

    return setting


def _busy(stage: Stage) -> None:
    """Many short statements beside the holder and an innocent."""
    stage.session("locks", "BEGIN", SHARE)
    stage.older()
    stage.session("holder", "BEGIN", READ)
    for number in range(4):
        stage.background(f"short {number}", "SELECT COUNT(*) FROM trial.stock WHERE SLEEP(0.0002) = 0")


def _many(stage: Stage) -> None:
    for number in range(12):
        stage.session(f"locks {number}", SERIALIZABLE, "BEGIN", READ)
    stage.older()
    stage.session("holder", "BEGIN", READ)


SCENARIOS = [
    Scenario("nobody", sessions(), "nobody", "nobody"),
    Scenario("a bare BEGIN", sessions(("bare", "BEGIN")), "nobody", "nobody"),
    Scenario("an idle READ COMMITTED reader", sessions(("rc", COMMITTED, "BEGIN", READ)), "nobody", "nobody"),
    Scenario("an idle READ UNCOMMITTED reader", sessions(("ru", UNCOMMITTED, "BEGIN", READ)), "nobody", "nobody"),
    Scenario("an idle SERIALIZABLE reader", sessions(("serial", SERIALIZABLE, "BEGIN", READ)), "nobody", "nobody"),
    Scenario("an idle FOR SHARE reader", sessions(("share", "BEGIN", SHARE)), "nobody", "nobody"),
    Scenario("an idle snapshot", sessions(("holder", "BEGIN", READ)), "holder", "holder"),
    Scenario("a consistent snapshot", sessions(("holder", "START TRANSACTION WITH CONSISTENT SNAPSHOT")), "holder", "holder"),
    Scenario("a read-only snapshot", sessions(("holder", "START TRANSACTION READ ONLY", READ)), "holder", "holder"),
    Scenario("autocommit off", sessions(("holder", "SET autocommit = 0", READ)), "holder", "holder"),
    Scenario("a HANDLER", sessions(("holder", "BEGIN", "HANDLER trial.stock OPEN AS h", "HANDLER h READ FIRST")), "holder", "holder"),
    Scenario("SERIALIZABLE before a snapshot", sessions(("serial", SERIALIZABLE, "BEGIN", READ), ("holder", "BEGIN", READ)), "holder", "holder"),
    Scenario("FOR SHARE before a snapshot", sessions(("share", "BEGIN", SHARE), ("holder", "BEGIN", READ)), "holder", "holder"),
    Scenario("a snapshot before FOR SHARE", sessions(("holder", "BEGIN", READ), ("share", "BEGIN", SHARE)), "holder", "holder"),
    Scenario("READ COMMITTED before a snapshot", sessions(("rc", COMMITTED, "BEGIN", READ), ("holder", "BEGIN", READ)), "holder", "holder"),
    Scenario("twelve SERIALIZABLE before a snapshot", _many, "holder", "holder"),
    Scenario("two snapshots", sessions(("holder", "BEGIN", READ), ("younger", "BEGIN", READ)), "holder > younger", "holder > younger"),
    Scenario("two snapshots in one second", _same_second, "one two", "one two"),
    Scenario("one transaction with locks and a view", sessions(("holder", "BEGIN", SHARE, READ)), "holder", "holder"),
    Scenario("locks, a snapshot, then a view of the first", _share_then_view, "second > first", "second > first", ("mysql",)),
    Scenario("a writer", sessions(("writer", COMMITTED, "BEGIN", WRITE)), "writer", "nobody"),
    Scenario("FOR UPDATE", sessions(("locker", "BEGIN", f"{READ} FOR UPDATE")), "locker", "nobody"),
    Scenario("an UPDATE of no row", sessions(("writer", COMMITTED, "BEGIN", WRITE.replace("= 1", "= -5"))), "writer", "nobody"),
    Scenario("a temporary table", sessions(("writer", "BEGIN", "CREATE TEMPORARY TABLE trial.t (id INT) ENGINE=InnoDB", "INSERT INTO trial.t VALUES (1)")), "writer", "nobody"),
    Scenario("a writer before a snapshot", sessions(("writer", "BEGIN", WRITE), ("reader", "BEGIN", READ)), "writer reader", "reader"),
    Scenario("a snapshot before a writer", sessions(("reader", "BEGIN", READ), ("writer", "BEGIN", WRITE)), "reader > writer", "reader"),
    Scenario("a writer with a younger view", sessions(("writer", "BEGIN", WRITE, READ)), "writer", "writer"),
    Scenario("a writer whose view is younger than another's", _later_view, "writer reader", "reader > writer"),
    Scenario("a prepared XA transaction", _prepared(WRITE), "xa", "nobody"),
    Scenario("a prepared XA transaction whose session lives", _prepared(WRITE, alive=True), "xa", "nobody"),
    Scenario("two prepared XA transactions", _two_prepared, "xa", "nobody", ("mariadb",)),
    Scenario("a running statement", _running("SELECT COUNT(*) FROM trial.stock WHERE SLEEP(0.05) = 0"), "runs", "runs"),
    Scenario("a running statement without a table", _running("SELECT SLEEP(20)"), "nobody", "nobody"),
    Scenario("a holder among short statements", _busy, "holder", "holder"),
]  # fmt: skip


def family(server: Server) -> str:
    """Return the family of a server."""
    return flavour.of_version(server.version)


def prepare(server: Server) -> None:
    """Create the table."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE trial")
        cursor.execute("CREATE TABLE trial.stock (id INT PRIMARY KEY, quantity INT NOT NULL) ENGINE=InnoDB")
        values = ", ".join(f"({number}, 1000)" for number in range(1, 1001))
        cursor.execute(f"INSERT INTO trial.stock VALUES {values}")


def play(server: Server, scenario: Scenario) -> Outcome:
    """Play a scenario: end every holder that is shown by the statements that are shown."""
    with ExitStack() as stack:
        stage = Stage(server, stack, {}, {})
        scenario.setting(stage)
        time.sleep(0.15)  # innodb_trx is a cache
        watch = Watch([Probe(server.engine(), "lab", "writer")], None, cluster="lab", every_s=1)
        stack.callback(watch.close)
        named: list[set[str]] = []
        shown: list[str] = []
        lengths: list[int] = []
        while len(named) <= MOST_HOLDERS:
            lines = _status(stage, watch)
            shown += lines
            lengths.append(watch.samples[-1].history_list_length or 0)
            found = set(_named(stage.ids, lines))
            if not found:
                break
            named.append(found)
            _end(server, lines)
        undecided = any("cannot decide" in line for line in shown)
        after = _backlog(stage, watch)
        _clean(server)
        return Outcome(named, shown, undecided, max(lengths), after)


MOST_HOLDERS = 4
MOST_SAMPLES = 8


def _status(stage: Stage, watch: Watch) -> list[str]:
    """What is shown after two samples with writes between; more, if a busy machine answers a round too late."""
    for number in range(MOST_SAMPLES):
        time.sleep(1.1 * (number > 0))
        stage.write()
        watch.sample(int(time.time()))
        if number and watch.purge_status().state != "unknown":
            break
    return status.table(watch.purge_status())


def _named(ids: dict[str, int], lines: list[str]) -> Iterator[str]:
    shown = " ".join(line for line in lines if line.startswith(("held by", "to end it")))
    if "cannot decide" in shown:
        return
    yield from (name for name, thread in ids.items() if f"session {thread} " in f"{shown} ")
    if "prepared XA transaction" in shown:
        yield "xa"


def _end(server: Server, lines: list[str]) -> None:
    """Run the statements that the status shows."""
    shown = [line.split(": ", 1)[1] for line in lines if line.startswith("to end it")]
    for text in shown:
        for statement in filter(None, re.split(r"; ?", text)):
            with suppress(pymysql.MySQLError), server.connect() as connection, connection.cursor() as cursor:
                cursor.execute(statement)
            time.sleep(0.2)


def _backlog(stage: Stage, watch: Watch) -> int:
    """The shortest history list of the next three seconds, while the writer goes on a little."""
    lengths = []
    for _ in range(12):
        stage.write(3)
        time.sleep(0.25)
        length = watch.sample(int(time.time())).history_list_length
        lengths.append(1 << 30 if length is None else length)
        if lengths[-1] < 10:
            break
    return min(lengths)


def _clean(server: Server) -> None:
    """End what a scenario left prepared."""
    with server.connect() as connection, connection.cursor() as cursor:
        for xid in ("'g1','b1',7", "'g1'", "'g2'"):
            with suppress(pymysql.MySQLError):
                cursor.execute(f"XA ROLLBACK {xid}")
