"""Why a Delta table could not be opened or written: one line from delta-rs's tree of errors, with the next step."""

from __future__ import annotations

import re

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
    ("AccessDenied|403 Forbidden", "access is denied; allow it as deploy/iam-policy-s3.json does"),
    (
        "error sending request|dns error",
        "S3 does not answer; check the network, AWS_REGION and AWS_ENDPOINT_URL",
    ),
)
"""Part of delta-rs's message → the cause and the next step, the first that matches."""


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
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(problem)).strip()
    if location.startswith("s3://"):
        known = next((line for pattern, line in S3_CAUSES if re.search(pattern, text)), "")
        if known:
            return known
    return text.split("\n")[-1].strip(" ↳") or type(problem).__name__
