"""Log files into the store: overlapping, killed and damaged ones leave one table and an account."""

from __future__ import annotations

import gzip
import io
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import slow_log_generator as generator

from aurora_analysis.engines.mysql import slow_log
from aurora_analysis.errors import Error
from aurora_analysis.sources import log_files
from aurora_analysis.store import Store

GALLERY = Path(__file__).parent.parent / "slow_logs"


@pytest.fixture(scope="module")
def entries() -> list[bytes]:
    """Six hundred entries of the generator's: a hundred in each dialect."""
    made = generator.log(10**9, generator.Truth(), seed=3, mix=False, block=100)
    return [next(made) for _ in range(600)]


def written(path: Path, entries: list[bytes]) -> str:
    """The entries as a file."""
    path.write_bytes(b"".join(entries))
    return str(path)


def tables(store: Store):
    """The cluster's rows in the store, sorted."""
    return [
        store.read(name, cluster="shop").sort_values(list(order), ignore_index=True)
        for name, order in (("slow_queries", ("ended_at", "thread_id", "digest", "ordinal")), ("statements", ("digest",)))
    ]  # fmt: skip


def ingested(folder: Path, *names: str, batch: int = log_files.BATCH) -> Store:
    """A store into which the files went, one after the other."""
    store = Store(folder)
    for name in names:
        log_files.ingest(log_files.Target(store.location, "shop", "shop-1"), name, batch)
    return store


def ingesting(name: str, folder: Path) -> subprocess.Popen[bytes]:
    """A process that prints `ready` and then fills the store in many small batches."""
    program = (
        "import sys\nfrom aurora_analysis.sources import log_files\n"
        "print('ready', flush=True)\n"
        "log_files.ingest(log_files.Target(sys.argv[2], 'shop', 'shop-1'), sys.argv[1], 40)"
    )
    return subprocess.Popen([sys.executable, "-c", program, name, folder], stdout=subprocess.PIPE)


def same(left, right) -> bool:
    """Whether both stores hold the same tables."""
    return all(a.equals(b) for a, b in zip(tables(left), tables(right)))


def test_overlapping_files_in_either_order_give_the_same_table(tmp_path, entries):
    """Rotation, and the same hour from two places: the union, whichever came first and however it was batched."""
    whole = written(tmp_path / "whole.log", entries)
    early, late = (
        written(tmp_path / "early.log", entries[:430]),
        written(tmp_path / "late.log", entries[170:]),
    )
    expected = ingested(tmp_path / "expected", whole)
    assert len(tables(expected)[0]) == len(entries)
    assert same(ingested(tmp_path / "in order", early, late, batch=100), expected)
    assert same(ingested(tmp_path / "reversed", late, early), expected)


def test_equal_executions_are_counted_whichever_file_came_first(tmp_path):
    """MariaDB logs times to a second: executions that are equal otherwise get an ordinal each."""
    head, *entries = GALLERY.joinpath("mariadb_10_11.log").read_bytes().split(b"# User@Host")
    entries = [b"# User@Host" + entry for entry in entries]
    log = [head, *entries[:3], entries[1], entries[1], *entries[3:]]
    whole = written(tmp_path / "whole.log", log)
    part = written(tmp_path / "part.log", log[:-2])
    expected = ingested(tmp_path / "a", whole)
    assert sorted(tables(expected)[0]["ordinal"]) == [0] * len(entries) + [1, 2]
    assert same(ingested(tmp_path / "b", part, whole, part), expected)


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_ingest_that_runs_again_gives_the_same_table(tmp_path, entries, seed):
    """SIGKILL at any moment leaves a part of it; the next run adds the rest, and coverage comes last."""
    log = written(tmp_path / "slow.log", entries)
    expected = ingested(tmp_path / "expected", log)
    process = ingesting(log, tmp_path / "store")
    process.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.1, 1.0))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    store = Store(tmp_path / "store")
    is_complete = len(store.read("slow_queries", cluster="shop")) == len(entries)
    assert is_complete or store.read("coverage", cluster="shop").empty
    assert same(ingested(tmp_path / "store", log), expected)
    assert len(store.read("coverage", cluster="shop")) == 1


def test_overlapping_files_at_once_give_the_same_table(tmp_path, entries):
    """Three processes create one store: a process that loses a commit reads the table again."""
    parts = {"whole": entries, "early": entries[:430], "late": entries[170:]}
    names = [written(tmp_path / f"{name}.log", part) for name, part in parts.items()]
    processes = [ingesting(name, tmp_path / "store") for name in names]
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert same(Store(tmp_path / "store"), ingested(tmp_path / "expected", names[0]))


