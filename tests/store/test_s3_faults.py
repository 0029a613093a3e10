"""A store on S3 that refuses, denies or delays: no row is lost, none is there twice, and one line says why a command ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pandas as pd
import pytest
import s3_server
from click.testing import CliRunner, Result
from s3_server import S3, Fault

from aurora_analysis import Store
from aurora_analysis.cli import main
from aurora_analysis.errors import Error
from aurora_analysis.report import publish

BUCKET = "faults"
LOG = (Path(__file__).parent.parent / "slow_logs" / "aurora_mysql_3.log").read_bytes()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """A bucket with two slow logs."""
    with s3_server.running(BUCKET) as server, pytest.MonkeyPatch.context() as patched:
        for name, value in (server.variables | {"AWS_MAX_ATTEMPTS": "4"}).items():
            patched.setenv(name, value)
        client = boto3.client("s3")
        for year in ("25", "26"):
            client.put_object(
                Bucket=BUCKET, Key=f"logs/{year}.log", Body=LOG.replace(b"2026-", f"20{year}-".encode())
            )
        client.close()
        yield server


@pytest.fixture(autouse=True)
def healed(s3: S3) -> Iterator[None]:
    """The next test begins without a fault."""
    yield
    s3.lift()


def ingest(place: str, fault: Fault, s3: S3) -> Result:
    """Ingest the logs while S3 has a fault."""
    s3.put(fault)
    return CliRunner().invoke(
        main,
        ["ingest", f"s3://{BUCKET}/logs/", "--cluster", "a", "--instance", "b", "--store", place],
        catch_exceptions=False,
    )


def rows(place: str) -> pd.DataFrame:
    """Return the executions of a store, in one order."""
    return (
        Store(place)
        .read("slow_queries", cluster="a")
        .sort_values(["ended_at", "thread_id"], ignore_index=True)
    )


NONE = Fault("none", 0.0)


@pytest.fixture(scope="module")
def expected(s3: S3) -> pd.DataFrame:
    """The executions of both logs, without a fault."""
    place = f"s3://{BUCKET}/expected"
    assert ingest(place, NONE, s3).exit_code == 0
    found = rows(place)
    assert len(found) == 3  # one execution is in both logs
    return found


@pytest.mark.parametrize("fault", [Fault("busy", 0.1), Fault("slow", 0.3, "", 0.05)], ids=["busy", "slow"])
def test_a_command_outlasts_refusals_and_slow_answers(s3, expected, fault):
    """A refused request, of which S3 may have carried out half, is sent again, and its effect is there once."""
    place = f"s3://{BUCKET}/{fault.kind}"
    result = ingest(place, fault, s3)
    assert s3.lift() > 3
    assert result.exit_code == 0, result.output
    pd.testing.assert_frame_equal(rows(place), expected)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("busy", 1.0, "slow_queries/"), "S3 refuses requests for now (503)"),
        (Fault("denied", 1.0, "coverage/"), "access is denied; allow it"),
        (Fault("denied", 1.0, "logs/26"), "allow s3:ListBucket and s3:GetObject for it"),
    ],
    ids=["busy", "denied table", "denied log"],
)
def test_a_command_that_cannot_go_on_ends_with_one_line_and_the_next_one_finishes(
    s3, expected, fault, reason, request
):
    """Exit code 1, and the reason with the next step; afterwards the same command stores what is missing, once."""
    place = f"s3://{BUCKET}/ended-{request.node.callspec.id.replace(' ', '-')}"
    result = ingest(place, fault, s3)
    assert s3.lift() > 0
    assert result.exit_code == 1
    *_, last = result.output.splitlines()
    assert last.startswith("aurora-analysis: Cannot ")
    assert reason in last
    assert "rerun the command" in last
    assert ingest(place, NONE, s3).exit_code == 0
    pd.testing.assert_frame_equal(rows(place), expected)


@pytest.mark.parametrize(("kind", "tries"), [("busy", 4), ("denied", 1)])
def test_a_refused_request_is_sent_no_more_often_than_the_setting_says(s3, expected, kind, tries):
    """AWS_MAX_ATTEMPTS; a denied one is not sent again. Otherwise a command would take minutes to end."""
    newest = Store(f"s3://{BUCKET}/expected")
    for store in (newest, Store(newest.location, versions=newest.versions())):
        s3.put(Fault(kind))
        with pytest.raises(Error, match="Cannot open slow_queries "):
            store.read("slow_queries", cluster="a")
        assert s3.lift() == tries


def test_what_may_not_be_listed_is_one_line(s3, expected):
    """Access to one table is denied: exit code 1, the table and the next step."""
    s3.put(Fault("denied", 1.0, "slow_queries/"))
    result = CliRunner().invoke(
        main, ["store", "coverage", "--cluster", "a", "--store", f"s3://{BUCKET}/expected"]
    )
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "Cannot list slow_queries in" in result.output
    assert "access is denied" in result.output


def test_an_upload_that_was_interrupted_is_finished_by_the_next_one(s3, tmp_path):
    """The pages of half a first report are not taken for something else."""
    for name in ("findings.json", "index.html", "lab.html"):
        (tmp_path / name).write_text("{}")
    client = boto3.client("s3")
    bucket = publish.Bucket(client, BUCKET, "reports/")
    s3.put(Fault("denied", 1.0, "index.html"))
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        bucket.replace(tmp_path, "W46/")
    s3.lift()
    bucket.replace(tmp_path, "W46/")
    assert sorted(bucket.names("")) == ["W46/findings.json", "W46/index.html", "W46/lab.html"]
    client.close()
