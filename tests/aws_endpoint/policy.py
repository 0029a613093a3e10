"""IAM in small: whether a policy of Allow statements permits a call."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any


def permits(policy: dict[str, Any], action: str, resource: str) -> bool:
    """Whether a statement names the action and the resource; `*` stands for anything."""
    return any(
        any(fnmatchcase(action.lower(), one.lower()) for one in _listed(statement["Action"]))
        and any(fnmatchcase(resource, one) for one in _listed(statement["Resource"]))
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
    )


def resource(service: str, operation: str, parameters: dict[str, Any], region: str, account: str) -> str:
    """Return the resource of a call; `*` if the action has no resource type."""
    where = f"{region}:{account}"
    if service == "pi":
        return f"arn:aws:pi:{where}:metrics/rds/{parameters['Identifier']}"
    if service == "logs":
        return f"arn:aws:logs:{where}:log-group:{parameters.get('logGroupName', '')}:log-stream:"
    if service == "rds" and operation in ("DescribeDBLogFiles", "DownloadDBLogFilePortion"):
        return f"arn:aws:rds:{where}:db:{parameters['DBInstanceIdentifier']}"
    return "*"


def _listed(one: str | list[str]) -> list[str]:
    return [one] if isinstance(one, str) else one
