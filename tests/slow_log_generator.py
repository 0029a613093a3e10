"""A slow log with a known truth: 300 statement templates in six dialects, drawn by a Zipf law, seeded.

A template is a shape of statement over a table; a statement of it differs from another only in literals, in how
many values and rows its lists have (always two or more), and in comments.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

TABLES = (
    "orders",
    "order_items_2",
    "customers",
    "t1",
    "t2",
    "events_2026",
    "inventory",
    "sessions",
    "invoice_lines",
    "prices",
    "utf8_notes",
    "x9",
    "shipments",
    "audit_log",
    "queue_jobs",
)

SYLLABLES = ("ka", "lo", "mi", "tu", "re", "sa", "no", "vi", "pe", "do", "zu", "fi")


@dataclass
class Truth:
    """Contents of the log, counted while it is written. Times in microseconds."""

    events: int = 0
    query_time_us: int = 0
    lock_time_us: int = 0
    rows_sent: int = 0
    rows_examined: int = 0
    templates: Counter[int] = field(default_factory=Counter)


def text(r: random.Random) -> str:
    """A string literal's inside, awkward now and then."""
    word = "".join(r.choices(SYLLABLES, k=r.randint(2, 6))) + str(r.randint(0, 10**6))
    if r.random() < 0.9:
        return word
    odd = (
        "it''s ",
        "a\\'b ",
        'say "x" ',
        "-- no ",
        "/* no */ ",
        "# no ",
        "naïve ",
        "(1, 2), ",
        "back\\\\",
        "`t` ",
    )
    return r.choice(odd) + word


def quoted(r: random.Random) -> str:
    """A string literal."""
    return f"'{text(r)}'"


def number(r: random.Random) -> str:
    """A number literal: whole, decimal, with an exponent, hex in both cases."""
    kind = r.random()
    if kind < 0.85:
        return str(r.randint(0, 10 ** r.randint(1, 9)))
    if kind < 0.95:
        return f"{r.random() * 10 ** r.randint(0, 5):.{r.randint(1, 4)}f}"
    return r.choice(
        (f"{r.randint(1, 99)}e{r.randint(-9, 9)}", f"0x{r.randint(0, 2**32):x}", f"0x{r.randint(0, 2**32):X}")
    )


def value(r: random.Random) -> str:
    """A literal of any kind."""
    return number(r) if r.random() < 0.6 else quoted(r)


def item(r: random.Random) -> str:
    """A literal in a list, where a server's digest takes its sign for a part of it."""
    return f"-{r.randint(1, 10**6)}" if r.random() < 0.06 else value(r)


def several(r: random.Random, most: int, make: Callable[[random.Random], str] = item) -> str:
    """Two or more, between commas."""
    return ", ".join(make(r) for _ in range(r.randint(2, most)))


def row(r: random.Random, width: int = 5) -> str:
    """A row of literals, where NULL may stand too."""
    return "(" + ", ".join("NULL" if r.random() < 0.05 else item(r) for _ in range(width)) + ")"


SHAPES: tuple[tuple[float, Callable[[random.Random, str], str]], ...] = (
    (9, lambda r, t: f"SELECT id, name, total FROM {t} WHERE id = {number(r)}"),
    (5, lambda r, t: f"SELECT `{t}`.* FROM `{t}` WHERE `{t}`.`email` = {quoted(r)} LIMIT {r.randint(1, 9)}"),
    (4, lambda r, t: f"UPDATE {t} SET status = {quoted(r)}, seen = seen + {r.randint(1, 9)} WHERE id = {number(r)}"),
    (4, lambda r, t: f"INSERT INTO {t} (a, b, c, d, e) VALUES {row(r)}"),
    (2, lambda r, t: f"DELETE FROM {t} WHERE id = {number(r)} AND state = {quoted(r)}"),
    (3, lambda r, t: f"SELECT * FROM {t} WHERE id IN ({several(r, 30)}) ORDER BY id"),
    (2, lambda r, t: f"/* app=web trace={r.randint(0, 10**9):x} */ SELECT COUNT(*) FROM {t} WHERE created BETWEEN {quoted(r)} AND {quoted(r)}"),
    (2, lambda r, t: f"SELECT a.id, b.name\nFROM {t} a\nJOIN customers b ON b.id = a.customer_id\nWHERE a.total > {number(r)} AND b.region = {quoted(r)}\nLIMIT {r.randint(0, 99)}, {r.randint(1, 99)}"),
    (1, lambda r, t: f"SELECT id FROM {t} WHERE (a, b) IN ({several(r, 20, lambda r: row(r, 2))})"),
    (1, lambda r, t: f"SELECT id FROM {t} WHERE flags = {number(r)} AND payload = X'{r.randint(0, 2**64):016X}' AND bits = b'{r.randint(0, 255):b}'"),
    (1, lambda r, t: f"CALL refresh_{t}({several(r, 4)})"),
    (1, lambda r, t: f"REPLACE INTO {t} SET a = {value(r)}, b = {value(r)}, note = {quoted(r)}"),
    (1, lambda r, t: f"SELECT SQL_NO_CACHE x, CASE WHEN y > {number(r)} THEN {quoted(r)} ELSE {quoted(r)} END FROM {t} -- {text(r)}\nWHERE z <> {value(r)}"),
    (1, lambda r, t: f"SELECT id FROM {t} WHERE deleted_at IS NULL AND kind LIKE {quoted(r)} UNION ALL SELECT id FROM archive WHERE k = {number(r)}"),
    (1, lambda r, t: f"SELECT v123foo, 2fast FROM {t} WHERE a1 = {number(r)} AND note NOT LIKE {quoted(r)} ORDER BY v123foo LIMIT {r.randint(1, 99)} OFFSET {r.randint(0, 999)}"),
)  # fmt: skip
"""The short statements: weight, and the statement over a table."""

