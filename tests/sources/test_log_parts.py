"""Logs read in parts by several workers: the store holds what one process would have written."""

from __future__ import annotations

import gzip
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pandas as pd
import pytest

from aurora_analysis.cli import connections
from aurora_analysis.executors import Pool
from aurora_analysis.sources import inputs, log_files, log_parts
from aurora_analysis.sources.log_files import Target
from aurora_analysis.store import Store

BANNER = "/rdsdbbin/oscar/bin/mysqld, Version: 8.0.28 (Source distribution). started with:\nTcp port: 3306  Unix socket: /tmp/mysql.sock\nTime                 Id Command    Argument\n"


def entry(number: int, sql: str = "SELECT 1", use: str = "", session: int = 0) -> str:
    """An entry of Aurora's; the session is one of three unless it is given."""
    return (
        f"# Time: 2026-11-18T11:{number // 60 % 60:02}:{number % 60:02}.000000Z\n"
        f"# User@Host: bi[bi] @  [10.0.0.1]  Id:     {session or 1 + number % 3}\n"
        "# Query_time: 1.000000  Lock_time: 0.000000 Rows_sent: 1  Rows_examined: 1\n"
        f"{f'use {use};' if use else ''}{chr(10) if use else ''}SET timestamp={1795000000 + number};\n{sql};\n"
    )


def in_parts(
    folder: Path, *sources: inputs.Source, monkeypatch: pytest.MonkeyPatch, size: int = 2000
) -> Store:
    """A store into which two threads read the files in parts of about this size."""
    monkeypatch.setattr(log_parts, "PART", size)
    target = Target(str(folder), "shop", "shop-1")
    with ThreadPoolExecutor(2) as executor:
        done = dict(log_parts.ingest(sources, target, Pool(executor, 2)))
    assert list(done) == list(sources)
    return Store(folder)


def whole(folder: Path, *names: str) -> Store:
    for name in names:
        log_files.ingest(log_files.Target(str(folder), "shop", "shop-1"), name)
    return Store(folder)


def assert_same(left: Store, right: Store) -> None:
    """Both stores have the same rows of every table that a log fills."""
    for table, order in (
        ("slow_queries", ["ended_at", "thread_id", "digest", "ordinal"]),
        ("statements", ["digest"]),
        ("coverage", ["source"]),
    ):
        frames = [
            one.read(table, cluster="shop").sort_values(order, ignore_index=True) for one in (left, right)
        ]
        pd.testing.assert_frame_equal(*frames)


LOGS = {
    "a database that is named once": [entry(0, use="shop"), *map(entry, range(1, 80))],
    "a database that one of three sessions changes": [
        entry(n, use="shop" if n == 0 else "bi" if n == 40 else "", session=7 if n % 9 == 0 else 0) for n in range(80)
    ],
    "no database": [*map(entry, range(80))],
    "a server that starts again and names no database": [
        entry(0, use="shop"), *map(entry, range(1, 30)), BANNER, *map(entry, range(30, 80))
    ],
    "equal executions on both sides of every cut": [entry(0, use="shop"), *[entry(5, session=4)] * 80],
}  # fmt: skip

LIKE_ENTRIES = [
    entry(0, use="shop"),
    *(entry(n, "INSERT INTO t VALUES ('" + f"x;\n{entry(n)}" * (4 + n % 6) + "')") for n in range(1, 13)),
]
"""A text that looks like entries, longer than a part."""


@pytest.mark.parametrize("log", LOGS)
def test_parts_of_a_file_give_the_rows_of_the_file(tmp_path, monkeypatch, log):
    """What an entry takes over from the log before it, and its number among equal ones, crosses every cut."""
    _compare_parts_with_the_file(tmp_path, monkeypatch, LOGS[log])


def test_parts_are_cut_alike_without_the_compiled_scanner(tmp_path, monkeypatch, scanner):
    """Where a text looks like entries, both scanners cut at the same places."""
    _compare_parts_with_the_file(tmp_path, monkeypatch, LIKE_ENTRIES)


def _compare_parts_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]) -> None:
    path = tmp_path / "slow.log"
    path.write_text("".join(log))
    store = in_parts(tmp_path / "parts", str(path), monkeypatch=monkeypatch)
    assert len(log_parts.parts(str(path))) > 2
    assert_same(store, whole(tmp_path / "whole", str(path)))


def test_a_folder_is_its_files(tmp_path, monkeypatch):
    """Compressed files are read whole, in the order of their names; hidden and empty files are left out."""
    (tmp_path / "logs" / "older").mkdir(parents=True)
    for name, numbers in (("older/a.gz", range(20)), ("b.log", range(10, 40)), (".c", range(5))):
        text = "".join(entry(n, use="shop") for n in numbers).encode()
        (tmp_path / "logs" / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    (tmp_path / "logs" / "empty.log").touch()
    sources = inputs.found([str(tmp_path / "logs")], lambda: None)
    assert [Path(str(one)).name for one in sources] == ["b.log", "a.gz"]
    store = in_parts(tmp_path / "parts", *sources, monkeypatch=monkeypatch)
    assert_same(store, whole(tmp_path / "whole", *map(str, sources)))
    assert len(store.read("slow_queries", cluster="shop")) == 40


def test_an_unchanged_file_is_stored_already_and_a_changed_one_is_not(tmp_path):
    """A file is identified by its time of change, its size and how it is read, for each instance of its own."""
    path = tmp_path / "slow.log"
    path.write_text("".join(map(entry, range(9))))
    whole(tmp_path / "store", str(path))
    target = Target(str(tmp_path / "store"), "shop", "shop-1")
    assert log_files.is_stored(str(path), target)
    assert not log_files.is_stored(str(path), Target(target.location, "shop", "shop-2"))
    assert not log_files.is_stored(str(path), Target(target.location, "other", "shop-1"))
    assert not log_files.is_stored("-", target)
    os.utime(path, ns=(1, 1))
    assert not log_files.is_stored(str(path), target)


def test_an_object_is_identified_by_its_etag():
    """A listed object has its ETag; that of a named one is requested."""
    client = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    listed = inputs.S3Object("logs", "a.gz", lambda: client, 7, '"abc"')
    assert inputs.identity(listed) == "abc, 7 bytes"
    from botocore.stub import Stubber

    with Stubber(client) as answers:
        answers.add_response(
            "head_object", {"ETag": '"def"', "ContentLength": 8}, {"Bucket": "logs", "Key": "a.gz"}
        )
        assert inputs.identity(inputs.S3Object("logs", "a.gz", lambda: client)) == "def, 8 bytes"


def test_a_part_of_an_object_travels_to_another_machine():
    """A worker gets the object's name and makes its own client of S3."""
    part = log_parts.Part(inputs.S3Object("logs", "a.gz", connections.s3_client, 7, "abc"))
    assert pickle.loads(pickle.dumps(part)) == part
    assert log_parts.parts(part.source) == [part]
    large = inputs.S3Object("logs", "b.gz", connections.s3_client, log_parts.LARGEST_WHOLE + 1)
    assert log_parts.parts(large) == []
