"""Run SQL on a new clone through the RDS Data API: the Lambda handler of `clone.yaml`'s custom resource.

`python3 dev.py templates` copies this file into the template, so it imports nothing but what Lambda's Python has.
"""

import hashlib
import json
import re
import signal
import time
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

RESERVE_S = 20.0
"""Time kept for the answer to CloudFormation, which otherwise waits until the resource's timeout."""
PATIENCE_S = 120.0
"""How long a call that AWS did not start is repeated: a new role, a paused or starting database."""
NOT_STARTED = [
    "AccessDeniedException",
    "DatabaseResumingException",
    "DatabaseUnavailableException",
    "ForbiddenException",
    "HttpEndpointNotEnabledException",
    "ThrottlingException",
]
QUOTES_DATA = ("BadRequestException", "DatabaseErrorException", "UnsupportedResultException")
"""Errors whose message is the database's, which quotes values of the statement or of a row."""

# The clone remembers the statements that it ran: an event that Lambda or CloudFormation repeats runs none of them again.
LEDGER = (
    "CREATE DATABASE IF NOT EXISTS aurora_analysis_clone",
    "CREATE TABLE IF NOT EXISTS aurora_analysis_clone.statements (digest CHAR(64) PRIMARY KEY)",
)


class OutOfTimeError(BaseException):
    """Interrupts whatever waits; no library's `except Exception` catches it."""


def handler(event, context):
    """Run the statements that the clone has not run yet, and always answer CloudFormation."""
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.setitimer(
        signal.ITIMER_REAL, max(context.get_remaining_time_in_millis() / 1000 - RESERVE_S, 0.001)
    )
    progress = ["before the first statement"]
    try:
        applied = _applied(event, progress)
        outcome = {"Status": "SUCCESS", "Data": {"Applied": applied}}
    except OutOfTimeError:
        outcome = {"Status": "FAILED", "Reason": f"The function's time was over {progress[-1]}."}
    except _Failed as failed:
        outcome = {"Status": "FAILED", "Reason": str(failed)}
    except Exception as error:  # its text may quote a statement
        outcome = {"Status": "FAILED", "Reason": f"{type(error).__name__} {progress[-1]}."}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    _answer(event, outcome)


def _applied(event, progress):
    """Return how many statements this event ran."""
    if event["RequestType"] == "Delete":
        return 0  # the stack deletes the clone itself
    properties = event["ResourceProperties"]
    statements = _statements(properties["Statements"])
    target = {"resourceArn": properties["ClusterArn"], "secretArn": properties["SecretArn"]}
    config = Config(connect_timeout=5, read_timeout=50, retries={"total_max_attempts": 1})
    client, until = boto3.client("rds-data", config=config), time.monotonic() + PATIENCE_S

    def execute(sql, **parameters):
        while True:
            try:
                return client.execute_statement(sql=sql, **target, **parameters)
            except ClientError as error:
                if error.response["Error"]["Code"] not in NOT_STARTED or time.monotonic() > until:
                    raise
                time.sleep(3)

    try:
        for sql in LEDGER:
            execute(sql)
        rows = execute("SELECT digest FROM aurora_analysis_clone.statements").get("records", [])
    except ClientError as error:
        raise _Failed(f"The clone's list of statements could not be read: {_said(error)}") from None
    done = {row[0]["stringValue"] for row in rows}
    database = {"database": properties["Database"]} if properties.get("Database") else {}
    applied = 0
    for place, sql in enumerate(statements, 1):
        nth = statements[:place].count(sql)  # the same statement may be meant twice
        digest = hashlib.sha256(f"{nth} {sql}".encode()).hexdigest()
        if digest in done:
            continue
        progress.append(f"at statement {place} of {len(statements)}, {_head(sql)}")
        try:
            execute(sql, **database)
        except ClientError as error:
            raise _Failed(f"Failed {progress[-1]}: {_said(error)}") from None
        execute(
            "INSERT INTO aurora_analysis_clone.statements VALUES (:digest)",
            parameters=[{"name": "digest", "value": {"stringValue": digest}}],
        )
        applied += 1
    return applied


class _Failed(Exception):
    """A failure whose text holds no value of a statement or a row."""


def _statements(text):
    try:
        statements = json.loads(text)
    except (TypeError, ValueError):
        statements = None
    if not isinstance(statements, list) or not all(
        isinstance(one, str) and one.strip() for one in statements
    ):
        raise _Failed(
            'Statements is not a JSON list of texts, such as ["DROP USER etl", "DELETE FROM mails"].'
        )
    return statements


def _head(sql):
    """Return the statement up to its first literal or comment: nothing behind it can be a secret."""
    head = " ".join(re.split(r"""['"#]|--|/\*|(?<![\w`])[\d.]""", sql, maxsplit=1)[0].split())
    return f"`{head[:200]} …`" if head else "which begins with a comment or a literal"


def _said(error):
    """Return the error's code, and its message unless a database wrote it."""
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code == "StatementTimeoutException":
        return f"{code}: the Data API ends a statement after 45 s; split it into smaller ones."
    if code not in QUOTES_DATA:
        return f"{code}: {message[:500]}"
    numbers = re.findall(r"(?:error code|SQLState)\W{0,3}(\w{4,5})\b", message, re.IGNORECASE)
    return " ".join([code, *numbers])


def _answer(event, outcome):
    stack = hashlib.sha256(event["StackId"].encode()).hexdigest()[:12]
    name = event.get("PhysicalResourceId") or f"{event['LogicalResourceId']}-{stack}"
    same = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
    print(json.dumps({"RequestType": event["RequestType"], **outcome}))
    body = json.dumps({"Reason": "", "PhysicalResourceId": name, **same, **outcome}).encode()
    for attempt in range(3):
        try:
            request = urllib.request.Request(event["ResponseURL"], body, {"Content-Type": ""}, method="PUT")
            urllib.request.urlopen(request, timeout=RESERVE_S / 4).close()
            return
        except OSError:
            if attempt == 2:
                raise  # Lambda repeats the event, and the clone knows what it ran
            time.sleep(1)


def _out_of_time(*_):
    raise OutOfTimeError