LONG_SHAPES: tuple[tuple[float, Callable[[random.Random, str], str]], ...] = (
    (4, lambda r, t: f"INSERT IGNORE INTO {t} (a, b, c, d, e) VALUES {several(r, 60, row)}"),
    (2, lambda r, t: f"INSERT INTO {t} (a, b, c) VALUES {several(r, 90, lambda r: row(r, 3))} ON DUPLICATE KEY UPDATE c = VALUES(c)"),
    (3, lambda r, t: f"SELECT id, a, b FROM {t} WHERE id IN ({several(r, 400, number)}) AND state <> {quoted(r)}"),
    (4, lambda r, t: f"SELECT d.name AS department, COUNT(DISTINCT o.id) AS orders, SUM(o.total * (1 - o.discount)) AS revenue,\n  AVG(DATEDIFF(o.shipped_at, o.created_at)) AS days\nFROM {t} o\n  LEFT JOIN departments d ON d.id = o.department_id\n  LEFT JOIN regions g ON g.id = d.region_id AND g.code = {quoted(r)}\nWHERE o.created_at >= {quoted(r)} AND o.created_at < {quoted(r)}\n  AND (o.total > {number(r)} OR o.flags & {r.randint(1, 9)})\n  AND EXISTS (SELECT * FROM payments p WHERE p.order_id = o.id AND p.amount > {number(r)})\nGROUP BY d.name\nHAVING revenue > {number(r)}\nORDER BY revenue DESC, department\nLIMIT {r.randint(1, 500)}"),
    (2, lambda r, t: f"WITH recent AS (SELECT customer_id, MAX(created_at) AS latest FROM {t} WHERE created_at > {quoted(r)} GROUP BY customer_id)\nSELECT c.id, c.name, r.latest FROM customers c JOIN recent r ON r.customer_id = c.id\nWHERE c.segment = {quoted(r)} AND c.score BETWEEN {number(r)} AND {number(r)}"),
)  # fmt: skip
"""The long ones: bulk inserts, long lists, analytics."""

TEMPLATES = tuple((weight, shape, table) for weight, shape in (*SHAPES, *LONG_SHAPES) for table in TABLES)
"""300 templates: 20 shapes over 15 tables."""


def statements(r: random.Random, *, mix: bool) -> Iterator[tuple[int, str]]:
    """Template and statement, without end. `mix` has the long shapes in earnest, the other log hardly."""
    order = list(range(len(TEMPLATES)))
    r.shuffle(order)
    short = len(SHAPES) * len(TABLES)
    weights = [
        TEMPLATES[n][0] / (rank + 1) ** 0.7 * (1 if n < short else 2.0 if mix else 0.002)
        for rank, n in enumerate(order)
    ]
    cumulative = list(itertools.accumulate(weights))
    while True:
        (template,) = r.choices(order, cum_weights=cumulative)
        _, shape, table = TEMPLATES[template]
        yield template, shape(r, table)


