"""Run statements through the RDS Data API, and explain its refusals.

https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/data-api.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.parsers import ResponseParserError

from aurora_analysis import engines
from aurora_analysis.engines.live_evidence import ConnectionLost, Probe
from aurora_analysis.errors import Error
from aurora_analysis.sources.aws import errors
from aurora_analysis.sources.aws.answers import UNREADABLE

ENGINE = "aurora-mysql"

PAUSED = {"DatabaseResumingException", "DatabaseUnavailableException", "ServiceUnavailableError"}
RETRIED = {
    *PAUSED,
    *errors.THROTTLED,
    UNREADABLE,
    "InternalServerErrorException",
    "StatementTimeoutException",
}
"""Error codes after which the next sample may succeed."""

OFF = {"HttpEndpointNotEnabledException"}
"""Error code of a cluster whose Data API is off."""

SECRETS = {"InvalidSecretException", "SecretsErrorException", "DatabaseNotFoundException"}

DATABASE_ERROR = re.compile(r"(?:Database error code:|ERROR|errno)\s*(\d+)", re.IGNORECASE)
"""The database's error number in the service's message."""


def probe(client: Any, cluster_arn: str, secret_arn: str, cluster: str) -> Probe:
    """Return the probe of a cluster's writer; `client` is boto3's client of `rds-data`."""
    module = engines.module(ENGINE, "data_api")

    def run(sql: str) -> Sequence[Any]:
        request = {"resourceArn": cluster_arn, "secretArn": secret_arn, "sql": sql}
        try:
            answer = client.execute_statement(**request, includeResultMetadata=True)
        except ClientError as problem:
            raise _refusal(problem, cluster_arn, module.Refused) from None
        except (BotoCoreError, HTTPClientError, ResponseParserError) as problem:
            if errors.is_credentials(problem):
                raise Error(errors.explained(problem)) from None
            raise ConnectionLost(errors.explained(problem).rstrip(".")) from None
        columns = answer.get("columnMetadata") or []
        names = [str(column.get("label") or column.get("name", "")) for column in columns]
        types = [str(column.get("typeName", "")).upper() for column in columns]
        return [module.Row.of(names, _values(record, types)) for record in answer.get("records") or []]

    made: Probe = module.Probe(run, f"{cluster}-writer")
    return made


def _refusal(problem: ClientError, cluster_arn: str, refused: type[Exception]) -> Exception:
    """Return the exception that a refusal means: skip this statement, wait for the next sample, or end."""
    code = errors.code(problem)
    message = " ".join(str(problem.response["Error"].get("Message", "")).split())
    if code in RETRIED:
        return ConnectionLost(message.rstrip(".") or code)
    if code in OFF or "HttpEndpoint is not enabled" in message:
        enable = f"aws rds enable-http-endpoint --resource-arn {cluster_arn}"
        return Error(f"The Data API is off for the cluster: turn it on ({enable}), or pass --writer.")
    if code in SECRETS:
        return Error(
            f"--secret cannot be used ({code}: {message}): name a secret with the user and password of this cluster."
        )
    is_denied = code in errors.DENIED or code == "ForbiddenException"
    if errors.is_credentials(problem) or (is_denied and errors.is_beyond_policy(problem)):
        return Error(errors.explained(problem))
    if is_denied:
        permitted = "allow rds-data:ExecuteStatement and secretsmanager:GetSecretValue, as deploy/iam-policy-live.json does"
        return Error(f"ExecuteStatement is not permitted: {permitted}. AWS: {message}")
    if found := DATABASE_ERROR.search(message):
        return refused(int(found[1]), message)
    if code == "BadRequestException" and "limit" in message:
        return refused(0, message.rstrip("."))
    return Error(f"ExecuteStatement failed ({code}: {message}): check --data-api and --secret.")


def _values(record: Sequence[Mapping[str, Any]], types: Sequence[str]) -> list[Any]:
    """Return a record's values; whole numbers that came as text become numbers."""
    return [_value(field, kind) for field, kind in zip(record, types or [""] * len(record), strict=True)]


def _value(field: Mapping[str, Any], kind: str) -> Any:
    if field.get("isNull"):
        return None
    value = next(iter(field.values()), None)
    return int(value) if isinstance(value, str) and "INT" in kind and value.lstrip("-").isdigit() else value
