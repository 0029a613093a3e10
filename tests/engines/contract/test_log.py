"""A log becomes events with UTC times, in bounded memory, and its account adds up."""

from __future__ import annotations

import itertools
import json
import random

import pytest
from engine_cases import EPOCH, SECRET

from aurora_analysis import engines
from aurora_analysis.engines import log_events, log_tables
from aurora_analysis.tables import TABLES

EPOCH_US = int(EPOCH.timestamp()) * 1_000_000


def read(engine, text: bytes, size: int = 10**9):
    """The events of a log that comes in chunks of this size, and its account."""
    log, account = engine.reader, log_events.Account()
    chunks = (text[at : at + size] for at in range(0, len(text), size))
    return list(log.events(log.entries(chunks, account))), account


def test_times_are_utc(engine):
    """Start and end, in microseconds since 1970."""
    events, account = read(engine, b"".join(engine.logged(n, "SELECT 1") for n in range(3)))
    assert [event.ended_us - EPOCH_US for event in events] == [0, 1_000_000, 2_000_000]
    assert {event.ended_us - event.started_us for event in events} == {1_500_000}
    assert account.is_whole and account.events == 3


def test_the_gallery_is_read_to_the_last_byte(engine):
    """Every captured log contains the events in the file next to it."""
    assert engine.gallery
    for path in engine.gallery:
        expected = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
        events, account = read(engine, path.read_bytes())
        assert [log_events.record(event, with_sql=True) for event in events] == expected
        assert (account.bytes, account.events) == (path.stat().st_size, len(expected))


def test_a_log_is_recognised_by_its_text(engine):
    """Every captured log names its engine, and so does an entry after a banner; another text names none."""
    for path in engine.gallery:
        assert engines.of_log(path.read_bytes()) == engine.name, path.name
    assert engines.of_log(b"a banner\n" + engine.logged(0, "SELECT 1")) == engine.name
    assert not engine.reader.is_slow_log(b"a,b\n1,2\n")


def test_an_entry_begins_as_the_engine_states(engine):
    """A file is cut into parts, and a portion into whole entries, at these bytes."""
    text = engine.logged(0, "SELECT 1") + engine.logged(1, "SELECT 2")
    assert text.startswith(engine.reader.HEAD)
    assert not engine.reader.BOUNDARIES or any(boundary in text for boundary in engine.reader.BOUNDARIES)


@pytest.mark.parametrize("size", [1, 13, 4096])
def test_the_size_of_chunks_does_not_matter(engine, size):
    """A chunk may end anywhere."""
    text = b"".join(engine.logged(n, f"SELECT a{n}, 'x\ny'") for n in range(5))
    assert read(engine, text, size) == read(engine, text)


def test_every_loss_is_reported(engine):
    """An unreadable header counts as a lost entry, and its bytes are counted."""
    entries = [engine.logged(n, "SELECT 1") for n in range(4)]
    for old, new in engine.damaged:
        text = b"".join([entries[0], entries[1].replace(old, new), *entries[2:]])
        events, account = read(engine, text)
        assert (len(events), account.lost) == (3, 1)
        assert 0 < account.lost_bytes <= account.bytes == len(text)
        assert not account.is_whole and account.damage == 1


def test_a_log_cut_anywhere_raises_nothing(engine):
    """Read and reported entries together are at least the entries of the log."""
    text = b"".join(engine.logged(n, "SELECT 'a'") for n in range(3))
    for at in range(len(text) + 1):
        (before, one), (after, two) = read(engine, text[:at]), read(engine, text[at:])
        assert len(before) + len(after) + one.damage + two.damage >= 3, f"cut at byte {at}"
        assert one.bytes + two.bytes == len(text)


def test_damaged_bytes_raise_nothing(engine):
    """Random damage; the account never counts more than there was."""
    text, r = b"".join(engine.logged(n, "SELECT 'a'") for n in range(4)), random.Random(1)
    for _ in range(300):
        broken = bytearray(text)
        for _ in range(r.randint(1, 6)):
            at = r.randrange(len(broken))
            broken[at : at + r.choice((0, 1, 30))] = r.choice((b"", b"'", b"\n", b"\x00", b"\xff", b"/*"))
        _, account = read(engine, bytes(broken), r.choice((7, 10**6)))
        assert account.lost_bytes <= account.bytes == len(broken)


def test_a_log_without_an_end_is_read_as_it_comes(engine):
    """Events come out before the next chunks go in: what is held does not grow with the log."""
    numbers = itertools.count()
    chunks = (engine.logged(next(numbers), "SELECT 1") for _ in itertools.repeat(None))
    events = engine.reader.events(engine.reader.entries(chunks, log_events.Account()))
    assert len(list(itertools.islice(events, 1000))) == 1000
    assert next(numbers) < 1010


def test_tables_have_the_stores_columns_and_no_literals(engine):
    """The rows that go into the store, on one instance."""
    log, account = engine.reader, log_events.Account()
    text = b"".join(
        engine.logged(n, f"SELECT a FROM t WHERE b = {literal}") for n, literal in enumerate(engine.literals)
    )
    (tables,) = log.to_tables(log.entries([text], account), account, log_tables.Layout("db-1"))
    assert set(tables.slow_queries) == set(TABLES["slow_queries"].column_names()) - {
        "cluster",
        "week",
        "source",
    }
    assert len(tables.slow_queries) == len(engine.literals)
    assert SECRET not in tables.slow_queries.to_csv() + tables.statements.to_csv()
    assert tables.examples.empty


def test_equal_executions_keep_their_number_in_batches(engine):
    """The ordinal distinguishes executions that are equal in everything else."""
    log, account = engine.reader, log_events.Account()
    batches = log.to_tables(
        log.entries([engine.logged(0, "SELECT 1") * 4], account), account, log_tables.Layout(batch=3)
    )
    assert [batch.slow_queries["ordinal"].tolist() for batch in batches] == [[0, 1, 2], [3]]
