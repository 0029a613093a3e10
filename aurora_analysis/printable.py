"""Texts of logs, servers and settings, made safe to print: no character of theirs acts on a terminal.

Escape sequences, control characters and marks that reverse the direction of text can hide or forge output. Everything
that is not printable is replaced, in one place.
"""

from __future__ import annotations

import json
import re

REPLACEMENT = "\ufffd"


def printable(text: object, keep: str = "") -> str:
    r"""Replace the characters of a text that a terminal would act on, except those to keep.

    >>> printable("a\x1b[31mb\n", keep="\n").replace(REPLACEMENT, "?")
    'a?[31mb\n'
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(one if one.isprintable() or one in keep else REPLACEMENT for one in plain)


def json_line(value: object) -> str:
    r"""Return a value as one line of JSON, with characters that are not printable as escapes.

    >>> json_line({"user": "b\xfcro\x9b"})
    '{"user": "b\xfcro\\u009b"}'
    """
    return escaped(json.dumps(value, ensure_ascii=False))


def compact_json_line(value: object) -> str:
    """Return a value as one line of JSON without blanks between its parts, for output with a document per line."""
    return escaped(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def escaped(text: str) -> str:
    """Return JSON with its characters that are not printable as escapes."""
    return text if text.isprintable() else _ODD.sub(_escaped, text)


_ODD = re.compile(r"[^\x20-\x7e]")


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]
