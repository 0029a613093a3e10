"""Take a slow log out of a document that quotes it in code blocks, as Markdown does; refuse one without its line ends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from aurora_analysis.engines.log_events import MARKER
from aurora_analysis.sources.compression import Refused

FENCE = re.compile(rb"^((?:>[ \t]?)*[ \t]*)(`{3,}|~{3,})[^\n`]*\n", re.MULTILINE)
"""The line that opens a code block (CommonMark, "Fenced code blocks"), within a quotation at times."""

_HEADER = re.compile(rb"# (?:Time: \d|User@Host: |Query_time: \d)")
_FIGURES = re.compile(rb"# Query_time: \d")
_ONE_LINE = re.compile(rb"# User@Host: (?:(?!# Query_time: )[^\n])*(# Query_time: \d)")


def has_blocks(head: bytes) -> bool:
    r"""Return whether a log's start is that of a document: a code block begins before the first header.

    >>> has_blocks(b"The log:\n```\n# User@Host: web[web] @ h []\n# Query_time: 1")
    True
    """
    header = _HEADER.search(head)
    fence = FENCE.search(head)
    return header is not None and fence is not None and fence.start() < header.start()


def from_blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what code blocks hold that begin with an entry or banner, given a document's lines.

    A block that ends within a statement gets the marker.

    Raises
    ------
    Refused
        If an entry stands elsewhere.
    """
    opened: re.Match[bytes] | None = None
    last, at = b"", 0
    for line in lines:
        if opened is None:
            opened, last = FENCE.match(line), b""
        elif _closes(line, opened):
            yield MARKER + b"\n" if last and not last.endswith(b";") else b""
            opened = None
        else:
            text = line.removeprefix(opened[1])
            if last or _START.match(text):
                yield text
                last = text.rstrip() or last
        if not last and _HEADER.search(line):
            raise Refused(
                f"has an entry outside its code blocks, at byte {at}: save the entries as a file of their own"
            )
        at += len(line)


_START = re.compile(rb"# (?:Time: \d|User@Host: )|[^\n]*, Version: [^\n]*started with:")


def _closes(line: bytes, opened: re.Match[bytes]) -> bool:
    """Return whether a line closes a code block: it has nothing but its fence, which may be longer."""
    fence = line.removeprefix(opened[1]).strip()
    return len(fence) >= len(opened[2]) and not fence.strip(opened[2][:1])


def quoted_printable(head: bytes) -> str | None:
    """Return why a log cannot be read that an e-mail encoded: each '=' became '=3D', and long lines were broken."""
    found = _QUOTED_PRINTABLE.search(head)
    if found is None:
        return None
    return f"is encoded for an e-mail (quoted-printable, at byte {found.start()}): save the attachment, and read that"


_QUOTED_PRINTABLE = re.compile(rb"(?<=\nSET timestamp)=3D\d{10};")


def lost_line_ends(head: bytes) -> str | None:
    """Return why a log cannot be read whose headers stand in one line each: its statements' ends cannot be seen."""
    found = _ONE_LINE.search(head)
    if found is None or len(_ONE_LINE.findall(head)) < len(_FIGURES.findall(head)):
        return None
    return (
        f"has lost its line ends: at byte {found.start(1)}, '# Query_time: ' stands in the line of '# User@Host: '. "
        "Download or export the log again as a file"
    )
