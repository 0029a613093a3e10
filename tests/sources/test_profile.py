"""The profile of a slow log: exact sums and quantiles, ranked, filtered, in parts, bounded."""

from __future__ import annotations

import doctest
import gzip
import json
import math
import os
import re
import tempfile
import types
from array import array
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import slow_log_generator as generator

from aurora_analysis.cli.digest import ORDERS
from aurora_analysis.engines.log_events import Account
from aurora_analysis.engines.mysql.slow_log import pieces
from aurora_analysis.errors import Error
from aurora_analysis.sources import log_files, profile, profile_page, profile_rows, query_times, selection
from aurora_analysis.sources.inputs import S3Object, Source

pytestmark = pytest.mark.usefixtures("scanner")
"""Each test runs with the compiled scanner and in pure Python."""


def entry(
    sql: str, query_s: float = 0.001, second: int = 0, user: str = "web", host: str = "10.0.0.1"
) -> bytes:
    """An entry of MySQL 8 that ended at that second of 2026-11-23 10:00 UTC."""
    return (
        f"# Time: 2026-11-23T10:00:{second:02d}.000000Z\n# User@Host: {user}[{user}] @  [{host}]  Id: 1\n"
        f"# Query_time: {query_s:.6f}  Lock_time: 0.000001 Rows_sent: 2  Rows_examined: 30\n"
        f"SET timestamp=1795429471;\n{sql};\n"
    ).encode()


def summary(*entries: bytes, **how) -> dict:
    """The summary of a log of these entries."""
    return profile.summary(profile.profile_log([b"".join(entries)]), **how)


def summary_of_files(*names: str, **how) -> dict:
    """The summary of files."""
    with tempfile.TemporaryFile() as overflow:
        return profile.summary(profile.profile_files(names, lambda: overflow, **how))


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A log of the generator's of 3 MB, and its truth."""
    truth = generator.Truth()
    log = tmp_path_factory.mktemp("logs") / "slow.log"
    log.write_bytes(b"".join(generator.log(3_000_000, truth, seed=11)))
    return str(log), truth


def test_every_count_and_sum_is_the_truth(generated):
    """Events, four sums, and as many statements as templates were drawn, each with its calls."""
    log, truth = generated
    found = summary_of_files(log)
    assert found["events"] == truth.events
    assert found["sums"] == {
        "query_time_s": truth.query_time_us / 1e6,
        "lock_time_s": truth.lock_time_us / 1e6,
        "rows_sent": truth.rows_sent,
        "rows_examined": truth.rows_examined,
    }
    assert Counter(row["calls"] for row in found["profile"]) == Counter(truth.templates.values())
    assert found["coverage"]["bytes"] == os.path.getsize(log)
    assert sum(row["share"] for row in found["profile"]) == pytest.approx(1)


def test_parts_in_several_processes_give_the_same_profile(generated, monkeypatch):
    """A file in parts is the file."""
    log, _ = generated
    monkeypatch.setattr(profile, "PART", 400_000)
    read: list[int] = []
    parts = summary_of_files(log, processes=2, progress=read.append)
    assert parts == summary_of_files(log)
    assert sum(read) == os.path.getsize(log)
    assert len(read) == 8


class Bucket:
    """As much of boto3's client as reading an object needs; the object's key is a file's name."""

    def get_object(self, Bucket: str, Key: str) -> dict:
        """Return the object, which is chunks of a file."""
        body = types.SimpleNamespace(iter_chunks=lambda size: iter([Path(Key).read_bytes()]))
        return {"Body": body}


def test_compressed_files_and_objects_are_read_side_by_side(generated, monkeypatch, tmp_path):
    """They are read by all processes, with the profile that one process makes; what is larger is read by this one."""
    log, _ = generated
    text, cuts = Path(log).read_bytes(), [start for start, _ in log_files.ranges(log, 4)]
    names: list[Source] = []
    sizes: list[int] = []
    for n, (start, end) in enumerate(zip(cuts, [*cuts[1:], None])):
        name = tmp_path / f"{n}.gz"
        name.write_bytes(gzip.compress(text[start:end], 1))
        sizes.append(name.stat().st_size)
        names.append(str(name) if n % 2 else S3Object("b", str(name), Bucket, sizes[-1]))
    read_here: list[Source] = []
    chunks = log_files.chunks
    monkeypatch.setattr(log_files, "chunks", lambda *part: read_here.append(part[0]) or chunks(*part))
    monkeypatch.setattr(profile, "LARGEST_WHOLE", sorted(sizes)[-2])
    one = summary_of_files(*names)
    assert read_here == names and one["events"] == summary_of_files(log)["events"]
    read_here.clear()
    assert summary_of_files(*names, processes=2) == one
    largest = names[sizes.index(max(sizes))]
    assert read_here[-1] == largest and len(set(read_here)) == len(read_here)
    assert [bool(profile._parts(name, 2)) for name in names] == [name != largest for name in names]


