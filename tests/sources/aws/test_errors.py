"""Errors of AWS calls: each is explained in one line, with the next step."""

from __future__ import annotations

import re

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, SSLError, UnauthorizedSSOTokenError
from botocore.parsers import ResponseParserError

from aurora_analysis.errors import Error
from aurora_analysis.sources.aws import errors


def refused(
    code: str, message: str = "User x is not authorized", action: str = "GetResourceMetrics"
) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, action)


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (refused("AccessDenied"), "GetResourceMetrics is not permitted"),
        (
            refused("ThrottlingException"),
            r"still throttled after the last retry: lower its rate in \[rates\]",
        ),
        (
            refused("InvalidArgumentException"),
            r"GetResourceMetrics failed \(InvalidArgumentException: User x",
        ),
        (
            refused("AccessDenied", "no service control policy allows the rds:DescribeDBClusters action"),
            "denied by a service control policy: deploy/iam-policy.json cannot allow it",
        ),
        (refused("AccessDenied", "with an explicit deny in an identity-based policy"), "denied explicitly"),
        (
            refused("AccessDenied", "is not authorized to perform: kms:Decrypt"),
            "allow kms:Decrypt and kms:Gen",
        ),
        (refused("UnrecognizedClientException"), "enable the region for the account"),
        (refused("AccessDenied", action="AssumeRole"), "AssumeRole failed .* its trust policy"),
        (refused("RequestTimeTooSkewed"), "set this machine's clock"),
        (refused("RequestExpired"), "AWS refuses the time of the request"),
        (
            refused("InvalidOperationException", "is of log-group-class INFREQUENT_ACCESS"),
            "Delete the group after exporting what you need",
        ),
        (SSLError(endpoint_url="https://x", error="self-signed certificate"), "AWS_CA_BUNDLE"),
        (ResponseParserError("no element found\nline 2"), "check the proxy or gateway"),
        (NoCredentialsError(), "Unable to locate credentials: set up boto3's credentials"),
        (UnauthorizedSSOTokenError(), r"corresponding profile: sign in again \(aws sso login\)"),
        (Error("Do this."), "Do this."),
        (ZeroDivisionError("two\nlines"), r"could not be read \(ZeroDivisionError: two\)"),
    ],
)
def test_an_error_is_explained_in_one_line(problem, expected):
    """The line names the cause and the next step."""
    line = errors.explained(problem)
    assert re.search(expected, line)
    assert "\n" not in line
