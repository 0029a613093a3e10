"""What the probes read, what they need, and who of those seen holds up purge."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy
from click.testing import CliRunner

from aurora_analysis.cli import main
from aurora_analysis.engines.mysql import live
from aurora_analysis.engines.mysql.live import Innodb, Replica, Seen, Transaction
from aurora_analysis.errors import Error
from aurora_analysis.live import status
from aurora_analysis.live.status import Round

IDLE = Transaction(7, "etl", "10.0.0.7:4711", "Sleep", 1_000.0, "REPEATABLE READ", 0, None)
OLDER = Transaction(6, "bi", "10.0.0.8:4712", "Sleep", 100.0, "READ COMMITTED", 0, None)


def said(
    instance: str = "db-1",
    role: str = "writer",
    *transactions: Transaction,
    views: dict[int, int] | None = None,
    writing: dict[int, int] | None = None,
    replicas: list[Replica] | None = None,
) -> Seen:
    held = {**(views or {}), **(writing or {})}
    innodb = Innodb(50, 900, 400, min([900, *held.values()]), len(views or {}), 2, views or {}, writing or {})
    return Seen(0.0, instance, role, "8.0", {}, innodb, list(transactions), replicas or [])


def test_the_lowest_number_holds_and_not_the_oldest_transaction():
    """The older one has no view and has written nothing."""
    found = live.holder([said("db-1", "writer", OLDER, IDLE, views={7: 500})])
    assert (found.instance, found.number, found.transaction) == ("db-1", 500, IDLE)


def test_a_readers_view_holds_up_the_writer():
    """Numbers are compared across instances, for they share one undo log."""
    seen = [said("db-1", views={9: 700}), said("db-2", "reader", IDLE, views={7: 500})]
    assert live.holder(seen).instance == "db-2"
    assert live.boundary(seen) == 500


def test_a_transaction_that_has_written_holds_without_a_view():
    """Its own number may not be purged past."""
    assert live.holder([said("db-1", "writer", OLDER, writing={6: 300})]).how == "has written"


def test_a_reader_that_is_not_watched_is_named_by_the_writer():
    """ro_replica_status tells the instance, though not the session."""
    found = live.holder([said(replicas=[Replica("db-3", "reader", 450, 12.0)])])
    assert (found.instance, found.number, found.transaction) == ("db-3", 450, None)


def test_a_reader_that_tells_of_no_view_is_known_by_the_writer():
    """Its own status is silent, the writer's table is not; of itself the writer is believed."""
    known = [Replica("db-1", "writer", 300, None), Replica("db-2", "reader", 450, 12.0)]
    found = live.holder([said(replicas=known), said("db-2", "reader", IDLE)])
    assert (found.instance, found.number, found.transaction) == ("db-2", 450, None)
    named = live.holder([said(replicas=known), said("db-2", "reader", IDLE, views={7: 460})])
    assert named.transaction == IDLE


def test_a_session_that_began_after_purge_stood_is_not_to_blame():
    """Who stopped purge was not seen; a view that is younger did not."""
    young = IDLE._replace(started_at=1_030.0)
    rounds = [
        Round(at, [said("db-1", "writer", young, views={7: 500})._replace(counters={"uptime": at})])
        for at in (1_000, 1_010, 1_020, 1_030)
    ]
    grown = [
        replace(one, seen=[one.seen[0]._replace(innodb=one.seen[0].innodb._replace(trx_counter=900 + n))])
        for n, one in enumerate(rounds)
    ]
    now = status.purge(grown)
    assert (now.state, now.holder.instance, now.holder.transaction) == ("blocked", "db-1", None)
    assert "a session that was not seen, on db-1" in status.line(now)
    ahead = [replace(one, seen=[one.seen[0]._replace(clock_ahead_s=30.0)]) for one in grown]
    assert status.purge(ahead).holder.transaction == young  # by its own clock it is as old


def test_a_reader_of_aurora_has_the_number_that_the_writer_knows():
    """Its own say nothing beside the writer's; where nobody knows it, nobody is blamed."""
    silent = live.of_mysql(live.NOTHING_TOLD, [OLDER, IDLE])
    reader = said("db-2", "reader", OLDER, IDLE)._replace(innodb=silent, is_mysql=True)
    assert live.holder([said(), reader]) is None
    found = live.holder([said(replicas=[Replica("db-2", "reader", 450, 12.0)]), reader])
    assert (found.instance, found.number, found.transaction) == ("db-2", 450, IDLE)


