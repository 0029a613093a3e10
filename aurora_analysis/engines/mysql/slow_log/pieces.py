"""Chunks of bytes → the texts of whole entries, whatever the size of the chunks."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from aurora_analysis.engines.log_events import MARKER, Account
from aurora_analysis.engines.mysql.fingerprint import open_quote, quotes_are_closed
from aurora_analysis.engines.mysql.slow_log.grammar import (
    BANNER,
    HEADER_LINE,
    ONE_LINE,
    SEPARATOR,
    before_time,
    header,
)
from aurora_analysis.engines.sql_mode import SqlMode

LONGEST_TEXT = 8 * 2**20
"""Longest statement [bytes]; of a longer one its first MiB is kept. It bounds what a broken log makes us hold."""

LONGEST_QUOTE = 16
"""A quote still open after this many headers, or after LONGEST_TEXT, was cut: then the headers are headers."""


def pieces(chunks: Iterable[bytes], account: Account) -> Iterator[bytes]:
    """Yield what precedes the first header, then each entry, from its user on, with LF line ends."""
    pending, started, has_cr = b"\n", False, False
    for chunk in chunks:
        account.bytes += len(chunk)
        has_cr = has_cr or b"\r" in chunk
        *whole, last = _split(pending + chunk, account)
        yield from map(_lf, whole[started:]) if has_cr else whole[started:]
        started = started or bool(whole)
        pending = _bounded(SEPARATOR + last if started else last, account)
    *whole, last = _split(pending + b"\n", account)
    yield from map(_lf, [*whole, last][started:])


def hard_pieces(
    chunks: Iterable[bytes], account: Account, queue: deque[bytes], plain: Callable[[bytes, int], int]
) -> Iterator[bytes]:
    """Yield what `pieces` yields, except for the entries that a compiled scanner takes.

    Parameters
    ----------
    chunks : iterable of bytes
        The log, in chunks of any size.
    account : Account
        Filled while the log is read.
    queue : deque of bytes
        Pieces that are not known to be whole entries yet; while there are any, the next piece may belong to them.
    plain : callable
        Takes entries of a text from a position on, and returns the position of the first that it did not take.
    """
    pending, started = b"\n", False
    for chunk in chunks:
        account.bytes += len(chunk)
        text = pending + chunk
        at = 0 if started else text.find(SEPARATOR)
        if at >= 0:
            if not started:
                yield from map(_lf, _split_lines(text[:at], account))
            started, at = True, at + len(SEPARATOR)
            while (end := text.find(SEPARATOR, at := at if queue else plain(text, at))) >= 0:
                yield from map(_lf, _split_lines(SEPARATOR + text[at:end], account)[1:])
                at = end + len(SEPARATOR)
            text = SEPARATOR + text[at:]
        if not started or MARKER in text or b" # User@Host: " in text:
            *whole, last = _split(text, account)
            yield from map(_lf, whole[started:])
            started = started or bool(whole)
            text = SEPARATOR + last if started else last
        pending = _bounded(text, account)
    *whole, last = _split(pending + b"\n", account)
    yield from map(_lf, [*whole, last][started:])


def _split_lines(text: bytes, account: Account) -> list[bytes]:
    """Split a text whose last line is complete."""
    *whole, last = _split(text + b"\n", account)
    return [*whole, last[:-1]]


def _split(text: bytes, account: Account) -> list[bytes]:
    text = ONE_LINE.sub(rb"\1\n", text) if b" # User@Host: " in text else text
    return _repaired(text, account).split(SEPARATOR)


def _lf(piece: bytes) -> bytes:
    """Return an entry with LF in place of CRLF if its header lines end in CRLF; a literal may hold either."""
    if b"\r" not in piece:
        return piece
    first = piece.find(b"\n", 1)
    is_crlf = piece[first - 1 : first] == b"\r" or b" started with:\r\n" in piece
    return _CRLF.sub(b"\n", piece).removesuffix(b"\r") if is_crlf else piece


_CRLF = re.compile(rb"\r+\n")
"""A line end of Windows; a program that writes CRLF in text mode doubles its CR."""


def _mended(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces with plain ends: the semicolon, or a line end and the next entry's time.

    Zero bytes come from a crash or a file that was truncated while the server wrote it, a mark and a CR from files and
    messages that were joined on Windows, blanks from a terminal. A time directly behind a text shows that the text was
    cut.
    """
    return (piece if before_time(piece)[0][-1:] == b";" else with_plain_end(piece) for piece in pieces)


