"""A server that speaks MySQL's protocol and answers by a script: for Aurora's statements, which no other server has.

https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

OK = b"\x00\x00\x00\x02\x00\x00\x00"
EOF = b"\xfe\x00\x00\x02\x00"
GREETING = (
    b"\x0a8.0.mysql_aurora.3.08.0\0" + b"\x07\0\0\0" + b"saltsalt\0" + b"\xff\xf7\x2d\x02\0\x08\x00\x15"
    + bytes(10) + b"saltsaltsalt\0mysql_native_password\0"
)  # fmt: skip
"""Without TLS."""

DROP = "drop the connection"
"""An answer: the server ends, as it does in a crash."""

USUAL = {r"VERSION\(\)": [("8.0.35",)], "isolation": [("REPEATABLE-READ",)]}
"""Answers that a driver needs when it connects."""

COM_QUIT, COM_QUERY, COM_PING = 1, 3, 14


@dataclass
class Script:
    """Answers by a pattern of the statement: rows of texts, an error (number, text), or DROP; others are OK."""

    answers: Mapping[str, object]
    port: int = 0
    received: list[str] = field(default_factory=list)

    def answer(self, statement: str) -> object:
        """The answer to a statement; SELECT and SHOW without a pattern return zeros."""
        for pattern, found in {**self.answers, **USUAL}.items():
            if re.search(pattern, statement, re.IGNORECASE):
                return found
        return [("0", "0")] if re.match(r"\W*(SELECT|SHOW)", statement, re.IGNORECASE) else None


@contextmanager
def serving(answers: Mapping[str, object]) -> Iterator[Script]:
    """Serve on 127.0.0.1 until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    script = Script(answers, listening.getsockname()[1])

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=_talk, args=(client, script), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield script
    listening.close()


def _talk(client: socket.socket, script: Script) -> None:
    with client, suppress(OSError, EOFError):
        _send(client, 0, [GREETING])
        _receive(client)
        _send(client, 2, [OK])
        while (command := _receive(client))[0] != COM_QUIT:
            statement = command[1:].decode() if command[0] == COM_QUERY else ""
            script.received.append(statement)
            found = script.answer(statement) if statement else None
            if found == DROP:
                return
            _send(client, 1, list(_packets(found)))


def _packets(found: object) -> Iterator[bytes]:
    if isinstance(found, tuple):
        number, text = found
        yield b"\xff" + int(number).to_bytes(2, "little") + b"#42000" + str(text).encode()
    elif found is None:
        yield OK
    else:
        width = len(found[0]) if found else 1
        yield bytes([width])
        for _ in range(width):
            names = b"".join(_text(one) for one in ("def", "", "", "", "c", ""))
            yield names + b"\x0c\x2d\x00\xff\x00\x00\x00\xfd\x00\x00\x00\x00\x00"
        yield EOF
        for row in found:
            yield b"".join(_text(value) for value in row)
        yield EOF


def _text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


def _send(client: socket.socket, number: int, packets: list[bytes]) -> None:
    for n, payload in enumerate(packets, number):
        client.sendall(len(payload).to_bytes(3, "little") + bytes([n % 256]) + payload)


def _receive(client: socket.socket) -> bytes:
    head = _exactly(client, 4)
    return _exactly(client, int.from_bytes(head[:3], "little"))


def _exactly(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = client.recv(size - len(found))
        if not more:
            raise EOFError
        found += more
    return found
