"""Drills on real servers: the fault happens, clients are counted, and nothing stays behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from aurora_analysis import engines
from aurora_analysis.cli import main
from aurora_analysis.errors import Error
from aurora_analysis.lab import drill_postgresql
from aurora_analysis.lab.drill_postgresql import PostgresqlPlace
from aurora_analysis.live import drill
from aurora_analysis.live.drill import aurora, table
from aurora_analysis.live.drill.clients import writer_name
from aurora_analysis.live.drill.servers import observed, servers
from aurora_analysis.store import Store

pytestmark = pytest.mark.real

QUICK = drill.ClientOptions(workers=2, pause_s=0.2, dns_cache_s=6.0, recycle_s=4.0)


@pytest.fixture(scope="module")
def place(postgresql_programs) -> Iterator[PostgresqlPlace]:
    """A PostgreSQL primary and its standby."""
    with drill_postgresql.running() as pair:
        yield pair


def drilled(place, fault: str, lines: list[str], store: Store | None = None, **changes):
    """Run one fault once; returns its rows by client."""
    options = drill.DrillOptions((fault,), "lab", repeats=1, observe_s=20.0, client=QUICK, **changes)
    return drill.run_drill(options, place, store, lines.append).set_index("client")


def tables(place) -> list[str]:
    """Tables of the schema, on the writer."""
    listed = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    with place.instance(servers(observed(place)).writer).connect() as connection:
        return list(connection.exec_driver_sql(listed).scalars())


@pytest.fixture(scope="module")
def failover(place, tmp_path_factory):
    """Rows and messages of one failover, and the store."""
    lines: list[str] = []
    store = Store(tmp_path_factory.mktemp("drill"))
    return drilled(place, "failover", lines, store), lines, store


def test_a_failover_is_measured_for_each_client(failover):
    """The standby is promoted; the topology-aware client follows first, the cached address last for its time."""
    rows, _, store = failover
    assert set(rows.index) == {"plain", "pool", "topology"}
    assert rows["took_effect"].all() and set(rows["writer_before"]) == {"lab-1"}
    assert set(rows["writer_after"]) == {"lab-2"}
    assert (rows["errors"] > 0).all() and (rows["connections_per_s"] > 0).all()
    assert rows.loc["topology", "first_success_s"] < rows.loc["plain", "first_success_s"] < 10
    assert rows.loc["topology", "former_writer_reads"] == 0 < rows.loc["plain", "former_writer_reads"]
    assert len(store.read("drills", cluster="lab")) == 3


def test_a_standby_that_has_everything_loses_nothing(failover):
    """The lab waits for the standby before a failover, as Aurora's shared storage makes unnecessary."""
    rows, _, _ = failover
    assert (rows["writes_lost"] == 0).all() and (rows["writes_acknowledged"] > 10).all()


def test_the_topology_is_restored_and_the_table_is_gone(failover, place):
    """The drill ends as it began."""
    _, lines, _ = failover
    assert "lab-1 is the writer again" in lines
    assert servers(observed(place)).writer == "lab-1" and tables(place) == []


def test_writes_that_a_failover_loses_are_found(failover, place, monkeypatch):
    """A standby that no longer follows is promoted: what was acknowledged meanwhile is gone."""
    monkeypatch.setattr(place, "_is_synchronous", False)
    inject = place.inject

    def behind(fault: str, seconds: float, writer: str):
        with place.instance("lab-2").connect() as connection:
            auto = connection.execution_options(isolation_level="AUTOCOMMIT")
            auto.exec_driver_sql("ALTER SYSTEM SET primary_conninfo = ''")
            auto.exec_driver_sql("SELECT pg_reload_conf()")
        time.sleep(0.6)
        return inject(fault, seconds, writer)

    monkeypatch.setattr(place, "inject", behind)
    rows = drilled(place, "failover", [])
    assert (rows["writes_lost"] > 0).all()
    assert (rows["writes_lost"] < rows["writes_acknowledged"]).all()


