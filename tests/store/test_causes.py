"""Why a table could not be opened or written: one line with the next step."""

from __future__ import annotations

import os

import pandas as pd
import pytest

from aurora_analysis import Store, Window
from aurora_analysis.errors import Error, Lost, Unfinished
from aurora_analysis.store.causes import cause, failed
from aurora_analysis.store.panics import without_panics
from aurora_analysis.store.uri import storage_options

TREE = "Kernel error -> Generic S3 error\n  \x1b[31m↳\x1b[0m Error performing GET {}\n   ↳ {}\n    ↳ the last line"


@pytest.mark.parametrize(
    ("where", "text", "line"),
    [
        ("http://s3/x", "<Code>NoSuchBucket</Code>", "there is no such bucket; create it"),
        (
            "http://169.254.169.254/latest/api/token",
            "403 Forbidden",
            "no AWS credentials were found; set AWS_PROFILE",
        ),
        ("http://s3/x", "<Code>ExpiredToken</Code>", "the AWS credentials are not valid; renew them"),
        (
            "http://s3/x",
            "Received redirect without LOCATION",
            "the bucket is in another region; set AWS_REGION",
        ),
        ("http://s3/x", "403 Forbidden", "allow it as deploy/iam-policy-s3.json does"),
        ("http://s3/x", "403 Forbidden: kms:GenerateDataKey on resource", "allow kms:Decrypt"),
        ("http://s3/x", "error sending request", "check the network, AWS_REGION and AWS_ENDPOINT_URL"),
        ("http://s3/x", "something new", "the last line"),
    ],
)
def test_a_cause_has_a_next_step(where, text, line):
    """The texts are delta-rs's, as a server on loopback makes it write them."""
    found = cause(OSError(TREE.format(where, text)), "s3://shop/store")
    assert line in found
    assert "\n" not in found


def test_a_local_cause_is_the_innermost_line():
    """A folder has no credentials and no region."""
    assert cause(OSError(TREE.format("redirect", "AccessDenied")), "/srv/store") == "the last line"


def test_a_backtrace_is_not_the_cause():
    """delta-rs prints its calls behind a log that it cannot read; the last line names a file of the C library."""
    text = (
        "Json error: Truncated record\n   0: <unknown>\n  12: clone3\n             at ./misc/clone3.S:81:0\n"
    )
    assert cause(OSError(text), "/srv/store") == "Json error: Truncated record"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_http_endpoint_needs_no_further_variable(monkeypatch, name):
    """boto3's variables name the endpoint; an https:// endpoint stays protected."""
    for each in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:9000")
    options = storage_options("s3://shop/store", "metrics")
    assert (options["aws_endpoint_url"], options["aws_allow_http"]) == ("http://127.0.0.1:9000", "true")
    monkeypatch.setenv(name, "https://minio.example")
    assert "aws_allow_http" not in storage_options("s3://shop/store", "metrics")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("503 Service Unavailable: <Code>SlowDown</Code>", Lost),
        ("AWS Error SLOW_DOWN during ListObjectsV2 operation", Lost),
        ("error sending request", Lost),
        ("403 Forbidden: <Code>AccessDenied</Code>", Unfinished),
        ("AWS Error ACCESS_DENIED during ListObjectsV2 operation", Unfinished),
        ("<Code>NoSuchBucket</Code>", Error),
        ("something new", Error),
    ],
)
def test_only_what_s3_may_answer_later_is_unfinished(text, kind):
    """Exit code 1 for a refusal and a denial, 2 for a bucket that does not exist; only a refusal stops other clusters."""
    assert type(failed("Cannot open metrics", OSError(text), "s3://shop/store")) is kind
    assert type(failed("Cannot open metrics", OSError(text), "/srv/store")) is Error


PANIC = b"""
thread 'tokio-rt-worker' (7) panicked at object_store/src/buffered.rs:369:41:
Already shut down
stack backtrace:
   0: first
   1: second
note: Some details are omitted.
"""


def test_panics_of_rust_are_not_printed(capfd):
    """What else is printed meanwhile comes out in its order; a folder's output is left alone."""
    with without_panics("s3://shop/store"), without_panics("s3://shop/store"):
        os.write(2, b"before\n" + PANIC + PANIC + b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"
    with without_panics("/srv/store"):
        os.write(2, PANIC)
    assert "panicked" in capfd.readouterr().err


def test_a_read_only_store_is_refused_before_rust_panics(tmp_path, monkeypatch):
    """access(2) answers for permissions and for a read-only file system; root is bound by the second only."""
    frame = pd.DataFrame({"time": [pd.Timestamp("2026-11-09T01:00Z")], "message": ["hello"]})
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(Error, match=r"Cannot write into .*store: .* is read-only for this user\."):
        Store(tmp_path / "store").write(
            "events", frame, Window("2026-11-09", "2026-11-10"), cluster="shop", source="test"
        )
    assert not (tmp_path / "store").exists()


def test_an_error_of_the_system_is_its_message():
    """Not Rust's notation of it."""
    text = 'Error: Os { code: 30, kind: ReadOnlyFilesystem, message: "Read-only file system" }'
    assert cause(OSError(text), "/srv/store") == "Read-only file system"
