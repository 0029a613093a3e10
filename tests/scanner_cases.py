"""Random statements and broken logs, and what each of the two scanners makes of them."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from aurora_analysis.engines import compiled
from aurora_analysis.engines.log_events import MARKER, Account, record
from aurora_analysis.engines.log_tables import Batch, Layout
from aurora_analysis.engines.mysql import slow_log
from aurora_analysis.engines.sql_mode import DEFAULT_MODE, SqlMode
from aurora_analysis.printable import compact_json_line
from aurora_analysis.sources import profile
from aurora_analysis.sources.selection import ALL, Selection, selected

GALLERY = [path.read_bytes() for path in sorted((Path(__file__).parent / "slow_logs").glob("*.log"))]

FRAGMENTS = [
    'select ', 'SELECT', 'a', 't1', 'b.c', '=', '+', '-', '--', '-- ', '- -', '*', '/', '/*', '*/', '/*c*/',
    "/*'*/", '/* it */', '#', '# c\n', '-- x\n', '\n', '\t', ' ', '  ', ',', ', ', '(', ')', '),(', '(1)',
    '(1,2)', "(1, 'a')", ',(3,4)', 'in', 'in ', 'IN (', 'in (1,2)', 'values', 'VALUES ', 'values (',
    'value ', 'row', 'row(1,2)', ',row(3,4)', 'NULL', 'null', 'is null', 'not null', '1', '2.5', '-3', '+4',
    '.5', '1.', '1.5e3', '1e', '1e+', '1e+5', '0x1F', '0X1f', '0b01', '0xg', '123foo', '1.5.6', '..', '...',
    "'a'", "'it''s'", "'a\\'b'", '"d"', '"d""e"', "''", "'\\\\'", "N'x'", "n'x'", "x'41'", "b'01'", '_utf8',
    "_utf8mb4'x'", '_utf8 ', '_latin1 0x41', "_binary'ab'", '`n`', '`a b`', '`a``b`', '`values`', '`in`',
    '@v', '@', '@@', "@'q'", '@`q`', '@"q"', '$', 'a$b', '$$', 'é', '–', '\xa0', '٣', '?', '?, ?', ':=',
    '<=>', '->>', '||', '&&', '!=', '<>', 'set ', 'limit ', 'limit 5, 10', 'and ', 'now()', '(now(), 1)',
    ',(now(), 2)', '(default)', '(a+1)', ',(a+2)', '((1,2),(3,4))', '(-1,2)', '( 1 , 2 )', '(null,1)', ';',
    '\\', "\\'", '%', '{', '}', '[', '~', '^', '!', '/*!40001 x*/', '/*+ h */', 'call p(1,2)', 'use db',
    '\x7f', '\x01', 'union ', 'select 1', 'case when ', 'then ', 'end', 'x', 'N', 'X', 'b', '_', 'e5', "'x",
    '"y', '`z',
]  # fmt: skip
"""What statements are put together from: every kind of token, and halves of some."""


VALUES = [
    "1",
    "23",
    "4567890",
    "2.5",
    "-3",
    "NULL",
    "'a'",
    "'it''s'",
    "'long enough for two blocks (of, the) list'",
    "''",
    "'longer than a whole block, so that a block (of, the) list, such as the one with -1.5, NULL, is inside'",
    "7" * 70 + "." + "8" * 70,
]
"""Values of plain lists."""

ODD_VALUES = [
    "0x1F", "1e5", "1.5e-3", "5.", ".5", "1.2.3", "- 4", "--1", "+6", "null", "nulls", "NULL1", "'a\\'b'", "'c' 'd'", "'e'5",
    "6'f'", '"g"', "N'h'", "7a", "a1", "now()", "(1, 2)", "(3)", "", " ", "8 ", "9\n", "'x", "é", "-NULL", ".", "1..2", "'\\','",
    "-'l'", "- 'm'", "NULLNULL", "'k'NULL", "1." + "2" * 70 + ".3",
]  # fmt: skip
"""What may stand in their place."""


def listed(r: random.Random) -> str:
    """A list or rows of values, longer than the blocks in which the scanner reads them, with an odd part at times."""
    odd = r.choice((0.0, 0.02, 0.2))

    def values(most: int) -> str:
        chosen = [r.choice(ODD_VALUES if r.random() < odd else VALUES) for _ in range(r.randint(1, most))]
        return "".join(f"{value}{r.choice(commas)}" for value in chosen[:-1]) + chosen[-1]

    commas = [",", ", "] if r.random() < 0.8 else [", ", " ,", ",  ", ",\n", " "]
    if r.random() < 0.3:
        return f"in ({values(60)})"
    most, odd_ends = r.choice((1, 3, 12)), [") , (", "),(1", "),\n(", "), row(", ")(", "),", "),((", ")),(("]
    text = r.choice(("values (", "values(", "in ((", "(", "values row("))
    for _ in range(r.randint(1, 25)):
        text += values(most) + (r.choice(odd_ends) if r.random() < odd / 4 else r.choice(("),(", "), (")))
    return text + values(most) + r.choice((")", "))", ") on duplicate key update a = 1", ""))


def statement(r: random.Random) -> bytes:
    """A statement of random fragments, sometimes with bytes that are not UTF-8; no line of it looks like a header."""
    fragments = r.choices(FRAGMENTS, k=r.randint(1, 14))
    if r.random() < 0.2:
        fragments[r.randrange(len(fragments))] = listed(r)
    text = "".join(fragments).replace("\n# ", "\n#")
    found = r.choice(("", "select ")).encode() + text.encode()
    return found if r.random() < 0.9 else found.replace(b"\xc3", b"\xe2\x82")


def entry(user: bytes, sql: bytes) -> bytes:
    """An entry, from its separator on."""
    head = b"\n# User@Host: %s[u] @ h [1]  Id: 1\n# Query_time: 0.000001  Lock_time: 0.0 Rows_sent: 0  Rows_examined: 0\n"
    return head % user + sql + b";"


USE = re.compile(rb"use [^;\n]*;\s*\n", re.IGNORECASE)


def shapes(statements: Sequence[bytes], mode: SqlMode) -> dict[int, bytes]:
    """The shape of each statement that the compiled scanner takes, by its place.

    A text that begins like the server's own line `use db;` is left out: it becomes that line of its entry.
    """
    library, separator = compiled.library(), b"\n# User@Host: "
    scanner = library.Scanner(mode.backslash_escapes, 10**6)
    plain = [(n, sql) for n, sql in enumerate(statements) if not USE.match(sql)]
    text = b"".join(entry(b"u%d" % n, sql) for n, sql in plain) + separator
    at, reason, found = len(separator), library.NEW_SHAPE, []
    while reason != library.ENDED:
        at, reason, _ = scanner.scan(text, at)
        if reason == library.NEW_SHAPE:
            found.append(scanner.shape())
            scanner.learn(len(found) - 1)
        elif reason == library.HARD:
            at = text.index(separator, at) + len(separator)
    return {int(user[1:]): found[row] for row, user, _, _ in scanner.take()[1]}


def both(text: bytes, size: int, mode: SqlMode = DEFAULT_MODE) -> tuple[str, str]:
    """The profile of a log in chunks of `size` bytes, by the compiled scanner and by Python alone."""
    found = []
    for is_pure in ("0", "1"):
        with mock.patch.dict(os.environ, {compiled.PURE: is_pure}):
            compiled.library.cache_clear()
            chunks = (text[at : at + size] for at in range(0, len(text), size))
            found.append(json.dumps(profile.summary(profile.profile_log(chunks, mode=mode))))
    compiled.library.cache_clear()
    return found[0], found[1]


def both_tables(text: bytes, size: int, mode: SqlMode = DEFAULT_MODE, batch: int = 50) -> list[tuple]:
    """The account and the tables' rows of a log in chunks of `size` bytes, by the compiled scanner and by Python."""
    found = []
    for write in (_compiled_batches, _python_batches):
        chunks = [text[at : at + size] for at in range(0, len(text), size)]
        batches, account = write(chunks, mode, batch)
        found.append((account, _rows(batches), _statements(batches)))
    return found


