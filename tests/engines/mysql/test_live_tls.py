"""IAM logins: only over TLS, only to a server the CA bundle verifies, with a new token for each connection."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from aurora_analysis import cli
from aurora_analysis.cli import connections
from aurora_analysis.engines.mysql import live
from aurora_analysis.engines.mysql.live import ConnectionLost, Probe
from aurora_analysis.errors import Error
from aurora_analysis.lab import server

pytestmark = pytest.mark.real


def certificate(folder: Path) -> dict[str, object]:
    """Create a self-signed certificate for 127.0.0.1; returns the server options that use it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lab")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return {"ssl_cert": folder / "ca.pem", "ssl_key": folder / "key.pem"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """Folder of the certificate."""
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def secured(mariadbd: str, bundle: Path) -> Iterator[server.Server]:
    """A server whose user needs TLS, and the last token as its password."""
    with server.running(certificate(bundle)) as ours, ours.connect() as connection:
        connection.cursor().execute("CREATE USER watcher@'127.0.0.1' REQUIRE SSL")
        yield ours


@pytest.fixture
def tokens(secured, monkeypatch) -> Iterator[list[str]]:
    """Tokens as boto3 really signs them; each becomes the server's password, as RDS would accept it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    signed: list[str] = []
    generate = boto3.client("rds", region_name="eu-central-1").generate_db_auth_token

    def signed_token(**about: object) -> str:
        signed.append(f"{generate(**about)}&n={len(signed)}")
        with secured.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET PASSWORD FOR watcher@'127.0.0.1' = PASSWORD(%s)", (signed[-1],))
        return signed[-1]

    monkeypatch.setattr(
        live, "with_tokens", lambda engine, _, real=live.with_tokens: real(engine, signed_token)
    )
    yield signed


def engine(secured: server.Server, ca: Path | str):
    """An engine as the command creates it."""
    url = f"mysql://watcher@127.0.0.1:{secured.port}/"
    return connections.engine(url, iam=True, ca=str(ca), region="eu-central-1")


def test_each_connection_has_its_own_token(secured, bundle, tokens):
    """The first token is invalid when the second is signed; both are sent over TLS."""
    probe = Probe(engine(secured, bundle / "ca.pem"), "db-1", "writer")
    assert probe.sample().version
    with secured.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE user = 'watcher'")
        cursor.execute(f"KILL {cursor.fetchone()[0]}")
    with pytest.raises(ConnectionLost):
        probe.sample()
    assert probe.sample().version
    tls = probe._connected().exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()[1]
    probe.close()
    assert tls
    assert len(set(tokens)) == len(tokens) == 2
    assert "Action=connect&DBUser=watcher" in tokens[0]


def test_an_unverified_server_gets_no_token(secured, tmp_path, tokens):
    """One line of error, and no token was sent."""
    certificate(tmp_path)
    with pytest.raises(ConnectionLost, match="certificate verify failed"):
        Probe(engine(secured, tmp_path / "ca.pem"), "db-1", "writer").sample()


def test_a_token_is_sent_over_tls_alone(secured):
    """Without a bundle nothing is tried."""
    with pytest.raises(Error, match="only over TLS: name the RDS certificate bundle"):
        engine(secured, "")


def test_watch_reports_a_rejected_login_in_one_line(secured, tmp_path):
    """With the user's name, the server's reason, and exit code 2."""
    given = ["--writer", f"mysql://nobody:wrong@127.0.0.1:{secured.port}/", "--store", str(tmp_path)]
    done = CliRunner().invoke(cli.main, ["watch", *given, "--for", "1s"])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("aurora-analysis: live-writer rejects the login of nobody: Access denied")
    assert "wrong" not in line
