"""Run a private PostgreSQL primary with a hot standby, which always end with us: a true writer and a true reader.

The standby replays the primary's changes and reports its oldest snapshot by hot_standby_feedback, as an Aurora reader
does. PostgreSQL refuses to run as root; as root, the servers run as the user `postgres`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy

from aurora_analysis.errors import Error, NotEnabled
from aurora_analysis.lab import processes

PLACES = "/usr/lib/postgresql/*/bin"
"""Debian's folders of PostgreSQL's programs, one for each version."""

PROGRAMS = "AURORA_ANALYSIS_POSTGRESQL"
"""Environment variable with the folder of the programs to use instead, such as of another version."""

USER = "postgres"
"""Operating system's user of the servers if we are root; always the name of the superuser."""

DEFAULTS: dict[str, object] = {
    "listen_addresses": "127.0.0.1",
    "max_connections": 60,
    "shared_buffers": "128MB",
    "shared_preload_libraries": "pg_stat_statements",
    "compute_query_id": "on",
    "wal_level": "logical",
    "max_prepared_transactions": 8,
    "hot_standby_feedback": "on",
    "wal_receiver_status_interval": "1s",
    "max_standby_streaming_delay": "30s",
    "fsync": "off",  # the folder is thrown away
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "5s",
    "autovacuum_vacuum_cost_delay": 0,
    "log_autovacuum_min_duration": 0,
    "log_line_prefix": "%t:%r:%u@%d:[%p]:",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
START_S = 60.0
"""Time limit for the start; it takes 1 s on a free machine."""

STOP_S = 3.0


@dataclass(frozen=True)
class Server:
    """A running server: its folder, its port on 127.0.0.1, and its process."""

    folder: Path
    port: int
    pid: int

    @property
    def log(self) -> Path:
        """Path of its log, beside its folder, which a standby would copy."""
        return self.folder.with_suffix(".log")

    def url(self, database: str = "postgres", user: str = USER) -> sqlalchemy.URL:
        """Return the server's address for SQLAlchemy."""
        return sqlalchemy.URL.create(
            "postgresql+psycopg", user, host="127.0.0.1", port=self.port, database=database
        )

    def engine(self, database: str = "postgres", user: str = USER) -> sqlalchemy.Engine:
        """Create a SQLAlchemy engine."""
        return sqlalchemy.create_engine(self.url(database, user), poolclass=sqlalchemy.NullPool)

    def connect(self, database: str = "postgres", **settings: Any) -> psycopg.Connection[Any]:
        """Open a psycopg connection with autocommit, for code whose timing matters."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            dbname=database,
            **{"user": USER, "autocommit": True, **settings},
        )


@dataclass(frozen=True)
class Pair:
    """A primary and its hot standby."""

    primary: Server
    standby: Server

    @property
    def servers(self) -> tuple[Server, Server]:
        """The writer first, as a trial takes them."""
        return self.primary, self.standby

    def catch_up(self) -> None:
        """Wait until the standby has replayed what the primary has written so far."""
        with self.primary.connect() as connection:
            written = connection.execute("SELECT pg_current_wal_lsn()").fetchall()[0]
        with self.standby.connect() as connection:
            while connection.execute("SELECT pg_last_wal_replay_lsn() < %s::pg_lsn", written).fetchall()[0][
                0
            ]:
                time.sleep(0.05)


@contextmanager
def running(
    options: Mapping[str, object] | None = None, *, standby_options: Mapping[str, object] | None = None
) -> Iterator[Pair]:
    """Start a primary and a hot standby in new folders; they end with the block, and if we are killed.

    Parameters
    ----------
    options : mapping
        Settings of both servers, as in `{"log_min_duration_statement": 200}`.
    standby_options : mapping
        Further settings of the standby, as in `{"hot_standby_feedback": "off"}`.

    Raises
    ------
    NotEnabled
        If PostgreSQL is not installed.
    Error
        If a server does not start; the message has the last line of its log.
    """
    with ExitStack() as undo:
        folder = undo.enter_context(_new_folder())
        primary = undo.enter_context(_primary(folder / "primary", options or {}))
        settings = {**(options or {}), **(standby_options or {})}
        yield Pair(primary, undo.enter_context(standby_of(primary, "standby", settings)))


@contextmanager
def standby_of(
    primary: Server, name: str, options: Mapping[str, object], *, port: int | None = None
) -> Iterator[Server]:
    """Start a hot standby of a primary, in a new folder beside the primary's; it ends with the block."""
    folder = primary.folder.parent / name
    _copy(primary, folder)
    with started(folder, {"hot_standby": "on", **options}, port=port) as server:
        yield server


@contextmanager
def running_primary(
    options: Mapping[str, object] | None = None, *, port: int | None = None
) -> Iterator[Server]:
    """Start a primary alone in a new folder; it ends with the block, and if we are killed."""
    with _new_folder() as folder, _primary(folder / "primary", options or {}, port) as server:
        yield server


@contextmanager
def started(folder: Path, options: Mapping[str, object], *, port: int | None = None) -> Iterator[Server]:
    """Start a server in a folder that has data, as after a crash; it ends with the block."""
    chosen = port or processes.free_port()
    process = _start(folder, chosen, {**DEFAULTS, **options})
    try:
        server = Server(folder, chosen, process.pid)
        _await_answer(process, server)
        yield server
    finally:
        _stop(process)


def programs() -> Path:
    """Return the folder of PostgreSQL's programs: of the environment, or of the newest version installed.

    Raises
    ------
    NotEnabled
        If none is installed.
    """
    if chosen := os.environ.get(PROGRAMS):
        return Path(chosen)
    on_path = shutil.which("initdb")
    found = [*Path("/").glob(f"{PLACES}/initdb".lstrip("/")), *([Path(on_path)] if on_path else [])]
    if not found:
        raise NotEnabled(
            "The lab needs PostgreSQL's initdb, and it is not installed: apt-get install postgresql."
        )
    return max(found, key=_version).parent


def _version(initdb: Path) -> int:
    number = initdb.parent.parent.name
    return int(number) if number.isdigit() else 0


@contextmanager
def _new_folder() -> Iterator[Path]:
    with processes.terminable(), tempfile.TemporaryDirectory(prefix="aurora-lab-") as name:
        if os.geteuid() == 0:
            account = _account()
            os.chown(name, account.pw_uid, account.pw_gid)
        yield Path(name)


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        raise NotEnabled(
            f"PostgreSQL refuses to run as root, and there is no user {USER}: run this as another user, or "
            f"create it with: useradd --system {USER}."
        ) from None


@contextmanager
def _primary(folder: Path, options: Mapping[str, object], port: int | None = None) -> Iterator[Server]:
    _run("initdb", "-D", str(folder), "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
    with started(folder, options, port=port) as server:
        yield server


def _copy(primary: Server, folder: Path) -> None:
    """Copy the primary's data for a standby that follows it."""
    where = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", USER]
    _run("pg_basebackup", *where, "-D", str(folder), "-R", "-X", "stream", "-c", "fast", "--no-sync")


def _run(program: str, *arguments: str) -> None:
    command = [str(programs() / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **_as_user())
    if done.returncode:
        raise Error(f"{program} could not create a server's data: {processes.last_line(done.stderr)}")


def _as_user() -> dict[str, Any]:
    """Return subprocess's arguments for the servers' user: another one if we are root."""
    if os.geteuid() != 0:
        return {}
    account = _account()
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _start(folder: Path, port: int, options: Mapping[str, object]) -> subprocess.Popen[bytes]:
    settings = {"port": port, "unix_socket_directories": "", **options}
    arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    log = _log_file(folder.with_suffix(".log"))
    try:
        return subprocess.Popen(
            [str(programs() / "postgres"), "-D", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,  # Ctrl-C must not reach it: we stop it after reading its last rows
            preexec_fn=processes.die_with_parent(signal.SIGQUIT),  # noqa: PLW1509  (one system call)
            **_as_user(),
        )
    finally:
        os.close(log)


def _log_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _await_answer(process: subprocess.Popen[bytes], server: Server) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            server.connect(connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    reason = processes.last_line(server.log.read_text(errors="replace"))
    raise Error(f"The lab's PostgreSQL server did not start: {reason}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop by a fast shutdown, then by an immediate one: SIGTERM would wait for the clients."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(number)
        try:
            process.wait(STOP_S)
            return
        except subprocess.TimeoutExpired:
            continue
