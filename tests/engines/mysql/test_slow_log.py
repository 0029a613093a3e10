"""The slow log: every dialect read, every byte accounted for."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from aurora_analysis.engines import log_tables
from aurora_analysis.engines.mysql import slow_log
from aurora_analysis.engines.mysql.slow_log import MARKER, Account, Layout, grammar
from aurora_analysis.tables import TABLES

SLOW_LOGS = Path(__file__).parents[2] / "slow_logs"
GALLERY = sorted(SLOW_LOGS.glob("*.log"))
QUOTED = {"headers_in_texts": 3, "mysql_5_6": 1, "mysql_9": 1, "mariadb_11_8": 1}
"""How many headers each gallery file has inside a text."""

BANNER = re.compile(rb"[^\n]* started with:\r?\n[^\n]*\n[^\n]*Argument\r?\n")

each_dialect = pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)


def read(text: bytes, size: int = 10**9) -> tuple[list[slow_log.Event], Account]:
    """The events of a log that comes in chunks of `size` bytes, and its account."""
    account = Account()
    chunks = (text[at : at + size] for at in range(0, len(text), size))
    return list(slow_log.events(slow_log.entries(chunks, account))), account


def true_events(path: Path) -> int:
    """How many executions the gallery's file holds."""
    return len(path.with_suffix(".jsonl").read_text().splitlines())


@each_dialect
def test_every_dialect_is_read_as_expected(path):
    """Each captured oddity has the expected times, user, database, figures, fingerprint, text."""
    events, account = read(path.read_bytes())
    expected = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    assert [slow_log.record(event, with_sql=True) for event in events] == expected
    assert account.bytes == path.stat().st_size
    cut = sum(one.get("cut", False) for one in expected)
    assert (account.events, account.cut, account.lost, account.repaired) == (len(expected), cut, 0, 0)
    assert account.quoted == QUOTED.get(path.stem, 0)


@each_dialect
@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_size_of_the_chunks_does_not_matter(path, size):
    """A header that two chunks share is a header; so is a CRLF."""
    assert read(path.read_bytes(), size) == read(path.read_bytes())


def places(text: bytes, first: int) -> range:
    """Bytes at which a log is broken: all of a short log, every second of a long one, whose lines are alike."""
    return range(len(text) + 1) if len(text) < LONG else range(first, len(text) + 1, 2)


LONG = 2000
"""From this length on a log repeats its kinds of lines [bytes]."""


@each_dialect
def test_a_log_cut_at_any_byte_reports_its_losses(path):
    """Read and reported entries together are at least the entries of the log; what is not cut has its fingerprint."""
    text = path.read_bytes()
    whole = {event.statement for event in read(text)[0]}
    for at in places(text, first=0):
        (before, lost_before), (after, lost_after) = read(text[:at]), read(text[at:])
        seen = len(before) + len(after)
        assert {event.statement for event in before if not event.cut} <= whole, f"cut at byte {at}"
        assert seen + lost_before.damage + lost_after.damage >= true_events(path), f"cut at byte {at}"
        assert lost_before.bytes + lost_after.bytes == len(text)


@each_dialect
def test_a_marker_at_any_byte_loses_no_event_unreported(path):
    """RDS writes that a message was truncated: what stands around it is repaired, cut or lost, and counted."""
    text = path.read_bytes()
    for at in places(text, first=1):
        events, account = read(text[:at] + MARKER + text[at:])
        assert len(events) + account.lost >= true_events(path), f"marker at byte {at}"
        in_banner = any(at in range(found.start(), found.end() + 1) for found in BANNER.finditer(text))
        assert in_banner or account.repaired + account.cut + account.lost >= 1, f"marker at byte {at}"


@each_dialect
def test_a_marker_that_replaces_what_followed_it_loses_no_event_unreported(path):
    """The rest of the line that RDS cut is gone."""
    text = path.read_bytes()
    for at in places(text, first=0):
        rest = text[at:].partition(b"\n")[2]
        _, account = read(text[:at] + MARKER + b"\n" + rest)
        assert account.events + account.damage >= true_events(path), f"marker at byte {at}"


