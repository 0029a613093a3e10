"""Watch names the session that holds back purge on a real server, among older sessions that do not."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack

import pandas as pd
import pytest
import sqlalchemy
from click.testing import CliRunner
from live_server import written_to

from aurora_analysis import cli
from aurora_analysis.cli import main
from aurora_analysis.engines.mysql import live
from aurora_analysis.engines.mysql.live import Probe
from aurora_analysis.lab import server
from aurora_analysis.live import status
from aurora_analysis.live.watch import Watch
from aurora_analysis.store import Store
from aurora_analysis.tables import TABLES

pytestmark = pytest.mark.real


@pytest.fixture
def sessions(real_server):
    """Open sessions of a user that run statements and then stay open."""
    with ExitStack() as stack:

        def opened(user: str, *statements: str) -> int:
            connection = stack.enter_context(
                real_server.connect(user, program_name="nightly\x1b[2J\nheld by nobody")
            )
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                    cursor.fetchall()
            return connection.thread_id()

        yield opened


def decoys(sessions) -> None:
    """Open transactions that are older than any holder and hold nothing back."""
    sessions("etl", "BEGIN")
    sessions(
        "etl",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "BEGIN",
        "SELECT COUNT(*) FROM trial.stock",
    )


def watching(ours: server.Server, store: Store | None = None, user: str = "root") -> Watch:
    return Watch([Probe(ours.engine(user), "lab-writer", "writer")], store, cluster="lab", every_s=1)


def two_samples(ours: server.Server) -> status.PurgeStatus:
    found = watching(ours)
    found.run(1.9)
    return found.purge_status()


def test_older_transactions_without_a_view_are_not_holders(real_server, sessions):
    """A bare BEGIN and a READ COMMITTED transaction between statements hold nothing back."""
    decoys(sessions)
    with written_to(real_server):
        now = two_samples(real_server)
    assert now.holder is None
    assert now.state in {"keeps up", "outrun"}


def test_an_idle_snapshot_is_named_within_two_samples(real_server, sessions):
    """With its session, user and instance; the slow log would not show it."""
    decoys(sessions)
    thread = sessions("etl", "BEGIN", "SELECT COUNT(*) FROM trial.stock")
    with written_to(real_server):
        now = two_samples(real_server)
    assert now.state == "blocked"
    assert (now.holder.instance, now.holder.how) == ("lab-writer", "holds a read view")
    assert (now.holder.transaction.thread_id, now.holder.transaction.user) == (thread, "etl")
    assert now.holder.transaction.command == "Sleep"


def test_a_transaction_that_has_written_is_named_without_a_view(real_server, sessions):
    """READ COMMITTED between statements, one row modified: it holds back purge on MariaDB."""
    decoys(sessions)
    thread = sessions(
        "app",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "BEGIN",
        "UPDATE trial.stock SET quantity = 0 WHERE id = 1",
    )
    with written_to(real_server):
        now = two_samples(real_server)
    assert now.state == "blocked"
    assert (now.holder.transaction.thread_id, now.holder.how) == (thread, "has written")
    assert now.holder.transaction.rows_modified == 1


def test_samples_are_in_the_store(real_server, sessions, tmp_path):
    """Samples, the holder's transaction, the instance's role, and coverage, which marks the window as complete."""
    sessions("etl", "BEGIN", "SELECT COUNT(*) FROM trial.stock")
    time.sleep(0.2)  # InnoDB caches innodb_trx for 0.1 s, and the previous test has just read it
    store = Store(tmp_path)
    with written_to(real_server):
        watching(real_server, store).run(2.9)
    span = store.span("lab")
    assert len(store.metric("history_list_length", span, cluster="lab")) == 3
    assert len(set(store.metric("purge_boundary", span, cluster="lab"))) == 1
    rows = store.read("open_transactions", cluster="lab").query("user == 'etl'")
    assert rows["has_read_view"].tolist() == [True] * 3
    assert (rows["time"] > rows["started_at"] - pd.Timedelta("1s")).all()
    covered = store.read("coverage", cluster="lab").query("table == 'metrics'")
    assert covered[["expected", "received"]].to_numpy().tolist() == [[3, 3]]
    assert set(store.versions()["lab"]) <= set(TABLES)


def test_an_instance_gets_a_row_when_it_changes_and_not_at_each_write(real_server, tmp_path):
    """A write that fails stores none, so that the next one does."""
    store, probe = Store(tmp_path / "store"), Probe(real_server.engine(), "lab-writer", "writer")
    found, answer = Watch([probe], store, cluster="lab", every_s=1), probe.sample
    for number, version in enumerate(("8.0.35", "8.0.35", "8.0.35", "8.0.36")):
        probe.sample = lambda version=version: answer()._replace(version=version)
        found.sample(1_800_000_000 + number)
        if number == 0:
            (tmp_path / "store").write_text("")
        found.write()
        if number == 0:
            assert found.problem
            (tmp_path / "store").unlink()
    found.close()
    rows = store.read("instances", cluster="lab")
    assert rows["engine_version"].tolist() == ["8.0.35", "8.0.36"]
    assert rows["time"].dt.second.tolist() == [0, 3]


def test_the_command_shows_the_holder_and_the_statement_to_end_it(real_server, sessions, tmp_path):
    """Plain lines when output is not a terminal; the statement is shown and not run."""
    thread = sessions("etl", "BEGIN", "SELECT COUNT(*) FROM trial.stock")
    address = f"mysql://root@/?unix_socket={real_server.socket}"
    given = ["watch", "--writer", address, "--store", str(tmp_path), "--every", "1s", "--for", "1.9s"]
    with written_to(real_server):
        done = CliRunner().invoke(main, given)
    assert done.exit_code == 0, done.output
    assert "purge blocked" in done.output
    last = done.output.splitlines()[-1]
    assert f"held by session {thread} on live-writer, since " in last
    assert "user etl from localhost with nightly\ufffd[2J\ufffdheld by nobody" in last
    assert last.endswith(f"to end it on live-writer: KILL {thread};")
    assert "\x1b" not in done.output
    assert len(Store(tmp_path).read("read_views", cluster="live")) == 2


def test_a_terminal_shows_a_table_that_is_redrawn_below_the_events(monkeypatch, capsys):
    """Events stay on screen; the status is replaced."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    show = cli.watch.display()
    now = status.PurgeStatus(1_800_000_000, "keeps up", 7, -1.5, None, None)
    show([], now)
    assert capsys.readouterr().out == "08:00:00 UTC  purge keeps up\nhistory list  7 (-1.5/s)\n"
    show(["lost", "found"], now)
    assert capsys.readouterr().out.startswith("\x1b[2F\x1b[Jlost\nfound\n08:00:00 UTC")


