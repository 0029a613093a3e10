"""Connect to a PostgreSQL server: its address, TLS, and IAM tokens.

Everything about a connection comes from the address and the command line. libpq, below psycopg, would also read PG*
variables and a service file, and falls back to an unencrypted connection unless `sslmode` forbids it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy

from aurora_analysis import engines
from aurora_analysis.engines.iam_tokens import sign_connections

DRIVER_VARIABLES = (
    *("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGREQUIREAUTH"),
    *("PGCHANNELBINDING", "PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGOPTIONS", "PGAPPNAME", "PGSSLMODE"),
    *("PGREQUIRESSL", "PGSSLCOMPRESSION", "PGSSLCERT", "PGSSLKEY", "PGSSLCERTMODE", "PGSSLROOTCERT", "PGSSLCRL"),
    *("PGSSLCRLDIR", "PGSSLSNI", "PGREQUIREPEER", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION"),
    *("PGSSLNEGOTIATION", "PGSSLKEYLOGFILE", "PGGSSENCMODE", "PGKRBSRVNAME", "PGGSSLIB", "PGGSSDELEGATION"),
    *("PGCONNECT_TIMEOUT", "PGCLIENTENCODING", "PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS", "PGDATESTYLE", "PGTZ"),
    *("PGGEQO", "PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION", "PGOAUTHDEBUG"),
)  # fmt: skip
"""Environment variables that libpq reads: `cli/connections.py` removes them before it makes an engine.
https://www.postgresql.org/docs/current/libpq-envars.html"""

NO_TLS = ("server does not support SSL", "SSL was required")
"""Parts of libpq's message if a server has no TLS and the connection needs it."""


def url(text: str, environ: Mapping[str, str]) -> sqlalchemy.URL:
    """Parse a server address for psycopg.

    TLS is required unless the server is on this machine, or the address itself has an `sslmode`.

    Parameters
    ----------
    text : str
        As in postgresql://user@host:5432/database.
    environ : mapping
        If the address has no password, AURORA_ANALYSIS_PASSWORD is used.

    Raises
    ------
    Error
        If the text is not a URL of PostgreSQL. The message omits the text: it may contain a password.
    """
    parsed = engines.parsed_url(text)
    if "sslmode" not in parsed.query:
        mode = "prefer" if _is_local(parsed.host or "") else "require"
        parsed = parsed.update_query_dict({"sslmode": mode})
    return parsed.set(
        drivername="postgresql+psycopg",
        password=parsed.password or environ.get("AURORA_ANALYSIS_PASSWORD"),
        database=parsed.database or "postgres",
    )


def _is_local(host: str) -> bool:
    """Return whether a connection stays on this machine: a socket's folder, or a loopback address."""
    if host in {"", "localhost"} or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def connect_arguments(read_timeout_s: float, ca: str) -> dict[str, Any]:
    """Return psycopg's arguments: a server that is silent for so long counts as lost [s].

    `ca` requires TLS and verifies the server, whatever the address has.
    """
    return {
        "connect_timeout": 5,
        "tcp_user_timeout": round(1000 * read_timeout_s),
        "application_name": "aurora-analysis",
        **({"sslmode": "verify-full", "sslrootcert": ca} if ca else {}),
    }


def with_tokens(engine: sqlalchemy.Engine, generate: Callable[..., str]) -> None:
    """Log in with a fresh IAM token on each new connection; see `sign_connections`."""
    sign_connections(engine, generate, 5432)
