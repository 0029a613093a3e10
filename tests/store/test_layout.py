"""A table for each cluster: what a commit costs and leaves behind, and which versions stay readable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import earlier_store
import pandas as pd
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable, write_deltalake

from aurora_analysis import Store, Window
from aurora_analysis.cli import main
from aurora_analysis.errors import Error
from aurora_analysis.store import layout, migration, reading, tidy
from aurora_analysis.store.layout import Place
from aurora_analysis.tables import TABLES

HOUR = timedelta(hours=1)
BEGIN = Window("2026-11-09", "2026-11-10").start


def metrics(window: Window, value: float) -> pd.DataFrame:
    """One value of a metric."""
    columns = {"period_s": 3600.0, "instance": "db-1", "name": "connections", "statistic": "average"}
    return pd.DataFrame({"time": pd.DatetimeIndex([window.start]).as_unit("us"), **columns, "value": value})


def write(store: Store, hour: int, value: float = 1.0, cluster: str = "shop") -> int | None:
    window = Window(BEGIN + hour * HOUR, BEGIN + (hour + 1) * HOUR)
    return store.write("metrics", metrics(window, value), window, cluster=cluster, source="test")


@pytest.fixture(scope="module")
def worn(tmp_path_factory) -> Store:
    """Sixty commits of one cluster; its first version was kept, its second for a time that is over."""
    store = Store(tmp_path_factory.mktemp("worn") / "store")
    write(store, 0, cluster="other")
    for hour, duration in ((0, timedelta(weeks=8)), (1, timedelta(days=-1))):
        write(store, hour)
        store.keep(duration, store.versions(["shop"]))
    for hour in range(2, 60):
        write(store, hour, float(hour))
    return store


def test_a_table_of_many_commits_has_few_files_and_a_short_log(worn):
    """Small files are merged and the log is shortened as commits go on; the other cluster's table is untouched."""
    table = DeltaTable(f"{worn.location}/metrics/cluster=shop")
    log = Path(worn.location) / "metrics" / "cluster=shop" / "_delta_log"
    assert len(worn.read("metrics", cluster="shop")) == 60
    assert len(table.file_uris()) <= tidy.COMPACT_EVERY + 2
    assert len(list(log.iterdir())) <= 30
    assert worn.versions(["other"]) == {"other": {"metrics": 1}}


def test_a_kept_version_is_read_after_the_log_was_shortened(worn):
    """The report's version has its one row; compaction by hand spares it, too."""
    for _ in range(2):
        rows = worn.at({"shop": {"metrics": 1}}).read("metrics", cluster="shop")
        assert rows["value"].tolist() == [1.0]
        worn.compact()
    assert len(worn.read("metrics", cluster="shop")) == 60


def test_a_version_that_is_kept_no_longer_is_refused_in_one_line(worn):
    """Not as an empty table, which would look like a time without data."""
    for version in (2, 7, 10**6):
        with pytest.raises(
            Error, match=f"no longer has metrics of shop at version {version}. A version"
        ) as refused:
            worn.at({"shop": {"metrics": version}}).read("metrics", cluster="shop")
        assert "\n" not in str(refused.value)


def test_two_compactions_at_the_same_time_leave_each_row_once(tmp_path):
    """delta-rs's own would commit the second one as if nothing had happened; ours fails, and finds nothing left to do."""
    store, place = Store(tmp_path), Place(str(tmp_path), "metrics", "shop")
    for hour in range(6):
        write(store, hour)
    for table in [store.open(TABLES["metrics"], "shop") for _ in range(2)]:
        tidy.compact(place, table)
    assert len(store.read("metrics", cluster="shop")) == 6
    assert len(DeltaTable(f"{tmp_path}/metrics/cluster=shop").file_uris()) == 1


def test_a_writer_that_the_log_left_behind_commits_again(tmp_path, monkeypatch):
    """Others committed so often since it opened the table that the log no longer reaches back: nothing is lost."""
    store = Store(tmp_path)
    write(store, 0)
    monkeypatch.setattr(tidy, "LOG_KEPT", 0)
    commits = iter(range(1, 40))

    def late(_delta, _spec, contents):
        for hour in list(commits):  # only the first time
            write(Store(tmp_path), hour)
        return contents

    monkeypatch.setattr(reading, "changed", _once(late))
    assert write(store, 50, 5.0) is not None
    assert len(store.read("metrics", cluster="shop")) == 41


