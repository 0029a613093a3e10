"""A private PostgreSQL server for tests: its own folder and socket, and no port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BIN = Path("/usr/lib/postgresql/15/bin")
"""Where Debian's postgresql-15 puts its programs."""

SETTINGS = {"listen_addresses": "", "fsync": "off", "synchronous_commit": "off", "shared_buffers": "16MB", "autovacuum": "off"}  # fmt: skip


@dataclass(frozen=True)
class Server:
    """A running server."""

    folder: Path

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "log"

    def psql(self, sql: str, *options: str, database: str = "postgres") -> str:
        """Run a script and return its output; each statement is sent by itself, and errors are ignored."""
        command = [
            BIN / "psql",
            "-X",
            "-A",
            "-t",
            "-q",
            "-h",
            self.folder,
            "-U",
            "postgres",
            "-d",
            database,
            *options,
        ]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, check=True)
        return done.stdout


@contextmanager
def running(settings: Mapping[str, str]) -> Iterator[Server]:
    """Run a server with these settings. PostgreSQL refuses root, so that the user `postgres` runs it then."""
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    os.chown(folder, user.pw_uid, user.pw_gid)
    as_user = {"user": user.pw_uid, "group": user.pw_gid} if os.geteuid() == 0 else {}
    try:
        initdb = [
            BIN / "initdb",
            "-D",
            folder / "data",
            "-U",
            "postgres",
            "-N",
            "--auth=trust",
            "-E",
            "UTF8",
            "--no-locale",
        ]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **as_user)
        options = [f"-c{name}={value}" for name, value in {**SETTINGS, **settings}.items()]
        command = [BIN / "postgres", "-D", folder / "data", "-k", folder, *options]
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **as_user)
        try:
            _wait(folder)
            yield Server(folder)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    finally:
        shutil.rmtree(folder)


def _wait(folder: Path) -> None:
    for _ in range(300):
        ready = subprocess.run([BIN / "pg_isready", "-q", "-U", "postgres", "-h", folder], check=False)
        if ready.returncode == 0:
            return
        time.sleep(0.1)
    raise TimeoutError((folder / "log").read_text())
