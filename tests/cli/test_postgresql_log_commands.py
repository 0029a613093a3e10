"""digest and ingest on PostgreSQL's logs, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable

from aurora_analysis.cli import main
from aurora_analysis.store import Store

LOGS = Path(__file__).parent.parent / "postgresql_logs"
MYSQL = Path(__file__).parent.parent / "slow_logs" / "aurora_mysql_3.log"
RDS = LOGS / "rds_seconds.log"


def typed(*arguments: str, given: bytes = b"") -> Result:
    """Run a command of the program."""
    return CliRunner().invoke(main, arguments, input=given)


@pytest.mark.parametrize("name", ["rds_seconds", "rds_milliseconds", "csvlog", "jsonlog"])
def test_digest_recognises_the_engine_and_leaves_out_what_its_log_lacks(name):
    """Null in JSON, no column on the page: PostgreSQL logs neither lock time nor rows."""
    path = str(LOGS / f"{name}.log")
    found = json.loads(typed("digest", "--format", "json", path).stdout)
    assert (found["events"], found["coverage"]["lost"]) == (16, 0)
    top = found["profile"][0]
    assert (top["fingerprint"], top["calls"]) == ("select pg_sleep(?)", 1)
    assert {top[figure] for figure in ("lock_time_s", "rows_sent", "rows_examined")} == {None}
    assert set(found["sums"].values()) - {None} == {found["sums"]["query_time_s"]}
    page = typed("digest", path).stdout + typed("digest", "--format", "html", path).stdout
    assert "select pg_sleep(?)" in page
    assert "xamined" not in page and "ows sent" not in page and "None" not in page


def test_digest_refuses_an_order_that_the_log_lacks():
    """The line lists what there is."""
    refused = typed("digest", "--order-by", "examined", str(RDS))
    expected = "A log of postgresql has no rows_examined to sort by: order by time, calls, mean, p95, max."
    assert (refused.exit_code, refused.output) == (2, f"aurora-analysis: {expected}\n")


def test_logs_of_two_engines_are_not_added_up():
    """Neither by their order nor by the number of processes."""
    for files in ((str(RDS), str(MYSQL)), (str(MYSQL), str(RDS))):
        refused = typed("digest", *files)
        assert refused.exit_code == 2
        assert (
            "Some of these logs are of" in refused.output
            and "Read each engine's logs by themselves" in refused.output
        )


def test_a_time_without_an_offset_needs_log_timezone(tmp_path):
    """digest shows durations without it; ingest refuses, and names the option."""
    path = tmp_path / "log"
    path.write_bytes(RDS.read_bytes().replace(b" UTC:", b" CET:"))
    assert "when: unknown" in typed("digest", str(path)).stdout
    placed = json.loads(
        typed("digest", "--format", "json", "--log-timezone", "Europe/Berlin", str(path)).stdout
    )
    assert placed["first_ended_at"] == "2026-11-29T13:10:31Z"
    ingest = ("ingest", "--store", str(tmp_path / "s"), "--cluster", "c", "--instance", "i", str(path))
    refused = typed(*ingest)
    assert refused.exit_code == 2 and "CET names no offset from UTC" in refused.output
    assert "--log-timezone Europe/Berlin" in refused.output and not (tmp_path / "s").exists()
    assert typed(*ingest, "--log-timezone", "Europe/Berlin").exit_code == 0
    wrong = typed(*ingest, "--log-timezone", "Berlin")
    assert (wrong.exit_code, wrong.output) == (
        2,
        "aurora-analysis: 'Berlin' is not a time zone: write a name such as Europe/Berlin.\n",
    )


def test_ingest_fills_statements_vacuums_and_events_once(tmp_path):
    """A log that is ingested twice gives the same rows as once."""
    location = str(tmp_path / "store")
    arguments = (
        "ingest",
        "--store",
        location,
        "--cluster",
        "ledger",
        "--instance",
        "ledger-1",
        str(LOGS / "csvlog.log"),
    )
    for _ in range(2):
        done = typed(*arguments)
        assert done.exit_code == 0, done.output
    store = Store(location)
    rows = {
        name: store.read(name, cluster="ledger") for name in ("slow_queries", "vacuums", "events", "coverage")
    }
    assert {name: len(found) for name, found in rows.items()} == {
        "slow_queries": 16,
        "vacuums": 4,
        "events": 3,
        "coverage": 2,
    }
    assert set(rows["slow_queries"]["application"]) == {"psql", "pgbench"}
    assert rows["slow_queries"]["lock_time_s"].isna().all()
    vacuum = rows["vacuums"].query("table == 'public.queue'").iloc[0]
    assert (vacuum["removed"], vacuum["cutoff"], vacuum["next_xid"]) == (34, 729, 729)
    assert (vacuum["time"] - vacuum["started_at"]).total_seconds() == vacuum["elapsed_s"] == 0.01
    assert list(rows["events"]["category"]) == ["timeout", "lock wait", "lock wait"]
    assert set(rows["coverage"]["table"]) == {"slow_queries", "vacuums"}


def test_an_old_store_takes_the_new_columns_and_opens_unchanged(tmp_path):
    """`application` came with PostgreSQL: rows that were written before have none."""
    location = str(tmp_path / "store")
    arguments = ("--store", location, "--cluster", "ledger", "--instance")
    assert typed("ingest", *arguments, "shop-1", str(MYSQL)).exit_code == 0
    before = len(Store(location).read("slow_queries", cluster="ledger"))
    table = DeltaTable(f"{location}/slow_queries/cluster=ledger")
    frame = table.to_pandas().drop(columns="application")
    _rewritten(location, frame)
    assert "application" not in DeltaTable(f"{location}/slow_queries/cluster=ledger").schema().to_json()
    assert len(Store(location).read("slow_queries", cluster="ledger")) == before
    assert typed("ingest", *arguments, "ledger-1", str(RDS)).exit_code == 0
    assert len(Store(location).read("slow_queries", cluster="ledger")) == before + 16


def _rewritten(location: str, frame) -> None:
    """Replace `slow_queries` by one without the newest column, as an older version wrote it."""
    import shutil

    from deltalake import write_deltalake

    shutil.rmtree(f"{location}/slow_queries/cluster=ledger")
    write_deltalake(f"{location}/slow_queries/cluster=ledger", frame, partition_by=["week"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"2026-11-23 10:00:00 UTC [7] LOG:  Dauer: 1.0 ms  Anweisung: SELECT 1\n" * 3, "not in English (lc_messages)"),
        (b"2026-11-23 10:00:00 UTC:[local]:a@b:[7]:LOG:  duration: 5.000 ms\n" * 3, "set log_min_duration_statement"),
        (b"Nov 23 10:00:00 db postgres[7]: [1-1] LOG:  duration: 5.000 ms  statement: SELECT 1\n", "Is this a slow log?"),
    ],
)  # fmt: skip
def test_a_log_that_cannot_be_used_is_refused_with_its_reason(text, reason, tmp_path):
    """One line, and exit code 2."""
    path = tmp_path / "log"
    path.write_bytes(text)
    refused = typed("digest", str(path))
    assert refused.exit_code == 2 and reason in refused.output and refused.output.count("\n") == 1
