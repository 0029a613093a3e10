"""Files, globs, and logs on S3 are inputs of digest and ingest."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner, Result
from moto.server import ThreadedMotoServer

from aurora_analysis.cli import main
from aurora_analysis.errors import Error
from aurora_analysis.sources import inputs, log_files
from aurora_analysis.store import Store

EXPORT = Path(__file__).parent.parent / "slow_logs" / "arrivals" / "01-s3-export-prefix"
(LOG,) = (path.read_bytes() for path in EXPORT.iterdir() if path.name != "expected.txt")


@pytest.fixture(scope="module")
def bucket() -> Iterator[None]:
    """A bucket on loopback with an export of CloudWatch Logs."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    names = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, value in names.items():
            patched.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="logs")
        for key, content in {
            "exports/aws-logs-write-test": b"Permission Check Successful",
            "exports/task/": b"",
            "exports/task/shop-2/000000.gz": gzip.compress(LOG),
            "exports/task/shop-2/000001.gz": gzip.compress(LOG),
            "exports/task/shop-3/000000.gz": gzip.compress(LOG),
            "other/notes.txt": b"Not a log\n",
        }.items():
            client.put_object(Bucket="logs", Key=key, Body=content)
        yield
        client.close()
    server.stop()


def typed(*arguments: str) -> Result:
    """What the command prints, and its exit code."""
    return CliRunner().invoke(main, arguments)


def events(*names: str) -> int:
    """Number of executions that digest counts in these inputs."""
    done = typed("digest", "--format", "json", *names)
    assert done.exit_code == 0, done.output
    return int(json.loads(done.stdout)["events"])


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("s3://logs/exports/", 3),
        ("s3://logs/exports/task/shop-2/000001.gz", 1),
        ("s3://logs/exports/**/shop-[3-9]/*.gz", 1),
        ("s3://logs/exports/*/shop-[!3]/00000?.gz", 2),
    ],
)
def test_a_prefix_or_a_glob_on_s3_is_read_as_one_log(bucket, name, files):
    """Each object once; the object with which the export checks its permission is no log."""
    (path,) = (path for path in EXPORT.iterdir() if path.name != "expected.txt")
    assert events(name) == files * events(str(path))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("s3://logs/export/", "Nothing matches s3://logs/export/"),
        ("s3://logs/exports/*.gz", "Nothing matches s3://logs/exports/*.gz"),
        ("s3://nowhere/x/", "Cannot read s3://nowhere/x/: there is no such bucket"),
        ("s3://logs/x.gz", "Cannot read s3://logs/x.gz: there is no such object"),
        ("s3://", "s3:// names no bucket"),
        ("s3://logs/other/", "No entry of a slow log in s3://logs/other/notes.txt"),
        ("nothing-*.log", "Nothing matches nothing-*.log"),
    ],
)
def test_an_input_that_matches_nothing_is_one_line(bucket, name, says):
    """The culprit and the next step; exit code 2."""
    done = typed("digest", name)
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert says in done.output


def test_ingest_reads_a_prefix_and_covers_each_object(bucket, tmp_path):
    """Objects of one name in several folders have a row of coverage each."""
    store = str(tmp_path / "store")
    done = typed("ingest", "--store", store, "--cluster", "shop", "--instance", "shop-2", "s3://logs/exports/task/shop-2/", "s3://logs/exports/task/shop-3/")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert len(Store(store).read("slow_queries", cluster="shop")) == events(
        "s3://logs/exports/task/shop-2/000000.gz"
    )
    assert set(Store(store).read("coverage", cluster="shop")["source"]) == {
        f"slow_log s3://logs/exports/task/shop-{name}.gz" for name in ("2/000000", "2/000001", "3/000000")
    }


def test_globs_of_files_are_expanded_and_a_file_of_such_a_name_is_itself(tmp_path):
    """Quoted globs, also with `**`; each file once, in order."""
    for name in ("a/slow.log.2", "a/slow.log.1", "b/c/slow.log", "slow[1].log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(LOG)

    def found(*names: str) -> list[str]:
        return [str(one) for one in inputs.found([str(tmp_path / name) for name in names], lambda: None)]

    assert found("a/*", "a/slow.log.1") == [str(tmp_path / "a/slow.log.1"), str(tmp_path / "a/slow.log.2")]
    assert found("**/slow.log") == [str(tmp_path / "b/c/slow.log")]
    assert found("slow[1].log") == [str(tmp_path / "slow[1].log")]


class Body:
    """An object of 40 MB that is made while it is read; it breaks off at the end."""

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * size
        from urllib3.exceptions import ProtocolError

        raise ProtocolError("Connection broken")


class Client:
    """boto3's client, as far as it is called."""

    def get_object(self, Bucket: str, Key: str) -> dict[str, Body]:
        return {"Body": Body()}


def test_an_object_is_streamed_and_a_broken_download_is_one_line():
    """Memory does not grow with the object, and the error names it."""
    source = inputs.S3Object("logs", "big.log", Client)
    tracemalloc.start()
    read = 0
    with pytest.raises(Error, match=r"Cannot read s3://logs/big.log: .*Connection broken"):
        for chunk in log_files.chunks(source):
            read += len(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == 40 * 2**20
    assert peak < 16 * 2**20
