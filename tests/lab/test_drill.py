"""Drills on real servers: the fault happens, clients are counted, and nothing stays behind."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from aurora_analysis.cli import main
from aurora_analysis.store import Store

pytestmark = pytest.mark.real

QUICK = ["--workers", "2", "--dns-cache", "4s", "--recycle", "4s", "--interval", "1s", "--observe", "20s"]


@pytest.fixture(scope="module")
def failover(postgresql_programs, tmp_path_factory):
    """One failover of the PostgreSQL pair by the command, and the store."""
    store = tmp_path_factory.mktemp("drill")
    command = ["drill", "failover", "--lab", "--engine", "postgresql", "--repeats", "1", "--objective", "15s"]
    return CliRunner().invoke(main, [*command, *QUICK, "--store", str(store)]), Store(store)


def test_a_failover_is_measured_for_each_client(failover):
    """The standby is promoted; the topology-aware client follows first, the cached address last for its time."""
    result, store = failover
    rows = store.read("drills", cluster="drill").set_index("client")
    assert set(rows.index) == {"plain", "pool", "topology"}, result.output
    assert rows["took_effect"].all() and set(rows["writer_before"]) == {"lab-1"}
    assert set(rows["writer_after"]) == {"lab-2"}
    assert (rows["errors"] > 0).all() and (rows["writes_acknowledged"] > 10).all()
    assert rows.loc["topology", "first_success_s"] < rows.loc["plain", "first_success_s"] < 10
    assert rows.loc["topology", "former_writer_reads"] == 0 < rows.loc["plain", "former_writer_reads"]


def test_a_standby_that_has_everything_loses_nothing(failover):
    """The lab waits for the standby before a failover, as Aurora's shared storage makes unnecessary."""
    rows = failover[1].read("drills", cluster="drill")
    assert (rows["writes_lost"] == 0).all()


def test_one_run_is_not_a_verdict(failover):
    """The command prints each client, and exits with 3."""
    result, _ = failover
    assert result.exit_code == 3
    assert "1 run may be luck" in result.output and "lab-1 is the writer again" in result.output
    assert all(f"failover 0 {name}" in result.output for name in ("plain", "pool", "topology"))


@pytest.fixture(scope="module")
def crash(mariadbd, tmp_path_factory):
    """One crash of a MariaDB by the command, and the store."""
    store = tmp_path_factory.mktemp("drill")
    command = ["drill", "crash", "--lab", "--repeats", "1", "--objective", "15s"]
    return CliRunner().invoke(main, [*command, *QUICK, "--store", str(store)]), Store(store)


def test_a_crash_of_mariadb_is_measured(crash):
    """The server is killed and started again; it has every acknowledged write, and no table of ours."""
    result, store = crash
    rows = store.read("drills", cluster="drill").set_index("client")
    assert set(rows.index) == {"plain", "pool", "topology"}, result.output
    assert rows["took_effect"].all() and (rows["first_success_s"] > 0).all()
    assert (rows["writes_lost"] == 0).all() and (rows["writes_acknowledged"] > 10).all()


@pytest.mark.parametrize("fault", ["failover", "reader-restart", "lag"])
def test_a_lab_of_mysql_refuses_faults_of_a_reader(fault, mariadbd, tmp_path):
    """It names the lab that can, before any server starts."""
    result = CliRunner().invoke(main, ["drill", fault, "--lab", "--store", str(tmp_path)])
    assert result.exit_code == 2
    assert f"The fault {fault} cannot be injected here" in result.output
    assert "--engine postgresql" in result.output
