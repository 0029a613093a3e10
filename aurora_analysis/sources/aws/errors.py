"""Errors of AWS calls: which of them end a fetch, and one line that explains each."""

from __future__ import annotations

import re

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    ConnectionError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    InvalidConfigError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from aurora_analysis.errors import Error, first_line
from aurora_analysis.sources.aws.answers import UNREADABLE

DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "NotAuthorizedException",
    "UnauthorizedOperation",
    "AuthorizationError",
}
"""Error codes of a call that the caller's policy does not allow."""

CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
}
"""Error codes of credentials that are invalid or have expired."""

NOT_IN_REGION = {"InvalidClientTokenId", "UnrecognizedClientException"}
"""Error codes of credentials that are not valid in this region, perhaps because the account has not enabled it."""

CLOCK = {"RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"}
"""Error codes of a request whose time differs too much from AWS's."""

THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "RequestThrottled",
}
"""Error codes of a call above the service's rate."""

BUSY = {"SlowDown", "ServiceUnavailable", "503"}
"""S3's error codes while it adapts to a higher rate; 503 is that of an answer without a body."""

NOT_CONFIGURED = (
    ConfigParseError,
    CredentialRetrievalError,
    InvalidConfigError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
"""boto3's settings name no usable credentials or no region to sign a call with."""

SIGNED_OUT = (SSOError, TokenRetrievalError)
"""The session of boto3's single sign-on has expired."""

LOGIN = {
    "AssumeRole",
    "AssumeRoleWithWebIdentity",
    "AssumeRoleWithSAML",
    "GetRoleCredentials",
    "GetSessionToken",
}
"""Operations by which boto3 gets credentials."""

WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
"""S3's error codes of a request to another region than the bucket's."""

S3_ACTIONS = {
    "ListObjectsV2",
    "GetObject",
    "HeadObject",
    "PutObject",
    "DeleteObject",
    "CreateMultipartUpload",
}
"""Operations of S3 that a report or an input makes."""

BOUNDARIES = (
    "service control policy",
    "resource control policy",
    "permissions boundary",
    "session policy",
    "VPC endpoint policy",
    "resource-based policy",
)
"""Policies, by their names in AWS's messages, that can deny what the caller's own policy allows."""


def code(problem: BaseException) -> str:
    """Return the service's error code, or an empty string for any other error."""
    return str(problem.response["Error"].get("Code", "")) if isinstance(problem, ClientError) else ""


def is_outside(problem: BaseException) -> bool:
    """Return whether nothing but AWS, its permissions or the network has to change for the same command to succeed."""
    if not isinstance(problem, ClientError):
        return not isinstance(problem, (*NOT_CONFIGURED, *SIGNED_OUT, ParamValidationError))
    status = int(problem.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    is_denied = code(problem) in DENIED and problem.operation_name in S3_ACTIONS
    return is_denied or status >= 500 or code(problem) in THROTTLED


def is_credentials(problem: BaseException) -> bool:
    """Return whether the error is about credentials or the clock, so that every other call would fail too."""
    if isinstance(problem, ClientError):
        return code(problem) in CREDENTIALS | CLOCK or problem.operation_name in LOGIN
    return isinstance(problem, (*NOT_CONFIGURED, *SIGNED_OUT))


def explained(problem: BaseException) -> str:
    """Explain an error in one line: the cause and the next step. Never shows the request, which is signed."""
    if isinstance(problem, Error):
        return str(problem)
    if isinstance(problem, ClientError):
        return _client_error(problem)
    if isinstance(problem, BotoCoreError | HTTPClientError):
        return f"{_reason(problem)}: {_next_step(problem)}."
    if isinstance(problem, ResponseParserError):
        return "AWS's answer is a web page or broken: check the proxy or gateway before AWS, then rerun the command."
    return f"The answer could not be read ({type(problem).__name__}: {_reason(problem)}): please report it."


def _next_step(problem: BaseException) -> str:
    if isinstance(problem, NOT_CONFIGURED):
        return "set up boto3's credentials and region (aws configure, AWS_PROFILE, a role)"
    if isinstance(problem, SIGNED_OUT):
        return "sign in again (aws sso login), then rerun the command"
    if isinstance(problem, ProxyConnectionError):
        return "check the proxy in HTTPS_PROXY, or name AWS's hosts in NO_PROXY"
    if isinstance(problem, SSLError):
        return "if a proxy inspects TLS, name its certificate in AWS_CA_BUNDLE; also check the clock"
    if isinstance(problem, EndpointConnectionError | ConnectionError):
        return "check the region and the network"
    if isinstance(problem, ParamValidationError):
        return "the installed boto3 rejects the request; upgrade boto3"
    return "rerun the command"


def _client_error(problem: ClientError) -> str:
    name, action = code(problem), problem.operation_name
    message = " ".join(str(problem.response["Error"].get("Message", "")).split())
    if name == UNREADABLE:
        return f"{action} returned {message}: check the proxy or gateway before AWS, then rerun the command."
    if _is_skewed(name, message):
        return (
            f"AWS refuses the time of the request ({name}): set this machine's clock (timedatectl set-ntp true), or "
            "renew the credentials if the clock is right, then rerun the command."
        )
    if name in CREDENTIALS:
        region = " (or enable the region for the account)" if name in NOT_IN_REGION else ""
        return f"The credentials are not valid ({name}): renew them{region}, then rerun the command."
    if action in LOGIN:
        return f"boto3 cannot get credentials: {action} failed ({name}: {message}): check the role and its trust policy."
    if _needs_key(name, message):
        return (
            f"{action} needs a KMS key that is not usable ({name}: {message}): allow kms:Decrypt and "
            "kms:GenerateDataKey on the key, in your policy and in the key's (deploy/README.md, IAM permissions)."
        )
    if name == "NoSuchBucket":
        bucket = problem.response["Error"].get("BucketName", "of this name")
        return f"There is no bucket {bucket}: create it, or check its name."
    if name in WRONG_REGION:
        return f"The bucket is in another region ({name}): set AWS_REGION to the bucket's region."
    if name in DENIED and action in S3_ACTIONS:
        return (
            f"{action} is not permitted: allow it as deploy/iam-policy-s3.json does, then rerun the command."
        )
    if name in DENIED:
        return _denied(action, message)
    if name in BUSY:
        return f"{action} was still refused after the last retry ({name}): wait some minutes, then rerun the command."
    if name in THROTTLED:
        return f"{action} was still throttled after the last retry: lower its rate in [rates], then rerun the command."
    if "log-group-class" in message or "log class" in message:
        return (
            f"{action} does not work on the log group's class ({message}): a class cannot be changed. Delete the "
            "group after exporting what you need; RDS then creates it again as Standard."
        )
    return f"{action} failed ({name}: {message}): rerun the command; if it fails again, act on the reason."


def is_beyond_policy(problem: ClientError) -> bool:
    """Return whether AWS names a reason for a denial that the caller's own policy cannot change."""
    message = str(problem.response["Error"].get("Message", ""))
    is_denied = any(each in message for each in BOUNDARIES) or "explicit deny" in message
    return is_denied or _needs_key(code(problem), message)


def _needs_key(name: str, message: str) -> bool:
    return bool(re.search("kms:|KMS", f"{name} {message}"))


def _is_skewed(name: str, message: str) -> bool:
    """Return whether AWS refuses the time of the request. Signature errors name it in their message only."""
    return name in CLOCK or message.startswith(("Signature expired", "Signature not yet current"))


def _denied(action: str, message: str) -> str:
    """Explain a denial by the policy that denies, which AWS names in most messages."""
    found = next((each for each in BOUNDARIES if each in message), "")
    if found:
        return (
            f"{action} is denied by a {found}: deploy/iam-policy.json cannot allow it; have the policy's owner "
            f"allow it. AWS: {message}"
        )
    if "explicit deny" in message:
        return f"{action} is denied explicitly: remove the deny from the policy. AWS: {message}"
    return f"{action} is not permitted: allow it as deploy/iam-policy.json does."


def _reason(problem: BaseException) -> str:
    return first_line(problem).rstrip(".")
