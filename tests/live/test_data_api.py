"""`watch --data-api`: the writer over HTTPS on loopback, with rows that a real MySQL gave, and every way to be refused."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aurora_analysis import Store
from aurora_analysis.cli import main
from aurora_analysis.engines.mysql import data_api

CAPTURED = json.loads((Path(__file__).parents[1] / "payloads" / "mysql_9_7_4_transactions.json").read_text())
CLUSTER = "arn:aws:rds:eu-central-1:123456789012:cluster:shop"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop"

VARIABLES = {
    "aurora_server_id": "shop-1",
    "aurora_version": "3.08.0",
    "innodb_read_only": "OFF",
    "version": "8.0.39",
}
NUMBERS = [*range(1, 12)]
TRANSACTIONS = [[*row, 0, 4000 + n] for n, row in enumerate(CAPTURED["transactions"])]
ROWS: dict[str, list[list[Any]]] = {
    "SHOW SESSION VARIABLES": [[name, value] for name, value in VARIABLES.items()],
    "SHOW ENGINE INNODB STATUS": [["InnoDB", "", "\n".join(CAPTURED["status"])]],
    "innodb_trx": TRANSACTIONS,
    "SHOW GLOBAL STATUS": [["Uptime", "1000"], ["Com_insert", "5"]],
}
"""Part of a statement → the rows of its answer; all others have none."""


def field(value: Any) -> dict[str, Any]:
    """Return a value as the Data API does."""
    if value is None:
        return {"isNull": True}
    kinds = {int: "longValue", float: "doubleValue", str: "stringValue"}
    return {kinds[type(value)]: value}


class Service:
    """The Data API on loopback: each statement in `seen`; `refusals` map a part of a statement to status, code and text."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.refusals: dict[str, tuple[int, str, str]] = {}

    def answer(self, request: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        self.seen.append(request)
        for part, (status, code, text) in self.refusals.items():
            if part in request["sql"] and code == "html":
                return status, {}, text.encode()
            if part in request["sql"]:
                return status, {"x-amzn-ErrorType": code}, json.dumps({"message": text}).encode()
        rows = next((rows for part, rows in ROWS.items() if part in request["sql"]), [])
        width = len(rows[0]) if rows else 0
        columns = [{"label": f"c{n}", "typeName": "VARCHAR"} for n in range(width)]
        records = [[field(value) for value in row] for row in rows]
        return 200, {}, json.dumps({"records": records, "columnMetadata": columns}).encode()


@pytest.fixture
def service(monkeypatch) -> Iterator[Service]:
    """Serve, and lead boto3 to the service."""
    played = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, content = played.answer(body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    yield played
    server.shutdown()
    server.server_close()


def watch(location: Path, *more: str) -> Result:
    """Watch for a second through the Data API."""
    command = ["watch", "--cluster", "shop", "--store", str(location), "--for", "1s", "--every", "1s", *more]
    return CliRunner().invoke(main, command, catch_exceptions=False)


API = ("--data-api", CLUSTER, "--secret", SECRET)


def test_the_writers_transactions_are_sampled_and_stored(service, tmp_path):
    """The sessions of a real MySQL; every statement is tagged, read by one secret, and limited by hints if it is a SELECT."""
    result = watch(tmp_path, *API)
    assert result.exit_code == 0, result.output
    stored = Store(tmp_path).read("open_transactions", cluster="shop")
    assert set(stored["thread_id"]) == {row[0] for row in CAPTURED["transactions"]}
    assert set(stored["instance"]) == {"shop-1"}
    assert {(one["resourceArn"], one["secretArn"]) for one in service.seen} == {(CLUSTER, SECRET)}
    statements = {one["sql"] for one in service.seen}
    assert all(sql.startswith("/* aurora-analysis */ ") for sql in statements)
    assert all(data_api.HINTS in sql for sql in statements if "*/ SELECT" in sql)


@pytest.mark.parametrize(
    ("refusal", "line"),
    [
        (
            (400, "HttpEndpointNotEnabledException", "off"),
            "aws rds enable-http-endpoint --resource-arn arn:aws:rds",
        ),
        (
            (403, "AccessDeniedException", "no"),
            "allow rds-data:ExecuteStatement and secretsmanager:GetSecretValue",
        ),
        ((400, "InvalidSecretException", "bad"), "name a secret with the user and password"),
        ((403, "ExpiredTokenException", "old"), "renew them"),
        (
            (403, "InvalidSignatureException", "Signature expired: 20261109T000000Z"),
            "set this machine's clock",
        ),
        (
            (403, "AccessDeniedException", "an explicit deny in a service control policy"),
            "a service control policy",
        ),
        (
            (403, "AccessDeniedException", "not authorized to perform: kms:Decrypt on key"),
            "allow kms:Decrypt",
        ),
        ((400, "BadRequestException", "strange"), "check --data-api and --secret"),
    ],
)
def test_a_refusal_that_lasts_is_one_line_and_exit_code_2(service, tmp_path, refusal, line):
    """It names the cause and the next step."""
    service.refusals[""] = refusal
    result = watch(tmp_path, *API)
    assert result.exit_code == 2, result.output
    assert line in result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        (503, "html", "<!DOCTYPE html><p>proxy"),
        (400, "DatabaseResumingException", "The database is resuming"),
        (400, "StatementTimeoutException", "45 s"),
        (429, "ThrottlingException", "Rate exceeded"),
    ],
)
def test_a_service_that_does_not_answer_is_waited_for(service, tmp_path, refusal):
    """A web page of a proxy, a paused cluster, a timeout and throttling end no watch; none answered, so exit code 1."""
    service.refusals[""] = refusal
    result = watch(tmp_path, *API)
    assert result.exit_code == 1
    assert "shop-writer" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("refusal", "needs"),
    [
        ((400, "BadRequestException", "Database error code: 1227. Message: Access denied"), "GRANT PROCESS"),
        (
            (400, "BadRequestException", "Database returned more than the allowed response size limit"),
            "limits",
        ),
    ],
)
def test_a_statement_that_is_refused_is_skipped_and_reported(service, tmp_path, refusal, needs):
    """A missing grant, or a status above the limit of an answer: the other statements go on."""
    service.refusals["SHOW ENGINE INNODB STATUS"] = refusal
    result = watch(tmp_path, *API)
    assert result.exit_code == 0, result.output
    assert needs in result.output
    assert len(Store(tmp_path).read("open_transactions", cluster="shop")) > 0


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ((), "Pass either --writer URL or --data-api CLUSTER_ARN."),
        ((*API, "--writer", "mysql://u@h/"), "Pass either --writer URL or --data-api CLUSTER_ARN."),
        (("--data-api", CLUSTER), "need each other"),
        (("--data-api", "shop", "--secret", SECRET), "is not a cluster's ARN"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, given, line):
    """Before anything is sampled."""
    result = watch(tmp_path, *given)
    assert (result.exit_code, len(result.output.strip().splitlines())) == (2, 1)
    assert line in result.output
