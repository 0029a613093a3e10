"""The endpoint: an HTTP server on 127.0.0.1 that answers for Performance Insights, RDS, CloudWatch and Logs."""

from __future__ import annotations

import http.server
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aws_endpoint import cloudwatch, logs, misbehaviours, performance_insights, policy, rds, wire
from aws_endpoint.cluster import Cluster
from aws_endpoint.misbehaviours import LATE_EVENTS_S, LATE_METRICS_S, TOKENS, known
from aws_endpoint.wire import Refused

OPERATIONS: dict[str, dict[str, Callable[..., dict[str, Any]]]] = {
    "pi": performance_insights.OPERATIONS,
    "rds": rds.OPERATIONS,
    "cloudwatch": cloudwatch.OPERATIONS,
    "logs": logs.OPERATIONS,
    "sts": {
        "GetCallerIdentity": lambda aws, _: {
            "Account": aws.cluster.account,
            "UserId": "AIDAEXAMPLE",
            "Arn": f"arn:aws:iam::{aws.cluster.account}:user/analyst",
        }
    },
}

THROTTLED = {"rds": "Throttling", "cloudwatch": "Throttling"}
"""Service → its code for too many calls, where it is not ThrottlingException."""

DENIED = {"pi": "NotAuthorizedException", "rds": "AccessDenied", "cloudwatch": "AccessDenied"}
"""Service → its code for a missing permission, where it is not AccessDeniedException."""


@dataclass(frozen=True)
class Call:
    """One call with valid parameters, whether or not it succeeded."""

    service: str
    operation: str
    parameters: dict[str, Any]
    at: float

    @property
    def action(self) -> str:
        """The IAM action that the call needs."""
        return f"{self.service}:{self.operation}"


class WebPage(Exception):
    """A web page in place of an answer."""

    def __init__(self, status: int) -> None:
        self.status = status


@dataclass
class _Fault:
    action: str
    error: Refused | WebPage
    times: float
    when: Callable[[dict[str, Any]], bool]


