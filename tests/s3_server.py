"""S3 in a process of its own: moto behind a fault, which tests and benchmarks set and lift while commands run.

`python tests/s3_server.py BUCKET` prints its URL and serves until it is terminated. `running` starts it from Python.
"""

from __future__ import annotations

import io
import json
import logging
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CONTROL = "/-/fault"
"""Where a fault is put, and where its counts are read: the requests since then, and those that it hit."""


@dataclass(frozen=True)
class Fault:
    """What happens to requests.

    Attributes
    ----------
    kind
        busy: 503 SlowDown, before or after the request was carried out; denied: 403 AccessDenied; slow: the answer is late.
    share
        Share of the requests that it happens to.
    within
        It happens to requests whose path or query contains this text only.
    seconds
        Largest delay of an answer [s].
    after
        Number of requests before it begins.
    """

    kind: str
    share: float = 1.0
    within: str = ""
    seconds: float = 0.0
    after: int = 0


ANSWERS = {"busy": ("503 Slow Down", "SlowDown"), "denied": ("403 Forbidden", "AccessDenied")}


class Faulty:
    """A WSGI application in front of moto, which it calls for one request at a time: as on S3, conditional puts are atomic."""

    def __init__(self, moto: Any) -> None:
        self._moto, self._fault, self._requests, self._hits = moto, Fault("none", 0.0), 0, 0
        self._lock, self._counting, self._random = threading.Lock(), threading.Lock(), random.Random(1)

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Answer a request."""
        if environ["PATH_INFO"] == CONTROL:
            return self._control(environ, start)
        fault = self._fault
        if not self._is_hit(fault, environ):
            return self._carried_out(environ, start)
        if fault.kind == "slow":
            time.sleep(self._random.uniform(0, fault.seconds))
            return self._carried_out(environ, start)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if fault.kind == "busy" and self._random.random() < 0.5:
            list(self._carried_out(environ | {"wsgi.input": io.BytesIO(body)}, lambda *_: lambda _: None))
        status, code = ANSWERS[fault.kind]
        text = (
            f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{status[4:]}</Message></Error>".encode()
        )
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else text]

    def _carried_out(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        with self._lock:
            return list(self._moto(environ, start))

    def _is_hit(self, fault: Fault, environ: dict[str, Any]) -> bool:
        asked = f"{environ['PATH_INFO']}?{environ.get('QUERY_STRING', '').replace('%2F', '/').replace('%3D', '=')}"
        with self._counting:
            self._requests += 1
            has_begun = self._requests > fault.after
            is_hit = has_begun and fault.within in asked and self._random.random() < fault.share
            self._hits += is_hit
        return is_hit

    def _control(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            self._fault, self._requests, self._hits = Fault(**json.loads(body)), 0, 0
        text = json.dumps({"requests": self._requests, "hits": self._hits}).encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
        return [text]


@dataclass(frozen=True)
class S3:
    """A running server, and the environment variables that lead boto3, delta-rs and pyarrow to it."""

    url: str
    variables: dict[str, str]

    def put(self, fault: Fault) -> None:
        """Set the fault of all further requests."""
        body = json.dumps(asdict(fault)).encode()
        urllib.request.urlopen(urllib.request.Request(self.url + CONTROL, body, method="PUT")).close()

    def lift(self) -> int:
        """End the fault, and return how many requests it hit."""
        hits = self._counts()["hits"]
        self.put(Fault("none", 0.0))
        return hits

    def requests(self) -> int:
        """Return the number of requests since a fault was put or lifted."""
        return self._counts()["requests"]

    def _counts(self) -> dict[str, int]:
        with urllib.request.urlopen(self.url + CONTROL) as answer:
            counts: dict[str, int] = json.loads(answer.read())
        return counts


@contextmanager
def running(bucket: str) -> Iterator[S3]:
    """Run a server with an empty bucket; it ends with the block."""
    with subprocess.Popen([sys.executable, __file__, bucket], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield led_to(server.stdout.readline().strip())
        finally:
            server.kill()


def made(bucket: str) -> Any:
    """Start a server with an empty bucket in a thread, and return it."""
    import boto3
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        """Sends each answer at once: with Nagle's algorithm each of them takes 40 ms."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    at = {"endpoint_url": f"http://127.0.0.1:{server.server_port}", "region_name": "us-east-1"}
    client = boto3.client("s3", **at, aws_access_key_id="x", aws_secret_access_key="x")
    client.create_bucket(Bucket=bucket)
    client.close()
    return server


def led_to(url: str) -> S3:
    """Return the server at an address, with the variables that lead to it."""
    names = {"AWS_ENDPOINT_URL_S3": url, "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
    return S3(url, names | {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"})


if __name__ == "__main__":
    sys.path[:] = [each for each in sys.path if Path(each or ".").resolve() != Path(__file__).parent]
    sys.stdout.write(f"http://127.0.0.1:{made(sys.argv[1]).server_port}\n")
    sys.stdout.flush()
    threading.Event().wait()