MARIADB = """\
# User@Host: {user}[{user}] @ localhost []
# Thread_id: 3  Schema: {schema}  QC_hit: No
# Query_time: {query_time}  Lock_time: 0.000141  Rows_sent: {rows}  Rows_examined: 900
# Rows_affected: 0  Bytes_sent: 11
SET timestamp={timestamp};
SELECT 1;
"""


def mariadb(**fields) -> bytes:
    """An entry of MariaDB, which began at 2026-11-23 10:24:31 UTC by default."""
    usual = {"user": "bi", "schema": "shop", "query_time": "2.500000", "rows": 1, "timestamp": 1795429471}
    return MARIADB.format(**{**usual, **fields}).encode()


def test_executions_that_are_otherwise_the_same_are_numbered_across_batches():
    """The ordinal distinguishes equal executions, even if a batch ends between them."""
    log = mariadb() + mariadb() + mariadb(query_time="2.500001") + mariadb()
    batches = slow_log.read_slow_log([log], Layout(batch=2))
    assert [batch.slow_queries["ordinal"].tolist() for batch in batches] == [[0, 1], [0, 2]]


def test_a_log_that_repeats_itself_numbers_from_0_again():
    """Files that overlap and were joined merge as if they were read one by one."""
    later = mariadb(timestamp=1795429500)
    (tables,) = slow_log.read_slow_log([mariadb() + later + mariadb()])
    assert tables.slow_queries["ordinal"].tolist() == [0, 0, 0]


def test_the_memory_for_ordinals_is_bounded(monkeypatch):
    """The memory for ordinals stays bounded if every entry ends in the same second."""
    monkeypatch.setattr(log_tables._Ordinals, "MOST", 100)
    seen = log_tables._Ordinals()
    events, _ = read(b"".join(mariadb(query_time=f"0.{n:06d}", timestamp=1795429471) for n in range(1, 999)))
    assert {seen.before(event) for event in events} == {0}
    assert len(seen._recent) + len(seen._older) <= 200
    assert seen.before(events[-1]) == 1


def test_mariadbs_schema_field_gives_the_database_or_none():
    """Its Schema field holds for the entry; the log's state is for those that have none."""
    events, _ = read(mariadb() + mariadb(schema=""))
    assert [event.database for event in events] == ["shop", None]


def test_an_empty_use_means_no_database():
    """A replica writes an empty USE for a statement that ran without a database."""
    log = (SLOW_LOGS / "use_is_the_logs_state.log").read_bytes().replace(b"use archive;", b"SELECT 2;")
    text = log.replace(b"SET timestamp=1706933109;", b"use ;\nSET timestamp=1706933109;")
    events, _ = read(text)
    assert [event.database for event in events] == [None, "shop-2", "shop-2", None]


def test_tables_have_the_tables_columns_and_types():
    """The store's columns: UTC to the microsecond, whole counts, null if the log has no value."""
    (tables,) = slow_log.read_slow_log([mariadb()], Layout("lab-reader"))
    rows = tables.slow_queries
    assert set(rows) == set(TABLES["slow_queries"].column_names()) - {"cluster", "week", "source"}
    assert str(rows["started_at"].dtype) == str(rows["ended_at"].dtype) == "datetime64[us, UTC]"
    (row,) = rows.to_dict("records")
    assert (str(row["started_at"]), str(row["ended_at"])) == (
        "2026-11-23 10:24:31+00:00",
        "2026-11-23 10:24:33.500000+00:00",
    )
    assert (row["time_precision_s"], row["thread_id"], row["instance"]) == (1.0, 3, "lab-reader")
    assert row["extras"] == '{"Rows_affected":0,"Bytes_sent":11}'
    assert tables.statements[["digest", "fingerprint", "join_key", "kind"]].to_numpy().tolist() == [
        ["b9a4c90ce4157373", "select ?", "select?", "select"]
    ]


