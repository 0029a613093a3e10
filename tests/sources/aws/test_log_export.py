"""Slow logs of instances: every execution once, from exports or files, and every lost byte counted."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pandas as pd
import pytest
from aws_endpoint import Endpoint
from fetching import clients, day, endpoint, inside

from aurora_analysis import Window
from aurora_analysis.errors import NotEnabled
from aurora_analysis.fetch.chunks import Chunk, Context, Have, Part
from aurora_analysis.fetch.work import fetch_chunk
from aurora_analysis.sources.aws import log_export
from aurora_analysis.sources.aws.log_export import Log, LogFile, overlap
from aurora_analysis.sources.aws.rds import Instance, Topology

NOW = datetime(2026, 11, 9, 20, 30, tzinfo=UTC)
"""In the middle of an hour: its log is the current file."""
HOURS = Window("2026-11-09T16:00", "2026-11-09T20:30")
NAME = "shop-3"


def executions(parts: list[Part]) -> pd.DataFrame:
    """Return the executions of the parts, merged by identity as the store merges them."""
    frames = [part.frame for part in parts if part.table == "slow_queries" and part.frame is not None]
    keys = ["ended_at", "thread_id", "query_time_s", "digest", "ordinal"]
    return pd.concat(frames).drop_duplicates(keys).sort_values(keys, ignore_index=True)


def truth(window: Window = HOURS) -> pd.DataFrame:
    rows = inside(day()["slow_queries"], window, "ended_at")
    return rows[rows["instance"] == NAME].sort_values("ended_at", ignore_index=True)


def same(parts: list[Part], window: Window = HOURS) -> bool:
    columns = ["ended_at", "digest", "user", "query_time_s", "rows_examined"]
    order = ["ended_at", "digest"]
    found = executions(parts)[columns].sort_values(order, ignore_index=True)
    expected = truth(window)[columns].sort_values(order, ignore_index=True)
    return found.astype(str).equals(expected.astype(str))


def from_files(aws: Endpoint, window: Window = HOURS) -> list[Part]:
    return list(log_export.fetch_files(clients(aws)["rds"], Log(NAME, window, "aurora-mysql")))


def files_endpoint(*misbehaving: str, portion_bytes: int = 800) -> Endpoint:
    """Serve the day's log as hourly files, in portions of a few entries."""
    return endpoint(*misbehaving, now=NOW, exports=(), portion_bytes=portion_bytes)  # type: ignore[return-value]


@pytest.mark.parametrize("misbehaviour", [(), ("overlaps_portions",), ("truncates_lines",), ("rotates",)])
def test_faults_of_rds_files_are_repaired(misbehaviour):
    """Overlapping portions, cut lines and rotation lose no execution and duplicate none."""
    with files_endpoint(*misbehaviour) as aws:
        parts = from_files(aws)
        downloads = aws.count()["rds:DownloadDBLogFilePortion"]
        assert (aws.now > NOW) == ("rotates" in misbehaviour)
    assert same(parts)
    assert parts[-1].lost == 0
    assert downloads > 10


def test_a_file_refused_as_binary_is_counted_as_lost():
    """Entries before the binary bytes and all other files are stored."""
    window = Window("2026-11-09", HOURS.end)
    with files_endpoint("binary_data") as aws:
        parts = from_files(aws, window)
    last = parts[-1]
    assert last.lost > 0
    assert last.received + last.lost == last.expected
    assert "bytes not returned" in last.note
    assert 0 < len(truth(window)) - len(executions(parts)) < len(truth(window)) / 10


def test_skipped_lines_are_counted():
    """Bytes that RDS lists and does not return count as lost."""
    with files_endpoint() as aws:
        whole = from_files(aws)[-1].expected
    with files_endpoint("skips_lines") as aws:
        last = from_files(aws)[-1]
    assert last.lost > 0
    assert last.expected == pytest.approx(whole, rel=0.02)


GROUP = "/aws/rds/cluster/shop/slowquery"


