"""Send a message to its target: a webhook, a Slack webhook, an SNS topic, a file, or a command.

The address of a webhook is a secret, like a password: names, errors and logs contain only its host.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aurora_analysis.errors import Error
from aurora_analysis.live.alerts import messages
from aurora_analysis.live.alerts.messages import Message
from aurora_analysis.printable import printable

TIMEOUT_S = 30.0
"""Time after which a target that has not accepted a message has failed [s]; long, so that a slow one does not get it twice."""

SECRETS = ("AURORA_ANALYSIS_PASSWORD", "AURORA_ANALYSIS_NOTIFY")
"""Variables that a command does not inherit."""

LOCAL = {"localhost", "127.0.0.1", "::1"}

EXPECTED = (
    "write https://…, slack:https://…, arn:aws:sns:REGION:ACCOUNT:TOPIC, file:PATH or exec:PROGRAM ARGUMENT…"
)

TOPIC = re.compile(r"arn:[\w-]+:sns:(?P<region>[\w-]+):\d+:[\w.-]+")


PASSING = {408, 425, 429}
"""Answers 4xx that concern the moment. Any other one (a wrong address, a revoked token, a refused form) stays the same."""


class DeliveryError(Exception):
    """A message was not accepted; the text gives the reason without any secret.

    `is_refusal`: the target answered that it does not take the message, which another attempt will not change.
    """

    def __init__(self, reason: str, *, is_refusal: bool = False) -> None:
        super().__init__(reason)
        self.is_refusal = is_refusal


@dataclass(frozen=True)
class Target:
    """One place that messages go to.

    `name` has no secret. `key` names its queue, the same after a restart. `send` raises `DeliveryError`.
    """

    name: str
    key: str
    send: Callable[[Message], None]


def parse(text: str, sns_client: Callable[[str], Any]) -> Target:
    """Return the target that a text names.

    Parameters
    ----------
    text : str
        As on the command line; see `EXPECTED`.
    sns_client : callable
        Makes boto3's client of SNS for a region.

    Returns
    -------
    Target

    Raises
    ------
    Error
        If the text names no target. The message does not repeat it, because it may be a secret.
    """
    text = text.strip()
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    kind, _, rest = text.partition(":")
    if found := TOPIC.fullmatch(text):
        return Target(f"SNS topic {text.rpartition(':')[2]}", key, _sns(sns_client(found["region"]), text))
    if kind == "file" and rest:
        path = Path(rest.removeprefix("//")).expanduser()
        return Target(f"file {printable(path)}", key, _file(path))
    if kind == "exec" and rest:
        return _command(rest, key)
    url = rest if kind == "slack" else text
    if kind in {"http", "https", "slack"}:
        host = _host(url)
        is_slack = kind == "slack" or host == "hooks.slack.com"
        return Target(f"webhook at {host}", key, _webhook(url, is_slack))
    raise Error(f"--notify names no target: {EXPECTED}.")


def _host(url: str) -> str:
    """Return a webhook's host; plain http is allowed to this machine only."""
    try:
        found = urlsplit(url)
        host, _ = found.hostname or "", found.port
    except ValueError:
        host = ""
    if not host or found.scheme not in {"http", "https"} or not re.fullmatch("[!-~]+", url):
        raise Error(f"--notify has a URL that cannot be read: {EXPECTED}.")
    if found.scheme == "http" and host not in LOCAL:
        raise Error(
            f"--notify: http:// would send the webhook's secret to {host} in clear text: write https://…, or relay it on "
            "this machine."
        )
    return host


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would send the message, and perhaps the secret, to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Refuse."""


def _webhook(url: str, is_slack: bool) -> Callable[[Message], None]:
    opener = urllib.request.build_opener(_NoRedirect)

    def send(message: Message) -> None:
        form = messages.as_slack(message) if is_slack else messages.as_json(message)
        headers = {"Content-Type": "application/json", "Idempotency-Key": message["id"]}
        request = urllib.request.Request(url, form.encode(), headers, method="POST")
        try:
            opener.open(request, timeout=TIMEOUT_S).close()
        except urllib.error.HTTPError as problem:
            problem.close()
            is_refusal = 400 <= problem.code < 500 and problem.code not in PASSING
            raise DeliveryError(f"it answered {problem.code}", is_refusal=is_refusal) from None
        except (OSError, http.client.HTTPException, ValueError) as problem:
            raise DeliveryError(_reason(problem)) from None

    return send


def _reason(problem: Exception) -> str:
    """Describe a failure by its kind: its own text may repeat the URL."""
    inner = getattr(problem, "reason", problem)
    kinds: Mapping[type[Exception], str] = {
        TimeoutError: f"it did not answer within {TIMEOUT_S:g} s",
        ssl.SSLCertVerificationError: "its certificate is not valid",
        ssl.SSLError: "TLS failed",
        socket.gaierror: "its name has no address",
        ConnectionRefusedError: "it refused the connection",
        ConnectionError: "the connection broke",
    }
    return next((cause for kind, cause in kinds.items() if isinstance(inner, kind)), "the request failed")


def _sns(client: Any, topic: str) -> Callable[[Message], None]:
    def send(message: Message) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            client.publish(TopicArn=topic, **messages.as_sns(message))
        except ClientError as problem:
            code = problem.response.get("Error", {}).get("Code", "an error")
            raise DeliveryError(f"it answered {printable(code)}") from None
        except BotoCoreError as problem:
            raise DeliveryError(f"boto3 failed with {type(problem).__name__}") from None

    return send


def _file(path: Path) -> Callable[[Message], None]:
    def send(message: Message) -> None:
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{messages.as_json(message)}\n")
        except OSError as problem:
            raise DeliveryError(f"it cannot be written: {problem.strerror}") from None

    return send


def _command(text: str, key: str) -> Target:
    try:
        words = shlex.split(text)
    except ValueError:
        raise Error("--notify exec: has a quote that is not closed.") from None
    if not words or not shutil.which(words[0]):
        raise Error("--notify exec: names a program that does not exist or cannot be run.")
    return Target(f"command {printable(Path(words[0]).name)}", key, _run(words))


def _run(words: list[str]) -> Callable[[Message], None]:
    """Run a program, without a shell, with the JSON on its standard input; kill it if it takes too long."""

    def send(message: Message) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except OSError as problem:
            raise DeliveryError(f"it cannot be started: {problem.strerror}") from None
        with process:
            try:
                process.communicate(f"{messages.as_json(message)}\n".encode(), timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise DeliveryError(f"it had not ended after {TIMEOUT_S:g} s") from None
        if process.returncode:
            raise DeliveryError(f"it ended with exit code {process.returncode}")

    return send
