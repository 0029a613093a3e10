"""The slow log: every dialect read, every byte accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aurora_analysis.sources import slow_log
from aurora_analysis.sources.slow_log import MARKER, Account

GALLERY = sorted((Path(__file__).parent.parent / "slow_logs").glob("*.log"))
QUOTED = {"headers_in_texts": 3}
"""How many headers each gallery file has inside a text."""

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
    """Each captured oddity, and what it says: times, user, database, figures, fingerprint, text."""
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
def test_a_log_that_is_cut_at_any_byte_tells_what_it_lost(path):
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
        in_banner = at <= text.find(b"# ") or path.stem == "banner_in_the_middle"
        assert in_banner or account.repaired + account.cut + account.lost >= 1, f"marker at byte {at}"


@each_dialect
def test_a_marker_that_replaces_what_followed_it_loses_no_event_unreported(path):
    """The rest of the line that RDS cut is gone."""
    text = path.read_bytes()
    for at in range(len(text) + 1):
        rest = text[at:].partition(b"\n")[2]
        _, account = read(text[:at] + MARKER + b"\n" + rest)
        assert account.events + account.damage >= true_events(path), f"marker at byte {at}"