def _once(first):
    """Call a function the first time that anything is looked up, and the real one from then on."""
    real, calls = reading.changed, []

    def changed(*arguments):
        calls.append(arguments)
        return first(*arguments) if len(calls) == 1 else real(*arguments)

    return changed


@pytest.mark.parametrize("name", ["Shop", "shop", "orders/eu 1", "100%~", "größe"])
def test_any_name_of_a_cluster_has_a_folder_of_its_own(tmp_path, name):
    """Also where the disk does not distinguish upper from lower case."""
    store = Store(tmp_path)
    write(store, 0, cluster=name)
    assert layout.clusters(store.location, "metrics") == [name]
    assert len(store.read("metrics", cluster=name)) == 1
    assert Place("", "metrics", name).folder == Place("", "metrics", name).folder.lower()


# Stores of earlier versions


@pytest.fixture
def earlier(tmp_path) -> Path:
    """A store with all clusters in one table, by day, as earlier versions wrote it; a row of theirs has no cluster."""
    earlier_store.make(tmp_path / "store")
    return tmp_path / "store"


def typed(*arguments: object):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_an_earlier_store_is_refused_with_the_command_that_migrates_it(earlier):
    """Reading, writing and listing: one line, and nothing is written into it."""
    store = Store(earlier)
    for act in (
        store.clusters,
        store.versions,
        lambda: store.read("metrics", cluster="shop"),
        lambda: write(store, 0),
    ):
        with pytest.raises(Error, match=f"run `aurora-analysis store migrate --store {earlier}` once"):
            act()
    done = typed("store", "coverage", "--store", earlier)
    assert (done.exit_code, "store migrate" in done.stderr) == (2, True)


def test_migrating_keeps_every_row_and_the_old_store(earlier):
    """By one command; another one says that there is nothing to do."""
    done = typed("store", "migrate", "--store", earlier)
    assert done.exit_code == 0, done.output
    assert "metrics: 22 rows" in done.stdout
    store = Store(earlier)
    assert store.clusters() == ["Lab", "shop"]
    rows = store.read("metrics", cluster="shop")
    assert len(rows) == 20 and set(rows["week"]) == {"2026-W44", "2026-W45", "2026-W46", "2026-W47"}
    assert (earlier / "README.md").read_text() == "ours"
    kept = earlier.with_name("store.before-migration")
    assert len(DeltaTable(kept / "metrics").to_pandas()) == 23
    again = typed("store", "migrate", "--store", earlier)
    assert (again.exit_code, "already has today's layout" in again.stdout) == (0, True)


@pytest.mark.parametrize("step", ["_copied", "_exchange", "_put_aside"])
def test_a_killed_migration_has_lost_nothing_and_is_repeated(earlier, monkeypatch, step):
    """Whatever it was doing: the folder holds one whole store, and the same command finishes."""
    real, calls = getattr(migration, step), []

    def killed(*arguments):
        calls.append(step)
        if step == "_copied" and len(calls) == 1:
            return real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migration, step, killed)
        with pytest.raises(KeyboardInterrupt):
            migration.migrate(str(earlier))
    assert layout.is_earlier(str(earlier), "coverage") == (step != "_put_aside")
    migration.migrate(str(earlier))
    assert len(Store(earlier).read("metrics", cluster="shop")) == 20
    assert sorted(os.listdir(earlier.parent)) == ["store", "store.before-migration"]


KILLED_WHILE_COPYING = """
import os, signal, sys
from aurora_analysis.store import migration
copied = migration._copied
def killed(location, to, spec):
    rows = copied(location, to, spec)
    os.kill(os.getpid(), signal.SIGKILL)
migration._copied = killed
migration.migrate(sys.argv[1])
"""


