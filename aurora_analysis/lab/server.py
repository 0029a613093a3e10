"""Run a private MariaDB or MySQL server with its own folder, socket and port, which always ends with us.

It stands in for a cluster: on one InnoDB server the sessions of other users share the undo log with the writer, as an
Aurora reader does.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import sqlalchemy
from pymysql.connections import Connection

from aurora_analysis.engines.mysql import flavour
from aurora_analysis.errors import Error, NotEnabled
from aurora_analysis.lab import processes

PROGRAMS = ("mariadbd", "mysqld")
PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/mysql/bin")
"""Folders besides PATH in which servers are installed."""

DEFAULTS: dict[str, object] = {
    "skip_log_bin": True,
    "skip_name_resolve": True,
    "innodb_flush_log_at_trx_commit": 2,  # a commit does not wait for the disk, which other processes share
    "innodb_fast_shutdown": 2,  # the folder is thrown away
    "innodb_buffer_pool_size": "128M",
    "max_connections": 50,
}
START_S = 60.0
"""Time limit for the start; it takes 1 to 2 s on a free machine."""

STOP_S = 15.0
ENDED_S = 0.5
ERRORS = ("[ERROR]", "[FATAL]", "Assertion", "got signal")
"""Marks of a line in the server's log that says why it ended."""


@dataclass(frozen=True)
class Server:
    """A running server: its folder, port and process."""

    folder: Path
    port: int
    pid: int
    version: str

    @property
    def socket(self) -> Path:
        """Path of its Unix socket; its port is bound to 127.0.0.1 only."""
        return self.folder / "sock"

    @property
    def slow_log(self) -> Path:
        """Path of its slow log, which exists from the first slow statement on."""
        return self.folder / "slow.log"

    def connect(self, user: str = "root", **settings: Any) -> Connection[Any]:
        """Open a PyMySQL connection with autocommit, for code whose timing matters."""
        return pymysql.connect(
            **{"unix_socket": str(self.socket), "user": user, "autocommit": True, **settings}
        )

    def engine(self, user: str = "root", database: str | None = None) -> sqlalchemy.Engine:
        """Create a SQLAlchemy engine, for everything else."""
        url = sqlalchemy.URL.create(
            "mysql+pymysql", user, database=database, query={"unix_socket": str(self.socket)}
        )
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)


@contextmanager
def running(
    options: Mapping[str, object] | None = None,
    *,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    program: str = "",
) -> Iterator[Server]:
    """Start a server in a new folder; it ends with the block, after an exception or signal, and if we are killed.

    Parameters
    ----------
    options : mapping
        Server options, as in `{"long_query_time": 0.01}`.
    port : int, optional
        Its port on 127.0.0.1; None takes a free one.
    environment : mapping
        Environment variables, as in `{"TZ": "Asia/Kolkata"}`.
    program : str
        Path of the server program; empty takes the installed one.

    Raises
    ------
    NotEnabled
        If no server is installed.
    Error
        If the server does not start; the message has the last line of its log.
    """
    with ExitStack() as undo:
        undo.enter_context(processes.terminable())
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="aurora-lab-")))
        _initialise(program or find(), folder, {**os.environ, **(environment or {})})
        yield undo.enter_context(
            started(folder, options, port=port, environment=environment, program=program)
        )


class Ended(Error):
    """A server ended by itself while it was needed, as after a crash."""


@contextmanager
def started(
    folder: Path,
    options: Mapping[str, object] | None = None,
    *,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    program: str = "",
) -> Iterator[Server]:
    """Start a server in a folder that has data, as after a crash; it ends with the block.

    Raises
    ------
    Ended
        If the block raises an error after the server has ended by itself.
    """
    chosen = port or processes.free_port()
    variables = {**os.environ, **(environment or {})}
    process = _start(program or find(), folder, chosen, {**DEFAULTS, **(options or {})}, variables)
    try:
        ours = Server(folder, chosen, process.pid, _answer(process, folder))
        try:
            yield ours
        except Exception as problem:
            if _has_ended(process):
                raise Ended(
                    f"The lab's server ended while it was needed (exit code {process.returncode}): {_complaint(folder)}"
                ) from problem
            raise
    finally:
        _stop(process)


def find() -> str:
    """Return the path of the server program.

    Raises
    ------
    NotEnabled
        If none is installed.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *PLACES])
    found = next(filter(None, (shutil.which(name, path=path) for name in PROGRAMS)), None)
    if found is None:
        raise NotEnabled(
            "The lab needs mariadbd or mysqld, and neither is installed: apt-get install mariadb-server."
        )
    return found


def _initialise(program: str, folder: Path, environment: Mapping[str, str]) -> None:
    data = ["--no-defaults", f"--datadir={folder / 'data'}", *_as_root()]
    installer = shutil.which("mariadb-install-db") if family(program) == "mariadb" else None
    if installer:
        command = [installer, *data, "--auth-root-authentication-method=normal", "--skip-test-db"]
    else:
        command = [program, *data, "--initialize-insecure"]
    for _ in range(2):  # on a busy machine it sometimes aborts, and succeeds when repeated
        shutil.rmtree(folder / "data", ignore_errors=True)
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if not done.returncode:
            return
    raise Error(
        f"{command[0]} could not create a data folder in {folder}: {processes.last_line(done.stderr)}"
    )


def _start(
    program: str, folder: Path, port: int, options: Mapping[str, object], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    files = {
        "datadir": folder / "data",
        "socket": folder / "sock",
        "pid_file": folder / "pid",
        "log_error": folder / "error.log",
        "slow_query_log_file": folder / "slow.log",
    }
    where = {**files, "port": port, "bind_address": "127.0.0.1"}
    settings = [_argument(name, value) for name, value in (where | dict(options)).items()]
    return subprocess.Popen(
        [program, "--no-defaults", *_as_root(), *settings],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,  # Ctrl-C must not reach it: we stop it after reading its last rows
        preexec_fn=processes.die_with_parent(signal.SIGKILL),  # noqa: PLW1509  (one system call, loaded before the fork)
    )


def _argument(name: str, value: object) -> str:
    option = "--" + name.replace("_", "-")
    return option if value is True else f"{option}={int(value) if isinstance(value, bool) else value}"


def _answer(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait until the server answers, and return its version."""
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        if _listens(folder / "sock"):
            connected: Any = pymysql.connect(unix_socket=str(folder / "sock"), user="root")
            with connected as connection:
                return str(connection.get_server_info())
        time.sleep(0.05)
    raise Error(f"The lab's server did not start: {_complaint(folder)}")


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether the process has ended, which its clients may notice a moment earlier."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(ENDED_S)
    return process.returncode is not None


def _complaint(folder: Path) -> str:
    """Return the last error in the server's log, or its last line if there is none."""
    log = folder / "error.log"
    if not log.exists():
        return "it wrote no log"
    lines = log.read_text(errors="replace").strip().splitlines()
    errors = [line for line in lines if any(mark in line for mark in ERRORS)]
    return next(reversed(errors or lines), "its log is empty").strip()


def _listens(path: Path) -> bool:
    """Return whether the socket accepts connections; a PyMySQL client that fails to connect leaks its socket."""
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(str(path)) == 0


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def family(program: str) -> flavour.Flavour:
    """Return whether a server program is a MariaDB or a MySQL."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return flavour.of_version(version)


def _as_root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []
