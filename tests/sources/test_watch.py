"""Watch names the session that holds up purge, on a real server, among older ones that do not."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pandas as pd
import pymysql
import pytest
import sqlalchemy
from click.testing import CliRunner
from live_server import written_to

from aurora_analysis.cli import main
from aurora_analysis.lab import server
from aurora_analysis.sources import watch
from aurora_analysis.sources.live import Probe
from aurora_analysis.sources.watch import Watch
from aurora_analysis.store import Store
from aurora_analysis.tables import TABLES

pytestmark = pytest.mark.real


@pytest.fixture
def sessions(real_server):
    """Opens sessions of a user that run statements and then stay open."""
    with ExitStack() as stack:

        def opened(user: str, *statements: str) -> int:
            connection = stack.enter_context(real_server.connect(user))
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                    cursor.fetchall()
            return connection.thread_id()

        yield opened


def decoys(sessions) -> None:
    """Transactions that are older than any holder, and hold nothing."""
    sessions("etl", "BEGIN")
    sessions(
        "etl",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "BEGIN",
        "SELECT COUNT(*) FROM trial.stock",
    )


def watching(ours: server.Server, store: Store | None = None, user: str = "root") -> Watch:
    return Watch([Probe(ours.engine(user), "lab-writer", "writer")], store, cluster="lab", every_s=1)


def two_rounds(ours: server.Server) -> watch.Purge:
    found = watching(ours)
    found.run(1.9)
    return found.purge()


def test_the_older_ones_are_not_to_blame(real_server, sessions):
    """A bare BEGIN and a READ COMMITTED transaction between statements hold nothing."""
    decoys(sessions)
    with written_to(real_server):
        now = two_rounds(real_server)
    assert now.holder is None
    assert now.state in {"keeps up", "outrun"}


def test_an_idle_snapshot_is_named_within_two_samples(real_server, sessions):
    """Session, user, instance and since when: no log would tell of it."""
    decoys(sessions)
    thread = sessions("etl", "BEGIN", "SELECT COUNT(*) FROM trial.stock")
    with written_to(real_server):
        now = two_rounds(real_server)
    assert now.state == "blocked"
    assert (now.holder.instance, now.holder.how) == ("lab-writer", "holds a read view")
    assert (now.holder.transaction.thread_id, now.holder.transaction.user) == (thread, "etl")
    assert now.holder.transaction.command == "Sleep"


def test_a_transaction_that_has_written_is_named_though_it_has_no_view(real_server, sessions):
    """READ COMMITTED between statements, one row modified: it pins history all the same."""
    decoys(sessions)
    thread = sessions(
        "app",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "BEGIN",
        "UPDATE trial.stock SET quantity = 0 WHERE id = 1",
    )
    with written_to(real_server):
        now = two_rounds(real_server)
    assert now.state == "blocked"
    assert (now.holder.transaction.thread_id, now.holder.how) == (thread, "has written")
    assert now.holder.transaction.rows_modified == 1


def test_what_was_seen_is_in_the_store(real_server, sessions, tmp_path):
    """Samples, the holder's transaction, the instance's role, and coverage as the mark of the end."""
    sessions("etl", "BEGIN", "SELECT COUNT(*) FROM trial.stock")
    store = Store(tmp_path)
    with written_to(real_server):
        watching(real_server, store).run(2.9)
    span = store.span("lab")
    assert len(store.metric("history_list_length", span, cluster="lab")) == 3
    assert len(set(store.metric("purge_boundary", span, cluster="lab"))) == 1
    seen = store.read("open_transactions", cluster="lab").query("user == 'etl'")
    assert seen["has_read_view"].tolist() == [True] * 3
    assert (seen["time"] > seen["started_at"] - pd.Timedelta("1s")).all()
    covered = store.read("coverage", cluster="lab")
    assert covered[["expected", "received"]].to_numpy().tolist() == [[3, 3]]
    assert set(store.versions()) <= set(TABLES)


def test_the_command_shows_the_holder_and_what_would_end_it(real_server, sessions, tmp_path):
    """Plain lines where there is no terminal; the statement is shown, and the session goes on."""
    thread = sessions("etl", "BEGIN", "SELECT COUNT(*) FROM trial.stock")
    address = f"mysql://root@/?unix_socket={real_server.socket}"
    given = ["watch", "--writer", address, "--store", str(tmp_path), "--every", "1s", "--for", "1.9s"]
    with written_to(real_server):
        done = CliRunner().invoke(main, given)
    assert done.exit_code == 0, done.output
    assert "purge blocked" in done.output
    assert f"held by session {thread} on live-writer: etl from localhost" in done.output
    assert f"to end it, on live-writer: KILL {thread};" in done.output
    assert "\x1b" not in done.output
    assert len(Store(tmp_path).read("read_views", cluster="live")) == 2


def test_our_own_sessions_hold_nothing_between_samples(real_server):
    """Nobody is seen but the writer, and no view of ours."""
    found = watching(real_server)
    found.run(0.9)
    with real_server.engine().connect() as connection:
        asked = "SELECT COUNT(*) FROM information_schema.innodb_trx"
        assert connection.execute(sqlalchemy.text(asked)).scalar() == 0


def test_a_missing_grant_drops_its_probe_and_says_so(real_server, tmp_path):
    """The rest goes on; the event names the grant."""
    told: list[str] = []
    store = Store(tmp_path)
    watching(real_server, store, "nobody").run(1.9, tell=told.extend)
    text = "\n".join(told)
    assert "innodb_status is left out, it needs: GRANT PROCESS ON *.* TO nobody" in text
    assert text.count("innodb_status is left out") == 1
    assert "the writer does not tell" in text
    assert set(store.read("events", cluster="lab")["category"]) == {"not granted"}
    assert store.read("coverage", cluster="lab")["received"].tolist() == [0]


def test_a_server_that_is_restarted_is_a_gap_and_told(mariadbd, tmp_path):
    """Lost, answers again, restarted: the watch goes on through all of it."""
    current: list[server.Server] = []

    def connected() -> pymysql.Connection:
        if not current[-1].socket.exists():  # PyMySQL would leave a socket open
            raise pymysql.OperationalError(2003, "Connection refused")
        return current[-1].connect()

    engine = sqlalchemy.create_engine("mysql+pymysql://", creator=connected, poolclass=sqlalchemy.NullPool)
    store = Store(tmp_path)
    found = Watch([Probe(engine, "lab-writer", "writer")], store, cluster="lab", every_s=1)
    with server.running() as first:
        current.append(first)
        time.sleep(4)  # longer than the second is up when it is asked
        assert found.round(1_800_000_000).writer
    assert found.round(1_800_000_001).writer is None
    assert found.round(1_800_000_002).writer is None
    with server.running() as second:
        current.append(second)
        assert found.round(1_800_000_003).writer
        found.close()
    events = store.read("events", cluster="lab")["category"].tolist()
    assert sorted(events) == ["connection", "connection lost", "restart"]
    assert len(store.metric("history_list_length", store.span("lab"), cluster="lab")) == 2
    assert store.read("coverage", cluster="lab")[["expected", "received"]].to_numpy().tolist() == [[4, 2]]
