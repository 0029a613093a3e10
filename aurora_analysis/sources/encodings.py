"""Turn UTF-16 and UTF-8 with a byte-order mark, as Windows tools write them, into plain UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from aurora_analysis.sources.compression import peek

_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def is_recoded(head: bytes) -> bool:
    """Return whether a file with these first bytes is not plain UTF-8."""
    return head.startswith(codecs.BOM_UTF8) or _utf16(head) is not None


def utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks as UTF-8 without a byte-order mark; bytes in another encoding stay as they are."""
    head, chunks = peek(chunks, 64)
    encoding = _utf16(head)
    if encoding is None:
        return _without_mark(chunks) if head.startswith(codecs.BOM_UTF8) else chunks
    return _without_mark(_recoded(chunks, encoding))


def _utf16(head: bytes) -> str | None:
    """Return the UTF-16 variant of a text, from its mark or from the zero bytes of its ASCII letters."""
    for mark, encoding in _UTF16.items():
        if head.startswith(mark):
            return encoding
    even, odd = head[0:64:2], head[1:64:2]
    if len(head) >= 8 and not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if len(head) >= 8 and not any(even) and all(odd) else None


def _recoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def _without_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Drop the marks at the start of lines: a file that was joined from several has one of each."""
    held, is_first = b"", True
    for chunk in peek(chunks, len(codecs.BOM_UTF8))[1]:
        text = held + chunk
        text = text.removeprefix(codecs.BOM_UTF8) if is_first else text
        text, is_first = text.replace(b"\n" + codecs.BOM_UTF8, b"\n"), False
        last = text.rfind(b"\n", max(0, len(text) - len(codecs.BOM_UTF8)))
        held = text[last:] if last >= 0 else b""
        yield text[: len(text) - len(held)]
    yield held
