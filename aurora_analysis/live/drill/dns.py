"""Look a name up in DNS."""

from __future__ import annotations

import socket

from aurora_analysis.live.drill.place import Address


def look_up(host: str, port: int) -> Address:
    """Return the first address of a name, as a driver connects to it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return Address(str(found[0][4][0]), port)
