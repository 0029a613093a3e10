"""Watch names what holds the xmin horizon on a real primary and hot standby; the printed statement ends it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pandas as pd
import psycopg
import pytest
from click.testing import CliRunner
from postgresql_pair import DATABASE, OTHER, written_to

from aurora_analysis.analysis.workloads.unlogged import Unlogged, unlogged
from aurora_analysis.cli import main
from aurora_analysis.engines.log_tables import Layout
from aurora_analysis.engines.postgresql import slow_log as postgresql_log
from aurora_analysis.engines.postgresql.live import Probe
from aurora_analysis.lab import postgresql
from aurora_analysis.lab.postgresql import Server
from aurora_analysis.live.experiment.sessions import QueryRunner
from aurora_analysis.live.watch import Watch
from aurora_analysis.store import Store

pytestmark = pytest.mark.real

WAIT_S = 60.0
"""A reader reports its snapshot once per second; a busy machine takes longer."""

SNAPSHOT = ("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM queue")
HOLDERS = {
    "idle snapshot on the reader": ("standby", DATABASE, SNAPSHOT),
    "open cursor on the reader": (
        "standby",
        DATABASE,
        ("BEGIN", "DECLARE c CURSOR FOR SELECT * FROM facts", "FETCH 100 FROM c"),
    ),
    "another database of the reader": (
        "standby",
        OTHER,
        ("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1"),
    ),
    "idle snapshot on the writer": ("primary", DATABASE, SNAPSHOT),
    "writing transaction on the writer": ("primary", DATABASE, ("BEGIN", "INSERT INTO notes VALUES (1)")),
}
INNOCENTS = (
    ("primary", OTHER, ("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1")),
    ("standby", DATABASE, ("BEGIN", "SELECT count(*) FROM queue")),
    ("primary", DATABASE, ("BEGIN", "SELECT count(*) FROM queue")),
)


@pytest.fixture
def sessions(postgresql_pair):
    """Open sessions that run statements and then stay open."""
    with ExitStack() as stack:

        def opened(server: str, database: str, statements: tuple[str, ...]) -> int:
            connection = getattr(postgresql_pair, server).connect(database, application_name="nightly")
            stack.callback(connection.close)
            for statement in statements:
                connection.execute(statement)
            return connection.info.backend_pid

        yield opened


@pytest.fixture
def watch(postgresql_pair):
    """A watch of both servers, without a store."""
    pair = postgresql_pair
    probes = [
        Probe(pair.primary.engine(DATABASE), "shop-writer", "writer"),
        Probe(pair.standby.engine(DATABASE), "shop-reader", "reader"),
    ]
    found = Watch(probes, None, cluster="shop", every_s=1)
    yield found
    found.close()


def await_report(pair, pid: int) -> None:
    """Wait until the standby reports the snapshot of one of its sessions to the primary."""
    deadline = time.monotonic() + WAIT_S
    reported = held = None
    while time.monotonic() < deadline and (held is None or reported != held):
        with pair.standby.connect() as standby, pair.primary.connect() as primary:
            held = standby.execute(
                "SELECT backend_xmin FROM pg_stat_activity WHERE pid = %s", [pid]
            ).fetchone()
            reported = primary.execute("SELECT backend_xmin FROM pg_stat_replication").fetchone()
        time.sleep(0.1)


def status(watch: Watch, wanted: str):
    """Sample until purge has the wanted state for two samples, or the time is over."""
    deadline, states = time.monotonic() + WAIT_S, []
    tick = watch.samples[-1].time if watch.samples else int(time.time())
    while time.monotonic() < deadline and states[-2:] != [wanted, wanted]:
        tick += 1
        watch.sample(tick)
        states.append(watch.purge_status().state)
        time.sleep(0.4)
    return watch.purge_status()


@pytest.mark.parametrize("holder", HOLDERS)
def test_the_holder_is_named_among_innocents(postgresql_pair, sessions, watch, holder):
    """Its session and instance; after the printed statement, which the watch never runs, vacuum goes on."""
    for innocent in INNOCENTS:
        sessions(*innocent)
    server, database, statements = HOLDERS[holder]
    with written_to(postgresql_pair):
        pid = sessions(server, database, statements)
        now = status(watch, "blocked")
        assert now.state == "blocked"
        assert now.holder.transaction.thread_id == pid
        assert now.holder.instance == {"standby": "shop-reader", "primary": "shop-writer"}[server]
        assert now.holder.transaction.client == "nightly"
        with getattr(postgresql_pair, server).connect(DATABASE) as other:
            other.execute(now.holder.kill)
        assert status(watch, "keeps up").state == "keeps up"


def test_a_prepared_transaction_is_named(postgresql_pair, watch):
    """It has no session; the printed statement ends it."""
    with written_to(postgresql_pair), postgresql_pair.primary.connect(DATABASE) as one:
        for text in ("BEGIN", "INSERT INTO notes VALUES (2)", "PREPARE TRANSACTION 'it''s'"):
            one.execute(text)
        now = status(watch, "blocked")
        assert "it''s" in now.holder.name
        one.execute(now.holder.kill)
        assert status(watch, "keeps up").state == "keeps up"


def test_the_command_shows_and_stores_the_holder(postgresql_pair, sessions, tmp_path):
    """By two URLs; the store has the session's transaction id, the ages by kind, dead rows and buffers per call."""
    pair, store = postgresql_pair, str(tmp_path / "store")
    urls = [
        url.set(drivername="postgresql").render_as_string(False)
        for url in (pair.primary.url(DATABASE), pair.standby.url(DATABASE))
    ]
    servers = ["--writer", urls[0], "--reader", urls[1], "--cluster", "ledger", "--store", store]
    with written_to(pair):
        pid = sessions("standby", DATABASE, SNAPSHOT)
        await_report(pair, pid)
        done = CliRunner().invoke(main, ["watch", *servers, "--every", "1s", "--for", "8s"])
    assert done.exit_code == 0, done.output
    named = [line for line in done.output.splitlines() if f"held by session {pid} on ledger-reader-1" in line]
    assert named, done.output  # a busy machine may miss a sample of the reader
    assert "vacuum blocked" in named[-1]
    assert f"to end it on ledger-reader-1: SELECT pg_terminate_backend({pid});" in named[-1]
    found = Store(store)
    held = found.read("open_transactions", cluster="ledger").query("thread_id == @pid")
    assert set(held["instance"]) == {"ledger-reader-1"} and len(set(held["oldest_xid"])) == 1
    span = found.span("ledger")
    ages = found.metric("xmin_age_readers", span, cluster="ledger")
    assert (
        ages.iloc[-1] > ages.iloc[0] and (found.metric("xmin_age_slots", span, cluster="ledger") == 0).all()
    )
    relations = found.read("relations", cluster="ledger").query("relation == 'public.queue'")
    assert relations["dead_rows"].max() > 0 and set(relations["database"]) == {DATABASE}
    counted = found.read("statement_metrics", cluster="ledger")
    assert counted["buffers_per_call"].max() > 0