def test_an_entry_without_any_time_is_lost_to_the_store():
    """No # Time and no SET timestamp: it is counted, not stored."""
    account = Account()
    log = mariadb() + mariadb().replace(b"SET timestamp=1795429471;\n", b"")
    (tables,) = slow_log.read_slow_log([log], account=account)
    assert (len(tables.slow_queries), account.events, account.untimed) == (1, 2, 1)


def test_counts_beyond_63_bits_are_unknown():
    """Servers have logged 2**64 - 1 rows for a count that they did not know."""
    (tables,) = slow_log.read_slow_log([mariadb(rows=2**64 - 1)])
    assert tables.slow_queries["rows_sent"].tolist() == [None]


def test_a_time_that_the_calendar_does_not_have_is_none():
    """A damaged # Time does not move an execution to 1970: its end is within a Query_time of SET timestamp."""
    log = (SLOW_LOGS / "missing_time.log").read_bytes().replace(b"2023-11-30", b"2023-13-41")
    events, _ = read(log)
    assert (events[0].ended_us, events[0].time_precision_s) == (1701328928_000_000, 3.000192)


def test_the_text_after_a_marker_is_not_trusted():
    """RDS may cut within a literal: text behind the marker is not parsed as SQL."""
    log = mariadb().replace(
        b"SELECT 1;", b"SELECT a FROM t WHERE b = 'x" + MARKER + b"y' AND c = 'secret' OR d;"
    )
    events, account = read(log)
    assert events[0].statement.fingerprint == "select a from t where b = ?"
    assert (events[0].cut, account.cut) == (True, 1)


ARRIVALS = SLOW_LOGS / "arrivals"


def aurora(sql: str, second: int = 50, user: str = "app") -> bytes:
    """An entry of Aurora MySQL 3 that ended at that second."""
    return (
        f"# Time: 2026-11-18T11:06:{second}.000000Z\n# User@Host: {user}[{user}] @  [10.0.2.7]  Id:    12\n"
        "# Query_time: 2.500000  Lock_time: 0.000100 Rows_sent: 1  Rows_examined: 100\n"
        f"SET timestamp=1795000000;\n{sql}\n"
    ).encode()


def test_entries_that_were_cut_without_a_marker_swallow_nothing():
    """A complete header is believed within an open quote; no literal gets into a fingerprint."""
    events, account = read((ARRIVALS / "12-two-cut-entries-leak" / "slow.log").read_bytes())
    assert [event.cut for event in events] == [True, False, False, True, False, False]
    assert (account.events, account.cut, account.unmarked, account.lost) == (6, 2, 2, 0)
    texts = {event.statement.fingerprint for event in events}
    assert texts == {"insert into logs(body) values(?", "select * from orders where note = ? and b = ?"}


def test_a_text_that_was_cut_behind_a_semicolon_within_a_quote_counts_as_cut():
    """Its last character is that of a whole statement."""
    events, account = read(aurora("INSERT INTO logs VALUES ('secret;") + aurora("SELECT 'x' FROM a;"))
    assert [(event.cut, event.statement.fingerprint) for event in events] == [
        (True, "insert into logs values(?"),
        (False, "select ? from a"),
    ]
    assert (account.cut, account.unmarked) == (1, 1)


SETTINGS = "use shop;\nSET last_insert_id=7,insert_id=8,timestamp=1795000000;\n"


@pytest.mark.parametrize("size", range(len(SETTINGS) + 1))
def test_an_entry_that_was_cut_before_its_statement_has_none(size):
    """What is left of `use` or `SET timestamp` is no statement of the workload."""
    head, *_ = aurora("").decode().partition("SET")
    text = aurora("SELECT 1;") + (head + SETTINGS[:size]).encode()
    events, account = read(text)
    assert (events, account.cut) == (read(text + bytes(100))[0], 1)
    assert [(event.cut, event.statement.fingerprint) for event in events] == [(False, "select ?"), (True, "")]
    assert (account.cut, account.lost) == (1, 0)


