"""The engines that the contract suite runs for. To add an engine, add one `Case` to `CASES`.

A case holds what the suite cannot know: the engine's SQL spellings, its log's text, its servers' rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from aurora_analysis import engines

SECRET = "s3cr3t"
EPOCH = datetime(2026, 11, 23, 10, tzinfo=UTC)
"""The end of a case's first log entry."""

TESTS = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One engine, and its words for what every engine has.

    `literals` hold SECRET, each in another spelling; `comments` have a place for the statement. `logged` returns a log
    entry: it ended `second` seconds after EPOCH and ran for 1.5 s. `gallery` are captured logs, each beside the events
    that it holds as `.jsonl`. `counted` is a row of the query `statement_digests`: one statement with so many calls and
    so much time [ms] since a start [s since 1970]. `connections` are stand-ins for connections to each flavour.
    `blocked_by` returns samples of a cluster in which this session holds back cleanup.
    """

    name: str
    names: Sequence[str]
    literals: Sequence[str]
    comments: Sequence[str]
    tagged: str
    same_statement: Sequence[str]
    counted: Callable[[int, float, float], tuple[Any, ...]]
    logged: Callable[[int, str], bytes]
    gallery: Sequence[Path] = ()
    connections: Sequence[Any] = ()
    blocked_by: Callable[[int], list[Any]] = lambda session: []
    damaged: Sequence[tuple[bytes, bytes]] = ()
    """Pairs of a text in an entry's header and what makes the header unreadable."""
    modules: frozenset[str] | None = None
    """The modules that the engine has so far; None for all."""

    def has(self, module: str) -> bool:
        """Whether the engine has a module."""
        return self.modules is None or module in self.modules

    def module(self, name: str) -> ModuleType:
        """A module of the engine's package."""
        return engines.module(self.names[0], name)

    @property
    def reader(self) -> ModuleType:
        """The module that reads the engine's log."""
        return self.module("slow_log")


def _mysql_entry(second: int, sql: str) -> bytes:
    end = EPOCH + timedelta(seconds=second)
    return (
        f"# Time: {end:%Y-%m-%dT%H:%M:%S}.000000Z\n# User@Host: bi[bi] @  [10.0.0.1]  Id: 7\n"
        "# Query_time: 1.500000  Lock_time: 0.000001 Rows_sent: 2  Rows_examined: 30\n"
        f"SET timestamp={int(end.timestamp()) - 1};\n{sql};\n"
    ).encode()


def _mysql_samples(session: int) -> list[Any]:
    from aurora_analysis.engines.mysql.innodb_status import InnodbStatus, Transaction
    from aurora_analysis.engines.mysql.live import InstanceSample

    idle = Transaction(session, "etl", "10.0.0.7:4711", "Sleep", 1_000.0, "REPEATABLE READ", 0, None)
    status = InnodbStatus(50, 900, 400, 500, 1, 1, {session: 500}, {})
    return [InstanceSample(0.0, "db-1", "writer", "8.0.35", {}, status, [idle], [])]


def _postgresql_samples(session: int) -> list[Any]:
    from aurora_analysis.engines.live_evidence import Transaction
    from aurora_analysis.engines.postgresql.live import InstanceSample

    idle = Transaction(session, "etl", "10.0.0.7", "idle in transaction", 1_000.0, "", None, None)
    held = idle._replace(needs=500, database="shop")
    return [InstanceSample(0.0, "db-1", "writer", "15.18", {}, [held], 900, "shop", [], [], [], [])]


def _postgresql_entry(second: int, sql: str) -> bytes:
    end = EPOCH + timedelta(seconds=second)
    text = sql.replace("\n", "\n\t")
    return f"{end:%Y-%m-%d %H:%M:%S} UTC:10.0.0.1(4711):bi@app:[7]:LOG:  duration: 1500.000 ms  statement: {text}\n".encode()


@dataclass(frozen=True)
class _Dialect:
    is_mariadb: bool


@dataclass(frozen=True)
class _Connection:
    dialect: _Dialect


CASES = [
    Case(
        name="mysql",
        names=("aurora-mysql", "mysql", "mariadb"),
        literals=(
            f"'{SECRET}'", f"'it''s {SECRET}'", f"'\\'{SECRET}'", f'"{SECRET}"', f"_utf8mb4'{SECRET}'", f"N'{SECRET}'",
            f"-- {SECRET}\n1", f"/* {SECRET} */ 1", f"@{SECRET}", "20261123", "-20261123.5e7", "0x20261123",
        ),
        comments=("/* it's */ {}", "-- it's\n{}", "{} # it's", "{} /* it's */"),
        tagged="/* connector=etl job='orders' */ SELECT 1",
        same_statement=("SELECT a FROM t WHERE b = 1", "select  `a`\nfrom `T` where b='x';"),
        logged=_mysql_entry,
        gallery=sorted((TESTS / "slow_logs").glob("*.log")),
        counted=lambda calls, ms, since: ("shop", "d1", "SELECT `a` FROM `t` WHERE `b` = ?", calls, ms, 10 * calls, calls, since),
        connections=(_Connection(_Dialect(False)), _Connection(_Dialect(True))),
        blocked_by=_mysql_samples,
        damaged=((b"# Query_time: ", b"# Query_ti"), (b"Rows_examined: 30", b"Rows_examined")),
    ),
    Case(
        name="postgresql",
        names=("postgresql", "aurora-postgresql", "postgres"),
        literals=(
            f"'{SECRET}'", f"'it''s {SECRET}'", f"E'\\'{SECRET}'", f"e'it''s\\\\{SECRET}'", f"$${SECRET}$$", f"$q$ $$ {SECRET}$q$",
            f"U&'{SECRET}'", f"N'{SECRET}'", f"X'{SECRET}'", f"'{SECRET}'\n  '{SECRET}'", f"-- {SECRET}\n1",
            f"/* /* '{SECRET} */ {SECRET} */ 1", "20261123", "-20261123.5e7", "0x20261123", "2026_1123", "-.2026_1123",
        ),
        comments=("/* it's */ {}", "-- it's\n{}", "/* /* nested */ it's */ {}", "{} /* it's */", "{} -- it's"),
        tagged="/* connector=etl job='orders' */ SELECT 1",
        same_statement=("SELECT a FROM t WHERE b = 1", "select  \"a\"\nfrom T where b=E'x';", "SELECT a FROM t WHERE b = $1"),
        logged=_postgresql_entry,
        gallery=sorted((TESTS / "postgresql_logs").glob("*.log")),
        damaged=((b":[7]:LOG", b":[7:LOG"), (b"duration: 1500.000", b"duration: x"), (b"2026-11-23 10", b"2026-11-23T10")),
        counted=lambda calls, ms, since: ("app", "d1", "SELECT a FROM t WHERE b = $1", calls, ms, calls, 9 * calls, since),
        connections=(_Connection(_Dialect(False)),),
        blocked_by=_postgresql_samples,
        modules=frozenset(
            {"fingerprint", "slow_log", "live", "live_queries", "cleanup", "statement_statistics", "settings", "metrics", "waits"}
        ),
    ),
]  # fmt: skip
