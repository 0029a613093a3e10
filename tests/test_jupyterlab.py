"""The suite in JupyterLab, in a real browser: an analyst opens a notebook, runs all cells, and none fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from aurora_analysis.report import suite

NAMES = [path.stem for path in suite.notebooks()]
TOKEN = "only-for-this-test"

QUIET = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
"""Without it JupyterLab asks a host for news."""

CELLS = """
  const panel = window.jupyterapp.shell.currentWidget;
  const cells = [...panel.content.model.cells].filter(cell => cell.type === 'code');
  const outputs = cells.flatMap(cell => cell.outputs.toJSON());
  const errors = outputs.filter(output => output.output_type === 'error').map(output => output.evalue);
"""

RAN = f"""() => {{
  {CELLS}
  const idle = panel.sessionContext.session?.kernel?.status === 'idle';
  return idle && (errors.length > 0 || cells.every(cell => cell.executionCount !== null));
}}"""

ERRORS = f"() => {{ {CELLS} return errors; }}"
COUNTS = f"() => {{ {CELLS} return cells.map(cell => cell.executionCount); }}"
CLEAR = """() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')"""
RUN = """() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"""
READY = """() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"""


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory) -> Iterator[str]:
    """The address of a JupyterLab whose folder holds a copy of the suite."""
    folder = tmp_path_factory.mktemp("jupyterlab")
    suite.copy(folder / "notebooks")
    settings = folder / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(QUIET))
    own = {f"JUPYTER_{kind.upper()}_DIR": str(folder / kind) for kind in ("config", "data", "runtime")}
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
    ]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder / 'notebooks'}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    log = folder / "log"
    with log.open("w") as stream:
        server = subprocess.Popen(command, env=os.environ | own, stdout=stream, stderr=stream)
    try:
        yield f"http://127.0.0.1:{_port(log, server)}"
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.real
@pytest.mark.parametrize("name", NAMES)
def test_all_cells_run(name, jupyterlab, chromium_browser):
    """Every code cell gets its number, none an error, and no other host is asked."""
    page, asked = _opened(chromium_browser, jupyterlab)
    page.goto(f"{jupyterlab}/lab/tree/{name}.ipynb?reset&token={TOKEN}")
    page.wait_for_function(READY, timeout=60_000)
    page.evaluate(CLEAR)
    page.evaluate(RUN)
    page.wait_for_function(RAN, timeout=120_000)
    assert page.evaluate(ERRORS) == []
    assert page.evaluate(COUNTS) == list(range(1, 1 + len(page.evaluate(COUNTS))))
    assert asked == []
    page.close()


def _opened(browser: Browser, address: str) -> tuple[Page, list[str]]:
    page, asked = browser.new_page(), []

    def only_ours(route) -> None:
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    page.route("**/*", only_ours)
    return page, asked


def _port(log: Path, server: subprocess.Popen) -> str:
    """The port that the server chose, read from its log."""
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/lab", log.read_text()):
            return found[1]
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start: {log.read_text()[-500:]}")
