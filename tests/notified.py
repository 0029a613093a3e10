"""A webhook on loopback, for the tests of alerts and their benchmark."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECRET = "T0KEN-XYZ"
"""Part of each webhook's URL, which nothing may repeat."""


class Sink:
    """A webhook on loopback that accepts, answers a number, or waits before it answers."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.answer, self.wait_s, self.location = 200, 0.0, ""
        self.refused: list[str] = []
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                time.sleep(sink.wait_s)
                if sink.answer == 200:
                    sink.bodies.append(text)
                    sink.headers.append(dict(self.headers))
                else:
                    sink.refused.append(text)
                self.send_response(sink.answer)
                if sink.location:
                    self.send_header("Location", sink.location)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._handler, self._port = Handler, 0
        self._server: http.server.ThreadingHTTPServer | None = None
        self.start()
        self.stop()
        self.url = f"http://127.0.0.1:{self._port}/{SECRET}"

    def start(self) -> None:
        """Listen, on the same port each time."""
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections until the next `start`."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @contextmanager
    def serving(self) -> Iterator[Sink]:
        self.start()
        try:
            yield self
        finally:
            self.stop()