def test_a_trials_query_holds_the_horizon_until_it_is_stopped(postgresql_pair, watch):
    """Its rows stream through a cursor on the standby, so its snapshot lasts; the server cancels it."""
    runner = QueryRunner(
        postgresql_pair.standby.engine(DATABASE), "SELECT id, pg_sleep(0.01) FROM facts", "shop-reader"
    )
    with written_to(postgresql_pair):
        runner.start(60)
        now = status(watch, "blocked")
        assert (now.holder.instance, now.holder.transaction.database) == ("shop-reader", DATABASE)
        runner.stop()
        assert status(watch, "keeps up").state == "keeps up"
    assert runner.problem == "" and runner.span is not None


def test_a_trials_short_query_is_repeated(postgresql_pair):
    """Its time limit is set again before each execution, which needs no cursor."""
    runner = QueryRunner(postgresql_pair.standby.engine(DATABASE), "SELECT pg_sleep(0.05)", "shop-reader")
    runner.start(0.5)
    time.sleep(0.6)
    runner.stop()
    assert runner.problem == "" and runner.span is not None


def test_a_trials_run_ends_in_time_although_each_fetch_is_short(postgresql_pair):
    """The server's time limit holds for one fetch of a cursor: without a limit of its own, the run would last 50 s."""
    query = "SELECT pg_sleep(0.05) FROM generate_series(1, 1000)"
    runner = QueryRunner(postgresql_pair.standby.engine(DATABASE), query, "shop-reader")
    runner.start(0.5)
    deadline = time.monotonic() + WAIT_S
    while runner.span is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert runner.problem == "" and runner.span is not None
    assert 0.4 < (runner.span[1] - runner.span[0]).total_seconds() < 5


@contextmanager
def setting(server: Server, name: str, value: str) -> Iterator[None]:
    """Change a setting of a running server, and set it back."""

    def change(to: str) -> None:
        quoted = to.replace("'", "''")
        connection.execute(f"ALTER SYSTEM SET {name} = '{quoted}'")
        connection.execute("SELECT pg_reload_conf()")

    with server.connect() as connection:
        before = connection.execute(f"SHOW {name}").fetchone()[0]
        change(value)
        try:
            yield
        finally:
            change(before)