def test_quantiles_are_exact():
    """The nearest rank of the real query times, in the order they came or any other."""
    times = [math.sin(n) ** 2 * 3 + 1e-6 for n in range(199)]
    (row,) = summary(*(entry("SELECT 1", time) for time in times))["profile"]
    ordered = sorted(round(time, 6) for time in times)
    assert (row["p50_s"], row["p95_s"], row["p99_s"], row["max_s"]) == tuple(
        ordered[n] for n in (99, 189, 197, 198)
    )
    assert row["mean_s"] == pytest.approx(sum(ordered) / 199)


@pytest.mark.parametrize("held", [10, 300])
@pytest.mark.parametrize("processes", [1, 2])
def test_quantiles_are_exact_where_the_times_do_not_fit_in_memory(generated, monkeypatch, held, processes):
    """Those beyond HELD wait in a file: rows that fit are read back, larger ones are merged from their runs."""
    log, _ = generated
    expected = summary_of_files(log)
    monkeypatch.setattr(query_times, "HELD", held)
    monkeypatch.setattr(log_files, "CHUNK", 50_000)
    monkeypatch.setattr(profile, "PART", 400_000)
    with tempfile.TemporaryFile() as overflow:
        found = profile.profile_files([log], lambda: overflow, processes=processes)
        assert overflow.tell() > 0.8 * 8 * expected["events"]
        assert profile.summary(found) == expected


@pytest.mark.parametrize(
    ("count", "largest"), [(0, 1), (1, 1), (3000, 2**11), (3000, 2**62), (200_001, 10**7)]
)
def test_query_times_are_sorted(count, largest):
    """By the compiled library; without it by Python, and by numpy where there are hundreds of thousands."""
    times = array("q", np.random.default_rng(1).integers(largest, size=count).tolist())
    expected = sorted(times)
    query_times.sort(times)
    assert list(times) == expected


def test_it_ranks_by_each_order():
    """Each order, the largest first; the command offers the same ones."""
    entries = [entry("SELECT a FROM t", 3.0), *[entry("SELECT b FROM t", 1.5)] * 3]
    first = {
        order: summary(*entries, order_by=order)["profile"][0]["fingerprint"][7] for order in profile.ORDERS
    }
    assert first == {
        "time": "b",
        "calls": "b",
        "mean": "a",
        "p95": "a",
        "max": "a",
        "lock": "b",
        "examined": "b",
        "sent": "b",
    }
    assert tuple(profile.ORDERS) == ORDERS
    assert len(summary(*entries, limit=1)["profile"]) == 1
    assert summary(*entries, limit=1)["digests"] == 2


def test_only_the_selection_counts():
    """A span is half-open and in UTC; a user is one name."""
    log = b"".join(entry("SELECT 1", second=n, user="bi" if n % 2 else "web") for n in range(10))
    chosen = selection.parse("2026-11-23T10:00:03", "2026-11-23T12:00:07+02:00", "bi")
    found = profile.summary(profile.profile_log([log], selection=chosen))
    assert (found["events"], found["profile"][0]["users"]) == (2, {"bi": 2})
    assert (found["first_ended_at"], found["last_ended_at"]) == (
        "2026-11-23T10:00:03Z",
        "2026-11-23T10:00:05Z",
    )
    assert profile.summary(profile.profile_log([log], selection=selection.parse("2026-11-24")))["events"] == 0
    with pytest.raises(Error, match="is not a time"):
        selection.parse("yesterday")


@pytest.mark.parametrize(("name", "most"), [("MOST", 3), ("MOST_TEXT", 35)])
def test_more_statements_than_rows_share_one_and_the_totals_stay(monkeypatch, name, most):
    """A statement without a row of its own is counted in the common row."""
    monkeypatch.setattr(profile_rows, name, most)
    found = summary(*(entry(f"SELECT c{n} FROM t") for n in range(10)))
    assert (found["events"], found["digests"]) == (10, 4)
    assert {row["digest"]: row["calls"] for row in found["profile"]}["other"] == 7
    assert found["sums"]["rows_examined"] == 300


@pytest.mark.parametrize("name", ["CLIENTS", "MOST_CLIENTS"])
def test_clients_beyond_the_limit_are_counted_together(monkeypatch, name):
    """The clients of a row and of all rows are limited; no call is lost."""
    monkeypatch.setattr(profile_rows, name, 2)
    (row,) = summary(*(entry("SELECT 1", host=f"10.0.0.{n}") for n in range(5)))["profile"]
    assert row["hosts"] == {"(others)": 3, "10.0.0.0": 1, "10.0.0.1": 1}


