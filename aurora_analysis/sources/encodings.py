"""Turn UTF-16, UTF-32 and UTF-8 with a byte-order mark, as Windows tools write them, into plain UTF-8."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

from aurora_analysis.sources.compression import Refused, peek

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

_MARKED = re.compile(rb"\s*" + codecs.BOM_UTF8)


def is_recoded(head: bytes) -> bool:
    """Return whether a file with these first bytes is not plain UTF-8."""
    return _MARKED.match(head) is not None or _wide(head) is not None


def utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks as UTF-8 without a byte-order mark; bytes in another encoding stay as they are."""
    head, chunks = peek(chunks, 64)
    encoding = _wide(head)
    if encoding is not None:
        chunks = _without_mark(_recoded(chunks, encoding))
    elif _MARKED.match(head):
        chunks = _without_mark(chunks)
    return _with_text(uniform(chunks))


def _with_text(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks; refuse a file of zero bytes, which would pass for an empty log."""
    size, is_blank = 0, True
    for chunk in chunks:
        size += len(chunk)
        is_blank = is_blank and not chunk.strip(b"\0")
        yield chunk
    if size and is_blank:
        raise Refused("has nothing but zero bytes: its text was not written or not copied. Get the log again")


_FOREIGN = {
    b"#\0 \0U\0s\0e\0r\0@\0H\0o\0s\0t\0": "is UTF-8 first and UTF-16 at byte {at}",
    b";\n\x1f\x8b\x08": "is plain first and gzipped at byte {at}",
}
"""Text of a file that was appended in another form."""


def uniform(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks; refuse a file with parts in different forms, as `>>` and `cat` make them."""
    at, before = 0, b""
    for chunk in _with_line_starts(chunks):
        if b"\0" in chunk:
            text = before + chunk
            for foreign, form in _FOREIGN.items():
                if (found := text.find(foreign)) >= 0:
                    place = f"{at - len(before) + found:,}"
                    raise Refused(f"{form.format(at=place)}: read the parts as files of their own")
        yield chunk
        at, before = at + len(chunk), _end(before, chunk)


_GLUED = b"\0# User@Host: "


def _with_line_starts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks with a line end before a header that stands directly behind zero bytes.

    A truncated file is filled up with zero bytes. The last of them becomes the line end, so that sizes stay true.
    """
    held = b""
    for chunk in chunks:
        text = held + chunk
        if b"\0" in text:
            text = text.replace(_GLUED, b"\n" + _GLUED[1:])
        size = next((n for n in range(len(_GLUED) - 1, 0, -1) if text.endswith(_GLUED[:n])), 0)
        held = text[len(text) - size :]
        if text := text[: len(text) - size]:
            yield text
    if held:
        yield held


def _end(before: bytes, chunk: bytes, size: int = 32) -> bytes:
    """Return the last bytes of two chunks."""
    return chunk[-size:] if len(chunk) >= size else (before + chunk)[-size:]


def _wide(head: bytes) -> str | None:
    """Return the UTF-16 or UTF-32 variant of a text, from its mark or from the zero bytes of its ASCII letters."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            # UTF-16's mark and the zero bytes of a truncated file look like UTF-32's mark.
            is_utf16 = encoding == "utf-32-le" and not any(head[4:64])
            return "utf-16-le" if is_utf16 else encoding
    if len(head) >= 8 and head[0] and not any(head[1:4]) and head[4] and not any(head[5:8]):
        return "utf-32-le"
    if len(head) >= 8 and head[3] and not any(head[0:3]) and head[7] and not any(head[4:7]):
        return "utf-32-be"
    even, odd = head[0:64:2], head[1:64:2]
    if len(head) >= 8 and not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if len(head) >= 8 and not any(even) and all(odd) else None


_SWAPPED = "# User@Host".encode("utf-16-be").decode("utf-16-le")
"""A header in the other byte order, or one byte further than the text before."""


def _recoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the chunks as UTF-8; a character that the file's end cuts becomes U+FFFD."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    at, before, last = 0, b"", ""
    for chunk in chunks:
        if (found := (before + chunk).find(b"# User@Host: ")) >= 0:
            place = f"{at - len(before) + found:,}"
            raise Refused(
                f"is {encoding[:6].upper()} first and UTF-8 at byte {place}: read the parts as files of their own"
            )
        text = decoder.decode(chunk)
        if (found := (last + text).find(_SWAPPED)) >= 0:
            place = f"{at + 2 * (found - len(last)):,}"
            raise Refused(
                f"is {encoding[:6].upper()} that lacks a byte, or changes its byte order, before byte {place}: "
                "read the parts as files of their own"
            )
        yield text.encode("utf-8", "replace")
        at, before, last = at + len(chunk), _end(before, chunk), (last + text)[-len(_SWAPPED) :]
    yield decoder.decode(b"", final=True).encode()


_FIRST_MARKS = re.compile(rb"\A\s*(?:" + codecs.BOM_UTF8 + rb")+")
_LATER_MARKS = re.compile(rb"\n(?:" + codecs.BOM_UTF8 + rb")+")


def _without_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Drop the marks at the start of lines: a file that was joined from several has one of each."""
    held, is_first = b"", True
    for chunk in peek(chunks, 64)[1]:
        text = held + chunk
        text = _FIRST_MARKS.sub(b"", text) if is_first else text
        text, is_first = _LATER_MARKS.sub(b"\n", text), False
        last = text.rfind(b"\n", max(0, len(text) - 3 * len(codecs.BOM_UTF8)))
        held = text[last:] if last >= 0 else b""
        yield text[: len(text) - len(held)]
    yield held