def test_a_slot_is_followed_to_its_readers_session_and_named_once_nobody_uses_it(
    postgresql_pair, sessions, watch
):
    """With a slot, the primary has the snapshot of the reader there; a lost reader leaves it behind."""
    pair = postgresql_pair
    with pair.primary.connect(DATABASE) as primary, written_to(pair):
        primary.execute("SELECT pg_create_logical_replication_slot('catalogues', 'test_decoding')")
        primary.execute("SELECT pg_create_physical_replication_slot('reader')")
        slot = "SELECT xmin::text FROM pg_replication_slots WHERE slot_name = 'reader'"
        # Replay that waits for a snapshot does not let go of the primary: it must not wait for long.
        with (
            setting(pair.standby, "max_standby_streaming_delay", "2s"),
            setting(pair.standby, "primary_slot_name", "reader"),
        ):
            deadline = time.monotonic() + WAIT_S
            while primary.execute(slot).fetchone() == (None,) and time.monotonic() < deadline:
                time.sleep(0.1)  # a snapshot that no report covers would only hold up the replay
            pid = sessions("standby", DATABASE, SNAPSHOT)
            now = status(watch, "blocked")
            assert (now.holder.instance, now.holder.transaction.thread_id) == ("shop-reader", pid)
            assert primary.execute(slot).fetchone() == (str(now.holder.number),)
            with setting(pair.standby, "primary_conninfo", ""):
                deadline, left = time.monotonic() + WAIT_S, "the inactive physical replication slot 'reader'"
                while now.holder.name != left and time.monotonic() < deadline:
                    now = status(watch, "blocked")
                assert now.holder.name == left
                primary.execute(now.holder.kill)  # before the reader returns to its slot
            assert status(watch, "keeps up").state == "keeps up"
        primary.execute("SELECT pg_drop_replication_slot('catalogues')")


def test_a_reader_without_feedback_ends_the_session_instead(postgresql_pair):
    """The horizon moves on, the session's exposure ends early, and both the watch and the log have the event."""
    options = {"hot_standby_feedback": "off", "max_standby_streaming_delay": "1s", "cluster_name": "eager"}
    pair = postgresql_pair
    with postgresql.standby_of(pair.primary, "eager", options) as eager:
        watch = Watch(
            [
                Probe(pair.primary.engine(DATABASE), "shop", "writer"),
                Probe(eager.engine(DATABASE), "eager", "reader"),
            ],
            None,
            cluster="shop",
            every_s=1,
        )
        with written_to(pair), eager.connect(DATABASE) as session, pair.primary.connect(DATABASE) as primary:
            for text in SNAPSHOT:
                session.execute(text)
            pid = session.info.backend_pid
            ended, events = "eager: recovery conflict, the reader ended 1 session", list[str]()
            deadline = time.monotonic() + WAIT_S
            while not any(ended in one for one in events) and time.monotonic() < deadline:
                primary.execute("VACUUM queue")
                watch.sample(int(time.time()))
                holder = watch.purge_status().holder
                assert holder is None or holder.instance != "eager"
                events += watch.new_events()
                time.sleep(1 - time.time() % 1)
            assert any(ended in one for one in events), events
            with pytest.raises(psycopg.errors.SerializationFailure):  # the server has ended the session
                session.execute("SELECT 1")
        watch.close()
        logged = postgresql_log.read_slow_log([eager.log.read_bytes()], Layout(instance="eager"))
        found = pd.concat([tables.events for tables in logged])
    ended = found[found["message"].str.contains("terminating connection due to conflict with recovery")]
    assert set(ended["category"]) == {"recovery conflict"} and len(ended) == 1
    [exposed] = unlogged(Unlogged().runs, Unlogged().runs, found).ended.itertuples()
    assert (exposed.instance, exposed.thread_id, exposed.is_conflict) == ("eager", pid, True)
    assert exposed.end == ended["time"].iloc[0]


def test_a_promotion_is_a_failover_and_two_writers_are_unknown(postgresql_pair, watch):
    """The last test of the pair: its standby becomes a writer beside the primary."""
    pair = postgresql_pair
    with written_to(pair):
        status(watch, "keeps up")
        with pair.standby.connect() as standby:
            assert standby.execute("SELECT pg_promote()").fetchone() == (True,)
        now = status(watch, "unknown")
    assert now.state == "unknown" and now.holder is None
    assert any("failover, now the writer, previously the reader" in one for one in watch.new_events())