def both_lines(
    text: bytes, size: int, mode: SqlMode = DEFAULT_MODE, selection: Selection = ALL
) -> list[tuple[Account, list[str]]]:
    """The account and the lines of `digest --format jsonl`, by the compiled scanner and by Python."""
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    lines, account, other = [], Account(), Account()
    slow_log.write_lines(chunks, account, lines.extend, selection.includes, mode=mode)
    entries = selected(slow_log.entries(chunks, other, mode), selection, slow_log.ended)
    return [
        (account, lines),
        (other, [compact_json_line(record(event)) for event in slow_log.events(entries, mode)]),
    ]


def _compiled_batches(chunks: list[bytes], mode: SqlMode, batch: int) -> tuple[list[Batch], Account]:
    account, batches = Account(), []
    slow_log.write_batches(chunks, account, batches.append, instance="i", batch=batch, mode=mode)
    return batches, account


def _python_batches(chunks: list[bytes], mode: SqlMode, batch: int) -> tuple[list[Batch], Account]:
    account = Account()
    entries = slow_log.entries(chunks, account, mode)
    return list(slow_log.batches(entries, account, Layout("i", batch), mode=mode)), account


def _rows(batches: list[Batch]) -> list[tuple]:
    """Every row of `slow_queries`, in the order of the log."""
    return [
        row
        for each in batches
        for row in zip(*(each.slow_queries[name] for name in sorted(each.slow_queries)))
    ]