@dataclass
class Endpoint:
    """One simulated cluster behind a URL, for `with Endpoint(cluster, now) as aws: …`.

    `misbehaving` names the misbehaviours to switch on (`MISBEHAVIOURS`); `latency_s` is slept in every call,
    `rates` gives calls a second per service, above which it throttles, `portion_bytes` is the size of a
    portion of a log file, and with a `policy` of IAM whatever it does not allow is denied.
    """

    cluster: Cluster = field(repr=False)
    now: datetime
    misbehaving: Iterable[str] = ()
    latency_s: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    port: int = 0
    portion_bytes: int = 1024 * 1024
    policy: dict[str, Any] | None = None
    calls: list[Call] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.now = self.now if self.now.tzinfo else self.now.replace(tzinfo=UTC)
        self.misbehaving = known(self.misbehaving)
        self.erred: set[str] = set()
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []
        self._buckets: dict[str, tuple[float, float]] = {}

    def __enter__(self) -> Endpoint:
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """URL of the endpoint."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment that leads boto3 to the endpoint, and to no real account."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_DEFAULT_REGION": self.cluster.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    @property
    def now_s(self) -> float:
        """The service's clock, as seconds since 1970."""
        return self.now.timestamp()

    @property
    def metrics_until_s(self) -> float:
        """End of the available metrics [s since 1970]."""
        return self.now_s - (LATE_METRICS_S if self.is_("delivers_late") else 0)

    @property
    def events_until_s(self) -> float:
        """End of the available log events [s since 1970]."""
        return self.now_s - (LATE_EVENTS_S if self.is_("delivers_late") else 0)

    def is_(self, misbehaviour: str) -> bool:
        """Whether a misbehaviour is switched on."""
        return misbehaviour in self.misbehaving

    def errs_at_first(self, what: str) -> bool:
        """Return whether `what` is requested for the first time."""
        first = what not in self.erred
        self.erred.add(what)
        return first

    def count(self) -> Counter[str]:
        """IAM action → calls so far."""
        return Counter(call.action for call in self.calls)

    def fail(
        self,
        action: str,
        code: str,
        message: str = "",
        *,
        status: int = 400,
        times: float = 1,
        when: Callable[[dict[str, Any]], bool] = lambda _: True,
    ) -> None:
        """Answer the next `times` calls of an action (`"pi:GetResourceMetrics"`, or `"*"`) with an error."""
        self._faults.append(_Fault(action, Refused(code, message or code, status), times, when))

    def interpose(self, action: str, *, status: int = 503, times: float = 1) -> None:
        """Answer the next `times` calls of an action with a web page, as a proxy does."""
        self._faults.append(_Fault(action, WebPage(status), times, lambda _: True))

    def always(self, action: str, error: Refused | WebPage) -> _Fault:
        """Answer every call of an action with an error, until `end`."""
        self._faults.append(_Fault(action, error, float("inf"), lambda _: True))
        return self._faults[-1]

    def end(self, fault: _Fault) -> None:
        """End a fault that lasts."""
        self._faults.remove(fault)

    def throttle(self, action: str, times: float = 1) -> None:
        """Throttle the next `times` calls of an action."""
        service = action.split(":")[0]
        self.fail(action, THROTTLED.get(service, "ThrottlingException"), "Rate exceeded", times=times)

    def deny(self, action: str) -> None:
        """Deny an action for good, as IAM would."""
        service = action.split(":")[0]
        arn = f"arn:aws:iam::{self.cluster.account}:user/analyst"
        message = f"User: {arn} is not authorized to perform: {action}"
        self.fail(action, DENIED.get(service, "AccessDeniedException"), message, times=float("inf"))

    def _refuse_forbidden(self, call: Call) -> None:
        where = policy.resource(
            call.service, call.operation, call.parameters, self.cluster.region, self.cluster.account
        )
        if self.policy and not policy.permits(self.policy, call.action, where):
            message = f"not authorized to perform: {call.action} on resource: {where}"
            raise Refused(DENIED.get(call.service, "AccessDeniedException"), message)

    def answer(self, headers: Any, body: bytes) -> tuple[int, str, bytes, dict[str, str]]:
        """Status, content type, body and further headers of the answer to a request."""
        time.sleep(self.latency_s)
        is_json = "X-Amz-Target" in headers
        number = f"00000000-0000-4000-8000-{len(self.calls):012d}"
        try:
            request = wire.request(headers, body)
            result = self._result(request)
            return 200, *wire.answer(request, result, number), {}
        except Refused as error:
            headers = {"x-amzn-query-error": f"{error.code};{error.blame}"}
            return error.status, *wire.refusal(is_json, error, number), headers
        except WebPage as page:
            return page.status, "text/html", b"<!DOCTYPE html>\n<html><body>Bad gateway<br></body></html>", {}

    def _result(self, request: wire.Request) -> dict[str, Any]:
        call = Call(request.service, request.operation.name, request.parameters, time.monotonic())
        with self._lock:
            self.calls.append(call)
            number = len(self.calls)
            self._spend(call.service)
            self._raise_fault(call)
        self._refuse_forbidden(call)
        self._fail_now_and_then(call.service, number)
        if call.operation not in OPERATIONS[call.service]:
            raise Refused("NotImplemented", f"This endpoint does not play {call.action}.", 501)
        return self._played(call, [name for name in TOKENS if name in request.operation.input_shape.members])

    def _played(self, call: Call, tokens: list[str]) -> dict[str, Any]:
        answer = partial(OPERATIONS[call.service][call.operation], self)
        if tokens and self.is_("repeats_pages"):
            return misbehaviours.twice(answer, call.parameters, tokens[0])
        if tokens and self.is_("loops_tokens"):
            return misbehaviours.forever(answer, call.parameters, tokens[0])
        found = answer(call.parameters)
        return misbehaviours.reversed_lists(found) if self.is_("reverses") else found

    def _raise_fault(self, call: Call) -> None:
        for fault in self._faults:
            if fault.action in (call.action, "*") and fault.times > 0 and fault.when(call.parameters):
                fault.times -= 1
                raise fault.error

    def _fail_now_and_then(self, service: str, number: int) -> None:
        if self.is_("throttles") and number % 5 == 0:
            raise Refused(THROTTLED.get(service, "ThrottlingException"), "Rate exceeded")
        if self.is_("fails") and number % 7 == 0:
            raise Refused("InternalServiceError", "Try again", 500)
        if self.is_("drops") and number % 9 == 0:
            raise ConnectionAbortedError

    def _spend(self, service: str) -> None:
        """Take a token of the service's bucket, which holds one second's worth."""
        if service not in self.rates:
            return
        rate, now = self.rates[service], time.monotonic()
        tokens, since = self._buckets.get(service, (rate, now))
        tokens = min(rate, tokens + (now - since) * rate)
        self._buckets[service] = (max(tokens - 1, 0.0) if tokens >= 1 else tokens, now)
        if tokens < 1:
            raise Refused(THROTTLED.get(service, "ThrottlingException"), "Rate exceeded")


class _Server(http.server.ThreadingHTTPServer):
    """A server with a long queue of connections, which ends without waiting for them."""

    daemon_threads = True
    request_queue_size = 128


def _handler(endpoint: Endpoint) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                status, kind, content, more = _safely(endpoint, self.headers, body)
            except ConnectionAbortedError:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Print nothing: the calls are recorded."""

    return Handler


def _safely(endpoint: Endpoint, headers: Any, body: bytes) -> tuple[int, str, bytes, dict[str, str]]:
    """Return the answer. An error of the endpoint itself is a 501 with its cause, which no client retries."""
    try:
        return endpoint.answer(headers, body)
    except ConnectionAbortedError:
        raise
    except Exception as mistake:
        error = Refused("EndpointMistake", f"{type(mistake).__name__}: {mistake}", 501)
        return 501, *wire.refusal("X-Amz-Target" in headers, error, "0"), {}