def test_sigkill_of_a_migration_loses_nothing(earlier):
    """Killed after the first of two tables: the old store is as it was, and the same command completes the new one."""
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_COPYING, str(earlier)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert layout.is_earlier(str(earlier), "coverage")
    assert len(DeltaTable(earlier / "metrics").to_pandas()) == 23
    assert typed("store", "migrate", "--store", earlier).exit_code == 0
    counts = {name: len(Store(earlier).read("coverage", cluster=name)) for name in earlier_store.DAYS}
    assert counts == earlier_store.DAYS


@pytest.fixture
def two_clusters(tmp_path, monkeypatch) -> Path:
    """A store of two clusters, and settings that name them and a third without data."""
    store = Store(tmp_path / "store")
    for cluster in ("shop", "crm"):
        for hour in range(3):
            write(store, hour, cluster=cluster)
            span = Window(BEGIN + hour * HOUR, BEGIN + (hour + 1) * HOUR)
            row = {
                "time": [span.start],
                "end": [span.end],
                "instance": "db-1",
                "table": "metrics",
                "received": 1.0,
            }
            store.write("coverage", pd.DataFrame(row), span, cluster=cluster, source="test")
    (tmp_path / "aurora-analysis.toml").write_text("[clusters.shop]\n[clusters.lost]\n[clusters.crm]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "store"


def test_all_clusters_of_a_store_in_one_command(two_clusters):
    """Coverage lists two clusters and exits with 1 for the third, with a line; compact and prune work on all."""
    shown = typed("store", "coverage", "--all", "--store", two_clusters)
    assert shown.exit_code == 1
    assert [line for line in shown.stdout.splitlines() if not line.startswith(" ")] == [
        f"{name}: 2026-11-09 00:00 to 2026-11-09 03:00 UTC" for name in ("shop", "crm")
    ]
    assert shown.stderr.startswith("lost: ") and shown.stderr.count("\n") == 1
    assert typed("store", "compact", "--all", "--store", two_clusters).exit_code == 0
    files = [DeltaTable(two_clusters / "metrics" / f"cluster={name}").file_uris() for name in ("shop", "crm")]
    assert [len(each) for each in files] == [1, 1]
    pruned = typed("store", "prune", "--all", "--keep-days", "1", "--store", two_clusters)
    assert (pruned.exit_code, "metrics: 6 rows" in pruned.stdout) == (0, True)
    both = typed("store", "coverage", "--all", "--cluster", "shop", "--store", two_clusters)
    assert (both.exit_code, both.stderr) == (
        2, "aurora-analysis: Pass either --cluster or --all, not both.\n"
    )  # fmt: skip


def test_a_writer_during_the_migration_is_not_lost(earlier, monkeypatch):
    """The old store stays in place, and the message says what to end."""
    real = migration._copied

    def written_meanwhile(location, to, spec):
        if spec.name == "coverage":
            DeltaTable(f"{location}/metrics").delete("instance = 'none'")
            rows = DeltaTable(f"{location}/metrics").to_pandas().head(1)
            write_deltalake(f"{location}/metrics", rows, mode="append")
        return real(location, to, spec)

    monkeypatch.setattr(migration, "_copied", written_meanwhile)
    with pytest.raises(Error, match="A writer changed .* during the migration. End fetch and watch"):
        migration.migrate(str(earlier))
    assert len(DeltaTable(earlier / "metrics").to_pandas()) == 24


def test_a_new_place_leaves_the_old_store_as_it_is(earlier, tmp_path, monkeypatch):
    """As S3 needs it; a place that already holds a store is refused."""
    assert migration.migrate(str(earlier), str(tmp_path / "new"))["metrics"] == 22
    assert Store(tmp_path / "new").clusters() == ["Lab", "shop"]
    assert layout.is_earlier(str(earlier), "metrics")
    with pytest.raises(Error, match="already holds a store"):
        migration.migrate(str(earlier), str(tmp_path / "new"))
    monkeypatch.setattr(layout, "is_earlier", lambda *_: True)
    with pytest.raises(Error, match="name a new one with --to"):
        migration.migrate("s3://bucket/store")