def test_a_lag_is_measured_by_the_age_of_reads(failover, place):
    """The standby's replay pauses: its reads succeed, and are as old as the pause is long."""
    rows = drilled(place, "lag", [], fault_s=1.6)
    assert rows["took_effect"].all() and (rows["stale_reads"] > 0).all()
    assert rows["worst_staleness_s"].between(1.0, 6.0).all()
    assert (rows["settled_s"] == 0).all() and (rows["former_writer_reads"] == 0).all()


AURORA = (
    "CREATE TABLE injected (call text)",
    "CREATE FUNCTION aurora_inject_crash(kind text) RETURNS void LANGUAGE sql AS "
    "$$ INSERT INTO injected VALUES ('crash ' || kind) $$",
    "CREATE FUNCTION aurora_inject_replica_failure(share float8, seconds int, replica text) RETURNS void LANGUAGE sql AS "
    "$$ INSERT INTO injected VALUES (format('lag %s %s %s', share, seconds, replica)) $$",
    "CREATE FUNCTION aurora_inject_disk_failure(share float8, disk int, is_disk bool, seconds int) RETURNS void LANGUAGE "
    "sql AS $$ INSERT INTO injected VALUES (format('disk %s %s %s %s', share, disk, is_disk, seconds)) $$",
    "CREATE FUNCTION aurora_replica_status() RETURNS TABLE (server_id text, session_id text) LANGUAGE sql AS "
    "$$ VALUES ('lab-2', 'a session'), ('lab-1', 'MASTER_SESSION_ID') $$",
)
"""Stand-ins for Aurora's functions, with the parameters of its manual: a real server parses our statements."""

NO_AURORA = (
    "DROP TABLE injected",
    "DROP FUNCTION aurora_inject_crash, aurora_inject_replica_failure, aurora_inject_disk_failure, aurora_replica_status",
)


def execute(place, *texts: str) -> None:
    """Run statements on the writer, and wait until the reader has their effect."""
    with place.server("lab-1").connect() as connection:
        for text in texts:
            connection.execute(text)
        written = connection.execute("SELECT pg_current_wal_lsn()").fetchall()[0]
    with place.server("lab-2").connect() as connection:
        behind = "SELECT pg_last_wal_replay_lsn() < %s::pg_lsn"
        while connection.execute(behind, written).fetchall()[0][0]:
            time.sleep(0.05)


def as_aurora(place) -> aurora.AuroraPlace:
    """The pair as a cluster of Aurora, without AWS."""
    addresses = {name: place._address(name) for name in place.instances}
    endpoints = {"writer": addresses["lab-1"], "reader": addresses["lab-2"]}
    cluster = aurora.Cluster("lab", "aurora-postgresql", endpoints, addresses, "lab-1", "", "")
    return aurora.AuroraPlace(
        None, cluster, "clone", lambda host, port, _: place.instance(_named(place, port))
    )


def _named(place, port: int) -> str:
    return next(name for name in place.instances if place._address(name).port == port)


def test_aurora_postgresql_gets_its_own_functions(failover, place):
    """Each call fits the function's parameters; without the function the drill says so."""
    cluster = as_aurora(place)
    with pytest.raises(Error, match=r"lab-1 refused SELECT aurora_inject_crash"):
        cluster.inject("crash", 0, "lab-1")
    execute(place, *AURORA)
    try:
        for fault in ("crash", "lag", "disk"):
            assert cluster.inject(fault, 7.0, "lab-1").is_certain is None
        with place.server("lab-1").connect() as connection:
            calls = [call for (call,) in connection.execute("SELECT call FROM injected").fetchall()]
        assert calls == ["crash instance", "lag 100 7 lab-2", "disk 100 0 t 7"]
        with place.instance("lab-2").connect() as connection:
            assert writer_name(connection, engines.module("postgresql", "drill"), "lab-2") == "lab-1"
    finally:
        execute(place, *NO_AURORA)


