"""A connection is what the address says: no other program's variables, no password without TLS on a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from aurora_analysis.cli import connections
from aurora_analysis.engines.postgresql import address
from aurora_analysis.engines.postgresql.live import Probe
from aurora_analysis.errors import Error
from aurora_analysis.lab import postgresql
from aurora_analysis.lab.postgresql import Server
from aurora_analysis.printable import REPLACEMENT

ESCAPE = "nightly\x1b[2J\u202e"
"""A name that clears a terminal and reverses the text after it."""


@pytest.fixture(scope="module")
def server(postgresql_programs: Path) -> Iterator[Server]:
    """A primary without TLS, with a user, a database and a prepared transaction of a name that acts on a terminal."""
    with postgresql.running_primary() as one:
        with one.connect() as connection:
            connection.execute(f'CREATE ROLE "{ESCAPE}" LOGIN')
            connection.execute(f'CREATE DATABASE "{ESCAPE}" OWNER "{ESCAPE}"')
        with one.connect(ESCAPE, user=ESCAPE) as connection:
            for text in ("BEGIN", "CREATE TABLE t ()", f"PREPARE TRANSACTION '{ESCAPE}'"):
                connection.execute(text)
        yield one


@pytest.mark.parametrize("host", ["db.example.com", "10.0.0.7", "[2001:db8::1]", "localhost.example.com"])
def test_tls_is_required_on_a_network(host):
    """Also if no password is in the address: it may come from a file."""
    assert address.url(f"postgresql://u:secret@{host}/d", {}).query == {"sslmode": "require"}
    assert address.url(f"postgresql://u@{host}/d", {}).query == {"sslmode": "require"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost", ""])
def test_tls_is_preferred_where_nobody_can_listen(host):
    """On this machine a private server needs no certificate."""
    assert address.url(f"postgresql://u:secret@{host}/d", {}).query == {"sslmode": "prefer"}


def test_the_address_decides_and_a_bundle_wins():
    """An explicit mode is nobody's surprise; --ca verifies the server whatever the address has."""
    made = connections.engine("postgresql://u:secret@db.example.com/d?sslmode=disable")
    assert made.url.query["sslmode"] == "disable"
    assert "sslmode" not in address.connect_arguments(5.0, "")
    assert address.connect_arguments(5.0, "ca.pem")["sslmode"] == "verify-full"


def test_every_variable_of_the_installed_libpq_is_known():
    """A newer libpq may read more of them."""
    read = {one.envvar.decode() for one in psycopg.pq.Conninfo.get_defaults() if one.envvar}
    assert read <= set(address.DRIVER_VARIABLES)


@pytest.mark.real
def test_variables_of_other_programs_do_not_lead_elsewhere(server, monkeypatch):
    """Neither to another host or service, nor to another search_path or another form of dates."""
    strays = {
        "PGHOSTADDR": "192.0.2.1",
        "PGSERVICE": "missing",
        "PGSSLMODE": "verify-full",
        "PGOPTIONS": "-c search_path=nowhere",
        "PGDATESTYLE": "German",
        "PGUSER": "nobody",
    }
    for name, value in strays.items():
        monkeypatch.setenv(name, value)
    made = connections.engine(f"postgresql://postgres@127.0.0.1:{server.port}/postgres")
    with made.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT current_setting('DateStyle'), current_setting('search_path')"
        )
        assert tuple(found.one()) == ("ISO, MDY", '"$user", public')


@pytest.mark.real
def test_a_server_without_tls_is_one_line_with_the_next_step(server):
    """The connection is refused before the password is sent."""
    made = connections.engine(
        f"postgresql://postgres:secret@127.0.0.1:{server.port}/postgres?sslmode=require"
    )
    with pytest.raises(Error, match=r"shop-writer offers no TLS.*sslmode=disable") as raised:
        Probe(made, "shop-writer", "writer").sample()
    assert "\n" not in str(raised.value) and "secret" not in str(raised.value)


@pytest.mark.real
def test_names_that_the_server_sends_are_printable(server):
    """User, database and prepared transaction; the text of a statement is left for its fingerprint."""
    safe = f"nightly{REPLACEMENT}[2J{REPLACEMENT}"
    with server.connect(ESCAPE, user=ESCAPE) as one:
        one.execute("BEGIN")
        probe = Probe(connections.engine(server.url(ESCAPE).render_as_string(False)), "w", "writer")
        sample = probe.sample()
        probe.close()
    (session,) = sample.transactions
    assert (session.user, session.database, sample.database) == (safe, safe, safe)
    assert [(each.gid, each.owner) for each in sample.prepared] == [(safe, safe)]