def test_coverage_counts_the_losses(tmp_path, entries):
    """Bytes of the file, what of them was read, and the account in words."""
    damaged = b"".join(entries[:100]).replace(b"# Query_time: ", b"# Query_ti", 1)
    name = written(tmp_path / "slow.log", [damaged, entries[100][:-30]])
    (row,) = ingested(tmp_path / "store", name).read("coverage", cluster="shop").to_dict("records")
    assert row["expected"] == Path(name).stat().st_size
    assert row["received"] == row["expected"] - row["lost"] > 0
    assert "2 lost" in row["note"]
    assert row["source"] == "slow_log slow.log"


def test_ingesting_again_commits_nothing(tmp_path, entries):
    """The same log twice is the same store, at the same versions."""
    log = written(tmp_path / "slow.log", entries)
    store = ingested(tmp_path / "store", log)
    versions = store.versions()
    assert ingested(tmp_path / "store", log).versions() == versions


def test_an_entry_cut_by_the_end_of_a_log_waits_for_the_next_ingest(tmp_path, entries):
    """A log that is still written ends within an entry: it is not stored with half its text."""
    part = written(tmp_path / "part.log", [*entries[:9], entries[9][:-12]])
    rows, _ = tables(ingested(tmp_path / "store", part))
    assert len(rows) == 9
    whole = written(tmp_path / "whole.log", entries[:10])
    assert same(ingested(tmp_path / "store", whole), ingested(tmp_path / "other", whole))


def test_gzip_and_standard_input_are_the_same_log(tmp_path, monkeypatch):
    """A gzipped log is recognised by its first bytes; - is standard input."""
    text = GALLERY.joinpath("aurora_mysql_3.log").read_bytes()
    packed = tmp_path / "slow.log.1.gz"
    packed.write_bytes(gzip.compress(text))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert b"".join(log_files.chunks(str(packed))) == text == b"".join(log_files.chunks("-"))


def test_errors_name_the_file_and_the_way_out(tmp_path):
    """A file that is missing, a folder, a gzipped file that is cut."""
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"# Time" * 1000)[:40])
    for name in (str(tmp_path / "none.log"), str(tmp_path), str(cut)):
        with pytest.raises(Error, match=name):
            list(log_files.chunks(name))


@pytest.mark.parametrize("count", [2, 3, 7])
def test_ranges_begin_where_entries_do(tmp_path, entries, count):
    """The parts of a file hold all of its entries, and lose none at their seams."""
    name = written(tmp_path / "slow.log", entries)
    parts = log_files.ranges(name, count)
    assert len(parts) == count
    assert [start for start, _ in parts[1:]] == [end for _, end in parts[:-1]]
    accounts = [slow_log.Account() for _ in parts]
    found = [
        entry.sql
        for part, account in zip(parts, accounts)
        for entry in slow_log.entries(log_files.chunks(name, *part), account)
    ]
    assert found == [entry.sql for entry in slow_log.entries([b"".join(entries)], slow_log.Account())]
    assert sum(account.damage for account in accounts) == 0


def test_a_database_that_the_session_named_wins_over_an_inferred_one(tmp_path):
    """Session 2 has no `use` in the first log; a log that shows it settles the question, in either order."""
    entry = (
        "# Time: 2026-11-18T11:06:4{second}.000000Z\n# User@Host: bi[bi] @  [10.0.0.1]  Id:     {session}\n"
        "# Query_time: 1.000000  Lock_time: 0.000000 Rows_sent: 1  Rows_examined: 1\n{use}SET timestamp=1795000000;\nSELECT 1;\n"
    )
    first = entry.format(second=0, session=1, use="use shop;\n").encode()
    inferred = written(tmp_path / "inferred", [first, entry.format(second=1, session=2, use="").encode()])
    named = written(tmp_path / "named", [entry.format(second=1, session=2, use="use shop;\n").encode()])
    for order, expected in (
        ((inferred,), [False, True]),
        ((inferred, named), [False, False]),
        ((named, inferred), [False, False]),
    ):
        rows = tables(ingested(tmp_path / f"store {len(order)} {Path(order[0]).name}", *order))[0]
        assert rows["database"].tolist() == ["shop", "shop"]
        assert rows["database_is_inferred"].tolist() == expected
