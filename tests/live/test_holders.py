"""The session that is named is the one that holds back purge: it is ended, and the backlog falls.

The innocent sessions stay open meanwhile. `python3 dev.py bench holders` plays all scenarios.
"""

from __future__ import annotations

from collections.abc import Iterator

import holder_scenarios
import pytest

from aurora_analysis.lab import server
from aurora_analysis.lab.server import Server

pytestmark = pytest.mark.real

BY_NAME = {scenario.name: scenario for scenario in holder_scenarios.SCENARIOS}


def test_there_are_scenarios_enough():
    """At least twenty, each with its own name."""
    assert len(BY_NAME) == len(holder_scenarios.SCENARIOS) >= 20


@pytest.fixture(scope="module")
def mariadb(mariadbd: str) -> Iterator[Server]:
    """A MariaDB with the scenarios' table."""
    with server.running(holder_scenarios.OPTIONS["mariadb"]) as ours:
        holder_scenarios.prepare(ours)
        yield ours


@pytest.mark.parametrize("name", ["a prepared XA transaction", "a writer before a snapshot"])
def test_on_mariadb(mariadb: Server, name: str):
    """A transaction that has written or locked holds, also without a session; two that are tied are both named."""
    found = holder_scenarios.play(mariadb, BY_NAME[name])
    assert found.problem(BY_NAME[name], "mariadb") == "", found


@pytest.mark.parametrize(
    "name",
    [
        "SERIALIZABLE before a snapshot",
        "FOR SHARE before a snapshot",
        "locks, a snapshot, then a view of the first",
    ],
)
def test_on_mysql(mysql_server: Server, name: str):
    """Sessions with locks hold no view; where the server does not show enough, nobody is named alone."""
    found = holder_scenarios.play(mysql_server, BY_NAME[name])
    assert found.problem(BY_NAME[name], "mysql") == "", found
