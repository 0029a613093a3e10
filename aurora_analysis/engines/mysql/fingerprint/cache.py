"""The fast path for logs: each shape of a text is lexed once.

A *shape* is what a few passes of `re` make of a text: literals and runs of literals removed, all else kept. Texts of
one shape have one fingerprint; one fingerprint may have several shapes. Texts that the passes cannot handle safely
(a stray quote, a quote or a number between back-ticks) are lexed each time.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from aurora_analysis.engines.compiled import library
from aurora_analysis.engines.mysql.fingerprint.canonical import statement
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.engines.statement import Statement

if TYPE_CHECKING:
    from aurora_analysis.engines.mysql.fingerprint.shapes import Shapes


class FingerprintCache:
    """Fingerprints of a log's statements, by shape.

    It is emptied when it takes more than `SHAPES` bytes, so that a log of ever new statements cannot grow it.
    """

    SHAPES = 24 * 2**20

    def __init__(self, mode: SqlMode = DEFAULT_MODE) -> None:
        self._mode = mode
        self._known: dict[bytes, Statement] = {}
        self._marked: dict[bytes, Statement] = {}
        self._size = 0
        self._library = None if mode.ansi_quotes else library()

    def __call__(self, sql: bytes) -> Statement:
        """Return the fingerprint and digest of one statement, given as the log's bytes."""
        if self._library is not None:
            marked = self._library.shape(sql, self._mode.backslash_escapes)
            if marked is not None:
                return self.of_shape(marked)
        shape = self._shapes.shape(sql)
        known = self._known.get(shape) if shape is not None else None
        if known is None:
            text = self._shapes.shortened(sql, shape) if shape is not None else sql
            known = statement(text.decode("utf-8", "replace"), self._mode)
            self._remember(shape, known, self._known)
        return known

    @cached_property
    def _shapes(self) -> Shapes:
        """The passes in Python; with the compiled scanner, few logs need them."""
        from aurora_analysis.engines.mysql.fingerprint.shapes import Shapes

        return Shapes(self._mode)

    def of_shape(self, shape: bytes) -> Statement:
        """Return the fingerprint and digest of statements, given as the shape that the compiled scanner makes."""
        known = self._marked.get(shape)
        if known is None:
            alike = shape if _KIND_MATTERS.search(shape) else _ANY_KIND.sub(b"\x01", shape)
            known = self._marked.get(alike)
            if known is None:
                text = _MARK.sub(lambda mark: _MARKED[mark[0]], alike)
                known = statement(text.decode("utf-8", "replace"), self._mode)
                self._remember(alike, known, self._marked)
            if alike != shape:
                self._remember(shape, known, self._marked)
        return known

    def _remember(self, shape: bytes | None, known: Statement, where: dict[bytes, Statement]) -> None:
        if shape is None:
            return
        self._size += len(shape) + len(known.fingerprint) + 200
        if self._size > self.SHAPES:
            self._known.clear()
            self._marked.clear()
            self._size = 0
        where[shape] = known


_MARKED = {b"\x01": b"0", b"\x02": b"''", b"\x03": b'""', b"\x04": b",0 ", b"\x05": b"0x0", b"\x06": b"/**/"}
"""Meaning of each mark of the compiled scanner's shapes: a literal of the same kind, further values, a comment."""

_MARK = re.compile(rb"[\x01-\x06]")

_ANY_KIND = re.compile(
    rb"(?<![\w$@.`\x01-\x06\x80-\xff])(?<![eE][+-])[\x02\x03\x05](?![\w$.`\x01-\x03\x05\x06\x80-\xff])"
)
"""A mark that the lexer reads alike whether it stands for a number or a string: nothing beside it may belong to it. Half
of a log's shapes differ from another one in such marks only."""

_KIND_MATTERS = re.compile(rb"""['"]|_\w+[\s\x1c-\x1f\x80-\xff]*[\x02\x03\x05]""")
"""A quote that was copied, or what may be a charset introducer, which belongs to a string or a hexadecimal number and not to a decimal one."""