@pytest.mark.parametrize("line", ["# Time: 2026-11-18T11:06:51.000000Z\n", "# User@Host: app"])
@pytest.mark.parametrize("behind", [b"", MARKER, bytes(100), b"\n" + aurora("SELECT 3;", 52)])
def test_the_start_of_the_next_header_is_lost_and_the_entry_before_it_whole(line, behind):
    """A log, or an event of it, may end at any byte of an entry's first line."""
    for size in range(1, len(line)):
        text = aurora("SELECT 1;") + aurora("SELECT 2;", 51) + line[:size].encode() + behind
        events, account = read(text)
        assert {(event.cut, event.statement.fingerprint) for event in events} == {(False, "select ?")}, size
        assert (account.events, account.cut, account.lost) == (2 + behind.endswith(b";\n"), 0, 1), size


@pytest.mark.parametrize(
    "opened", ["'", '"', "`", "'a\\'", "'it''", "'x', 'b;\n", "'x;\n# Time: 2026", "/* "]
)
@pytest.mark.parametrize("between", range(1, 5))
def test_cut_entries_of_any_kind_leak_nothing(opened, between):
    """Whatever the quote, the distance to the next cut entry, and the quotes between."""
    whole = "SELECT 'secret1', \"secret2\", 'it''s' -- it's secret4"
    texts = [f"INSERT INTO t VALUES ({opened}secret3", *[whole + "\n;"] * between] * 3
    events, account = read(b"".join(aurora(sql, 10 + n) for n, sql in enumerate(texts)))
    assert account.events == len(texts)
    assert "secret" not in "".join(event.statement.fingerprint for event in events)


def test_a_log_on_one_line_is_lost_and_counted():
    """Line ends that a tool removed: no entry can be read."""
    text = aurora("SELECT 1;").replace(b"\n", b" ")
    events, account = read(text * 3)
    assert (events, account.lost) == ([], 1)
    assert account.lost_bytes == pytest.approx(len(text * 3), abs=60)


def test_old_headers_on_one_line_are_read():
    """Servers before 5.1 wrote `# Time` and `# User@Host` in one line."""
    entry = (
        b"# Time: 071218 11:48:27 # User@Host: [SQL_SLAVE] @  []\n"
        b"# Thread_id: 10\n# Query_time: 0.000012  Lock_time: 0.000000  Rows_sent: 0  Rows_examined: 0\n"
        b"SET timestamp=1197996507;\nBEGIN;\n"
    )
    for size in (1, 7, 10**6):
        events, account = read(entry * 3, size)
        assert [event.user for event in events] == ["SQL_SLAVE"] * 3
        assert [event.thread_id for event in events] == [10] * 3
        assert account.is_whole


@pytest.mark.parametrize("name", ["a[b]", "a  b", "a]b[", "[]", "ä b", "it's"])
def test_names_may_hold_any_character(name):
    """The manual allows any character in quoted names and in users."""
    (event,), _ = read(mariadb(schema=name, user=name))
    assert (event.user, event.database) == (name, name)
    text = aurora("SELECT 1;", user=name).replace(b"SET", f"use {name};\nSET".encode())
    (event,), _ = read(text)
    assert (event.user, event.host, event.database) == (name, "10.0.2.7", name)


@pytest.mark.parametrize("figure", [b"Query_time: ", b"Lock_time: "])
@pytest.mark.parametrize(
    "time", [b"999999999", b"99999999.000000", b"18446744073709.551614", b"99999999999999"]
)
def test_an_impossible_duration_is_lost_and_counted(figure, time):
    """Servers whose clock was set back have logged centuries."""
    absurd = re.sub(figure + rb"[\d.]+", figure + time, mariadb())
    events, account = read(mariadb() + absurd + mariadb())
    assert (len(events), account.lost, account.unknown) == (2, 1, 1)


MARIADB_TIMED = b"# Time: 261123 10:24:31\n"


