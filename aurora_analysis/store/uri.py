"""Addresses of Delta tables as delta-rs wants them: S3 prefixes, plain folders, and folders with awkward names."""

from __future__ import annotations

import os
import re
from pathlib import Path

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""The environment variables of an S3 endpoint, in boto3's order."""

AWKWARD = re.compile(r"%[0-9A-Fa-f]{2}|[\[\]^|\\]")
"""Characters that delta-rs 1.6 cannot read in a local path.

It decodes percent sequences once too often (Jenkins names the workspace of branch feature/x `feature%2Fx`), and
panics at the other characters. No way of quoting helps, because it resolves and quotes every local path itself.
"""


def table_uri(location: str, folder: str) -> str:
    """Return the address of a table in a store.

    Parameters
    ----------
    location : str
        A folder or an s3:// prefix.
    folder : str
        The table's folder inside the store.

    Returns
    -------
    str
    """
    return "fs://local/" if _is_awkward(location) else f"{location.rstrip('/')}/{folder}"


def storage_options(location: str, folder: str) -> dict[str, str] | None:
    """Return the options that go with a table's address; None if there are none.

    On S3, conditional puts make commits atomic without a lock table. In an awkward store, the table's folder is the
    root of OpenDAL's file system, so that neither its name nor the store's is in an address (OpenDAL lists no folder
    whose name needs quoting, such as that of the cluster `Shop`). OpenDAL creates a commit's file exclusively but
    does not write it under another name first: a reader at that very moment may fail, and may simply try again.

    Parameters
    ----------
    location : str
        A folder or an s3:// prefix.
    folder : str
        The table's folder inside the store.

    Returns
    -------
    dict of str to str, or None
    """
    if location.startswith("s3://"):
        return {"aws_conditional_put": "etag", "max_retries": str(attempts() - 1)} | _endpoint()
    return {"opendal.root": str(Path(location).resolve() / folder)} if _is_awkward(location) else None


def attempts() -> int:
    """Return how often a request to S3 is tried: S3 refuses some while it adapts to a higher rate (503 SlowDown).

    Returns
    -------
    int
        `AWS_MAX_ATTEMPTS`, as in boto3, else 10.
    """
    return int(os.environ.get("AWS_MAX_ATTEMPTS", "10"))


def _endpoint() -> dict[str, str]:
    """Return the S3 endpoint that boto3's variables name; delta-rs accepts an http:// address only if allowed."""
    found = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    allowed = {"aws_allow_http": "true"} if found.startswith("http://") else {}
    return {"aws_endpoint_url": found} | allowed if found else {}


def _is_awkward(location: str) -> bool:
    return "://" not in location and AWKWARD.search(str(Path(location).resolve())) is not None
