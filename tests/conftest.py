"""Fixtures that the tests share: real components, which are skipped or required, never faked.

A browser and the lab are imported by the fixtures that use them: importing both costs every test file about 2 s of CPU.
"""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

    from aurora_analysis.lab.postgresql import Pair
    from aurora_analysis.lab.server import Server

# A shell that starts pytest in the background makes it, and every program that it starts, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The collector's usual thresholds cost an eighth of the tests' CPU: thousands of tests share one large heap.
gc.set_threshold(100_000, 50, 1000)

ROOT = Path(__file__).parent.parent


def real_component(name: str, *programs: str) -> str:
    """Return the path of the first installed program; otherwise skip, or fail if AURORA_ANALYSIS_REQUIRE_ALL is set."""
    found = next(filter(None, (shutil.which(program, path=_path()) for program in programs)), None)
    if found:
        return found
    missing = f"{' or '.join(programs)} is not installed: apt-get install {name}"
    if os.environ.get("AURORA_ANALYSIS_REQUIRE_ALL"):
        pytest.fail(missing)
    pytest.skip(missing)


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


@pytest.fixture(params=["compiled", "pure"])
def scanner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Read slow logs with the compiled scanner, and in pure Python."""
    from aurora_analysis.engines import compiled

    monkeypatch.setenv(compiled.PURE, "1" if request.param == "pure" else "0")
    compiled.library.cache_clear()
    if request.param == "compiled" and compiled.library() is None:
        missing = (
            "the scanner is not compiled: apt-get install gcc libc6-dev python3-dev, then python3 dev.py"
        )
        (pytest.fail if os.environ.get("AURORA_ANALYSIS_REQUIRE_ALL") else pytest.skip)(missing)
    yield request.param
    compiled.library.cache_clear()


@pytest.fixture(scope="session")
def mariadbd() -> str:
    """Path of the database server program."""
    return real_component("mariadb-server", "mariadbd", "mysqld")


@pytest.fixture(scope="session")
def mysqld() -> str:
    """Path of a real MySQL server, which `.ci/mysql` fetches from Debian unstable; skips where it is missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = cache / "aurora-analysis" / "mysql" / "mysqld"
    if not program.exists():
        pytest.skip("no MySQL is here, only MariaDB: bash .ci/mysql fetches one from Debian unstable")
    return str(program)


@pytest.fixture(scope="module")
def real_server(mariadbd: str) -> Iterator[Server]:
    """A running server with performance_schema and a writable table."""
    import live_server

    from aurora_analysis.lab import server

    with server.running({"performance_schema": True}) as ours:
        yield live_server.prepare(ours)


@pytest.fixture(scope="session")
def postgresql_programs() -> Path:
    """Folder of PostgreSQL's programs; without them tests are skipped, or fail if AURORA_ANALYSIS_REQUIRE_ALL is set."""
    from aurora_analysis.errors import NotEnabled
    from aurora_analysis.lab import postgresql

    try:
        return postgresql.programs()
    except NotEnabled as missing:
        (pytest.fail if os.environ.get("AURORA_ANALYSIS_REQUIRE_ALL") else pytest.skip)(str(missing))


@pytest.fixture(scope="module")
def postgresql_pair(postgresql_programs: Path) -> Iterator[Pair]:
    """A running PostgreSQL primary and its hot standby, with a queue."""
    import postgresql_pair

    from aurora_analysis.lab import postgresql

    with postgresql.running() as pair:
        yield postgresql_pair.prepare(pair)


@pytest.fixture(scope="session")
def mysql_server(mysqld: str) -> Iterator[Server]:
    """A running MySQL with the table `trial.stock`."""
    import holder_scenarios

    from aurora_analysis.lab import server

    with server.running(holder_scenarios.OPTIONS["mysql"], program=mysqld) as ours:
        holder_scenarios.prepare(ours)
        yield ours


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser program."""
    return real_component("chromium", "chromium", "chromium-browser")


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's settings away from the tests."""
    for name in [name for name in os.environ if name.startswith("AURORA_ANALYSIS_")]:
        if name != "AURORA_ANALYSIS_REQUIRE_ALL":
            monkeypatch.delenv(name)


class Inline(Executor):
    """An executor that runs work at once, in the process that submits it."""

    def submit(self, function: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(function(*given, **named))
        except Exception as problem:
            done.set_exception(problem)
        return done


@pytest.fixture
def pages_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a report's pages one after the other in this process, with kernels forked from one that has the imports.

    Local workers and their first kernels would import everything again for each report: 5 s of CPU.
    """
    from types import SimpleNamespace

    from aurora_analysis.report import build, kernels

    monkeypatch.setattr(build, "executors", SimpleNamespace(processes=lambda jobs: Inline()))
    monkeypatch.setattr(kernels, "STARTED", itertools.count(1))


SLOW = (
    "live/test_experiment.py",
    "lab/test_record.py",
    "live/test_watch_postgresql.py",
    "lab/test_drill.py",
    "lab/test_ledger_record.py",
    "test_wheel.py",
    "test_jupyterlab.py",
    "test_docs.py",
    "live/test_holders.py",
)
"""Files that take longest: started last, one of them would keep a single worker busy at the end.

The first three observe servers in real time. They mostly wait, and side by side they disturb each other least.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the slowest files first; the order of all others stays."""
    ranks = {ROOT / "tests" / name: rank for rank, name in enumerate(SLOW)}
    items.sort(key=lambda item: ranks.get(item.path, len(SLOW)))


DRAWN = (
    "g, defs, path, use, rect, circle, line, polyline, polygon, image, text, tspan, clipPath, pattern, title"
)
RUNS = f"""() => {{
    const found = [...document.querySelectorAll(
        "script:not(#page-script), iframe, object, embed, form, svg:not([aria-hidden=true]), svg :not({DRAWN})")];
    const isUnsafe = ({{name, value}}) => name.startsWith("on") || /^\\s*(javascript|http)/i.test(value)
        || (/href$/.test(name) && !/^(#|data:image\\/png;base64,)/.test(value)) || /url\\((?!#figure-)/i.test(value);
    const drawn = [...document.querySelectorAll("svg, svg *")].filter(one => [...one.attributes].some(isUnsafe));
    return found.length + drawn.length + Math.max(document.querySelectorAll("#page-script").length - 1, 0);
}}"""
"""Count elements that may run code or send a request: all but our script and hidden drawings of plain shapes."""


@dataclass
class Visit:
    """A browser's observations on a page.

    Its title, console messages, requests and active elements, and for each width of the window the page's own [px].
    """

    title: str = ""
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    elements: int = 0
    widths: dict[int, int] = field(default_factory=dict)


@pytest.fixture(scope="module")
def chromium_browser(chromium: str) -> Iterator[Browser]:
    """A headless browser that sends no request of its own.

    One per module, not per session: its event loop would get in the way of other tests.
    """
    from playwright.sync_api import sync_playwright

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
    """Open a file as a reader does and return a `Visit`; requests to any host are blocked and recorded."""

    def visit(path: Path, *widths: int) -> Visit:
        seen = Visit()
        page = chromium_browser.new_page(viewport={"width": 1200, "height": 900})
        page.on("console", lambda message: _note(seen, message.type, message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.route("**/*", lambda route: _only_files(route, seen))
        page.goto(path.as_uri())
        page.wait_for_timeout(100)
        seen.title = page.title()
        seen.elements = page.evaluate(RUNS)
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            seen.widths[width] = page.evaluate("document.documentElement.scrollWidth")
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
