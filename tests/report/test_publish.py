"""Reports and stores on S3, against moto's server."""

from __future__ import annotations

import contextlib

import boto3
import pandas as pd
import pytest
from click.testing import CliRunner
from moto.server import ThreadedMotoServer

from aurora_analysis import Store, Window
from aurora_analysis.cli import main
from aurora_analysis.errors import Error
from aurora_analysis.report import history, index, publish, records


@pytest.fixture
def s3(monkeypatch):
    """A bucket on loopback, and boto3's client of it."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    named = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": "eu-central-1",
    }
    named |= {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):  # moto's state outlives its server
        client.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield client
    client.close()
    server.stop()


def test_store_and_archive_in_a_bucket(s3, tmp_path):
    """A store is written and read; a report replaces the earlier one; the page of all finds both weeks."""
    day = Window("2026-11-09", "2026-11-10")
    times = pd.date_range(day.start, day.end, freq="h", inclusive="left", unit="us")
    hours = pd.DataFrame({"time": times, "name": "dml_latency", "value": 5.0})
    store = Store("s3://kept/store")
    store.write("metrics", hours, day, cluster="shop", source="a server")
    assert store.write("metrics", hours, day, cluster="shop", source="a server") is None
    assert len(store.read("metrics", day, cluster="shop")) == 24

    bucket = publish.Bucket.at(publish.place("", "s3://kept/reports/", lambda: s3))
    for week, page in (("2026-W45", "old.html"), ("2026-W46", "load.html"), ("2026-W45", "load.html")):
        folder = _report(tmp_path / page / week, page)
        bucket.replace(folder, f"{week}/")
    assert sorted(bucket.names("")) == [
        f"{week}/{name}"
        for week in ("2026-W45", "2026-W46")
        for name in ("findings.json", "findings.md", "index.html", "shop/load.html")
    ]
    root = tmp_path / "root"
    bucket.fetch_records(root)
    assert set(records.all_in(root)) == {"2026-W45", "2026-W46"}
    bucket.put(history.write(root), index.PAGE)
    front = s3.get_object(Bucket="kept", Key="reports/index.html")
    assert front["ContentType"] == "text/html; charset=utf-8"
    assert b"2026-W46/index.html" in front["Body"].read()
    with pytest.raises(Error, match="something other than a report"):
        publish.Bucket(s3, "kept", "").replace(folder, "store/")


def _report(folder, page):
    (folder / "shop").mkdir(parents=True)
    (folder / "shop" / page).write_text("")
    run = {"id": folder.name, "archived": True, "store": "", "versions": {}, "timezone": "UTC"}
    run |= {"parameters": {}, "package_version": "", "git_sha": ""}
    start = "2026-11-02" if folder.name == "2026-W45" else "2026-11-09"
    bounds = {"start": f"{start}T00:00:00Z", "end": "2026-11-16T00:00:00Z"}
    index.write(folder, index.record(run, [{"cluster": "shop", "error": ""} | bounds | index.NOTHING], []))
    return folder


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("store", "coverage", "--store", "s3://none/store"), "Cannot open instances in s3://none/store: there is no such bucket"),
        (("report", "--archive", "s3://none/reports"), "There is no bucket none: create it, or check its name."),
    ],
)  # fmt: skip
def test_a_bucket_that_does_not_exist_is_one_line(s3, arguments, line):
    """The line comes before any notebook runs, and the exit code is 2."""
    result = CliRunner().invoke(main, [*arguments])
    assert result.exit_code == 2
    assert line in result.output.splitlines()[-1]
    assert "Traceback" not in result.output
