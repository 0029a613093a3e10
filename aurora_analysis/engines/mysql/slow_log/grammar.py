"""The grammar of a slow log's entry: its header lines, and what else a server writes between entries."""

from __future__ import annotations

import re
from functools import cache

from aurora_analysis.engines.log_events import MARKER

HEAD = b"# Time: "
"""First bytes of an entry of Aurora's slow log."""

BOUNDARIES = (b";\n# Time: ", b";\n# User@Host: ")
"""End of an entry and start of the next: where a plain file may be cut into parts."""


INHERITED = "aurora-analysis: database of the part before"
"""Stands in a part of a log for the database that the log named latest before the part."""

PREFACE = (
    b"# User@Host: a[a] @ a []  Id: 0\n"
    b"# Query_time: 0.000000  Lock_time: 0.000000 Rows_sent: 0  Rows_examined: 0\n"
    b"use " + INHERITED.encode() + b";\nSELECT 1;\n"
)
"""An entry that is read before a part of a log. It has no time, so it is not stored: it only names `INHERITED`."""


def is_slow_log(head: bytes) -> bool:
    """Return whether a log that starts with these bytes has an entry, or the banner, of the MySQL family."""
    return (
        re.search(rb"^(?:# (?:Time|User@Host): |\S+, Version: [^\n]* started with:)", head, re.MULTILINE)
        is not None
    )


SEPARATOR = b"\n# User@Host: "
TIME = b"\n# Time: "

_USER_HOST = rb"([^\[\n]{,255}+)\[([^\[\]\n]{,255}+)\]\ @\ *([^\[\n]{,255}?)\ *\[([^\]\n]{,255})\]"
_FIELDS = rb"""
    (?:\s+Id:\s*(\d{1,18}))?[^\n]*\n
    (?:\#\ (?:Thread_id:\ (\d{1,18})\ *(?=\n|Schema))?(?:Schema:\ (SCHEMA)(?:\ \ (?:(QC_hit:)|[A-Z]\w*:)[^\n\[]*|\ *)?)?\n)? # Percona; MariaDB
    \#\ Query_time:\ (\d{1,9}+\.?+\d*+)\s++Lock_time:\ (\d{1,9}+\.?+\d*+)\s++Rows_sent:\ (\d++)(?![.\w])(?:\s++Rows_examined:\ (\d++)(?![.\w])|(?!\s*+Rows_examined))
    ([^\n]*+(?:\n|\Z)(?>\#(?!\ administrator\ command)[^\n]*+(?:\n|\Z))*+)                       # more fields
    (?:use\ ([^\n]*?|[^\n\[]{,255}\n(?!SET\ )[^\n\[]{,255}?);(?:\n|\Z))?                           # a name may have a line end
    (?:SET\ [^\n;]*?timestamp=(\d{1,10})(?:\.\d+)?;(?:\n|\Z))?
    """
_PLAIN_SCHEMA = rb"[^\n\[]*?(?:\n[^\#\n\[][^\n\[]*?)?"

_NO_MORE_BRACKETS = (
    rb"(?![^\n\[]*\[)"  # else the first ones may belong to the host: "host[1] [10.0.0.1]  Id: 7"
)

HEADER = re.compile(_USER_HOST + _NO_MORE_BRACKETS + _FIELDS.replace(b"SCHEMA", _PLAIN_SCHEMA), re.VERBOSE)

_ANY_NAME = _FIELDS.replace(b"SCHEMA", rb"[^\n]*?(?:\n[^\#\n][^\n]*?)?")
_SAME_USER = rb"([^\n]{,255}?)\[(\1)\]\ @\ *"
_ANY_USER = rb"([^\n]{,255}?)\[([^\n]{,255}?)\]\ @\ *"
_BEFORE_ID = rb"([^\n]{,255}?)\ *\[([^\[\]\n]{,255}?)\](?=\s+Id:)"
_ANY_HOST = rb"([^\n]{,255}?)\ *\[([^\n]{,255}?)\]"
_NO_USER = rb"()()()()\ *(?=\n)"


@cache
def _lenient() -> list[re.Pattern[bytes]]:
    """Return the same for no user, and for names with brackets in them, which are rare and slow to match."""
    clients = [user + host for host in (_BEFORE_ID, _ANY_HOST) for user in (_SAME_USER, _ANY_USER)]
    # Atomic: if the next lines do not match, other readings of the first one would not help, and there are many.
    return [re.compile(rb"(?>%s)" % client + _ANY_NAME, re.VERBOSE) for client in (_NO_USER, *clients)]


def header(piece: bytes) -> re.Match[bytes] | None:
    """Match the header lines of an entry, from its user on; None if they are not complete."""
    found = HEADER.match(piece)
    if found is None and b"\n# Query_time: " in piece[:4096]:
        found = next((found for lenient in _lenient() if (found := lenient.match(piece))), None)
        return None if found is None or MARKER in found[0] else found
    return found


ONE_LINE = re.compile(rb"(\n# Time: [^\n#]{1,40}?) *(?=# User@Host: )")
"""The header of an old server (before 5.1), which has no line end behind the time."""

LONGEST_TIME = 64
"""Longest text of a `# Time` line [bytes]: more is not a time."""

SCHEMA = re.compile(rb" Schema: ([^\n]*?)(?: Rows_affected:|\n|\Z)")
"""The schema as Percona Server writes it under log_slow_extra: among the figures."""

BANNER = re.compile(
    rb"(?:\A|(?<=\n))[^\n]*, Version: [^\n]*started with:\n[^\n]*\nTime[ \t]+Id[ \t]+Command[ \t]+Argument[^\n]*(?:\n|\Z)"
)
"""The lines that a server writes when it starts or opens the log."""


def _start_of(text: bytes) -> bytes:
    """Return a pattern of the text's first bytes, however few."""
    return b"|".join(re.escape(text[:size]) for size in range(len(text), 0, -1))


REMAINS = rb"(?<=;)(?:(?:\n#[^\n]*)*?\n# (?:User@Host|Query_time|Time): |\n(?:%s|%s)(?:%s)?\Z)" % (
    _start_of(b"# Time: "),
    _start_of(b"# User@Host: "),
    re.escape(MARKER),
)
"""Pattern of the start of another entry behind the end of a statement; compiled where one was cut."""

CUT_SETTING = rb"%s|use [^\n;]*+|%s|SET (?>\w++=\d++,)*+(?:%s|%s|%s|\w++=[\d.]*+)?" % tuple(
    map(_start_of, (b"use", b"SET ", b"last_insert_id", b"insert_id", b"timestamp"))
)
"""Pattern of the start of `use db;` or `SET timestamp=1795429471;`, which end the header lines."""

HEADER_LINE = re.compile(rb"#( +[\w@]+: .*)?|use [^;]+;\r?|SET [^;]*timestamp=\d+;\r?", re.DOTALL)


def before_time(piece: bytes) -> tuple[bytes, bytes | None]:
    """Split off the `# Time` line at the end of a piece, which belongs to the next entry; and return that time."""
    at = piece.rfind(TIME)
    if at < 0:
        return piece, None
    time = piece[at + len(TIME) :].rstrip()
    return (piece, None) if b"\n" in time else (piece[:at], time)