def _statements(batches: list[Batch]) -> dict[tuple, tuple[int, int]]:
    """When each statement was first and last seen, whatever the batches."""
    found: dict[tuple, tuple[int, int]] = {}
    for each in batches:
        for *names, first, last in zip(*each.statements.values()):
            known = found.setdefault(tuple(names), (first, last))
            found[tuple(names)] = min(known[0], first), max(known[1], last)
    return found


def broken(r: random.Random, gallery: Sequence[bytes] = GALLERY) -> bytes:
    """Damage a log of the gallery: change, remove, repeat or insert some bytes, or insert a marker."""
    text = bytearray(restarted(r) if r.random() < 0.2 else r.choice(gallery))
    for _ in range(r.randint(1, 6)):
        a, b = sorted(r.randrange(len(text) + 1) for _ in range(2))
        b = min(b, a + r.choice((1, 4, 60, 2000)))
        damage = r.randrange(6)
        if damage == 0:
            text[a:b] = r.randbytes(b - a)
        elif damage == 1:
            del text[a:b]
        elif damage == 2:
            text[a:a] = MARKER
        elif damage == 3:
            text[a:a] = r.choice((b"'", b'"', b"`", b"/*", b"*/", b"\\", b"\n# Time: ", b"\n# User@Host: ", b";\n", b"\x00", b"\r\n"))  # fmt: skip
        elif damage == 4:
            text[a:a] = text[a:b]
        else:
            other = r.choice(gallery)
            text[a:b] = other[len(other) // 3 : len(other) // 3 + r.randrange(500)]
        text = text or bytearray(b"#")
    return bytes(text)


BANNER = (
    b"/usr/sbin/mysqld, Version: 8.0.28 (Source distribution). started with:\n"
    b"Tcp port: 3306  Unix socket: /tmp/mysql.sock\nTime                 Id Command    Argument"
)
ODD_BANNERS = [
    BANNER + b" ",
    BANNER + b"\n",
    b"\n" + BANNER,
    BANNER + b"\n" + BANNER,
    BANNER.replace(b"/tmp", b"'/tmp"),
    BANNER.replace(b"Version", b"version"),
    BANNER.replace(b"\nTime", b"\n\nTime"),
    BANNER.replace(b"\nTcp", b"\r\nTcp"),
    BANNER.replace(b" Id", b" It"),
    BANNER.replace(b"started with:", b"/* started with:"),
    BANNER.replace(b"started with:\n", b"started with: \n"),
]


def restarted(r: random.Random) -> bytes:
    """A log with banners, sessions and clocks that change: times with and without a zone, zones, own timestamps."""
    second, zone, is_zoned, text = 1_795_000_000, r.choice((0, 0, 19800, -34200)), r.random() < 0.5, b""
    for n in range(r.randint(2, 12)):
        second += r.choice((0, 0, 0, 1, 2, 30, 100_000))
        at = datetime.fromtimestamp(second + zone, UTC)
        if r.random() < 0.2:
            text += (BANNER if r.random() < 0.6 else r.choice(ODD_BANNERS)) + b"\n"
            is_zoned = r.random() < 0.3
            zone += r.choice((0, 0, 900, 3600, -3600, 7200, 10**5))
        if is_zoned or r.random() < 0.6:
            text += (
                f"# Time: {at:%Y-%m-%dT%H:%M:%S}.5Z\n" if is_zoned else f"# Time: {at:%y%m%d %k:%M:%S}\n"
            ).encode()
        query = r.choice((0.0, 0.5, 1.0, 898.0, 899.5, 2.000001, 3600.0, 54001.0))
        off = r.choice(
            (0, 0, 0, 0, -1, 1, 2, -int(query), 450, 899, 901, 3601, -900, 54000, -54001, 54002, 10**9)
        )
        text += (
            f"# User@Host: u[u] @ h [1]  Id: {r.choice((1, 1, 2))}{r.choice(('', '', '', ' '))}\n".encode()
        )
        text += f"# Query_time: {query:.6f}  Lock_time: 0.000001 Rows_sent: 1  Rows_examined: 2\n".encode()
        text += r.choice((b"", b"", b"use shop;\n"))
        text += f"SET timestamp={second + off};\n".encode() if r.random() < 0.8 else b""
        text += r.choice(
            (b"SELECT %d;\n" % n, b"SELECT 'a', %d -- c;\n" % n, b"SELECT '%d;\n" % n, b"SELECT %d\n" % n)
        ) if r.random() < 0.3 else b"SELECT a FROM t;\n"  # fmt: skip
    return text


def cut_up(r: random.Random, text: bytes) -> Iterator[bytes]:
    """Split the text into chunks of a random size."""
    size = r.choice((7, 100, 10**6))
    return (text[at : at + size] for at in range(0, len(text), size))
