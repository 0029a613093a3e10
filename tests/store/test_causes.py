"""Why a table could not be opened or written: one line with the next step."""

from __future__ import annotations

import pytest

from aurora_analysis.store.causes import cause
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
