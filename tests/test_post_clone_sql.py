"""The clone's custom resource: SQL runs once, every event is answered in time, and no answer holds a value."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import time
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
import yaml
from botocore.stub import Stubber
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.rdsdata.models import QueryResults, rdsdata_backends

FOLDER = Path(__file__).parent.parent / "deploy" / "cloudformation"
SECRET = "hunter2"
CLUSTER = "arn:aws:rds:eu-west-1:123456789012:cluster:shop-clone"
TARGET = {"resourceArn": CLUSTER, "secretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:s"}


def loaded(name: str) -> ModuleType:
    """A module of deploy/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


post_clone = loaded("post_clone_sql")


@pytest.fixture
def answers() -> Iterator[list[dict[str, Any]]]:
    """What CloudFormation's pre-signed URL receives; the server's port is in the last event."""
    received: list[dict[str, Any]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == ""  # any other value breaks the URL's signature
            received.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        EVENT["ResponseURL"] = f"http://127.0.0.1:{server.server_port}/signed"
        yield received
        server.shutdown()


EVENT: dict[str, Any] = {
    "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop-clone/1",
    "RequestId": "r-1",
    "LogicalResourceId": "PostCloneSql",
}


def event(*statements: str, kind: str = "Create", **more: Any) -> dict[str, Any]:
    """An event of CloudFormation."""
    properties = {"ClusterArn": CLUSTER, "SecretArn": TARGET["secretArn"], "Database": "shop"}
    return (
        EVENT
        | {"RequestType": kind, "ResourceProperties": properties | {"Statements": json.dumps(statements)}}
        | more
    )


def context(seconds: float = 900) -> SimpleNamespace:
    return SimpleNamespace(get_remaining_time_in_millis=lambda: seconds * 1000)


class DataApi:
    """A Stubber that plays a clone: it remembers the statements that the handler recorded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = boto3.client("rds-data", "eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
        self.stub = Stubber(self.client)
        self.stub.activate()
        self.recorded: list[str] = []
        monkeypatch.setattr(post_clone.boto3, "client", lambda *_, **__: self.client)
        monkeypatch.setattr(post_clone.time, "sleep", lambda _: None)

    def ledger(self) -> None:
        for sql in post_clone.LEDGER:
            self.stub.add_response("execute_statement", {}, {"sql": sql, **TARGET})
        rows = [[{"stringValue": digest}] for digest in self.recorded]
        read = {"sql": "SELECT digest FROM aurora_analysis_clone.statements", **TARGET}
        self.stub.add_response("execute_statement", {"records": rows}, read)

    def runs(self, nth: int, sql: str) -> None:
        self.stub.add_response("execute_statement", {}, {"sql": sql, "database": "shop", **TARGET})
        digest = sha256(f"{nth} {sql}".encode()).hexdigest()
        insert = {
            "sql": "INSERT INTO aurora_analysis_clone.statements VALUES (:digest)",
            "parameters": [{"name": "digest", "value": {"stringValue": digest}}],
            **TARGET,
        }
        self.stub.add_response("execute_statement", {}, insert)
        self.recorded.append(digest)

    def fails(self, code: str, message: str = "") -> None:
        self.stub.add_client_error("execute_statement", code, message)


@pytest.fixture
def data_api(monkeypatch: pytest.MonkeyPatch) -> DataApi:
    return DataApi(monkeypatch)


MASK, USER = "UPDATE mails SET address = 'x'", "CREATE USER IF NOT EXISTS etl"


def test_the_template_holds_todays_handler():
    """`python3 dev.py templates` would change nothing, and what CloudFormation reads is the file."""
    template = (FOLDER / "clone.yaml").read_text()
    assert loaded("inline").inlined(template) == template
    embedded = re.search(r"ZipFile: \|\n(.*?)\n\n  PostCloneLog:", template, re.DOTALL)
    assert embedded
    assert yaml.safe_load(f"code: |\n{embedded[1]}\n")["code"] == (FOLDER / "post_clone_sql.py").read_text()


def test_create_update_and_delete_run_each_statement_once(data_api, answers):
    """A repeated create runs nothing again, an update runs what is new, and a delete touches no database."""
    data_api.ledger()
    data_api.runs(1, MASK)
    post_clone.handler(event(MASK), context())
    data_api.ledger()
    post_clone.handler(event(MASK), context())
    name = answers[0]["PhysicalResourceId"]
    data_api.ledger()
    data_api.runs(1, USER)
    post_clone.handler(event(MASK, USER, kind="Update", PhysicalResourceId=name), context())
    post_clone.handler(event(MASK, USER, kind="Delete", PhysicalResourceId=name), context())
    data_api.stub.assert_no_pending_responses()
    assert [answer["Status"] for answer in answers] == ["SUCCESS"] * 4
    assert [answer["Data"]["Applied"] for answer in answers] == [1, 0, 1, 0]
    assert {answer["PhysicalResourceId"] for answer in answers} == {name}
    assert {answer["RequestId"] for answer in answers} == {"r-1"}


def test_a_database_that_is_not_ready_is_tried_again(data_api, answers):
    """A paused Serverless clone, a role that AWS does not know yet, an endpoint that is just being enabled."""
    for code in post_clone.NOT_STARTED:
        data_api.fails(code)
    data_api.ledger()
    post_clone.handler(event(), context())
    assert answers[0]["Status"] == "SUCCESS"


def test_a_denial_that_stays_ends_with_its_reason(data_api, answers, monkeypatch):
    """The patience is bounded."""
    monkeypatch.setattr(post_clone, "PATIENCE_S", -1)
    data_api.fails("AccessDeniedException", "no rds-data:ExecuteStatement")
    post_clone.handler(event(MASK), context())
    assert answers[0]["Status"] == "FAILED"
    assert answers[0]["Reason"].endswith("AccessDeniedException: no rds-data:ExecuteStatement")


HEADS = [
    (f"CREATE USER etl IDENTIFIED BY '{SECRET}'", "CREATE USER etl IDENTIFIED BY …"),
    (f'UPDATE users SET password = "{SECRET}"', "UPDATE users SET password = …"),
    (f"-- {SECRET}\nDROP USER etl", ""),
    (f"DROP USER etl # {SECRET}", "DROP USER etl …"),
    (f"DROP /* {SECRET} */ USER etl", "DROP …"),
    (rf"UPDATE t SET a = 'a\', b = {SECRET}, c = '", "UPDATE t SET a = …"),
    ("UPDATE t2 SET pin = 4711", "UPDATE t2 SET pin = …"),
    ("UPDATE t SET pin = .4711", "UPDATE t SET pin = …"),
    ("UPDATE t SET pin = 0x4711", "UPDATE t SET pin = …"),
    (f"UPDATE `a'b` SET c = '{SECRET}'", "UPDATE `a …"),
]


@pytest.mark.parametrize(("sql", "head"), HEADS)
def test_a_failing_statement_fails_the_stack_without_its_values(data_api, answers, sql, head, capsys):
    """Neither the answer, which the stack's events show, nor the log holds a literal, comment or the server's text."""
    message = f"Database error code: 1064. Message: near '{SECRET}' 4711; SQLState: 42000"
    data_api.ledger()
    data_api.fails("DatabaseErrorException", message)
    post_clone.handler(event(sql), context())
    reason = answers[0]["Reason"]
    assert answers[0]["Status"] == "FAILED"
    shown = f"`{head}`" if head else "which begins with a comment or a literal"
    assert f"statement 1 of 1, {shown}: " in reason
    assert reason.endswith("DatabaseErrorException 1064 42000")
    printed = capsys.readouterr().out
    assert not [each for each in (SECRET, "4711") if each in reason + printed]


@pytest.mark.parametrize(
    "text", ["", "DROP USER etl", '{"a": 1}', '["DROP USER etl", 1]', '[" "]', "[", None]
)
def test_statements_that_are_no_list_are_refused(data_api, answers, text):
    """The answer says what was expected, and nothing of what was given."""
    given = event(MASK)
    given["ResourceProperties"]["Statements"] = text
    post_clone.handler(given, context())
    assert answers[0]["Status"] == "FAILED"
    assert answers[0]["Reason"].startswith("Statements is not a JSON list")


def test_a_timed_out_statement_says_what_to_do(data_api, answers):
    """The Data API ends each statement after 45 s."""
    data_api.ledger()
    data_api.fails("StatementTimeoutException")
    post_clone.handler(event(MASK), context())
    assert "split it" in answers[0]["Reason"]


def test_an_unexpected_error_is_answered_too(data_api, answers):
    """Whatever a library raises: its class, the place, and no text, which may quote a statement."""
    data_api.ledger()
    post_clone.handler(event(MASK), context())  # the stub has no response left
    assert answers[0]["Status"] == "FAILED"
    assert re.match(r"\w+Error at statement 1 of 1", answers[0]["Reason"])


def test_a_call_that_never_ends_is_answered_before_the_functions_time_is_over(answers, monkeypatch):
    """The deadline comes from the context, and interrupts a client that waits inside of a library's `except`."""

    def hang(**_: Any) -> None:
        try:
            time.sleep(60)
        except Exception:  # as botocore does
            time.sleep(60)

    monkeypatch.setattr(post_clone.boto3, "client", lambda *_, **__: SimpleNamespace(execute_statement=hang))
    started = time.monotonic()
    post_clone.handler(event(MASK), context(post_clone.RESERVE_S + 0.1))
    assert time.monotonic() - started < 10
    assert answers[0]["Reason"] == "The function's time was over before the first statement."
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_answer_that_does_not_arrive_fails_the_function(data_api, monkeypatch):
    """Lambda then repeats the event. A lost answer would let CloudFormation wait."""
    monkeypatch.setattr(post_clone.time, "sleep", lambda _: None)
    with pytest.raises(OSError, match="refused"):
        post_clone.handler(event(kind="Delete", ResponseURL="http://127.0.0.1:9/"), context())


def test_the_calls_are_those_of_the_service(answers, monkeypatch):
    """Through moto's Data API, the statements arrive in their order; one that is listed twice counts twice."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        backend = rdsdata_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"]
        backend.results_queue = [QueryResults(records=[]) for _ in range(9)]  # moto keeps what takes a result
        post_clone.handler(event(USER, MASK, MASK), context())
        seen = [sql for cluster, sql in backend.sql_results if cluster == CLUSTER]
    assert (answers[0]["Status"], answers[0]["Data"]) == ("SUCCESS", {"Applied": 3})
    assert [sql for sql in seen if "aurora_analysis_clone" not in sql] == [USER, MASK]