@pytest.mark.parametrize("misbehaviour", [(), ("banner_events",), ("empty_pages",)])
def test_exported_logs_are_read_event_by_event(misbehaviour):
    """An event is an entry or a banner; a page may be empty and still lead to another."""
    with endpoint(*misbehaviour, now=NOW) as aws:
        parts = list(
            log_export.fetch_exported(clients(aws)["logs"], GROUP, [NAME], Log(NAME, HOURS, "aurora-mysql"))
        )
    assert same(parts)
    assert parts[-1].note.startswith("from CloudWatch Logs: ")
    assert parts[-1].lost == 0


def test_a_large_portion_that_comes_twice_counts_once():
    """A portion larger than the compared seam, served again under another marker, is the same text."""
    texts = {"0": ("one " * 50_000, "1"), "1": ("one " * 50_000, "2"), "2": ("end", "2")}

    def portion(**request: object) -> dict[str, object]:
        text, marker = texts[str(request["Marker"])]
        return {"LogFileData": text, "Marker": marker, "AdditionalDataPending": text != "end"}

    rds = SimpleNamespace(download_db_log_file_portion=portion)
    assert b"".join(log_export.portions(rds, "shop-1", "slow.log")) == b"one " * 50_000 + b"end"


def test_an_overlap_is_the_longest_repetition():
    """Short repetitions are coincidence."""
    tail = b"# Time: 2026-11-09T00:00:00.000001Z\nselect 1;\n"
    assert overlap(b"before\n" + tail, tail + b"after\n") == len(tail)
    assert overlap(b"before\n" + tail, b"after\n" + tail) == 0
    assert overlap(b"a;\n", b"a;\n") == 0
    assert overlap(b"", tail) == 0


@pytest.mark.parametrize(
    ("name", "current"),
    [
        ("slowquery/mysql-slowquery.log", True),
        ("slowquery/mysql-slowquery.log.2026-11-09.05", False),
        ("slowquery/mysql-slowquery.log.17", False),
        ("error/postgresql.log.2026-11-09-0500", False),
        ("error/postgresql.log.2026-11-09", False),
    ],
)
def test_the_name_of_a_rotated_file_ends_in_its_hour(name, current):
    """The server still writes to the file without an hour."""
    assert LogFile(name, NOW, 1).is_current is current


def planned(instance: Instance, window: Window, streams: tuple[str, ...] = ()) -> list[Chunk]:
    have = Have(pd.DataFrame(columns=["time", "end", "source", "instance", "received"]))
    return log_export.chunks(Topology("shop", "", (), "", (instance,), streams=streams), have, window, NOW)


def test_exported_logs_are_preferred_to_files():
    """Files reach back 24 hours; an earlier window is reported."""
    week = Window("2026-11-02", "2026-11-09T20:00")
    assert {chunk.service for chunk in planned(Instance(NAME), week, (NAME,))} == {"logs"}
    gone, files = planned(Instance(NAME), week)
    assert (gone.calls, files.service, f"{files.window.start:%d %H:%M}") == (0, "rds", "08 20:30")
    assert "RDS keeps slow-log files for 24 hours" in next(iter(fetch_chunk(gone, Context({})))).note


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"slow_query_log": "0"}, "The slow log of shop-3 is off: set slow_query_log = 1"),
        ({"log_output": "TABLE"}, "The slow log of shop-3 is written to TABLE: set log_output = FILE"),
    ],
)
def test_a_slow_log_that_is_off_has_a_remedy(parameters, line):
    """One line names the parameter to set."""
    [only] = planned(Instance(NAME, parameters=parameters), HOURS)
    with pytest.raises(NotEnabled, match=line):
        list(fetch_chunk(only, Context({})))


def test_a_missing_log_group_is_none():
    """Without exports there is no group, and no error."""
    with files_endpoint() as aws:
        assert log_export.streams(clients(aws)["logs"], "shop", "aurora-mysql") is None