def test_our_session_is_read_only_and_holds_nothing_between_samples(real_server):
    """While connected it has no transaction and no view, cannot write, and its statements time out."""
    probe = Probe(real_server.engine(), "lab-writer", "writer")
    found = Watch([probe], None, cluster="lab", every_s=1)
    found.sample(int(time.time()))
    session = probe._connected()
    with real_server.connect() as other, other.cursor() as cursor:
        thread = session.connection.thread_id()  # type: ignore[attr-defined]
        cursor.execute(
            f"SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = {thread}"
        )
        assert cursor.fetchone() == (0,)
    with pytest.raises(sqlalchemy.exc.DBAPIError, match="READ ONLY"):
        session.exec_driver_sql("UPDATE trial.stock SET quantity = 0 WHERE id = 1")
    began = time.monotonic()
    with pytest.raises(sqlalchemy.exc.DBAPIError, match="max_statement_time"):
        session.exec_driver_sql(
            "SELECT COUNT(*) FROM trial.stock a, trial.stock b, trial.stock c, trial.stock d"
        )
    assert time.monotonic() - began < live.STATEMENT_TIMEOUT_S + 3
    found.close()


DRIVERS = (
    "SET AUTOCOMMIT",
    "SET NAMES",
    "SET SESSION TRANSACTION ISOLATION",
    "SELECT @@",
    "SELECT VERSION()",
    "SELECT DATABASE()",
    "ROLLBACK",
    "COMMIT",
)


def test_our_statements_are_tagged_and_not_stored(real_server, tmp_path):
    """As the server's general log shows them, except those of the driver at connect."""
    store = Store(tmp_path)
    with real_server.connect() as other, other.cursor() as cursor:
        cursor.execute("CREATE USER watcher@localhost")
        cursor.execute("GRANT ALL ON *.* TO watcher@localhost")
        cursor.execute("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON")
        watching(real_server, store, "watcher").run(1.9)
        cursor.execute("SET GLOBAL general_log = OFF, GLOBAL log_output = 'FILE'")
        cursor.execute(
            "SELECT argument FROM mysql.general_log WHERE command_type = 'Query' AND user_host LIKE 'watcher%'"
        )
        logged = [text.decode() if isinstance(text, bytes) else text for (text,) in cursor.fetchall()]
    ours = [text for text in logged if not text.upper().startswith(DRIVERS)]
    assert len(ours) > 2 * 7
    assert [text for text in ours if not text.startswith(live.TAG)] == []
    assert "watcher" not in set(store.read("open_transactions", cluster="lab")["user"])
    assert not store.read("statements", cluster="lab")["fingerprint"].str.contains("performance_schema").any()


