"""What the tests share: real components, found or loudly missed."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import live_server
import pytest
from playwright.sync_api import Browser, Route, sync_playwright

from aurora_analysis.lab import server
from aurora_analysis.lab.server import Server

# A shell that starts us in the background makes us deaf to Ctrl-C, and so are the programs that we start.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent


def real_component(name: str, *programs: str) -> str:
    """The path of the first program that is installed; else skip, or fail where everything is required."""
    found = next(filter(None, (shutil.which(program, path=_path()) for program in programs)), None)
    if found:
        return found
    missing = f"{' or '.join(programs)} is not installed: apt-get install {name}"
    if os.environ.get("AURORA_ANALYSIS_REQUIRE_ALL"):
        pytest.fail(missing)
    pytest.skip(missing)


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


@pytest.fixture(scope="session")
def mariadbd() -> str:
    """The server program."""
    return real_component("mariadb-server", "mariadbd", "mysqld")


@pytest.fixture(scope="module")
def real_server(mariadbd: str) -> Iterator[Server]:
    """A running server with performance_schema, and a table that can be written to."""
    with server.running({"performance_schema": True}) as ours:
        yield live_server.prepare(ours)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser program."""
    return real_component("chromium", "chromium", "chromium-browser")


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's settings do not reach the tests."""
    for name in [name for name in os.environ if name.startswith("AURORA_ANALYSIS_")]:
        if name != "AURORA_ANALYSIS_REQUIRE_ALL":
            monkeypatch.delenv(name)


RUNS = (
    "script, iframe, object, embed, form, svg:not([aria-hidden=true]), svg :not(polyline, line, path, circle)"
)
"""What may run, or ask for something; the small figures of our own are hidden drawings of lines."""


@dataclass
class Visit:
    """What a browser saw of a page: its title, its complaints, what it asked of others, and elements that run."""

    title: str = ""
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    elements: int = 0
    width: int = 0


@pytest.fixture(scope="module")
def chromium_browser(chromium: str) -> Iterator[Browser]:
    """A headless browser that speaks to nobody by itself. Not for the session: its event loop stays in the way."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--disable-quic",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        yield started
        started.close()


@pytest.fixture
def browser(chromium_browser: Browser) -> Callable[..., Visit]:
    """Opens a file as a reader does and tells what happened; a request to any host is refused and recorded."""

    def visit(path: Path, width: int = 1200) -> Visit:
        seen = Visit()
        page = chromium_browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: _note(seen, message.type, message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.route("**/*", lambda route: _only_files(route, seen))
        page.goto(path.as_uri())
        page.wait_for_timeout(100)
        seen.title = page.title()
        seen.elements = page.locator(RUNS).count()
        seen.width = page.evaluate("document.documentElement.scrollWidth")
        page.close()
        return seen

    return visit


def _note(seen: Visit, kind: str, text: str) -> None:
    if kind in {"error", "warning"}:
        seen.complaints.append(text)


def _only_files(route: Route, seen: Visit) -> None:
    if route.request.url.startswith(("file:", "data:")):
        route.continue_()
        return
    seen.requests.append(route.request.url)
    route.abort()