KILLED = """
import sys, time
from aurora_analysis.live import drill
from aurora_analysis.live.drill import aurora, place
ports = [int(text) for text in sys.argv[1:]]
names = dict(zip(("lab-1", "lab-2"), (place.Address("127.0.0.1", port) for port in ports)))
import sqlalchemy
def connect(host, port, _):
    return sqlalchemy.create_engine(f"postgresql+psycopg://postgres@{host}:{port}/postgres", poolclass=sqlalchemy.NullPool)
cluster = aurora.Cluster("lab", "aurora-postgresql", {"writer": names["lab-1"], "reader": names["lab-2"]}, names, "lab-1", "", "")
made = aurora.AuroraPlace(None, cluster, "clone", connect)
made.inject = lambda *_: time.sleep(60)
drill.run_drill(drill.DrillOptions(("crash",), "lab"), made, None, lambda line: print(line, flush=True))
"""


def test_a_killed_drill_is_cleaned_up_by_the_next_one(failover, place, monkeypatch):
    """Its table is spared while it runs, and dropped after SIGKILL; the writer that it noted is the writer again."""
    monkeypatch.setattr(table, "LEFT_AFTER_S", 0.6)
    ports = [str(place._address(name).port) for name in place.instances]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *ports], stdout=subprocess.PIPE, text=True)
    with process:
        assert "run 1" in process.stdout.readline()
        _wait_for_rows(place)
        with pytest.raises(Error, match="Another drill runs"), table.created(place, "public", print):
            pass
        process.send_signal(signal.SIGKILL)
    assert tables(place) == ["aurora_analysis_drill"]
    place.inject("failover", 0, "lab-1")  # the kill came in the middle of it
    lines: list[str] = []
    with table.created(place, "public", lines.append) as made:
        assert made.writer == "lab-1"
    assert lines == ["lab-1 is the writer again", "dropped the table that a killed drill left"]
    assert servers(observed(place)).writer == "lab-1" and tables(place) == []


def _wait_for_rows(place) -> None:
    """Wait until the drill's clients write."""
    deadline = time.monotonic() + 20
    with place.server("lab-1").connect() as connection:
        while connection.execute("SELECT count(*) FROM aurora_analysis_drill").fetchall()[0][0] < 5:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module")
def crash(mariadbd, tmp_path_factory):
    """One crash of a MariaDB by the command, and the store."""
    store = tmp_path_factory.mktemp("drill")
    command = [
        "drill",
        "crash",
        "--lab",
        "--repeats",
        "1",
        "--objective",
        "15s",
        "--workers",
        "2",
        "--pause",
        "0.2",
    ]
    return CliRunner().invoke(main, [*command, "--observe", "15s", "--store", str(store)]), Store(store)


def test_a_crash_of_mariadb_is_measured(crash):
    """The server is killed and started again; it has every acknowledged write."""
    result, store = crash
    rows = store.read("drills", cluster="drill").set_index("client")
    assert set(rows.index) == {"plain", "pool", "topology"}, result.output
    assert rows["took_effect"].all() and rows["first_success_s"].notna().all()
    # A pool reconnects unseen: on a busy machine a quick restart is no longer than the pauses before it.
    assert (rows["first_success_s"] > 0)[rows["errors"] > 0].all() and rows["errors"]["plain"] > 0
    assert (rows["writes_lost"] == 0).all() and (rows["writes_acknowledged"] > 10).all()


def test_one_run_is_not_a_verdict(crash):
    """The command prints each client, and exits with 3."""
    result, _ = crash
    assert result.exit_code == 3
    assert "1 run may be luck" in result.output
    assert all(f"crash 0 {name}" in result.output for name in ("plain", "pool", "topology"))


@pytest.mark.parametrize("fault", ["failover", "reader-restart", "lag"])
def test_a_lab_of_mysql_refuses_faults_of_a_reader(fault, tmp_path):
    """It names the lab that can, before any server starts."""
    result = CliRunner().invoke(main, ["drill", fault, "--lab", "--store", str(tmp_path)])
    assert result.exit_code == 2
    assert f"The fault {fault} cannot be injected here" in result.output
    assert "--engine postgresql" in result.output
