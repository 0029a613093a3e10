"""Errors of AWS calls: which of them end a fetch, and one line that explains each."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from aurora_analysis.errors import Error

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
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
}
"""Error codes of credentials that are invalid or have expired."""

THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "RequestThrottled",
}
"""Error codes of a call above the service's rate."""

NOT_CONFIGURED = (NoCredentialsError, NoRegionError, PartialCredentialsError, CredentialRetrievalError)
"""boto3 has no credentials or no region to sign a call with."""

SIGNED_OUT = (SSOError, TokenRetrievalError)
"""The session of boto3's single sign-on has expired."""


def code(problem: BaseException) -> str:
    """Return the service's error code, or an empty string for any other error."""
    return str(problem.response["Error"].get("Code", "")) if isinstance(problem, ClientError) else ""


def is_credentials(problem: BaseException) -> bool:
    """Return whether the error is about credentials, so that every other call would fail too."""
    return code(problem) in CREDENTIALS or isinstance(problem, (*NOT_CONFIGURED, *SIGNED_OUT))


def explained(problem: BaseException) -> str:
    """Explain an error in one line: the cause and the next step. Never shows the request, which is signed."""
    if isinstance(problem, Error):
        return str(problem)
    if isinstance(problem, ClientError):
        return _client_error(problem)
    if isinstance(problem, NOT_CONFIGURED):
        return f"{_first_line(problem)}: set up boto3's credentials and region (aws configure, AWS_PROFILE, a role)."
    if isinstance(problem, SIGNED_OUT):
        return f"{_first_line(problem)}: sign in again (aws sso login), then rerun the command."
    if isinstance(problem, EndpointConnectionError):
        return f"{_first_line(problem)}: check the region and the network."
    if isinstance(problem, ParamValidationError):
        return f"The installed boto3 rejects the request: {_first_line(problem)}. Upgrade boto3."
    if isinstance(problem, BotoCoreError):
        return f"{_first_line(problem)}: rerun the command."
    return (
        f"The answer could not be read ({type(problem).__name__}: {_first_line(problem)}): please report it."
    )


def _client_error(problem: ClientError) -> str:
    name, action = code(problem), problem.operation_name
    message = str(problem.response["Error"].get("Message", "")).strip().split("\n")[0]
    if name in DENIED:
        return f"{action} is not permitted: allow it as deploy/iam-policy.json does."
    if name in CREDENTIALS:
        return f"The credentials are not valid ({name}): renew them, then rerun the command."
    if name in THROTTLED:
        return f"{action} was still throttled after the last retry: lower its rate in [rates], then rerun the command."
    return f"{action} failed ({name}: {message}): rerun the command, or run aurora-analysis doctor."


def _first_line(problem: BaseException) -> str:
    return next(iter(str(problem).splitlines()), type(problem).__name__).rstrip(".")