def test_statements_are_counted_and_read_from_a_slow_log_table(real_server, tmp_path):
    """Both are joined by digest; times are exact, and our own statements are excluded."""
    store = Store(tmp_path)
    with real_server.connect() as other, other.cursor() as cursor:
        cursor.execute(
            "SET GLOBAL log_output = 'TABLE', GLOBAL slow_query_log = ON, GLOBAL long_query_time = 1"
        )
        found = watching(real_server, store)
        with written_to(real_server), real_server.connect("etl") as reading:
            found.sample(int(time.time()))
            began = time.time()
            reading.cursor().execute("/* job=nightly */ SELECT SLEEP(1.2), id FROM trial.stock WHERE id = 7")
            ended = time.time()
            found.sample(int(time.time()))
            found.close()
        cursor.execute(
            "SET GLOBAL log_output = 'FILE', GLOBAL slow_query_log = OFF, GLOBAL long_query_time = 10"
        )
    (row,) = store.read("slow_queries", cluster="lab").to_dict("records")
    assert (row["user"], row["host"], row["tags"]) == ("etl", "localhost", '{"job":"nightly"}')
    assert began <= row["started_at"].timestamp() <= row["ended_at"].timestamp() <= ended
    assert row["query_time_s"] == pytest.approx(1.2, abs=ended - began - 1.2 + 0.01)
    counted = store.read("statement_metrics", cluster="lab").set_index("digest")
    assert counted.loc[row["digest"], "mean_latency_ms"] == pytest.approx(
        1000 * row["query_time_s"], rel=0.05
    )
    known = store.read("statements", cluster="lab").set_index("digest")
    # SET statements of the driver, if the writing session connected late.
    greeted = known.index[known["kind"] == "set"]
    assert set(counted.index) - set(greeted) == {row["digest"], *known.index[known["kind"] == "update"]}
    assert known.loc[counted.index, "server_digest"].notna().all()
    covered = store.read("coverage", cluster="lab").set_index("table")
    assert set(covered.index) == {"metrics", "slow_queries", "statement_metrics"}
    counted_all = covered.loc[["slow_queries", "statement_metrics"]]
    assert (counted_all["received"] == counted_all["expected"]).all()


AURORA = """
CREATE TABLE mysql.ro_replica_status (
  server_id VARCHAR(100), session_id VARCHAR(100), replica_lag_in_msec DOUBLE, oldest_read_view_trx_id BIGINT,
  iops BIGINT)
"""


def test_the_statement_that_is_shown_ends_the_session(real_server, sessions, tmp_path):
    """With Aurora's table and procedure, recreated on MariaDB."""
    thread = sessions("etl", "BEGIN", "SELECT COUNT(*) FROM trial.stock")
    with real_server.connect() as other, other.cursor() as cursor:
        cursor.execute(AURORA)
        cursor.execute("INSERT INTO mysql.ro_replica_status VALUES ('db-1', 'MASTER_SESSION_ID', 0, 1, 7)")
        cursor.execute("CREATE PROCEDURE mysql.rds_kill(IN thread BIGINT) KILL CONNECTION thread")
        try:
            with written_to(real_server):
                now = two_samples(real_server)
                (shown,) = [row for row in status.table(now) if row.startswith("to end it")]
                statement = shown.split("lab-writer: ")[1]
                assert statement == f"CALL mysql.rds_kill({thread});"
                cursor.execute(statement)
                assert two_samples(real_server).holder is None
        finally:
            cursor.execute("DROP TABLE mysql.ro_replica_status")
            cursor.execute("DROP PROCEDURE mysql.rds_kill")


def test_an_unwatched_reader_is_named_from_auroras_table(real_server, tmp_path):
    """With its instance and lag, ignoring extra columns; identifying the session takes a --reader."""
    with real_server.connect() as other, other.cursor() as cursor:
        cursor.execute(AURORA)
        cursor.execute("INSERT INTO mysql.ro_replica_status VALUES ('db-1', 'MASTER_SESSION_ID', NULL, 9, 7)")
        cursor.execute("INSERT INTO mysql.ro_replica_status VALUES ('db-2', 'a1', 18.5, 5, 7)")
        store = Store(tmp_path)
        try:
            with written_to(real_server):
                found = watching(real_server, store)
                found.run(1.9)
        finally:
            cursor.execute("DROP TABLE mysql.ro_replica_status")
    now = found.purge_status()
    assert (now.state, now.holder.instance, now.holder.number) == ("blocked", "db-2", 5)
    assert "an unidentified session on db-2" in status.line(now)
    views = store.read("read_views", cluster="lab").query("instance == 'db-2'")
    assert views[["role", "replica_lag_ms"]].drop_duplicates().to_numpy().tolist() == [["reader", 18.5]]


def test_a_missing_grant_skips_its_probe_with_an_event(real_server, tmp_path):
    """The other probes go on; the event names the grant."""
    lines: list[str] = []
    store = Store(tmp_path)
    watching(real_server, store, "nobody").run(
        1.9, on_sample=lambda events, now: lines.extend([*events, status.line(now)])
    )
    text = "\n".join(lines)
    assert "left out, innodb_status needs GRANT PROCESS ON *.* TO nobody" in text
    assert text.count("innodb_status") == 1
    assert "no status from the writer" in text
    assert set(store.read("events", cluster="lab")["category"]) == {"left out"}
    assert store.read("coverage", cluster="lab")["received"].tolist() == [0]
