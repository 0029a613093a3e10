"""The slow log: every dialect read, every byte accounted for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from aurora_analysis.engines import log_tables
from aurora_analysis.engines.mysql import slow_log
from aurora_analysis.engines.mysql.slow_log import MARKER, Account, Layout
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
    assert (account.events, account.cut, account.lost, account.repaired) == (len(expected), 0, 0, 0)
    assert account.quoted == QUOTED.get(path.stem, 0)


@each_dialect
@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_size_of_the_chunks_does_not_matter(path, size):
    """A header that two chunks share is a header; so is a CRLF."""
    assert read(path.read_bytes(), size) == read(path.read_bytes())


@each_dialect
def test_a_log_cut_at_any_byte_reports_its_losses(path):
    """Nothing is raised, and what is seen and what is reported are at least what there was."""
    text = path.read_bytes()
    for at in range(len(text) + 1):
        (before, lost_before), (after, lost_after) = read(text[:at]), read(text[at:])
        seen = len(before) + len(after)
        assert seen + lost_before.damage + lost_after.damage >= true_events(path), f"cut at byte {at}"
        assert lost_before.bytes + lost_after.bytes == len(text)


@each_dialect
def test_a_marker_at_any_byte_loses_no_event_unreported(path):
    """RDS writes that a message was truncated: what stands around it is repaired, cut or lost, and counted."""
    text = path.read_bytes()
    for at in range(len(text) + 1):
        events, account = read(text[:at] + MARKER + text[at:])
        assert len(events) + account.lost >= true_events(path), f"marker at byte {at}"
        in_banner = any(at in range(found.start(), found.end() + 1) for found in BANNER.finditer(text))
        assert in_banner or account.repaired + account.cut + account.lost >= 1, f"marker at byte {at}"


@each_dialect
def test_a_marker_that_replaces_what_followed_it_loses_no_event_unreported(path):
    """The rest of the line that RDS cut is gone."""
    text = path.read_bytes()
    for at in range(len(text) + 1):
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


def test_what_numbers_equal_executions_is_bounded(monkeypatch):
    """A log of which every entry ended in one second does not grow what is kept of them."""
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
    """What a replica writes for a statement that ran in none."""
    log = (SLOW_LOGS / "use_is_the_logs_state.log").read_bytes().replace(b"use archive;", b"SELECT 2;")
    text = log.replace(b"SET timestamp=1706933109;", b"use ;\nSET timestamp=1706933109;")
    events, _ = read(text)
    assert [event.database for event in events] == [None, "shop-2", "shop-2", None]


def test_tables_have_the_tables_columns_and_types():
    """The store's columns: UTC to the microsecond, whole counts, null if the log has no value."""
    (tables,) = slow_log.read_slow_log([mariadb()], Layout("lab-reader"))
    rows = tables.slow_queries
    assert set(rows) == set(TABLES["slow_queries"].column_names()) - {"cluster", "day", "source"}
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
    assert (len(tables.slow_queries), account.events, account.lost) == (1, 2, 1)


def test_counts_beyond_64_bits_are_the_largest():
    """Servers have logged 2**64 - 1 rows."""
    (tables,) = slow_log.read_slow_log([mariadb(rows=2**64 - 1)])
    assert tables.slow_queries["rows_sent"].tolist() == [2**63 - 1]


def test_a_time_that_the_calendar_does_not_have_is_none():
    """A damaged # Time does not move an execution to 1970: its end is within a Query_time of SET timestamp."""
    log = (SLOW_LOGS / "missing_time.log").read_bytes().replace(b"2023-11-30", b"2023-13-41")
    events, _ = read(log)
    assert (events[0].ended_us, events[0].time_precision_s) == (1701328928_000_000, 3.000192)


def test_the_text_after_a_marker_is_not_trusted():
    """What RDS cut may be the end of a literal: nothing behind the marker is taken for SQL."""
    log = mariadb().replace(
        b"SELECT 1;", b"SELECT a FROM t WHERE b = 'x" + MARKER + b"y' AND c = 'secret' OR d;"
    )
    events, account = read(log)
    assert events[0].statement.fingerprint == "select a from t where b = ?"
    assert (events[0].cut, account.cut) == (True, 1)