BANNER = (
    "/rdsdbbin/oscar/bin/mysqld, Version: {} started with:\n"
    "Tcp port: 3306  Unix socket: /tmp/mysql.sock\nTime                 Id Command    Argument\n"
)
DIALECTS = (
    "8.0.28 (Source distribution).",
    "5.7.12-log (MySQL Community Server (GPL)).",
    "8.0.35 (Source distribution).",
    "5.6.10-log (MySQL Community Server (GPL)).",
    "5.7.30-33-log (Percona Server (GPL)).",
    "10.11.6-MariaDB-log.",
)
EXTRA = " Thread_id: {id} Errno: 0 Killed: 0 Bytes_received: 0 Bytes_sent: {sent} Read_first: 0 Read_last: 0 Read_key: 1 Read_next: 0 Read_prev: 0 Read_rnd: 0 Read_rnd_next: {sent} Sort_merge_passes: 0 Sort_range_count: 0 Sort_rows: 0 Sort_scan_count: 0 Created_tmp_disk_tables: 0 Created_tmp_tables: 0 Start: {start} End: {end}"


def header(
    dialect: int,
    *,
    us: int,
    new_second: bool,
    user: str,
    host: str,
    id_: int,
    query_us: int,
    lock_us: int,
    sent: int,
    examined: int,
) -> str:
    """An entry's header lines in one of the six dialects."""
    zoned, plain = f"{iso(us)}Z", f"{datetime.fromtimestamp(us // 10**6, UTC):%y%m%d %k:%M:%S}"
    numbers = f"# Query_time: {query_us / 1e6:.6f}  Lock_time: {lock_us / 1e6:.6f} Rows_sent: {sent}  Rows_examined: {examined}"
    time = f"# Time: {zoned}\n" if dialect in {0, 1, 2, 4} else f"# Time: {plain}\n" if new_second else ""
    at = f"# User@Host: {user}[{user}] @ {host}"
    if dialect == 2:
        numbers += EXTRA.format(id=id_, sent=sent * 40, start=f"{iso(us - query_us)}Z", end=zoned)
    if dialect == 4:
        return f"{time}{at}  Id: {id_:5d}\n# Schema: shop  Last_errno: 0  Killed: 0\n{numbers}  Rows_affected: 0\n# Bytes_sent: {sent * 40}\n"
    if dialect == 5:
        numbers = numbers.replace(" Rows_sent", "  Rows_sent")
        return f"{time}{at}\n# Thread_id: {id_}  Schema: shop  QC_hit: No\n{numbers}\n# Rows_affected: 0  Bytes_sent: {sent * 40}\n"
    return f"{time}{at}  Id: {id_:5d}\n{numbers}\n"


def iso(us: int) -> str:
    """A time without its zone, to the microsecond."""
    return f"{datetime.fromtimestamp(us // 10**6, UTC):%Y-%m-%dT%H:%M:%S}.{us % 10**6:06d}"


def log(size: int, truth: Truth, *, seed: int = 1, mix: bool = True, block: int = 1000) -> Iterator[bytes]:
    """A log of about `size` bytes, an entry at a time; each block of entries is of the next dialect."""
    r = random.Random(seed)
    us, second, written = 1_795_000_000_000_000, 0, 0
    hosts = [f"ip-10-0-{n}-7 [10.0.{n}.7]" if n % 2 else f" [10.0.{n}.7]" for n in range(6)]
    for number_, (template, sql) in enumerate(statements(r, mix=mix)):
        if written >= size:
            return
        dialect = number_ // block % len(DIALECTS)
        query_us = int(r.lognormvariate(9, 2)) + 1
        fields = {
            "query_us": query_us,
            "lock_us": r.randint(0, 200),
            "sent": r.randint(0, 500),
            "examined": r.randint(0, 10**5),
        }
        us += r.randint(1, 20_000)
        entry = BANNER.format(DIALECTS[dialect]) if number_ % block == 0 else ""
        entry += header(
            dialect,
            us=us,
            new_second=us // 10**6 != second or number_ % block == 0,
            user=r.choice(("web", "etl_2", "bi")),
            host=r.choice(hosts),
            id_=r.randint(1, 99999),
            **fields,
        )
        entry += "use shop;\n" if number_ % block == 0 else ""
        start_us = us - query_us if dialect in {0, 2, 5} else us
        raw = f"{entry}SET timestamp={start_us // 10**6};\n{sql};\n".encode()
        if r.random() < 0.01:
            raw = raw.replace("ï".encode(), b"\xef")
        second, written = us // 10**6, written + len(raw)
        truth.events += 1
        truth.query_time_us += query_us
        truth.lock_time_us += fields["lock_us"]
        truth.rows_sent += fields["sent"]
        truth.rows_examined += fields["examined"]
        truth.templates[template] += 1
        yield raw
