"""Tables that the probes read, the grants that they need, and their connection."""

from __future__ import annotations

import pytest
import sqlalchemy
from click.testing import CliRunner

from aurora_analysis.cli import main
from aurora_analysis.engines.mysql import innodb_status, live, live_rows
from aurora_analysis.engines.mysql.live_rows import Replica
from aurora_analysis.errors import Error


@pytest.mark.real
def test_a_status_that_cannot_be_parsed_is_skipped_and_reported(real_server, monkeypatch):
    """The other probes still answer."""
    probe = live.Probe(real_server.engine(), "db-1", "writer")
    monkeypatch.setattr(innodb_status, "parse", lambda text: innodb_status._number("Purge was done", text))
    found = probe.sample()
    probe.close()
    assert found.innodb is None
    assert found.transactions == []
    assert abs(found.clock_ahead_s) < 1
    assert "MySQL 5.7+ is needed" in probe.skipped["innodb_status"]


def test_replica_status_is_parsed_in_all_column_namings():
    """Names differ in case and by version; a row without the number of a view is dropped."""
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
    assert live_rows.replicas(rows) == [
        Replica("db-1", "writer", 900, None),
        Replica("db-2", "reader", 500, 18.5),
        Replica("db-3", "reader", 400, 90.0),
    ]


def test_the_number_that_means_no_view_is_none():
    """Aurora reports 2^64 - 1 for an instance without a view; its lag still counts."""
    row = {"server_id": "db-2\x1b[2J", "oldest_read_view_trx_id": 2**64 - 1, "replica_lag_in_msec": 7}
    assert live_rows.replicas([row]) == [Replica("db-2\ufffd[2J", "reader", None, 7.0)]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ((1, 2, 0, b"g1"), "'g1'"),
        ((7, 3, 2, "0x6774726271"), "'gtr','bq',7"),
        ((1, 3, 1, b"a'b\x1b"), "X'612762',X'1b'"),
    ],
    ids=["MariaDB", "MySQL", "not plain"],
)
def test_an_xid_is_as_xa_rollback_takes_it(row, text):
    """In quotes where every character is plain, else in hex."""
    assert live_rows.xid(row) == text


def test_every_query_documents_its_question_and_its_grant():
    """One question a file, read only."""
    for query in live.QUERIES.values():
        assert query.answers.endswith("?")
        assert query.needs == "nothing" or query.needs.startswith("GRANT ")
        assert query.text.startswith(("SELECT", "SHOW", "XA RECOVER"))


def test_a_password_comes_from_the_url_or_the_environment():
    """The driver is always PyMySQL, whatever the URL names."""
    assert live.url("mysql://me:open@db/", {}).password == "open"
    found = live.url("mysql://me@db/", {"AURORA_ANALYSIS_PASSWORD": "sesame"})
    assert (found.drivername, found.password) == ("mysql+pymysql", "sesame")


@pytest.mark.parametrize(
    ("text", "message"),
    [("db-1", "is not a URL"), ("oracle://me@db/", "oracle is not supported")],
)
def test_an_invalid_address_is_rejected_without_repeating_it(text, message):
    """The text may contain a password."""
    with pytest.raises(Error, match=message):
        live.url(text, {})


def test_each_connection_logs_in_with_its_own_token():
    """Signed for the engine's host, port and user; sent in clear text, which requires TLS."""
    engine = sqlalchemy.create_engine("mysql+pymysql://etl@db:3307/")
    live.with_tokens(engine, lambda **about: f"token for {about}")
    parameters: dict[str, object] = {"host": "db", "port": 3307, "user": "etl"}
    engine.dialect.dispatch.do_connect(engine.dialect, None, (), parameters)
    assert parameters["password"] == "token for {'DBHostname': 'db', 'Port': 3307, 'DBUsername': 'etl'}"
    assert parameters["auth_plugin_map"] == {"mysql_clear_password": None}


@pytest.mark.real
def test_doctor_lists_missing_grants(real_server):
    """With the exact GRANT statement and exit code 1; root lacks none."""
    address = f"mysql://{{}}@/?unix_socket={real_server.socket}"
    denied = CliRunner().invoke(main, ["doctor", "--sql", address.format("nobody")])
    assert denied.exit_code == 1
    needed = [line.split("not granted")[-1].strip() for line in denied.output.splitlines() if "GRANT" in line]
    assert needed.count("GRANT PROCESS ON *.* TO nobody") == 2  # for the status, and for open transactions
    assert not any(
        "ro_replica_status" in line for line in needed
    )  # Aurora's own table cannot be granted here
    granted = CliRunner().invoke(main, ["doctor", "--sql", address.format("root")])
    assert granted.exit_code == 0, granted.output
    assert "not on this server" in granted.output  # replica status is Aurora's
    assert "not granted" not in granted.output


@pytest.mark.real
def test_a_wrong_database_is_not_a_server_without_tables(real_server, tmp_path):
    """One line that names it and exit code 2, for `watch` and `doctor --sql`."""
    address = f"mysql://root@/nosuch?unix_socket={real_server.socket}"
    for given in (
        ["watch", "--writer", address, "--store", str(tmp_path), "--for", "1s"],
        ["doctor", "--sql", address],
    ):
        done = CliRunner().invoke(main, given)
        assert done.exit_code == 2, done.output
        (line,) = done.stderr.splitlines()
        assert "Unknown database 'nosuch'" in line


@pytest.mark.real
def test_two_sessions_of_watch_do_not_abort_each_other(real_server):
    """`abort` breaks the probe's own connection only, although the canary shares its engine."""
    engine = real_server.engine()
    probe = live.Probe(engine, "db-1", "writer")
    probe.sample()
    with engine.connect() as other:
        probe.abort()
        assert other.exec_driver_sql("SELECT 1").scalar_one() == 1
        with pytest.raises(live.ConnectionLost):
            probe.sample()
    assert probe.sample().innodb
    probe.close()
