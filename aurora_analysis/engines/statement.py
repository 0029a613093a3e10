"""A statement's fingerprint and the digest that names it, the same for every engine."""

from __future__ import annotations

import re
from typing import NamedTuple

try:
    from _blake2 import blake2b  # hashlib's own; hashlib would load OpenSSL, too, which takes 3 ms
except ImportError:
    from hashlib import blake2b


class Statement(NamedTuple):
    """A fingerprint and its digest. `whole` is False if the text's quotes do not balance, because it was cut."""

    digest: str
    fingerprint: str
    whole: bool


def named(fingerprint: str, *, whole: bool = True) -> Statement:
    """Return the statement with this fingerprint, and its digest."""
    return Statement(digest(fingerprint), fingerprint, whole)


def digest(fingerprint: str) -> str:
    """Return the 16 hex digits that name a fingerprint: its BLAKE2b hash (RFC 7693) of 8 bytes.

    >>> digest("select ?")
    'b9a4c90ce4157373'
    """
    return blake2b(fingerprint.encode(), digest_size=8).hexdigest()


def kind(fingerprint: str) -> str:
    """Return a fingerprint's first word, such as select, insert or call; empty if it has none.

    >>> kind("insert into t values(?+)")
    'insert'
    """
    word = re.search(r"\w+", fingerprint)
    return word[0] if word else ""
