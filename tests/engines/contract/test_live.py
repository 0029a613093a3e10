"""Live queries: one read-only statement per file, tagged and limited in time."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy

READS = ("SELECT", "SHOW", "WITH", "XA RECOVER")


@pytest.fixture
def files(engine) -> dict[str, Path]:
    """The engine's query files by name."""
    return {path.stem: path for path in Path(engine.module("live").__file__).parent.glob("queries/*.sql")}


def test_every_file_is_a_query(engine, files):
    """None is forgotten, and none has another name."""
    assert set(engine.module("live").QUERIES) == set(files) != set()


def test_every_file_is_one_statement_that_reads(engine, files):
    """It says what it answers and which grant it needs, and then has one statement without a semicolon."""
    split = engine.module("fingerprint").split
    for path in files.values():
        answers, needs, sql = path.read_text().split("\n", 2)
        assert answers.startswith("-- ") and answers.endswith("?"), path.name
        assert needs.startswith("-- needs: "), path.name
        assert sql.lstrip().startswith(READS) and ";" not in sql, path.name
        assert len(list(split(sql))) == 1, path.name


def test_every_query_is_tagged(engine):
    """Logs and process lists can leave ours out by it."""
    live = engine.module("live")
    for query in live.QUERIES.values():
        assert str(query.with_values({})).startswith(live.TAG)


class Recorded:
    """An engine and its connection, which keep what is executed."""

    def __init__(self, connection) -> None:
        self.dialect, self.executed = connection.dialect, []

    def connect(self):
        return self

    def execution_options(self, **_):
        return self

    def execute(self, clause, _=None):
        self.executed.append(str(clause))
        return self

    def all(self):
        return []

    def close(self):
        pass


def test_the_server_ends_a_query_that_takes_too_long(engine, monkeypatch):
    """The limit is set on the connection before anything else is executed, on every flavour of the engine."""
    live = engine.module("live")
    monkeypatch.setattr(sqlalchemy.event, "listen", lambda *_: None)
    for connection in engine.connections:
        recorded = Recorded(connection)
        live.Probe(recorded, "db-1", "writer").rows("identity")
        *settings, query = recorded.executed
        limit = live.time_limit(connection, live.STATEMENT_TIMEOUT_S)
        assert any(limit in setting for setting in settings) and limit not in query
        assert all(text.startswith(live.TAG) for text in recorded.executed)
        assert live.STATEMENT_TIMEOUT_S <= 2
