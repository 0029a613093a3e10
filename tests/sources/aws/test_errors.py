"""Errors of AWS calls: each is explained in one line, with the next step."""

from __future__ import annotations

import re

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, UnauthorizedSSOTokenError

from aurora_analysis.errors import Error
from aurora_analysis.sources.aws import errors


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "User x is not authorized"}}, "GetResourceMetrics")


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