@pytest.mark.parametrize("zone_h", [-11, 0, 13])
def test_a_sessions_own_timestamp_is_not_the_time_of_the_run(zone_h):
    """`# Time` and the zone that the other entries show give the time; without them it is unknown."""
    zone_s = zone_h * 3600
    log = MARIADB_TIMED + mariadb(timestamp=1795429471 - zone_s) + mariadb(timestamp=1000)
    events, _ = read(log + mariadb(timestamp=4_000_000_000) + mariadb(timestamp=1795429471 - zone_s))
    assert [event.started_us for event in events] == [(1795429471 - zone_s) * 1_000_000] * 4
    events, _ = read(mariadb(timestamp=1000) + mariadb())
    assert [event.started_us for event in events] == [None, 1795429471_000_000]
    events, _ = read(MARIADB_TIMED + mariadb(timestamp=1000) + mariadb())
    assert [event.started_us for event in events] == [None, 1795429471_000_000]


def test_headers_of_old_servers_may_lack_a_user_or_the_rows_examined():
    """What the log does not say stays unknown, and the entries after it are read."""
    old = b"# Time: 071218 11:48:27 # User@Host: [SQL_SLAVE] @  []\n# Query_time: 0.5  Lock_time: 0  Rows_sent: 1\nSELECT 1;\n"
    no_user = b"# Time: \n# User@Host: \n# Query_time: 2  Lock_time: 0  Rows_sent: 1  Rows_examined: 7\nuse `test`;\nSELECT 2;\n"
    events, account = read(old + no_user + old)
    assert [(one.user, one.host, one.rows_examined, one.database) for one in events] == [
        ("SQL_SLAVE", "", None, None),
        ("", "", 7, "test"),
        ("SQL_SLAVE", "", None, "test"),
    ]
    assert account.is_whole


@pytest.mark.parametrize("user", ["a[b]", "a[b", "a]b", "[a]", "[", "\x1b[31m"])
def test_users_with_brackets_keep_their_names(user):
    """The name stands twice, once in brackets."""
    log = f"# User@Host: {user}[{user}] @ localhost []  Id: 1\n# Query_time: 1.0  Lock_time: 0 Rows_sent: 1  Rows_examined: 1\nSELECT 1;\n"
    (event,), account = read(log.encode())
    assert (event.user, event.host) == (user, "localhost")
    assert account.is_whole


def test_a_hostile_header_is_refused_quickly():
    """A header has many readings if its names look like headers; they are not all tried (13 s of CPU time)."""
    started = time.process_time()
    assert grammar.header(b"[a] @ " * 250 + b"\n# Query_time: ") is None
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("client", "host"),
    [
        ("host[1] [10.0.0.1]  Id: 7", "host[1]"),
        ("[a][b] []  Id: 7", "[a][b]"),
        ("host [10.0.0.1]  Id: 7 [x]", "host"),
    ],
)
def test_hosts_with_brackets_keep_their_names(client, host):
    """The last brackets before the session's number hold the address."""
    log = f"# User@Host: bi[bi] @ {client}\n# Query_time: 1.0  Lock_time: 0 Rows_sent: 1  Rows_examined: 1\nSELECT 1;\n"
    (event,), account = read(log.encode())
    assert (event.user, event.host, event.thread_id) == ("bi", host, 7)
    assert account.is_whole


@pytest.mark.parametrize(
    "figures",
    [
        "31622401  Lock_time: 0 Rows_sent: 1  Rows_examined: 1",
        "nan  Lock_time: 0 Rows_sent: 1  Rows_examined: 1",
        "1.0  Lock_time: -0.1 Rows_sent: 1  Rows_examined: 1",
        "1.0  Lock_time: 0 Rows_sent: 1e9  Rows_examined: 1",
        "1.0  Lock_time: 0 Rows_sent: 1  Rows_examined: -1",
        "1.0  Lock_time: 0 Rows_sent: 1  Rows_examined: 1e9",
        "1.0  Lock_time: 0 Rows_sent: 1  Rows_examined: NULL",
    ],
)
def test_impossible_figures_lose_the_entry_and_no_other(figures):
    """No supported server writes them, so that nothing is guessed; the loss is counted."""
    odd = f"# User@Host: a[a] @ localhost []  Id: 1\n# Query_time: {figures}\nSELECT 'secret';\n".encode()
    events, account = read(odd + mariadb() + odd + mariadb())
    assert [event.user for event in events] == ["bi", "bi"]
    assert (account.lost, account.unknown, account.cut) == (2, 2, 0)