def with_plain_end(piece: bytes) -> bytes:
    """Return a piece whose text ends at its semicolon, and whose `# Time` begins its line."""
    at = piece.rfind(b"# Time: ")
    time = piece[at:] if at >= 0 and _TIME_LINE.match(piece, at) else b""
    text = piece.removesuffix(time)
    kept = text.rstrip(JUNK)
    text = kept if kept.endswith(b";") else text
    if piece[: piece.find(b"\n")].endswith((b" ", b"\t")):
        text = _BLANKS.sub(b"\n", text)
    return text + b"\n" * (time != b"" and text[-1:] != b"\n") + time


JUNK = b" \t\r\n\v\f\0\xef\xbb\xbf"
"""Bytes that stand between entries and belong to none."""

_BLANKS = re.compile(rb"[ \t]++\n")
_TIME_LINE = re.compile(rb"# Time: \d[\d-]{5,9}[T ][^\n;]{5,24}\s*\Z")


def _bounded(pending: bytes, account: Account) -> bytes:
    """Return the incomplete entry; one longer than LONGEST_TEXT is cut, with the marker.

    Zero bytes are no text: a truncated file may have millions.
    """
    if len(pending) > LONGEST_TEXT:
        pending = _ZEROS.sub(b"\0", pending)
    if len(pending) <= LONGEST_TEXT:
        return pending
    start, end = pending[: 2**20], pending[-len(SEPARATOR) :]
    account.lost_bytes += len(pending) - len(start) - len(MARKER) - len(end)
    return start + MARKER + end


_ZEROS = re.compile(rb"\0{2,}+")


def _repaired(text: bytes, account: Account) -> bytes:
    """Remove the markers inside header lines, which are complete without them."""
    if MARKER not in text:
        return text
    *lines, last = text.split(b"\n")
    return b"\n".join([*(_repaired_line(line, account) for line in lines), last])


def _repaired_line(line: bytes, account: Account) -> bytes:
    if MARKER not in line:
        return line
    without = line.replace(MARKER, b"")
    if not HEADER_LINE.fullmatch(without):
        return line
    account.repaired += 1
    return without


def whole_entries(
    found: Iterable[bytes], account: Account, mode: SqlMode, queue: deque[bytes]
) -> Iterator[tuple[bytes, bytes | None, bool]]:
    """Yield each entry's text, the time of the next, and whether a quote may be open at the text's end.

    A header inside a quote does not end an entry.

    Pieces that are not known to be whole entries yet wait in `queue`.
    """
    for piece in _mended(found):
        text, time = before_time(piece)
        odd = text.count(b"'") & 1 or text.count(b'"') & 1
        if not queue and text[-1:] == b";" and not (odd and (_is_odd(text, b"'") or _is_odd(text, b'"'))):
            yield text, time, False
            continue
        queue.append(piece)
        while queue and (length := _length(queue, mode)):
            yield _taken(queue, length, account)
    while queue:
        yield _taken(queue, _length(queue, mode) or 1, account)


def _is_odd(text: bytes, quote: bytes) -> bool:
    """Return whether a quote may be open: their number is odd, and that of escaped ones is even."""
    return text.count(quote) & 1 == 1 and text.count(b"\\" + quote) & 1 == 0


def _taken(queue: deque[bytes], length: int, account: Account) -> tuple[bytes, bytes | None, bool]:
    account.quoted += length - 1
    return *before_time(SEPARATOR.join([queue.popleft() for _ in range(length)])), True


def _length(queue: deque[bytes], mode: SqlMode) -> int:
    """Return how many pieces form the entry at the head of the queue; 0 if one more is needed.

    A piece that begins with complete header lines is an entry of its own, even if a quote is open before it: that
    quote was cut. The exception is a text that quotes a log: see `_quotes_a_log`.
    """
    if MARKER in queue[0] or len(queue) > LONGEST_QUOTE or sum(map(len, queue)) > LONGEST_TEXT:
        return 1
    pieces_, text, is_believed = list(queue), b"", False
    for length, piece in enumerate(pieces_, 1):
        text = text + SEPARATOR + piece if text else piece
        is_believed = is_believed or (length > 1 and header(piece) is not None)
        if is_believed:
            if _quotes_a_log(piece, mode) and _ended_by_semicolon(text) and quotes_are_closed(text, mode):
                return length
            continue
        ended = _ended_by_semicolon(text) or (length < len(queue) and header(pieces_[length]))
        if ended and quotes_are_closed(text, mode):
            return length
    return 0


def _quotes_a_log(piece: bytes, mode: SqlMode) -> bool:
    """Return whether a piece may end a quoted log: a quote closes behind the last entry that it quotes.

    Seen by itself, such a piece opens that quote, right behind a semicolon. An entry that was cut opens its quote
    within a statement.
    """
    opened = open_quote(before_time(piece)[0], mode)
    return opened is not None and piece[:opened].rstrip().endswith(b";")


def _ended_by_semicolon(text: bytes) -> bool:
    return BANNER.sub(b"", before_time(text)[0]).rstrip(b"\n").endswith(b";")
