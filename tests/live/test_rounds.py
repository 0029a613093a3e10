"""Rounds end in time, whatever a server does; an instance that is lost delays no other."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from click.testing import CliRunner

from aurora_analysis.cli import main
from aurora_analysis.engines.live_evidence import ConnectionLost
from aurora_analysis.engines.mysql.live import Probe
from aurora_analysis.live.rounds import Rounds


class Scripted:
    """A probe whose server can stall; `abort` ends the attempt that waits."""

    def __init__(self, name: str) -> None:
        self.name, self.answers = name, threading.Event()
        self.answers.set()
        self.aborted = 0
        self._broken = threading.Event()

    def sample(self) -> str:
        """Answer once the server does."""
        self._broken.clear()
        while not self.answers.wait(0.01):
            if self._broken.is_set():
                raise ConnectionLost("aborted")
        return self.name

    def abort(self) -> None:
        """Break the attempt."""
        self.aborted += 1
        self._broken.set()


def test_a_stall_costs_no_more_than_its_length_and_one_deadline():
    """The only instance: each round ends at its deadline, and the first one after the stall answers."""
    one = Scripted("writer")
    rounds = Rounds([one], deadline_s=0.2)
    assert rounds.sample() == ["writer"]
    one.answers.clear()
    began = time.monotonic()
    for _ in range(3):
        (found,) = rounds.sample()
        assert isinstance(found, ConnectionLost)
    assert time.monotonic() - began < 3 * 0.2 + 0.5
    assert one.aborted
    one.answers.set()
    assert rounds.sample() == ["writer"]


def test_a_lost_instance_delays_the_others_once():
    """Then it is tried again in each round, and counts as soon as it answers."""
    good, bad = Scripted("writer"), Scripted("reader")
    rounds = Rounds([good, bad], deadline_s=0.3)
    bad.answers.clear()
    assert isinstance(rounds.sample()[1], ConnectionLost)
    began = time.monotonic()
    for _ in range(5):
        assert rounds.sample()[0] == "writer"
    assert time.monotonic() - began < 0.3
    bad.answers.set()
    time.sleep(0.1)
    rounds.sample()
    assert rounds.sample() == ["writer", "reader"]


GREETING = (
    b"\x0a8.0.35\0" + b"\x07\0\0\0" + b"saltsalt" + b"\0" + b"\xff\xf7" + b"\x2d" + b"\x02\0" + b"\xff\xdf" + b"\x15"
    + bytes(10) + b"saltsaltsalt\0" + b"mysql_native_password\0"
)  # fmt: skip
SWITCH = b"\xfemysql_clear_password\0\0"


def packet(number: int, payload: bytes) -> bytes:
    """A packet of MySQL's protocol."""
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


@contextmanager
def scripted_server(trickle_s: float = 0.0) -> Iterator[tuple[int, list[bytes]]]:
    """A server that greets and asks for the password in clear text; or one that never finishes its greeting."""
    got: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def talk(client: socket.socket) -> None:
        greeting = packet(0, GREETING.replace(b"\xff\xf7", b"\xff\xf7"))
        if trickle_s:
            for n in range(len(greeting) - 1):
                client.sendall(greeting[n : n + 1])
                time.sleep(trickle_s)
        client.sendall(greeting)
        got.append(client.recv(4096))
        client.sendall(packet(2, SWITCH))
        got.append(client.recv(4096))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                with client, suppress(OSError):
                    talk(client)

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1], got
    listening.close()


def test_a_password_is_never_sent_in_clear_without_verified_tls(tmp_path):
    """One line says what the server asked for; the password does not leave."""
    with scripted_server() as (port, got):
        url = f"mysql://me:s3cr3t@127.0.0.1:{port}/"
        for given in (
            ["watch", "--writer", url, "--store", str(tmp_path), "--for", "1s"],
            ["doctor", "--sql", url],
        ):
            done = CliRunner().invoke(main, given)
            assert done.exit_code == 2, done.output
            (line,) = done.stderr.splitlines()
            assert "asks for the password in clear text, which is sent only over verified TLS" in line
    assert got and not any(b"s3cr3t" in each for each in got)


def test_trickled_bytes_do_not_stretch_a_round():
    """Each byte comes in time, the whole greeting never does."""
    from aurora_analysis.cli import connections

    with scripted_server(trickle_s=0.1) as (port, _):
        probe = Probe(connections.engine(f"mysql://me@127.0.0.1:{port}/"), "writer", "writer")
        rounds = Rounds([probe], deadline_s=0.5)
        began = time.monotonic()
        found = [rounds.sample()[0] for _ in range(2)]
        assert time.monotonic() - began < 2.5
    assert all(isinstance(each, ConnectionLost) for each in found)


FREE = "mysql://me:s3cr3t@127.0.0.1:1/"


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        (FREE, 1, "never answered: live-writer: Can't connect"),
        ("mysql://me:s3cr3t@127.0.0.1:abc/", 2, "is not a URL"),
        ("mysql://me:s3cr3t@127.0.0.1:99999999/", 2, ""),
        (f"{FREE}?foo=bar", 2, "has a setting that is not known: foo"),
    ],
)
def test_a_wrong_address_never_looks_like_success(url, code, says, tmp_path):
    """One line, without the password, and an exit code that is not 0; `doctor --sql` likewise."""
    watched = CliRunner().invoke(main, ["watch", "--writer", url, "--store", str(tmp_path), "--for", "1s"])
    assert watched.exit_code == code or (not says and watched.exit_code), watched.output
    checked = CliRunner().invoke(main, ["doctor", "--sql", url])
    assert checked.exit_code == 2
    for done in (watched, checked):
        (line,) = done.stderr.splitlines()
        assert line.startswith("aurora-analysis: ") and "s3cr3t" not in done.output
    assert says in watched.stderr


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_wrong_bundle_is_one_line(text, tmp_path):
    """A missing file, or a file without a certificate."""
    bundle = tmp_path / "ca.pem"
    if text:
        bundle.write_text(text)
    for given in (["watch", "--writer", FREE, "--store", str(tmp_path)], ["doctor", "--sql", FREE]):
        done = CliRunner().invoke(main, [*given, "--ca", str(bundle)])
        assert done.exit_code == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"aurora-analysis: --ca {bundle}")