@pytest.mark.real
def test_a_writer_whose_status_cannot_be_read_is_left_out_and_said(real_server, monkeypatch):
    """The watch goes on with the rest."""
    probe = live.Probe(real_server.engine(), "db-1", "writer")
    monkeypatch.setattr(live, "innodb", lambda text: live._number("Purge was done", text))
    seen = probe.seen()
    probe.close()
    assert seen.innodb is None
    assert seen.transactions == []
    assert abs(seen.clock_ahead_s) < 1
    assert "MySQL 5.7+ is needed" in probe.refused["innodb_status"]


@pytest.mark.parametrize(("is_rds", "statement"), [(True, "CALL mysql.rds_kill(7);"), (False, "KILL 7;")])
def test_the_statement_that_ends_the_holder(is_rds, statement):
    """RDS and Aurora give nobody the right to KILL, but a procedure."""
    seen = said("db-1", "writer", IDLE, views={7: 500})._replace(is_rds=is_rds)
    assert live.holder([seen]).kill == statement


def test_nobody_holds_a_purge_that_may_go_up_to_the_counter():
    """Nor does a view that needs nothing older."""
    assert live.holder([said()]) is None
    assert live.holder([said(views={7: 900})]) is None


def test_replica_status_is_read_whatever_its_columns_are_called():
    """Names differ in case and by version; a row without the view's number says nothing."""
    rows = [
        {"Server_id": "db-1", "Session_id": "MASTER_SESSION_ID", "Oldest_read_view_trx_id": 900, "Iops": 3},
        {
            "server_id": "db-2",
            "session_id": "a1",
            "oldest_read_view_trx_id": "500",
            "replica_lag_in_msec": 18.5,
        },
        {
            "server_id": "db-3",
            "session_id": "a2",
            "oldest_read_view_trx_id": 400,
            "visibility_lag_in_msec": 90,
        },
        {"server_id": "db-4", "session_id": "a3"},
    ]
    assert live.replicas(rows) == [
        Replica("db-1", "writer", 900, None),
        Replica("db-2", "reader", 500, 18.5),
        Replica("db-3", "reader", 400, 90.0),
    ]


def test_every_query_says_what_it_answers_and_needs():
    """One question a file, read only."""
    for query in live.QUERIES.values():
        assert query.answers.endswith(("?", ")"))
        assert query.needs == "nothing" or query.needs.startswith("GRANT ")
        assert query.text.split()[0] in {"SELECT", "SHOW"}


def test_a_password_comes_from_the_url_or_the_environment():
    """And the driver is ours, whatever the URL says."""
    assert live.url("mysql://me:open@db/", {}).password == "open"
    found = live.url("mysql://me@db/", {"AURORA_ANALYSIS_PASSWORD": "sesame"})
    assert (found.drivername, found.password) == ("mysql+pymysql", "sesame")


@pytest.mark.parametrize(
    ("text", "said"), [("db-1", "is no URL"), ("postgresql://me@db/", "postgresql is not supported yet")]
)
def test_an_address_that_is_none_is_refused_in_one_line(text, said):
    """Without the text: it may hold a password."""
    with pytest.raises(Error, match=said):
        live.url(text, {})


def test_each_connection_logs_in_by_a_token_of_its_own():
    """For the host, port and user of the engine; in clear text, which TLS alone may carry."""
    engine = sqlalchemy.create_engine("mysql+pymysql://etl@db:3307/")
    live.with_tokens(engine, lambda **about: f"token for {about}")
    seen: dict[str, object] = {"host": "db", "port": 3307, "user": "etl"}
    engine.dialect.dispatch.do_connect(engine.dialect, None, (), seen)
    assert seen["password"] == "token for {'DBHostname': 'db', 'Port': 3307, 'DBUsername': 'etl'}"
    assert seen["auth_plugin_map"] == {"mysql_clear_password": None}


@pytest.mark.real
def test_doctor_lists_the_grants_that_are_missing(real_server):
    """The exact statement, and exit code 1; root lacks none."""
    address = f"mysql://{{}}@/?unix_socket={real_server.socket}"
    refused = CliRunner().invoke(main, ["doctor", "--sql", address.format("nobody")])
    assert refused.exit_code == 1
    needed = [
        line.split("not granted")[-1].strip() for line in refused.output.splitlines() if "GRANT" in line
    ]
    assert needed.count("GRANT PROCESS ON *.* TO nobody") == 2  # for the status, and for open transactions
    assert not any(
        "ro_replica_status" in line for line in needed
    )  # it is Aurora's, and cannot be granted here
    granted = CliRunner().invoke(main, ["doctor", "--sql", address.format("root")])
    assert granted.exit_code == 0, granted.output
    assert "not on this server" in granted.output  # replica status is Aurora's
    assert "not granted" not in granted.output
