"""A log's records, whichever form they come in: text with a prefix, CSV or JSON."""

from __future__ import annotations

from typing import NamedTuple

LONGEST = 8 * 2**20
"""Longest record that is held as a whole [bytes]; of a longer one its first MiB is kept."""

KEPT = 2**20
"""Part of a longer record that is kept [bytes]."""


class Record(NamedTuple):
    """One message of the server, or a further part of one (`DETAIL`, `STATEMENT`, …).

    Text has a tab behind each line end, as a log file has it. `session` is `%c`. A record of CSV or JSON has its
    `detail`, `context` and `statement` with it. `cut` marks a text that ends early.
    """

    time: bytes
    host: bytes
    user: bytes
    database: bytes
    application: bytes
    pid: bytes
    session: bytes
    level: bytes
    message: bytes
    detail: bytes = b""
    context: bytes = b""
    statement: bytes = b""
    cut: bool = False
