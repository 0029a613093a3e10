"""Why a Delta table could not be opened or written: one line from delta-rs's tree of errors, with the next step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import DeltaError

from aurora_analysis.errors import Error, Gone, Lost, Unfinished

DENIED = "AccessDenied|ACCESS_DENIED|403 Forbidden"
BUSY = (
    "SlowDown|SLOW_DOWN|ServiceUnavailable|SERVICE_UNAVAILABLE|InternalError|INTERNAL_FAILURE|50[0234] [A-Z]|"
    "HTTP response code 50[0234]"
)
SYSTEM = r'Os \{.*message: "(?P<message>[^"]+)"'
"""How Rust prints an error of the system, such as a read-only file system."""
BACKTRACE = r"(?s)\n +0: .*"
"""The calls inside delta-rs, which follow its message where its log cannot be read."""
GONE = r"Object at location (?P<file>.+?\.parquet) not found"
SILENT = "error sending request|dns error|timed out|NETWORK_CONNECTION|REQUEST_TIMEOUT|error decoding response body"

S3_CAUSES = (
    ("NoSuchBucket", "there is no such bucket; create it, or check its name"),
    (
        r"169\.254\.|[Cc]redential",
        "no AWS credentials were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role",
    ),
    (
        "InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken",
        "the AWS credentials are not valid; renew them",
    ),
    (
        "PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint|redirect",
        "the bucket is in another region; set AWS_REGION to the bucket's region",
    ),
    ("RequestTimeTooSkewed", "this machine's clock is wrong; set it (timedatectl set-ntp true)"),
    ("kms:|KMS", "its KMS key may not be used; allow kms:Decrypt and kms:GenerateDataKey on the key"),
    (DENIED, "access is denied; allow it as deploy/iam-policy-s3.json does, then rerun the command"),
    (BUSY, "S3 refuses requests for now (503); wait some minutes, then rerun the command"),
    (
        SILENT,
        "S3 does not answer; check the network, AWS_REGION and AWS_ENDPOINT_URL, then rerun the command",
    ),
)
"""Part of the message of delta-rs or pyarrow → the cause and the next step, the first that matches."""


def cause(problem: Exception, location: str) -> str:
    """Return the cause of a failure in one line.

    Parameters
    ----------
    problem : Exception
        The error of delta-rs, whose text is a tree with the innermost cause last.
    location : str
        The store's folder or s3:// prefix.

    Returns
    -------
    str
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", re.sub(BACKTRACE, "", str(problem))).strip()
    if location.startswith("s3://"):
        known = next((line for pattern, line in S3_CAUSES if re.search(pattern, text)), "")
        if known:
            return known
    if gone := re.search(GONE, text):
        return f"its file {gone['file']} is missing; restore that file, or read a version that `store compact` has kept"
    if system := re.search(SYSTEM, text):
        return system["message"]
    return text.split("\n")[-1].strip(" ↳") or type(problem).__name__


def is_of_storage(problem: Exception) -> bool:
    """Return whether an error is one of delta-rs, pyarrow or the system; a scan by arro3 raises a plain `Exception`.

    Parameters
    ----------
    problem : Exception

    Returns
    -------
    bool
    """
    return isinstance(problem, OSError | DeltaError) or type(problem) is Exception


def failed(act: str, problem: Exception, location: str) -> Error:
    """Return the error of an act that the store did not allow.

    Parameters
    ----------
    act : str
        What failed, as in "Cannot open metrics in s3://kept/store".
    problem : Exception
        The error of delta-rs or pyarrow.
    location : str
        The store's folder or s3:// prefix.

    Returns
    -------
    Error
        `Lost` if S3 does not answer any request for now, `Unfinished` if it denies this one, `Gone` if a file is missing.
    """
    line, text = f"{act}: {cause(problem, location)}.", str(problem)
    if re.search(GONE, text):
        return Gone(line)
    if not location.startswith("s3://"):
        return Error(line)
    known = next((pattern for pattern, _ in S3_CAUSES if re.search(pattern, text)), "")
    return {BUSY: Lost, SILENT: Lost, DENIED: Unfinished}.get(known, Error)(line)


@contextmanager
def one_line(act: str, location: str) -> Iterator[None]:
    """Turn an error of delta-rs or pyarrow into one line.

    Parameters
    ----------
    act : str
        What the block does, as in "read metrics in".
    location : str
        The store's folder or s3:// prefix.

    Returns
    -------
    context manager

    Raises
    ------
    Error
        As from `failed`.
    """
    try:
        yield
    except Exception as problem:
        if not is_of_storage(problem):
            raise
        raise failed(f"Cannot {act} {location}", problem, location) from None