def test_users_and_hosts_are_counted_apart():
    """6 users from 60 hosts are 360 pairs, and none is lost in (others)."""
    entries = [entry("SELECT 1", user=f"u{n % 6}", host=f"10.0.0.{n % 61}") for n in range(3000)]
    (row,) = summary(*entries)["profile"]
    assert set(row["users"]) == {f"u{n}" for n in range(6)}
    assert len(row["hosts"]) == 61
    assert sum(row["users"].values()) == sum(row["hosts"].values()) == 3000


def test_every_number_of_processes_gives_the_same_profile(tmp_path, monkeypatch):
    """Also where rows and names are limited, and where the log is not in order."""
    log = tmp_path / "slow.log"
    log.write_bytes(
        b"".join(
            entry(
                f"SELECT c{n * 7919 % 83} FROM t",
                second=(n * 37) % 60,
                user=f"u{n % 5}",
                host=f"h{n * n % 211}",
            )
            for n in range(2000)
        )
    )
    monkeypatch.setattr(profile, "PART", 50_000)
    for name, most in (("MOST", 40), ("CLIENTS", 20)):
        monkeypatch.setattr(profile_rows, name, most)
    one = summary_of_files(str(log))
    assert one["profile"][0]["fingerprint"]
    assert summary_of_files(str(log), processes=2) == one == summary_of_files(str(log), processes=3)


def test_an_empty_log_has_an_empty_profile():
    """Nothing in, nothing out, and no division by it."""
    found = summary(b"")
    assert (found["events"], found["profile"], found["first_ended_at"]) == (0, [], None)
    assert "0 executions" in profile_page.text(found)


def test_the_page_shows_ranks_times_and_clients():
    """Each rank has total, share, calls, times and clients, in the order of pt-query-digest."""
    page = profile_page.text(
        summary(entry("SELECT a FROM t WHERE b = 'secret'", 12.5), entry("COMMIT", 0.0005))
    )
    assert "# 2 executions of 2 statements" in page
    rank, digest, total, share, calls, mean, p50, *_ = page.splitlines()[5].split()
    assert (rank, total, share, calls, mean, p50) == ("1", "12.5s", "100.0%", "1", "12.5s", "12.5s")
    assert re.search(
        rf"# 1 {digest}\w{{8}}  users: web 1  hosts: 10.0.0.1 1\n#   rows examined: \S+  sent: \S+\nselect a from t where b = \?",
        page,
    )
    assert "secret" not in page


def test_lines_are_events_and_have_the_text_only_on_request(tmp_path):
    """One JSON object a line, with the fields that the manual names."""
    log = tmp_path / "slow.log"
    log.write_bytes(entry("/* job=etl */ SELECT 'x'", 0.25))
    found: list[str] = []
    profile.write_lines([str(log)], Account(), found.extend)
    profile.write_lines([str(log)], Account(), found.extend, with_sql=True)
    line, with_sql = map(json.loads, found)
    assert line == {
        "started_at": "2026-11-23T09:59:59.750000Z",
        "ended_at": "2026-11-23T10:00:00.000000Z",
        "time_precision_s": 1e-06,
        "user": "web",
        "host": "10.0.0.1",
        "database": None,
        "thread_id": 1,
        "query_time_s": 0.25,
        "lock_time_s": 1e-06,
        "rows_sent": 2,
        "rows_examined": 30,
        "digest": "b9a4c90ce4157373",
        "fingerprint": "select ?",
        "tags": {"job": "etl"},
        "extras": {},
    }
    assert with_sql == line | {"sql": "/* job=etl */ SELECT 'x';"}


def test_a_broken_log_is_held_in_bounded_memory(monkeypatch):
    """A statement without an end is kept to its first MiB and counted as cut; the next entry is read."""
    monkeypatch.setattr(pieces, "LONGEST_TEXT", 2 * 2**20)
    text = entry("SELECT 1") + entry("SELECT '" + "x" * 5 * 2**20 + "'") + entry("SELECT 2, 3")
    chunks = (text[at : at + 2**18] for at in range(0, len(text), 2**18))
    found = profile.profile_log(chunks)
    assert found.account.events == 3
    assert found.account.cut == 1
    assert found.account.lost_bytes > 3 * 2**20


def test_no_more_bytes_are_lost_than_there_were(monkeypatch):
    """A file without a line end is let go of piece by piece, and each byte is counted once."""
    monkeypatch.setattr(pieces, "LONGEST_TEXT", 2 * 2**20)
    found = profile.profile_log([b"x" * 2**20] * 9)
    assert (found.account.bytes, found.account.lost, found.account.lost_bytes) == (9 * 2**20, 1, 9 * 2**20)


def test_examples_in_docstrings_are_true():
    """The functions return the values that their docstrings show."""
    assert doctest.testmod(profile_page).failed == 0
